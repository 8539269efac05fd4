"""Shows a result or a hint: a small box in Jupyter, plain text anywhere else.

The text holds no times, addresses or ids, so that two runs store the same (nbval compares it).
The box takes the page's own text colour, so that it reads on light and dark alike, and says in
sign and words what its colour says.
"""

import html
import io
import sys

import numpy as np

SIGNS = {"solved": "✓", "not yet": "✗", "not attempted yet": "○", "hint": "?"}
COLOURS = {
    "solved": "#009e73",
    "not yet": "#d55e00",
    "not attempted yet": "#888888",
    "hint": "#0072b2",
}


def show_result(result) -> None:
    """Show what `check` found."""
    body = result.message
    if result.status == "not attempted yet":
        body = f'Fill in the "..." and run the cell again. Stuck? hint("{result.name}")'
    elif not result.solved:
        body += f'\nMore help: hint("{result.name}")'
    points = f"{result.points} of {result.of} point" + "s" * (result.of != 1)
    _show(result.status, f"{result.name}: {result.status}", points, body)


def show_hint(name: str, place: int, total: int, text: str, picture=None) -> None:
    """Show one hint, and below it a (H, W, 3) uint8 picture if there is one."""
    _show("hint", f"{name}: hint {place} of {total}", "", text)
    if picture is not None and _notebook():
        from IPython.display import display

        display({"image/png": png(picture), "text/plain": "(picture)"}, raw=True)
    elif picture is not None:
        print("  (The picture is shown in a notebook.)")


def png(picture: np.ndarray) -> bytes:
    """A (H, W, 3) uint8 picture as PNG bytes, enlarged until a pixel can be seen."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8))
    times = max(1, 240 // max(image.size))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    store = io.BytesIO()
    image.save(store, "PNG")
    return store.getvalue()


def as_text(status: str, head: str, points: str, body: str) -> str:
    """The plain text: a line with sign, name and status, and the message indented below."""
    first = f"{SIGNS[status]} {head}" + (f" ({points})" if points else "")
    return "\n".join([first, *(f"  {line}" for line in body.splitlines())])


def as_html(status: str, head: str, points: str, body: str) -> str:
    """The same as one box; everything in it is escaped."""
    style = (
        f"border:1px solid {COLOURS[status]};border-left-width:6px;border-radius:4px;"
        "padding:6px 12px;margin:4px 0;max-width:46em;color:inherit;background:transparent;"
        "font-family:inherit;font-size:14px;line-height:1.5"
    )
    small = f'<span style="opacity:0.75;float:right">{html.escape(points)}</span>'
    lines = html.escape(body)
    return (
        f'<div style="{style}" role="status">{small if points else ""}'
        f'<strong><span style="color:{COLOURS[status]}">{SIGNS[status]}</span> '
        f"{html.escape(head)}</strong>"
        f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{lines}</div></div>'
    )


def _notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _show(*parts: str) -> None:
    text = as_text(*parts)
    if _notebook():
        from IPython.display import display

        display({"text/plain": text, "text/html": as_html(*parts)}, raw=True)
    else:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))

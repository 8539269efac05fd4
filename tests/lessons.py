"""What a lesson defines, executed out of its source: the cells tagged `defines`, in order."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import jupytext

SOURCES = Path(__file__).parent.parent / "notebooks" / "src"


@cache
def definitions(lesson: str) -> SimpleNamespace:
    """Run the `defines` cells of a lesson, and nothing else of it, in a namespace of their own.

    So a definition must bring its own imports, in its own cell or in one tagged like it.
    """
    cells = jupytext.read(SOURCES / f"{lesson}.py").cells
    tagged = [c.source for c in cells if "defines" in c.metadata.get("tags", [])]
    if not tagged:
        raise LookupError(f"no cell of {lesson} is tagged `defines`")
    names: dict = {"__name__": lesson}
    for number, source in enumerate(tagged, 1):
        exec(compile(source, f"{lesson}, `defines` cell {number}", "exec"), names)
    return SimpleNamespace(**{k: v for k, v in names.items() if not k.startswith("__")})

"""The explorer in a real browser: in JupyterLab, and as an exported page from disk.

Each control is moved by keyboard or mouse; then all canvases are compared with what NumPy draws of
the same state. Screenshots lie in pytest's temporary folder.
"""

import base64
import json

import browser
import explored
import numpy as np
import pytest
from PIL import Image

from segutils import explorer as ex

WHY_NOT = browser.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

CELLS = [
    explored.source(),
    "import ipywidgets\nexplorer = explorer()\nexplorer",
    "linked = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.02)\n"
    "linked.add_class('linked')\n"
    "ipywidgets.jslink((linked, 'value'), (explorer, 'alpha'))\nlinked",
    "bad = hostile_explorer()\nbad",
    "lazy_explorer()",
    "from dataclasses import asdict\nimport json\n"
    "state = asdict(explorer.state)\n"
    "print(json.dumps([state, explorer.picture, explorer.panels, explorer.picked]))",
    "explorer.set_trait('threshold', 0.75)",
]
STATE = [*ex.State.__dataclass_fields__, "picture", "panels", "worst", "judge", "picked_at"]


class Seen:
    """An explorer on a page, and its twin in Python that says what the canvases must hold."""

    def __init__(self, page, root, twin):
        self.page, self.root, self.twin, self.last = page, root, twin, None
        self.settle()

    def settle(self):
        """Wait until everything that was asked for is drawn."""
        self.last = None
        handle = self.root.element_handle()
        self.page.wait_for_function("e => e.getAttribute('aria-busy') === 'false'", arg=handle)
        self.page.evaluate("() => new Promise(f => requestAnimationFrame("
                           "() => requestAnimationFrame(f)))")

    def state(self):
        names = json.dumps(STATE)
        return self.root.evaluate(f"e => Object.fromEntries({names}.map(n => [n, e.view.get(n)]))")

    def canvases(self):
        """{panel: (h, w, 3) uint8} of the canvases that are shown."""
        found = self.root.evaluate(
            """e => [...e.querySelectorAll('figure:not([hidden]) canvas')].map(c => {
                const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
                let text = '';
                for (let i = 0; i < data.length; i += 32768)
                    text += String.fromCharCode(...data.subarray(i, i + 32768));
                return [c.dataset.panel, c.width, c.height, btoa(text)];
            })""")
        out = {}
        for name, width, height, data in found:
            pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
            assert (pixels[..., 3] == 255).all()
            out[name] = pixels[..., :3]
        return out

    def begin(self, **changes):
        """The first picture in the first state, but for some changes, whatever came before."""
        first = {n: getattr(ex.State, n) for n in ex.State.__dataclass_fields__}
        changes = {"picture": 0, "worst": -1, "picked_at": []} | first | changes
        self.root.evaluate("(e, changes) => e.view.put(changes)", changes)
        self.settle()

    def check(self):
        """Compare every canvas with NumPy's picture of the same state, within one level."""
        self.settle()
        state, canvases = self.state(), self.canvases()
        assert {*canvases} == {*state["panels"]}
        drawn = ex.State(**{n: state[n] for n in ex.State.__dataclass_fields__})
        picture = self.twin.look(state["picture"])
        count = len(self.twin.class_names)
        for name, canvas in canvases.items():
            expected = ex.panel(picture, name, drawn, count, canvas.shape[:2])
            worst = np.abs(canvas.astype(int) - expected).max()
            assert worst <= 1, f"{name} is {worst} levels off in {state}"
        self.last = state, canvases
        return self.last

    def after(self, act, changes, looks=True):
        """Do something; the state must change as said, and the picture too if `looks`."""
        before, old = self.last or self.check()
        act()
        state, new = self.check()
        assert state == before | changes, {k: v for k, v in state.items() if v != before[k]}
        same = {*old} == {*new} and all(np.array_equal(old[k], new[k]) for k in new)
        assert same != looks, "the picture did not change" if looks else "the picture changed"

    # the parts of the widget, as a reader finds them

    def canvas(self, name):
        return self.root.locator(f"canvas[data-panel='{name}']")

    def range(self, name):
        return self.root.locator(f".sx-{name} input[type=range]")

    def press(self, place, *keys):
        place.focus()
        for key in keys:
            place.press(key)

    def click_at(self, place, x, y, **more):
        box = place.bounding_box()
        place.click(position={"x": x * box["width"], "y": y * box["height"]}, **more)

    def drag(self, place, start, end, **more):
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in
                  (start, end)]
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        self.page.mouse.move(*np.mean(points, axis=0))
        self.page.mouse.move(*points[1])
        self.page.mouse.up()
        self.page.mouse.move(1, 1)


def by_keyboard(seen):
    """Every control, reached and moved by keys alone."""
    seen.begin()
    unet = seen.canvas("U-Net")
    after, press = seen.after, seen.press
    after(lambda: press(seen.range("alpha"), *["ArrowRight"] * 5), {"alpha": 0.6})
    after(lambda: press(seen.range("alpha"), "End"), {"alpha": 1})
    after(lambda: press(unet, "1"), {"shown": [2, 255]})
    after(lambda: press(unet, "0"), {"shown": [0, 2, 255]})
    after(lambda: press(unet, "0", "1", "v"), {"shown": [1, 2]})
    after(lambda: press(unet, "v"), {"shown": [1, 2, 255]})
    after(lambda: press(unet, "o"), {"fill": False})
    after(lambda: press(seen.root.locator(".sx-layer input").first, "ArrowRight"),
          {"layer": "errors"})
    after(lambda: press(unet, "l"), {"layer": "instances"})
    after(lambda: press(unet, "o"), {"fill": True})
    after(lambda: press(unet, "l"), {"layer": "classes"})
    after(lambda: press(unet, " "), {"overlay": False})
    after(lambda: press(unet, " "), {"overlay": True})
    after(lambda: press(seen.range("threshold"), "Home", *["PageUp"] * 6), {"threshold": 0.6})
    after(lambda: press(seen.range("score"), *["PageUp"] * 3), {"score": 0.8})
    after(lambda: press(unet, "c"), {"confidence": True})
    after(lambda: press(seen.root.locator(".sx-divider").first, "PageUp", "ArrowRight"),
          {"wipe": 0.22})
    after(lambda: press(seen.range("wipe"), *["PageUp"] * 3), {"wipe": 0.52})
    after(lambda: press(seen.root.locator(".sx-palette select"), "ArrowDown"),
          {"palette": "tol-bright"})
    after(lambda: press(unet, "+", "+"), {"zoom": 2.25})
    after(lambda: press(unet, "Shift+ArrowRight"),
          {"centre": pytest.approx([0.5 + 0.1 / 2.25, 0.5])})
    after(lambda: press(unet, "f"), {"zoom": 1, "centre": [0.5, 0.5]})
    after(lambda: press(unet, "n"), {"picture": 1})
    after(lambda: press(seen.root.locator(".sx-strip [aria-selected=true]"), "ArrowRight"),
          {"picture": 2})
    after(lambda: press(unet, "p", "p"), {"picture": 0})
    place = seen.root.get_by_role("button", name="Image", exact=True)
    after(lambda: press(place, "Enter"), {"panels": ["image", *seen.state()["panels"]]})
    after(lambda: press(place, "Enter"), {"panels": seen.state()["panels"][1:]})


def by_mouse(seen):
    """The same by mouse."""
    seen.begin(alpha=1, confidence=True, wipe=0.52)
    root, after = seen.root, seen.after
    unet = seen.canvas("U-Net")
    after(lambda: seen.click_at(seen.range("alpha"), 0.5, 0.5), {"alpha": 0.5})
    after(lambda: root.get_by_title("car (2)").click(), {"shown": [1, 255]})
    after(lambda: root.get_by_title("car (2)").click(), {"shown": [1, 2, 255]})
    after(lambda: root.get_by_text("Outline", exact=True).click(), {"fill": False})
    after(lambda: root.get_by_text("Errors", exact=True).click(), {"layer": "errors"})
    after(lambda: root.get_by_text("Fill", exact=True).click(), {"fill": True})
    after(lambda: root.get_by_text("Classes", exact=True).click(), {"layer": "classes"})
    after(lambda: root.locator(".sx-confidence input").click(), {"confidence": False})
    after(lambda: seen.click_at(seen.range("threshold"), 0.5, 0.5), {"threshold": 0.5})
    after(lambda: seen.drag(unet, (0.52, 0.2), (0.3, 0.4)), {"wipe": pytest.approx(0.3, abs=0.02)})
    after(lambda: root.get_by_label("Zoom in (+)").click(), {"zoom": 1.5})
    after(lambda: seen.drag(unet, (0.8, 0.8), (0.6, 0.9)),
          {"centre": pytest.approx([0.5 + 0.2 / 1.5, 0.5 - 0.1 / 1.5], abs=0.01)})
    where = seen.state()["centre"]
    after(lambda: unet.dblclick(position={"x": 120, "y": 120}), {
        "zoom": 3, "centre": pytest.approx(where, abs=0.34),
        "picked_at": pytest.approx([0, 64, 64], abs=64)})
    after(lambda: root.get_by_label("Show the whole picture (f)").click(),
          {"zoom": 1, "centre": [0.5, 0.5]})
    after(lambda: root.locator(".sx-palette select").select_option("voc"), {"palette": "voc"})
    after(lambda: root.locator(".sx-strip button").nth(3).click(), {"picture": 3})
    after(lambda: root.get_by_label("Next picture (n)").click(), {"picture": 0})


def wheel(seen):
    """Ctrl and wheel zoom at the pointer; the wheel alone leaves the picture to the page."""
    seen.begin()
    unet = seen.canvas("U-Net")
    unet.scroll_into_view_if_needed()
    unet.hover(position={"x": 20, "y": 20})
    old = seen.state()
    seen.page.mouse.wheel(0, 10)
    assert seen.state() == old
    unet.hover(position={"x": 20, "y": 20})
    seen.page.keyboard.down("Control")
    seen.page.mouse.wheel(0, -100)
    seen.page.keyboard.up("Control")
    seen.page.wait_for_timeout(200)
    zoomed = seen.check()[0]
    assert zoomed["zoom"] > 1.2 and max(zoomed["centre"]) < 0.5
    seen.press(unet, "f")


def reads_and_picks(seen):
    """Pointing reads a pixel, a click keeps it, keys go on from there."""
    unet, root = seen.canvas("U-Net"), seen.root
    seen.begin()
    state = seen.state()
    picture = seen.twin.look(state["picture"])
    y, x = np.argwhere(picture.models["Mask R-CNN"].owners > 0)[7].tolist()
    box = unet.bounding_box()
    seen.click_at(unet, (x + 0.5) / 128, (y + 0.5) / 128)
    assert seen.state()["picked_at"] == [state["picture"], x, y]
    seen.press(unet, "ArrowRight", "ArrowDown", "ArrowDown", "Enter")
    assert seen.state()["picked_at"] == [state["picture"], x + 1, y + 2]
    seen.settle()
    now = ex.State(**{n: state[n] for n in ex.State.__dataclass_fields__})
    known = ex.read_pixel(picture, x + 1, y + 2, seen.twin.class_names, now)
    card = root.locator(".sx-card-pixel")
    assert card.locator("p").inner_text() == f"column {x + 1}, row {y + 2}: {known['truth']}"
    rows = {row[0]: row[1:] for row in card.locator("tr").evaluate_all(
        "rows => rows.map(r => [...r.children].map(c => c.textContent))")}
    models = [m for m in state["panels"] if m in picture.models]
    for k, name in enumerate(models):
        shares = known["models"][name].get("probabilities")
        for c in seen.twin.class_names:
            answer = known["models"][name]["class"] == c
            expected = f"{100 * shares[c]:.0f} %" if shares else "●" if answer else ""
            near = {expected, f"{100 * shares[c] + 0.5:.0f} %"} if shares else {expected}
            assert rows[c][k] in near, (name, c)
    one = known["models"]["Mask R-CNN"].get("instance")
    if one:
        assert rows["instance"][models.index("Mask R-CNN")] == \
            f"{one['number']}: {100 * one['score']:.0f} %"
    spoken = root.locator("[aria-live]").inner_text()
    assert f"U-Net {known['models']['U-Net']['class']}" in spoken
    assert unet.bounding_box() == box, "reading a pixel moves nothing"


def scores_follow(seen):
    """The tables and captions are the metrics of what is shown; the threshold moves them."""
    seen.begin(shown=[0, 1, 2, 255])
    tables = []
    for keys in ([], ["PageUp"] * 9):
        seen.press(seen.range("threshold"), *keys)
        seen.settle()
        state = seen.state()
        for name in ("threshold", "score"):
            seen.twin.set_trait(name, state[name])
        rows = seen.root.locator(".sx-card-iou tbody tr").evaluate_all(
            "rows => rows.map(r => [...r.children].map(c => c.textContent))")
        models = [m for m in state["panels"] if m in seen.twin.predictions]
        for first, scores in ((1, seen.twin.iou(state["picture"])), (6, seen.twin.iou())):
            for row, c in enumerate((0, 1, 2), first):
                expected = ["–" if np.isnan(v := scores[m][c]) else f"{v:.2f}" for m in models]
                assert rows[row][1:] == expected
            means = [np.nanmean(scores[m]) for m in models]
            assert np.allclose([float(v) for v in rows[first + 3][1:]], means, atol=0.006)
        tables.append(rows)
    assert tables[0] != tables[1], "the threshold moves the scores"
    dots = seen.root.locator(".sx-dot").evaluate_all("all => all.map(d => +d.getAttribute('cx'))")
    assert np.allclose((np.array(dots) - 28) / 270, [0.9, 0.9, state["score"]], atol=0.01)
    seen.press(seen.range("threshold"), "Home")


def worst_first(seen):
    select = seen.root.get_by_label("Order of the pictures")
    select.select_option("1")
    seen.settle()
    seen.twin.set_trait("worst", 1)
    seen.twin.set_trait("judge", seen.state()["judge"])
    for name in ("threshold", "score"):
        seen.twin.set_trait(name, seen.state()[name])
    order = [seen.twin.names[i] for i in seen.twin.order()]
    strip = seen.root.locator(".sx-strip button")
    assert strip.evaluate_all("all => all.map(b => b.title)") == order
    assert seen.root.locator(".sx-title").inner_text() == order[0], "the worst one is shown"
    labels = [f"IoU {seen.twin.iou(i)[seen.twin.judge][1]:.2f}" for i in seen.twin.order()]
    assert strip.evaluate_all("all => all.map(b => b.textContent)") == labels
    select.select_option("-1")
    seen.twin.set_trait("worst", -1)
    seen.check()


def saved(seen, tmp_path):
    """The PNG holds each panel at the picture's own resolution, under its name."""
    seen.begin(alpha=0.7)
    with seen.page.expect_download() as download:
        seen.root.get_by_label("Save the view as PNG").click()
    assert download.value.suggested_filename.endswith(".jpg_overlay.png")
    path = tmp_path / "saved.png"
    download.value.save_as(path)
    sheet = np.array(Image.open(path).convert("RGB"))
    state = seen.state()
    drawn = ex.State(**{n: state[n] for n in ex.State.__dataclass_fields__})
    picture = seen.twin.look(state["picture"])
    band = len(sheet) - 128
    for k, name in enumerate(state["panels"]):
        part = sheet[band:, k * 136: k * 136 + 128]
        expected = ex.panel(picture, name, drawn)
        assert np.abs(part.astype(int) - expected).max() <= 1, name


def labelled(root):
    """Every control has a name for screen readers; every picture too."""
    nameless = root.evaluate("""e => [...e.querySelectorAll(
        'button, input, select, summary, canvas, [role=slider], svg[role=img]')]
        .filter(n => !n.textContent.trim() && !n.getAttribute('aria-label')
            && !n.closest('label')?.textContent.trim() && !n.title)
        .map(n => n.outerHTML.slice(0, 120))""")
    assert nameless == []


def visible_focus(seen):
    """Whatever the Tab key reaches shows that it has the focus."""
    first = seen.root.get_by_label("Previous picture (p)")
    first.focus()
    reached = set()
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        found = seen.root.evaluate("""e => {
            const n = document.activeElement;
            if (!e.contains(n)) return null;
            const shown = n.matches('.sx-choice input') ? n.nextElementSibling : n;
            const {outlineStyle, outlineWidth} = getComputedStyle(shown);
            return [n.tagName + '.' + n.className, outlineStyle !== 'none' && outlineWidth];
        }""")
        if found is None:
            break
        assert found[1] and found[1] != "0px", found
        reached.add(found[0])
    assert found is None and len(reached) >= 7, "Tab goes through and out again"


def no_errors(page):
    return [e for e in page.errors if "favicon" not in e]


def unhacked(page, root):
    """50 hostile names: none runs, all are shown as they are."""
    names = explored.hostile()
    chips = root.locator(".sx-legend [aria-label=Classes] .sx-name")
    assert chips.evaluate_all("all => all.map(c => c.textContent)") == [*names, "void"]
    strip = root.locator(".sx-strip .sx-name")
    assert strip.evaluate_all("all => all.map(c => c.textContent)") == names
    captions = root.locator("figcaption .sx-name")
    shown = captions.evaluate_all("all => all.map(c => c.textContent)")
    assert shown == ["Image", "Truth", *names[:3]]
    title = root.locator(".sx-title").element_handle()
    for button in root.locator(".sx-strip button").all()[:20]:
        button.evaluate("b => b.click()")                # wherever the strip has scrolled to by now
        page.wait_for_function("([title, name]) => title.textContent === name",
                               arg=[title, button.evaluate("b => b.title")])
    root.locator("canvas").nth(1).press("ArrowRight")
    strange = "script, iframe, object, embed, style, link, [onload], [onerror], [ontoggle]"
    assert root.locator(strange).count() == 0
    assert root.locator("img").count() == 50
    assert page.evaluate("() => window.hacked") is None


# ---------------------------------------------------------------- JupyterLab


@pytest.fixture(scope="module")
def window():
    """One Chromium for all of these tests."""
    with browser.window() as page:
        yield page


@pytest.fixture(scope="module")
def lab(window, tmp_path_factory):
    """A notebook with the explorer, run from top to bottom; (page, notebook, errors so far)."""
    folder = tmp_path_factory.mktemp("lab")
    course = browser.clone(folder)
    cells = [{"cell_type": "code", "id": f"cell{k}", "metadata": {}, "source": source,
              "execution_count": None, "outputs": []} for k, source in enumerate(CELLS[:6])]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (course / "explored.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    page = browser.watched(window.context.browser, 1440, 900)
    with browser.jupyterlab(course, folder) as server:
        page.on("dialog", lambda dialog: (page.errors.append("a dialog"), dialog.dismiss()))
        notebook = browser.Notebook(page, server, "explored.ipynb")
        notebook.run_all(120)
        assert list(browser.errors(notebook.cells())) == []
        page.wait_for_selector(".sx figure canvas[width]")
        yield page, notebook
        page.close()    # before its server goes, for which it would call


@pytest.fixture
def seen(lab):
    page, notebook = lab
    notebook.cell(1)
    return Seen(page, page.locator(".sx").first, explored.explorer())


def run_cell(page, notebook, number, source=None):
    """Run a cell once more, with another source if given; what it prints."""
    if source is not None:
        page.evaluate(f"s => {{ {notebook.WIDGET} w.content.widgets[{number}].model.sharedModel"
                      ".setSource(s); }", source)
    page.evaluate(f"async () => {{ {notebook.WIDGET} w.content.deselectAll();"
                  f" w.content.activeCellIndex = {number}; await window.jupyterapp.commands"
                  ".execute('notebook:run-cell'); }")
    outputs = notebook.cells()[number]["outputs"]
    assert all(o["output_type"] != "error" for o in outputs), outputs
    return "".join("".join(o.get("text", "")) for o in outputs)


def in_python(page, notebook):
    """State, picture, panels and picked pixel as the kernel has them."""
    page.wait_for_timeout(300)
    return json.loads(run_cell(page, notebook, 5, CELLS[5]))


def test_every_key_in_jupyterlab(seen, lab):
    by_keyboard(seen)
    page, notebook = lab
    state, picture, panels, _ = in_python(page, notebook)
    shown = seen.state()
    assert {**state, "picture": picture, "panels": panels}.items() <= shown.items()
    assert [c["cell_type"] for c in notebook.cells()] == ["code"] * 6, "keys acted on a cell"
    assert no_errors(page) == [] and page.outside == []


def test_every_mouse_act_in_jupyterlab(seen, lab):
    by_mouse(seen)
    wheel(seen)
    reads_and_picks(seen)
    page, notebook = lab
    *_, picked = in_python(page, notebook)
    picture, x, y = seen.state()["picked_at"]
    twin = ex.read_pixel(seen.twin.look(picture), x, y, seen.twin.class_names, ex.State(
        **{n: seen.state()[n] for n in ex.State.__dataclass_fields__}))
    assert picked == json.loads(json.dumps({"picture": picture,
                                            "name": seen.twin.names[picture], **twin}))
    assert no_errors(page) == [] and page.outside == []


def test_scores_order_and_file_in_jupyterlab(seen, lab, tmp_path):
    scores_follow(seen)
    worst_first(seen)
    saved(seen, tmp_path)
    labelled(seen.root)
    visible_focus(seen)
    assert no_errors(lab[0]) == [] and lab[0].outside == []


def test_a_readers_own_slider_and_python_move_it(seen, lab):
    page, notebook = lab
    notebook.cell(2)
    handle = page.locator(".linked .noUi-handle")
    now = seen.state()["alpha"]
    handle.focus()
    handle.press("ArrowRight")
    handle.press("ArrowRight")
    state, _ = seen.check()
    assert state["alpha"] == pytest.approx(min(1, now + 0.04))
    run_cell(page, notebook, 5, CELLS[6])
    page.wait_for_timeout(300)
    assert seen.check()[0]["threshold"] == 0.75
    assert seen.range("threshold").input_value() == "0.75"
    run_cell(page, notebook, 5, "explorer.set_trait('threshold', 0.0)")


def test_hostile_names_stay_text_in_jupyterlab(lab):
    page, notebook = lab
    notebook.cell(3)
    root = page.locator(".sx").nth(1)
    Seen(page, root, explored.hostile_explorer()).check()
    unhacked(page, root)
    assert no_errors(page) == [] and page.outside == []


def test_a_model_runs_when_it_is_needed(lab):
    """Another picture, then all of them: scores come with them."""
    page, notebook = lab
    notebook.cell(4)
    root, twin = page.locator(".sx").nth(2), explored.lazy_explorer()
    seen = Seen(page, root, twin)
    rows = root.locator(".sx-card-iou tbody tr")
    means = (3, 7)                              # of the picture, of all pictures

    def shown():
        texts = rows.evaluate_all("rows => rows.map(r => r.lastChild.textContent)")
        return [texts[k] for k in means]

    def expected(scores):
        return f"{np.nanmean(scores['bright'][1:]):.2f}"

    assert shown() == [expected(twin.iou(0)), "–"]
    seen.after(lambda: root.get_by_label("Next picture (n)").click(), {"picture": 1})
    assert shown() == [expected(twin.iou(1)), "–"]
    button = root.get_by_text("Score all pictures")
    button.click()
    button.wait_for(state="hidden")
    seen.settle()
    assert shown() == [expected(twin.iou(1)), expected(twin.iou())]
    assert no_errors(page) == []


def test_it_looks_good_wide_and_narrow_light_and_dark(seen, lab, tmp_path):
    """For looking at; here only: nothing sticks out, and the page's theme is followed."""
    page, notebook = lab
    root = seen.root
    seen.press(seen.canvas("U-Net"), "ArrowRight", "Enter", "Escape")
    paper = []
    try:
        for theme in ("Light", "Dark"):
            page.evaluate("t => window.jupyterapp.commands.execute('apputils:change-theme',"
                          "{theme: 'JupyterLab ' + t})", theme)
            page.wait_for_timeout(700)
            for width in (1440, 900):
                page.set_viewport_size({"width": width, "height": 2000})
                page.wait_for_timeout(400)
                notebook.cell(1)
                seen.check()
                root.screenshot(path=tmp_path / f"lab_{theme.lower()}_{width}.png")
                wider = root.evaluate("""e => [...e.querySelectorAll('*')].filter(n =>
                    n.getBoundingClientRect().right > e.getBoundingClientRect().right + 1
                    && !n.closest('.sx-strip, .sx-scroll, .sx-hidden, .sx-stage, .sx-sheet'))
                    .map(n => n.className)""")
                assert wider == []
            ink = root.evaluate("e => getComputedStyle(e).color")
            paper.append(ink)
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})
    assert paper[0] != paper[1], "the ink follows the theme"


# ---------------------------------------------------------------- the exported page


@pytest.fixture
def opened(window, tmp_path):
    """Opens an exported page from disk; the same checks as for JupyterLab at the end."""
    page = browser.watched(window.context.browser, 1000, 1000)
    page.on("dialog", lambda dialog: (page.errors.append("a dialog"), dialog.dismiss()))

    def open_page(explorer):
        path = explorer.to_html(tmp_path / "explorer.html")
        page.goto(path.as_uri())
        return Seen(page, page.locator(".sx"), explorer)

    yield open_page
    page.close()
    assert no_errors(page) == []
    assert {url.rsplit("/", 1)[-1] for url in page.outside} == {"explorer.html"}
    assert all(url.startswith("file:") for url in page.outside)


def test_the_page_from_disk_by_key_and_mouse(opened, tmp_path):
    seen = opened(explored.explorer())
    by_keyboard(seen)
    by_mouse(seen)
    wheel(seen)
    reads_and_picks(seen)
    scores_follow(seen)
    worst_first(seen)
    saved(seen, tmp_path)
    labelled(seen.root)


def test_hostile_names_stay_text_in_the_page(opened):
    seen = opened(explored.hostile_explorer())
    seen.check()
    unhacked(seen.page, seen.root)


def test_the_page_lets_no_other_script_run(window, tmp_path):
    """Even a script that found its way into the page would not: its policy names one alone."""
    path = explored.explorer(count=1).to_html(tmp_path / "explorer.html")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", "<script>window.hacked=1</script></body>"),
                    encoding="utf-8")
    page = browser.watched(window.context.browser, 1440, 1000)
    page.goto(path.as_uri())
    page.wait_for_selector(".sx canvas[width]")
    assert page.evaluate("() => window.hacked") is None
    assert any("Content Security Policy" in error for error in page.errors)
    page.close()


def test_an_error_of_a_model_is_shown_as_text(opened):
    seen = opened(explored.explorer(count=1))
    seen.root.evaluate("e => e.view.model.set('_parcel', {error: 'RuntimeError: <b>no</b>'})")
    assert seen.root.locator(".sx-status").inner_text() == "RuntimeError: <b>no</b>"


def test_probabilities_of_large_pictures_come_when_asked_for(opened, monkeypatch):
    monkeypatch.setattr(ex, "ON_DEMAND", 100)
    seen = opened(explored.explorer(count=1))
    decoded = "e => [...e.view.store.decoded.keys()].filter(k => /trust|prob/.test(k)).sort()"
    assert seen.root.evaluate(decoded) == []
    seen.press(seen.range("threshold"), "PageUp")
    seen.check()
    assert seen.root.evaluate(decoded) == ["0/trust/0", "0/trust/1"]
    seen.press(seen.canvas("U-Net"), "ArrowRight")
    seen.page.wait_for_timeout(300)
    assert len(seen.root.evaluate(decoded)) == 4
    assert "%" in seen.root.locator(".sx-card-pixel tbody").inner_text()


def test_the_page_looks_good_in_the_dark_and_on_a_phone(opened, tmp_path):
    seen = opened(explored.explorer())
    page = seen.page
    seen.press(seen.canvas("U-Net"), "l", "ArrowRight", "Enter")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1440, 900, 390):
            page.set_viewport_size({"width": width, "height": 1000})
            page.wait_for_timeout(300)
            seen.check()
            page.screenshot(path=tmp_path / f"page_{scheme}_{width}.png", full_page=True)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width

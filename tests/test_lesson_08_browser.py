"""Lesson 08 as its reader meets it: run in JupyterLab, its controls moved by keyboard and mouse.

The lesson's own explorer is compared with what NumPy draws of the same state, canvas by canvas;
what it holds comes out of the lesson's kernel. Screenshots lie in pytest's temporary folder.
"""

import base64
import io
import json
import pickle
from types import SimpleNamespace

import browser
import numpy as np
import pytest
from PIL import Image
from test_explorer_browser import Seen, labelled, no_errors

from segutils import masks

WHY_NOT = browser.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

NAME = "08_overlay_explorer"
HOLD = """
import pickle
with open({path!r}, "wb") as file:
    pickle.dump([explorer.class_names, explorer.names,
                 [explorer.look(k) for k in range(len(explorer.images))]], file)
"""
TELL = """
import json
from dataclasses import asdict
with open({path!r}, "w") as file:
    json.dump({{"state": asdict(explorer.state), "picture": explorer.picture,
               "picked": explorer.picked, "order": explorer.order(), "report": report.value,
               "opacity": opacity.value}}, file)
"""


class Lesson:
    """The lesson, run from top to bottom, and what its kernel knows."""

    def __init__(self, page, notebook, folder):
        self.page, self.notebook, self.folder = page, notebook, folder
        self.sources = ["".join(cell["source"]) for cell in notebook.cells()]
        held = folder / "held.pickle"
        self.execute(HOLD.format(path=str(held)))
        with held.open("rb") as file:
            classes, self.names, self.pictures = pickle.load(file)
        self.twin = SimpleNamespace(class_names=classes, look=self.pictures.__getitem__)

    def execute(self, code):
        """Run code in the lesson's kernel, behind its cells."""
        status = self.page.evaluate(
            f"""async code => {{ {self.notebook.WIDGET}
                const kernel = w.sessionContext.session.kernel;
                const reply = await kernel.requestExecute({{code, store_history: false}}).done;
                return reply.content; }}""", code)
        assert status["status"] == "ok", status

    def idle(self):
        """Wait until what was sent to the kernel is done; changes that waited for it are sent."""
        for _ in range(3):
            self.page.wait_for_timeout(200)
            self.page.wait_for_function(f"() => {{ {self.notebook.WIDGET} "
                                        f"return {self.notebook.IDLE} }}")

    def knows(self):
        """The state as Python has it."""
        self.idle()
        path = self.folder / "told.json"
        self.execute(TELL.format(path=str(path)))
        return json.loads(path.read_text())

    def cell(self, words):
        """The element of the first cell whose source holds these words."""
        number = next(k for k, source in enumerate(self.sources) if words in source)
        return self.notebook.cell(number)

    def explorer(self, words):
        """The explorer that a cell shows."""
        cell = self.cell(words)
        cell.locator(".sx figure canvas[width]").first.wait_for()
        return Seen(self.page, cell.locator(".sx"), self.twin)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesson")
    course = browser.clone(folder)
    if not (course / "notebooks" / f"{NAME}.ipynb").exists():
        pytest.skip("lesson 08 is not built yet")
    with browser.window(1440, 900) as page, browser.jupyterlab(course, folder) as server:
        notebook = browser.Notebook(page, server, f"my_workbook/{NAME}.ipynb")
        notebook.run_all(300)
        yield Lesson(page, notebook, folder)
        page.close()    # before its server goes, for which it would call


def first(lesson):
    """The explorer of section 11, whose cell holds its name alone."""
    number = lesson.sources.index("explorer")
    cell = lesson.notebook.cell(number)
    cell.locator(".sx figure canvas[width]").first.wait_for()
    return Seen(lesson.page, cell.locator(".sx"), lesson.twin)


def quiet(page):
    """No error in the console, and nothing asked of another machine."""
    assert no_errors(page) == [] and page.outside == []


def test_all_cells_run_and_show_widgets_instead_of_pictures_of_them(lesson):
    assert list(browser.errors(lesson.notebook.cells())) == []
    page = lesson.page
    for words, views in (("with_picture(sliders", ".widget-interact"), ("tied =", ".sx")):
        cell = lesson.cell(words)
        cell.locator(views).first.wait_for()
        assert cell.locator(".jp-RenderedImage").count() <= ("sliders" in words), words
    assert page.locator(".jp-Notebook .sx").count() == 2
    quiet(page)


def test_every_control_by_keyboard(lesson):
    seen = first(lesson)
    seen.begin()
    unet, after, press = seen.canvas("U-Net"), seen.after, seen.press
    after(lambda: press(seen.range("alpha"), *["ArrowRight"] * 5), {"alpha": 0.6})
    after(lambda: press(unet, "1"), {"shown": [2, 255]})
    after(lambda: press(unet, "1", "v"), {"shown": [1, 2]})
    after(lambda: press(unet, "v"), {"shown": [1, 2, 255]})
    after(lambda: press(unet, "l"), {"layer": "errors"})
    after(lambda: press(unet, "o"), {"fill": False})
    after(lambda: press(unet, "o"), {"fill": True})
    after(lambda: press(unet, "c"), {"confidence": True})
    after(lambda: press(seen.range("threshold"), *["PageUp"] * 8), {"threshold": 0.8})
    if seen.range("score").count():
        press(seen.range("score"), *["PageUp"] * 3)
        seen.check()
    after(lambda: press(seen.root.locator(".sx-divider").first, "PageUp"), {"wipe": 0.2})
    after(lambda: press(seen.range("wipe"), *["PageUp"] * 2), {"wipe": 0.4})
    after(lambda: press(unet, " "), {"overlay": False})
    after(lambda: press(unet, " "), {"overlay": True})
    after(lambda: press(seen.root.locator(".sx-palette select"), "ArrowDown"),
          {"palette": "tol-bright"})
    after(lambda: press(unet, "+", "+"), {"zoom": 2.25})
    after(lambda: press(unet, "f"), {"zoom": 1})
    after(lambda: press(unet, "n"), {"picture": 1})
    after(lambda: press(seen.root.locator(".sx-strip [aria-selected=true]"), "End"),
          {"picture": len(lesson.names) - 1})
    state = lesson.knows()
    assert state["state"] == {k: seen.state()[k] for k in state["state"]}, "Python has followed"
    quiet(lesson.page)


def test_every_control_by_mouse(lesson):
    seen = first(lesson)
    seen.begin(picture=lesson.names.index("0903"))
    root, unet, after = seen.root, seen.canvas("U-Net"), seen.after
    after(lambda: seen.click_at(seen.range("alpha"), 0.8, 0.5),
          {"alpha": pytest.approx(0.8, abs=0.04)})
    after(lambda: root.get_by_title("car (2)").click(), {"shown": [1, 255]})
    after(lambda: root.get_by_title("car (2)").click(), {"shown": [1, 2, 255]})
    after(lambda: root.get_by_text("Errors", exact=True).click(), {"layer": "errors"})
    after(lambda: root.get_by_text("Outline", exact=True).click(), {"fill": False})
    after(lambda: root.get_by_text("Fill", exact=True).click(), {"fill": True})
    after(lambda: root.locator(".sx-confidence input").click(), {"confidence": True})
    after(lambda: seen.drag(unet, (0.005, 0.5), (0.4, 0.6)),
          {"wipe": pytest.approx(0.4, abs=0.02)})
    after(lambda: root.get_by_text("Classes", exact=True).click(), {"layer": "classes"})
    after(lambda: root.get_by_label("Zoom in (+)").click(), {"zoom": 1.5})
    after(lambda: root.get_by_label("Show the whole picture (f)").click(), {"zoom": 1})
    after(lambda: root.get_by_label("Next picture (n)").click(),
          {"picture": lesson.names.index("0903") + 1})
    root.get_by_label("Order of the pictures").select_option("1")
    seen.check()
    titles = root.locator(".sx-strip button").evaluate_all("all => all.map(b => b.title)")
    assert titles == [lesson.names[k] for k in lesson.knows()["order"]]
    root.get_by_label("Order of the pictures").select_option("-1")
    labelled(root)
    quiet(lesson.page)


def test_a_click_is_read_in_python(lesson):
    seen, number = first(lesson), lesson.names.index("0885")
    seen.begin(picture=number)
    seen.click_at(seen.canvas("U-Net"), 14.5 / 128, 110.5 / 128)
    assert seen.state()["picked_at"] == [number, 14, 110]
    picked = lesson.knows()["picked"]
    assert (picked["name"], picked["truth"]) == ("0885", "person")
    held = lesson.pictures[number].models["U-Net"]
    assert picked["models"]["U-Net"]["class"] == lesson.twin.class_names[held.ids[110, 14]]


def test_the_readers_own_slider_and_line_follow(lesson):
    cell, seen = lesson.cell("tied ="), first(lesson)
    seen.begin(picture=3)
    own = cell.locator(".noUi-handle").first
    seen.press(own, *["ArrowRight"] * 4)                 # from 0.5 in steps of 0.05
    assert seen.check()[0]["alpha"] == pytest.approx(0.7)
    second = lesson.explorer("tied =")
    assert second.check()[0]["alpha"] == pytest.approx(0.7), "both views of it"
    second.press(second.range("alpha"), "End")
    cell.locator(".widget-readout", has_text="1.00").wait_for()
    second.check()
    second.after(lambda: second.press(second.canvas("U-Net"), "n"), {"picture": 4})
    cell.locator(f".widget-html-content :text('{lesson.names[4]}')").wait_for()
    told = lesson.knows()
    assert told["opacity"] == 1 and lesson.names[4] in told["report"]
    quiet(lesson.page)


def shown_by(cell):
    """What `interactive` shows below its sliders, (h, w, 3) uint8."""
    source = cell.locator(".widget-output img").last.get_attribute("src")
    data = base64.b64decode(source.split(",", 1)[1])
    return np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def coloured(picture, k):
    """The share of a picture that has a class's very colour."""
    return (np.abs(picture - masks.PALETTE[k]).max(axis=2) <= 2).mean()


def test_interact_follows_its_sliders(lesson):
    cell = lesson.cell("with_picture(sliders")
    handle = cell.locator(".noUi-handle").first

    def press(key, times, value):
        handle.focus()
        for _ in range(times):
            handle.press(key)
        cell.locator(".widget-readout", has_text=value).first.wait_for()
        lesson.idle()
        return shown_by(cell)

    bare, paint = press("Home", 1, "0.00"), press("End", 1, "1.00")
    assert coloured(paint, 1) > 0.02 and coloured(paint, 2) > 0.1
    assert coloured(bare, 1) < 0.005 and coloured(bare, 2) < 0.005
    cell.locator("input[type=checkbox]").click()         # outlines
    lesson.idle()
    assert 0 < coloured(shown_by(cell), 2) < coloured(paint, 2) / 2
    quiet(lesson.page)


def test_it_looks_good_wide_and_narrow_light_and_dark(lesson):
    """For looking at; here only: nothing of an explorer sticks out, and the theme is followed."""
    page, seen = lesson.page, first(lesson)
    seen.begin(picture=lesson.names.index("0903"))
    inks = []
    try:
        for theme in ("Dark", "Light"):
            page.evaluate("t => window.jupyterapp.commands.execute('apputils:change-theme',"
                          "{theme: 'JupyterLab ' + t})", theme)
            page.wait_for_timeout(700)
            for width in (1440, 900):
                page.set_viewport_size({"width": width, "height": 1400})
                page.wait_for_timeout(400)
                seen = first(lesson)
                seen.check()
                seen.root.screenshot(path=lesson.folder / f"{theme.lower()}_{width}.png")
                wider = seen.root.evaluate("e => e.scrollWidth > e.clientWidth + 1")
                assert not wider, f"at {width} px"
            inks.append(seen.root.evaluate("e => getComputedStyle(e).color"))
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})
    assert inks[0] != inks[1]

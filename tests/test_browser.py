"""The workbook as a reader meets it: the real command, JupyterLab, and a browser."""

import browser
import pytest

from segutils import workbook

WHY_NOT = browser.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

OPENED = ["00_start_here.ipynb"]  # the notebooks that a reader opens first
STEPS = "steps=300", "steps=100"  # nbval trains to the end; here it matters what the page shows


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    if not (workbook.NOTEBOOKS / OPENED[0]).exists():
        pytest.skip("the start lesson is not built yet")
    course = browser.clone(folder)
    lesson = course / "notebooks" / OPENED[0]
    text = lesson.read_text(encoding="utf-8")
    assert STEPS[0] in text, "how long the lesson trains has changed"
    lesson.write_text(text.replace(*STEPS), encoding="utf-8")
    with browser.jupyterlab(course, folder) as running:
        yield running


@pytest.mark.parametrize("name", OPENED)
def test_all_cells_of_a_copy_run_in_jupyterlab(server, name):
    with browser.window() as page:
        notebook = browser.Notebook(page, server, f"my_workbook/{name}")
        notebook.run_all()
        cells = notebook.cells()
        assert list(browser.errors(cells)) == []
        assert page.locator(".jp-OutputArea-output img").count() > 0, "no figure is shown"
        assert page.outside == [], "the lesson works offline"
        assert [e for e in page.errors if "Error rendering" in e or "widget" in e.lower()] == []

"""Takes docs/workbook.png, README's picture: the start lesson, run in JupyterLab.

uv run python docs/make_picture.py [notebook] [cell]
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402


def main(name="00_start_here.ipynb", cell=None):
    if why_not := browser.missing():
        sys.exit(f"no picture: {why_not}")
    with tempfile.TemporaryDirectory() as folder:
        course = browser.clone(folder)
        with browser.jupyterlab(course, folder) as server, browser.window(1440, 960) as page:
            notebook = browser.Notebook(page, server, f"my_workbook/{name}")
            notebook.run_all()
            figures = [n for n, c in enumerate(notebook.cells()) if shows_figure(c)]
            notebook.cell(int(cell) if cell else figures[-1])
            page.wait_for_timeout(1000)
            page.screenshot(path=ROOT / "docs" / "workbook.png")
    print("written: docs/workbook.png")


def shows_figure(cell):
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


if __name__ == "__main__":
    main(*sys.argv[1:])

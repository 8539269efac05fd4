"""A reader's JupyterLab for tests and pictures: a server in folders of its own, and Chromium.

with browser.jupyterlab(browser.clone(tmp), tmp) as server, browser.window() as page:
    notebook = browser.Notebook(page, server, "my_workbook/00_start_here.ipynb")
    notebook.run_all()
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "readers-token"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server(NamedTuple):
    url: str
    log: Path


def missing():
    """Why no browser test can run here; None when one can."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return None if chromium() else "no chromium or google-chrome on this machine"


def chromium():
    """The browser's path: the system's own, so that the tests fetch nothing."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


def clone(folder):
    """A copy of the course with its package, so that a test leaves the reader's own alone."""
    target = Path(folder) / "course"
    for part in ("segutils", "notebooks"):
        shutil.copytree(
            ROOT / part,
            target / part,
            ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "src"),
        )
    return target


def environment(folder, course):
    """Jupyter's folders lie in `folder`; the package is `course`'s, the data the repository's."""
    folder = Path(folder)
    settings = folder / "settings"
    env = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "SEGUTILS_PREFIX")}
    env.update(
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        JUPYTER_DATA_DIR=str(folder / "data"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        JUPYTERLAB_SETTINGS_DIR=str(settings),
        JUPYTERLAB_WORKSPACES_DIR=str(folder / "workspaces"),
        IPYTHONDIR=str(folder / "ipython"),
        SEGUTILS_DATA=os.environ.get("SEGUTILS_DATA", str(ROOT / "data")),
        PYTHONPATH=str(course),
        NO_ALBUMENTATIONS_UPDATE="1",
    )
    # All cells stay in the page: an off-screen figure could be attached and never drawn.
    tracker = settings / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True, exist_ok=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}))
    return env


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def jupyterlab(course, folder, seconds=120):
    """Runs the command `workbook` in `course`, as a reader does, but without its own browser."""
    port, log = free_port(), Path(folder) / "server.log"
    command = [sys.executable, "-m", "segutils.workbook", "--", "--no-browser"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    command += [f"--IdentityProvider.token={TOKEN}"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=course,
            env=environment(folder, course),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/api?token={TOKEN}", process, log), seconds)
        yield Server(url, log)
    finally:
        process.send_signal(getattr(signal, "SIGTERM", signal.SIGINT))
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url, process, log):
    if process.poll() is not None:
        raise RuntimeError(f"JupyterLab ended at once:\n{log.read_text()[-2000:]}")
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def wait_for(condition, seconds, pause=0.3):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(pause)


@contextmanager
def window(width=1280, height=900, scale=1):
    """A page of Chromium; `page.errors` are the console's, `page.outside` requests that leave."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield watched(browser, width, height, scale)
        finally:
            browser.close()


def watched(browser, width, height, scale=1):
    """One more page of a running Chromium (`page.context.browser`), with `errors` and `outside`."""
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
    page.errors, page.outside = [], []
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda r: leaves(r.url) and page.outside.append(r.url))
    return page


def leaves(url):
    return not url.startswith(
        ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:", "chrome")
    )


class Notebook:
    """A notebook that is open in JupyterLab."""

    WIDGET = "const w = window.jupyterapp?.shell?.currentWidget;"
    IDLE = "w?.context?.isReady && w.sessionContext?.session?.kernel?.status === 'idle'"

    def __init__(self, page, server, path, seconds=90):
        self.page = page
        page.goto(f"{server.url}/lab/tree/{path}?reset&token={TOKEN}")
        name = json.dumps(path)
        page.wait_for_function(
            f"() => {{ {self.WIDGET} return w?.context?.path === {name} && {self.IDLE} }}",
            timeout=seconds * 1000,
        )

    def run_all(self, seconds=900):
        """Runs all cells and waits until the kernel is idle again."""
        self.page.evaluate(
            "() => { window.allRan = false; window.jupyterapp.commands"
            ".execute('notebook:run-all-cells').finally(() => { window.allRan = true; }); }"
        )
        self.page.wait_for_function(
            f"() => {{ {self.WIDGET} return window.allRan && {self.IDLE} }}",
            timeout=seconds * 1000,
        )
        self.page.wait_for_timeout(500)  # the last figure is painted

    def save(self):
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def cells(self):
        """The cells as nbformat has them: cell_type, source, execution_count, outputs."""
        return self.page.evaluate(
            f"() => {{ {self.WIDGET} return w.content.model.toJSON().cells; }}"
        )

    def cell(self, number):
        """The element of a cell, scrolled into view."""
        self.page.evaluate(
            f"async i => {{ {self.WIDGET} await w.content.scrollToItem(i, 'center'); }}", number
        )
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def pictures(self, folder):
        """A PNG of each code cell with its outputs, for looking at; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, cell in enumerate(self.cells()):
            if cell["cell_type"] == "code" and cell.get("outputs"):
                paths.append(folder / f"cell_{number:02}.png")
                self.cell(number).screenshot(path=paths[-1])
        return paths


def errors(cells):
    """The errors that code cells show, and the cells that were not run, a line each."""
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        if cell.get("execution_count") is None and "".join(cell["source"]).strip():
            yield f"cell {number} was not run"
        tags = cell.get("metadata", {}).get("tags", [])
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and "raises-exception" not in tags:
                yield f"cell {number}: {output['ename']}: {output['evalue']}"

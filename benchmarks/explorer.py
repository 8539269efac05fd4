"""How soon an overlay follows its slider: the explorer against matplotlib and a JPEG from Python.

    uv run python benchmarks/explorer.py [--quick] [--sizes 512 1024 4096] [--steps 20]

Each runs in JupyterLab in a headless Chromium. A step is one press of a key that moves the opacity
by 0.1. Its figure runs from the time stamp of the key's event to the first animation frame in
which a pixel in the middle of the picture holds the final value; frames in between do not count.
Bytes are those of Jupyter's WebSocket, both ways, until it has been silent for 0.3 s.

- ours: `Explorer`, two panels (truth and prediction), the browser blends;
- JPEG: an `ipywidgets.Image` that Python fills with a blended JPEG (quality 80) of full size;
- matplotlib: `ipywidgets.interact` and `imshow` of the blended picture, in a figure of as many
  pixels as the picture has, but never more than 1024 (a larger one takes longer still).

The second table moves opacity, divider and view of the explorer in every frame for two seconds: how
many frames a second there were (no more than the screen's 60), and the JavaScript in each.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402

SETUP = """
import cv2, ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from segutils import show, street
from segutils.explorer import Explorer
size, side = {size}, min({size}, 1024)
scene = street.draw(3, side)
image = cv2.resize(scene.image, (size, size))
mask = cv2.resize(scene.mask, (size, size), interpolation=cv2.INTER_NEAREST)
middle = slice(size // 4, size * 3 // 4)      # black under orange: 23 levels of red a step
image[middle, middle], mask[middle, middle] = 0, 1
def slider(name):
    made = ipywidgets.FloatSlider(0.3, min=0, max=1, step=0.1)
    made.add_class(name)
    return made
"""
OURS = """
Explorer([image], [mask], {"net": [np.where(mask == 255, 0, mask)]}, alpha=0.3)
"""
JPEG = """
moved, shown = slider("of-jpeg"), ipywidgets.Image(format="jpeg")
def encode(change=None):
    blended = show.overlay(image, mask, moved.value)[..., ::-1]
    shown.value = cv2.imencode(".jpg", blended, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
encode()
moved.observe(encode, "value")
ipywidgets.VBox([moved, shown])
"""
MATPLOTLIB = """
def draw(alpha):
    axes = plt.figure(figsize=(side / 100, side / 100), dpi=100).add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(show.overlay(image, mask, alpha))
    plt.show()
ipywidgets.interact(draw, alpha=slider("of-matplotlib"));
"""
WAYS = {                # name: cell, what has the keys, key up, key down, what shows the picture
    "ours": (OURS, ".sx-alpha input", "PageUp", "PageDown", "canvas[data-panel=net]"),
    "JPEG": (JPEG, ".of-jpeg .noUi-handle", "ArrowRight", "ArrowLeft", "img.jupyter-widgets"),
    "matplotlib": (MATPLOTLIB, ".of-matplotlib .noUi-handle", "ArrowRight", "ArrowLeft",
                   ".jp-OutputArea-output img"),
}
RED = 230               # of class 1 in the course's palette

# Red in the middle of a canvas or an image; and a promise of the time until it is as expected.
PROBE = """
window.red = (root, picture) => {
    const node = root.querySelector(picture);
    if (!node) return -1;
    if (node.tagName === 'CANVAS')
        return node.getContext('2d').getImageData(node.width / 2, node.height / 2, 1, 1).data[0];
    if (!node.complete || !node.naturalWidth) return -1;
    window.spot ??= new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    spot.drawImage(node, node.naturalWidth / 2, node.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
    return spot.getImageData(0, 0, 1, 1).data[0];
};
window.arm = (root, picture, expected) => { window.took = new Promise((done) => {
    document.addEventListener('keydown', (event) => {
        const look = () => {
            const took = performance.now() - event.timeStamp;
            if (Math.abs(red(root, picture) - expected) <= 6) done(took);
            else if (took > 60000) done(null);
            else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    }, {capture: true, once: true});
}); };
'ready';    // else Playwright would call the function that stands last
"""
DRIVE = """
async ([root, act, seconds]) => {
    const view = root.querySelector('.sx').view, stamps = [], work = [];
    const acts = {
        opacity: (t) => view.put({alpha: (1 + Math.sin(9 * t)) / 2}),
        wipe: (t) => view.put({wipe: (1 + Math.sin(9 * t)) / 2}),
        pan: (t) => view.put({centre: [0.5 + 0.2 * Math.sin(3 * t), 0.5 + 0.2 * Math.cos(3 * t)]}),
    };
    view.put({zoom: act === 'pan' ? 2 : 1, centre: [0.5, 0.5]});
    for (let first = null; ;) {
        const now = await new Promise(requestAnimationFrame);
        first ??= now;
        if (now - first > 1000 * seconds) break;
        stamps.push(now);
        const start = performance.now();
        acts[act]((now - first) / 1000);
        work.push(performance.now() - start);
    }
    return [stamps, work];
}
"""


def notebook(course, size):
    """A notebook of one cell each, whose outputs never scroll."""
    sources = [SETUP.format(size=size), *[way[0] for way in WAYS.values()]]
    cells = [{"cell_type": "code", "id": f"cell{k}", "metadata": {}, "source": source.strip(),
              "execution_count": None, "outputs": []} for k, source in enumerate(sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    name = f"overlay_{size}.ipynb"
    (course / name).write_text(json.dumps(
        {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return name


def count_bytes(page):
    """A list to which the size of every WebSocket message is added."""
    sizes = []
    for event in ("framesent", "framereceived"):
        page.on("websocket", lambda socket, event=event: socket.on(
            event, lambda data: sizes.append(len(data))))
    return sizes


def press(page, cell, way, up, alpha, sizes):
    """One step: milliseconds until the picture is right, and bytes."""
    _, place, more, less, picture = way
    root = cell.element_handle()
    idle = f"() => {{ {browser.Notebook.WIDGET} return {browser.Notebook.IDLE} }}"
    page.wait_for_function(idle)
    page.evaluate("([root, picture, red]) => arm(root, picture, red)",
                  [root, picture, RED * alpha])
    sizes.clear()
    cell.locator(place).first.press(more if up else less)
    took = page.evaluate("() => took")
    if took is None:
        seen = page.evaluate("([root, picture]) => red(root, picture)", [root, picture])
        raise SystemExit(f"{place}: red is {seen}, not {RED * alpha:.0f}, a minute after the key")
    seen = -1
    while seen != len(sizes):
        seen = len(sizes)
        page.wait_for_timeout(300)
    return took, sum(sizes)


def steps_of(page, cell, way, steps, sizes):
    """Up from 0.3 to 0.7 and down again, over and over; the first step only warms up."""
    found, alpha, up = [], 0.3, True
    for _ in range(steps + 1):
        up = alpha < 0.65 if up else alpha < 0.35
        alpha = round(alpha + (0.1 if up else -0.1), 1)
        found.append(press(page, cell, way, up, alpha, sizes))
    return found[1:]


def measure(server, course, size, steps, seconds):
    """{way: [(ms, bytes)]} and {act: (stamps, work)} at one size."""
    with browser.window(1440, 1000) as page:
        sizes = count_bytes(page)
        opened = browser.Notebook(page, server, notebook(course, size))
        opened.run_all()
        page.evaluate(PROBE)
        page.wait_for_selector(".sx figure canvas[width]")
        page.wait_for_timeout(1000)
        found = {}
        for number, (name, way) in enumerate(WAYS.items(), 1):
            found[name] = steps_of(page, opened.cell(number), way, steps, sizes)
        root = opened.cell(1).element_handle()
        driven = {act: page.evaluate(DRIVE, [root, act, seconds])
                  for act in ("opacity", "wipe", "pan")}
        wrong = [e for e in page.errors if "favicon" not in e]
        if wrong:
            raise SystemExit(f"the browser reports an error: {wrong[0]}")
    return found, driven


def step_table(size, found):
    middle = {name: statistics.median(ms for ms, _ in rows) for name, rows in found.items()}
    print(f"\nOne step at {size} x {size}, ms     median   worst   times ours     bytes")
    for name, rows in found.items():
        worst, sent = max(ms for ms, _ in rows), statistics.median(sent for _, sent in rows)
        times = middle[name] / middle["ours"]
        print(f"  {name:<27} {middle[name]:9.1f} {worst:7.1f} {times:12.1f} {sent:9.0f}")


def frame_table(size, driven):
    print(f"\nEach frame at {size} x {size}     frames a second   ms of JavaScript   worst")
    for act, (stamps, work) in driven.items():
        rate = 1000 * (len(stamps) - 1) / max(stamps[-1] - stamps[0], 1)
        print(f"  {act:<24} {rate:16.1f} {statistics.median(work):18.1f} {max(work):7.1f}")
    sys.stdout.flush()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 4096])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="64 px and two steps: does it run?")
    args = parser.parse_args(arguments)
    if why := browser.missing():
        raise SystemExit(f"no browser to measure in: {why}")
    if args.quick:
        args.sizes, args.steps = [64], 2
    with tempfile.TemporaryDirectory() as folder:
        course = browser.clone(folder)
        with browser.jupyterlab(course, folder) as server:
            for size in args.sizes:
                found, driven = measure(server, course, size, args.steps, 0.2 if args.quick else 2)
                step_table(size, found)
                frame_table(size, driven)
    packages = ", ".join(f"{p} {version(p)}" for p in ("jupyterlab", "anywidget", "matplotlib"))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "not known"
    print(f"\n{args.steps} steps each; {packages}; {os.cpu_count()} cores, load at the end {load}")


if __name__ == "__main__":
    main()

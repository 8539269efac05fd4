"""Pictures and made-up predictions for the explorer's tests: the same in a test and a notebook.

`source()` is this file's text for a notebook's first cell; `explorer()` builds the widget.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from segutils import street
from segutils.explorer import Explorer


def blurred(truth, spread, shift, rng):
    """Probabilities (3, H, W) around a shifted truth, with soft borders and soft noise."""
    moved = np.roll(np.where(truth == 255, 0, truth), shift, axis=1)
    planes = [cv2.GaussianBlur((moved == c).astype(np.float32), (0, 0), spread) for c in range(3)]
    noise = cv2.GaussianBlur(rng.normal(0, 3, truth.shape).astype(np.float32), (0, 0), 3)
    likely = np.exp(5 * (np.array(planes) + noise * np.array([-1, 1, 0.7])[:, None, None]))
    return (likely / likely.sum(0)).astype(np.float32)


def objects(instances, rng):
    """Instances as Mask R-CNN gives them: the true ones, a little off, of any score."""
    ids = [i for i in np.unique(instances).tolist() if i]
    masks = np.array([np.roll(instances == i, 2, axis=0) for i in ids])
    return rng.uniform(0.2, 1, len(ids)), np.array([i // 1000 for i in ids]), masks


@cache
def scene(seed, size):
    return street.draw(seed, size)


def explorer(count=4, size=128, **state):
    rng = np.random.default_rng(0)
    scenes = [scene(seed, size) for seed in range(count)]
    truth = [s.mask for s in scenes]
    models = {
        "U-Net": [{"probabilities": blurred(t, 1.2, 2, rng)} for t in truth],
        "DeepLab": [{"probabilities": blurred(t, 4, -3, rng)} for t in truth],
        "FCN": [np.roll(np.where(t == 255, 0, t), 5, axis=0) for t in truth],
        "Mask R-CNN": [{"instances": objects(s.instances, rng)} for s in scenes],
    }
    names = [f"street_{i:03}.jpg" for i in range(count)]
    return Explorer([s.image for s in scenes], truth, models, names=names, **state)


def lazy_explorer():
    """A model that runs when a picture is looked at: it sees a person wherever it is bright."""
    scenes = [scene(seed, 64) for seed in range(3)]
    model = {"bright": lambda image: {"ids": (image.mean(2) > 128).astype(int)}}
    return Explorer([s.image for s in scenes], [s.mask for s in scenes], model)


TAGS = ["<script>{}</script>", "<img src=x onerror={}>", "</script><script>{}</script>",
        '"><svg onload={}>', "'-{}-'", "<!--<script>{}", "--><script>{}</script>",
        "javascript:{}", "${{{}}}", "</style><script>{}</script>", "<iframe srcdoc='<script>{}'>",
        "</title><script>{}</script>", "\u2028{}", "&lt;script&gt;{}", "]]><script>{}</script>",
        "\\u003cscript>{}</script>", "<details open ontoggle={}>", "`{}`"]


def hostile(count=50):
    """Names that run a script wherever one is taken for HTML or code; all different."""
    acts = ["window.hacked=1", "alert(1)", "parent.hacked=1"]
    return [TAGS[k % len(TAGS)].format(acts[k // len(TAGS)]) + f" {k}" for k in range(count)]


def hostile_explorer():
    """50 pictures and 50 classes of hostile names, and three such models."""
    rng = np.random.default_rng(1)
    names = hostile()
    images = list(rng.integers(0, 256, (50, 16, 20, 3), dtype=np.uint8))
    truth = list(rng.integers(0, 50, (50, 16, 20), dtype=np.uint8))
    guesses = np.roll(truth, 1, axis=2)
    models = dict.fromkeys(names[:3], list(guesses))
    return Explorer(images, truth, models, classes=names, names=names)


def source():
    return Path(__file__).read_text(encoding="utf-8").replace("__file__", "''")

"""The overlay explorer: a widget in which a reader looks into what models do.

Pictures are blended in the browser by `explorer.js`, so that a slider answers within a frame; the
functions at the top of this file say in NumPy what is drawn there, pixel for pixel. Lesson 08 uses
it after building an overlay by hand.

    explorer = Explorer(images, truth, {"U-Net": predictions, "FCN": lambda image: ...})
    explorer                                # in a notebook: the widget
    explorer.to_html("explorer.html")       # the same for a browser alone, from disk
"""

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import matplotlib
import numpy as np
from PIL import Image
from traitlets import Bool, Dict, Enum, Float, Int, List, TraitError, Unicode, observe, validate

from segutils import show

VOID = show.IGNORE
BARE = 254  # the code of a pixel that stays unpainted
ON_DEMAND = 1024  # px: probabilities of larger pictures travel only when something shows them
LAYERS = ("classes", "errors", "instances")
SAFE = ("okabe-ito", "tol-bright", "viridis")  # told apart by colour-blind readers


# ---------------------------------------------------------------- pictures from a state


@dataclass(frozen=True)
class State:
    """What is shown and how. `Explorer` has a trait of the same name for each field.

    alpha: 0 image alone, 1 colours alone. fill: regions, or their outlines of `line` pixels.
    overlay: False shows the bare image. layer: one of `LAYERS`. shown: the ids that are painted;
    an error is painted if its true or its predicted class is. confidence: paint a pixel the
    fainter, the less sure the model is. threshold: a pixel whose class has a lower probability
    counts as background; score does so with instances. wipe: the share of a model's panel, from
    the left, that shows the truth instead. zoom: 1 shows the whole picture; centre: (x, y) of the
    part that is seen, each 0..1.
    """

    alpha: float = 0.5
    fill: bool = True
    line: int = 2
    overlay: bool = True
    layer: str = "classes"
    shown: tuple[int, ...] = (1, 2, VOID)
    palette: str = "okabe-ito"
    confidence: bool = False
    threshold: float = 0.0
    score: float = 0.5
    wipe: float = 0.0
    zoom: float = 1.0
    centre: tuple[float, float] = (0.5, 0.5)


class Held(NamedTuple):
    """A prediction as the explorer holds it: everything in whole numbers of 8 or 16 bits.

    ids (H, W) uint8; trust (H, W) uint8, how sure the model is of that id, 255 for 1.0, or None;
    probabilities (C, H, W) uint8 or None; owners (H, W) uint16, 1 + the number of the instance
    that a pixel belongs to, or None; objects: (label, score) of each instance.
    """

    ids: np.ndarray
    trust: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    owners: np.ndarray | None = None
    objects: tuple[tuple[int, float], ...] = ()


class Picture(NamedTuple):
    """One picture with all that is known of it: image (H, W, 3), truth (H, W), name -> `Held`."""

    image: np.ndarray
    truth: np.ndarray
    models: dict[str, Held]


def level(share: float | np.ndarray) -> np.ndarray:
    """Shares 0..1 in 8 bits, rounded half up: 0.5 -> 128. NaN and values outside are refused."""
    share = np.asarray(share, dtype=np.float32)
    if share.size and not (share.min() >= 0 and share.max() <= 1.0001):
        raise ValueError(f"holds values {share.min():.4g}..{share.max():.4g} where 0..1 is meant; "
                         "give probabilities (softmax of the logits), not logits")
    return np.floor(share.clip(0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def axis(size: int, shown: int, zoom: float = 1.0, centre: float = 0.5) -> np.ndarray:
    """Which of `size` picture pixels each of `shown` screen pixels shows, along one axis."""
    span = size / zoom
    start = min(max(centre * size - span / 2, 0), size - span)
    at = np.floor(start + (np.arange(shown) + 0.5) * span / shown).astype(int)
    return np.minimum(at, size - 1)


def halve(image: np.ndarray) -> np.ndarray:
    """The picture at half its size, each pixel the mean of four: (H, W, 3) uint8."""
    image = np.pad(image, [(0, len(image) % 2), (0, image.shape[1] % 2), (0, 0)], mode="edge")
    four = [image[y::2, x::2].astype(np.uint16) for y in (0, 1) for x in (0, 1)]
    return ((sum(four) + 2) >> 2).astype(np.uint8)


def sample_image(image: np.ndarray, rows: np.ndarray, columns: np.ndarray,
                 step: float) -> np.ndarray:
    """The picture at some rows and columns; shrunk pictures are averaged first, ids never are.

    step: picture pixels a screen pixel. From 2 on the picture is halved, from 4 on twice, ...
    """
    halvings = 0
    while step >= 2:
        image, step, halvings = halve(image), step / 2, halvings + 1
    return image[np.ix_(rows >> halvings, columns >> halvings)]


def decide(held: Held, state: State) -> np.ndarray:
    """The ids after the cut: what is less sure than the threshold (or score) is background."""
    cut = level(state.threshold if held.owners is None else state.score)
    return held.ids if held.trust is None else np.where(held.trust < cut, 0, held.ids)


def outline(codes: np.ndarray, line: int = 2) -> np.ndarray:
    """Keep the codes within `line` pixels (straight) of another code; the others become BARE."""
    edge = np.zeros(codes.shape, dtype=bool)
    for far in range(1, line + 1):
        across, down = codes[:, far:] != codes[:, :-far], codes[far:] != codes[:-far]
        edge[:, far:] |= across
        edge[:, :-far] |= across
        edge[far:] |= down
        edge[:-far] |= down
    return np.where(edge, codes, BARE).astype(np.uint8)


def codes_of(held: Held, truth: np.ndarray, state: State) -> np.ndarray:
    """What a model's panel paints at each pixel: a class id, a kind of error, or an instance."""
    ids = decide(held, state)
    hidden = ~np.isin(np.arange(256), state.shown)
    if state.layer == "errors":
        kinds = show.error_ids(ids, truth)
        unseen = np.where(truth == VOID, hidden[VOID], hidden[truth] & hidden[ids])
        return np.where(unseen, BARE, kinds).astype(np.uint8)
    if state.layer == "instances" and held.owners is not None:
        codes = 1 + (held.owners.astype(int) - 1) % 253
        unseen = hidden[ids] | (held.owners == 0) | (ids == 0)
        return np.where(unseen, BARE, codes).astype(np.uint8)
    return ids


def colours_of(state: State, classes: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour (256, 3) uint8 and weight (256,) of each code; 65536 is opaque. kind: of `LAYERS`."""
    table = show.ERROR_PALETTE if kind == "errors" else palette_of(state.palette, classes)
    painted = np.ones(256, bool) if kind != "classes" else np.isin(np.arange(256), state.shown)
    painted[BARE] = False
    return table, painted * int(np.floor(state.alpha * 65536 + 0.5))


def blend(image: np.ndarray, codes: np.ndarray, colours: np.ndarray, weights: np.ndarray,
          trust: np.ndarray | None = None) -> np.ndarray:
    """Mix colours into an image, in whole numbers as the browser does.

    image (H, W, 3) uint8; codes (H, W) uint8; colours (256, 3) uint8; weights (256,) int, 65536 is
    opaque; trust (H, W) uint8 thins each pixel's weight. Within one level of the exact mean.
    """
    weight = weights[codes].astype(np.int64)
    if trust is not None:
        weight = weight * trust // 255
    weight = weight[..., None]
    mixed = (image.astype(np.int64) * (65536 - weight) + colours[codes] * weight + 32768) >> 16
    return mixed.astype(np.uint8)


def panel(picture: Picture, name: str, state: State | None = None, classes: int = 3,
          size: tuple[int, int] | None = None) -> np.ndarray:
    """Draw one panel: "image", "truth", or a model's name.

    Args:
        picture: the image, its truth and its predictions.
        classes: how many classes there are (the palette "viridis" spreads over them).
        size: (height, width) of the screen; without it, as many pixels as the picture has there.

    Returns:
        (h, w, 3) uint8 RGB, what the browser shows on a canvas of that size.
    """
    state = state or State()
    height, width = picture.truth.shape
    h, w = size or (int(np.floor(n / state.zoom + 0.5)) for n in (height, width))
    x, y = state.centre
    rows, columns = axis(height, h, state.zoom, y), axis(width, w, state.zoom, x)
    image = sample_image(picture.image, rows, columns, width / state.zoom / w)
    if name == "image" or not state.overlay:
        return image
    at = np.ix_(rows, columns)
    truth = picture.truth[at]
    held, kind = Held(truth), "classes"
    if name != "truth":
        held = picture.models[name]
        held = held._replace(**{k: v[at] for k in ("ids", "trust", "owners")
                                if (v := getattr(held, k)) is not None})
        kind = "classes" if state.layer == "instances" and held.owners is None else state.layer
    thin = held.trust if state.confidence else None
    codes = truth if name == "truth" else codes_of(held, truth, state)
    codes = codes if state.fill else outline(codes, state.line)
    drawn = blend(image, codes, *colours_of(state, classes, kind), thin)
    wiped = int(np.floor(state.wipe * w + 0.5)) if name != "truth" else 0
    if wiped:
        codes = truth if state.fill else outline(truth, state.line)
        drawn[:, :wiped] = blend(image, codes, *colours_of(state, classes, "classes"))[:, :wiped]
    return drawn


# ---------------------------------------------------------------- palettes


def _voc(count: int = 256) -> np.ndarray:
    """PASCAL VOC's colours: the bits of the id, dealt out to red, green and blue from the top."""
    ids = np.arange(count)
    bits = [[(ids >> (3 * k + c) & 1) << (7 - k) for k in range(3)] for c in range(3)]
    return np.sum(bits, axis=1).T


# Tol, "Colour Schemes", SRON technical note EPS/TN/09-002, issue 3.2 (2021): "bright", in an order
# in which the first ones are far apart for colour-blind readers too.
_TOL = ("CCBB44", "4477AA", "EE6677", "228833", "66CCEE", "AA3377")


@lru_cache
def palette_of(name: str, classes: int = 3) -> np.ndarray:
    """The colours of a palette: (256, 3) uint8, background black, void light grey.

    "okabe-ito" is the course's own, `segutils.masks.PALETTE`; "tol-bright" and "viridis" can be
    told apart by colour-blind readers too; "voc" is what many papers use, and cannot. Ids beyond
    the named colours take the course's.
    """
    table = show.PALETTE.copy()
    if name == "tol-bright":
        table[1:7] = [tuple(bytes.fromhex(colour)) for colour in _TOL]
    elif name == "viridis":
        spread = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.95, max(classes - 1, 2)))
        table[1:classes] = np.rint(spread[:classes - 1, :3] * 255)
    elif name == "voc":
        table[:VOID] = _voc()[:VOID]
    elif name != "okabe-ito":
        raise ValueError(f"there is no palette {name!r}; there are {', '.join(PALETTES)}")
    table.setflags(write=False)
    return table


PALETTES = (*SAFE, "voc")
_TITLES = {"okabe-ito": "Okabe and Ito", "tol-bright": "Tol, bright", "viridis": "Viridis",
           "voc": "Pascal VOC"}


# ---------------------------------------------------------------- scores at any threshold


def tally(held: Held, truth: np.ndarray, classes: int) -> np.ndarray:
    """Count a picture once, so that its IoU is known at every threshold without its pixels.

    Returns (C * 513 + 256,) int64: of each predicted class, by level of trust, the pixels that
    are right (C * 256) and all (C * 256); the true background that is taken for an object, by
    level (256); the true pixels of each class (C). Void counts nowhere. Tallies can be added.
    """
    counted = truth != VOID
    truth, ids = truth[counted].astype(int), held.ids[counted].astype(int)
    trust = 255 if held.trust is None else held.trust[counted].astype(int)
    cell = ids * 256 + trust
    fooled = (truth == 0) & (ids != 0)
    parts = (cell[ids == truth], classes * 256), (cell, classes * 256), \
        (cell[fooled] % 256, 256), (truth, classes)
    return np.concatenate([np.bincount(x, minlength=n) for x, n in parts])


def iou_at(counts: np.ndarray, classes: int, cut: float = 0.0) -> np.ndarray:
    """IoU of each class when what is less sure than `cut` is background: (C,), NaN where absent.

    counts: a `tally`, or a sum of some.
    """
    right, called, fooled, true = np.split(counts, [classes * 256, classes * 512,
                                                    classes * 512 + 256])
    keep = np.arange(256) >= level(cut)
    right, called = right.reshape(classes, 256), called.reshape(classes, 256)
    hits, found = (right * keep).sum(1), (called * keep).sum(1)
    hits[0] = right[0].sum() + fooled[~keep].sum()
    found[0] = called[0].sum() + called[1:, ~keep].sum()
    with np.errstate(invalid="ignore"):
        return hits / (found + true - hits)


def worst_first(scores: Sequence[float]) -> list[int]:
    """Numbers of the pictures from the lowest score up; those without a score are left out."""
    scores = np.asarray(scores, dtype=float)
    return [int(i) for i in np.argsort(scores, kind="stable") if not np.isnan(scores[i])]


# ---------------------------------------------------------------- predictions


def _array(value: Any) -> np.ndarray:
    """A NumPy array of an array or a tensor."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(value)


def _part(prediction: Any, name: str, default: Any = None) -> Any:
    """A field of a prediction that is an object or a dictionary."""
    if isinstance(prediction, Mapping):
        return prediction.get(name, default)
    return getattr(prediction, name, default)


def hold(prediction: Any, shape: tuple[int, int], classes: int, where: str) -> Held:
    """Check a prediction and bring it into whole numbers.

    Args:
        prediction: an object or a dictionary with `ids` (H, W) integers, and, where there are
            any, `probabilities` (C, H, W) 0..1 and `instances` (below); or the ids alone.
            Without ids they are the arg max of the probabilities. `instances` is an object,
            dictionary or tuple of `scores` (N,) 0..1, `labels` (N,) and `masks` (N, H, W), bool or
            0..1 to be cut at 0.5; the ids are then those of the best-scored instance at each
            pixel, and background where there is none.
        shape: (H, W) of the image.
        classes: C.
        where: names model and picture in an error.

    Raises:
        ValueError: in one line, for sizes, ids and values that do not fit.
    """
    if isinstance(prediction, np.ndarray) or hasattr(prediction, "detach"):
        prediction = {"ids": prediction}
    ids, probabilities, instances = (_part(prediction, name) for name in
                                     ("ids", "probabilities", "instances"))
    if ids is None and probabilities is None and instances is None:
        raise ValueError(f"{where}: has neither ids, probabilities nor instances; "
                         "give an object or a dictionary with one of them")
    if probabilities is not None:
        probabilities = _planes(_array(probabilities), shape, classes, where)
    if instances is not None:
        return _from_instances(instances, probabilities, shape, classes, where)
    ids = probabilities.argmax(0) if ids is None else _array(ids)
    ids = _ids(ids, shape, classes, where)
    if probabilities is None:
        return Held(ids)
    trust = np.take_along_axis(probabilities, ids[None].astype(np.int64), axis=0)[0]
    return Held(ids, trust, probabilities)


def _ids(ids: np.ndarray, shape: tuple[int, int], classes: int, where: str) -> np.ndarray:
    if ids.shape != tuple(shape):
        raise ValueError(f"{where}: the ids are {ids.shape} and the image {tuple(shape)}; "
                         "resize the logits to the image before the arg max")
    if ids.dtype.kind not in "bui" or ids.size and not 0 <= ids.min() <= ids.max() < classes:
        raise ValueError(f"{where}: the ids are {ids.dtype} {ids.min()}..{ids.max()}; give whole "
                         f"numbers 0..{classes - 1}, or name more classes")
    return ids.astype(np.uint8)


def _planes(planes: np.ndarray, shape: tuple[int, int], classes: int, where: str) -> np.ndarray:
    if planes.shape != (classes, *shape):
        raise ValueError(f"{where}: the probabilities are {planes.shape}; give one plane a class, "
                         f"({classes}, {shape[0]}, {shape[1]})")
    if planes.dtype == np.uint8:
        return planes
    try:
        return level(planes)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _from_instances(instances: Any, probabilities: np.ndarray | None, shape: tuple[int, int],
                    classes: int, where: str) -> Held:
    """The best-scored instance owns a pixel: so a cut of the score only ever takes pixels away."""
    parts = instances if isinstance(instances, tuple) and not hasattr(instances, "scores") else \
        [_part(instances, name) for name in ("scores", "labels", "masks")]
    scores, labels, masks = map(_array, parts)
    if not len(scores):
        labels, masks = np.zeros(0, int), np.zeros((0, *shape), bool)
    masks = masks.reshape(len(masks), *masks.shape[-2:])    # torchvision: (N, 1, H, W)
    if masks.shape != (len(scores), *shape) or labels.shape != scores.shape:
        raise ValueError(f"{where}: {scores.shape} scores, {labels.shape} labels and masks "
                         f"{masks.shape} do not fit; give N, N and (N, {shape[0]}, {shape[1]})")
    if len(labels) and not 0 < labels.min() <= labels.max() < classes or len(labels) > 65534:
        raise ValueError(f"{where}: the labels of {len(labels)} instances are {labels.min()}.."
                         f"{labels.max()}; give classes 1..{classes - 1}")
    masks = masks >= 0.5 if masks.dtype.kind == "f" else masks.astype(bool)
    owners = np.zeros(shape, np.uint16)
    for k in np.argsort(scores, kind="stable"):
        owners[masks[k]] = k + 1
    ids = np.concatenate([[0], labels]).astype(np.uint8)[owners]
    trust = np.concatenate([[255], level(scores)]).astype(np.uint8)[owners]
    objects = tuple((int(c), float(s)) for c, s in zip(labels, scores, strict=True))
    return Held(ids, trust, probabilities, owners, objects)


def read_pixel(picture: Picture, x: int, y: int, classes: Sequence[str], state: State) -> dict:
    """All that is known of one pixel, in plain words and numbers.

    Returns x, y, truth (a class name or "void") and for each model its class after the cut, and,
    where there are any, the probabilities by class and the instance (number, class and score).
    """
    named = [*classes] + ["void"] * (256 - len(classes))
    models = {}
    for name, held in picture.models.items():
        found = {"class": named[decide(held, state)[y, x]]}
        if held.probabilities is not None:
            each = held.probabilities[:, y, x] / 255
            found["probabilities"] = {c: round(float(p), 3) for c, p in
                                      zip(classes, each, strict=True)}
        if held.owners is not None and (k := int(held.owners[y, x])):
            label, score = held.objects[k - 1]
            found["instance"] = {"number": k - 1, "class": named[label], "score": score}
        models[name] = found
    return {"x": x, "y": y, "truth": named[picture.truth[y, x]], "models": models}


# ---------------------------------------------------------------- the widget


def _png(image: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)   # 6 takes five times as long
    return out.getvalue()


def _thumbnail(image: np.ndarray) -> bytes:
    small, out = Image.fromarray(image), BytesIO()
    small.thumbnail((144, 96))
    small.save(out, "JPEG", quality=80)
    return out.getvalue()


class Explorer(anywidget.AnyWidget):
    """Look into what models do: overlays, errors, instances, scores, and every pixel.

    Args:
        images: N pictures (H, W, 3) uint8 RGB, each of its own size if need be.
        truth: N masks (H, W) of ids, 255 void; None where nobody knows.
        predictions: {model's name: N predictions}, or a callable that is handed an image and
            returns a prediction, which then runs when a picture is first shown. What a prediction
            may be: see `hold`.
        classes: the names of the classes, 0 the background.
        names: N names of the pictures, such as file names.
        state: any trait, such as `alpha=0.7` or `picture=3`.

    Traits are those of `State`, and `picture` (its number), `panels` (names of those shown, in
    order), `worst` (a class id: pictures come by that class's IoU, the lowest first; -1: as
    given), `judge` (the model whose IoU it is), `picked_at` ([picture, x, y]) and `picked`
    (`read_pixel` of it). All but the last can be linked by `ipywidgets.jslink`.

    Raises:
        ValueError: in one line, for numbers, shapes, ids or names that do not fit.
    """

    _esm = Path(__file__).with_suffix(".js")

    picture = Int(0, min=0).tag(sync=True)
    panels = List(Unicode()).tag(sync=True)
    alpha = Float(State.alpha, min=0, max=1).tag(sync=True)
    fill = Bool(State.fill).tag(sync=True)
    line = Int(State.line, min=1, max=8).tag(sync=True)
    overlay = Bool(State.overlay).tag(sync=True)
    layer = Enum(LAYERS, State.layer).tag(sync=True)
    shown = List(Int()).tag(sync=True)
    palette = Enum(PALETTES, State.palette).tag(sync=True)
    confidence = Bool(State.confidence).tag(sync=True)
    threshold = Float(State.threshold, min=0, max=1).tag(sync=True)
    score = Float(State.score, min=0, max=1).tag(sync=True)
    wipe = Float(State.wipe, min=0, max=1).tag(sync=True)
    zoom = Float(State.zoom, min=1, max=1024).tag(sync=True)
    centre = List(Float(), [0.5, 0.5], minlen=2, maxlen=2).tag(sync=True)
    worst = Int(-1).tag(sync=True)
    judge = Unicode().tag(sync=True)
    picked_at = List(Int()).tag(sync=True)
    picked = Dict()

    _about = Dict().tag(sync=True)      # names, sizes, colours: set once
    _want = Dict().tag(sync=True)       # what the browser asks for: {"n": 7, "keys": [...]}
    _parcel = Dict().tag(sync=True)     # what it gets: {"3/ids/0": bytes, ...}

    def __init__(self, images: Sequence[np.ndarray], truth: Sequence[np.ndarray] | None = None,
                 predictions: Mapping[str, Sequence | Callable] | None = None, *,
                 classes: Sequence[str] = show.CLASSES, names: Sequence[str] | None = None,
                 **state: Any):
        self.class_names = tuple(map(str, classes))
        self.images, self.truth = list(images), None if truth is None else list(truth)
        self.predictions = {str(name): p for name, p in (predictions or {}).items()}
        self.names = [f"picture {i + 1}" for i in range(len(self.images))] if names is None \
            else [str(name) for name in names]
        self._check()
        pixels = max(image.shape[0] * image.shape[1] for image in self.images)
        pictures = max(2, 2**25 // pixels)      # as many as fit into about 256 MB
        self._held = lru_cache(pictures * max(1, len(self.predictions)))(self._hold)
        self._tallies: dict[int, list[np.ndarray]] = {}
        models = list(self.predictions)
        state = {"panels": [*([] if models else ["image"]), *(["truth"] if truth else []), *models],
                 "shown": [*range(1, len(self.class_names)), VOID],
                 "judge": models[0] if models else ""} | state
        super().__init__(**state)
        if all(not callable(p) for p in self.predictions.values()):
            for i in range(len(self.images)):
                self._tally(i)
        self._about = self._describe()
        self._parcel = self._pack([*self._keys(self.picture), *self._known()])

    def _check(self) -> None:
        """Refuse what does not fit, before anything is drawn."""
        count = len(self.images)
        if not count:
            raise ValueError("there are no images; give at least one")
        if not 1 <= len(self.class_names) <= 254:
            raise ValueError(f"{len(self.class_names)} classes; give 1 to 254 names")
        numbers = {"truth": self.truth, "names": self.names} | self.predictions
        for name, things in numbers.items():
            if things is not None and not callable(things) and len(things) != count:
                raise ValueError(f"{name}: {len(things)} for {count} images; give one for each")
        if taken := {"image", "truth"} & {*self.predictions}:
            raise ValueError(f"a model may not be called {taken.pop()!r}; that is another panel")
        for i, image in enumerate(self.images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(f"{self.names[i]}: the image is {image.dtype} {image.shape}; give "
                                 "(H, W, 3) uint8 RGB")
            self._truth(i)

    def _truth(self, i: int) -> np.ndarray:
        shape = self.images[i].shape[:2]
        if self.truth is None:
            return np.full(shape, VOID, np.uint8)
        truth = _array(self.truth[i])
        if truth.shape != shape:
            raise ValueError(f"{self.names[i]}: the truth is {truth.shape} and the image {shape}; "
                             "find the mask that belongs to it")
        void = truth == VOID
        return np.where(void, VOID, _ids(np.where(void, 0, truth), shape, len(self.class_names),
                                         f"{self.names[i]}, truth")).astype(np.uint8)

    @validate("picture")
    def _a_picture(self, proposal: dict) -> int:
        if proposal["value"] >= len(self.images):
            raise TraitError(f"there is no picture {proposal['value']}; "
                             f"there are 0..{len(self.images) - 1}")
        return proposal["value"]

    @validate("panels")
    def _some_panels(self, proposal: dict) -> list[str]:
        if unknown := {*proposal["value"]} - {"image", "truth", *self.predictions}:
            raise TraitError(f"there is no panel {unknown.pop()!r}; there are image, truth and "
                             f"{', '.join(self.predictions)}")
        return proposal["value"]

    def _hold(self, i: int, name: str) -> Held:
        source = self.predictions[name]
        prediction = source(self.images[i]) if callable(source) else source[i]
        where = f"{name}, {self.names[i]}"
        return hold(prediction, self.images[i].shape[:2], len(self.class_names), where)

    def _tally(self, i: int) -> list[np.ndarray]:
        """A tally for each model; counted once."""
        if i not in self._tallies:
            truth, count = self._truth(i), len(self.class_names)
            self._tallies[i] = [tally(self._held(i, name), truth, count)
                                for name in self.predictions]
        return self._tallies[i]

    # ------------------------------------------------------------ for the reader

    @property
    def state(self) -> State:
        """The traits that say what is drawn, as the pure functions take them."""
        values = {f.name: getattr(self, f.name) for f in fields(State)}
        return State(**values | {"shown": tuple(self.shown), "centre": tuple(self.centre)})

    def look(self, i: int | None = None) -> Picture:
        """A picture with its truth and predictions (models run now, if they have not yet)."""
        i = self.picture if i is None else i
        return Picture(self.images[i], self._truth(i), {m: self._held(i, m)
                                                        for m in self.predictions})

    def draw(self, i: int | None = None, size: tuple[int, int] | None = None,
             **changes: Any) -> dict[str, np.ndarray]:
        """The panels as they are shown, at full resolution: {name: (h, w, 3) uint8}.

        i: another picture; size: (height, width) of each panel; changes: of the `State`, such as
        `layer="errors"`.
        """
        state = State(**vars(self.state) | changes)
        picture = self.look(i)
        return {name: panel(picture, name, state, len(self.class_names), size)
                for name in self.panels}

    def score_all(self) -> None:
        """Run every model on every picture, so that scores of the set and "worst first" are known.

        Done by itself where predictions were given; a button of the widget does it too.
        """
        self._score_all()
        self._parcel = self._pack(self._known())

    def _score_all(self) -> None:
        for i in range(len(self.images)):
            self._tally(i)

    def iou(self, i: int | None = None) -> dict[str, np.ndarray]:
        """IoU by class, (C,) with NaN where absent, of picture `i` or (None) of the whole set, for
        each model after its cut."""
        chosen = range(len(self.images)) if i is None else [i]
        sums = np.sum([self._tally(k) for k in chosen], axis=0)
        return {m: iou_at(counts, len(self.class_names), self._cut(m))
                for m, counts in zip(self.predictions, sums, strict=True)}

    def order(self) -> list[int]:
        """Numbers of the pictures in the order of the strip; after `worst`, if it is a class."""
        if self.worst < 0:
            return list(range(len(self.images)))
        return worst_first([self.iou(i)[self.judge][self.worst] for i in range(len(self.images))])

    def _cut(self, name: str) -> float:
        return self.score if self._held(self.picture, name).owners is not None else self.threshold

    @observe("picked_at", "threshold", "score")
    def _pick(self, change: dict) -> None:
        if len(self.picked_at) != 3:
            self.picked = {}
            return
        i, x, y = self.picked_at
        height, width = self.images[i].shape[:2]
        if 0 <= x < width and 0 <= y < height:
            known = read_pixel(self.look(i), x, y, self.class_names, self.state)
            self.picked = {"picture": i, "name": self.names[i], **known}

    # ------------------------------------------------------------ for the browser

    def _describe(self) -> dict:
        """What the browser must know at once: plain numbers and names."""
        held = [self._held(self.picture, name) for name in self.predictions]
        count = len(self.class_names)
        return {
            "classes": list(self.class_names), "names": self.names, "onDemand": ON_DEMAND,
            "sizes": [[*image.shape[:2]] for image in self.images],
            "models": [{"name": name, "trust": h.trust is not None and h.owners is None,
                        "probabilities": h.probabilities is not None,
                        "instances": h.owners is not None, "line": show.LINES[k % len(show.LINES)]}
                       for k, (name, h) in enumerate(zip(self.predictions, held, strict=True))],
            "hasTruth": self.truth is not None,
            "palettes": [{"name": name, "title": _TITLES[name], "safe": name in SAFE,
                          "colours": palette_of(name, count).tobytes().hex()} for name in PALETTES],
            "errors": {"names": list(show.ERRORS), "colours": show.ERROR_PALETTE.tobytes().hex()},
        }

    def _keys(self, i: int, everything: bool = False) -> list[str]:
        """The parts of a picture: those that show it at once, or all."""
        keys = [f"{i}/image", f"{i}/truth", f"{i}/tally"]
        later = everything or max(self.images[i].shape[:2]) <= ON_DEMAND
        for m, name in enumerate(self.predictions):
            held = self._held(i, name)
            if held.owners is not None:
                keys += [f"{i}/owners/{m}", f"{i}/objects/{m}"]
            else:
                keys += [f"{i}/ids/{m}"] + [f"{i}/trust/{m}"] * (later and held.trust is not None)
            keys += [f"{i}/probabilities/{m}"] * (later and held.probabilities is not None)
        return keys

    def _known(self) -> list[str]:
        """Thumbnails, and all tallies so far."""
        return [f"{i}/thumbnail" for i in range(len(self.images))] + \
            [f"{i}/tally" for i in self._tallies]

    def _pack(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: self._part(key) for key in keys}

    def _part(self, key: str) -> bytes:
        """One part of a picture, compressed: images as PNG, numbers deflated."""
        i, kind, *model = key.split("/")
        i = int(i)
        if kind == "image":
            return _png(self.images[i])
        if kind == "thumbnail":
            return _thumbnail(self.images[i])
        if kind == "truth":
            value = self._truth(i)
        elif kind == "tally":
            value = np.array(self._tally(i), "<u4")
        else:
            value = getattr(self._held(i, list(self.predictions)[int(model[0])]), kind)
        if kind == "objects":
            return zlib.compress(json.dumps(value).encode())
        value = value.astype(value.dtype.newbyteorder("<"), copy=False)
        return zlib.compress(np.ascontiguousarray(value), 1)    # 1: large pictures must not wait

    @observe("_want")
    def _answer(self, change: dict) -> None:
        """Send what the browser asks for; an error of a model is shown to the reader there."""
        try:
            keys = [key for key in change["new"]["keys"] if key != "scores"]
            if keys != change["new"]["keys"]:
                self._score_all()
                keys += self._known()
            self._parcel = self._pack(keys)     # once: ipywidgets sends the last value alone
        except Exception as error:
            self._parcel = {"error": f"{type(error).__name__}: {error}"}
            raise

    def __repr__(self) -> str:
        models = ", ".join(self.predictions) or "no models"
        return f"Explorer({len(self.images)} pictures; {models})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        """The widget, and a picture of its state for pages where widgets do not run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle:
            height, width = self.images[self.picture].shape[:2]
            shrink = max(1, max(height, width) / 256)
            size = round(height / shrink), round(width / shrink)
            sheet = show.contact_sheet(list(self.draw(size=size).values()) or
                                       [np.full((*size, 3), 255, np.uint8)])
            bundle[0]["image/png"] = base64.b64encode(_png(sheet)).decode()
        return bundle

    def to_html(self, path: str | Path, title: str = "Overlay explorer") -> Path:
        """Write one page that does the same from disk: no kernel, no network. Returns its path.

        It holds all pictures and predictions, and runs every model that has not run yet.
        """
        self.score_all()
        keys = [key for i in range(len(self.images)) for key in self._keys(i, everything=True)]
        parts = {key: base64.b64encode(self._part(key)).decode()
                 for key in dict.fromkeys([*keys, *self._known()])}
        synced = {name: getattr(self, name) for name in self.trait_names(sync=True)
                  if name in State.__dataclass_fields__ or name in _PAGE}
        path = Path(path)
        path.write_text(page(synced | {"_parcel": parts}, title), encoding="utf-8")
        return path


_PAGE = ("picture", "panels", "worst", "judge", "picked_at", "_about")


def page(state: dict, title: str) -> str:
    """The exported page: explorer.js as it is, and the state as JSON that no name can break out of.

    Its policy lets no other script run and no address be asked for.
    """
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8") + "\nopenPage();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = json.dumps(state).replace("<", "\\u003c")    # no "</script" and no "<!--" in it
    policy = (f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
              "img-src blob: data:")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
</head>
<body>
<noscript>This page draws its pictures with JavaScript, which is switched off here.</noscript>
<script type="application/json" id="explorer-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""

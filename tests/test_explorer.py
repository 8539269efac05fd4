"""What the explorer draws and counts, against loops over pixels, `show` and `metrics`."""

import base64
import hashlib
import html
import io
import json
import re
import zlib
from pathlib import Path
from types import SimpleNamespace

import explored
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from traitlets import TraitError

from segutils import explorer as ex
from segutils import metrics, show

CLASSES = ("background", "person", "car")


def held_of(rng, shape, kind):
    """A random prediction: bare ids, with probabilities, or instances."""
    ids = rng.integers(0, 3, shape, dtype=np.uint8)
    if kind == "ids":
        return ex.Held(ids)
    if kind == "probabilities":
        planes = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
        trust = np.take_along_axis(planes, ids[None].astype(int), 0)[0]
        return ex.Held(ids, trust, planes)
    masks = rng.random((4, *shape)) < 0.3
    return ex.hold({"instances": (rng.random(4), np.array([1, 2, 1, 2]), masks)}, shape, 3, "x")


def picture_of(seed, shape=(7, 9), kind="probabilities"):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    truth = rng.choice([0, 1, 2, 255], shape).astype(np.uint8)
    return ex.Picture(image, truth, {"net": held_of(rng, shape, kind)})


# ---------------------------------------------------------------- drawing


STATES = st.builds(
    ex.State,
    alpha=st.floats(0, 1),
    fill=st.booleans(),
    line=st.integers(1, 3),
    overlay=st.sampled_from([True, True, True, False]),
    layer=st.sampled_from(ex.LAYERS),
    shown=st.sets(st.sampled_from([0, 1, 2, 255])).map(tuple),
    palette=st.sampled_from(ex.PALETTES),
    confidence=st.booleans(),
    threshold=st.sampled_from([0, 0.2, 0.5, 0.8, 1]),
    score=st.sampled_from([0, 0.2, 0.5, 0.8, 1]),
    wipe=st.sampled_from([0, 0, 0.3, 0.75, 1]),
    zoom=st.sampled_from([1, 1.5, 2, 3.7]),
    centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)


def pixel_of(i, shown, size, zoom, centre):
    """Which picture pixel lies under the middle of screen pixel i."""
    span = size / zoom
    start = centre * size - span / 2
    start = 0 if start < 0 else size - span if start > size - span else start
    return min(int(start + (i + 0.5) * span / shown), size - 1)


def code_of(picture, name, state, y, x):
    """(table, code) of a picture pixel; None where nothing is painted."""
    truth = int(picture.truth[y, x])
    if name == "truth":
        return ("classes", truth) if truth in state.shown else None
    held = picture.models[name]
    instances = held.owners is not None
    id = int(held.ids[y, x])
    cut = int((state.score if instances else state.threshold) * 255 + 0.5)
    if held.trust is not None and held.trust[y, x] < cut:
        id = 0
    if state.layer == "errors":
        if truth == 255:
            return ("errors", 255) if 255 in state.shown else None
        kind = (1 if id else 0) if id == truth else 2 if not id else 3 if not truth else 4
        return ("errors", kind) if truth in state.shown or id in state.shown else None
    if state.layer == "instances" and instances:
        return ("instances", int(held.owners[y, x])) if id and id in state.shown else None
    return ("classes", id) if id in state.shown else None


def raw_code(picture, name, state, y, x):
    """What an outline goes around: hidden classes of a layer of classes have edges too."""
    if name == "truth":
        return int(picture.truth[y, x])
    if state.layer == "errors" or \
            state.layer == "instances" and picture.models[name].owners is not None:
        return code_of(picture, name, state, y, x)
    everything = ex.State(**vars(state) | {"shown": (0, 1, 2, 255)})
    return code_of(picture, name, everything, y, x)


def loop_panel(picture, name, state, h, w):
    """The panel by a loop over its pixels, in floats."""
    height, width = picture.truth.shape
    ys = [pixel_of(i, h, height, state.zoom, state.centre[1]) for i in range(h)]
    xs = [pixel_of(i, w, width, state.zoom, state.centre[0]) for i in range(w)]
    out = np.zeros((h, w, 3))
    for y, x in np.ndindex(h, w):
        at = ys[y], xs[x]
        out[y, x] = picture.image[at]
        if name == "image" or not state.overlay:
            continue
        whose = "truth" if name == "truth" or x < int(state.wipe * w + 0.5) else name
        found = code_of(picture, whose, state, *at)
        if found is None:
            continue
        if not state.fill:
            own = raw_code(picture, whose, state, *at)
            near = [(y + dy * n, x + dx * n) for n in range(1, state.line + 1)
                    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))]
            inside = [(v, u) for v, u in near if 0 <= v < h and 0 <= u < w]
            if all(raw_code(picture, whose, state, ys[v], xs[u]) == own for v, u in inside):
                continue
        table, code = found
        colours = show.ERROR_PALETTE if table == "errors" else ex.palette_of(state.palette)
        alpha = state.alpha
        if whose != "truth" and state.confidence and picture.models[whose].trust is not None:
            alpha *= picture.models[whose].trust[at] / 255
        out[y, x] = (1 - alpha) * out[y, x] + alpha * colours[code]
    return out


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["ids", "probabilities", "instances"]),
       name=st.sampled_from(["image", "truth", "net", "net", "net"]), state=STATES,
       grown=st.sampled_from([(1, 1), (2, 2), (1.4, 3)]))
def test_a_panel_is_within_one_level_of_a_loop_over_its_pixels(seed, kind, name, state, grown):
    picture = picture_of(seed, (5, 6), kind)
    h, w = (int(n / state.zoom * g + 1) for n, g in zip((5, 6), grown, strict=True))
    drawn = ex.panel(picture, name, state, size=(h, w))
    assert drawn.shape == (h, w, 3) and drawn.dtype == np.uint8
    assert np.abs(drawn - loop_panel(picture, name, state, h, w)).max() <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_a_plain_panel_is_the_courses_overlay(seed, alpha, fill):
    picture = picture_of(seed)
    drawn = ex.panel(picture, "truth", ex.State(alpha=alpha, fill=fill, line=1))
    expected = show.overlay(picture.image, picture.truth, alpha, outline=not fill)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_without_a_size_a_panel_has_the_pictures_own_pixels():
    picture = picture_of(3, (8, 12))
    assert np.array_equal(ex.panel(picture, "image"), picture.image)
    part = ex.panel(picture, "image", ex.State(zoom=2, centre=(1, 0)))
    assert np.array_equal(part, picture.image[:4, 6:])


def test_a_shrunk_picture_is_averaged_and_ids_are_not():
    image = np.array([[0, 10, 7], [20, 32, 9], [4, 7, 255]], np.uint8).repeat(3).reshape(3, 3, 3)
    assert ex.halve(image)[..., 0].tolist() == [[16, 8], [6, 255]]   # edges count twice
    rng = np.random.default_rng(0)
    picture = ex.Picture(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
                         rng.integers(0, 3, (16, 16), dtype=np.uint8), {})
    drawn = ex.panel(picture, "image", size=(4, 4))
    mean = picture.image.reshape(4, 4, 4, 4, 3).mean(axis=(1, 3))
    assert np.abs(drawn - mean).max() <= 1
    opaque = ex.panel(picture, "truth", ex.State(alpha=1, shown=(0, 1, 2)), size=(4, 4))
    assert np.array_equal(opaque, show.PALETTE[picture.truth[2::4, 2::4]])


@pytest.mark.parametrize("size, shown, zoom, centre, expected", [
    (4, 4, 1, 0.5, [0, 1, 2, 3]),
    (4, 8, 1, 0.9, [0, 0, 1, 1, 2, 2, 3, 3]),
    (4, 4, 2, 0.5, [1, 1, 2, 2]),
    (4, 4, 2, 0.0, [0, 0, 1, 1]),
    (4, 4, 2, 1.0, [2, 2, 3, 3]),
    (9, 3, 1, 0.5, [1, 4, 7]),
])
def test_an_axis_by_hand(size, shown, zoom, centre, expected):
    assert ex.axis(size, shown, zoom, centre).tolist() == expected


def test_levels_round_half_up_and_refuse_logits():
    assert ex.level([0, 0.5, 1, 1 / 255, 0.4999]).tolist() == [0, 128, 255, 1, 127]
    for wrong in ([0.5, 1.7], [-0.2], [np.nan]):
        with pytest.raises(ValueError, match="softmax"):
            ex.level(wrong)


# ---------------------------------------------------------------- palettes


def simulated(colours, matrix):
    """RGB as a colour-blind reader sees it, by Machado, Oliveira and Fernandes (2009), severity 1.

    Their matrices act on linear light (sRGB, IEC 61966-2-1)."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(matrix).T).clip(0, 1)
    return 255 * np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
          [-0.003882, -0.048116, 1.051998]]
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
          [-0.011820, 0.042940, 0.968881]]


def nearest(name, classes=3):
    """The least distance in RGB of two of its colours, void among them, to a colour-blind eye."""
    colours = ex.palette_of(name, classes)[[*range(1, classes), 255]].astype(float)
    return min(np.linalg.norm(seen[a] - seen[b])
               for seen in (simulated(colours, PROTAN), simulated(colours, DEUTAN))
               for a in range(len(seen)) for b in range(a))


@pytest.mark.parametrize("name", ex.SAFE)
def test_colour_blind_readers_tell_the_safe_palettes_apart(name):
    assert nearest(name) > 70 and nearest(name, 5) > 45


def test_the_other_palette_is_not_for_them():
    assert nearest("voc", 5) < 45
    with pytest.raises(ValueError, match="tol-bright"):
        ex.palette_of("rainbow")


def test_voc_is_the_development_kits_colour_map():
    """By its own loop: PASCAL VOC development kit, VOClabelcolormap."""
    for id in (1, 2, 3, 8, 20, 100):
        r, g, b, left = 0, 0, 0, id
        for j in range(8):
            r |= (left & 1) << (7 - j)
            g |= (left >> 1 & 1) << (7 - j)
            b |= (left >> 2 & 1) << (7 - j)
            left >>= 3
        assert ex.palette_of("voc")[id].tolist() == [r, g, b]
    assert all(ex.palette_of(name)[0].tolist() == [0, 0, 0] for name in ex.PALETTES)


# ---------------------------------------------------------------- scores


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["ids", "probabilities", "instances"]))
def test_iou_at_any_threshold_is_that_of_the_ids_after_it(seed, kind):
    pictures = [picture_of(seed + k, (6, 5), kind) for k in range(3)]
    tallies = [ex.tally(p.models["net"], p.truth, 3) for p in pictures]
    for cut in (0, 0.1, 0.35, 0.5, 0.83, 1):
        state = ex.State(threshold=cut, score=cut)
        decided = [ex.decide(p.models["net"], state) for p in pictures]
        for chosen in ([0], [0, 1, 2]):
            pred, truth = (np.stack(x) for x in zip(
                *[(decided[k], pictures[k].truth) for k in chosen], strict=True))
            expected = metrics.iou(pred, truth, 3).numpy()
            found = ex.iou_at(np.sum([tallies[k] for k in chosen], axis=0), 3, cut)
            assert np.allclose(found, expected, equal_nan=True)


def test_the_worst_come_first_and_pictures_without_the_class_not_at_all():
    assert ex.worst_first([0.5, np.nan, 0.1, 0.9, 0.1]) == [2, 4, 0, 3]


def test_the_order_follows_class_judge_and_threshold():
    explorer = explored.explorer(worst=1, judge="DeepLab")
    for threshold in (0, 0.7):
        explorer.threshold = threshold
        scores = []
        for i in range(4):
            picture = explorer.look(i)
            ids = ex.decide(picture.models["DeepLab"], explorer.state)
            scores.append(metrics.iou(ids, picture.truth, 3)[1].item())
        expected = sorted((s, i) for i, s in enumerate(scores) if not np.isnan(s))
        assert explorer.order() == [i for _, i in expected]
    explorer.worst = -1
    assert explorer.order() == [0, 1, 2, 3]


def test_iou_of_the_set_is_that_of_all_pixels():
    explorer = explored.explorer(score=0.6)
    looks = [explorer.look(i) for i in range(4)]
    for name in explorer.predictions:
        pred = np.stack([ex.decide(p.models[name], explorer.state) for p in looks])
        truth = np.stack([p.truth for p in looks])
        assert np.allclose(explorer.iou()[name], metrics.iou(pred, truth, 3), equal_nan=True)
        assert np.allclose(explorer.iou(2)[name], metrics.iou(pred[2], truth[2], 3), equal_nan=True)


# ---------------------------------------------------------------- predictions


def test_a_prediction_may_be_an_array_a_dictionary_an_object_or_a_tensor():
    rng = np.random.default_rng(0)
    planes = rng.dirichlet(np.ones(3), (4, 5)).transpose(2, 0, 1).astype(np.float32)
    ids = planes.argmax(0)
    forms = [{"ids": ids, "probabilities": planes}, {"probabilities": torch.tensor(planes)},
             SimpleNamespace(ids=torch.tensor(ids), probabilities=planes, instances=None)]
    for form in forms:
        held = ex.hold(form, (4, 5), 3, "net")
        assert np.array_equal(held.ids, ids) and held.ids.dtype == np.uint8
        assert np.abs(held.trust / 255 - planes.max(0)).max() <= 0.5 / 255 + 1e-6
        assert np.abs(held.probabilities / 255 - planes).max() <= 0.5 / 255 + 1e-6
    for bare in (ids, torch.tensor(ids)):
        assert np.array_equal(ex.hold(bare, (4, 5), 3, "net").ids, ids)


def test_the_best_scored_instance_owns_a_pixel():
    rng = np.random.default_rng(1)
    scores, labels = np.array([0.3, 0.9, 0.6]), np.array([1, 2, 1])
    masks = rng.random((3, 1, 6, 7))              # as torchvision gives them
    instances = SimpleNamespace(scores=torch.tensor(scores), labels=labels, masks=masks)
    held = ex.hold({"instances": instances}, (6, 7), 3, "net")
    for y, x in np.ndindex(6, 7):
        there = [k for k in range(3) if masks[k, 0, y, x] >= 0.5]
        best = max(there, key=lambda k: scores[k], default=None)
        assert held.owners[y, x] == (0 if best is None else best + 1)
        assert held.ids[y, x] == (0 if best is None else labels[best])
        if best is not None:
            assert held.trust[y, x] == int(scores[best] * 255 + 0.5)
    assert held.objects == ((1, 0.3), (2, 0.9), (1, 0.6))
    none = ex.hold({"instances": ([], np.zeros(0, int), np.zeros((0, 6, 7)))}, (6, 7), 3, "net")
    assert not none.ids.any() and none.objects == ()


@pytest.mark.parametrize("wrong, words", [
    ({}, "neither"),
    (np.zeros((3, 3), int), "resize the logits"),
    (np.full((4, 5), 3), "0..2"),
    (np.zeros((4, 5)), "whole"),
    ({"probabilities": np.zeros((2, 4, 5))}, r"\(3, 4, 5\)"),
    ({"probabilities": np.full((3, 4, 5), 7.0)}, "softmax"),
    ({"instances": ([0.5], [1], np.zeros((2, 4, 5)))}, "do not fit"),
    ({"instances": ([0.5], [3], np.zeros((1, 4, 5)))}, "1..2"),
])
def test_a_prediction_that_does_not_fit_is_refused_in_one_line(wrong, words):
    with pytest.raises(ValueError, match=words) as caught:
        ex.Explorer([np.zeros((4, 5, 3), np.uint8)], [np.zeros((4, 5), np.uint8)],
                    {"net": [wrong]}, names=["a.png"])
    assert "\n" not in str(caught.value) and "net, a.png" in str(caught.value)


@pytest.mark.parametrize("arguments, words", [
    (dict(images=[]), "at least one"),
    (dict(truth=[]), "0 for 2 images"),
    (dict(names=["a"]), "1 for 2 images"),
    (dict(predictions={"net": [1]}), "1 for 2 images"),
    (dict(predictions={"truth": lambda image: image}), "another panel"),
    (dict(images=[np.zeros((4, 5), np.uint8)] * 2), r"\(H, W, 3\)"),
    (dict(truth=[np.zeros((5, 4), np.uint8)] * 2), "belongs"),
    (dict(truth=[np.full((4, 5), 9, np.uint8)] * 2), "0..2"),
    (dict(classes=[]), "1 to 254"),
])
def test_wrong_input_is_refused_in_one_line(arguments, words):
    good = dict(images=[np.zeros((4, 5, 3), np.uint8)] * 2, truth=[np.zeros((4, 5), np.uint8)] * 2)
    with pytest.raises(ValueError, match=words) as caught:
        ex.Explorer(**good | arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [
    dict(picture=4), dict(panels=["nobody"]), dict(alpha=1.5), dict(palette="rainbow"),
    dict(layer="depth"), dict(zoom=0.5), dict(centre=[0.5]), dict(score="high"),
])
def test_a_trait_refuses_what_does_not_exist(state):
    explorer = explored.explorer()
    before = explorer.state
    with pytest.raises(TraitError):
        for name, value in state.items():
            setattr(explorer, name, value)
    assert explorer.state == before


# ---------------------------------------------------------------- the widget without a browser


def test_a_model_runs_when_a_picture_is_first_looked_at_and_only_then():
    runs = []

    def model(image):
        runs.append(int(image[0, 0, 0]))
        return {"ids": np.ones((4, 5), int)}

    images = [np.full((4, 5, 3), k, np.uint8) for k in range(3)]
    truth = [np.ones((4, 5), np.uint8)] * 3
    explorer = ex.Explorer(images, truth, {"net": model})
    assert runs == [0]
    want(explorer, "2/ids/0", "2/tally")
    explorer.draw(2)
    assert runs == [0, 2]
    assert explorer.iou()["net"][1] == 1 and sorted(runs) == [0, 1, 2]


def test_a_button_scores_every_picture():
    explorer = explored.lazy_explorer()
    assert {k for k in explorer._parcel if k.endswith("tally")} == {"0/tally"}
    parcel = want(explorer, "scores")
    assert {k for k in parcel if k.endswith("tally")} == {"0/tally", "1/tally", "2/tally"}


def want(explorer, *keys):
    """What the browser gets when it asks for parts."""
    explorer._want = {"n": np.random.default_rng().integers(10**9), "keys": list(keys)}
    return explorer._parcel


def unpacked(data, dtype, shape):
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


def test_parts_travel_whole():
    explorer = explored.explorer()
    parcel = want(explorer, "1/image", "1/truth", "1/ids/0", "1/trust/0", "1/probabilities/1",
                  "1/owners/3", "1/objects/3", "1/tally", "1/thumbnail")
    picture = explorer.look(1)
    with Image.open(io.BytesIO(parcel["1/image"])) as image:
        assert np.array_equal(np.array(image), picture.image)
    unet, deeplab, _, rcnn = picture.models.values()
    shape = picture.truth.shape
    for key, value in {"truth": picture.truth, "ids/0": unet.ids, "trust/0": unet.trust,
                       "probabilities/1": deeplab.probabilities, "owners/3": rcnn.owners}.items():
        assert np.array_equal(unpacked(parcel[f"1/{key}"], value.dtype, value.shape), value)
    assert [tuple(o) for o in json.loads(zlib.decompress(parcel["1/objects/3"]))] == \
        list(rcnn.objects)
    counts = unpacked(parcel["1/tally"], "<u4", (4, -1))
    assert np.array_equal(counts[0], ex.tally(unet, picture.truth, 3))
    assert len(parcel["1/ids/0"]) < shape[0] * shape[1] / 4        # compressed
    assert max(Image.open(io.BytesIO(parcel["1/thumbnail"])).size) <= 144


def test_probabilities_of_large_pictures_travel_on_demand_only(monkeypatch):
    later = {"0/trust/0", "0/trust/1", "0/probabilities/0", "0/probabilities/1"}
    assert later <= {*explored.explorer()._parcel}
    monkeypatch.setattr(ex, "ON_DEMAND", 100)
    explorer = explored.explorer()
    assert not later & {*explorer._parcel} and explorer._about["onDemand"] == 100
    assert "0/ids/0" in explorer._parcel
    assert {*want(explorer, *later)} == later


def test_an_error_of_a_model_reaches_the_reader():
    def model(image):
        if image[0, 0, 0]:
            raise RuntimeError("out of memory")
        return np.zeros((4, 5), int)

    images = [np.full((4, 5, 3), k, np.uint8) for k in range(2)]
    explorer = ex.Explorer(images, None, {"net": model})
    with pytest.raises(RuntimeError):
        want(explorer, "1/ids/0")
    assert explorer._parcel == {"error": "RuntimeError: out of memory"}


def test_a_picked_pixel_is_read_in_python():
    explorer = explored.explorer()
    seen = []
    explorer.observe(lambda change: seen.append(change["new"]), "picked")
    picture = explorer.look(1)
    y, x = np.argwhere(picture.models["Mask R-CNN"].owners > 0)[0].tolist()
    explorer.picked_at = [1, x, y]
    picked = explorer.picked
    assert seen == [picked]
    assert (picked["picture"], picked["name"]) == (1, "street_001.jpg")
    assert (picked["x"], picked["y"]) == (x, y)
    named = [*CLASSES, *["void"] * 253]
    assert picked["truth"] == named[picture.truth[y, x]]
    assert picked["models"]["FCN"] == {"class": named[picture.models["FCN"].ids[y, x]]}
    shares = picked["models"]["U-Net"]["probabilities"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert picked["models"]["U-Net"]["class"] == max(shares, key=shares.get)
    label, score = picture.models["Mask R-CNN"].objects[picture.models["Mask R-CNN"].owners[y, x]
                                                        - 1]
    one = picked["models"]["Mask R-CNN"]
    assert one["instance"]["class"] == named[label] and one["instance"]["score"] == score
    explorer.score = 1.0
    assert explorer.picked["models"]["Mask R-CNN"]["class"] == "background"   # it follows the cut
    explorer.picked_at = []
    assert explorer.picked == {}


def test_without_truth_nothing_is_scored():
    images = [np.zeros((4, 5, 3), np.uint8)]
    explorer = ex.Explorer(images, None, {"net": [np.ones((4, 5), int)]})
    assert explorer.panels == ["net"] and np.isnan(explorer.iou()["net"]).all()


def test_pages_without_widgets_show_a_picture_of_the_state():
    explorer = explored.explorer(panels=["image", "U-Net"])
    data, _ = explorer._repr_mimebundle_()
    assert data["text/plain"] == "Explorer(4 pictures; U-Net, DeepLab, FCN, Mask R-CNN)"
    sheet = np.array(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))))
    assert sheet.shape == (128, 2 * 128 + 4, 3)
    assert np.array_equal(sheet[:, :128], explorer.images[0])
    assert np.array_equal(sheet[:, 132:], explorer.draw()["U-Net"])


# ---------------------------------------------------------------- the exported page


def data_of(text):
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text,
                                re.DOTALL)[1])


def test_the_page_holds_the_same_script_every_part_and_no_way_out(tmp_path):
    explorer = explored.explorer(count=2, alpha=0.25, picture=1)
    path = explorer.to_html(tmp_path / "explorer.html")
    text = path.read_text(encoding="utf-8")
    state = data_of(text)
    assert (state["alpha"], state["picture"]) == (0.25, 1)
    held = explorer.look(1).models["U-Net"]
    sent = unpacked(base64.b64decode(state["_parcel"]["1/probabilities/0"]), np.uint8,
                    held.probabilities.shape)
    assert np.array_equal(sent, held.probabilities)
    script = re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)[1]
    source = Path(ex.__file__).with_suffix(".js").read_text(encoding="utf-8")
    assert script.startswith(source) and len(script) - len(source) < 20
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ") and f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_no_name_breaks_out_of_the_page(tmp_path):
    explorer = explored.hostile_explorer()
    names = explored.hostile()
    assert len(set(names)) == 50
    path = explorer.to_html(tmp_path / "explorer.html", title=names[11])
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script") == 2 and "<!--" not in text
    assert f"<title>{html.escape(names[11])}</title>" in text
    about = data_of(text)["_about"]
    assert about["classes"] == about["names"] == names


def test_the_script_is_part_of_the_package_and_never_writes_html():
    script = Path(ex.__file__).with_suffix(".js").read_text(encoding="utf-8")
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "new Function", "fetch(", "XMLHttpRequest", "import(", "</script", "<!--"):
        assert dangerous not in script
    assert ex.Explorer._esm is not None and "export default" in str(ex.Explorer._esm)

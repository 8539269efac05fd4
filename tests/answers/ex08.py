"""Answers to the exercises of lesson 08, as people write them: stub, wrong ones, valid ones."""

import cv2
import ipywidgets
import numpy as np
import torch
import traitlets
from PIL import Image

# ---- overlay ---------------------------------------------------------------------------------


def overlay_stub(image, mask, palette, alpha, shown):
    """Blend the colours of the ids that are shown into the image."""
    ...  # noqa: PIE790


def overlay_right(image, mask, palette, alpha, shown):
    weight = np.where(np.isin(mask, list(shown)), alpha, 0.0)[..., None]
    return np.rint((1 - weight) * image + weight * palette[mask]).astype(np.uint8)


def overlay_bytes(image, mask, palette, alpha, shown):
    out = image.copy()
    a = np.uint8(alpha * 255)
    for k in shown:
        here = mask == k
        out[here] = (image[here] * np.uint8(255 - a) + palette[k] * a) // np.uint8(255)
    return out


def overlay_reversed(image, mask, palette, alpha, shown):
    return overlay_right(image, mask, palette, 1 - alpha, shown)


def overlay_dark(image, mask, palette, alpha, shown):
    paint = np.zeros_like(image)
    for k in shown:
        paint[mask == k] = palette[k]
    return cv2.addWeighted(image, 1 - alpha, paint, alpha, 0)


def overlay_everything(image, mask, palette, alpha, shown):
    return cv2.addWeighted(image, 1 - alpha, palette[mask], alpha, 0)


def overlay_not_zero(image, mask, palette, alpha, shown):
    mixed = (1 - alpha) * image + alpha * palette[mask]
    return np.where((mask > 0)[..., None], mixed, image).round().astype(np.uint8)


def overlay_reversed_and_cut(image, mask, palette, alpha, shown):
    weight = np.where(np.isin(mask, list(shown)), alpha, 1.0)[..., None]
    return (weight * image + (1 - weight) * palette[mask]).astype(np.uint8)


def overlay_no_void(image, mask, palette, alpha, shown):
    return overlay_right(image, mask, palette, alpha, [k for k in shown if k != 255])


def overlay_never_zero(image, mask, palette, alpha, shown):
    return overlay_right(image, mask, palette, alpha, [k for k in shown if k])


def overlay_bgr(image, mask, palette, alpha, shown):
    return overlay_right(image, mask, palette[:, ::-1], alpha, shown)


def overlay_set(image, mask, palette, alpha, shown):
    weight = alpha * np.isin(mask, shown)[..., None]
    return np.rint((1 - weight) * image + weight * palette[mask]).astype(np.uint8)


def overlay_opaque(image, mask, palette, alpha, shown):
    out, here = image.copy(), np.isin(mask, list(shown))
    out[here] = palette[mask[here]]
    return out


def overlay_unit(image, mask, palette, alpha, shown):
    return overlay_right(image, mask, palette, alpha, shown) / 255


def overlay_floats(image, mask, palette, alpha, shown):
    weight = np.isin(mask, list(shown))[..., None] * alpha
    return (1 - weight) * image + weight * palette[mask]


def overlay_in_place(image, mask, palette, alpha, shown):
    image[:] = overlay_right(image, mask, palette, alpha, shown)
    return image


def overlay_loop(image, mask, palette, alpha, shown):
    out = image.copy()
    for y, x in np.ndindex(mask.shape):
        if mask[y, x] in shown:
            for c in range(3):
                mixed = (1 - alpha) * float(image[y, x, c]) + alpha * float(palette[mask[y, x], c])
                out[y, x, c] = int(mixed)
    return out


def overlay_torch(image, mask, palette, alpha, shown):
    image, mask, palette = (torch.as_tensor(x) for x in (image, mask, palette))
    weights = torch.zeros(256)
    weights[list(shown)] = alpha
    weight = weights[mask.long()][..., None]
    return ((1 - weight) * image + weight * palette[mask.long()]).round().to(torch.uint8)


def overlay_pillow(image, mask, palette, alpha, shown):
    paint = Image.blend(Image.fromarray(image), Image.fromarray(palette[mask]), alpha)
    here = np.isin(mask, list(shown)).astype(np.uint8) * 255
    return Image.composite(paint, Image.fromarray(image), Image.fromarray(here))


def overlay_opencv(image, mask, palette, alpha, shown):
    colours = cv2.LUT(cv2.merge([mask] * 3), np.ascontiguousarray(palette).reshape(256, 1, 3))
    mixed = cv2.addWeighted(image, 1 - alpha, colours, alpha, 0)
    return np.where(np.isin(mask, list(shown))[..., None], mixed, image)


# ---- link ------------------------------------------------------------------------------------


def link_stub(slider, explorer):
    """Keep the slider at the threshold in per cent, both ways."""
    ...  # noqa: PIE790


def _tie(slider, explorer, percent=lambda t: round(100 * t), guard=True, start="explorer",
         ways=("slider", "explorer"), end=True):
    """Two observers; the keyword arguments make the mistakes."""

    def moved(change):
        if not guard or percent(explorer.threshold) != slider.value:
            explorer.threshold = slider.value / 100

    def set_from_outside(change):
        slider.value = percent(explorer.threshold)

    if start == "explorer":
        set_from_outside(None)
    elif start == "slider":
        explorer.threshold = slider.value / 100
    if "slider" in ways:
        slider.observe(moved, "value")
    if "explorer" in ways:
        explorer.observe(set_from_outside, "threshold")

    def stop():
        if end is True and "slider" in ways:
            slider.unobserve(moved, "value")
        if end is True and "explorer" in ways:
            explorer.unobserve(set_from_outside, "threshold")
        if end == "all":
            slider.unobserve_all("value")
            explorer.unobserve_all("threshold")

    return stop if end else None


def link_guarded(slider, explorer):
    return _tie(slider, explorer)


def link_traitlets(slider, explorer):
    tied = traitlets.link((explorer, "threshold"), (slider, "value"),
                          transform=(lambda t: round(100 * t), lambda v: v / 100))
    return tied.unlink


def link_flag(slider, explorer):
    busy = []

    def follow(change):
        if busy:
            return
        busy.append(True)
        if change["owner"] is slider:
            explorer.threshold = change["new"] / 100
        else:
            slider.value = int(100 * change["new"] + 0.5)
        busy.clear()

    slider.value = round(100 * explorer.threshold)
    pairs = ((slider, "value"), (explorer, "threshold"))
    for one, name in pairs:
        one.observe(follow, name)
    return lambda: [one.unobserve(follow, name) for one, name in pairs]


def link_js(slider, explorer):
    return ipywidgets.jslink((slider, "value"), (explorer, "threshold")).unlink


def link_no_percent(slider, explorer):
    explorer.observe(lambda change: setattr(slider, "value", change["new"]), "threshold")
    slider.observe(lambda change: setattr(explorer, "threshold", change["new"]), "value")
    return slider.unobserve_all


def link_slider_wins(slider, explorer):
    return _tie(slider, explorer, start="slider")


def link_slider_first(slider, explorer):
    return traitlets.link((slider, "value"), (explorer, "threshold"),
                          transform=(lambda v: v / 100, lambda t: round(100 * t))).unlink


def link_late(slider, explorer):
    return _tie(slider, explorer, start="nobody")


def link_one_way(slider, explorer):
    return _tie(slider, explorer, ways=("slider",))


def link_other_way(slider, explorer):
    return _tie(slider, explorer, ways=("explorer",))


def link_cut(slider, explorer):
    return _tie(slider, explorer, percent=lambda t: int(100 * t))


def link_echo(slider, explorer):
    return _tie(slider, explorer, guard=False)


def link_for_ever(slider, explorer):
    return _tie(slider, explorer, end=None)


def link_as_object(slider, explorer):
    return traitlets.link((explorer, "threshold"), (slider, "value"),
                          transform=(lambda t: round(100 * t), lambda v: v / 100))


def link_numpy(slider, explorer):
    return _tie(slider, explorer, percent=lambda t: np.round(100 * t))


def link_deaf_end(slider, explorer):
    return _tie(slider, explorer, end="nothing")


def link_clears(slider, explorer):
    return _tie(slider, explorer, end="all")


# ---- borders ---------------------------------------------------------------------------------


def borders_stub(pred, truth, classes, reach):
    """Of each class the share of its wrong pixels that lie near a border."""
    shares = ...
    return shares


def _edges(ids):
    edge = np.zeros(ids.shape, bool)
    for y, x in np.ndindex(ids.shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < ids.shape[0] and u < ids.shape[1] and ids[v, u] != ids[y, x]:
                edge[y, x] = edge[v, u] = True
    return edge


def _widen(edge, reach):
    near = np.zeros_like(edge)
    for y, x in np.argwhere(edge):
        near[max(y - reach, 0):y + reach + 1, max(x - reach, 0):x + reach + 1] = True
    return near


def _borders(pred, truth, classes, near, lacking=np.nan, below=None, ids=None):
    wrong, ids = (pred != truth) & (truth != 255), truth if ids is None else ids
    found = []
    for c in range(classes):
        whole = (wrong if below is None else below) & (ids == c)
        found.append((wrong & near & (ids == c)).sum() / whole.sum() if whole.any() else lacking)
    return np.array(found)


def borders_loop(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(truth), reach))


def borders_zero(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(truth), reach), lacking=0)


def borders_one(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(truth), reach), lacking=1)


def borders_said(pred, truth, classes, reach):
    said = np.where(truth == 255, 255, pred)
    return _borders(pred, truth, classes, _widen(_edges(truth), reach), ids=said)


def borders_of_class(pred, truth, classes, reach):
    near = _widen(_edges(truth), reach)
    return _borders(pred, truth, classes, near, below=np.ones(truth.shape, bool))


def borders_turned(pred, truth, classes, reach):
    near = _widen(_edges(truth), reach)
    return _borders(pred, truth, classes, near, below=near)


def borders_pooled(pred, truth, classes, reach):
    near, wrong = _widen(_edges(truth), reach), (pred != truth) & (truth != 255)
    with np.errstate(invalid="ignore"):
        return np.array([(wrong & near & (truth == c)).sum() / wrong.sum()
                         for c in range(classes)])


def borders_of_pred(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(pred), reach))


def borders_void_ignored(pred, truth, classes, reach):
    edge = np.zeros(truth.shape, bool)
    for y, x in np.ndindex(truth.shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < truth.shape[0] and u < truth.shape[1]:
                pair = {int(truth[y, x]), int(truth[v, u])}
                if len(pair) == 2 and 255 not in pair:
                    edge[y, x] = edge[v, u] = True
    return _borders(pred, truth, classes, _widen(edge, reach))


def borders_diff(pred, truth, classes, reach):
    edge = np.zeros(truth.shape, bool)
    edge[:-1] |= truth[:-1] != truth[1:]
    edge[:, :-1] |= truth[:, :-1] != truth[:, 1:]
    return _borders(pred, truth, classes, _widen(edge, reach))


def borders_steps(pred, truth, classes, reach):
    near = _edges(truth)
    for _ in range(reach):
        grown = near.copy()
        grown[1:] |= near[:-1]
        grown[:-1] |= near[1:]
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        near = grown
    return _borders(pred, truth, classes, near)


def _corners(ids):
    edge = np.zeros(ids.shape, bool)
    for y, x in np.ndindex(ids.shape):
        edge[y, x] = (ids[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] != ids[y, x]).any()
    return edge


def borders_eight(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_corners(truth), reach))


def borders_framed(pred, truth, classes, reach):
    edge = _edges(np.pad(truth, 1, constant_values=254))[1:-1, 1:-1]
    return _borders(pred, truth, classes, _widen(edge, reach))


def borders_distance(pred, truth, classes, reach):
    y, x = np.indices(truth.shape)
    far = [(y - v) ** 2 + (x - u) ** 2 for v, u in np.argwhere(_edges(truth))]
    return _borders(pred, truth, classes, np.min(far, axis=0) <= reach**2)


def borders_roll(pred, truth, classes, reach):
    edge = np.zeros(truth.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= truth != np.roll(truth, step, axis)
    return _borders(pred, truth, classes, _widen(edge, reach))


def borders_narrow(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(truth), max(reach - 1, 0)))


def borders_wide(pred, truth, classes, reach):
    return _borders(pred, truth, classes, _widen(_edges(truth), reach + 1))


def borders_opencv(pred, truth, classes, reach):
    edge = np.zeros(truth.shape, np.uint8)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        edge[a] |= truth[a] != truth[b]
        edge[b] |= truth[a] != truth[b]
    near = cv2.dilate(edge, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    return _borders(pred, truth, classes, near)


def borders_torch(pred, truth, classes, reach):
    pred, truth = (torch.as_tensor(x).long() for x in (pred, truth))
    edge = torch.zeros(truth.shape)
    down, right = truth[1:] != truth[:-1], truth[:, 1:] != truth[:, :-1]
    edge[1:][down], edge[:-1][down] = 1, 1
    edge[:, 1:][right], edge[:, :-1][right] = 1, 1
    near = torch.nn.functional.max_pool2d(edge[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0
    wrong = (pred != truth) & (truth != 255)
    planes = torch.arange(classes)[:, None, None] == truth
    return (wrong & near & planes).sum((1, 2)) / (wrong & planes).sum((1, 2))


# ---- planted ---------------------------------------------------------------------------------

FOUND = {3: "swapped", 7: "other picture", 11: "shifted", 12: "forgotten"}


def _without(*numbers):
    return {k: v for k, v in FOUND.items() if k not in numbers}


# ---- the tables ------------------------------------------------------------------------------

STUBS = {"overlay": overlay_stub, "link": link_stub, "borders": borders_stub, "planted": {...: ...}}

WRONG = {
    "overlay": [
        (overlay_bytes, "wraps"),
        (overlay_reversed, "alpha_reversed"),
        (overlay_reversed_and_cut, "alpha_reversed"),
        (overlay_dark, "blacked_out"),
        (overlay_everything, "all_painted"),
        (overlay_not_zero, "shown_ignored"),
        (overlay_no_void, "void_forgotten"),
        (overlay_never_zero, "background_forgotten"),
        (overlay_bgr, "bgr"),
        (overlay_set, "nothing_painted"),
        (overlay_opaque, "alpha_ignored"),
        (overlay_unit, "unit_range"),
        (overlay_floats, "dtype"),
        (overlay_in_place, "changes_inputs"),
    ],
    "link": [
        (link_js, "jslink"),
        (link_no_percent, "percent"),
        (link_slider_wins, "wrong_way"),
        (link_slider_first, "wrong_way"),
        (link_late, "not_started"),
        (link_one_way, "slider_only"),
        (link_other_way, "explorer_only"),
        (link_cut, "cut_off"),
        (link_echo, "echo"),
        (link_for_ever, "no_end"),
        (link_as_object, "no_end"),
        (link_deaf_end, "still_linked"),
        (link_clears, "others_gone"),
    ],
    "borders": [
        (borders_zero, "zero_for_none"),
        (borders_one, "one_for_none"),
        (borders_said, "said_class"),
        (borders_of_class, "of_the_class"),
        (borders_turned, "turned_round"),
        (borders_pooled, "of_all_errors"),
        (borders_of_pred, "border_of_the_prediction"),
        (borders_void_ignored, "void_no_border"),
        (borders_diff, "one_side"),
        (borders_steps, "diamond"),
        (borders_distance, "disc"),
        (borders_eight, "corners_too"),
        (borders_framed, "picture_edge"),
        (borders_roll, "round_the_world"),
        (borders_narrow, "reach_less"),
        (borders_wide, "reach_more"),
    ],
    "planted": [
        (_without(3), "missed_swapped"),
        (_without(7), "missed_other_picture"),
        (_without(11), "missed_shifted"),
        (_without(12), "missed_forgotten"),
        ({}, "none"),
        ({k + 1: v for k, v in FOUND.items()}, "from_one"),
        (_without(12) | {5: "forgotten"}, "hard_one"),
        (_without(12) | {0: "forgotten"}, "accused"),
        (FOUND | {5: "forgotten"}, "too_many"),
        (FOUND | {7: "shifted"}, "not_shifted"),
        (FOUND | {11: "other picture"}, "not_other_picture"),
        (FOUND | {12: "swapped"}, "not_swapped"),
        (FOUND | {3: "wrong"}, "words"),
        ([3, 7, 11, 12], "type"),
        ({fault: k for k, fault in FOUND.items()}, "numbers"),
        (_without(11) | {17: "shifted"}, "numbers"),
    ],
}

VALID = {
    "overlay": [overlay_right, overlay_loop, overlay_torch, overlay_opencv, overlay_pillow],
    "link": [link_guarded, link_traitlets, link_flag, link_numpy],
    "borders": [borders_loop, borders_opencv, borders_torch],
    "planted": [FOUND, {str(k): v.capitalize() for k, v in FOUND.items()}],
}

"""The exercises of lesson 06: FCN, DeepLab, Mask R-CNN."""

import copy
from functools import partial

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import ops

from segutils import masks, predict, zoo
from segutils.exercises.calling import stub
from segutils.exercises.declare import Case, Exercise, Mistake, Problem
from segutils.exercises.judging import difference, whole_ids

VOID = 255


def _has_shape(got, *shape):
    return np.shape(got) == shape


# ---- atrous ----------------------------------------------------------------------------------


def _atrous(image, kernel, rate, padding=None):
    """torch's own: (H, W), (k, k) -> (H, W); with another padding the mistakes."""
    if padding is None:
        padding = rate * (len(kernel) // 2)
    return F.conv2d(image[None, None], kernel[None, None], padding=padding, dilation=rate)[0, 0]


def _atrous_cases(rng):
    def case(label, shape, k, rate):
        image = torch.from_numpy(rng.normal(0, 1, shape))
        return Case(label, (image, torch.from_numpy(rng.normal(0, 1, (k, k))), rate))

    spot = torch.zeros(9, 9, dtype=torch.float64)
    spot[4, 4] = 1
    counted = torch.arange(1.0, 10, dtype=torch.float64).reshape(3, 3)
    return [
        Case("a single bright pixel, rate 2", (spot, counted, 2)),
        case("rate 1", (7, 10), 3, 1),
        case("a 5 × 5 kernel, rate 1", (8, 11), 5, 1),
        case("rate 2", (11, 14), 3, 2),
        case("rate 3", (13, 16), 3, 3),
        case("a 5 × 5 kernel, rate 2", (12, 15), 5, 2),
        case("a kernel that is wider than the map", (4, 5), 3, 4),
    ]


def _atrous_on_padded(image, kernel, rate, sides, mode="constant"):
    """The same on a map that was enlarged at (left, right, top, bottom) before."""
    wide = F.pad(image[None, None], sides, mode=mode)[0, 0]
    return _atrous(wide, kernel, rate, padding=0)


def _atrous_repeated(image, kernel, rate):
    return _atrous_on_padded(image, kernel, rate, [rate * (len(kernel) // 2)] * 4, "replicate")


def _atrous_from_corner(image, kernel, rate):
    spread = rate * (len(kernel) - 1)
    return _atrous_on_padded(image, kernel, rate, [0, spread, 0, spread])


def _atrous_rolled(image, kernel, rate):
    reach = range(-(len(kernel) // 2), len(kernel) // 2 + 1)
    taps = [(kernel[i, j], (-rate * y, -rate * x)) for i, y in enumerate(reach)
            for j, x in enumerate(reach)]
    return sum(weight * image.roll(shift, (0, 1)) for weight, shift in taps)


def _atrous_negative(image, kernel, rate):
    """An index below 0 counts from the end; zeros beyond the right and lower border alone."""
    reach = rate * (len(kernel) // 2)
    round_ = F.pad(image[None, None], [reach, 0, reach, 0], mode="circular")[0, 0]
    return _atrous_on_padded(round_, kernel, rate, [0, reach, 0, reach])


def _smaller_by(args, got, per_side):
    """Whether the result is smaller than the map by so many pixels on each side."""
    height, width = args[0].shape
    return per_side > 0 and _has_shape(got, height - 2 * per_side, width - 2 * per_side)


def _atrous_target():
    spot = torch.zeros(13, 13)
    spot[6, 6] = 1
    rows = [_atrous(spot, torch.ones(3, 3), rate).numpy() for rate in (1, 2, 3)]
    gray = np.uint8(40 + 200 * np.pad(np.stack(rows), ((0, 0), (1, 1), (1, 1)), "edge"))
    caption = ("A single bright pixel, seen through a 3 × 3 kernel of ones at rates 1, 2 and 3: "
               "nine copies, farther and farther apart.")
    return caption, np.repeat(np.concatenate(gray, axis=1)[:, :, None], 3, axis=2)


ATROUS = Exercise(
    name="ex06.atrous",
    title="Atrous convolution by hand",
    aim="compute an atrous convolution by hand, at any rate and with its borders",
    level="warm-up",
    points=2,
    minutes=12,
    cases=_atrous_cases,
    oracle=_atrous,
    mistakes=(
        Mistake(
            "no_padding",
            "The result is smaller than the map: the kernel only went where it fits whole. What "
            "lies beyond the border counts as 0, and every pixel gets a result.",
            when=lambda args, got: _smaller_by(args, got, args[2] * (len(args[1]) // 2)),
        ),
        Mistake(
            "padding_of_rate_1",
            "The border is as wide as for rate 1. The spread kernel reaches `rate` times as far, "
            "so it needs a border that is `rate` times as wide.",
            when=lambda args, got: _smaller_by(args, got, (args[2] - 1) * (len(args[1]) // 2)),
        ),
        Mistake(
            "strided",
            "The result has one pixel for every `rate` of the map: that is a stride. A stride "
            "leaves out results; a rate moves the taps apart and keeps every result.",
            when=lambda args, got: args[2] > 1 and _has_shape(
                got, *(-(-n // args[2]) for n in args[0].shape)),
        ),
        Mistake(
            "flipped",
            "Your kernel is turned by 180 degrees. That is a convolution as mathematicians define "
            "it; networks mean the other one, in which the kernel lies on the map as it is.",
            like=lambda image, kernel, rate: _atrous(image, kernel.flip(0, 1), rate),
        ),
        Mistake(
            "axes_swapped",
            "Rows and columns of the kernel are exchanged: its first index runs down.",
            like=lambda image, kernel, rate: _atrous(image, kernel.T, rate),
        ),
        Mistake(
            "rate_ignored",
            "This is the ordinary convolution, whatever the rate is.",
            like=lambda image, kernel, rate: _atrous(image, kernel, 1),
        ),
        Mistake(
            "one_zero_too_many",
            "The taps are too far apart, by one. At rate 1 they lie side by side: how many zeros "
            "are between two of them at rate 2?",
            like=lambda image, kernel, rate: _atrous(image, kernel, rate + 1),
        ),
        Mistake(
            "from_the_corner",
            "The first tap lies on the pixel, and the others to the right of it and below. The "
            "middle tap belongs on the pixel: else the whole picture moves.",
            like=_atrous_from_corner,
        ),
        Mistake(
            "wraps",
            "What leaves the map on one side comes in again on the other: roll goes round in a "
            "circle. Beyond the border there are zeros.",
            like=_atrous_rolled,
        ),
        Mistake(
            "negative_index",
            "At the left and upper border an index falls below 0, and that is no error: -1 is the "
            "*last* one. Beyond the border there are zeros, on all four sides.",
            like=_atrous_negative,
        ),
        Mistake(
            "border_repeated",
            "Beyond the border you repeat its last pixels. Zeros are asked for, as in conv2d.",
            like=_atrous_repeated,
        ),
    ),
    hints=(
        "One way: build the spread kernel, mostly zeros, and use an ordinary convolution. Another: "
        "pad the map, and add up k·k shifted copies of it, each times its weight.",
        "The spread kernel has rate·(k - 1) + 1 rows, and its weights stand `rate` apart.",
    ),
    target=_atrous_target,
)


# ---- bilinear --------------------------------------------------------------------------------


def _size(factor):
    return 2 * factor - factor % 2


def _on_diagonal(kernel, classes):
    """(k, k) -> (C, C, k, k): each class from itself alone."""
    return np.eye(classes)[:, :, None, None] * np.asarray(kernel)


def _stretching(factor):
    """The kernel, read off what F.interpolate makes of a single bright pixel."""
    spot = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    spot[0, 0, 2, 2] = 1
    bright = F.interpolate(spot, scale_factor=factor, mode="bilinear", align_corners=False)[0, 0]
    first = 2 * factor - (_size(factor) - factor) // 2
    return bright[first:, first:][:_size(factor), :_size(factor)].numpy()


def _bilinear(factor, classes):
    return _on_diagonal(_stretching(factor), classes)


def _bilinear_cases(rng):
    few = rng.integers(2, 5, 6).tolist()
    one = [Case(f"factor {s}, one class", (s, 1)) for s in (2, 3, 4)]
    more = [Case(f"factor {s}, {c} classes", (s, c))
            for s, c in zip((2, 3, 4, 5, 8, 1), few, strict=True)]
    return one + more


def _tent(factor, centre=None):
    """A line that falls from 1 at the centre to 0 at a distance of `factor`, (k,)."""
    centre = (_size(factor) - 1) / 2 if centre is None else centre
    return np.clip(1 - np.abs(np.arange(_size(factor)) - centre) / factor, 0, None)


def _stairs(factor):
    up = np.arange(1, _size(factor) + 1)
    return np.minimum(up, up[::-1]) / factor


def _cone(factor):
    off = np.arange(_size(factor)) - (_size(factor) - 1) / 2
    return np.clip(1 - np.hypot(*np.meshgrid(off, off)) / factor, 0, None)


def _block(factor):
    kernel, edge = np.zeros((_size(factor),) * 2), (_size(factor) - factor) // 2
    kernel[edge:edge + factor, edge:edge + factor] = 1
    return kernel


def _with(kernel):
    """A mistake that puts the kernel of another way on the diagonal."""
    return lambda factor, classes: _on_diagonal(kernel(factor), classes)


def _square(line):
    return np.outer(line, line)


def _bilinear_target():
    caption = ("The kernel for factor 4, bright where its weights are large: 8 × 8, alike from all "
               "four sides, and each of the four in the middle is 49/64.")
    gray = np.uint8(255 * _stretching(4))
    return caption, np.repeat(gray[:, :, None], 3, axis=2)


BILINEAR = Exercise(
    name="ex06.bilinear",
    title="A transposed convolution that stretches bilinearly",
    aim="give a transposed convolution the weights with which it stretches bilinearly",
    level="core",
    points=3,
    minutes=15,
    cases=_bilinear_cases,
    oracle=_bilinear,
    mistakes=(
        Mistake(
            "classes_mixed",
            "Every class gets a kernel from every other class, so their logits are added up. A "
            "class is stretched from itself alone: what stands between two different ones?",
            like=lambda factor, classes: np.broadcast_to(
                _stretching(factor), (classes, classes, _size(factor), _size(factor))),
        ),
        Mistake(
            "one_channel",
            "(C, 1, k, k) is the weight of a convolution with groups=C. The one that is asked for "
            "has a kernel for each pair of classes: (C, C, k, k).",
            when=lambda args, got: args[1] > 1 and _has_shape(
                got, args[1], 1, _size(args[0]), _size(args[0])),
        ),
        Mistake(
            "one_kernel",
            "This is one kernel. The weight holds one for each pair of classes: (C, C, k, k).",
            when=lambda args, got: _has_shape(got, _size(args[0]), _size(args[0])),
        ),
        Mistake(
            "sums_to_1",
            "Your kernel sums to 1, as a blur's does. Here each weight of the map is laid out over "
            "`factor`² pixels, and the map would come out that much darker. To what must the "
            "weights sum that meet in one pixel?",
            like=_with(lambda factor: _stretching(factor) / factor**2),
        ),
        Mistake(
            "nearest",
            "Each value is copied into a block: that is nearest-neighbour stretching, with its "
            "stairs. Bilinear weights fall evenly with the distance.",
            like=_with(_block),
        ),
        Mistake(
            "flat",
            "All weights are alike. Near pixels count more: the weight falls with the distance.",
            when=lambda args, got: args[0] > 1 and np.ndim(got) == 4
            and np.ptp(np.asarray(got)[0, 0]) == 0,
        ),
        Mistake(
            "peak_of_1",
            "For an even factor no pixel of the result lies on the centre of one of the map, so no "
            "weight is 1. How far from the centre are the two in the middle?",
            like=_with(lambda factor: _square(_stairs(factor))),
        ),
        Mistake(
            "off_centre",
            "For an even factor your kernel's centre is half a pixel off. It lies in the middle of "
            "the k pixels, between two of them where k is even.",
            like=_with(lambda factor: _square(_tent(factor, factor - 1))),
        ),
        Mistake(
            "off_centre_down",
            "Your kernel's centre is too far right and down. It lies in the middle of the k "
            "pixels, whose numbers begin with 0.",
            like=_with(lambda factor: _square(_tent(factor, _size(factor) / 2))),
        ),
        Mistake(
            "ends_at_0",
            "The first and last row are 0, so the kernel is too narrow. The weight reaches 0 at a "
            "distance of `factor` pixels from the centre, and that is beyond the last row.",
            like=_with(lambda factor: _square(np.bartlett(_size(factor)))),
        ),
        Mistake(
            "cone",
            "Your weights fall with the straight distance, as a cone. Bilinear is linear in y, "
            "then linear in x: a product of two lines.",
            like=_with(_cone),
        ),
        Mistake(
            "pyramid",
            "The smaller of the two lines was taken. Bilinear weights are the product of the line "
            "in y and the line in x.",
            like=_with(lambda factor: np.minimum.outer(_tent(factor), _tent(factor))),
        ),
    ),
    hints=(
        "Begin with one line of k weights: 1 minus the distance to the kernel's centre, measured "
        "in `factor`s. For factor 2 it is 0.25, 0.75, 0.75, 0.25.",
        "The kernel is the product of two such lines. Then put it where a class meets itself.",
    ),
    target=_bilinear_target,
)


# ---- targets ---------------------------------------------------------------------------------


def _targets(instances, mask):
    found = zoo.instance_targets(instances, mask)
    return {name: found[name].numpy() for name in ("boxes", "labels", "masks")}


def _street_of(rng, objects, shape=(9, 11), void=True):
    """A made-up instance map and its class mask: rectangles, one over the other."""
    instances = np.zeros(shape, np.int64)
    ids = [1000 * c + k for c in (1, 2) for k in rng.choice(np.arange(1, 40), 8, replace=False)]
    for ident in rng.choice(ids, objects, replace=False):
        y, x = (int(rng.integers(0, n - 3)) for n in shape)
        height, width = rng.integers(2, 6, 2)
        instances[y:y + height, x:x + width] = ident
    return _with_void(instances) if void else _pair(instances, instances // 1000)


def _pair(instances, mask):
    return torch.from_numpy(instances), torch.from_numpy(mask.astype(np.int64))


def _with_void(instances):
    """The map, and its mask with void on each object's last row and column."""
    mask = instances // 1000
    edge = (instances != np.roll(instances, -1, 0)) | (instances != np.roll(instances, -1, 1))
    return _pair(instances, np.where(edge & (instances > 0), VOID, mask))


def _target_cases(rng):
    plain = np.zeros((6, 8), np.int64)
    plain[1:5, 1:3], plain[2:4, 5:8], plain[0, 0] = 1001, 2001, 2002
    behind = np.zeros((6, 9), np.int64)
    behind[2:4, 1:8], behind[1:6, 4:6] = 2003, 1002  # a car in two parts, a person before it
    tiny = np.zeros((5, 6), np.int64)
    tiny[1:4, 1:4], tiny[4, 5] = 1001, 2001
    gone = np.where(tiny > 0, VOID, 0)
    cases = [
        Case("a map without void", _pair(plain, plain // 1000)),
        Case("an empty street", _pair(np.zeros((4, 5), np.int64), np.zeros((4, 5), np.int64))),
        Case("a car in two parts", _pair(behind, behind // 1000)),
        Case("void along the objects", _with_void(plain)),
        Case("an object that is all void", _pair(tiny, np.where(tiny == 2001, VOID, tiny // 1000))),
        Case("nothing but void objects", _pair(tiny, gone)),
        Case("an object that fills the picture", _pair(np.full((3, 4), 2007), np.full((3, 4), 2))),
    ]
    return cases + [Case(f"{n} objects over one another", _street_of(rng, n)) for n in (2, 4, 6)]


def _bodies(instances, mask, void="drop", background=False):
    """The objects' masks (N, H, W) bool and their ids, rising; `void` makes two mistakes."""
    instances, mask = instances.numpy(), mask.numpy()
    ids = np.unique(instances)
    ids = ids if background else ids[ids > 0]
    bodies = instances == ids[:, None, None]
    seen = (bodies & (mask != VOID)).any((1, 2)) | (void == "keep")
    if void == "cut":
        bodies = bodies & (mask != VOID)
    return bodies[seen], ids[seen]


def _described(bodies, labels):
    """Targets of masks (N, H, W) bool, N of 0 too, and their labels."""
    return {"boxes": masks.boxes_from_masks(bodies).astype(float), "labels": labels,
            "masks": bodies}


def _describe(instances, mask, label=lambda ids: ids // 1000, **options):
    bodies, ids = _bodies(instances, mask, **options)
    return _described(bodies, label(ids))


def _boxed(change):
    """A mistake in the boxes alone: `change` maps the right (N, 4) to others."""

    def wrong(instances, mask):
        found = _describe(instances, mask)
        return {**found, "boxes": change(found["boxes"])}

    return wrong


def _by_class(instances, mask):
    bodies, ids = _bodies(instances, mask)
    labels = np.unique(ids // 1000)
    together = [bodies[ids // 1000 == c].any(0) for c in labels]
    return _described(np.array(together, bool).reshape(-1, *mask.shape), labels)


def _by_part(instances, mask):
    parts, labels = [], []
    for body, ident in zip(*_bodies(instances, mask), strict=True):
        count, numbers = cv2.connectedComponents(body.astype(np.uint8), connectivity=8)
        parts += [numbers == k for k in range(1, count)]
        labels += [ident // 1000] * (count - 1)
    return _described(np.array(parts, bool).reshape(-1, *mask.shape), np.array(labels, int))


def _masks_of_ids(instances, mask):
    bodies, ids = _bodies(instances, mask)
    return {**_described(bodies, ids // 1000), "masks": bodies * ids[:, None, None]}


def _no_objects(args):
    return not len(_bodies(*args)[1])


def _compare_targets(got, expected):
    """What is wrong with a dict of targets, saying in which of its parts; None if nothing is."""
    if not isinstance(got, dict) or set(got) != set(expected):
        return Problem("type", "a dict with boxes, labels and masks is needed, and nothing else.")
    for name in ("labels", "masks", "boxes"):
        problem = difference(got[name], expected[name])
        if problem:
            return Problem(problem.key, f"in {name}: {problem.hint}")
    if np.asarray(got["labels"]).dtype != np.int64:
        return Problem(
            "label_dtype",
            f"the labels are right, and of type {np.asarray(got['labels']).dtype}. A loss takes "
            "them as class ids, and those are int64, also where there are none of them.",
        )
    if np.asarray(got["boxes"]).dtype.kind != "f":
        return Problem(
            "box_dtype",
            "the boxes are right, but whole numbers: in training they are compared with predicted "
            "ones, which are not. Make them float.",
        )
    return None


TARGETS = Exercise(
    name="ex06.targets",
    title="Targets for Mask R-CNN",
    aim="turn an instance map into the boxes, labels and masks Mask R-CNN learns from",
    level="core",
    points=3,
    minutes=15,
    cases=_target_cases,
    oracle=_targets,
    compare=_compare_targets,
    mistakes=(
        Mistake(
            "last_pixel",
            "Your boxes end on the last pixel itself, so they are one too narrow and one too low, "
            "and an object of one pixel has no width at all. x1 and y1 are edges.",
            like=_boxed(lambda boxes: boxes - [0, 0, 1, 1]),
        ),
        Mistake(
            "width_and_height",
            "The last two numbers of your boxes are width and height, as COCO's files have them. "
            "torchvision wants the other corner: x0, y0, x1, y1.",
            like=_boxed(lambda boxes: np.concatenate(
                [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)),
        ),
        Mistake(
            "rows_first",
            "Your boxes have y before x. An array's first index runs down, and a box begins with "
            "x, which runs to the right.",
            like=_boxed(lambda boxes: boxes[:, [1, 0, 3, 2]]),
        ),
        Mistake(
            "background_too",
            "There is one object too many: id 0 is what lies between the objects.",
            like=partial(_describe, background=True),
        ),
        Mistake(
            "ids_as_labels",
            "Your labels are the ids themselves. An id holds the class in its thousands.",
            like=partial(_describe, label=lambda ids: ids),
        ),
        Mistake(
            "numbers_as_labels",
            "Your labels say which car of its class it is, and not that it is a car.",
            like=partial(_describe, label=lambda ids: ids % 1000),
        ),
        Mistake(
            "labels_from_0",
            "Your labels begin with 0, and in Mask R-CNN that is the background: people would be "
            "trained as nothing at all. The class ids of the data set fit as they are.",
            like=partial(_describe, label=lambda ids: ids // 1000 - 1),
        ),
        Mistake(
            "void_cut",
            "You cut the void pixels out of the objects, so masks and boxes lose their rim. The "
            "instance map says to whom those pixels belong; void says whom to leave out whole.",
            like=partial(_describe, void="cut"),
        ),
        Mistake(
            "void_kept",
            "An object all of whose pixels are void is still among them: the data set says that it "
            "is too small to name. Look into `mask` as well.",
            like=partial(_describe, void="keep"),
        ),
        Mistake(
            "one_a_class",
            "All objects of a class have become one. Each id is an object of its own.",
            like=_by_class,
        ),
        Mistake(
            "parts",
            "A car behind a person has two parts, and you make two cars of it. Its pixels have one "
            "id: connected parts are not asked for.",
            like=_by_part,
        ),
        Mistake(
            "ids_as_masks",
            "Your masks hold the objects' ids. A mask says yes or no: 1 or 0.",
            like=_masks_of_ids,
        ),
        Mistake(
            "empty_shape",
            "A picture without objects is a target too. Its boxes are (0, 4): none, and each of "
            "four numbers; its masks are (0, H, W).",
            when=lambda args, got: got is not None and _no_objects(args)
            and len(got["labels"]) == 0 and not (_has_shape(got["boxes"], 0, 4)
                                                 and _has_shape(got["masks"], 0, *args[0].shape)),
        ),
    ),
    hints=(
        "Which ids occur, without 0? For each: where is it (that is its mask), is any of it not "
        "void, and in which rows and columns does it lie?",
        "ids[:, None, None] == instances gives all masks at once, (N, H, W), and (0, H, W) if "
        "there are none. reshape(-1, 4) keeps the shape of no boxes.",
    ),
    target=lambda: (
        "Instances [[0, 2001, 2001], [0, 2001, 0]], mask [[0, 2, 255], [0, 2, 0]]: boxes "
        "[[1, 0, 3, 2]], labels [2], masks [[[0, 1, 1], [0, 1, 0]]].", None,
    ),
)


# ---- nms -------------------------------------------------------------------------------------


def _nms(boxes, scores, labels, cut):
    """torchvision's, class by class."""
    kept = []
    for c in labels.unique():
        mine = (labels == c).nonzero()[:, 0]
        kept.append(mine[ops.nms(boxes[mine], scores[mine], cut)])
    kept = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)
    return kept[scores[kept].argsort(descending=True)].numpy()


def crowd(rng, objects=4, each=5, size=64, classes=2):
    """Made-up proposals around some objects: boxes (N, 4), scores (N,), labels (N,) tensors.

    x0, y0, x1, y1 in pixels on edges, float64; no two scores are equal. Objects overlap.
    """
    corners = rng.uniform(0, 0.6 * size, (objects, 2))
    sides = rng.uniform(0.15 * size, 0.4 * size, (objects, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).repeat(each, axis=0)
    boxes += rng.normal(0, 0.04 * size, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    labels = rng.integers(1, classes + 1, objects).repeat(each)
    labels = np.where(rng.random(len(labels)) < 0.2, classes + 1 - labels, labels)
    order = rng.permutation(len(boxes))
    scores = rng.permutation(np.linspace(0.1, 0.99, len(boxes)))
    return tuple(map(torch.from_numpy, (boxes[order], scores, labels[order])))


def _nms_cases(rng):
    def case(label, boxes, scores, labels, cut):
        boxes = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
        scores = torch.tensor(scores, dtype=torch.float64)
        return Case(label, (boxes, scores, torch.tensor(labels, dtype=torch.int64), cut))

    chain = [[8, 0, 18, 10], [0, 0, 10, 10], [4, 0, 14, 10]]
    cases = [
        case("a chain of three", chain, [0.7, 0.9, 0.8], [1, 1, 1], 0.3),
        case("a person before a car", [[0, 0, 9, 9], [0, 1, 9, 10]], [0.6, 0.8], [2, 1], 0.5),
        case("boxes apart", [[0, 0, 10, 10], [18, 18, 28, 28]], [0.5, 0.9], [1, 1], 0.3),
        case("an IoU of just the cut", [[0, 0, 4, 2], [0, 0, 4, 1]], [0.8, 0.9], [1, 1], 0.5),
        case("small boxes", [[0, 0, 2, 2], [1, 0, 3, 2]], [0.8, 0.9], [1, 1], 0.4),
        case("one inside another", [[0, 0, 10, 10], [2, 2, 6, 6]], [0.8, 0.9], [1, 1], 0.5),
        case("no boxes at all", [], [], [], 0.5),
    ]
    return cases + [Case(f"a crowd with cut {cut}", (*crowd(rng), cut))
                    for cut in (0.3, 0.4, 0.5, 0.6, 0.3, 0.5)]


def _shared(a, b, more=0.0, clip=0.0):
    """What boxes (N, 4) and (M, 4) share, (N, M), and their areas; `more`, `clip` make mistakes."""
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + more
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2] + more, axis=-1) for boxes in (a, b)]
    return np.prod(sides if clip is None else np.maximum(sides, clip), axis=-1), *areas


def _box_iou(a, b, **options):
    both, mine, other = _shared(a, b, **options)
    return both / (mine + other - both)


def _of_the_smaller(a, b):
    both, mine, other = _shared(a, b)
    return both / np.minimum(mine, other)


def _of_the_sum(a, b):
    both, mine, other = _shared(a, b)
    return both / (mine + other)


def _best_first(scores):
    """Numbers by score, of equal ones the first given first."""
    return np.argsort(-scores, kind="stable")


def _suppress(boxes, scores, labels, cut, overlap=_box_iou, order=_best_first, by_class=True,
              dead_too=False, drops=np.greater):
    """Non-maximum suppression by a plain loop; the arguments after `cut` make the mistakes."""
    boxes, scores, labels = boxes.numpy(), scores.numpy(), labels.numpy()
    rivals = drops(overlap(boxes, boxes), cut)
    if by_class:
        rivals &= labels[:, None] == labels
    kept, seen = [], []
    for k in order(scores).tolist():
        if not rivals[k, seen if dead_too else kept].any():
            kept.append(k)
        seen.append(k)
    return np.array(kept, int)


def _positions(boxes, scores, labels, cut):
    """Where the kept ones stand in the sorted list."""
    order = _best_first(scores.numpy())
    return np.argsort(order)[_suppress(boxes, scores, labels, cut)]


NMS = Exercise(
    name="ex06.nms",
    title="Non-maximum suppression",
    aim="suppress repeated boxes of one object, class by class",
    level="core",
    points=3,
    minutes=15,
    cases=_nms_cases,
    oracle=_nms,
    mistakes=(
        Mistake(
            "across_classes",
            "A box is dropped for one of another class. A person in front of a car has nearly the "
            "same box, and both are there: only boxes of one class compete.",
            like=partial(_suppress, by_class=False),
        ),
        Mistake(
            "dead_too",
            "A box that was dropped itself still drops others. In a chain of three the first drops "
            "the second, and the third, which hardly touches the first, has to stay.",
            like=partial(_suppress, dead_too=True),
        ),
        Mistake(
            "given_order",
            "The boxes are gone through in the order in which they were given. The best score "
            "comes first: whoever is kept drops others.",
            like=partial(_suppress, order=lambda scores: np.arange(len(scores))),
        ),
        Mistake(
            "lowest_first",
            "You begin with the lowest score, so the worst box of each object is kept. argsort "
            "sorts upwards.",
            like=partial(_suppress, order=lambda scores: np.argsort(scores)),
        ),
        Mistake(
            "at_the_cut",
            "A box whose IoU is just the cut is dropped. Only those above it are.",
            like=partial(_suppress, drops=np.greater_equal),
        ),
        Mistake(
            "apart",
            "Boxes that lie apart drop each other. Apart in x *and* in y, both sides of what they "
            "share are negative, and the product is positive. What is the least that two boxes "
            "can share?",
            like=partial(_suppress, overlap=partial(_box_iou, clip=None)),
        ),
        Mistake(
            "plus_one",
            "Your widths are one too large. These boxes end on edges: the width is x1 - x0, and "
            "with small boxes the one more makes a difference.",
            like=partial(_suppress, overlap=partial(_box_iou, more=1.0)),
        ),
        Mistake(
            "of_the_smaller",
            "You divide by the smaller of the two boxes. Then a small box inside a large one is "
            "always dropped, or drops it. IoU divides by what they cover together.",
            like=partial(_suppress, overlap=_of_the_smaller),
        ),
        Mistake(
            "union_twice",
            "You divide by the sum of both areas, in which the shared part counts twice.",
            like=partial(_suppress, overlap=_of_the_sum),
        ),
        Mistake(
            "sorted_places",
            "These are places in your sorted list. Which box was that, as it was given?",
            like=_positions,
        ),
        Mistake(
            "not_by_score",
            "The right boxes are kept, but their numbers do not come in the order of their scores.",
            when=lambda args, got: np.ndim(got) == 1 and np.asarray(got).dtype != bool
            and np.array_equal(np.sort(got), np.sort(_nms(*args))),
        ),
        Mistake(
            "yes_or_no",
            "This is a yes or no for each box. The numbers of the kept ones are asked for, best "
            "score first.",
            when=lambda args, got: len(args[0]) and _has_shape(got, len(args[0]))
            and set(np.unique(got).tolist()) <= {0, 1} and np.asarray(got).dtype.kind in "bf",
        ),
        Mistake(
            "boxes_back",
            "These are the boxes. Their numbers are asked for: with them one picks scores, labels "
            "and masks as well.",
            when=lambda args, got: np.ndim(got) == 2 and np.shape(got)[1] == 4,
        ),
    ),
    hints=(
        "Sort the numbers of the boxes by score. Then take one after the other, and keep it unless "
        "a box that is already kept, of the same class, overlaps it too much.",
    ),
    target=lambda: (
        "Boxes [8, 0, 18, 10], [0, 0, 10, 10], [4, 0, 14, 10] with scores 0.7, 0.9, 0.8, one "
        "class, cut 0.3: box 1 is kept and drops box 2 (IoU 0.43); box 0 shares little with box 1 "
        "(IoU 0.11) and stays: [1, 0].", None,
    ),
)


# ---- roi_align -------------------------------------------------------------------------------


def _roi_align(features, box, stride, size):
    found = ops.roi_align(features[None, None], [box[None]], size, 1 / stride, 2, aligned=True)
    return found[0, 0].numpy()


def _roi_cases(rng):
    def case(label, shape, box, stride, size):
        features = torch.from_numpy(rng.normal(0, 1, shape))
        return Case(label, (features, torch.tensor(box, dtype=torch.float64), stride, size))

    def inside(shape, stride):
        height, width = (stride * n for n in shape)
        x0, y0 = rng.uniform(0, 0.4 * width), rng.uniform(0, 0.4 * height)
        x1, y1 = rng.uniform(0.6 * width, 0.9 * width), rng.uniform(0.55 * height, 0.9 * height)
        return [x0, y0, x1, y1]

    cases = [
        case("a box of whole cells", (6, 7), [1.0, 1.0, 6.0, 5.0], 1, 2),
        case("the whole picture", (5, 7), [0.0, 0, 28, 20], 4, 3),
        case("a box at the left and upper edge", (6, 6), [0.0, 0.0, 9.0, 13.0], 4, 2),
        case("a box at the right and lower edge", (6, 8), [17.0, 11.0, 32.0, 24.0], 4, 3),
    ]
    for shape, stride, size in [((7, 9), 4, 3), ((9, 7), 8, 2), ((8, 8), 1, 3), ((6, 9), 4, 7)] * 2:
        label = f"stride {stride}, {size} × {size} bins"
        cases.append(case(label, shape, inside(shape, stride), stride, size))
    return cases


def _at(features, y, x, clip=True, swap=False, nearest=False):
    """Values between the cells, at (y, x) arrays; the arguments after `x` make mistakes."""
    height, width = features.shape
    if clip:
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    if nearest:
        return features[np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)]
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = (np.minimum(first + 1, n - 1) for first, n in ((top, height), (left, width)))
    down, across = y - top, x - left
    if swap:
        down, across = 1 - down, 1 - across
    upper = features[top, left] * (1 - across) + features[top, right] * across
    lower = features[below, left] * (1 - across) + features[below, right] * across
    return upper * (1 - down) + lower * down


def _cut_out(features, box, stride, size, scale=lambda box, stride: box / stride - 0.5, points=2,
             places=None, pool=np.mean, **options):
    """RoIAlign in NumPy; the keyword arguments make the mistakes."""
    x0, y0, x1, y1 = scale(box.numpy(), stride)
    n = points * size
    along = (np.arange(n) + 0.5) / n if places is None else places(n)
    y, x = np.meshgrid(y0 + along * (y1 - y0), x0 + along * (x1 - x0), indexing="ij")
    values = _at(features.numpy(), y, x, **options)  # (n, n)
    return pool(values.reshape(size, points, size, points), axis=(1, 3))


def _zeros_beyond(features, box, stride, size):
    """Cells of 0 around the map, as grid_sample has them unless it is told otherwise."""
    wide = torch.from_numpy(np.pad(features.numpy(), 1))
    return _cut_out(wide, box, stride, size, scale=lambda box, stride: box / stride + 0.5)


def _box_inside(features, box, stride, size):
    """The box brought within the outermost centres, and not its points."""
    bottom, right = (n - 1 for n in features.shape)
    return _cut_out(features, box, stride, size, scale=lambda box, stride: np.clip(
        box / stride - 0.5, 0, [right, bottom] * 2))


def _as_many_as_fit(features, box, stride, size):
    return ops.roi_align(features[None, None], [box[None]], size, 1 / stride,
                         aligned=True)[0, 0].numpy()


def _corner_and_size(box, stride):
    x, y, width, height = box / stride
    return np.array([x, y, x + width, y + height]) - 0.5


ROI_ALIGN = Exercise(
    name="ex06.roi_align",
    title="RoIAlign of one box",
    aim="cut a box out of a feature map by RoIAlign, without rounding",
    level="core",
    points=4,
    minutes=25,
    cases=_roi_cases,
    oracle=_roi_align,
    mistakes=(
        Mistake(
            "half_a_cell",
            "Half a cell was not taken off. Cell 0 reaches from edge 0 to edge 1, so its value "
            "belongs to 0.5 on the box's scale; your cut is moved right and down.",
            like=partial(_cut_out, scale=lambda box, stride: box / stride),
        ),
        Mistake(
            "half_a_pixel",
            "You took half a *pixel* off, and divided by the stride after that. It is half a cell "
            "of the map, and a cell is `stride` pixels wide.",
            like=partial(_cut_out, scale=lambda box, stride: (box - 0.5) / stride),
        ),
        Mistake(
            "half_added",
            "Half a cell was added, and has to be taken off: your cut is moved right and down.",
            like=partial(_cut_out, scale=lambda box, stride: box / stride + 0.5),
        ),
        Mistake(
            "stride_forgotten",
            "The box is in pixels of the picture, and the map has one cell for every `stride`.",
            like=partial(_cut_out, scale=lambda box, stride: box - 0.5),
        ),
        Mistake(
            "rounded",
            "The box was rounded to whole cells. That is what RoIPool did; half a cell of 8 "
            "pixels is 4, and masks are sharper than that. Nothing is rounded here.",
            like=partial(_cut_out, scale=lambda box, stride: np.round(box / stride) - 0.5),
        ),
        Mistake(
            "floored",
            "The box was cut down to whole cells. That is what RoIPool did; half a cell of 8 "
            "pixels is 4, and masks are sharper than that. Nothing is rounded here.",
            like=partial(_cut_out, scale=lambda box, stride: np.floor(box / stride) - 0.5),
        ),
        Mistake(
            "nearest",
            "Each point takes the value of the nearest cell. Between the cells the value is "
            "bilinear, from the four around it.",
            like=partial(_cut_out, nearest=True),
        ),
        Mistake(
            "weights_swapped",
            "The near cell gets the weight of the far one. Who is at a distance of 0.2 has a "
            "weight of 0.8.",
            like=partial(_cut_out, swap=True),
        ),
        Mistake(
            "highest",
            "You take the highest of the four points in a bin, as RoIPool does. Their mean is "
            "asked for.",
            like=partial(_cut_out, pool=np.max),
        ),
        Mistake(
            "one_point",
            "There is one point in the middle of each bin. Four are asked for, two by two.",
            like=partial(_cut_out, points=1),
        ),
        Mistake(
            "as_many_as_fit",
            "How many points a bin has depends on the size of the box in yours, as it does in "
            "torchvision if sampling_ratio is left out. Here there are always two by two.",
            like=_as_many_as_fit,
        ),
        Mistake(
            "on_the_edges",
            "Your first and last points lie on the edges of the box. They lie in the middle of "
            "the quarters of a bin, so a quarter of a bin inside.",
            like=partial(_cut_out, places=lambda n: np.linspace(0, 1, n)),
        ),
        Mistake(
            "not_in_the_middle",
            "Your points begin at the upper left corner of each bin. They lie in the middle of "
            "its quarters: at 1/4 and 3/4.",
            like=partial(_cut_out, places=lambda n: np.arange(n) / n),
        ),
        Mistake(
            "rows_first",
            "x and y are exchanged. A box begins with x; the map's first index runs down.",
            like=partial(_cut_out,
                         scale=lambda box, stride: box[[1, 0, 3, 2]] / stride - 0.5),
        ),
        Mistake(
            "width_and_height",
            "You read the last two numbers as width and height. They are the other corner.",
            like=partial(_cut_out, scale=_corner_and_size),
        ),
        Mistake(
            "round_the_corner",
            "At the left and upper edge a point lies at -0.3, say, and its upper left cell has "
            "the number -1: that is the *last* one. Bring the points to the outermost centres "
            "first.",
            like=partial(_cut_out, clip=False),
        ),
        Mistake(
            "zeros_beyond",
            "Beyond the outermost centres your map is 0, so the values fall off towards its edges. "
            "A point out there is moved onto the outermost centre first (in grid_sample: "
            'padding_mode="border").',
            like=_zeros_beyond,
        ),
        Mistake(
            "box_inside",
            "You bring the *box* within the outermost centres, so that its bins get smaller. The "
            "points are laid out first, and those that lie beyond are moved one by one.",
            like=_box_inside,
        ),
        Mistake(
            "turned",
            "Rows and columns of your result are exchanged: its first index runs down.",
            like=lambda features, box, stride, size: _roi_align(features, box, stride, size).T,
        ),
        Mistake(
            "beyond_the_edge",
            "The index runs out of the map. At its right and lower edge there is no cell beyond "
            "the last: a point beyond the outermost centres takes what is there. (And if most "
            "points lie beyond: is the box on the scale of the map?)",
            raised="IndexError",
        ),
    ),
    hints=(
        "Three steps: the box on the scale of the map; the 2·size positions in y and in x; the "
        "value at each pair of them. Then reshape to (size, 2, size, 2) and take the mean.",
        "On the line: a value at 2.3 is 0.7 times that of cell 2 and 0.3 times that of cell 3. On "
        "the map do this first along x in two rows, then along y.",
    ),
    target=lambda: (
        "A map whose rows are all 0, 1, 2, 3, 4, 5, box [1, 1, 5, 4], stride 1, 2 × 2 bins: the "
        "bins' centres lie at x = 2 and x = 4 from the left edge, so at cells 1.5 and 3.5. The "
        "result is [[1.5, 3.5], [1.5, 3.5]].", None,
    ),
)


# ---- paint -----------------------------------------------------------------------------------


def _paint(scores, labels, soft, cut):
    return predict.paint(scores, labels, soft >= predict.MASK_CUT, cut).numpy()


def _soft(rng, n, shape=(10, 12)):
    """Soft masks (n, H, W) float64 that overlap: blurred boxes."""
    soft = np.zeros((n, *shape))
    for mask in soft:
        y, x = (int(rng.integers(0, side - 4)) for side in shape)
        height, width = rng.integers(4, 8, 2)
        mask[y:y + height, x:x + width] = 1
    blurred = [cv2.GaussianBlur(mask, (0, 0), 1.2) for mask in soft]
    return torch.from_numpy(np.array(blurred).reshape(soft.shape) * rng.uniform(0.8, 1, (n, 1, 1)))


def _paint_cases(rng):
    def case(label, scores, labels, soft, cut=0.5):
        scores = torch.tensor(scores, dtype=torch.float64)
        return Case(label, (scores, torch.tensor(labels, dtype=torch.int64), soft, cut))

    hard = torch.zeros(3, 4, 6, dtype=torch.float64)
    hard[0, :, :3], hard[1, 1:3, 1:5], hard[2, :2, 4:] = 1, 1, 1
    half = torch.full((1, 3, 4), 0.5, dtype=torch.float64)
    cases = [
        case("three plain masks", [0.6, 0.9, 0.3], [2, 1, 2], hard),
        case("a mask of just 0.5", [0.9], [2], half),
        case("a score of just the cut", [0.7, 0.5], [1, 2], hard[:2], 0.5),
        case("equal scores", [0.8, 0.8], [2, 1], hard[:2]),
        case("nothing found", [], [], torch.zeros(0, 4, 6, dtype=torch.float64)),
    ]
    for n, cut in ((4, 0.5), (6, 0.3), (8, 0.5), (5, 0.7), (8, 0.05)):
        scores = rng.permutation(np.linspace(0.08, 0.98, n)).tolist()
        labels = rng.integers(1, 4, n).tolist()
        cases.append(case(f"{n} instances, cut {cut}", scores, labels, _soft(rng, n), cut))
    return cases


def _painted(scores, labels, soft, cut, order=lambda scores: _best_first(scores)[::-1],
             keep=np.greater_equal, inside=lambda soft, score: soft >= 0.5, value=None, empty=0):
    """Painting by a plain loop; the arguments after `cut` make the mistakes."""
    scores, labels, soft = scores.numpy(), labels.numpy(), soft.numpy()
    ids = np.full(soft.shape[1:], empty)
    for k in order(scores):
        if keep(scores[k], cut):
            ids[inside(soft[k], scores[k])] = labels[k] if value is None else value(k)
    return ids


def _most_certain_mask(scores, labels, soft, cut):
    """Each pixel goes to the instance whose mask is the most certain there."""
    scores, labels, soft = scores.numpy(), labels.numpy(), soft.numpy()
    seen = scores >= cut
    if not seen.any():
        return np.zeros(soft.shape[1:], int)
    best = soft[seen].argmax(axis=0)
    return np.where(soft[seen].max(axis=0) >= 0.5, labels[seen][best], 0)


def _added(scores, labels, soft, cut):
    seen = scores.numpy() >= cut
    return ((soft.numpy()[seen] >= 0.5) * labels.numpy()[seen][:, None, None]).sum(axis=0)


def _highest_label(scores, labels, soft, cut):
    seen = scores >= cut
    return _painted(labels[seen], labels[seen], soft[seen], 0)


def three_found():
    """Three made-up instances: scores (3,), labels (3,) and soft masks (3, 48, 64), as tensors."""
    y, x = np.mgrid[:48, :64]
    off = [np.hypot((y - cy) / 1.6, x - cx) for cy, cx in ((22, 24), (26, 38), (30, 14))]
    soft = 1 / (1 + np.exp((np.stack(off) - 10) / 1.5))  # certain within, unsure at the rim
    return torch.tensor([0.74, 0.91, 0.33]), torch.tensor([1, 2, 1]), torch.from_numpy(soft)


def _paint_target():
    caption = ("The three instances of the notebook, painted with cut 0.5: the one with the "
               "highest score lies whole on top, and the third stays out.")
    return caption, masks.colorize(_paint(*three_found(), 0.5).astype(np.uint8))


PAINT = Exercise(
    name="ex06.paint",
    title="Instances as a class mask",
    aim="paint scored, overlapping instances into one class mask",
    level="warm-up",
    points=2,
    minutes=10,
    cases=_paint_cases,
    oracle=_paint,
    compare=whole_ids,
    mistakes=(
        Mistake(
            "ties",
            "Of equal scores the last one given lies on top; the first is asked for. Whichever "
            "rule it is, it must be the same on every machine.",
            like=partial(_painted, order=lambda scores: np.argsort(scores, kind="stable")),
        ),
        Mistake(
            "lowest_on_top",
            "Where two overlap, the one with the lower score is seen. What is painted last lies on "
            "top: who has to come last?",
            like=partial(_painted, order=_best_first),
        ),
        Mistake(
            "given_order",
            "They are painted in the order in which they were given. Their scores decide who lies "
            "on top.",
            like=partial(_painted, order=lambda scores: range(len(scores))),
        ),
        Mistake(
            "first_given_on_top",
            "The first one given lies on top. Their scores decide, and they are not sorted here.",
            like=partial(_painted, order=lambda scores: range(len(scores))[::-1]),
        ),
        Mistake(
            "not_cut",
            "Every instance is painted. Mask R-CNN returns a hundred guesses, most of them with "
            "little belief: those below the cut stay out.",
            like=partial(_painted, keep=lambda score, cut: True),
        ),
        Mistake(
            "cut_itself",
            "An instance whose score is just the cut is left out. Those *below* it are.",
            like=partial(_painted, keep=np.greater),
        ),
        Mistake(
            "above_half",
            "A pixel with just 0.5 is left out of its instance. From 0.5 on it belongs to it.",
            like=partial(_painted, inside=lambda soft, score: soft > 0.5),
        ),
        Mistake(
            "any_belief",
            "Your instances are too fat: whatever is not 0 counts. A soft mask fades out, and a "
            "pixel belongs to the instance from 0.5 on.",
            like=partial(_painted, inside=lambda soft, score: soft > 0),
        ),
        Mistake(
            "one_cut_for_both",
            "You cut the masks where the scores are cut. `cut` is for scores alone: a pixel "
            "belongs to an instance from 0.5 on.",
            like=lambda scores, labels, soft, cut: _painted(
                scores, labels, soft, cut, inside=lambda soft, score: soft >= cut),
        ),
        Mistake(
            "score_times_mask",
            "You multiply the mask by the score before you cut it at 0.5, so an unsure instance "
            "becomes a thin one. The two cuts are asked for one by one.",
            like=partial(_painted, inside=lambda soft, score: soft * score >= 0.5),
        ),
        Mistake(
            "most_certain_mask",
            "In an overlap your pixels go to the mask that is the most certain there. The score of "
            "the whole instance decides.",
            like=_most_certain_mask,
        ),
        Mistake(
            "highest_label",
            "Where instances overlap, the one with the highest label is seen. A label is a name; "
            "the highest *score* decides.",
            like=_highest_label,
        ),
        Mistake(
            "numbers",
            "These are the numbers of the instances. A class mask holds their labels.",
            like=lambda *args: _painted(*args, value=lambda k: k + 1),
        ),
        Mistake(
            "added",
            "Where instances overlap, their labels are added up. An id is a name: a pixel has the "
            "one or the other.",
            like=_added,
        ),
        Mistake(
            "rest_is_void",
            "What nobody claims is 255 in your mask. Nothing was found there, and that is a "
            "prediction: background. Void is never predicted.",
            like=partial(_painted, empty=VOID),
        ),
    ),
    hints=(
        "Begin with a mask of zeros. Paint one instance after the other, so that the best comes "
        "last; each paints its label where its soft mask is at least 0.5.",
    ),
    target=_paint_target,
)


# ---- ap50 ------------------------------------------------------------------------------------

PIECE = 6  # pixels of a made-up object's side


def _shapes():
    """Four objects of PIECE × PIECE pixels that share a box, and two that do not."""
    corner = np.tri(PIECE, dtype=bool)
    thin = np.zeros((PIECE, PIECE), bool)
    thin[:, 1:4] = True
    return [corner, corner[::-1], corner[:, ::-1], np.ones((PIECE, PIECE), bool), thin, thin.T]


def scene_of(rng, objects, false=2, size=40, found=0.85):
    """A made-up picture: ({"masks": (N, H, W) bool, "scores": (N,) float64}, (M, H, W) bool).

    Some objects are found, some twice or badly, and `false` predictions lie where nothing is.
    """
    cells = [(y, x) for y in range(2, size - 9, 12) for x in range(2, size - 9, 12)]
    places, shapes = rng.permutation(cells)[:objects + false], _shapes()
    truth, said, scores = [], [], []

    def draw(y, x, shape):
        canvas = np.zeros((size, size), bool)
        canvas[y:y + PIECE, x:x + PIECE] = shape
        return canvas

    for k, (y, x) in enumerate(places):
        shape = shapes[rng.integers(len(shapes))]
        if k < objects:
            truth.append(draw(y, x, shape))
        for _ in range(int(rng.random() < found) + int(rng.random() < 0.35) if k < objects else 1):
            other = shapes[rng.integers(len(shapes))] if rng.random() < 0.2 else shape
            dy, dx = rng.choice([0, 0, 0, 1, 2], 2)
            said.append(draw(y + dy, x + dx, other))
            scores.append(rng.uniform(0.3, 0.99) if k < objects else rng.uniform(0.05, 0.8))
    return _found(said, scores, size), _stack(truth, size)


def _stack(planes, size):
    return torch.from_numpy(np.array(planes, bool).reshape(-1, size, size))


def _found(planes, scores, size):
    return {"masks": _stack(planes, size), "scores": torch.as_tensor(scores, dtype=torch.float64)}


def _ap_cases(rng):
    # No share of 3, 6, 7 or 9 objects but 0, a half and all is a whole percent, so that rounding
    # cannot decide at which of the 101 recalls a step of the curve lies.
    def pictures(*numbers, **options):
        made = [scene_of(rng, n, **options) for n in numbers]
        return tuple(map(list, zip(*made, strict=True)))

    def bars(*parts):  # rows of a 4 × 8 picture that are true and predicted
        planes = np.zeros((len(parts), 4, 8), bool)
        for plane, (first, last) in zip(planes, parts, strict=True):
            plane[:, first:last] = True
        return list(planes)

    half = {"masks": torch.from_numpy(np.array(bars((0, 2), (4, 8)))),
            "scores": torch.tensor([0.61, 0.52], dtype=torch.float64)}
    twice = {"masks": torch.from_numpy(np.array(bars((0, 4), (0, 4), (4, 8)))),
             "scores": torch.tensor([0.91, 0.82, 0.73], dtype=torch.float64)}
    two = torch.from_numpy(np.array(bars((0, 4), (4, 8))))
    close = torch.from_numpy(np.array(bars((0, 4), (1, 5))))  # two true objects, IoU 0.6
    again = {"masks": torch.from_numpy(np.array(bars((0, 4), (0, 4)))),
             "scores": torch.tensor([0.95, 0.88], dtype=torch.float64)}
    other = {"masks": torch.from_numpy(np.array(bars((1, 5), (0, 3)))),
             "scores": torch.tensor([0.97, 0.9], dtype=torch.float64)}
    found, truth = pictures(3, 2, 2)
    nothing = [_found([], [], 40) for _ in truth]
    alarm, none = scene_of(rng, 0, false=1)
    alarm["scores"][:] = 0.995  # above all others, so that it counts
    cases = [
        Case("an IoU of just 0.5", ([half, *found[:2]], [two, *truth[:2]])),
        Case("an object that is found twice", ([twice, *found[:2]], [two, *truth[:2]])),
        Case("nothing found", (nothing, truth)),
        Case("one picture without a prediction", ([*found[:2], nothing[0]], truth)),
        Case("a false alarm where there is no object", ([alarm, *found], [none, *truth])),
        Case("objects that overlap", ([again, other, found[0]], [close, close, truth[0]])),
    ]
    for numbers in ((3,), (2, 1), (3, 3), (4, 3), (5, 4), (3, 2, 1), (2, 3, 4), (7,)):
        where = f"{len(numbers)} pictures" if len(numbers) > 1 else "one picture"
        cases.append(Case(f"{sum(numbers)} objects in {where}", pictures(*numbers)))
    return cases


def _both(a, b):
    """Pixels that masks (N, H, W) and (M, H, W) share, (N, M), and those of each."""
    pixels = np.prod(a.shape[1:])
    a, b = (planes.reshape(-1, pixels).astype(float) for planes in (a, b))
    return a @ b.T, a.sum(axis=1)[:, None], b.sum(axis=1)


def _mask_iou(a, b):
    both, mine, other = _both(a, b)
    return both / (mine + other - both)


def _mask_dice(a, b):
    both, mine, other = _both(a, b)
    return 2 * both / (mine + other)


def _iou_of_boxes(a, b):
    return _box_iou(*(masks.boxes_from_masks(planes).astype(float) for planes in (a, b)))


def _marks(found, truth, overlap=_mask_iou, given_order=False, reuse=False,
           reaches=np.greater_equal, upwards=False, pick=lambda whole, left: left.argmax()):
    """Of one picture's predictions: scores and whether each is right, best score first."""
    scores = found["scores"].numpy()
    order = np.arange(len(scores)) if given_order else _best_first(scores)
    order = order[::-1] if upwards else order
    shared, right = overlap(found["masks"].numpy(), truth.numpy()), []  # shared is (N, M)
    whole = shared.copy()  # with the objects that are taken
    for k in order:
        m = pick(whole[k], shared[k]) if len(truth) else None
        right.append(m is not None and bool(reaches(shared[k, m], 0.5)))
        if right[-1] and not reuse:
            shared[:, m] = 0
    return scores[order], np.array(right, bool)


def _envelope(precision):
    return np.maximum.accumulate(precision[::-1])[::-1]


def _percents(recall, precision, steps=101):
    """The mean of the interpolated precision at evenly spaced recalls."""
    places = np.searchsorted(recall, np.linspace(0, 1, steps))
    return np.append(precision, 0)[places].mean()


def _area(recall, precision):
    return (np.diff(recall, prepend=0) * precision).sum()


def _average(scores, right, objects, given_order=False, raw=False, rule=_percents, share=False,
             upwards=False):
    order = np.arange(len(scores)) if given_order else _best_first(scores)
    order = order[::-1] if upwards else order
    hits = np.cumsum(right[order])
    recall = hits / (max(hits[-1], 1) if share else objects) if len(hits) else hits
    precision = hits / np.arange(1, len(hits) + 1)
    return float(rule(recall, precision if raw else _envelope(precision)))


def _ap50(found, truth, marks=_marks, given_order=False, **options):
    """AP50 of one class; the keyword arguments make the mistakes."""
    marks = partial(marks, given_order=given_order)
    pairs = [marks(f, t) for f, t in zip(found, truth, strict=True)]
    scores, right = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return _average(scores, right, sum(map(len, truth)), given_order=given_order, **options)


def _marking(**options):
    """A mistake in matching alone."""
    return partial(_ap50, marks=partial(_marks, **options))


def _with_objects(found, truth):
    """Pictures without an object left out, and their false alarms with them."""
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if len(t)]
    return _ap50(*zip(*pairs, strict=True))


def _by_picture(found, truth):
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if len(t)]
    return float(np.mean([_ap50([f], [t]) for f, t in pairs]))


def _last_precision(found, truth):
    return _ap50(found, truth, rule=lambda recall, precision: precision[-1] if len(recall) else 0,
                 raw=True)


def _last_recall(found, truth):
    return _ap50(found, truth, rule=lambda recall, precision: recall[-1] if len(recall) else 0)


AP50 = Exercise(
    name="ex06.ap50",
    title="Mask AP50",
    aim="score instances by mask AP50, from matching to interpolated precision",
    level="stretch",
    points=4,
    minutes=30,
    cases=_ap_cases,
    oracle=_ap50,
    mistakes=(
        Mistake(
            "by_picture",
            "You take the AP of each picture by itself, and the mean of these. All predictions "
            "belong into one list: a false alarm in one picture counts against a find in another.",
            like=_by_picture,
        ),
        Mistake(
            "not_sorted",
            "The predictions come in the order in which they were given. The best score comes "
            "first, over all pictures.",
            like=partial(_ap50, given_order=True),
        ),
        Mistake(
            "not_sorted_together",
            "Each picture's predictions are sorted, and then one picture follows the other. Sort "
            "them all together by their score.",
            like=lambda found, truth: _ap50(
                found, truth, marks=lambda f, t, given_order: _marks(f, t), given_order=True),
        ),
        Mistake(
            "found_twice",
            "An object that was found is found again by the next prediction on it. The second one "
            "is a false alarm: nobody wants to hear of the same car twice.",
            like=_marking(reuse=True),
        ),
        Mistake(
            "only_with_objects",
            "Pictures without a true object are left out. What is predicted in them is wrong, and "
            "counts: a false alarm lowers the precision wherever it is.",
            like=_with_objects,
        ),
        Mistake(
            "best_is_taken",
            "Each prediction of yours asks for the object with the highest IoU of all, and is "
            "wrong if that one is taken. Ask for the best of those that are *not yet taken*.",
            like=_marking(pick=lambda whole, left: whole.argmax()),
        ),
        Mistake(
            "first_good_one",
            "Your predictions take the first object that they meet with an IoU of 0.5 or more. "
            "Take the one with the highest IoU: another prediction may need the first.",
            like=_marking(pick=lambda whole, left: (left >= 0.5).argmax()),
        ),
        Mistake(
            "matched_upwards",
            "In a picture you let the lowest score choose its object first. argsort sorts upwards, "
            "and the highest score comes first.",
            like=_marking(upwards=True),
        ),
        Mistake(
            "pooled_upwards",
            "The predictions of all pictures are sorted upwards, from the lowest score on. The "
            "highest comes first.",
            like=partial(_ap50, upwards=True),
        ),
        Mistake(
            "boxes",
            "This is the AP of the boxes around the masks. Compare the masks themselves.",
            like=_marking(overlap=_iou_of_boxes),
        ),
        Mistake(
            "dice",
            "This overlap is Dice, which is higher than IoU: the shared pixels count once, and are "
            "divided by those of both together.",
            like=_marking(overlap=_mask_dice),
        ),
        Mistake(
            "above_half",
            "An IoU of just 0.5 counts as right, and yours does not.",
            like=_marking(reaches=np.greater),
        ),
        Mistake(
            "not_interpolated",
            "The precision is taken as it is, with its teeth. At a recall the highest precision "
            "counts that is reached there *or at any higher recall*.",
            like=partial(_ap50, raw=True),
        ),
        Mistake(
            "raw_area",
            "This is the area under the raw curve. Two things differ: the precision is the highest "
            "at this recall or any higher one, and the mean is over 101 recalls.",
            like=partial(_ap50, raw=True, rule=_area),
        ),
        Mistake(
            "all_points",
            "This is the area under the whole interpolated curve, as Pascal VOC has taken it since "
            "2010. COCO takes the mean at 101 recalls: nearly the same, and not the same.",
            like=partial(_ap50, rule=_area),
        ),
        Mistake(
            "eleven_points",
            "This is the mean at eleven recalls, as Pascal VOC took it in 2007. COCO takes 101.",
            like=partial(_ap50, rule=partial(_percents, steps=11)),
        ),
        Mistake(
            "missed_forgotten",
            "Your recall reaches 1 whatever was found: it is divided by the number of finds. It "
            "is the share of *all* true objects, those that nobody found among them.",
            like=partial(_ap50, share=True),
        ),
        Mistake(
            "last_precision",
            "This is the precision over all predictions, one point of the curve. AP asks what it "
            "is at each recall.",
            like=_last_precision,
        ),
        Mistake(
            "last_recall",
            "This is the recall over all predictions, one point of the curve. AP asks what the "
            "precision is at each recall.",
            like=_last_recall,
        ),
    ),
    hints=(
        "Write it in two parts: one that says of each prediction of a picture whether it is right, "
        "and one that makes a number of all scores and rights, and the number of true objects.",
        "With the predictions sorted, finds so far = cumsum(right). Recall and precision follow. "
        "Then 101 times: the highest precision among those whose recall is at least r, or 0.",
    ),
    target=lambda: (
        "Three objects; right, wrong, right, wrong from the best score down. Recall 1/3, 1/3, "
        "2/3, 2/3; precision 1, 1/2, 2/3, 1/2. The interpolated precision is 1 at 34 of the 101 "
        "recalls, 2/3 at 33 and 0 at 34: AP50 = 56 / 101 = 0.554.", None,
    ),
)


# ---- finetune --------------------------------------------------------------------------------


class Small(nn.Module):
    """A network in two parts, (B, 3, H, W) -> logits (B, C, H, W): `backbone`, then `head`."""

    def __init__(self, seed=0, classes=3):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.head = nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Dropout(0.2), nn.Conv2d(8, classes, 1))

    def forward(self, image):
        return self.head(self.backbone(image))


def _finetune_cases(rng):
    cases = []
    for steps in (3, 1, 5):
        batches = [(torch.from_numpy(rng.normal(0.5, 2, (4, 3, 6, 7)).astype(np.float32)),
                    torch.from_numpy(rng.integers(0, 3, (4, 6, 7)))) for _ in range(steps)]
        net = Small(int(rng.integers(2**31)))
        label = f"{steps} batches" if steps > 1 else "a single batch"
        cases.append(Case(label, (net.train(steps != 3), batches, 0.01)))
    return cases


def _finetuned(answer, net, batches, rate):
    """What a fine-tuning gives, and what it does to the network on the way, as plain data."""
    seen = {"backbone": set(), "head": set(), "graph": False, "old": False}

    def went_back(grad):
        seen["graph"] = True

    def about_to(grad):  # go back through the head: what is in .grad now was there before
        seen["old"] |= any(p.grad is not None and bool(p.grad.any())
                           for p in net.head.parameters())

    def watch(part):
        def hook(module, args, out):  # after it, when a hook that sets the mode has run
            if isinstance(module, nn.BatchNorm2d | nn.Dropout):
                seen[part].add((type(module).__name__, module.training))
            if out.requires_grad and part == "backbone":
                out.register_hook(went_back)
            elif out.requires_grad and module is net.head:
                out.register_hook(about_to)
        return hook

    for part in ("backbone", "head"):
        for module in net.get_submodule(part).modules():
            module.register_forward_hook(watch(part))
    before = copy.deepcopy(net.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        losses = answer(net, batches, rate)
    if losses is None and stub(answer):
        raise NotImplementedError
    same = [name for name, old in before.items() if torch.equal(old, net.state_dict()[name])]
    return {"losses": losses, "same": same, "all": list(before), **seen}


_FINETUNE_HINTS = {
    "weights":
        "The backbone's weights have moved. Which parameters does your optimizer hold, and which "
        "of them want a gradient?",
    "statistics":
        "The backbone's weights are as before, and yet it is another network: its batch norm "
        "learned new means and variances. They are buffers and want no gradient; in training mode "
        "every batch moves them.",
    "batch_statistics":
        "All of the backbone comes back as it was, but in training it normalised by the statistics "
        "of each batch. The head has learned from features that it will never see again.",
    "head_asleep":
        "The head was trained in evaluation mode: its dropout sleeps, and its batch norm learns no "
        "statistics. Only the backbone is frozen.",
    "head_still":
        "The head has not moved. Does the optimizer hold its weights, and is there a step after "
        "each backward?",
    "part_of_head":
        "Only a part of the head was trained. All of it is new: every weight and every bias.",
    "graph":
        "The result is right, but gradients were computed through the backbone and thrown away: "
        "that is most of the time and memory of a step. What tells torch that nobody wants them?",
    "old_gradient":
        "The gradients of the batches before are still in .grad when backward() adds the next "
        "ones, so every step follows all of them. Clear them for each batch.",
    "losses": "One loss for each batch is needed, in a list.",
}


def _finetunings(calls):
    """What is wrong with the fine-tunings, most grave first; None if nothing is."""
    keys = [_wrong_finetuning(args[1], got) for args, got in calls]
    key = next((key for key in _FINETUNE_HINTS if key in keys), "")
    return Problem(key, _FINETUNE_HINTS[key]) if key else None


def _wrong_finetuning(batches, got):
    """The key of what is wrong with one call; "" if nothing is."""
    moved = set(got["all"]) - set(got["same"])
    buffers = {name for name in got["all"] if "running" in name or "num_batches" in name}
    body, head = ({name for name in got["all"] if name.startswith(part)}
                  for part in ("backbone", "head"))
    wrong = {
        "weights": moved & body - buffers,
        "statistics": moved & body,
        "batch_statistics": ("BatchNorm2d", True) in got["backbone"],
        "head_asleep": any(not training for _, training in got["head"]),
        "head_still": not moved & head - buffers,
        "part_of_head": head - buffers - moved,
        "graph": got["graph"],
        "old_gradient": got["old"],
        "losses": np.shape(got["losses"]) != (len(batches),),
    }
    return next((key for key, holds in wrong.items() if holds), "")


FINETUNE = Exercise(
    name="ex06.finetune",
    title="Mend a fine-tuning that moves what is frozen",
    aim="train a new head on a backbone that stays exactly as it was",
    level="core",
    points=3,
    minutes=15,
    cases=_finetune_cases,
    examine=_finetunings,
    call=_finetuned,
    hints=(
        "Three things freeze a part: no gradient for its parameters, nothing of it in the "
        "optimizer, and evaluation mode for its layers.",
        "net.train() sets the mode of *all* layers below it. Each part has a train() and an eval() "
        "of its own, and what is called last counts.",
    ),
    target=lambda: (
        "Afterwards all tensors of net.backbone.state_dict() are as before to the last bit, the "
        "running means among them, and all tensors of net.head have moved.", None,
    ),
)


# ---- hold ------------------------------------------------------------------------------------


def _hold(layers, stride, grow=lambda rate: 2 * rate, at_once=False, first=False, late=False):
    """[(stride, rate), …] by the rule of the lesson; the arguments after `stride` make mistakes."""
    halvings = sum(step == 2 for _, step in layers)
    kept = min(halvings, stride.bit_length() - 1 + late)
    keeps = range(halvings)[-kept:] if first and kept else range(kept)
    number, rate, held = 0, 1, []
    for _, step in layers:
        if step == 2 and number not in keeps:
            held.append((1, grow(rate) if at_once else rate))
            rate = grow(rate)
        else:
            held.append((step, rate))
        number += step == 2
    return held


def _hold_cases(rng):
    kinds = {
        "four halvings, stride 4": ([(7, 2), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1)], 4),
        "four halvings, stride 8": ([(7, 2), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1)], 8),
        "a stride that it has already": ([(5, 2), (3, 1), (3, 2), (3, 1)], 4),
        "a stride that it never reaches": ([(3, 2), (3, 1)], 8),
        "stride 1": ([(3, 2), (3, 1), (3, 2), (3, 1)], 1),
    }
    cases = [Case(label, args) for label, args in kinds.items()]
    for stride in (2, 4, 8, 2, 4):
        steps = [*rng.permutation([2] * 4 + [1] * int(rng.integers(2, 5))).tolist(), 1]
        kernels = rng.choice([3, 5, 7], len(steps)).tolist()
        args = (list(zip(kernels, steps, strict=True)), stride)
        cases.append(Case(f"{len(steps)} layers, stride {stride}", args))
    return cases


def _one_rate(layers, stride):
    """The last rate of all, wherever a stride was taken out or not."""
    held = _hold(layers, stride)
    return [(step, held[-1][1]) for step, _ in held]


def _only_next(layers, stride):
    """A rate for the layer that follows, and 1 again after it."""
    held, was_removed = [], False
    for (_, before), (step, _) in zip(layers, _hold(layers, stride), strict=True):
        held.append((step, 2 if was_removed else 1))
        was_removed = before != step
    return held


HOLD = Exercise(
    name="ex06.hold",
    title="Hold the stride of a backbone",
    aim="take strides out of a backbone so that its weights still see what they learnt on",
    level="stretch",
    points=3,
    minutes=20,
    cases=_hold_cases,
    oracle=_hold,
    mistakes=(
        Mistake(
            "not_spread",
            "The strides are out, and every kernel still has rate 1. It now looks at pixels that "
            "lie closer together, so it sees less of the picture than it was trained to see.",
            like=partial(_hold, grow=lambda rate: rate),
        ),
        Mistake(
            "at_once",
            "The layer that used to halve is spread already. Its own input is as dense as before: "
            "only those that come after it look at a denser map.",
            like=partial(_hold, at_once=True),
        ),
        Mistake(
            "added",
            "Your rates grow by one with each stride that is out: 1, 2, 3. Each one makes the map "
            "twice as dense as it would have been.",
            like=partial(_hold, grow=lambda rate: rate + 1),
        ),
        Mistake(
            "only_next",
            "Only the layer behind a removed stride is spread, and those after it are not. The map "
            "stays dense to the end.",
            like=_only_next,
        ),
        Mistake(
            "last_kept",
            "You take out the first strides and keep the last. Then the early layers run on the "
            "picture at its full size, which costs the most: keep the first, as far as allowed.",
            like=partial(_hold, first=True),
        ),
        Mistake(
            "one_too_many",
            "Your network still halves once too often: its output stride is twice the wanted one.",
            like=partial(_hold, late=True),
        ),
        Mistake(
            "everywhere",
            "All layers have the last rate. Those before the first removed stride see the same map "
            "as ever: their rate stays 1.",
            like=_one_rate,
        ),
        Mistake(
            "rate_first",
            "The two numbers are exchanged: the stride comes first, then the rate.",
            like=lambda layers, stride: [pair[::-1] for pair in _hold(layers, stride)],
        ),
    ),
    hints=(
        "Walk through the layers with two numbers in hand: by how much the map has shrunk so far, "
        "and how much denser it is than it used to be at this place. When does each change?",
    ),
    target=lambda: (
        "Layers (3, 2), (3, 2), (3, 1), (3, 2), (3, 1) held at stride 2: strides 2, 1, 1, 1, 1 and "
        "rates 1, 1, 2, 2, 4.", None,
    ),
)

EXERCISES = (ATROUS, BILINEAR, TARGETS, NMS, ROI_ALIGN, PAINT, FINETUNE, AP50, HOLD)

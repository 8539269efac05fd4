"""The exercises of lesson 02, synchronized augmentation."""

from functools import cache

import numpy as np

from segutils import masks
from segutils.exercises.declare import Case, Exercise, Mistake, Problem, itself, one_case
from segutils.exercises.judging import difference, name_the_broken

# ---- broken_loaders --------------------------------------------------------------------------


def loaders() -> dict:
    """Six loaders, "A" to "F", some of which break the pairing of image and mask.

    Each is load(images, masks, i, seed) -> (image, mask), with images {"1.jpg": (H, W, 3) uint8}
    and masks {"01.png": (H, W) uint8}, square ones; the number in a file's name says which belong
    together. Look at what they return before you look at how.
    """
    return {"A": _load_a, "B": _load_b, "C": _load_c, "D": _load_d, "E": _load_e, "F": _load_f}


def _number(name):
    return int(name.partition(".")[0])


def _pair(images, masks, i):
    image, mask = sorted(images, key=_number)[i], sorted(masks, key=_number)[i]
    return images[image], masks[mask]


def _brighter(image, rng):
    return (image * rng.uniform(0.8, 1.2)).clip(0, 255).astype(np.uint8)


def _crop(array, top, left, size):
    return array[top : top + size, left : left + size]


def _load_a(images, masks, i, seed):
    image, mask = _pair(images, masks, i)
    if np.random.default_rng(seed).random() < 0.5:
        image, mask = image[:, ::-1], np.fliplr(mask)
    return image, mask


def _load_b(images, masks, i, seed):
    image, mask = _pair(images, masks, i)
    rng = np.random.default_rng(seed)
    image = image[:, ::-1] if rng.random() < 0.5 else image
    mask = mask[:, ::-1] if rng.random() < 0.5 else mask
    return image, mask


def _load_c(images, masks, i, seed):
    image, mask = _pair(images, masks, i)
    rng = np.random.default_rng(seed)
    size = len(mask) * 3 // 4
    top, left = rng.integers(0, len(mask) - size + 1, 2)
    return _brighter(_crop(image, top, left, size), rng), _crop(mask, top, left, size)


def _load_d(images, masks, i, seed):
    image, mask = images[sorted(images)[i]], masks[sorted(masks)[i]]
    if np.random.default_rng(seed).random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image, mask


def _load_e(images, masks, i, seed):
    image, mask = _pair(images, masks, i)
    size = len(mask) * 3 // 4
    rng = np.random.default_rng(seed)
    image = _brighter(image, rng)
    top, left = rng.integers(0, len(mask) - size + 1, 2)
    image = _crop(image, top, left, size)
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, len(mask) - size + 1, 2)
    return image, _crop(mask, top, left, size)


def _load_f(images, masks, i, seed):
    image, mask = _pair(images, masks, i)
    turns = int(np.random.default_rng(seed).integers(0, 4))
    return np.rot90(image, turns), np.rot90(mask, turns - 4)


@cache
def _broken() -> frozenset[str]:
    """The loaders that separate image and mask, on pictures that are bright where the mask is 1."""
    rng = np.random.default_rng(2)
    ones = [rng.integers(0, 2, (16, 16)).astype(np.uint8) for _ in range(12)]
    images = {f"{k}.jpg": np.repeat(60 + 120 * m[..., None], 3, 2) for k, m in enumerate(ones, 1)}
    files = {f"{k:02}.png": m for k, m in enumerate(ones, 1)}

    def intact(load):
        pairs = (load(images, files, i, seed) for i in range(12) for seed in range(8))
        return all(np.array_equal(image[..., 0] > 110, mask == 1) for image, mask in pairs)

    return frozenset(name for name, load in loaders().items() if not intact(load))


_NAMED = {
    "letters": "The loaders are called A, B, C, D, E and F.",
    "intact_ones": "These are the intact ones; name those that break the pairs.",
    "all": "Not all six are broken: some keep every pair together.",
    "none": "At least one is broken: look at several pictures and seeds.",
    "missed_B":
        "A loader that breaks the pairing in some of its draws only is missing. Look at the same "
        "picture with many seeds.",
    "missed_D":
        "One is missing whose masks have clean shapes of their own, but those of another "
        "picture. Which file does each mask come from? Look at more than the first picture.",
    "missed_E":
        "One is missing that crops: image and mask come out equally large. From the same place?",
    "accused_A": "An intact one is among yours: it flips, but image and mask always together.",
    "accused_C":
        "An intact one is among yours: it changes the colours of the image alone, as it should.",
    "accused_F":
        "An intact one is among yours: it turns the picture, and the mask by the same angle. Odd "
        "pictures are no broken pairs.",
}


def _loaders_named(calls):
    return name_the_broken(calls[0][1], loaders(), _broken(), _NAMED)


BROKEN_LOADERS = Exercise(
    name="ex02.broken_loaders",
    title="Which of six loaders breaks the pairing?",
    aim="find out whether a loader keeps each image together with its mask",
    level="warm-up",
    points=2,
    minutes=10,
    cases=one_case,
    examine=_loaders_named,
    call=itself,
    value=True,
    hints=(
        "Eyes tire quickly. Feed them pictures of your own: bright where the mask is 1, dark where "
        "it is 0. Then one comparison tells whether a pair is intact.",
    ),
    target=lambda: (f"{len(_broken())} of the six are broken.", None),
)


# ---- flip_crop -------------------------------------------------------------------------------


DRAWS, AGAIN = 128, 16  # calls with states of their own; the first of them are made twice


def _coded(height, width):
    """An image that holds each pixel's (row, column, 7), and a mask that holds 16 row + column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.full_like(rows, 7)], axis=-1), 16 * rows + columns


def _flip_crop_cases(rng):
    seeds = rng.integers(2**32, size=DRAWS).tolist()
    image, mask = _coded(10, 11)
    cases = [
        Case("a 10 × 11 picture and size 8", (image, mask, 8, np.random.default_rng(seed)))
        for seed in [*seeds, *seeds[:AGAIN]]
    ]
    image, mask = _coded(9, 9)
    full = (image, mask, 9, np.random.default_rng(seeds[0]))
    return [*cases, Case("a crop as large as the picture", full)]


def _place(rows, columns):
    """(top, left, flipped) that explain a crop's rows and columns; None if nothing does."""
    rows, columns = rows.astype(int), columns.astype(int)
    size = len(rows)
    top, left = rows.min(), columns.min()
    ys, xs = np.mgrid[:size, :size]
    for flipped in (False, True):
        want = xs[:, ::-1] if flipped else xs
        if (rows == ys + top).all() and (columns == want + left).all():
            return int(top), int(left), flipped
    return None


def _flip_crop_form(size, result):
    """The Problem of a result that is no pair of crops; None if it is one."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return Problem("type", "Two results are needed, (image, mask).")
    shapes = [np.shape(item) for item in result]
    if shapes != [(size, size, 3), (size, size)]:
        return Problem(
            "shape",
            f"With size {size}, the shapes are {shapes[0]} and {shapes[1]}; "
            f"({size}, {size}, 3) and ({size}, {size}) are needed.",
        )
    if np.any(np.asarray(result[0])[..., 2] != 7):
        return Problem(
            "channels",
            "The image's channels have changed places: a flip goes along "
            "the columns, which are axis 1. The last axis holds the colours.",
        )
    return None


def _flip_crop(calls):
    places = []
    for args, result in calls:
        problem = _flip_crop_form(args[2], result)
        if problem:
            return problem
        image, mask = map(np.asarray, result)
        pair = _place(image[..., 0], image[..., 1]), _place(mask // 16, mask % 16)
        if None in pair:
            return Problem(
                "upside_down",
                "Some crop is no left-right flip of a part of the "
                "picture: which axis holds the columns?",
            )
        places.append(pair)
    return _out_of_step(places) or _not_random(places, calls[0][0])


def _out_of_step(places):
    """The Problem of images and masks that were not cut out alike."""
    flips = [(image[2], mask[2]) for image, mask in places]
    corners = [(image[:2], mask[:2], image[2]) for image, mask in places]
    if any(a != b for a, b in flips):
        if not any(b for _, b in flips):
            return Problem("image_only", "The image is flipped, and its mask never is.")
        if not any(a for a, _ in flips):
            return Problem("mask_only", "The mask is flipped, and its image never is.")
        return Problem(
            "two_flips",
            "Image and mask are flipped independently: each has a draw of "
            "its own. One draw has to decide for both.",
        )
    apart = [(a, b, flipped) for a, b, flipped in corners if a != b]
    if not apart:
        return None
    if all(flipped for *_, flipped in apart) and any(not flipped for *_, flipped in corners):
        return Problem(
            "order",
            "Flipped pictures are cut elsewhere than their masks: one is "
            "flipped and then cropped, the other cropped and then flipped.",
        )
    if all(a == b[::-1] for a, b, _ in apart):
        return Problem("corner_swapped", "For one of the two, top and left are exchanged.")
    return Problem(
        "two_corners",
        "Image and mask are cut at different places: each has a draw of "
        "its own. One corner has to serve both.",
    )


def _not_random(places, args):
    """The Problem of crops that are alike, but do not vary as they should."""
    image, _, size, _ = args
    first, again = places[:DRAWS], places[DRAWS : DRAWS + AGAIN]
    if first[:AGAIN] != again:
        return Problem(
            "not_from_rng",
            "The same rng gave two different results: draw everything "
            "from the rng that is passed in, or nobody can repeat your run.",
        )
    if len(set(first)) == 1:
        return Problem(
            "always_the_same",
            "Every state of rng gives the same result: draw from the rng that is passed in, and "
            "make no new one from a fixed seed.",
        )
    flipped = sum(image[2] for image, _ in first)
    if flipped in (0, len(first)):
        always = "always" if flipped else "never"
        return Problem(f"{always}_flips", f"It {always} flips; half of the draws should.")
    tops, lefts = ({place[0][i] for place in first} for i in (0, 1))
    if len(tops) == 1 or len(lefts) == 1:
        return Problem("fixed_corner", "The crop always comes from the same rows or columns.")
    plain = {place[:2] for place, _ in first if not place[2]}
    if all(top == left for top, left in plain):
        return Problem("one_draw", "Top and left are always equal: each needs a draw of its own.")
    last = image.shape[0] - size, image.shape[1] - size
    if max(tops) < last[0] or max(lefts) < last[1]:
        return Problem(
            "last_corner",
            "The last rows or columns never appear in any crop: does "
            "your draw leave out its upper end?",
        )
    if not DRAWS // 6 <= flipped <= DRAWS - DRAWS // 6:
        return Problem("flip_share", f"{flipped} of {DRAWS} draws are flipped; half should be.")
    if any({place[0][1] for place in first if place[0][2] == flip} != {*range(last[1] + 1)}
           for flip in (False, True)):
        return Problem(
            "one_range",
            "Some columns are never cut out: top may go from 0 to H - size and left from 0 to "
            "W - size, and H and W differ here.",
        )
    return None


def _flip_crop_target():
    mask = np.zeros((12, 12), np.uint8)
    mask[6:9, 1:6], mask[5, 2:5], mask[3:9, 8] = 2, 2, 1
    pair = np.full((12, 12 + 2 + 8, 3), 255, np.uint8)
    pair[:, :12] = masks.colorize(mask)
    pair[2:10, 14:] = masks.colorize(mask[2:10, 1:9])[:, ::-1]
    caption = "Left a mask, right one of its flipped crops of size 8: its image has to look alike."
    return caption, pair


FLIP_CROP = Exercise(
    name="ex02.flip_crop",
    title="A synchronized flip and crop by hand",
    aim="flip and crop an image and its mask alike, repeatable from a random state",
    level="core",
    points=3,
    minutes=15,
    cases=_flip_crop_cases,
    examine=_flip_crop,
    mistakes=(
        Mistake(
            "full_size",
            "A crop as large as the picture fails, though one corner is left for it: (0, 0). Does "
            "the draw of your corner leave out its upper end?",
            when=lambda args, got: args[2] == len(args[0]),
            raised="ValueError",
        ),
    ),
    hints=(
        "Draw all that is random first, before you touch an array: one flip, one top, one left. "
        "Then do the same two steps to both.",
    ),
    target=_flip_crop_target,
)


# ---- crop_boxes ------------------------------------------------------------------------------


def _crop_boxes(boxes, labels, top, left, height, width, move=1, clip=True, drop=True, limits=None):
    """Boxes after a crop; the keyword arguments make the known mistakes."""
    right, bottom = limits or (width, height)
    boxes = boxes.astype(float) - move * np.array([left, top, left, top])
    if clip:
        boxes = np.clip(boxes, 0, [right, bottom, right, bottom])
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1) if drop else np.ones(len(boxes), bool)
    return boxes[keep], labels[keep]


def _crop_boxes_wrong(**how):
    return lambda *args: _crop_boxes(*args, **how)


def _crop_boxes_axes(boxes, labels, top, left, height, width):
    return _crop_boxes(boxes, labels, left, top, height, width)


def _crop_boxes_sizes(boxes, labels, top, left, height, width):
    return _crop_boxes(boxes, labels, top, left, height, width, limits=(height, width))


def _crop_boxes_pixels(boxes, labels, top, left, height, width):
    return _crop_boxes(boxes, labels, top, left, height, width, limits=(width - 1, height - 1))


def _crop_boxes_floor(*args):
    boxes, labels = _crop_boxes(*args)
    return np.floor(boxes), labels


def _crop_boxes_late(boxes, labels, top, left, height, width):
    inside = np.clip(boxes.astype(float), 0, [width, height, width, height])
    return _crop_boxes(inside, labels, top, left, height, width, clip=False)


def _crop_boxes_unclipped(boxes, labels, top, left, height, width):
    kept = _crop_boxes_overlap(boxes, top, left, height, width)
    return boxes[kept] - np.array([left, top, left, top]), labels[kept]


def _crop_boxes_low(boxes, labels, top, left, height, width):
    kept = _crop_boxes_overlap(boxes, top, left, height, width)
    return np.maximum(boxes[kept] - np.array([left, top, left, top]), 0), labels[kept]


def _crop_boxes_overlap(boxes, top, left, height, width):
    low, high = np.array([left, top]), np.array([left + width, top + height])
    return ((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(1)


def _crop_boxes_whole(boxes, labels, top, left, height, width):
    moved = boxes - np.array([left, top, left, top])
    keep = (moved >= 0).all(1) & (moved <= np.array([width, height, width, height])).all(1)
    return moved[keep], labels[keep]


def _crop_boxes_centre(boxes, labels, top, left, height, width):
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([left, top])
    keep = ((centre >= 0) & (centre < np.array([width, height]))).all(1)
    return _crop_boxes(boxes[keep], labels[keep], top, left, height, width)


def _crop_boxes_cases(rng):
    boxes = np.array([[2, 3, 8, 9], [0, 0, 4, 12], [15, 1, 19, 4], [9, 5, 14, 7]], np.float32)
    labels = np.array([2, 1, 1, 2])
    cases = [
        Case("a crop of four boxes", (boxes, labels, 2, 3, 6, 10)),
        Case("a crop that touches a box's edge", (boxes, labels, 4, 8, 6, 7)),
    ]
    for _ in range(6):
        corners = np.sort(rng.integers(0, 30, (2, 9, 2)), axis=0) + np.array([0, 1])[:, None, None]
        boxes = np.concatenate(corners, axis=1) + rng.integers(0, 4, (9, 1)) / 4
        boxes = boxes.astype(np.float32)
        top, left, height, width = map(int, rng.integers([2, 2, 6, 12], [9, 9, 11, 19]))
        case = (boxes, rng.integers(1, 9, 9), top, left, height, width)
        cases.append(Case("a crop of nine random boxes", case))
    none = np.zeros(4, np.float32) + np.array([0, 0, 1, 1], np.float32)
    return [*cases, Case("a crop that holds no box", (none[None], np.array([1]), 5, 5, 4, 4))]


def _same_boxes(got, expected):
    """`difference`; without a box, any empty array will do."""
    if isinstance(got, (tuple, list)) and len(got) == 2 and not len(expected[0]):
        return None if np.size(got[0]) == np.size(got[1]) == 0 else difference(got, expected)
    return difference(got, expected)


def _crop_boxes_target():
    return "boxes [[2, 3, 8, 9]] in a crop of 6 × 10 pixels at top 2, left 3: [[0, 1, 5, 6]].", None


CROP_BOXES = Exercise(
    name="ex02.crop_boxes",
    title="Boxes after a crop",
    aim="take boxes and labels along through a crop, and drop those that are gone",
    level="core",
    points=3,
    minutes=15,
    cases=_crop_boxes_cases,
    oracle=_crop_boxes,
    compare=_same_boxes,
    mistakes=(
        Mistake(
            "labels_left",
            "There are more labels than boxes: each label goes with its box, also when the box is "
            "dropped.",
            when=lambda args, got: len(got[0]) < len(got[1]) == len(args[1]),
        ),
        Mistake(
            "not_moved",
            "The boxes still count from the old picture's corner. In the crop, pixel (left, top) "
            "is (0, 0).",
            like=_crop_boxes_wrong(move=0),
        ),
        Mistake(
            "moved_away",
            "The boxes move the wrong way: a crop that begins further right brings them nearer to "
            "the left edge.",
            like=_crop_boxes_wrong(move=-1),
        ),
        Mistake(
            "axes_swapped",
            "x and y are exchanged: x runs along the columns, from `left`; y down the rows, from "
            "`top`. A box is x1, y1, x2, y2.",
            like=_crop_boxes_axes,
        ),
        Mistake(
            "not_clipped",
            "Some boxes reach beyond the crop. What cannot be seen is outside the box as well.",
            like=_crop_boxes_unclipped,
        ),
        Mistake(
            "clipped_low",
            "Boxes are cut at the crop's left and upper edge, but not at the other two.",
            like=_crop_boxes_low,
        ),
        Mistake(
            "sizes_swapped",
            "x is cut at the height and y at the width of the crop: it is the other way round.",
            like=_crop_boxes_sizes,
        ),
        Mistake(
            "whole_numbers",
            "The fractions of the boxes are lost. An edge may lie within a pixel: keep floats.",
            like=_crop_boxes_floor,
        ),
        Mistake(
            "last_pixel",
            "x is cut at width - 1 and y at height - 1. A box names edges, not pixels: the right "
            "edge of the last column is at width.",
            like=_crop_boxes_pixels,
        ),
        Mistake(
            "clipped_too_early",
            "The boxes are cut to the crop's size before they are moved: 0 is then still the old "
            "picture's corner.",
            like=_crop_boxes_late,
        ),
        Mistake(
            "not_dropped",
            "Boxes without any area are kept: an object that is not in the crop has no box there.",
            like=_crop_boxes_wrong(drop=False),
        ),
        Mistake(
            "whole_only",
            "Boxes that lie partly in the crop are dropped. Their objects can still be seen there.",
            like=_crop_boxes_whole,
        ),
        Mistake(
            "centre_only",
            "Boxes whose centre lies outside the crop are dropped. A part of the object can still "
            "be seen there.",
            like=_crop_boxes_centre,
        ),
    ),
    hints=("Three steps, in this order: move, cut at all four edges, drop what has no area left.",),
    target=_crop_boxes_target,
)


# ---- shift_fill ------------------------------------------------------------------------------


def _shift_cases(rng):
    def pair(height, width):
        image = rng.integers(1, 250, (height, width, 3)).astype(np.uint8)
        return image, rng.integers(0, 3, (height, width)).astype(np.uint8)

    shifts = [(1, 2), (0, 1), (2, 0), (-1, 2), (2, -1), (-2, -3), (0, 0)]
    shifts += [(9, 0), (0, -13), (12, 0), (1, -12)]  # nothing is left: the picture is 9 × 9
    cases = []
    for down, right in shifts:
        label = f"a shift of {down} down and {right} right"
        size = (5, 7) if max(abs(down), abs(right)) < 9 else (9, 9)
        cases.append(Case(label, (*pair(*size), down, right)))
    return cases


def _shifted(array, down, right, fill):
    """`array` moved; `fill` where nothing comes from (None: what was there before)."""
    out = np.full_like(array, fill) if fill is not None else array.copy()
    rows, columns = np.arange(array.shape[0]), np.arange(array.shape[1])
    rows = rows[(rows >= down) & (rows < len(rows) + down)]
    columns = columns[(columns >= right) & (columns < len(columns) + right)]
    out[np.ix_(rows, columns)] = array[np.ix_(rows - down, columns - right)]
    return out


def _shift(image, mask, down, right, fills=(0, 255)):
    return _shifted(image, down, right, fills[0]), _shifted(mask, down, right, fills[1])


def _shift_rolled(image, mask, down, right):
    return np.roll(image, (down, right), (0, 1)), np.roll(mask, (down, right), (0, 1))


def _shift_target():
    mask = np.zeros((9, 9), np.uint8)
    mask[4:7, 1:6], mask[3, 2:5] = 2, 2
    pair = np.full((9, 20, 3), 128, np.uint8)
    pair[:, :9] = masks.colorize(mask)
    pair[:, 11:] = masks.colorize(_shifted(mask, 2, 3, 255))
    return "Left a mask, right the same 2 rows down and 3 columns right; void is light grey.", pair


SHIFT_FILL = Exercise(
    name="ex02.shift_fill",
    title="Fill with void",
    aim="move an image and its mask, and mark as void what is not known",
    level="core",
    points=2,
    minutes=12,
    cases=_shift_cases,
    oracle=_shift,
    mistakes=(
        Mistake(
            "rolled",
            "What leaves on one side comes in again on the other: the left edge of a street does "
            "not follow on its right one.",
            like=_shift_rolled,
        ),
        Mistake(
            "mask_zero",
            "The mask is filled with 0. Is the area where there is no picture really background?",
            like=lambda *args: _shift(*args, fills=(0, 0)),
        ),
        Mistake(
            "both_void",
            "The image is filled with 255 too: 255 means void in a mask; in an image it is white.",
            like=lambda *args: _shift(*args, fills=(255, 255)),
        ),
        Mistake(
            "fills_swapped",
            "The fills are exchanged: the image gets 0, the mask 255.",
            like=lambda *args: _shift(*args, fills=(255, 0)),
        ),
        Mistake(
            "left_over",
            "Where nothing comes in, the old picture shows through: start from a filled array.",
            like=lambda *args: _shift(*args, fills=(None, None)),
        ),
        Mistake(
            "wrong_way",
            "It moves the other way: with down = 1, row 0 of the picture is row 1 of the result.",
            like=lambda image, mask, down, right: _shift(image, mask, -down, -right),
        ),
        Mistake(
            "axes_swapped",
            "Down and right are exchanged: rows are axis 0, and down moves along them.",
            like=lambda image, mask, down, right: _shift(image, mask, right, down),
        ),
        Mistake(
            "image_only",
            "Only the image moves. Every label then lies beside its object.",
            like=lambda image, mask, down, right: (_shifted(image, down, right, 0), mask),
        ),
    ),
    hints=(
        "Surround both with a border of their own fill that is wide enough for the shift (np.pad "
        "has constant_values), and cut a window of the old size out. If the picture has to move "
        "down, which way does the window go?",
    ),
    target=_shift_target,
)


# ---- worker_seeds ----------------------------------------------------------------------------

PICTURES, BATCH, WORKERS, EPOCHS = 24, 4, 3, 5


def _distinct(pictures=PICTURES, batch=BATCH, workers=WORKERS, epochs=EPOCHS) -> int:
    """The distinct draws, by trying: every worker starts every epoch from the same state."""
    seen = set()
    for _ in range(epochs):
        states = [np.random.default_rng(0) for _ in range(workers)]
        for k in range(pictures // batch):
            seen.update(states[k % workers].random(batch).tolist())
    return len(seen)


def _is(number):
    return lambda args, got: np.size(got) == 1 and float(np.asarray(got).item()) == number


WORKER_SEEDS = Exercise(
    name="ex02.worker_seeds",
    title="How many augmentations are there really?",
    aim="tell how many different augmentations a loader with several workers draws",
    level="warm-up",
    points=1,
    minutes=5,
    cases=one_case,
    oracle=_distinct,
    call=itself,
    value=True,
    mistakes=(
        Mistake(
            "all",
            "That is how many pictures are loaded. The workers start as copies of each other: do "
            "their draws differ?",
            when=_is(PICTURES * EPOCHS),
        ),
        Mistake(
            "one_epoch",
            "That would be so in one epoch with one worker. Three copies of one random state draw "
            "the same numbers.",
            when=_is(PICTURES),
        ),
        Mistake(
            "epochs_differ",
            "Right within an epoch. But the workers are started afresh in each, from the same "
            "state: is anything new drawn in the second epoch?",
            when=_is(PICTURES // WORKERS * EPOCHS),
        ),
        Mistake(
            "one_batch",
            "That is one batch. How many batches does one worker get in an epoch?",
            when=_is(BATCH),
        ),
        Mistake(
            "per_worker",
            "The workers repeat each other; what one of them draws for its own pictures differs.",
            when=_is(WORKERS),
        ),
        Mistake(
            "workers_by_epochs",
            "Workers times epochs are starts. Every start is from the same state; count the draws "
            "after one of them.",
            when=_is(WORKERS * EPOCHS),
        ),
    ),
    hints=(
        "Write down what each worker draws in the first epoch, as letters: a, b, c, … for all.",
    ),
    target=lambda: (
        "A smaller case: 8 pictures in batches of 2, 2 workers and 3 epochs give "
        f"{_distinct(8, 2, 2, 3)} different ones of 24.",
        None,
    ),
)


# ---- keeps_pairs -----------------------------------------------------------------------------


def _keep(image, mask, seed):
    return image, mask


def _flip_both(image, mask, seed):
    flip = seed % 2
    return (image[:, ::-1], mask[:, ::-1]) if flip else (image, mask)


def _turn_both(image, mask, seed):
    return np.rot90(image, seed % 4), np.rot90(mask, seed % 4)


def _crop_both(image, mask, seed):
    top, left = np.random.default_rng(seed).integers(0, 5, 2)
    height, width = mask.shape[0] - 4, mask.shape[1] - 4
    area = slice(top, top + height), slice(left, left + width)
    return image[area], mask[area]


def _dim(image, mask, seed):
    return _brighter(image, np.random.default_rng(seed)), mask


def _flip_image(image, mask, seed):
    return image[:, ::-1], mask


def _flip_image_down(image, mask, seed):
    return image[::-1], mask


def _two_flips(stream):
    """Independent flips; several streams, so that one lucky seed does not show all broken."""

    def transform(image, mask, seed):
        rng = np.random.default_rng((seed, stream))
        image = image[:, ::-1] if rng.random() < 0.5 else image
        return image, mask[:, ::-1] if rng.random() < 0.5 else mask

    return transform


def _turn_mask(image, mask, seed):
    return np.rot90(image, 1), np.rot90(mask, 3)


def _one_pixel(image, mask, seed):
    return image, np.concatenate([mask[:, :1], mask[:, :-1]], axis=1)


def _crop_apart(image, mask, seed):
    return _crop_both(image, mask, seed)[0], _crop_both(image, mask, seed + 1)[1]


_INTACT = [
    ("a transform that changes nothing", _keep),
    ("a flip of both", _flip_both),
    ("quarter turns of both", _turn_both),
    ("a random crop of both", _crop_both),
    ("a change of brightness", _dim),
]
_BROKEN = [
    ("a flip of the image alone", _flip_image),
    ("an up-down flip of the image alone", _flip_image_down),
    ("turns in opposite directions", _turn_mask),
    ("a mask that is moved by one pixel", _one_pixel),
    ("two crops at different places", _crop_apart),
    *[("two independent flips", _two_flips(stream)) for stream in range(6)],
]


def _keeps_pairs_cases(rng):
    return [Case(label, (transform,)) for label, transform in [*_INTACT, *_BROKEN]]


def _keeps_pairs(calls):
    answers = {args[0]: result for args, result in calls}
    for result in answers.values():
        if np.size(result) != 1 or np.asarray(result).dtype.kind not in "biu":
            return Problem("type", "True or False is needed.")
    says = {t: bool(np.asarray(result).item()) for t, result in answers.items()}
    if not any(says.values()):
        return Problem("always_false", "It refuses every transform, the intact ones too.")
    if all(says.values()):
        return Problem(
            "always_true",
            "It lets every broken transform pass. Equal shapes do not "
            "make a pair: does it compare places?",
        )
    if not says[_dim]:
        return Problem(
            "colour_refused",
            "It refuses a change of brightness, which leaves all in "
            "place. Compare where things are, not how bright.",
        )
    refused = [label for label, t in _INTACT if not says[t]]
    if refused:
        return Problem("intact_refused", f"It refuses {refused[0]}, which keeps every pair.")
    passed = [label for label, t in _BROKEN if says[t]]
    if set(passed) == {"two independent flips"}:
        return Problem(
            "one_draw",
            "It lets two independent flips pass, which agree in half of "
            "their draws. How many seeds do you try?",
        )
    if "a flip of the image alone" in passed or "turns in opposite directions" in passed:
        return Problem(
            "symmetric",
            "It lets a flip or a turn of one alone pass. Is your test "
            "picture its own mirror image?",
        )
    if passed == ["a mask that is moved by one pixel"]:
        return Problem(
            "one_pixel",
            "It lets a mask that is moved by one pixel pass: almost equal is not equal here.",
        )
    return Problem("passed", f"It lets {passed[0]} pass.") if passed else None


KEEPS_PAIRS = Exercise(
    name="ex02.keeps_pairs",
    title="A test that catches every break",
    aim="write a test that shows whether a transform keeps image and mask together",
    level="stretch",
    points=4,
    minutes=20,
    cases=_keeps_pairs_cases,
    examine=_keeps_pairs,
    hints=(
        "You may choose the picture: paint it from the mask, bright where the mask is 1. After any "
        "intact transform the mask can be read off the image again.",
    ),
    target=lambda: (f"{len(_INTACT)} True and {len(_BROKEN)} False, over all transforms.", None),
)

EXERCISES = (BROKEN_LOADERS, FLIP_CROP, CROP_BOXES, SHIFT_FILL, WORKER_SEEDS, KEEPS_PAIRS)

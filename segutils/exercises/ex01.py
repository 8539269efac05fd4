"""The exercises of lesson 01, mask basics."""

import numpy as np

from segutils import masks
from segutils.exercises.declare import Case, Exercise, Mistake, Problem, itself, one_case
from segutils.exercises.judging import whole_ids

STREET = {0: (0, 0, 0), 1: (230, 159, 0), 2: (0, 114, 178), 255: (224, 224, 224)}
GRAYS = {3: (60, 60, 60), 8: (160, 160, 160), 255: (240, 240, 240)}
MIXED = {0: (0, 0, 200), 4: (0, 200, 0), 7: (200, 0, 0), 9: (200, 200, 0), 20: (0, 200, 200)}


def _painted(rng, colors, height, width):
    """A random mask in the given colours, (H, W, 3) uint8; every colour is there."""
    ids = np.array(list(colors))
    picks = rng.integers(len(ids), size=(height, width))
    picks.flat[: len(ids)] = np.arange(len(ids))
    return np.array([colors[i] for i in ids], np.uint8)[picks]


# ---- decode_rgb ------------------------------------------------------------------------------


def _decode_cases(rng):
    cases = [
        Case("a 3 × 4 mask in the street's colours", (_painted(rng, STREET, 3, 4), STREET)),
        Case("colours that share channels", (_painted(rng, MIXED, 5, 7), MIXED)),
        Case("three greys", (_painted(rng, GRAYS, 4, 6), GRAYS)),
    ]
    for _ in range(5):
        height, width = rng.integers(3, 12, 2)
        ids = rng.choice(200, 6, replace=False).tolist()
        table = {i: tuple(rng.choice(256, 3).tolist()) for i in ids}
        cases.append(Case("a random table", (_painted(rng, table, height, width), table)))
    near = _painted(rng, STREET, 4, 5)
    near[2, 3] = (229, 158, 1)
    far = _painted(rng, STREET, 4, 5)
    far[3, 1] = (255, 0, 255)
    return [
        *cases,
        Case("a mask with one pixel of an almost right colour", (near, STREET)),
        Case("a mask with one pixel of an unknown colour", (far, STREET)),
    ]


def _decode_unstrict(rgb, colors):
    mask = np.zeros(rgb.shape[:2], np.uint8)
    for i, color in colors.items():
        mask[(rgb == color).all(-1)] = i
    return mask


def _decode_void(rgb, colors):
    known = np.zeros(rgb.shape[:2], bool)
    for color in colors.values():
        known |= (rgb == color).all(-1)
    return np.where(known, _decode_unstrict(rgb, colors), 255)


def _decode_nearest(rgb, colors):
    far = rgb[..., None, :].astype(int) - np.array(list(colors.values()))
    return np.array(list(colors))[(far**2).sum(-1).argmin(-1)]


def _decode_bgr(rgb, colors):
    return masks.decode_rgb(np.ascontiguousarray(rgb[..., ::-1]), colors)


def _decode_any(rgb, colors):
    mask = np.zeros(rgb.shape[:2], np.uint8)
    for i, color in colors.items():
        mask[(rgb == color).any(-1)] = i
    return mask


def _decode_red(rgb, colors):
    mask = np.zeros(rgb.shape[:2], np.uint8)
    for i, color in colors.items():
        mask[rgb[..., 0] == color[0]] = i
    return mask


def _decode_places(rgb, colors):
    return masks.decode_rgb(rgb, dict(enumerate(colors.values())))


def _small_picture(mask):
    return masks.colorize(np.asarray(mask, np.uint8))


def _decode_target():
    mask = np.array([[0, 0, 1, 0, 0, 0], [0, 255, 1, 255, 2, 2], [0, 255, 1, 255, 2, 2]])
    text = "The mask of this picture, as ids, row by row:\n" + "\n".join(map(str, mask.tolist()))
    return text + "\nA pixel of any other colour: ValueError.", _small_picture(mask)


DECODE_RGB = Exercise(
    name="ex01.decode_rgb",
    title="Decode an RGB mask with a strict table",
    aim="read a mask that is stored in colours, and refuse a colour that no class has",
    level="core",
    points=3,
    minutes=12,
    cases=_decode_cases,
    oracle=masks.decode_rgb,
    compare=whole_ids,
    mistakes=(
        Mistake(
            "unknown_is_background",
            "A colour that is not in the table quietly keeps the id that your mask started with. "
            "Which pixels were never assigned? A strict table stops there, with a ValueError.",
            like=_decode_unstrict,
        ),
        Mistake(
            "unknown_is_void",
            "A colour that is not in the table becomes void. Void means that a person looked and "
            "could not tell; an unknown colour means that the file is damaged. Raise a ValueError.",
            like=_decode_void,
        ),
        Mistake(
            "nearest_color",
            "The nearest colour is a guess: after JPEG or smoothing, a pixel between two classes "
            "may land on a third. A strict table takes exact colours and refuses the rest.",
            like=_decode_nearest,
        ),
        Mistake(
            "bgr",
            "Red and blue are exchanged. Who reads pictures as BGR? This one is RGB already.",
            like=_decode_bgr,
        ),
        Mistake(
            "any_channel",
            "A pixel is given an id as soon as one of its channels agrees. Two colours can share "
            "a channel: along which axis do all three have to agree?",
            like=_decode_any,
        ),
        Mistake(
            "one_channel",
            "Only the first channel is compared, and several colours of the table share it.",
            like=_decode_red,
        ),
        Mistake(
            "place_not_id",
            "Your mask holds the place of a colour in the table, 0, 1, 2 and so on. The table's "
            "keys are the ids, and they need not count up from 0: void is 255.",
            like=_decode_places,
        ),
        Mistake(
            "channels_left",
            "Your mask still has a channel axis. A mask has one id a pixel: (H, W).",
            when=lambda args, got: np.ndim(got) == 3,
        ),
    ),
    hints=(
        "For one colour, compare the whole picture with it and ask where all three channels agree: "
        "a boolean (H, W). Keep account of the pixels that no colour has claimed.",
    ),
    target=_decode_target,
)


# ---- resize_nearest --------------------------------------------------------------------------


def _tie_free(old, new):
    """Whether no new pixel's centre falls on the border between two old pixels."""
    return all((2 * i + 1) * old % (2 * new) for i in range(new))


def _resize_cases(rng):
    ramp = np.arange(1, 7, dtype=np.uint8)
    cases = [
        Case("a 6 × 6 mask made 2 × 2", (ramp[:, None] * 10 + ramp, 2, 2)),
        Case("a 3 × 2 mask made 6 × 10", (np.array([[0, 1], [2, 255], [1, 0]], np.uint8), 6, 10)),
    ]
    while len(cases) < 12:
        old, new = rng.integers(1, 14, 2), rng.integers(1, 14, 2)
        if all(map(_tie_free, old.tolist(), new.tolist())):
            mask = rng.choice(np.array([0, 1, 2, 5, 255], np.uint8), tuple(old))
            cases.append(
                Case(
                    f"a {old[0]} × {old[1]} mask made {new[0]} × {new[1]}",
                    (mask, int(new[0]), int(new[1])),
                )
            )
    return cases


def _resize_with(rows_of):
    def wrong(mask, height, width):
        rows, columns = rows_of(mask.shape[0], height), rows_of(mask.shape[1], width)
        return mask[rows[:, None], columns]

    return wrong


def _corner(old, new):
    return np.arange(new) * old // new


def _ends(old, new):
    return np.round(np.linspace(0, old - 1, new)).astype(int)


def _last(old, new):
    return np.minimum(np.ceil((np.arange(new) + 0.5) * old / new).astype(int), old - 1)


def _rounded(old, new):
    return np.minimum(np.round((np.arange(new) + 0.5) * old / new).astype(int), old - 1)


def _scale(old, new):
    return np.minimum(np.round(np.arange(new) * old / new).astype(int), old - 1)


def _invented(args, got):
    return np.ndim(got) == 2 and not np.isin(got, args[0]).all()


def _swapped(args, got):
    return np.shape(got) == (args[2], args[1]) and args[1] != args[2]


def _resize_target():
    mask = np.array([[1, 1, 2], [1, 255, 2], [0, 0, 2]], np.uint8)
    caption = "A 3 × 3 mask made 9 × 9: each id becomes a square of 3 × 3, and nothing has moved."
    return caption, _small_picture(masks.resize_mask(mask, (9, 9)))


RESIZE_NEAREST = Exercise(
    name="ex01.resize_nearest",
    title="Resize a mask without a shift",
    aim="resize a mask so that it stays on its image and gains no new id",
    level="core",
    points=3,
    minutes=15,
    cases=_resize_cases,
    oracle=lambda mask, height, width: masks.resize_mask(mask, (height, width)),
    compare=whole_ids,
    mistakes=(
        Mistake(
            "size_swapped",
            "Height and width are exchanged. Rows come first in an array; OpenCV and Pillow ask "
            "for (width, height).",
            when=_swapped,
        ),
        Mistake(
            "interpolated",
            "Your mask holds ids that the old one does not have: between 0 and 2 there is no 1. "
            "Ids are names, and names have no average.",
            when=_invented,
        ),
        Mistake(
            "corner",
            "The result is shifted: it reads the old mask at the corner of each new pixel, not at "
            "its middle. OpenCV's plain INTER_NEAREST does the same. Where is the middle of pixel "
            "i, if pixel 0 reaches from 0 to 1?",
            like=_resize_with(_corner),
        ),
        Mistake(
            "ends_aligned",
            "First and last pixels are laid on each other, so the pixels in between are stretched. "
            "Pixels are squares with a width: lay the picture's edges on each other.",
            like=_resize_with(_ends),
        ),
        Mistake(
            "rounded_up",
            "The middle of each new pixel is right, but then you go to the next old pixel. A place "
            "of 1.7 lies inside pixel 1, which reaches from 1 to 2.",
            like=_resize_with(_last),
        ),
        Mistake(
            "rounded",
            "The middle of each new pixel is right, but then it is rounded. A place of 1.7 lies "
            "inside pixel 1, which reaches from 1 to 2.",
            like=_resize_with(_rounded),
        ),
        Mistake(
            "corner_rounded",
            "You scale the index and round it. An index names a whole pixel: scale the place of "
            "its middle, and ask which old pixel that lies in.",
            like=_resize_with(_scale),
        ),
        Mistake(
            "whole_factor",
            "This works only where the new size is a whole multiple of the old one.",
            when=lambda args, got: (
                np.ndim(got) == 2
                and np.shape(got) != (args[1], args[2])
                and (args[1] % args[0].shape[0] or args[2] % args[0].shape[1])
            ),
        ),
    ),
    hints=(
        "Do it for one axis first: for each new row, which old row does its middle lie in? With "
        "6 rows made 2, the middles lie at 1.5 and 4.5 of the old rows.",
    ),
    target=_resize_target,
)


# ---- one_hot and back ------------------------------------------------------------------------


def _one_hot_cases(rng):
    cases = [Case("a 2 × 3 mask without void", (np.array([[0, 1, 2], [2, 1, 0]], np.uint8), 3))]
    cases.append(Case("a mask whose highest class is absent", (np.array([[0, 1, 0]], np.uint8), 4)))
    for _ in range(5):
        classes = int(rng.integers(2, 7))
        mask = rng.integers(classes, size=rng.integers(2, 9, 2)).astype(np.uint8)
        mask[rng.random(mask.shape) < 0.3] = 255
        mask.flat[0] = 255
        cases.append(Case(f"a mask with void and {classes} classes", (mask, classes)))
    return cases


def _planes(mask, classes, void_to):
    return np.arange(classes)[:, None, None] == np.where(mask == 255, void_to, mask)


def _channels_last(args, got):
    return np.shape(got) == (*args[0].shape, args[1]) != (args[1], *args[0].shape)


def _one_hot_target():
    planes = masks.one_hot(np.array([[0, 2, 255]], np.uint8), 3).astype(int).tolist()
    return f"one_hot([[0, 2, 255]], 3) gives {planes}: the void pixel is 0 in all planes.", None


ONE_HOT = Exercise(
    name="ex01.one_hot",
    title="One plane a class",
    aim="turn a mask of ids into one plane a class, with void in none of them",
    level="warm-up",
    points=2,
    minutes=8,
    cases=_one_hot_cases,
    oracle=masks.one_hot,
    mistakes=(
        Mistake(
            "void_is_index",
            "Your mask holds 255: is that a class or void? Used as an index it leads outside.",
            raised="IndexError",
        ),
        Mistake(
            "void_is_class",
            "Your mask holds 255: is that a class or void? torch's one_hot takes it for class 255, "
            "and there are not so many.",
            raised="RuntimeError",
            says="num_classes",
        ),
        Mistake(
            "channels_last",
            "The planes come last, (H, W, C). Here and in torch the classes come first: (C, H, W).",
            when=_channels_last,
        ),
        Mistake(
            "void_is_background",
            "Void pixels are counted as class 0. Nobody knows what they are, not even that they "
            "are background: they belong to no plane.",
            like=lambda mask, classes: _planes(mask, classes, 0),
        ),
        Mistake(
            "void_is_last",
            "Void pixels are counted as the last class: 255 was clipped to it. They belong to no "
            "plane.",
            like=lambda mask, classes: _planes(mask, classes, classes - 1),
        ),
        Mistake(
            "void_everywhere",
            "Void pixels are 1 in every plane: every class would claim them. They belong to none.",
            like=lambda mask, classes: _planes(mask, classes, -1) | (mask == 255),
        ),
        Mistake(
            "extra_plane",
            "There are more planes than classes. Void is no class and needs no plane of its own.",
            when=lambda args, got: np.shape(got)[1:] == args[0].shape and len(got) > args[1],
        ),
        Mistake(
            "classes_from_mask",
            "The number of planes depends on which ids this mask happens to hold. A class that is "
            "absent from one picture still needs its plane: use `classes`.",
            when=lambda args, got: np.shape(got)[1:] == args[0].shape and len(got) < args[1],
        ),
        Mistake(
            "scaled",
            "The planes hold 0 and 255, as pictures do. Sums and products need 0 and 1.",
            like=lambda mask, classes: masks.one_hot(mask, classes) * 255,
        ),
    ),
    hints=("One comparison a class makes one plane. What does 255 equal among 0 … classes - 1?",),
    target=_one_hot_target,
)


def _from_one_hot_cases(rng):
    cases = []
    for label, share in (("planes without void", 0.0), *[("planes with void", 0.3)] * 5):
        classes = int(rng.integers(2, 7))
        mask = rng.integers(classes, size=rng.integers(2, 9, 2)).astype(np.uint8)
        mask[rng.random(mask.shape) < share] = 255
        if share:
            mask.flat[0] = 255
        cases.append(Case(label, (masks.one_hot(mask, classes).astype(np.float32),)))
    return cases


def _from_one_hot_target():
    return "[[[1, 0, 0]], [[0, 0, 0]], [[0, 1, 0]]] gives [[0, 2, 255]].", None


FROM_ONE_HOT = Exercise(
    name="ex01.from_one_hot",
    title="And back to ids",
    aim="turn planes back into ids, and keep void apart from class 0",
    level="core",
    points=2,
    minutes=8,
    cases=_from_one_hot_cases,
    oracle=masks.from_one_hot,
    compare=whole_ids,
    mistakes=(
        Mistake(
            "void_lost",
            "Pixels that are in no plane come back as class 0: that is what argmax, or a sum over "
            "the planes, makes of zeros alone. How can you tell such a pixel from one of class 0?",
            like=lambda planes: planes.argmax(0),
        ),
        Mistake(
            "void_minus_one",
            "Pixels that are in no plane come back as -1. In this course void is 255.",
            like=lambda planes: np.where(planes.any(0), planes.argmax(0), -1),
        ),
        Mistake(
            "void_extra_class",
            "Pixels that are in no plane come back as one class more. In this course void is 255.",
            like=lambda planes: np.where(planes.any(0), planes.argmax(0), len(planes)),
        ),
        Mistake(
            "background_is_void",
            "Pixels of class 0 come back as void. Is the test whether the id is 0, or whether the "
            "pixel is in no plane at all?",
            like=lambda planes: np.where(planes.argmax(0) == 0, 255, planes.argmax(0)),
        ),
        Mistake(
            "counts_from_one",
            "The ids count from 1: the first plane is class 0.",
            like=lambda planes: np.where(planes.any(0), planes.argmax(0) + 1, 255),
        ),
        Mistake(
            "wrong_axis",
            "The classes are the first axis, (C, H, W), and your argmax runs along another one.",
            when=lambda args, got: np.ndim(got) == 2 and np.shape(got) != args[0].shape[1:],
        ),
    ),
    hints=("A pixel that is in no plane has the sum 0 over the planes. Settle these pixels last.",),
    target=_from_one_hot_target,
)


# ---- rle -------------------------------------------------------------------------------------


def _rle_cases(rng):
    cases = [
        Case("a 2 × 3 mask", (np.array([[0, 1, 1], [0, 0, 1]], np.uint8),)),
        Case("a mask that begins with 1", (np.array([[1, 0], [1, 1]], np.uint8),)),
        Case("a mask of zeros", (np.zeros((2, 3), np.uint8),)),
        Case("a mask of ones", (np.ones((3, 2), np.uint8),)),
    ]
    for _ in range(8):
        mask = (rng.random(rng.integers(1, 9, 2)) < 0.5).astype(np.uint8)
        cases.append(Case(f"a {mask.shape[0]} × {mask.shape[1]} mask", (mask,)))
    return cases


def _runs(mask, order="F"):
    """[(value, start, length), …] of a mask, down the columns."""
    flat = np.asarray(mask).ravel(order=order).astype(int)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return [(flat[a], a, b - a) for a, b in zip(edges, edges[1:], strict=False)]


def _counts(mask, order="F", lead=0):
    runs = _runs(mask, order)
    return [0] * int(runs[0][0] != lead) + [n for _, _, n in runs]


def _columns_apart(mask):
    return [n for k in range(mask.shape[1]) for n in _counts(mask[:, k : k + 1])]


def _starts(first):
    return lambda mask: [x for v, a, n in _runs(mask) if v for x in (a + first, n)]


def _paired(args, got):
    """Whether one of two columns holds the lengths, with or without a leading 0."""
    got, lengths = np.asarray(got), [n for _, _, n in _runs(args[0])]
    return np.shape(got)[1:] == (2,) and any(
        got[-len(lengths) :, k].tolist() == lengths for k in (0, 1)
    )


def _no_tail(mask):
    counts = _counts(mask)
    return counts[:-1] if _runs(mask)[-1][0] == 0 else counts


def _rle_target():
    return "[[0, 1, 1], [0, 0, 1]] read down the columns is 0 0 1 0 1 1: counts [2, 1, 1, 2].", None


RLE_ENCODE = Exercise(
    name="ex01.rle_encode",
    title="Run lengths by hand",
    aim="store a binary mask as run lengths in the order that COCO reads it",
    level="stretch",
    points=4,
    minutes=20,
    cases=_rle_cases,
    oracle=lambda mask: masks.encode_rle(mask, compressed=False)["counts"],
    mistakes=(
        Mistake(
            "row_major",
            "The runs go along the rows. COCO reads a mask down its columns.",
            like=lambda mask: _counts(mask, "C"),
        ),
        Mistake(
            "no_leading_zero",
            "A mask that begins with 1 loses its place: the first count is always one of zeros. "
            "How many zeros come first in such a mask?",
            like=lambda mask: [n for _, _, n in _runs(mask)],
        ),
        Mistake(
            "always_zero_first",
            "Your counts always begin with a 0. That is right only for a mask that begins with 1; "
            "else the first count is the number of the zeros that the mask begins with.",
            like=lambda mask: [0] + [n for _, _, n in _runs(mask)],
        ),
        Mistake(
            "ones_first",
            "Your counts begin with the ones. COCO's begin with the zeros.",
            like=lambda mask: _counts(mask, lead=1),
        ),
        Mistake(
            "zero_last",
            "A mask that ends in zeros gets a last count of 0, for ones that never come. Stop "
            "where the pixels stop: only the first count may be 0.",
            when=lambda args, got: list(got) == [*_counts(args[0]), 0],
        ),
        Mistake(
            "columns_apart",
            "Each column is counted by itself. A run goes on from the foot of a column to the head "
            "of the next: lay all columns into one row of pixels first.",
            like=_columns_apart,
        ),
        Mistake(
            "no_tail",
            "The last run is missing where the mask ends in zeros: the counts have to add up to "
            "the number of pixels.",
            like=_no_tail,
        ),
        Mistake(
            "last_missing",
            "The last run is missing: nothing changes after it, so a loop that stores a run at "
            "each change never stores this one. The counts have to add up to the number of pixels.",
            like=lambda mask: _counts(mask)[:-1],
        ),
        Mistake(
            "starts_and_lengths",
            "These are starts and lengths of the ones, another format. COCO's counts hold lengths "
            "alone, of zeros and ones in turn.",
            like=_starts(0),
        ),
        Mistake(
            "starts_from_one",
            "These are starts (from 1) and lengths of the ones, another format. COCO's counts hold "
            "lengths alone, of zeros and ones in turn.",
            like=_starts(1),
        ),
        Mistake(
            "pairs",
            "These are (value, length) pairs. As zeros and ones take turns, beginning with zeros, "
            "the lengths alone are enough.",
            when=_paired,
        ),
    ),
    hints=(
        "Lay the columns one under the other. Wherever two neighbours differ a run ends: the "
        "distances between these places are the lengths. Then mind the first run and the last.",
    ),
    target=_rle_target,
)


# ---- palette ---------------------------------------------------------------------------------

# How a picture looks without one kind of cones, on linear RGB: Machado, Oliveira and Fernandes
# (2009), "A physiologically-based model for simulation of color vision deficiency", severity 1.
VISION = {
    "full colour vision": np.eye(3),
    "protanopia (no red cones)": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia (no green cones)": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia (no blue cones)": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
APART = 15.0  # CIE 1976 colour difference that two classes must keep; about 2 can just be seen
COLORS = 6


def simulate(colors: np.ndarray, vision: str) -> np.ndarray:
    """How (…, 3) uint8 sRGB colours look with one of VISION, (…, 3) uint8. Lesson 01's exercises.

    Source: Machado et al. 2009, severity 1; sRGB's curve from IEC 61966-2-1.
    """
    seen = (_linear(colors) @ VISION[vision].T).clip(0, 1)
    curved = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.round(255 * curved).astype(np.uint8)


def distances(colors: np.ndarray, vision: str) -> np.ndarray:
    """CIE 1976 differences (N, N) between (N, 3) uint8 colours, as one of VISION sees them."""
    xyz = _linear(simulate(colors, vision)) @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    ratio = xyz / np.array([0.9505, 1.0, 1.089])  # D65 white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )
    return np.linalg.norm(lab[:, None] - lab[None], axis=-1)


def _linear(colors):
    c = np.asarray(colors) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _palette_form(colors):
    """The Problem of colours that are no (6, 3) whole numbers in 0..255, black first; or None."""
    try:
        colors = np.asarray(colors)
    except ValueError:
        return Problem("shape", f"{COLORS} colours of three numbers each are needed.")
    if colors.shape == (3, COLORS):
        return Problem("transposed", "One row a colour is needed, (6, 3); yours is (3, 6).")
    if colors.dtype.kind not in "iuf" or colors.shape != (COLORS, 3):
        return Problem("shape", f"{COLORS} colours of three numbers each are needed, (6, 3).")
    if colors.min() < 0 or colors.max() > 255:
        return Problem("range", "A channel lies outside 0…255, and would wrap around in uint8.")
    if colors.max() <= 1:
        return Problem("unit_range", "These are colours in 0…1. A palette of uint8 needs 0…255.")
    if colors[0].any():
        return Problem("background", "The first colour is that of background: black, (0, 0, 0).")
    if (colors != np.round(colors)).any():
        return Problem("fractions", "A channel is no whole number; uint8 would cut it off.")
    return None


def _named(color):
    return str(tuple(color.tolist()))


def _palette(calls):
    colors = calls[0][1]
    problem = _palette_form(colors)
    if problem:
        return problem
    colors = np.asarray(colors).astype(np.uint8)
    if len(np.unique(colors, axis=0)) < COLORS:
        return Problem("twice", "One colour stands for two classes.")
    for place, vision in enumerate(VISION):
        apart = distances(colors, vision) + 1000 * np.eye(COLORS)
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        if apart[a, b] < APART:
            key = "too_close" if place == 0 else vision.split()[0]
            return Problem(
                key,
                f"With {vision}, {_named(colors[a])} and {_named(colors[b])} are "
                f"{apart[a, b]:.0f} apart, and {APART:.0f} are needed. Do they differ in "
                "lightness?",
            )
    return None


def _palette_target():
    gray = np.array([0, 50, 95, 140, 185, 230], np.uint8)
    strip = np.repeat(np.repeat(gray[None, :, None], 3, axis=2), 2, axis=0)
    caption = (
        "Lightness alone tells these six apart for everyone. Give yours steps of lightness like "
        "these, and colours as well."
    )
    return caption, strip


PALETTE = Exercise(
    name="ex01.palette",
    title="A palette that everyone can read",
    aim="choose class colours that stay apart for colour-blind readers too",
    level="stretch",
    points=3,
    minutes=15,
    cases=one_case,
    examine=_palette,
    call=itself,
    value=True,
    hints=(
        "Reds and greens of the same lightness look alike to one man in twelve. Blue against "
        "orange or yellow stays apart, and so does dark against light.",
    ),
    target=_palette_target,
)

EXERCISES = (DECODE_RGB, RESIZE_NEAREST, ONE_HOT, FROM_ONE_HOT, RLE_ENCODE, PALETTE)

"""Answers to the exercises of lesson 01, as people write them: stub, wrong ones, valid ones."""

import cv2
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco

# ---- decode_rgb ------------------------------------------------------------------------------


def decode_stub(rgb, colors):
    """Turn an RGB-coded mask into ids."""
    ...  # noqa: PIE790


def decode_zeros_stay(rgb, colors):
    mask = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for i, color in colors.items():
        mask[np.all(rgb == np.array(color), axis=2)] = i
    return mask


def decode_full_of_void(rgb, colors):
    mask = np.full(rgb.shape[:2], 255, dtype=np.uint8)
    for i, color in colors.items():
        mask[np.all(rgb == np.array(color), axis=2)] = i
    return mask


def decode_closest(rgb, colors):
    ids = np.array(list(colors), dtype=np.uint8)
    table = torch.tensor(list(colors.values()), dtype=torch.float32)
    far = torch.cdist(torch.tensor(rgb.reshape(-1, 3), dtype=torch.float32), table)
    return ids[far.argmin(1).numpy()].reshape(rgb.shape[:2])


def decode_as_bgr(rgb, colors):
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return decode_by_dictionary(bgr, colors)


def decode_any_channel(rgb, colors):
    mask = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for i, color in colors.items():
        mask[np.any(rgb == np.array(color), axis=2)] = i
    return mask


def decode_red_only(rgb, colors):
    mask = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for i, (r, _, _) in colors.items():
        mask[rgb[:, :, 0] == r] = i
    return mask


def decode_enumerated(rgb, colors):
    out = np.full(rgb.shape[:2], -1)
    for k, color in enumerate(colors.values()):
        out[(rgb == color).all(-1)] = k
    if (out < 0).any():
        raise ValueError("unknown colour")
    return out


def decode_three_channels(rgb, colors):
    out = np.zeros_like(rgb)
    for i, color in colors.items():
        out[(rgb == color).all(-1)] = i
    return out


def decode_floats(rgb, colors):
    return decode_by_dictionary(rgb, colors).astype(np.float32)


def decode_in_place(rgb, colors):
    mask = decode_by_dictionary(rgb, colors)
    rgb[:] = 0
    return mask


def decode_wrong_error(rgb, colors):
    names = {tuple(c): i for i, c in colors.items()}
    return np.array([[names[tuple(p)] for p in row] for row in rgb.tolist()])


def decode_by_dictionary(rgb, colors):
    names = {tuple(c): i for i, c in colors.items()}
    out = np.zeros(rgb.shape[:2], int)
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            color = tuple(rgb[y, x].tolist())
            if color not in names:
                raise ValueError(f"unknown colour {color}")
            out[y, x] = names[color]
    return out


def decode_torch(rgb, colors):
    rgb = torch.as_tensor(rgb)
    out = torch.full(rgb.shape[:2], -1)
    for i, color in colors.items():
        out[(rgb == torch.tensor(color)).all(-1)] = i
    if (out < 0).any():
        raise ValueError("unknown colour")
    return out


# ---- resize_nearest --------------------------------------------------------------------------


def resize_stub(mask, height, width):
    """Resize a mask."""
    ...  # noqa: PIE790


def resize_opencv_nearest(mask, height, width):
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def resize_linear(mask, height, width):
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_swapped(mask, height, width):
    return resize_pillow(mask, width, height)


def resize_ends(mask, height, width):
    rows = np.linspace(0, mask.shape[0] - 1, height).round().astype(int)
    columns = np.linspace(0, mask.shape[1] - 1, width).round().astype(int)
    return mask[rows][:, columns]


def resize_rounded(mask, height, width):
    h, w = mask.shape
    rows = np.round((np.arange(height) + 0.5) * h / height).astype(int).clip(0, h - 1)
    columns = np.round((np.arange(width) + 0.5) * w / width).astype(int).clip(0, w - 1)
    return mask[rows][:, columns]


def resize_ceil(mask, height, width):
    h, w = mask.shape
    out = np.zeros((height, width), mask.dtype)
    for y in range(height):
        for x in range(width):
            row = min(h - 1, int(np.ceil((y + 0.5) * h / height)))
            out[y, x] = mask[row, min(w - 1, int(np.ceil((x + 0.5) * w / width)))]
    return out


def resize_round_index(mask, height, width):
    h, w = mask.shape
    rows = [min(h - 1, round(y * h / height)) for y in range(height)]
    columns = [min(w - 1, round(x * w / width)) for x in range(width)]
    return mask[np.ix_(rows, columns)]


def resize_repeat(mask, height, width):
    down, right = max(1, height // mask.shape[0]), max(1, width // mask.shape[1])
    return mask.repeat(down, 0).repeat(right, 1)


def resize_diagonal(mask, height, width):
    h, w = mask.shape
    rows = ((np.arange(height) + 0.5) * h / height).astype(int)
    return mask[rows, ((np.arange(width) + 0.5) * w / width).astype(int)]


def resize_pillow(mask, height, width):
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def resize_loops(mask, height, width):
    h, w = mask.shape
    return [
        [mask[int((y + 0.5) * h / height)][int((x + 0.5) * w / width)] for x in range(width)]
        for y in range(height)
    ]


def resize_torch(mask, height, width):
    planes = torch.as_tensor(mask)[None, None].float()
    out = torch.nn.functional.interpolate(planes, (height, width), mode="nearest-exact")
    return out[0, 0].long()


# ---- one_hot ---------------------------------------------------------------------------------


def one_hot_stub(mask, classes):
    """One plane a class."""
    raise NotImplementedError


def one_hot_eye(mask, classes):
    return np.eye(classes)[mask].transpose(2, 0, 1)


def one_hot_torch(mask, classes):
    planes = torch.nn.functional.one_hot(torch.from_numpy(mask).long(), classes)
    return planes.permute(2, 0, 1)


def one_hot_torch_bytes(mask, classes):
    return torch.nn.functional.one_hot(torch.from_numpy(mask), classes).permute(2, 0, 1)


def one_hot_void_minus(mask, classes):
    planes = np.stack([mask == c for c in range(classes)]).astype(int)
    planes[:, mask == 255] = -1
    return planes


def one_hot_last(mask, classes):
    return mask[..., None] == np.arange(classes)


def one_hot_background(mask, classes):
    mask = np.where(mask == 255, 0, mask)
    return np.stack([mask == c for c in range(classes)])


def one_hot_clipped(mask, classes):
    return np.eye(classes)[np.clip(mask, 0, classes - 1)].transpose(2, 0, 1)


def one_hot_void_all(mask, classes):
    return np.stack([(mask == c) | (mask == 255) for c in range(classes)])


def one_hot_extra(mask, classes):
    ids = [*range(classes), 255]
    return np.stack([mask == c for c in ids])


def one_hot_present(mask, classes):
    return np.stack([mask == c for c in np.unique(mask[mask != 255])])


def one_hot_white(mask, classes):
    return np.stack([np.where(mask == c, 255, 0) for c in range(classes)])


def one_hot_loops(mask, classes):
    planes = np.zeros((classes, *mask.shape), np.float16)
    for y, row in enumerate(mask):
        for x, i in enumerate(row):
            if i != 255:
                planes[i, y, x] = 1
    return planes


def one_hot_tensors(mask, classes):
    planes = torch.nn.functional.one_hot(mask.long().clamp(max=classes), classes + 1)
    return planes[..., :classes].permute(2, 0, 1).to(torch.bfloat16)


def one_hot_bool(mask, classes):
    return np.stack([mask == c for c in range(classes)])


# ---- from_one_hot ----------------------------------------------------------------------------


def back_stub(planes):
    """Ids from planes."""
    ids = ...
    return ids


def back_argmax(planes):
    return planes.argmax(axis=0)


def back_minus(planes):
    ids = planes.argmax(axis=0)
    ids[planes.sum(axis=0) == 0] = -1
    return ids


def back_more(planes):
    void = 1 - planes.sum(axis=0, keepdims=True)
    return np.concatenate([planes, void]).argmax(axis=0)


def back_zero_is_void(planes):
    ids = planes.argmax(axis=0)
    ids[ids == 0] = 255
    return ids


def back_from_one(planes):
    ids = sum((c + 1) * plane for c, plane in enumerate(planes))
    return np.where(ids == 0, 255, ids).astype(np.uint8)


def back_sum(planes):
    return sum(c * plane for c, plane in enumerate(planes))


def back_axis(planes):
    return planes.argmax(axis=-1)


def back_floats(planes):
    return np.where(planes.any(0), planes.argmax(0), 255.0)


def back_loops(planes):
    ids = np.full(planes.shape[1:], 255, np.uint8)
    for c in range(len(planes)):
        ids[planes[c] == 1] = c
    return ids


def back_torch(planes):
    ids = planes.argmax(dim=0)
    ids[planes.sum(dim=0) == 0] = 255
    return ids


# ---- rle_encode ------------------------------------------------------------------------------


def rle_stub(mask):
    """Run lengths."""


def _lengths(flat):
    counts, value, length = [], 0, 0
    for pixel in flat:
        if pixel != value:
            counts.append(length)
            value, length = pixel, 0
        length += 1
    return [*counts, length]


def rle_rows(mask):
    return _lengths(mask.ravel())


def rle_plain_runs(mask):
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff(np.concatenate([[0], edges, [flat.size]]))


def rle_zero_first(mask):
    return [0, *rle_plain_runs(mask)]


def rle_by_turns(mask):
    flat, counts, place = mask.T.ravel(), [], 0
    while place < len(flat):
        for value in (0, 1):
            length = 0
            while place < len(flat) and flat[place] == value:
                place, length = place + 1, length + 1
            counts.append(length)
    return counts


def rle_each_column(mask):
    return sum((_lengths(column) for column in mask.T), [])


def rle_ones(mask):
    return _lengths(1 - mask.T.ravel())


def rle_no_last(mask):
    return _lengths(mask.T.ravel())[:-1]


def rle_no_zeros_at_end(mask):
    flat = mask.T.ravel()
    counts = _lengths(flat)
    return counts[:-1] if flat[-1] == 0 else counts


def rle_kaggle(mask):
    padded = np.concatenate([[0], mask.T.ravel(), [0]])
    runs = np.flatnonzero(padded[1:] != padded[:-1]) + 1
    runs[1::2] -= runs[::2]
    return runs.tolist()


def rle_starts_zero(mask):
    runs = rle_kaggle(mask)
    return [n - 1 if k % 2 == 0 else n for k, n in enumerate(runs)]


def rle_pairs(mask):
    return [(k % 2, n) for k, n in enumerate(_lengths(mask.T.ravel()))]


def rle_loop(mask):
    height, width = mask.shape
    return _lengths([mask[y, x] for x in range(width) for y in range(height)])


def rle_numpy(mask):
    flat = np.concatenate([[0], mask.flatten(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]]))


def rle_torch(mask):
    flat = torch.as_tensor(mask).T.reshape(-1).long()
    first = torch.zeros(1, dtype=torch.long)
    changes = torch.nonzero(torch.diff(torch.cat([first, flat])))[:, 0]
    return torch.diff(torch.cat([first, changes, torch.tensor([flat.numel()])]))


# ---- palette ---------------------------------------------------------------------------------

RAINBOW = [(0, 0, 0), (255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255)]
GRAYS = [(v, v, v) for v in (0, 50, 95, 145, 200, 255)]
OKABE_ITO = [
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 114, 178),
    (240, 228, 66),
    (204, 121, 167),
]

STUBS = {
    "decode_rgb": decode_stub,
    "resize_nearest": resize_stub,
    "one_hot": one_hot_stub,
    "from_one_hot": back_stub,
    "rle_encode": rle_stub,
    "palette": ...,
}

WRONG = {
    "decode_rgb": [
        (decode_zeros_stay, "unknown_is_background"),
        (decode_full_of_void, "unknown_is_void"),
        (decode_closest, "nearest_color"),
        (decode_as_bgr, "bgr"),
        (decode_any_channel, "any_channel"),
        (decode_red_only, "one_channel"),
        (decode_enumerated, "place_not_id"),
        (decode_three_channels, "channels_left"),
        (decode_floats, "float_ids"),
        (decode_in_place, "changes_inputs"),
        (decode_wrong_error, "raises"),
    ],
    "resize_nearest": [
        (resize_opencv_nearest, "corner"),
        (resize_linear, "interpolated"),
        (resize_swapped, "size_swapped"),
        (resize_ends, "ends_aligned"),
        (resize_rounded, "rounded"),
        (resize_ceil, "rounded_up"),
        (resize_round_index, "corner_rounded"),
        (resize_repeat, "whole_factor"),
        (resize_diagonal, "shape"),
    ],
    "one_hot": [
        (one_hot_eye, "void_is_index"),
        (one_hot_torch, "void_is_class"),
        (one_hot_torch_bytes, "raises"),
        (one_hot_void_minus, "values"),
        (one_hot_last, "channels_last"),
        (one_hot_background, "void_is_background"),
        (one_hot_clipped, "void_is_last"),
        (one_hot_void_all, "void_everywhere"),
        (one_hot_extra, "extra_plane"),
        (one_hot_present, "classes_from_mask"),
        (one_hot_white, "scaled"),
    ],
    "from_one_hot": [
        (back_argmax, "void_lost"),
        (back_minus, "void_minus_one"),
        (back_more, "void_extra_class"),
        (back_zero_is_void, "background_is_void"),
        (back_from_one, "counts_from_one"),
        (back_sum, "void_lost"),
        (back_axis, "wrong_axis"),
        (back_floats, "float_ids"),
    ],
    "rle_encode": [
        (rle_rows, "row_major"),
        (rle_plain_runs, "no_leading_zero"),
        (rle_ones, "ones_first"),
        (rle_zero_first, "always_zero_first"),
        (rle_by_turns, "zero_last"),
        (rle_each_column, "columns_apart"),
        (rle_no_last, "last_missing"),
        (rle_no_zeros_at_end, "no_tail"),
        (rle_kaggle, "starts_from_one"),
        (rle_starts_zero, "starts_and_lengths"),
        (rle_pairs, "pairs"),
    ],
    "palette": [
        (RAINBOW, "protanopia"),
        (
            [(0, 0, 0), (220, 60, 60), (60, 140, 60), (0, 0, 200), (255, 255, 0), (255,) * 3],
            "deuteranopia",
        ),
        (
            [(0, 0, 0), (150, 90, 40), (90, 120, 40), (0, 0, 200), (255, 255, 0), (255,) * 3],
            "protanopia",
        ),
        (
            [(0, 0, 0), (0, 90, 170), (0, 105, 90), (230, 60, 0), (240, 228, 66), (255,) * 3],
            "tritanopia",
        ),
        ([(0, 0, 0), (10, 10, 10), *GRAYS[2:]], "too_close"),
        ([*GRAYS[:5], GRAYS[4]], "twice"),
        (np.array(OKABE_ITO) / 255, "unit_range"),
        (np.array(OKABE_ITO).T, "transposed"),
        (OKABE_ITO[1:] + [(255, 255, 255)], "background"),
        (OKABE_ITO[:5], "shape"),
        ([*OKABE_ITO[:5], (300, 0, 0)], "range"),
    ],
}

VALID = {
    "decode_rgb": [decode_by_dictionary, decode_torch],
    "resize_nearest": [resize_pillow, resize_loops, resize_torch],
    "one_hot": [one_hot_loops, one_hot_tensors, one_hot_bool],
    "from_one_hot": [back_loops, back_torch],
    "rle_encode": [
        rle_loop,
        rle_numpy,
        rle_torch,
        lambda mask: _from_coco(coco.encode(np.asfortranarray(mask))["counts"]),
    ],
    "palette": [np.array(GRAYS, np.uint8), OKABE_ITO, torch.tensor(GRAYS)],
}


def _from_coco(text):
    """COCO's compressed counts, taken apart after its maskApi.c."""
    counts, value, shift = [], 0, 0
    for code in text:
        bits = code - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts

"""Answers to the exercises of lesson 02, as people write them: stub, wrong ones, valid ones."""

import cv2
import numpy as np
import torch
import torchvision.ops

# ---- flip_crop -------------------------------------------------------------------------------


def flip_crop_stub(image, mask, size, rng):
    """Flip and crop both."""
    ...  # noqa: PIE790


def _corner(mask, size, rng):
    return rng.integers(mask.shape[0] - size + 1), rng.integers(mask.shape[1] - size + 1)


def flip_image_only(image, mask, size, rng):
    y, x = _corner(mask, size, rng)
    if rng.random() < 0.5:
        image = np.fliplr(image)
        x = x  # the corner is that of the flipped picture
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def flip_mask_only(image, mask, size, rng):
    if rng.random() < 0.5:
        mask = np.fliplr(mask)
    y, x = _corner(mask, size, rng)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def flip_each(image, mask, size, rng):
    y, x = _corner(mask, size, rng)
    image, mask = image[y : y + size, x : x + size], mask[y : y + size, x : x + size]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.5:
        mask = mask[:, ::-1]
    return image, mask


def crop_each(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    y, x = _corner(mask, size, rng)
    image = image[y : y + size, x : x + size]
    y, x = _corner(mask, size, rng)
    return image, mask[y : y + size, x : x + size]


def crop_before_and_after(image, mask, size, rng):
    y, x = _corner(mask, size, rng)
    flip = rng.random() < 0.5
    image = image[:, ::-1] if flip else image
    image, mask = image[y : y + size, x : x + size], mask[y : y + size, x : x + size]
    return image, mask[:, ::-1] if flip else mask


def flip_channels(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[..., ::-1], mask[..., ::-1]
    y, x = _corner(mask, size, rng)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def flip_down(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[::-1], mask[::-1]
    y, x = _corner(mask, size, rng)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def never_flipped(image, mask, size, rng):
    y, x = _corner(mask, size, rng)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def always_flipped(image, mask, size, rng):
    return tuple(a[:, ::-1] for a in never_flipped(image, mask, size, rng))


def top_left(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image[:size, :size], mask[:size, :size]


def upper_end_left_out(image, mask, size, rng):
    y, x = (int(rng.integers(0, n - size)) for n in mask.shape)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def upper_end_left_out_but_safe(image, mask, size, rng):
    y, x = (int(rng.integers(0, max(1, n - size))) for n in mask.shape)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def global_random(image, mask, size, rng):
    return flip_then_crop(image, mask, size, np.random.default_rng())


def one_range_for_both(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    y, x = rng.integers(0, mask.shape[0] - size + 1, 2)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def one_corner_for_both(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    y = rng.integers(0, min(mask.shape) - size + 1)
    return image[y : y + size, y : y + size], mask[y : y + size, y : y + size]


def own_generator(image, mask, size, rng):
    return flip_then_crop(image, mask, size, np.random.default_rng(0))


def size_as_end(image, mask, size, rng):
    y, x = _corner(mask, size, rng)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image[y:size, x:size], mask[y:size, x:size]


def flip_then_crop(image, mask, size, rng):
    if rng.random() < 0.5:
        image, mask = np.fliplr(image), np.fliplr(mask)
    y, x = _corner(mask, size, rng)
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


def crop_then_flip_in_one(image, mask, size, rng):
    both = np.concatenate([image, mask[..., None]], axis=2)
    y, x = _corner(mask, size, rng)
    both = both[y : y + size, x : x + size]
    both = both[:, ::-1] if rng.integers(2) else both
    return both[..., :3].astype(np.float32), both[..., 3]


def flip_crop_torch(image, mask, size, rng):
    image, mask = torch.as_tensor(image), torch.as_tensor(mask)
    if rng.uniform() > 0.5:
        image, mask = image.flip(1), mask.flip(1)
    y, x = map(int, _corner(mask, size, rng))
    return image[y : y + size, x : x + size], mask[y : y + size, x : x + size]


# ---- crop_boxes ------------------------------------------------------------------------------


def boxes_stub(boxes, labels, top, left, height, width):
    """Boxes after a crop."""
    ...  # noqa: PIE790


def boxes_labels_left(boxes, labels, top, left, height, width):
    boxes, _ = boxes_numpy(boxes, labels, top, left, height, width)
    return boxes, labels


def boxes_unmoved(boxes, labels, top, left, height, width):
    x1, x2 = boxes[:, 0].clip(0, width), boxes[:, 2].clip(0, width)
    y1, y2 = boxes[:, 1].clip(0, height), boxes[:, 3].clip(0, height)
    keep = (x2 > x1) & (y2 > y1)
    return np.stack([x1, y1, x2, y2], 1)[keep], labels[keep]


def boxes_added(boxes, labels, top, left, height, width):
    return boxes_numpy(boxes, labels, -top, -left, height, width)


def boxes_rows_first(boxes, labels, top, left, height, width):
    return boxes_numpy(boxes, labels, left, top, height, width)


def boxes_sizes_swapped(boxes, labels, top, left, height, width):
    return boxes_numpy(boxes, labels, top, left, width, height)


def boxes_whole_numbers(boxes, labels, top, left, height, width):
    boxes, labels = boxes_loop(boxes, labels, top, left, height, width)
    return np.array(boxes, dtype=float).astype(int), labels


def boxes_to_last_pixel(boxes, labels, top, left, height, width):
    boxes = (boxes - [left, top, left, top]).clip(0, [width - 1, height - 1, width - 1, height - 1])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[keep], labels[keep]


def boxes_kept(boxes, labels, top, left, height, width):
    moved = boxes - [left, top, left, top]
    return moved.clip(0, [width, height, width, height]), labels


def boxes_beyond(boxes, labels, top, left, height, width):
    out, names = [], []
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        if x1 < left + width and x2 > left and y1 < top + height and y2 > top:
            out.append((x1 - left, y1 - top, x2 - left, y2 - top))
            names.append(label)
    return out, names


def boxes_low_only(boxes, labels, top, left, height, width):
    out, names = boxes_beyond(boxes, labels, top, left, height, width)
    return np.maximum(np.array(out).reshape(-1, 4), 0), names


def boxes_whole(boxes, labels, top, left, height, width):
    x1, y1, x2, y2 = boxes.T
    inside = (x1 >= left) & (y1 >= top) & (x2 <= left + width) & (y2 <= top + height)
    return boxes[inside] - [left, top, left, top], labels[inside]


def boxes_centre(boxes, labels, top, left, height, width):
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    return boxes_numpy(boxes[inside], labels[inside], top, left, height, width)


def boxes_clip_first(boxes, labels, top, left, height, width):
    boxes = boxes.clip(0, [width, height, width, height]) - [left, top, left, top]
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[keep], labels[keep]


def boxes_in_place(boxes, labels, top, left, height, width):
    boxes -= np.array([left, top, left, top], boxes.dtype)
    return boxes_numpy(boxes, labels, 0, 0, height, width)


def boxes_numpy(boxes, labels, top, left, height, width):
    boxes = (boxes - [left, top, left, top]).clip(0, [width, height, width, height])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[keep].astype(np.float16), labels[keep]


def boxes_loop(boxes, labels, top, left, height, width):
    out, names = [], []
    for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
        x1, x2 = max(0, x1 - left), min(width, x2 - left)
        y1, y2 = max(0, y1 - top), min(height, y2 - top)
        if x1 < x2 and y1 < y2:
            out.append([x1, y1, x2, y2])
            names.append(label)
    return out, names


def boxes_torchvision(boxes, labels, top, left, height, width):
    boxes = torch.as_tensor(boxes) - torch.tensor([left, top, left, top])
    boxes = torchvision.ops.clip_boxes_to_image(boxes, (height, width))
    keep = torchvision.ops.remove_small_boxes(boxes, 1e-3)
    return boxes[keep], torch.as_tensor(labels)[keep]


# ---- shift_fill ------------------------------------------------------------------------------


def shift_stub(image, mask, down, right):
    """Shift both."""
    ...  # noqa: PIE790


def _move(array, down, right, fill):
    height, width = array.shape[:2]
    out = np.full_like(array, fill)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                out[y, x] = array[y - down, x - right]
    return out


def shift_roll(image, mask, down, right):
    roll = [np.roll(np.roll(a, down, axis=0), right, axis=1) for a in (image, mask)]
    return roll[0], roll[1]


def shift_background(image, mask, down, right):
    matrix = np.float32([[1, 0, right], [0, 1, down]])
    size = mask.shape[::-1]
    return tuple(cv2.warpAffine(a, matrix, size, flags=cv2.INTER_NEAREST) for a in (image, mask))


def shift_white(image, mask, down, right):
    return _move(image, down, right, 255), _move(mask, down, right, 255)


def shift_fills_swapped(image, mask, down, right):
    return _move(image, down, right, 255), _move(mask, down, right, 0)


def shift_over_copy(image, mask, down, right):
    def move(a):
        out, (h, w) = a.copy(), a.shape[:2]
        to = slice(max(0, down), h + min(0, down)), slice(max(0, right), w + min(0, right))
        off = slice(max(0, -down), h + min(0, -down)), slice(max(0, -right), w + min(0, -right))
        out[to] = a[off]
        return out

    return move(image), move(mask)


def shift_back(image, mask, down, right):
    return _move(image, -down, -right, 0), _move(mask, -down, -right, 255)


def shift_transposed(image, mask, down, right):
    return _move(image, right, down, 0), _move(mask, right, down, 255)


def shift_image(image, mask, down, right):
    return _move(image, down, right, 0), mask


def shift_by_slices(image, mask, down, right):
    """Right until the picture is gone: an end before 0 counts from the other side."""
    (height, width), moved = mask.shape, []
    to = (slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right)))
    off = (
        slice(max(0, -down), height - max(0, down)),
        slice(max(0, -right), width - max(0, right)),
    )
    for array, fill in ((image, 0), (mask, 255)):
        moved.append(np.full_like(array, fill))
        moved[-1][to] = array[off]
    return tuple(moved)


def shift_one_result(image, mask, down, right):
    return np.dstack([_move(image, down, right, 0), _move(mask, down, right, 255)])


def shift_loops(image, mask, down, right):
    return _move(image, down, right, 0), _move(mask, down, right, 255)


def shift_opencv(image, mask, down, right):
    matrix, size = np.float32([[1, 0, right], [0, 1, down]]), mask.shape[::-1]
    how = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT}
    image = cv2.warpAffine(image, matrix, size, borderValue=0, **how)
    return image, cv2.warpAffine(mask, matrix, size, borderValue=255, **how)


def shift_torch_pad(image, mask, down, right):
    """Pads by the shift on all sides, and cuts the picture out again."""
    edge = max(abs(down), abs(right))
    height, width = mask.shape
    picture = torch.nn.functional.pad(image.permute(2, 0, 1), (edge,) * 4, value=0).permute(1, 2, 0)
    labels = torch.nn.functional.pad(mask, (edge,) * 4, value=255)
    rows = slice(edge - down, edge - down + height)
    columns = slice(edge - right, edge - right + width)
    return picture[rows, columns], labels[rows, columns]


# ---- keeps_pairs -----------------------------------------------------------------------------


def keeps_stub(transform):
    """Whether a transform keeps image and mask together."""
    ...  # noqa: PIE790


def _test_picture(seed=0, size=32):
    mask = np.random.default_rng(seed).integers(0, 2, (size, size)).astype(np.uint8)
    return np.repeat(50 + 150 * mask[..., None], 3, axis=2).astype(np.uint8), mask


def _agree(transform, image, mask, seeds):
    pairs = (transform(image, mask, seed) for seed in seeds)
    return all(((a[..., 0] > 120) == (b == 1)).all() for a, b in pairs)


def keeps_shapes(transform):
    image, mask = transform(*_test_picture(), 0)
    return image.shape[:2] == mask.shape


def keeps_nothing(transform):
    image, mask = _test_picture()
    image, mask = transform(image, mask, 0)
    return bool((image == mask).all()) if image.shape == mask.shape else False


def keeps_one_seed(transform):
    return _agree(transform, *_test_picture(), seeds=[3])


def keeps_exact_colours(transform):
    for seed in range(20):
        image, mask = transform(*_test_picture(), seed)
        if not np.array_equal(image[..., 0], 50 + 150 * mask):
            return False
    return True


def keeps_symmetric(transform):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    image = np.repeat(50 + 150 * mask[..., None], 3, axis=2).astype(np.uint8)
    return _agree(transform, image, mask, range(20))


def keeps_roughly(transform):
    mask = np.kron(np.random.default_rng(1).integers(0, 2, (4, 4)), np.ones((16, 16)))
    mask = mask.astype(np.uint8)
    image = np.repeat(50 + 150 * mask[..., None], 3, axis=2).astype(np.uint8)
    pairs = [transform(image, mask, seed) for seed in range(20)]
    return all(((a[..., 0] > 120) == (b == 1)).mean() > 0.95 for a, b in pairs)


def keeps_still(transform):
    """Wants the mask where it was: refuses every geometry."""
    image, mask = _test_picture()
    return all(np.array_equal(transform(image, mask, s)[1], mask) for s in range(8)) and _agree(
        transform, image, mask, range(8)
    )


def keeps_random(transform):
    return _agree(transform, *_test_picture(), seeds=range(25))


def keeps_correlated(transform):
    for seed in range(20):
        image, mask = transform(*_test_picture(seed), seed)
        if np.corrcoef(np.asarray(image)[..., 1].ravel(), np.asarray(mask).ravel())[0, 1] < 0.99:
            return np.False_
    return np.True_


STUBS = {
    "broken_loaders": ...,
    "flip_crop": flip_crop_stub,
    "crop_boxes": boxes_stub,
    "shift_fill": shift_stub,
    "worker_seeds": ...,
    "keeps_pairs": keeps_stub,
}

WRONG = {
    "broken_loaders": [
        ({"D", "E"}, "missed_B"),
        ({"B", "E"}, "missed_D"),
        ({"B", "D"}, "missed_E"),
        ({"A", "B", "D", "E"}, "accused_A"),
        ({"B", "C", "D", "E"}, "accused_C"),
        ({"B", "D", "E", "F"}, "accused_F"),
        ({"A", "C", "F"}, "intact_ones"),
        (set(), "none"),
        (set("ABCDEF"), "all"),
        ({"b", "x"}, "letters"),
        (3, "type"),
    ],
    "flip_crop": [
        (flip_image_only, "image_only"),
        (flip_mask_only, "mask_only"),
        (flip_each, "two_flips"),
        (crop_each, "two_corners"),
        (crop_before_and_after, "order"),
        (flip_channels, "channels"),
        (flip_down, "upside_down"),
        (never_flipped, "never_flips"),
        (always_flipped, "always_flips"),
        (top_left, "fixed_corner"),
        (upper_end_left_out, "full_size"),
        (upper_end_left_out_but_safe, "last_corner"),
        (global_random, "not_from_rng"),
        (own_generator, "always_the_same"),
        (one_corner_for_both, "one_draw"),
        (one_range_for_both, "one_range"),
        (size_as_end, "shape"),
    ],
    "crop_boxes": [
        (boxes_labels_left, "labels_left"),
        (boxes_unmoved, "not_moved"),
        (boxes_added, "moved_away"),
        (boxes_rows_first, "axes_swapped"),
        (boxes_sizes_swapped, "sizes_swapped"),
        (boxes_whole_numbers, "whole_numbers"),
        (boxes_to_last_pixel, "last_pixel"),
        (boxes_kept, "not_dropped"),
        (boxes_beyond, "not_clipped"),
        (boxes_low_only, "clipped_low"),
        (boxes_whole, "whole_only"),
        (boxes_centre, "centre_only"),
        (boxes_clip_first, "clipped_too_early"),
        (boxes_in_place, "changes_inputs"),
    ],
    "shift_fill": [
        (shift_roll, "rolled"),
        (shift_background, "mask_zero"),
        (shift_white, "both_void"),
        (shift_fills_swapped, "fills_swapped"),
        (shift_over_copy, "left_over"),
        (shift_back, "wrong_way"),
        (shift_transposed, "axes_swapped"),
        (shift_image, "image_only"),
        (shift_one_result, "type"),
        (shift_by_slices, "raises"),
    ],
    "worker_seeds": [
        (120, "all"),
        (24, "one_epoch"),
        (40, "epochs_differ"),
        (4, "one_batch"),
        (3, "per_worker"),
        (15, "workers_by_epochs"),
        (7, "values"),
        ("eight", "type"),
    ],
    "keeps_pairs": [
        (keeps_shapes, "always_true"),
        (keeps_nothing, "always_false"),
        (keeps_one_seed, "one_draw"),
        (keeps_exact_colours, "colour_refused"),
        (keeps_symmetric, "symmetric"),
        (keeps_roughly, "one_pixel"),
        (keeps_still, "intact_refused"),
    ],
}

VALID = {
    "broken_loaders": [{"B", "D", "E"}, ["e", "b", "d"], "BDE", "B, D, E"],
    "flip_crop": [flip_then_crop, crop_then_flip_in_one, flip_crop_torch],
    "crop_boxes": [boxes_numpy, boxes_loop, boxes_torchvision],
    "shift_fill": [shift_loops, shift_opencv, shift_torch_pad],
    "worker_seeds": [8, 8.0, torch.tensor(8)],
    "keeps_pairs": [keeps_random, keeps_correlated],
}

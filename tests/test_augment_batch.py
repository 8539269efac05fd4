"""A batch on its device: held to the suite of the other transforms, and to NumPy by hand.

The oracle is the picture of coordinates (see test_augment), here without any mixed pixels: every
pixel of an output is either an address inside the frame or exactly the fill.
"""

import colorsys
import inspect
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lessons import definitions
from test_augment import STILL, cases, check_against_coordinates, coordinates, picture
from torchvision.transforms.v2 import functional as F

from segutils import augment
from segutils.augment import (
    FILL,
    batch_transform,
    denormalise,
    eval_transform,
    normalise_batch,
    train_transform,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def batch(*pairs):
    """(image, mask) arrays as uint8 tensors (B, H, W, 3) and (B, H, W)."""
    return [torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True)]


def several(n=5, height=40, width=48):
    return batch(*(picture(height, width, seed=k)[:2] for k in range(n)))


def one(transform, image, mask, seed):
    """A batch of one, in the shape that the other transforms give."""
    images, masks = transform(*batch((image, mask)), [seed])
    return {"image": images[0], "mask": masks[0]}


# Image and mask stay together ----------------------------------------------------------------


def run_case(case):
    (height, width), seed = case["shape"], case["seed"]
    mask = np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)
    out = one(batch_transform(case["size"], colour=0, **case["options"]),
              coordinates(height, width), mask, seed)
    wrong, _ = check_against_coordinates(out, mask)
    assert wrong == 0, f"{wrong} pixels of the mask do not belong to their image"
    ids = out["mask"].numpy()
    assert ((ids == 255) == (denormalise(out["image"]) == FILL).all(2)).all()
    assert set(ids.ravel().tolist()) <= {*mask.ravel().tolist(), 255}
    size = case["size"]
    assert ids.shape == (size if isinstance(size, tuple) else (size, size))


@quick
@given(case=cases())
def test_mask_belongs_to_its_image(case):
    run_case(case)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, database=None)
@given(case=cases())
def test_mask_belongs_to_its_image_10000_times(case):
    run_case(case)


def test_the_oracle_sees_pixels_and_sees_mistakes():
    mask = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    out = one(batch_transform(48, colour=0), coordinates(48, 48), mask, 3)
    wrong, seen = check_against_coordinates(out, mask)
    assert wrong == 0 and seen > 1500
    out["mask"] = out["mask"].roll(1, dims=1)
    assert check_against_coordinates(out, mask)[0] > 1000


# Geometry by hand ----------------------------------------------------------------------------


def test_still_changes_no_value():
    images, masks = several()
    got, ids = batch_transform((40, 48), **STILL)(images, masks, range(5))
    expected = [eval_transform()(image=i.numpy(), mask=m.numpy())
                for i, m in zip(images, masks, strict=True)]
    assert torch.equal(got, torch.stack([out["image"] for out in expected]))
    assert torch.equal(ids, torch.stack([out["mask"] for out in expected]))
    plain, same = normalise_batch(images, masks)
    assert torch.equal(plain, got) and torch.equal(same, ids)


@pytest.mark.parametrize(("options", "by_hand"), [
    ({"flip": 1}, lambda a: a[:, ::-1]),
    ({"vertical_flip": 1}, lambda a: a[::-1]),
    ({"flip": 1, "vertical_flip": 1}, lambda a: a[::-1, ::-1]),
])
def test_flips_are_slices(options, by_hand):
    image, mask, _ = picture(41, 47)
    out = one(batch_transform((41, 47), **{**STILL, **options}), image, mask, 0)
    assert np.array_equal(out["mask"], by_hand(mask))
    assert np.array_equal(denormalise(out["image"]), by_hand(image))


@quick
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.integers(1, 40),
       st.integers(1, 40), st.sampled_from([0, 0.3, 1.0]), st.sampled_from([0, 1]))
def test_shifts_and_crops_are_slices(seed, height, width, h, w, translate, flip):
    """A window of the picture in a wide void: found by its first pixel, then equal throughout."""
    mask = np.arange(height * width).reshape(height, width)
    image = np.dstack([mask // 256, mask % 256, 0 * mask + 255]).astype(np.uint8)   # an address
    ids = (mask % 255).astype(np.uint8)
    t = batch_transform((h, w), **{**STILL, "translate": translate, "flip": flip})
    out = one(t, image, ids, seed)
    got = denormalise(out["image"])
    image, ids = (a[:, ::-1] if flip else a for a in (image, ids))
    around = 80
    wide = np.full((height + 2 * around, width + 2 * around, 3), FILL, np.uint8)
    wide[around:-around, around:-around] = image
    wide_ids = np.pad(ids, around, constant_values=255)
    inside = np.argwhere(got[..., 2] == 255)
    if len(inside) == 0:                                   # moved out altogether
        assert (out["mask"] == 255).all() and (got == FILL).all()
        return
    row, column = inside[0]
    address = int(got[row, column, 0]) * 256 + int(got[row, column, 1])
    y, x = divmod(address, width)
    x = width - 1 - x if flip else x
    area = (slice(around + y - row, around + y - row + h),
            slice(around + x - column, around + x - column + w))
    assert np.array_equal(got, wide[area])
    assert np.array_equal(out["mask"], wide_ids[area])


def test_every_place_of_a_crop_is_seen():
    corners = np.arange(20, dtype=np.uint8).reshape(4, 5)
    image = np.repeat(corners[..., None], 3, 2)
    t = batch_transform((3, 3), **STILL)
    images, masks = batch(*[(image, corners)] * 300)
    _, ids = t(images, masks, range(300))
    counts = np.bincount(ids[:, 0, 0].numpy(), minlength=20)
    assert np.flatnonzero(counts).tolist() == [0, 1, 2, 5, 6, 7] and counts[counts > 0].min() > 25


def test_a_smaller_picture_is_padded_in_the_middle():
    image, mask, _ = picture(20, 21)
    out = one(batch_transform((30, 30), **STILL), image, mask, 0)
    theirs = train_transform((30, 30), **STILL)(image=image, mask=mask, seed=0)
    assert torch.equal(out["mask"], theirs["mask"]) and torch.equal(out["image"], theirs["image"])


def where_from(out):
    """The affine map (2, 3) from new pixels to old, by least squares over an image of addresses."""
    image = denormalise(out["image"]).astype(float)
    row, column = np.nonzero((image[..., 2] == 255) & (image[..., 0] % 180 > 0)
                             & (image[..., 1] % 180 > 0))       # not at the border, where it clips
    new = np.stack([column, row, np.ones_like(row)], 1)
    return np.linalg.lstsq(new, image[row, column, :2] / 4, rcond=None)[0].T


def test_zoom_angle_shift_and_mirror_fill_their_ranges():
    image, mask = coordinates(46, 46), np.zeros((46, 46), np.uint8)
    t = batch_transform(46, flip=0.5, scale=(0.8, 1.25), rotate=20, translate=0.1, colour=0)
    outs = [one(t, image, mask, seed) for seed in range(80)]
    maps = np.stack([where_from(out) for out in outs])
    det = np.linalg.det(maps[:, :, :2])
    zoom, mirrored = 1 / np.sqrt(np.abs(det)), det < 0
    angle = np.rad2deg(np.arctan2(maps[:, 1, 0], maps[:, 1, 1]))   # rows of y know no mirror
    inverse = np.linalg.inv(maps[:, :, :2])
    middle = np.array([22.5, 22.5])
    shift = (inverse @ (middle - maps[:, :, 2])[..., None])[..., 0] - middle
    assert 0.79 < zoom.min() < 0.85 and 1.19 < zoom.max() < 1.26
    assert -20.3 < angle.min() < -16 and 16 < angle.max() < 20.3
    assert np.abs(shift - shift.round()).max() < 0.25           # whole pixels, up to 5 of 46
    for way in (0, 1):
        assert set(shift[:, way].round()) >= {-4, 0, 4} and np.abs(shift[:, way]).max() < 5.3
    assert 25 < mirrored.sum() < 55


def test_equal_to_the_warp_of_lesson_02():
    lesson = definitions("02_synchronized_augmentation")
    image, mask, _ = picture(33, 47)
    same = near = count = 0
    for degrees, scale in ((0, 0.7), (20, 1), (-65, 1.3), (180, 1), (31, 0.5)):
        matrix = lesson.rotation(degrees, 33, 47, scale)
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        images, masks = batch((image, mask))
        got, ids = augment._look_up(images.permute(0, 3, 1, 2), masks, back[None], (33, 47))
        theirs, their_ids = lesson.warp(image, mask, matrix, fill=FILL)
        assert torch.equal(got, got.round())
        same += (ids[0].numpy() == their_ids).sum()
        near += (np.abs(got[0].permute(1, 2, 0).numpy() - theirs) <= 1).all(2).sum()
        count += mask.size
    assert same / count > 0.999 and near / count > 0.999        # a few lie between two pixels


# Colour --------------------------------------------------------------------------------------


def middling(n=3, height=12, width=16):
    """Values that no factor below pushes out of 0..255."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(90, 150, (n, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize(("name", "theirs"), [
    ("brightness", F.adjust_brightness), ("contrast", F.adjust_contrast),
    ("saturation", F.adjust_saturation)])
def test_colour_is_torchvisions(name, theirs):
    images, factors = middling(), np.array([0.7, 1.0, 1.3])
    still = {k: np.ones(3) for k in ("brightness", "contrast", "saturation")}
    out = augment._change_colour(images, **{**still, name: factors}, turn=np.zeros(3))
    for got, image, factor in zip(out, images, factors, strict=True):
        expected = theirs(image / 255, float(factor)) * 255
        assert (got - expected).abs().max() < 0.2
        assert factor == 1 or (got - image).abs().max() > 2


def test_steps_of_colour_come_one_after_the_other():
    images = middling()
    factors = {"brightness": np.array([0.9, 1.1, 1]), "contrast": np.array([1.2, 0.8, 0.9]),
               "saturation": np.array([0.7, 1.3, 1.1])}
    out = augment._change_colour(images, **factors, turn=np.zeros(3))
    steps = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    for k, image in enumerate(images / 255):
        for step, values in zip(steps, factors.values(), strict=True):
            image = step(image, float(values[k]))
        assert (out[k] - 255 * image).abs().max() < 0.3


@pytest.mark.parametrize("turn", [1 / 3, -1 / 3, 0.05, -0.02])
def test_the_hue_turns_and_greys_stay(turn):
    images, ones = middling(1), np.ones(1)
    out = augment._change_colour(images, ones, ones, ones, np.array([turn]))
    if abs(turn) == 1 / 3:                                  # red becomes green, green blue
        assert torch.allclose(out, images.roll(1 if turn > 0 else -1, 1), atol=1e-3)
    for old, new in zip(images[0].flatten(1).T.tolist(), out[0].flatten(1).T.tolist(),
                        strict=True):
        if max(old) - min(old) > 10:
            was, now = (colorsys.rgb_to_hsv(*(v / 255 for v in rgb))[0] for rgb in (old, new))
            assert abs((now - was - turn + 0.5) % 1 - 0.5) < 2.4 / 360   # a circle, not a hexagon
    grey = torch.full((1, 3, 4, 4), 99.0)
    assert torch.allclose(augment._change_colour(grey, ones, ones, ones, np.array([turn])), grey)


@pytest.mark.parametrize("name", ["colour", "blur", "noise"])
def test_each_change_of_the_image_is_made_and_drawn_anew_and_leaves_the_mask(name):
    images, masks = several()
    t = batch_transform((40, 48), **{**STILL, name: 0.5 if name == "colour" else 1})
    changed, ids = t(images, masks, range(5))
    other, _ = t(images, masks, range(5, 10))
    plain, same = normalise_batch(images, masks)
    assert torch.equal(ids, same)
    assert all((a != b).any() for a, b in zip(changed, plain, strict=True))
    assert all((a != b).any() for a, b in zip(changed, other, strict=True))


def test_colour_blur_and_noise_change_no_other_draw():
    images, masks = several()
    loud = batch_transform(36, colour=0.5, blur=1, noise=1)(images, masks, range(5))
    quiet = batch_transform(36, colour=0)(images, masks, range(5))
    assert torch.equal(loud[1], quiet[1]) and not torch.equal(loud[0], quiet[0])
    plain = torch.full_like(images, 128)                   # where blur is not seen, noise is
    noisy, same = (batch_transform((40, 48), **STILL, blur=blur, noise=1)(plain, masks, range(5))
                   for blur in (0, 1))
    assert (noisy[0] != same[0]).float().mean() < 1e-3     # weights sum to 1 but for rounding
    assert len(noisy[0][0, 0].unique()) > 10


def test_blur_is_torchvisions_and_spares_whom_it_should():
    images = several()[0].permute(0, 3, 1, 2).float()
    sigma = np.array([0, 0.3, 0.8, 1.2, 0])
    out = augment._blur(images, sigma)
    assert torch.equal(out[0], images[0]) and torch.equal(out[4], images[4])
    for k in (1, 2, 3):
        theirs = F.gaussian_blur(images[k], [5, 5], [sigma[k]] * 2)
        assert (out[k] - theirs)[:, 2:-2, 2:-2].abs().max() < 0.1


def test_noise_has_its_size_and_its_share():
    images = torch.full((40, 20, 20, 3), 128, dtype=torch.uint8)
    masks = torch.zeros(40, 20, 20, dtype=torch.uint8)
    out, _ = batch_transform(20, **STILL, noise=0.5)(images, masks, range(40))
    off = np.stack([denormalise(image) for image in out]).astype(float) - 128
    noisy = off.reshape(40, -1).any(1)
    assert 10 < noisy.sum() < 30
    assert abs(off[noisy].std() / 255 - 0.04) < 0.002 and abs(off[noisy].mean()) < 0.3


# Whoever else is in the batch ------------------------------------------------------------------

ALL_ON = {"vertical_flip": 0.5, "rotate": 30, "blur": 0.5, "noise": 0.5}


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(rows=st.lists(st.integers(0, 6), min_size=1, max_size=9), colour=st.sampled_from([0, 0.4]),
       first=st.booleans())
def test_a_picture_is_the_same_in_any_batch(rows, colour, first):
    images, masks = several(7, 30, 33)
    if first:
        images = images.permute(0, 3, 1, 2).contiguous()
    t = batch_transform(28, colour=colour, **ALL_ON)
    seeds = [(0, 1, k) for k in range(7)]
    every = t(images, masks, seeds)
    some = t(images[rows], masks[rows], [seeds[k] for k in rows])
    assert torch.equal(some[0], every[0][rows]) and torch.equal(some[1], every[1][rows])


def test_everything_follows_from_the_seeds():
    images, masks = several()
    t, other = (batch_transform(32, **ALL_ON) for _ in range(2))
    seeds = [0, 1, (0, 0, 1), (0, 1, 0), 2**70]
    first = t(images, masks, seeds)
    np.random.seed(1), random.seed(2), torch.manual_seed(3)  # noqa: NPY002  the point
    before = torch.get_rng_state()
    again = other(images, masks, seeds)
    assert all(map(torch.equal, first, again)) and torch.equal(torch.get_rng_state(), before)
    same = images[:1].expand(50, -1, -1, -1), masks[:1].expand(50, -1, -1)
    views = t(*same, [(0, e, i) for e in range(5) for i in range(10)])[0]
    assert len({view.numpy().tobytes() for view in views}) == 50
    fresh = t(*same, [None] * 50)[0]
    assert len({view.numpy().tobytes() for view in fresh}) == 50


def test_two_flips_are_drawn_independently():
    mask = np.arange(4, dtype=np.uint8).reshape(2, 2)
    t = batch_transform(2, **{**STILL, "flip": 0.5}, vertical_flip=0.5)
    pairs = batch(*[(np.repeat(mask[..., None], 3, 2), mask)] * 200)
    counts = np.bincount(t(*pairs, range(200))[1][:, 0, 0].numpy(), minlength=4)
    assert counts.min() > 25


# The contract ----------------------------------------------------------------------------------


def test_types_and_inputs_left_alone():
    images, masks = several()
    before = images.clone(), masks.clone()
    for out, ids in (batch_transform(32, **ALL_ON)(images, masks, range(5)),
                     normalise_batch(images, masks)):
        assert out.dtype == torch.float32 and out.is_contiguous() and out.shape[:2] == (5, 3)
        assert ids.dtype == torch.int64 and ids.is_contiguous() and ids.shape[1:] == out.shape[2:]
        out.zero_(), ids.zero_()
    assert torch.equal(images, before[0]) and torch.equal(masks, before[1])


def test_options_and_defaults_are_those_of_train_transform():
    ours, theirs = (inspect.signature(f).parameters for f in (batch_transform, train_transform))
    assert dict(ours) == {name: p for name, p in theirs.items() if name != "backend"}
    assert "0.25" in repr(batch_transform(noise=0.25))


@pytest.mark.parametrize(("options", "message"), [
    ({"flip": 2}, "flip=2"), ({"scale": (1.2, 0.8)}, "scale"), ({"rotate": -3}, "rotate=-3"),
    ({"size": 0}, "size=0"), ({"noise": -0.1}, "noise"), ({"translate": 30}, "translate=30")])
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        batch_transform(**options)


IMAGES, MASKS = several(2)


@pytest.mark.parametrize(("images", "masks", "message"), [
    (IMAGES.numpy(), MASKS, "images must be a tensor, got ndarray"),
    (IMAGES, None, "masks must be a tensor, got NoneType"),
    (IMAGES / 255, MASKS, "images are torch.float32, wanted uint8"),
    (IMAGES, MASKS.long(), "masks are torch.int64, wanted uint8"),
    (IMAGES[0], MASKS[0], r"images are \(40, 48, 3\) and masks \(40, 48\)"),
    (IMAGES, MASKS.mT, r"masks \(2, 48, 40\).*are they pairs"),
    (IMAGES[..., :2], MASKS, r"images are \(2, 40, 48, 2\).*wanted RGB"),
    (IMAGES, MASKS[:1], "are they pairs"),
    (IMAGES[:0], MASKS[:0], r"images are \(0, 40, 48, 3\)"),
    (IMAGES, MASKS.to("meta"), "images are on cpu, masks on meta"),
])
def test_bad_input_gets_one_clear_line(images, masks, message):
    for call in (lambda: batch_transform(32)(images, masks, [0, 1]),
                 lambda: normalise_batch(images, masks)):
        with pytest.raises((ValueError, TypeError), match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_each_picture_needs_its_seed():
    with pytest.raises(ValueError, match="2 images and 3 seeds"):
        batch_transform(32)(IMAGES, MASKS, range(3))



"""Image, mask, instances and boxes stay together, and a call's randomness follows its seed.

The oracle is a picture of coordinates: its red and green hold x and y, its blue marks the inside
of the frame. Whatever the geometry was, each output pixel says where it came from, so the mask
can be checked without knowing the transform.
"""

import os
import pickle
import random
import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import functional as TF

from segutils import augment
from segutils.augment import FILL, MEAN, STD, denormalise, eval_transform, train_transform
from segutils.masks import boxes_from_masks

BACKENDS = ("albumentations", "torchvision")
STILL = {"flip": 0, "scale": (1, 1), "rotate": 0, "translate": 0, "colour": 0}
TOLERANCE = 0.3  # of a pixel: what the rounding of the image, and its fill, cost the oracle
backends = pytest.mark.parametrize("backend", BACKENDS)


def picture(height=40, width=48, seed=0):
    """Random image, mask with void, and instance ids of which most are over 255."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), (height, width))
    return image, mask, rng.integers(0, 65536, (height, width)).astype(np.uint16)


def coordinates(height, width):
    """Red: 4 x, green: 4 y, blue: 255, for pictures of up to 60 pixels a side."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([4 * x, 4 * y, np.full_like(x, 255)]).astype(np.uint8)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# The coordinate oracle ----------------------------------------------------------------------


def check_against_coordinates(out, mask, instances=None):
    """Count the pixels of an output that are not where the picture of coordinates says."""
    height, width = mask.shape
    image = denormalise(out["image"])
    red, green, blue = np.moveaxis(image.astype(float), 2, 0)
    got = out["mask"].numpy()
    ids = None if instances is None else out["instances"].numpy()
    inside, outside = blue == 255, (image == FILL).all(2)  # else: image and fill mixed
    wrong = int((got[outside] != 255).sum())
    if ids is not None:
        wrong += int((ids[outside] != 0).sum())
    fits = np.zeros(inside.sum(), bool)
    x, y = red[inside] / 4, green[inside] / 4
    for dx in (-TOLERANCE, TOLERANCE):  # near the border of two pixels either will do
        for dy in (-TOLERANCE, TOLERANCE):
            column = np.clip(np.floor(x + dx + 0.5), 0, width - 1).astype(int)
            row = np.clip(np.floor(y + dy + 0.5), 0, height - 1).astype(int)
            fit = got[inside] == mask[row, column]
            if ids is not None:
                fit &= ids[inside] == instances[row, column]
            fits |= fit
    return wrong + int((~fits).sum()), int(inside.sum())


@st.composite
def cases(draw):
    side = st.integers(6, 60)
    low = draw(st.floats(0.5, 1.2))
    options = {
        "flip": draw(st.sampled_from([0, 0.5, 1])),
        "vertical_flip": draw(st.sampled_from([0, 0.5, 1])),
        "scale": draw(st.sampled_from([(1, 1), (low, low * 1.5)])),
        "rotate": draw(st.sampled_from([0, 5, 45, 180])),
        "translate": draw(st.sampled_from([0, 0.1, 0.4])),
    }
    return {
        "shape": (draw(side), draw(side)),
        "size": draw(st.one_of(st.integers(4, 70), st.tuples(side, side))),
        "options": options,
        "instances": draw(st.booleans()),
        "seed": draw(st.tuples(st.integers(0, 9), st.integers(0, 10**6))),
    }


def run_case(case, backend):
    height, width = case["shape"]
    rng = np.random.default_rng(case["seed"])
    mask = rng.integers(0, 255, (height, width), np.uint8)
    data = {"image": coordinates(height, width), "mask": mask}
    if case["instances"]:
        data["instances"] = 1000 + np.arange(height * width).reshape(height, width)
    t = train_transform(case["size"], colour=0, backend=backend, **case["options"])
    out = t(**data, seed=case["seed"])
    wrong, _ = check_against_coordinates(out, mask, data.get("instances"))
    assert wrong == 0, f"{wrong} pixels of the mask do not belong to their image"


@backends
@settings(max_examples=75, deadline=None, derandomize=True, database=None)
@given(case=cases())
def test_mask_belongs_to_its_image(backend, case):
    run_case(case, backend)


@pytest.mark.slow
@backends
@settings(max_examples=10_000, deadline=None, database=None)
@given(case=cases())
def test_mask_belongs_to_its_image_10000_times(backend, case):
    run_case(case, backend)


@backends
def test_the_oracle_sees_pixels_and_sees_mistakes(backend):
    """Most of an output is checked, and a mask moved by one pixel is not let through."""
    mask = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    out = train_transform(48, colour=0, backend=backend)(
        image=coordinates(48, 48), mask=mask, seed=3
    )
    wrong, seen = check_against_coordinates(out, mask)
    assert wrong == 0 and seen > 1500
    out["mask"] = out["mask"].roll(1, dims=1)
    assert check_against_coordinates(out, mask)[0] > 1000


def nearest_source(new, old):
    """Columns that may stand at each of `new` columns drawn from `old`: centre to centre."""
    twice = (2 * np.arange(new) + 1) * old
    high = twice // (2 * new)
    return high - (twice % (2 * new) == 0), high  # exactly on a border, either will do


def check_fitted(shape, size, backend):
    height, width = shape
    image, mask, instances = picture(height, width)
    instances = np.arange(height * width).reshape(shape)
    out = eval_transform(size, backend=backend)(image=image, mask=mask, instances=instances)
    inside = denormalise(out["image"]) != FILL
    got, ids = out["mask"].numpy(), out["instances"].numpy()
    assert got.shape == size
    ratio = min(size[0] / height, size[1] / width)
    new = [max(1, round(height * ratio)), max(1, round(width * ratio))]
    top, left = (size[0] - new[0]) // 2, (size[1] - new[1]) // 2
    window = (slice(top, top + new[0]), slice(left, left + new[1]))
    rows, columns = nearest_source(new[0], height), nearest_source(new[1], width)
    y, x = np.divmod(ids[window], width)
    assert all(((y == rows[0][:, None]) | (y == rows[1][:, None])).ravel())
    assert all(((x == columns[0]) | (x == columns[1])).ravel())
    assert (got[window] == mask[y, x]).all()
    outside = np.ones(size, bool)
    outside[window] = False
    assert (got[outside] == 255).all() and (ids[outside] == 0).all()
    assert not inside[outside].any()


SHAPES = [
    ((40, 48), (32, 32)),
    ((48, 40), (96, 80)),
    ((30, 30), (47, 47)),
    ((16, 24), (10, 64)),
    ((41, 33), (41, 33)),
    ((60, 20), (21, 50)),
    ((100, 75), (64, 64)),
]


@backends
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_eval_fits_the_whole_picture_without_a_shift(backend, shape, size):
    check_fitted(shape, size, backend)


@pytest.mark.slow
@backends
@settings(max_examples=1000, deadline=None, database=None)
@given(data=st.data())
def test_eval_fits_any_shape(backend, data):
    side = st.integers(1, 100)
    check_fitted(data.draw(st.tuples(side, side)), data.draw(st.tuples(side, side)), backend)


@backends
def test_eval_image_lies_on_its_mask(backend):
    """The image is resized smoothly, yet by the same geometry as the mask."""
    y, x = np.mgrid[:60, :60]
    mask = (x >= 24).astype(np.uint8)
    image = np.repeat((255 * mask)[..., None], 3, 2)
    for size in (30, 20, 45, 90):
        out = eval_transform(size, backend=backend)(image=image, mask=mask)
        bright = torch.from_numpy(denormalise(out["image"])[..., 0] > 127)
        assert (bright != out["mask"].bool()).float().mean() <= 1 / size


# Colour -------------------------------------------------------------------------------------


@backends
def test_colour_blur_and_noise_touch_the_image_alone(backend):
    image, mask, instances = picture()
    loud = train_transform(36, colour=0.5, blur=1, noise=1, backend=backend)
    quiet = train_transform(36, colour=0, backend=backend)
    for seed in range(20):
        a = loud(image=image, mask=mask, instances=instances, seed=seed)
        b = quiet(image=image, mask=mask, instances=instances, seed=seed)
        assert torch.equal(a["mask"], b["mask"])
        assert torch.equal(a["instances"], b["instances"])
        assert not torch.equal(a["image"], b["image"])


@backends
@pytest.mark.parametrize("name", ["colour", "blur", "noise"])
def test_each_change_of_the_image_is_made_and_drawn_anew(backend, name):
    image, mask, _ = picture()
    still = {**STILL, name: 0.5 if name == "colour" else 1}
    t = train_transform((40, 48), backend=backend, **still)
    pictures = [denormalise(t(image=image, mask=mask, seed=s)["image"]) for s in range(4)]
    assert all((p != image).any() for p in pictures)
    assert (pictures[0] != pictures[1]).any()
    assert all(abs(p.astype(float).mean() - image.mean()) < 60 for p in pictures)


# The contract -------------------------------------------------------------------------------


@backends
def test_output_types(backend):
    image, mask, instances = picture()
    for t in (train_transform(32, backend=backend), eval_transform(32, backend=backend)):
        out = t(image=image, mask=mask, instances=instances, boxes=[[1, 2, 30, 40]], seed=0)
        assert list(out) == ["image", "mask", "instances", "boxes", "kept"]
        kinds = {name: (x.dtype, tuple(x.shape[-2:])) for name, x in out.items()}
        assert kinds["image"] == (torch.float32, (32, 32)) and out["image"].shape[0] == 3
        assert kinds["mask"] == kinds["instances"] == (torch.int64, (32, 32))
        assert kinds["boxes"][0] == torch.float32 and kinds["kept"][0] == torch.int64
        assert all(type(x) is torch.Tensor and x.is_contiguous() for x in out.values())


@backends
def test_eval_keeps_every_value(backend):
    image, mask, instances = picture()
    out = eval_transform(backend=backend)(image=image, mask=mask, instances=instances)
    expected = TF.normalize(TF.to_tensor(image), MEAN, STD)
    assert torch.allclose(out["image"], expected, atol=1e-5)
    assert (out["mask"].numpy() == mask).all() and (out["instances"].numpy() == instances).all()
    assert (denormalise(out["image"]) == image).all()


def test_denormalise_gives_back_every_value():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    out = eval_transform()(image=ramp, mask=ramp[..., 0])
    assert (denormalise(out["image"]) == ramp).all()
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\)"):
        denormalise(torch.zeros(2, 3, 4, 4))


@backends
def test_outside_is_void_no_instance_and_mean_colour(backend):
    image, mask = np.full((20, 20, 3), 255, np.uint8), np.ones((20, 20), np.uint8)
    instances = np.full((20, 20), 1001, np.uint16)
    t = train_transform(30, backend=backend, **STILL)
    out = t(image=image, mask=mask, instances=instances, seed=0)
    assert (out["mask"] == 255).sum() == 900 - 400
    assert out["mask"].unique().tolist() == [1, 255]
    assert out["instances"].unique().tolist() == [0, 1001]
    outside = (out["mask"] == 255).numpy()
    assert (denormalise(out["image"])[outside] == FILL).all()
    assert out["image"][:, outside].abs().max() < 0.02


@backends
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.uint32])
def test_instance_ids_survive_a_warp(backend, dtype):
    image, mask, instances = picture()
    t = train_transform(64, rotate=30, backend=backend)
    a = t(image=image, mask=mask, instances=instances, seed=1)
    b = t(image=image, mask=mask, instances=instances.astype(dtype), seed=1)
    assert equal(a, b)
    found = set(a["instances"].unique().tolist())
    assert found <= set(instances.ravel().tolist()) | {0} and max(found) > 60_000


@backends
def test_inputs_are_left_alone_and_views_are_taken(backend):
    image, mask, instances = picture()
    for array in (image, mask, instances):
        array.flags.writeable = False  # a write would raise
    t = train_transform(32, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = t(image=image[:, ::-1], mask=mask[:, ::-1], instances=instances[:, ::-1], seed=0)
    flipped = [np.ascontiguousarray(x[:, ::-1]) for x in (image, mask, instances)]
    assert equal(a, t(image=flipped[0], mask=flipped[1], instances=flipped[2], seed=0))
    out = eval_transform(backend=backend)(image=image, mask=mask)
    out["image"].zero_(), out["mask"].zero_()
    assert image.any() and mask.any()


# Seeds --------------------------------------------------------------------------------------


def disturb():
    np.random.seed(1), np.random.rand(5)  # noqa: NPY002  the global generator is the point
    random.seed(2), random.random()
    torch.manual_seed(3), torch.rand(5)
    cv2.setRNGSeed(4)


ALL_ON = {"vertical_flip": 0.5, "blur": 0.5, "noise": 0.5}


@backends
def test_everything_follows_from_the_seed(backend):
    image, mask, instances = picture()
    data = {"image": image, "mask": mask, "instances": instances}
    t, other = (train_transform(32, backend=backend, **ALL_ON) for _ in range(2))
    seeds = [0, 1, (0, 0, 1), (0, 1, 0), 2**70, -1]
    first = [t(**data, seed=s) for s in seeds]
    disturb()
    again = [other(**data, seed=s) for s in reversed(seeds)][::-1]
    assert all(map(equal, first, again))
    copy = pickle.loads(pickle.dumps(t))
    assert equal(copy(**data, seed=0), first[0])


@backends
def test_different_seeds_differ(backend):
    image, mask, _ = picture()
    t = train_transform(32, backend=backend)
    seeds = [
        *range(50),
        *((0, e, i) for e in range(7) for i in range(7)),
        (5, 0),
        (5, 0, 0),
        2**32,
        (0, 1),
    ]
    pictures = {t(image=image, mask=mask, seed=s)["image"].numpy().tobytes() for s in seeds}
    assert len(pictures) == len(seeds)


@backends
def test_numbers_of_numpy_are_seeds_too(backend):
    image, mask, _ = picture()
    t = train_transform(32, backend=backend)
    a = t(image=image, mask=mask, seed=(np.int64(3), np.uint8(4)))
    assert equal(a, t(image=image, mask=mask, seed=[3, 4]))
    with pytest.raises(TypeError):
        t(image=image, mask=mask, seed=0.5)


@backends
def test_without_a_seed_it_is_fresh_whatever_the_global_seeds(backend):
    image, mask, _ = picture()
    t = train_transform(32, backend=backend)
    pictures = set()
    for _ in range(20):
        disturb()
        pictures.add(t(image=image, mask=mask)["image"].numpy().tobytes())
    assert len(pictures) == 20


@backends
def test_global_generators_are_left_alone(backend):
    image, mask, _ = picture()
    t = train_transform(32, backend=backend, **ALL_ON)
    disturb()
    numpys = np.random.get_state
    before = numpys()[1].copy(), random.getstate(), torch.get_rng_state()
    for seed in (None, 0, (1, 2)):
        t(image=image, mask=mask, seed=seed)
    assert (numpys()[1] == before[0]).all()
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@backends
def test_two_flips_are_drawn_independently(backend):
    """Each of the four combinations comes up; with one seed for all steps only two would."""
    mask = np.arange(4, dtype=np.uint8).reshape(2, 2)
    image = np.repeat(mask[..., None], 3, 2)
    t = train_transform(2, backend=backend, **{**STILL, "flip": 0.5}, vertical_flip=0.5)
    seen = [tuple(t(image=image, mask=mask, seed=s)["mask"].ravel().tolist()) for s in range(200)]
    counts = {corner: seen.count(corner) for corner in set(seen)}
    assert len(counts) == 4 and min(counts.values()) > 25


# The two backends agree ---------------------------------------------------------------------


def step_of(steps, name):
    return next(step for step in steps if type(step).__name__ == name)


def affine_matrix(angle, shift, scale, height, width):
    """From source to target about the centre of the picture; positive angles turn clockwise."""
    c, s = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x0, y0 = cx + shift[0] - c * cx + s * cy, cy + shift[1] - s * cx - c * cy
    return np.array([[c, -s, x0], [s, c, y0], [0, 0, 1]])


@pytest.mark.parametrize("angle", [0, 7, -30, 90, 145])
@pytest.mark.parametrize("shift", [(0, 0), (5, -3)])
@pytest.mark.parametrize("scale", [0.73, 1.0, 1.37])
def test_same_affine_same_result(angle, shift, scale):
    y, x = np.mgrid[:40, :48]
    image = np.dstack([5 * x, 6 * y, 2 * (x + y)]).astype(np.uint8)
    _, mask, _ = picture()
    options = {
        "flip": 0,
        "vertical_flip": 0,
        "scale": (0.5, 2),
        "rotate": 180,
        "translate": 0.5,
        "colour": 0,
        "blur": 0,
        "noise": 0,
    }
    matrix = affine_matrix(angle, shift, scale, 40, 48)
    one = step_of(augment._albumentations_train((40, 48), **options), "Affine")
    mask1 = one.apply_to_mask(np.dstack([mask, mask]), matrix=matrix, output_shape=(40, 48))
    image1 = one.apply(image, matrix=matrix, output_shape=(40, 48)).astype(int)
    two = step_of(augment._torchvision_train((40, 48), **options), "RandomAffine")
    params = {"angle": angle, "translate": shift, "scale": scale, "shear": (0.0, 0.0)}
    mask2 = two.transform(tv_tensors.Mask(torch.from_numpy(mask)), params).numpy()
    tensor = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
    image2 = two.transform(tensor, params).permute(1, 2, 0).numpy().astype(int)

    back = np.linalg.inv(matrix)  # the oracle: where each pixel's centre came from
    sx, sy = np.tensordot(back[:2], np.stack([x, y, np.ones_like(x)]), 1)
    far = lambda s: np.abs(s - np.floor(s) - 0.5) > 0.01  # noqa: E731  not between two pixels
    sure = far(sx) & far(sy)
    column, row = np.rint(sx).astype(int), np.rint(sy).astype(int)
    inside = (column >= 0) & (column < 48) & (row >= 0) & (row < 40)
    expected = np.where(inside, mask[row.clip(0, 39), column.clip(0, 47)], 255)
    assert sure.mean() > 0.9
    assert (mask1[..., 0] == expected)[sure].all()
    assert (mask2 == expected)[sure].all()
    core = (sx > 0) & (sx < 47) & (sy > 0) & (sy < 39)
    assert np.abs(image1 - image2)[core].max() <= 2


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 1},
        {"vertical_flip": 1},
        {"scale": (1.3, 1.3)},
        {"scale": (0.6, 0.6)},
        {"flip": 1, "vertical_flip": 1},
    ],
)
def test_same_fixed_geometry_same_tensors(options):
    image, mask, instances = picture(41, 47)
    image = cv2.GaussianBlur(image, None, 2)
    outs = [
        train_transform((41, 47), backend=b, **{**STILL, **options})(
            image=image, mask=mask, instances=instances, seed=0
        )
        for b in BACKENDS
    ]
    assert (outs[0]["mask"] == outs[1]["mask"]).float().mean() == 1
    assert torch.equal(outs[0]["instances"], outs[1]["instances"])
    core = (outs[0]["mask"] != 255)[None].expand(3, -1, -1)
    assert (outs[0]["image"] - outs[1]["image"]).abs()[core].median() < 0.03


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_eval_agrees_in_both(shape, size):
    image, mask, _ = picture(*shape)
    image = cv2.GaussianBlur(image, None, 3)
    a, b = (eval_transform(size, backend=b)(image=image, mask=mask) for b in BACKENDS)
    assert (a["mask"] == b["mask"]).float().mean() > 0.95  # ties between two pixels
    assert (a["image"] - b["image"]).abs().mean() < 0.1


# Boxes --------------------------------------------------------------------------------------


def rectangles(height=60, width=60):
    """Three rectangles, not touching, as instance ids and as boxes."""
    boxes = np.array([[2, 3, 14, 20], [20, 5, 50, 17], [10, 30, 33, 57]], np.float32)
    instances = np.zeros((height, width), np.uint16)
    for k, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        instances[y1:y2, x1:x2] = 1001 + k
    return boxes, instances


def tight(instances):
    ids = np.unique(instances[instances > 0])
    return ids - 1001, boxes_from_masks(instances == ids[:, None, None]).astype(np.float32)


@backends
@pytest.mark.parametrize(
    "options", [{"flip": 1}, {"vertical_flip": 1}, {"scale": (0.6, 1.8)}, {"translate": 0.4}, {}]
)
def test_boxes_stay_on_their_instances(backend, options):
    boxes, instances = rectangles()
    image, mask, _ = picture(60, 60)
    t = train_transform(44, backend=backend, **{**STILL, **options})
    dropped = 0
    for seed in range(25):
        out = t(image=image, mask=mask, instances=instances, boxes=boxes, seed=seed)
        rows, expected = tight(out["instances"].numpy())
        got = dict(zip(out["kept"].tolist(), out["boxes"].numpy(), strict=True))
        for row, box in zip(rows.tolist(), expected, strict=True):
            assert np.abs(got.pop(row) - box).max() <= 1
        for box in got.values():  # a sliver of less than a pixel may be left without an id
            assert min(box[2] - box[0], box[3] - box[1]) <= 0.6
        dropped += 3 - len(out["kept"])
        assert (out["boxes"] >= 0).all() and (out["boxes"] <= 44).all()
    assert dropped or options in ({"flip": 1}, {"vertical_flip": 1}, {})


@backends
def test_a_turned_box_encloses_its_instance(backend):
    boxes, instances = rectangles()
    image, mask, _ = picture(60, 60)
    t = train_transform(60, backend=backend, **{**STILL, "rotate": 40})
    for seed in range(25):
        out = t(image=image, mask=mask, instances=instances, boxes=boxes, seed=seed)
        got = dict(zip(out["kept"].tolist(), out["boxes"].numpy(), strict=True))
        for row, box in zip(*tight(out["instances"].numpy()), strict=True):
            assert (got[row][:2] <= box[:2] + 1).all() and (got[row][2:] >= box[2:] - 1).all()


@backends
def test_boxes_change_nothing_else(backend):
    boxes, instances = rectangles()
    image, mask, _ = picture(60, 60)
    t = train_transform(44, backend=backend)
    for seed in range(5):
        a = t(image=image, mask=mask, instances=instances, boxes=boxes, seed=seed)
        b = t(image=image, mask=mask, instances=instances, seed=seed)
        c = t(image=image, mask=mask, seed=seed)
        none = t(image=image, mask=mask, boxes=[], seed=seed)
        assert all(torch.equal(a[name], b[name]) for name in b)
        assert all(torch.equal(a[name], c[name]) for name in c)
        assert none["boxes"].shape == (0, 4) and none["kept"].shape == (0,)
    out = eval_transform(backend=backend)(image=image, mask=mask, boxes=boxes)
    assert np.allclose(out["boxes"], boxes, atol=1e-4) and out["kept"].tolist() == [0, 1, 2]


# Refusals -----------------------------------------------------------------------------------

IMAGE, MASK, IDS = picture()
REFUSED = [
    ({"image": IMAGE / 255}, r"image is float64 \(40, 48, 3\).*multiply by 255"),
    ({"image": IMAGE[..., 0]}, r"image is uint8 \(40, 48\)"),
    ({"image": np.dstack([IMAGE, MASK])}, r"image is uint8 \(40, 48, 4\)"),
    ({"image": IMAGE.transpose(2, 0, 1)}, r"image is uint8 \(3, 40, 48\)"),
    ({"image": torch.from_numpy(IMAGE)}, "image must be a NumPy array, got Tensor"),
    ({"image": None}, "image must be a NumPy array, got NoneType"),
    ({"mask": MASK.astype(float)}, r"mask is float64 \(40, 48\)"),
    ({"mask": MASK.astype(bool)}, r"mask is bool"),
    ({"mask": MASK.astype(np.int64)}, r"mask is int64"),
    ({"mask": MASK[..., None]}, r"mask is uint8 \(40, 48, 1\).*one channel"),
    ({"mask": IMAGE}, r"mask is uint8 \(40, 48, 3\).*one channel"),
    ({"mask": MASK.T}, r"image is \(40, 48\) but its mask is \(48, 40\).*turned"),
    ({"mask": MASK[:-1]}, r"\(39, 48\)"),
    ({"instances": IDS[:, :-1]}, r"mask is \(40, 48\) but its instances are \(40, 47\)"),
    ({"instances": IDS.astype(np.float32)}, "instances are float32"),
    ({"instances": IDS.astype(int) - 70000}, "run from -"),
    ({"instances": IDS.astype(int) + 70000}, "wanted 0..65535"),
    ({"boxes": [[0, 0, 49, 10]]}, r"box 0 .*outside the 40x48 picture"),
    ({"boxes": [[0, 0, 5, 5], [9, 9, 3, 3]]}, "box 1 .*empty"),
    ({"boxes": [1, 2, 3, 4]}, r"boxes are \(4,\)"),
    ({"boxes": [[0, np.nan, 3, 3]]}, "box 0"),
]


@backends
@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(backend, change, message):
    t = train_transform(32, backend=backend)
    with pytest.raises((ValueError, TypeError), match=message) as error:
        t(**{"image": IMAGE, "mask": MASK, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["masks", "label", "Image", "bboxes"])
def test_unknown_targets_are_refused(name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        eval_transform()(image=IMAGE, mask=MASK, **{name: MASK})


def test_unknown_arguments_are_refused_not_warned_of():
    with pytest.raises(TypeError, match="unexpected keyword argument 'rotation'"):
        train_transform(32, rotation=10)
    step = augment.A.PadIfNeeded
    with pytest.warns(UserWarning, match="mask_value"):
        old = step(64, 64, mask_value=255)  # the name before 2.0: void would become class 0
    with pytest.raises(ValueError, match="mask_value"):
        augment.RunAlbumentations([old])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 2}, "flip=2"),
        ({"translate": 30}, "translate=30"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"scale": (0, 1)}, "scale"),
        ({"rotate": -3}, "rotate=-3"),
        ({"size": 0}, "size=0"),
        ({"size": (32, -1)}, "size="),
        ({"backend": "kornia"}, "backend='kornia'.*torchvision"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train_transform(**options)


def test_albumentations_asks_no_server_at_import():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"]


@backends
def test_says_what_it_is(backend):
    assert backend in repr(train_transform(backend=backend))

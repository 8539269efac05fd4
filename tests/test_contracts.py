"""One suite over two implementations: the package's, and what a lesson builds by hand.

The lesson's is executed out of its source (`lessons.definitions`). The two texts may differ, one
teaching and one hardened; here a difference in what they give, or refuse, is a red test. A section
for each lesson, each with a fixture that yields the package and then the lesson.
"""

import os
from fractions import Fraction
from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lessons import definitions
from matplotlib.path import Path as Outline
from pycocotools import mask as coco
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import ops
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.segmentation.deeplabv3 import ASPP

from segutils import augment, checkpoint, explorer, losses, masks, metrics, show, train, unet
from segutils.datasets import FolderPairs

# ---- lesson 01: masks ---------------------------------------------------------------------------


def package_pairs(images, targets):
    pairs = FolderPairs(images, targets)
    return [(pairs.images[stem], pairs.masks[stem]) for stem in pairs.stems]


@pytest.fixture(params=["package", "lesson"], scope="module")
def m01(request):
    """What lesson 01 builds: `masks` and `show.overlay`, or the lesson's own."""
    if request.param == "package":
        return SimpleNamespace(
            **{name: getattr(masks, name) for name in (
                "decode_rgb", "colorize", "apply_color_matrix", "one_hot", "from_one_hot",
                "resize_mask", "decode_rle", "from_polygons")},
            overlay=show.overlay,
            encode_rle=partial(masks.encode_rle, compressed=False),
            pairs=package_pairs,
        )
    lesson = definitions("01_mask_basics")
    lesson.pairs = lambda images, targets: lesson.pair_by_stem(images.iterdir(), targets.iterdir())
    return lesson


IDS = arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)),
             elements=st.sampled_from([0, 1, 2, 255]))
BINARY = arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)),
                elements=st.integers(0, 1))
TABLE = {0: (0, 0, 0), 1: (230, 159, 0), 2: (0, 114, 178), 255: (224, 224, 224)}
TINY = np.array([[0, 0, 2, 2], [0, 1, 2, 2], [0, 1, 255, 255], [0, 0, 0, 0]], np.uint8)


def by_pixel(mask, value):
    """The oracle: `value` of each id, pixel after pixel."""
    return np.array([[value(int(k)) for k in row] for row in mask])


@given(mask=IDS)
def test_01_decode_rgb_gives_the_id_of_each_colour(m01, mask):
    ids = m01.decode_rgb(by_pixel(mask, TABLE.get).astype(np.uint8), TABLE)
    assert np.array_equal(ids, mask) and ids.dtype == np.uint8


def test_01_decode_rgb_takes_ids_of_16_bits(m01):
    ids = m01.decode_rgb(np.zeros((2, 3, 3), np.uint8), {2001: (0, 0, 0)})
    assert (ids == 2001).all() and ids.dtype == np.uint16


@pytest.mark.parametrize("channel", range(3))
def test_01_decode_rgb_names_an_unknown_colour_and_counts_it(m01, channel):
    rgb = masks.PALETTE[TINY].copy()
    rgb[1, 1, channel] ^= 1
    color = r",\s?".join(map(str, rgb[1, 1]))
    with pytest.raises(ValueError, match=color) as error:
        m01.decode_rgb(rgb, TABLE)
    assert "1 pixel" in str(error.value)


@pytest.mark.parametrize("table", [{}, {0: (0, 0, 0), 1: (0, 0, 0)}])
def test_01_decode_rgb_refuses_a_table_that_leaves_a_choice(m01, table):
    with pytest.raises(ValueError, match="table"):
        m01.decode_rgb(np.zeros((2, 2, 3), np.uint8), table)


@pytest.mark.parametrize("rgb", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8),
                                 np.zeros((2, 2, 3))])
def test_01_decode_rgb_wants_three_channels_of_bytes(m01, rgb):
    with pytest.raises(ValueError, match="uint8"):
        m01.decode_rgb(rgb, TABLE)


@given(mask=arrays(np.uint8, (3, 5)))
def test_01_colorize_looks_each_id_up(m01, mask):
    painted = m01.colorize(mask)
    assert np.array_equal(painted, by_pixel(mask, lambda k: masks.PALETTE[k]))
    assert painted.dtype == np.uint8


@pytest.mark.parametrize("mask", [np.array([[0, 3]], np.uint8), np.array([[0, -1]]),
                                  np.array([[0.0, 1.0]])])
def test_01_colorize_refuses_what_has_no_colour(m01, mask):
    with pytest.raises(ValueError):
        m01.colorize(mask, masks.PALETTE[:3])


@given(mask=IDS, alpha=st.sampled_from([0, 0.25, 0.5, 1]), seed=st.integers(0, 9))
def test_01_overlay_blends_objects_and_leaves_background(m01, mask, alpha, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), np.uint8)
    before = image.copy()
    drawn = m01.overlay(image, mask, alpha).astype(float)
    for at, k in np.ndenumerate(mask):
        share = alpha if k else 0
        assert np.abs(drawn[at] - (1 - share) * image[at] - share * masks.PALETTE[k]).max() <= 0.5
    assert np.array_equal(image, before)


@pytest.mark.parametrize("wrong", [
    {"mask": np.zeros((4, 5), np.uint8)}, {"mask": np.zeros((4, 4))},
    {"image": np.zeros((4, 4, 3))}, {"image": np.zeros((4, 4), np.uint8)},
    {"alpha": -0.1}, {"alpha": 1.1}])
def test_01_overlay_refuses_what_does_not_fit(m01, wrong):
    good = {"image": np.zeros((4, 4, 3), np.uint8), "mask": TINY, "alpha": 0.5}
    m01.overlay(**good)
    with pytest.raises(ValueError):
        m01.overlay(**good | wrong)


@given(image=arrays(np.uint8, (2, 3, 3)),
       matrix=arrays(np.int64, (3, 3), elements=st.integers(-8, 8)))
def test_01_a_color_matrix_is_a_product_for_each_pixel(m01, image, matrix):
    got = m01.apply_color_matrix(image, matrix / 8)        # eighths: exact in binary
    for y, x in np.ndindex(2, 3):
        for channel in range(3):
            eighths = sum(int(matrix[channel, k]) * int(image[y, x, k]) for k in range(3))
            exact = Fraction(eighths, 8)
            assert got[y, x, channel] == min(255, max(0, round(exact)))
    assert got.dtype == np.uint8


@pytest.mark.parametrize("image, matrix", [
    (np.zeros((2, 2), np.uint8), np.eye(3)), (np.zeros((2, 2, 4), np.uint8), np.eye(3)),
    (np.zeros((2, 2, 3)), np.eye(3)), (np.zeros((2, 2, 3), np.uint8), np.eye(4))])
def test_01_a_color_matrix_refuses_other_shapes(m01, image, matrix):
    with pytest.raises(ValueError):
        m01.apply_color_matrix(image, matrix)


@given(mask=IDS)
def test_01_one_hot_and_back(m01, mask):
    planes = m01.one_hot(mask, 3)
    want = by_pixel(mask, lambda k: [k == c for c in range(3)])      # void: in no plane
    assert np.array_equal(planes, want.transpose(2, 0, 1)) and planes.dtype == bool
    back = m01.from_one_hot(planes)
    assert np.array_equal(back, mask) and back.dtype == np.uint8


def test_01_one_hot_with_a_void_id_inside_the_classes(m01):
    planes = m01.one_hot(np.array([[0, 1, 2]], np.uint8), 3, ignore_index=1)
    assert planes.astype(int).tolist() == [[[1, 0, 0]], [[0, 0, 0]], [[0, 0, 1]]]
    assert m01.from_one_hot(planes, ignore_index=1).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("ids, ignored", [([3], 255), ([254], 255), ([255], None), ([-1], 255)])
def test_01_one_hot_names_an_id_without_a_plane(m01, ids, ignored):
    with pytest.raises(ValueError, match=str(ids[0])):
        m01.one_hot(np.array([ids]), 3, ignored)


@pytest.mark.parametrize("planes", [np.ones((2, 3, 3)), np.full((2, 3, 3), 0.5), np.zeros((3, 3)),
                                    np.array([[[2]], [[-1]]])])
def test_01_from_one_hot_refuses_planes_that_overlap_or_are_none(m01, planes):
    with pytest.raises(ValueError):
        m01.from_one_hot(planes)


@given(height=st.integers(1, 12), width=st.integers(1, 12), h=st.integers(1, 12),
       w=st.integers(1, 12), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_01_resize_picks_the_pixel_under_each_centre(m01, height, width, h, w, dtype):
    mask = np.arange(height * width, dtype=dtype).reshape(height, width)

    def under(i, new, old):
        return int((i + Fraction(1, 2)) * old / new)

    want = [[mask[under(i, h, height), under(j, w, width)] for j in range(w)] for i in range(h)]
    got = m01.resize_mask(mask, (h, w))
    assert np.array_equal(got, want) and got.dtype == dtype


@pytest.mark.parametrize("mask, size", [(TINY, (0, 4)), (TINY, (4,)), (TINY[None], (4, 4)),
                                        (TINY[:0], (4, 4))])
def test_01_resize_refuses_other_shapes(m01, mask, size):
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        m01.resize_mask(mask, size)


@given(mask=BINARY)
def test_01_rle_is_pycocotools(m01, mask):
    rle = m01.encode_rle(mask)
    theirs = coco.frPyObjects(rle, *mask.shape)
    assert np.array_equal(coco.decode(theirs), mask)
    assert theirs["counts"] == coco.encode(np.asfortranarray(mask))["counts"]
    back = m01.decode_rle(rle)
    assert np.array_equal(back, mask) and back.dtype == np.uint8


def test_01_rle_by_pencil(m01):
    assert m01.encode_rle(TINY == 2) == {"size": [4, 4], "counts": [8, 2, 2, 2, 2]}
    assert m01.encode_rle(TINY != 2) == {"size": [4, 4], "counts": [0, 8, 2, 2, 2, 2]}
    assert m01.encode_rle(np.ones((2, 3)))["counts"] == [0, 6]
    assert m01.encode_rle(np.zeros((2, 3)))["counts"] == [6]


@pytest.mark.parametrize("mask", [TINY, np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)])
def test_01_rle_wants_a_binary_mask(m01, mask):
    with pytest.raises(ValueError, match="0 and 1"):
        m01.encode_rle(mask)


@pytest.mark.parametrize("counts", [[], [5], [7], [3, 2], [-1, 7], [8, -2]])
def test_01_rle_refuses_runs_that_do_not_fill_the_mask(m01, counts):
    with pytest.raises(ValueError):
        m01.decode_rle({"size": [2, 3], "counts": counts})


@given(mask=BINARY)
def test_01_traced_polygons_come_back_exactly(m01, mask):
    assert np.array_equal(m01.from_polygons(masks.to_polygons(mask), *mask.shape), mask)


@given(ring=st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), min_size=3, max_size=3,
                     unique=True))
def test_01_a_triangle_is_filled_where_its_centres_lie(m01, ring):
    y, x = np.mgrid[:8, :9] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], 1)
    (ax, ay), (bx, by), (cx, cy) = ring
    sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax),
             (cx - bx) * (y - by) - (cy - by) * (x - bx),
             (ax - cx) * (y - cy) - (ay - cy) * (x - cx)]
    clear = np.min(np.abs(sides), axis=0) > 1e-9           # on no line through a side
    want = Outline(ring).contains_points(centres).reshape(8, 9)
    got = m01.from_polygons([ring], 8, 9)
    assert np.array_equal(got[clear], want[clear]) and got.dtype == np.uint8


def test_01_polygons_hole_island_and_borders(m01):
    square, hole, island = ([(a, a), (b, a), (b, b), (a, b)] for a, b in ((0, 6), (1, 5), (2, 4)))
    want = np.ones((6, 6), int)
    want[1:5, 1:5] = 0
    want[2:4, 2:4] = 1
    assert np.array_equal(m01.from_polygons([square, hole, island], 6, 6), want)
    on_centres = [(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)]   # left and top in, others out
    assert m01.from_polygons([on_centres], 3, 3).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert not m01.from_polygons([], 3, 3).any()


@pytest.mark.parametrize("ring", [[(0, 0), (1, 1)], [0, 0, 4, 0, 4, 4], [(0, 0, 0)] * 3,
                                  [(0, 0), (4, 0), (4, np.nan)]])
def test_01_polygons_refuse_a_bad_ring(m01, ring):
    with pytest.raises(ValueError):
        m01.from_polygons([ring], 4, 4)


def folders(path, images, targets):
    for kind, names in (("images", images), ("masks", targets)):
        (path / kind).mkdir()
        for name in names:
            (path / kind / name).touch()
    return path / "images", path / "masks"


def test_01_pairs_share_their_stem(m01, tmp_path):
    stems = ["img1", "img2", "img10"]
    pairs = m01.pairs(*folders(tmp_path, [f"{s}.jpg" for s in stems], [f"{s}.png" for s in stems]))
    assert [(a.name, b.name) for a, b in pairs] == [(f"{s}.jpg", f"{s}.png") for s in sorted(stems)]


@pytest.mark.parametrize("images, targets, named", [
    (["a.jpg", "b.jpg"], ["a.png"], "b"), (["a.jpg"], ["a.png", "c.png"], "c"),
    (["a.jpg", "a.png"], ["a.png"], "share")])
def test_01_pairs_are_refused_by_name(m01, tmp_path, images, targets, named):
    with pytest.raises(ValueError, match=rf"\b{named}\b"):
        m01.pairs(*folders(tmp_path, images, targets))


# ---- lesson 02: pairs that move together --------------------------------------------------------


def package_augment(image, mask, seed, size=96, colour=0.2):
    t = augment.train_transform(size, rotate=10, translate=0, colour=colour)
    out = t(image=image, mask=mask, seed=seed)
    return augment.denormalise(out["image"]), out["mask"].numpy()


def package_boxes(boxes, mirrored, zoom, side):
    t = augment.train_transform(side, flip=float(mirrored), scale=(zoom, zoom), rotate=0,
                                translate=0, colour=0)
    blank = np.zeros((side, side, 3), np.uint8)
    out = t(image=blank, mask=blank[..., 0], boxes=boxes, seed=0)
    return out["boxes"].numpy(), out["kept"].numpy()


def lesson_boxes(lesson, boxes, mirrored, zoom, side):
    matrix = lesson.rotation(0, side, side, scale=zoom)
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, side], [0, 1, 0], [0, 0, 1.0]])
    return lesson.warp_boxes(boxes, matrix, side, side)


@pytest.fixture(params=["package", "lesson"], scope="module")
def m02(request):
    """What lesson 02 builds: pieces of `augment`, or the lesson's own."""
    if request.param == "package":
        blank = np.zeros((1, 1), np.uint8)
        return SimpleNamespace(
            normalise=lambda image: augment.eval_transform()(
                image=image, mask=np.resize(blank, image.shape[:2]))["image"],
            denormalise=augment.denormalise, augment=package_augment, boxes=package_boxes,
            fill=augment.FILL)
    lesson = definitions("02_synchronized_augmentation")
    lesson.boxes, lesson.fill = partial(lesson_boxes, lesson), (0, 0, 0)
    return lesson


@given(image=arrays(np.uint8, (3, 2, 3)))
def test_02_normalise_and_back(m02, image):
    tensor = m02.normalise(image)
    assert tensor.shape == (3, 3, 2) and str(tensor.dtype) == "torch.float32"
    for (y, x, c), value in np.ndenumerate(image):
        mean, std = (0.485, 0.456, 0.406)[c], (0.229, 0.224, 0.225)[c]
        assert abs(float(tensor[c, y, x]) - (value / 255 - mean) / std) < 1e-4
    back = m02.denormalise(tensor)
    assert np.array_equal(back, image) and back.dtype == np.uint8


def addresses(side=60):
    """An image that says where each pixel is (red 4 x, green 4 y, blue 255), and random ids."""
    y, x = np.mgrid[:side, :side]
    image = np.dstack([4 * x, 4 * y, np.full_like(x, 255)]).astype(np.uint8)
    return image, np.random.default_rng(1).integers(0, 250, (side, side)).astype(np.uint8)


@given(seed=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 999)),
       size=st.integers(8, 60))
def test_02_augment_keeps_every_id_on_its_pixel(m02, seed, size):
    image, mask = addresses()
    new, ids = m02.augment(image, mask, seed, size=size, colour=0)
    assert new.shape == (size, size, 3) and ids.shape == (size, size)
    for y, x in np.ndindex(size, size):
        red, green, blue = (int(v) for v in new[y, x])
        if tuple(new[y, x]) == m02.fill:
            assert ids[y, x] == 255, "outside is void"
        elif blue == 255:
            columns = {min(59, max(0, round(red / 4 + d))) for d in (-0.3, 0.3)}
            rows = {min(59, max(0, round(green / 4 + d))) for d in (-0.3, 0.3)}
            assert ids[y, x] in {mask[r, c] for r in rows for c in columns}


def test_02_augment_moves_pairs_and_repaints_images(m02):
    rng = np.random.default_rng(0)
    image, mask = rng.integers(60, 200, (64, 64, 3), np.uint8), addresses(64)[1]
    results = [m02.augment(image, mask, (0, 0, i), size=48) for i in range(40)]
    assert len({ids.tobytes() for _, ids in results}) == 40
    quiet = [m02.augment(image, mask, (0, 0, i), size=48, colour=0) for i in range(40)]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(results, quiet, strict=True))
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(results, quiet, strict=True))
    assert any((ids == 255).any() for _, ids in results)             # some reach outside


def test_02_augment_follows_from_its_seed_alone(m02):
    image, mask = addresses()
    seeds = [(0, 0, 1), (0, 1, 0), (1, 0, 0), 3, 4]
    first = [m02.augment(image, mask, seed, size=40) for seed in seeds]
    np.random.seed(1)  # noqa: NPY002  the global generator is the point
    second = [m02.augment(image, mask, seed, size=40) for seed in reversed(seeds)][::-1]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert len({a.tobytes() + b.tobytes() for a, b in first}) == len(seeds)


def test_02_augment_refuses_what_is_no_pair(m02):
    image, mask = addresses()
    for seed in range(6):
        with pytest.raises(ValueError, match="60.*59"):
            m02.augment(image, mask[:-1], seed, size=40)


@st.composite
def some_boxes(draw):
    corners = st.tuples(st.integers(0, 31), st.integers(0, 31), st.integers(1, 32),
                        st.integers(1, 32))
    boxes = draw(st.lists(corners.filter(lambda b: b[0] < b[2] and b[1] < b[3]), max_size=4))
    return np.array(boxes, np.float32).reshape(-1, 4)


@given(boxes=some_boxes(), mirrored=st.booleans(), zoom=st.sampled_from([0.5, 1, 2, 4]))
def test_02_boxes_move_are_cut_and_dropped(m02, boxes, mirrored, zoom):
    want, rows = [], []
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if mirrored:
            x1, x2 = 32 - x2, 32 - x1
        box = [min(32, max(0, 16 + zoom * (v - 16))) for v in (x1, y1, x2, y2)]
        if box[0] < box[2] and box[1] < box[3]:
            want.append(box)
            rows.append(row)
    got, kept = m02.boxes(boxes, mirrored, zoom, 32)
    assert list(kept) == rows
    assert np.allclose(got, np.reshape(want, (-1, 4)), atol=1e-3)


@pytest.fixture(scope="module")
def lesson02():
    """What only the lesson has, held against slices and arithmetic."""
    return definitions("02_synchronized_augmentation")


@pytest.mark.parametrize("name", ["hflip", "random_crop", "warp"])
def test_02_moves_refuse_what_is_no_pair(lesson02, name):
    image, mask = addresses(8)
    more = {"hflip": (), "random_crop": (4, np.random.default_rng(0)), "warp": (np.eye(3)[:2],)}
    getattr(lesson02, name)(image, mask, *more[name])
    with pytest.raises(ValueError, match="8"):
        getattr(lesson02, name)(image, mask[:, :-1], *more[name])


def test_02_a_crop_can_be_anywhere_and_is_one_place(lesson02):
    image, mask = addresses(6)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        window, ids = lesson02.random_crop(image, mask, 4, rng)
        x, y = (window[0, 0, :2] // 4).tolist()
        assert np.array_equal(window, image[y:y + 4, x:x + 4])
        assert np.array_equal(ids, mask[y:y + 4, x:x + 4])
        seen.add((x, y))
    assert seen == {(x, y) for x in range(3) for y in range(3)}
    assert np.array_equal(lesson02.random_crop(image, mask, 6, rng)[1], mask)
    with pytest.raises(ValueError, match="no crop of 7"):
        lesson02.random_crop(image, mask, 7, rng)


@given(down=st.integers(-7, 7), right=st.integers(-7, 7), turns=st.integers(0, 3),
       mirrored=st.booleans())
def test_02_a_warp_by_whole_pixels_is_a_slice(lesson02, down, right, turns, mirrored):
    image, mask = addresses(6)
    matrix = np.vstack([lesson02.rotation(90 * turns, 6, 6), [0, 0, 1]])
    want = [np.rot90(a, turns) for a in (image, mask)]
    if mirrored:
        matrix = np.array([[-1, 0, 6], [0, 1, 0], [0, 0, 1]]) @ matrix
        want = [a[:, ::-1] for a in want]
    matrix = np.array([[1, 0, right], [0, 1, down], [0, 0, 1]]) @ matrix
    got = lesson02.warp(image, mask, matrix[:2], fill=7, fill_mask=255)
    for y, x in np.ndindex(6, 6):
        inside = 0 <= y - down < 6 and 0 <= x - right < 6
        assert got[1][y, x] == (want[1][y - down, x - right] if inside else 255)
        assert (got[0][y, x] == (want[0][y - down, x - right] if inside else 7)).all()


@given(degrees=st.floats(-180, 180), zoom=st.floats(0.6, 1.6))
def test_02_a_warp_shows_the_point_that_the_matrix_says(lesson02, degrees, zoom):
    image, mask = addresses(40)
    matrix = lesson02.rotation(degrees, 40, 40, zoom)
    new, _ = lesson02.warp(image, mask, matrix)
    radians = np.deg2rad(degrees)
    for y, x in ((20, 20), (12, 25), (28, 14), (23, 30)):
        right, up = (x + 0.5 - 20) / zoom, -(y + 0.5 - 20) / zoom     # as in school: y upwards
        old_x = 20 + right * np.cos(radians) + up * np.sin(radians)
        old_y = 20 - (up * np.cos(radians) - right * np.sin(radians))
        assert np.abs(new[y, x, :2] - 4 * (np.array([old_x, old_y]) - 0.5)).max() <= 0.51


def test_02_colour_is_scaled_around_gray_then_as_a_whole(lesson02):
    image = np.array([[[0, 100, 128], [200, 255, 30]]], np.uint8)
    got = lesson02.change_colour(image, brightness=1.2, contrast=0.5)
    want = [[min(255, max(0, round(((v - 128) * 0.5 + 128) * 1.2))) for v in p]
            for p in image[0].tolist()]
    assert got.dtype == np.uint8 and got[0].tolist() == want


# ---- lesson 03: the U-Net -----------------------------------------------------------------------


@pytest.fixture(params=["package", "lesson"], scope="module")
def m03(request):
    """What lesson 03 builds: `segutils.unet`, or the lesson's own."""
    return unet if request.param == "package" else definitions("03_unet_from_scratch")


@pytest.mark.parametrize("norm, up", list(product(unet.NORMS, unet.UPS)))
@pytest.mark.parametrize("stem, depth", [(1, 0), (1, 2), (2, 1), (4, 1)])
@pytest.mark.parametrize("height, width", [(32, 32), (33, 47)])
def test_03_weights_load_strictly_and_logits_are_equal(norm, up, stem, depth, height, width):
    lesson = definitions("03_unet_from_scratch")
    options = dict(classes=5, width=8, depth=depth, norm=norm, up=up, stem=stem)
    ours, package = lesson.UNet(3, **options), unet.UNet(3, **options)
    package.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 3, height, width)
    for training in (True, False):
        logits = ours.train(training)(x)
        assert logits.shape == (2, 5, height, width)
        torch.testing.assert_close(logits, package.train(training)(x), atol=1e-6, rtol=1e-5)
    ours.load_state_dict(package.state_dict(), strict=True)


def test_03_defaults_are_the_same(m03):
    names = [(name, tuple(p.shape)) for name, p in m03.UNet().state_dict().items()]
    assert names == [(name, tuple(p.shape)) for name, p in unet.UNet().state_dict().items()]
    assert sum(p.numel() for p in m03.UNet().parameters()) == 7_763_107


def test_03_double_conv_by_pencil(m03):
    block = m03.DoubleConv(1, 1, norm="none")
    with torch.no_grad():
        for p in block.parameters():
            p.fill_(1.0 if p.ndim == 4 else 0.0)
    lonely = torch.zeros(1, 1, 5, 5)
    lonely[..., 2, 2] = 1
    wave = torch.tensor([1.0, 2, 3, 2, 1])
    assert torch.equal(block(lonely)[0, 0], wave[:, None] * wave)
    assert not block(-lonely).any()                        # the ReLU


def test_03_a_norm_takes_the_bias_away(m03):
    for norm, has_bias in (("batch", False), ("group", False), ("none", True)):
        block = m03.DoubleConv(3, 8, norm)
        assert all((conv.bias is not None) == has_bias for conv in (block.conv1, block.conv2))
    assert m03.norm_layer("group", 32).num_groups == 4
    assert m03.norm_layer("group", 12).num_groups == 1


def test_03_down_keeps_the_greatest_of_four(m03):
    down = m03.Down(1, 1, norm="none")
    down.conv = nn.Identity()
    assert down(torch.arange(25.0).reshape(1, 1, 5, 5)).tolist() == [[[[6, 8], [16, 18]]]]


def test_03_upsamplers_by_pencil(m03):
    transposed, shuffle, bilinear = (m03.upsampler(up, 1, 1) for up in
                                     ("transposed", "shuffle", "bilinear"))
    with torch.no_grad():
        for module in (transposed, shuffle, bilinear):
            for p in module.parameters():
                p.zero_() if p.ndim == 1 else p.copy_(torch.arange(1.0, p.numel() + 1).view_as(p))
    one = torch.full((1, 1, 1, 1), 10.0)
    for module in (transposed, shuffle):
        assert module(one)[0, 0].tolist() == [[10, 20], [30, 40]]
    assert bilinear(torch.tensor([[[[0.0, 4]]]]))[0, 0].tolist() == [[0, 1, 3, 4]] * 2


@pytest.mark.parametrize("up", unet.UPS)
def test_03_up_lays_the_skip_first_and_repeats_the_last_row(m03, up):
    block, seen = m03.Up(8, 4, norm="none", up=up), []
    block.conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x, skip = torch.randn(1, 8, 3, 3), torch.randn(1, 4, 7, 7)
    block(x, skip)
    doubled = block.up(x)
    assert torch.equal(seen[0][:, :4], skip)
    assert torch.equal(seen[0][:, 4:], doubled[:, :, [*range(6), 5]][..., [*range(6), 5]])


def test_03_the_lessons_own_checks_pass_the_blocks(m03):
    lesson = definitions("03_unet_from_scratch")
    torch.manual_seed(0)
    for up in unet.UPS:
        lesson.check_up(m03.Up(16, 8, up=up), 16, 8)
    assert lesson.check_skips(m03.UNet(width=8, depth=3), torch.randn(1, 3, 32, 32)) == [True] * 3


@pytest.mark.parametrize("wrong", [{"norm": "layer"}, {"up": "nearest"}, {"width": 0},
                                   {"depth": -1}, {"stem": 0}, {"classes": 0}])
def test_03_wrong_arguments_are_named(m03, wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        m03.UNet(**wrong)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 3, 8, 32), (1, 3, 32, 15)])
def test_03_a_picture_too_small_is_refused(m03, shape):
    with pytest.raises(ValueError, match="16 pixels"):
        m03.UNet(width=8, depth=4)(torch.zeros(shape))
    with pytest.raises(ValueError, match="32 pixels"):
        m03.UNet(width=8, depth=4, stem=2)(torch.zeros(1, 3, 31, 64))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("pixel", [30, 31, 32, 33])
def test_03_the_receptive_field_is_what_poking_finds(depth, pixel):
    """No gradient: move one pixel after another, and see which of them move the logit."""
    lesson = definitions("03_unet_from_scratch")
    net = unet.UNet(width=2, depth=depth, norm="none").double()
    for p in net.parameters():
        p.data.abs_()
    for down in net.downs:
        down.pool = nn.AvgPool2d(2)
    pokes = torch.ones(1, 3, 64, 64).double() + torch.eye(64).double()[:, None, :, None]
    with torch.no_grad():
        plain = net(torch.ones(1, 3, 64, 64).double())[0, :, pixel, 32]
        moved = (net(pokes)[:, :, pixel, 32] - plain).abs().sum(1) > 0
    _, low, high = lesson.receptive_field(pixel, depth)[-1]
    assert moved.nonzero().flatten().tolist() == list(range(low, high + 1))


@pytest.mark.parametrize("depth, width, size", [(0, 8, 16), (2, 8, 32), (3, 4, 64)])
def test_03_costs_are_those_of_the_flop_counter(depth, width, size):
    lesson = definitions("03_unet_from_scratch")
    costs = [lesson.level_cost(level, depth, width, size) for level in range(depth + 1)]
    head = lesson.conv_cost(width, 3, size, size, kernel=1)
    net = unet.UNet(width=width, depth=depth).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, size, size))
    assert sum(f for _, f in costs) + head[1] == counter.get_total_flops()
    assert sum(w for w, _ in costs) + head[0] == sum(
        p.numel() for p in net.parameters() if p.ndim == 4)


# ---- lesson 04: losses and metrics --------------------------------------------------------------


def package_scores():
    """`metrics`, taking a matrix or one picture where the lesson's functions do."""

    def of(matrix):
        counted = metrics.ConfusionMatrix(len(matrix))
        counted.matrix = matrix
        return counted

    return SimpleNamespace(
        confusion_matrix=metrics.confusion_matrix, image_miou=metrics.image_miou,
        iou_of=lambda matrix: of(matrix).iou(), dice_of=lambda matrix: of(matrix).dice(),
        accuracy_of=lambda matrix: of(matrix).accuracy(), boundary_f=metrics.boundary_f,
    )


@pytest.fixture(params=["package", "lesson"], scope="module")
def m04(request):
    """What lesson 04 builds: `losses` and `metrics`, or the lesson's own."""
    if request.param == "lesson":
        return definitions("04_losses_and_metrics")
    return SimpleNamespace(**vars(package_scores()), **{n: getattr(losses, n) for n in (
        "cross_entropy", "dice_loss", "jaccard_loss", "tversky_loss", "focal_loss",
        "lovasz_softmax")})


LOSSES_04 = {
    "cross_entropy": [{}, {"weight": (0.2, 1.0, 3.0)}],
    "focal_loss": [{}, {"gamma": 0.5, "alpha": (0.2, 1.0, 3.0)}],
    "dice_loss": [{}, {"classes": "all", "smooth": 1.0}],
    "jaccard_loss": [{}, {"classes": "all", "smooth": 1.0}],
    "tversky_loss": [{}, {"alpha": 0.8, "beta": 0.4, "classes": "all", "smooth": 1.0}],
    "lovasz_softmax": [{}, {"classes": "all"}],
}
every_loss_04 = pytest.mark.parametrize(
    "name, options", [(name, o) for name, each in LOSSES_04.items() for o in each], ids=str)


def terms_04(p, t, name, weight=(1, 1, 1), gamma=2.0, alpha=None, beta=0.7, classes="present",
             smooth=1e-6):
    """The oracle: a loss from probabilities (N, C) and ids (N,), float64, no tensors of pictures.

    Differentiable, so that its gradient is an oracle too.
    """
    if not len(t):
        return p.sum()
    true_p = p[torch.arange(len(t)), t]
    if name == "cross_entropy":
        w = torch.tensor(weight, dtype=p.dtype)[t]
        return -(w * true_p.log()).sum() / w.sum()
    if name == "focal_loss":
        w = torch.tensor(alpha or (1, 1, 1), dtype=p.dtype)[t]
        return -(w * (1 - true_p) ** gamma * true_p.log()).mean()
    each = []
    for c in range(p.shape[1]):
        here, tp = t == c, p[t == c, c].sum()
        fp, fn = p[t != c, c].sum(), (1 - p[t == c, c]).sum()
        if classes == "present" and not here.any():
            continue
        if name == "lovasz_softmax":
            each.append(lovasz_04(torch.where(here, 1 - p[:, c], p[:, c]), here))
            continue
        a, b = {"dice_loss": (0.5, 0.5), "jaccard_loss": (1, 1)}.get(
            name, (0.3 if alpha is None else alpha, beta))
        s = smooth / 2 if name == "dice_loss" else smooth
        each.append(1 - (tp + s) / (tp + a * fp + b * fn + s))
    return sum(each) / len(each)


def lovasz_04(errors, truth):
    """The area under the Jaccard loss of the level sets: steps between the sorted errors."""
    total, below = errors.sum() * 0, errors.new_zeros(())
    for k in errors.detach().argsort():
        wrong = errors.detach() >= errors[k].detach()
        total = total + (errors[k] - below) * wrong.sum() / (wrong | truth).sum()
        below = errors[k]
    return total


def case_04(seed):
    """Logits and a target with any mix of absent classes and void, or nothing at all."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(0, 3)), *rng.integers(1, 5, 2).tolist())
    known = rng.choice(3, rng.integers(1, 4), replace=False)
    target = torch.from_numpy(rng.choice(known, shape))
    target[torch.from_numpy(rng.random(shape) < rng.choice([0, 0.3, 1]))] = 255
    logits = rng.normal(0, rng.choice([0.5, 4]), (shape[0], 3, *shape[1:]))
    return torch.from_numpy(logits), target


@every_loss_04
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_04_losses_and_gradients_are_the_oracles(m04, name, options, dtype):
    for seed in range(60):
        logits, target = case_04(seed)
        x, y = logits.to(dtype).requires_grad_(), logits.clone().requires_grad_()
        loss = getattr(m04, name)(x, target, **options)
        known = target != 255
        p = y.movedim(1, -1)[known].softmax(dim=1)
        want = terms_04(p, target[known], name, **options)
        close = {"rtol": 1e-4, "atol": 1e-5} if dtype is torch.float32 else {"atol": 1e-9}
        assert loss.shape == () and loss.dtype == dtype
        assert np.isclose(loss.item(), want.item(), **close), seed
        got, = torch.autograd.grad(loss, x)
        slope, = torch.autograd.grad(want, y)
        assert np.allclose(got, slope, **close), seed


@every_loss_04
def test_04_void_changes_neither_value_nor_gradient(m04, name, options):
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    target[0, 1:3] = 255
    spoilt = logits.clone()
    spoilt.movedim(1, -1)[target == 255] = torch.tensor([np.nan, np.inf, -1e30])
    results = []
    for x in (logits, spoilt):
        x.requires_grad_()
        loss = getattr(m04, name)(x, target, **options)
        results.append((loss, *torch.autograd.grad(loss, x)))
    (a, slope_a), (b, slope_b) = results
    assert a == b and torch.equal(slope_a, slope_b)
    assert not slope_a.movedim(1, -1)[target == 255].any()


@every_loss_04
def test_04_sixteen_bits_neither_overflow_nor_round(m04, name, options):
    logits = torch.randn(1, 3, 400, 400).half()            # 160,000 pixels: beyond fp16's 65,504
    target = torch.randint(0, 3, (1, 400, 400))
    loss, wide = (getattr(m04, name)(x, target, **options) for x in (logits, logits.float()))
    assert loss.dtype == torch.float32 and loss == wide


@every_loss_04
def test_04_losses_refuse_what_does_not_fit(m04, name, options):
    loss, good = getattr(m04, name), torch.zeros(1, 2, 2, dtype=torch.int64)
    logits = torch.zeros(1, 3, 2, 2)
    loss(logits, good, **options)
    for x, y in [(logits[0], good), (logits, good[:, :1]), (logits, good.float()),
                 (logits, good.int()), (logits.long(), good), (logits, good + 3),
                 (logits, good - 1), (logits, good[:, None])]:
        with pytest.raises(ValueError):
            loss(x, y, **options)


@pytest.mark.parametrize("name", ["dice_loss", "jaccard_loss", "tversky_loss", "lovasz_softmax"])
def test_04_region_losses_refuse_an_unknown_choice_of_classes(m04, name):
    with pytest.raises(ValueError, match="present"):
        getattr(m04, name)(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long(), classes="some")


IDS_04 = arrays(np.int64, (2, 4, 5), elements=st.integers(0, 2))


@given(pred=IDS_04, target=IDS_04, void=arrays(bool, (2, 4, 5)))
def test_04_the_matrix_and_its_scores_count_pixels(m04, pred, target, void):
    target = np.where(void, 255, target)
    matrix = m04.confusion_matrix(torch.from_numpy(pred), torch.from_numpy(target), 3)
    pairs = list(zip(pred[~void].tolist(), target[~void].tolist(), strict=True))
    assert matrix.tolist() == [[pairs.count((p, t)) for p in range(3)] for t in range(3)]
    assert matrix.dtype == torch.int64
    for k in range(3):
        said, true = {i for i, (p, _) in enumerate(pairs) if p == k}, {
            i for i, (_, t) in enumerate(pairs) if t == k}
        want = [len(said & true) / len(said | true), 2 * len(said & true) / (len(said) + len(true))
                ] if said | true else [np.nan, np.nan]
        got = [m04.iou_of(matrix)[k].item(), m04.dice_of(matrix)[k].item()]
        assert np.allclose(got, want, equal_nan=True)
    if pairs:
        right = sum(p == t for p, t in pairs)
        assert m04.accuracy_of(matrix) == pytest.approx(right / len(pairs))
    else:
        assert np.isnan(m04.accuracy_of(matrix))


@given(pred=IDS_04, target=IDS_04, void=arrays(bool, (2, 4, 5)))
def test_04_image_miou_scores_each_picture_by_itself(m04, pred, target, void):
    void[0] = True                                         # a picture of which nothing is known
    pred, target = torch.from_numpy(pred), torch.from_numpy(np.where(void, 255, target))
    got = m04.image_miou(pred, target, 3)
    assert got[0].isnan() and got.shape == (2,) and got.dtype == torch.float64
    known, scores = target[1] != 255, []
    for k in range(3):
        both, either = (pred[1] == k) & (target[1] == k), (pred[1] == k) | (target[1] == k)
        if (either & known).any():
            scores.append(((both & known).sum() / (either & known).sum()).item())
    assert np.isclose(got[1], np.mean(scores) if scores else np.nan, equal_nan=True)
    assert m04.image_miou(pred[:0], target[:0], 3).shape == (0,)


@pytest.mark.parametrize("pred, target", [
    (torch.zeros(2, 2), torch.zeros(2, 2).long()), (torch.zeros(2, 2).long(), torch.zeros(2, 2)),
    (torch.zeros(2, 2).long(), torch.zeros(2, 3).long()),
    (torch.full((2, 2), 3), torch.zeros(2, 2).long()), (torch.zeros(2, 2).long(),
                                                       torch.full((2, 2), -1))])
def test_04_the_matrix_refuses_what_it_cannot_count(m04, pred, target):
    with pytest.raises(ValueError):
        m04.confusion_matrix(pred, target, 3)


def outline_04(inside, known):
    """Pixels of a class with a 4-neighbour in the picture that is not of it: a loop."""
    inside = inside & known
    h, w = inside.shape
    return {(y, x) for y, x in np.argwhere(inside).tolist()
            for a, b in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= a < h and 0 <= b < w and not inside[a, b]}


@given(pred=arrays(np.int64, (6, 7), elements=st.integers(0, 2)),
       target=arrays(np.int64, (6, 7), elements=st.sampled_from([0, 0, 1, 1, 255])),
       tolerance=st.sampled_from([0.0, 1.0, 1.5, 2.0]))
def test_04_boundary_f_measures_distances_between_outlines(m04, pred, target, tolerance):
    got = np.asarray(m04.boundary_f(torch.from_numpy(pred), torch.from_numpy(target), 3, tolerance))
    for k in range(3):
        said, true = (outline_04(ids == k, target != 255) for ids in (pred, target))

        def near(line, other):
            hits = [min((np.hypot(y - b, x - a) for b, a in other), default=np.inf) <= tolerance
                    for y, x in line]
            return np.mean(hits) if hits else 0.0

        p, r = near(said, true), near(true, said)
        want = (2 * p * r / (p + r) if p + r else 0.0) if said | true else np.nan
        assert np.isclose(got[k], want, equal_nan=True)


# ---- lesson 05: training ------------------------------------------------------------------------


@pytest.fixture(params=["package", "lesson"], scope="module")
def m05(request):
    """What lesson 05 builds: the two functions of `train`, and `checkpoint.write_atomic`."""
    if request.param == "package":
        return SimpleNamespace(train_one_epoch=train.train_one_epoch, evaluate=train.evaluate,
                               write_atomic=checkpoint.write_atomic)
    return definitions("05_train_on_gpu")


class Modes(nn.Module):
    """A 1x1 convolution that notes in which mode it is asked."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.modes = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        self.norm(x.repeat(1, 2, 1, 1)[:, :3])             # its averages move in training only
        return self.conv(x)


def batches_05(count=3):
    rng = np.random.default_rng(5)
    pairs = [(rng.normal(size=(2, 2, 3, 4)), rng.choice([0, 1, 2, 255], (2, 3, 4)))
             for _ in range(count)]
    return [(torch.tensor(x, dtype=torch.float32), torch.tensor(y)) for x, y in pairs]


def test_05_an_epoch_takes_the_steps_of_numpy(m05):
    """Softmax regression of each known pixel, its gradient (p - t) x by hand."""
    model = Modes()
    W, b = model.conv.weight.detach().double().numpy()[:, :, 0, 0], model.conv.bias.tolist()
    b, values = np.array(b), []
    for image, target in batches_05():
        known = (target != 255).numpy()
        x, t = image.double().numpy().transpose(0, 2, 3, 1)[known], target.numpy()[known]
        z = x @ W.T + b
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        values.append(-np.log(p[np.arange(len(t)), t]).mean())
        push = (p - np.eye(3)[t]) / len(t)
        W, b = W - 0.5 * push.T @ x, b - 0.5 * push.sum(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    mean = m05.train_one_epoch(model.eval(), batches_05(), losses.cross_entropy, optimizer)
    assert isinstance(mean, float) and mean == pytest.approx(np.mean(values), rel=1e-5)
    assert np.allclose(model.conv.weight.detach()[:, :, 0, 0], W, atol=1e-6)
    assert np.allclose(model.conv.bias.detach(), b, atol=1e-6)
    assert model.modes == [(True, True)] * 3, "batch norm must look at the batches"


@pytest.mark.parametrize("training", [True, False])
def test_05_evaluate_counts_and_leaves_no_trace(m05, training):
    model = Modes().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    matrix = m05.evaluate(model, batches_05(), 3).matrix
    count = np.zeros((3, 3), int)
    W, b = model.conv.weight.detach().numpy()[:, :, 0, 0], model.conv.bias.detach().numpy()
    for image, target in batches_05():
        for x, t in zip(image.numpy().transpose(0, 2, 3, 1).reshape(-1, 2), target.flatten(),
                        strict=True):
            if t != 255:
                count[t, (W @ x + b).argmax()] += 1
    assert np.array_equal(matrix, count)
    assert model.modes == [(False, False)] * 3 and model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("breaks", ["replace", "fsync"])
def test_05_a_file_is_the_old_one_or_the_new_one(m05, tmp_path, monkeypatch, breaks):
    path = tmp_path / "state"
    for data in (b"old", b"new", b""):
        m05.write_atomic(path, data)
        assert path.read_bytes() == data and [p.name for p in tmp_path.iterdir()] == ["state"]
    m05.write_atomic(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{breaks}", full)
    with pytest.raises((OSError, checkpoint.CheckpointError), match="No space left"):
        m05.write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["state"]


def test_05_a_file_is_on_the_disk_before_it_has_its_name(m05, tmp_path, monkeypatch):
    """Renamed first and synced later, a power cut would leave an empty file of the right name."""
    order = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(f"os.{name}", lambda *a, call=call, name=name: order.append(name) or
                            call(*a))
    m05.write_atomic(tmp_path / "state", b"data")
    assert order[:2] == ["fsync", "replace"]


# ---- lesson 06: FCN, DeepLab, Mask R-CNN --------------------------------------------------------


def library_roi_align(feature, box, size, scale=1.0, samples=2, aligned=True):
    return ops.roi_align(feature[None], [box[None]], size, scale, samples, aligned)[0]


def library_anchors(side, stride, cells, ratios=(0.5, 1.0, 2.0)):
    maker, pixels = AnchorGenerator(((side,),), (tuple(ratios),)), stride * cells
    pictures = ImageList(torch.zeros(1, 3, pixels, pixels), [(pixels, pixels)])
    return maker(pictures, [torch.zeros(1, 1, cells, cells)])[0]


def library_precision(pictures, threshold=0.5):
    ones = [torch.ones(max(len(s), len(t)), dtype=torch.int64) for s, _, t in pictures]
    found = [{"scores": s, "masks": m, "labels": one[:len(s)]}
             for (s, m, _), one in zip(pictures, ones, strict=True)]
    truth = [{"masks": t, "labels": one[:len(t)]}
             for (*_, t), one in zip(pictures, ones, strict=True)]
    return metrics.instance_ap(found, truth)[f"ap{round(100 * threshold)}"]


@pytest.fixture(params=["library", "lesson"], scope="module")
def m06(request):
    """What lesson 06 builds: torch's, torchvision's and pycocotools' own, or the lesson's."""
    if request.param == "lesson":
        return definitions("06_fcn_deeplab_maskrcnn")
    return SimpleNamespace(
        enlarge=lambda x, factor: F.interpolate(x, scale_factor=factor, mode="bilinear"),
        atrous_conv=lambda x, weight, rate: F.conv2d(
            x, weight, dilation=rate, padding=rate * (weight.shape[-1] // 2)),
        anchor_grid=library_anchors, box_iou=ops.box_iou, nms=ops.nms,
        roi_align=library_roi_align, average_precision=library_precision)


@pytest.fixture(scope="module")
def lesson06():
    return definitions("06_fcn_deeplab_maskrcnn")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3)])
def test_06_a_linear_layer_is_a_convolution(lesson06, height, width, bias):
    linear, x = nn.Linear(4 * height * width, 5, bias=bias), torch.randn(2, 4, 5, 6)
    conv = lesson06.as_convolution(linear, height, width)
    assert conv.kernel_size == (height, width) and (conv.bias is not None) == bias
    out = conv(x)
    assert out.shape == (2, 5, 6 - height, 7 - width)
    for i, j in product(range(out.shape[2]), range(out.shape[3])):
        patch = x[:, :, i:i + height, j:j + width].flatten(1)
        assert torch.allclose(out[:, :, i, j], linear(patch), atol=1e-5)


def between(line, at):
    """The value of a row of numbers at a place between them; beyond its ends, the last one."""
    at = min(max(at, 0), len(line) - 1)
    low = int(at)
    return line[low] + (at - low) * (line[min(low + 1, len(line) - 1)] - line[low])


@pytest.mark.parametrize("factor", range(1, 9))
def test_06_enlarging_is_bilinear(m06, factor):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    out = m06.enlarge(x, factor)
    assert out.shape == (2, 3, 4 * factor, 5 * factor)
    picture = x[1, 2].numpy()
    for y, z in product(range(4 * factor), range(5 * factor)):
        column = [between(row, (z + 0.5) / factor - 0.5) for row in picture]
        want = between(column, (y + 0.5) / factor - 0.5)
        assert out[1, 2, y, z].item() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("factor", range(1, 9))
def test_06_stamps_add_up_to_one_everywhere(lesson06, factor):
    stamp = lesson06.bilinear_kernel(factor)
    assert torch.equal(stamp, stamp.T) and torch.allclose(stamp, stamp.flip(0))
    side = -(-len(stamp) // factor) * factor               # cut into tiles of factor × factor
    tiles = F.pad(stamp, (0, side - len(stamp)) * 2).unfold(0, factor, factor).unfold(
        1, factor, factor)
    assert torch.allclose(tiles.sum(dim=(0, 1)), torch.ones(factor, factor), atol=1e-6)


@pytest.mark.parametrize(("size", "rate"), [(1, 1), (1, 3), (3, 1), (3, 2), (3, 5), (5, 2)])
def test_06_atrous_convolution_reads_places_apart(m06, size, rate):
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    weight = torch.randn(4, 3, size, size, dtype=torch.float64)
    out = m06.atrous_conv(x, weight, rate)
    assert out.shape == (2, 4, 6, 7)
    for b, o, y, z in product(range(2), range(4), range(6), range(7)):
        want = 0.0
        for i, j in product(range(size), repeat=2):
            v, u = y + rate * (i - size // 2), z + rate * (j - size // 2)
            if 0 <= v < 6 and 0 <= u < 7:
                want += float((x[b, :, v, u] * weight[o, :, i, j]).sum())
        assert out[b, o, y, z].item() == pytest.approx(want, abs=1e-5)


def test_06_aspp_is_torchvisions(lesson06):
    torch.manual_seed(0)
    layer = ASPP(6, (1, 3, 9), 8)
    for _ in range(3):
        layer(torch.randn(4, 6, 7, 5))                     # so that its norms have statistics
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias)
    x = torch.randn(2, 6, 7, 5)
    with torch.no_grad():
        assert torch.allclose(lesson06.aspp(x, layer.eval()), layer(x), atol=1e-5)


@pytest.mark.parametrize(("side", "stride", "cells", "ratios"), [
    (10, 4, 8, (0.5, 1.0, 2.0)), (40, 16, 3, (0.5, 1.0, 2.0)), (33, 8, 2, (1.0,)),
    (64, 32, 1, (0.25, 3.0))])
def test_06_anchors_stand_at_every_place(m06, side, stride, cells, ratios):
    want = []
    for y, x in product(range(cells), repeat=2):
        for ratio in ratios:
            high, wide = side * ratio**0.5 / 2, side / ratio**0.5 / 2
            want.append([x * stride + round(-wide), y * stride + round(-high),
                         x * stride + round(wide), y * stride + round(high)])
    assert m06.anchor_grid(side, stride, cells, ratios).tolist() == want


BOXES_06 = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9),
                              st.integers(1, 9)), min_size=1, max_size=9)


def covered(box):
    x0, y0, x1, y1 = map(int, box)
    return set(product(range(x0, x1), range(y0, y1)))


def shared_06(a, b):
    return Fraction(len(covered(a) & covered(b)), len(covered(a) | covered(b)))


def boxes_06(corners):
    return torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners], dtype=torch.float32)


@given(a=BOXES_06, b=BOXES_06)
def test_06_iou_of_boxes_counts_pixels(m06, a, b):
    a, b = boxes_06(a), boxes_06(b)
    got = m06.box_iou(a, b)
    assert got.shape == (len(a), len(b))
    want = [[float(shared_06(p, q)) for q in b.tolist()] for p in a.tolist()]
    assert np.allclose(got, want, atol=1e-5)


@given(corners=BOXES_06, order=st.randoms(use_true_random=False),
       threshold=st.sampled_from([0.0, 0.31, 0.5, 0.69]))    # 0.3 and 0.7 differ in fp32: no ties
def test_06_nms_keeps_the_best_of_what_overlaps(m06, corners, order, threshold):
    boxes = boxes_06(corners)
    scores = [k / 10 for k in range(len(corners))]
    order.shuffle(scores)
    kept = m06.nms(boxes, torch.tensor(scores), threshold).tolist()
    want = []
    for k in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if all(shared_06(boxes[k], boxes[j]) <= Fraction(threshold) for j in want):
            want.append(k)
    assert kept == want


def test_06_nms_of_nothing_is_nothing(m06):
    assert m06.nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("size", "scale", "samples"), [(1, 1.0, 1), (2, 1.0, 2), (7, 0.25, 2),
                                                        (3, 0.5, 4)])
def test_06_roi_align_reads_between_the_numbers(m06, size, scale, samples, aligned):
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(2, 6, 8))
    limits = np.array([8, 6]) / scale
    boxes = [np.concatenate([low, low + (limits - low) * rng.uniform(0.05, 1, 2)])
             for low in rng.uniform(0, 0.9, (12, 2)) * limits]
    boxes.append(np.array([0, 0, *limits]))                # all of it: points beyond the middles
    for box in boxes:
        got = m06.roi_align(torch.from_numpy(feature), torch.from_numpy(box), size, scale, samples,
                            aligned)
        x0, y0, x1, y1 = box * scale - 0.5 * aligned
        if not aligned:
            x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        for c, i, j in product(range(2), range(size), range(size)):
            values = []
            for p, q in product(range(samples), repeat=2):
                y = y0 + (y1 - y0) * (i + (p + 0.5) / samples) / size
                x = x0 + (x1 - x0) * (j + (q + 0.5) / samples) / size
                values.append(between([between(row, x) for row in feature[c]], y))
            assert got[c, i, j].item() == pytest.approx(np.mean(values), abs=1e-5)


def answers_06(seed):
    """Pictures with true masks, and answers that are some of them moved, and some noise."""
    rng, pictures = np.random.default_rng(seed), []
    for _ in range(int(rng.integers(1, 4))):
        true = [blob_06(rng) for _ in range(int(rng.integers(0, 4)))]
        found = [np.roll(t, int(rng.random() < 0.4), 1) for t in true if rng.random() < 0.9]
        found += [blob_06(rng) for _ in range(int(rng.integers(0, 2)))]
        stack = [np.stack(each) if each else np.zeros((0, 24, 24), bool) for each in (found, true)]
        scores = torch.from_numpy(rng.permutation(100)[:len(found)] / 100 + rng.random() / 1000)
        pictures.append((scores.float(), *map(torch.from_numpy, stack)))
    return pictures


def blob_06(rng):
    y, x, h, w = *rng.integers(2, 14, 2), *rng.integers(3, 9, 2)
    blob = np.zeros((24, 24), bool)
    blob[y:y + h, x:x + w] = rng.random((h, w)) < 0.9
    return blob


def precision_06(pictures, threshold):
    """The oracle: answers one by one, as sets of pixels, and fractions for their IoU."""
    answers, free = [], {}
    for number, (scores, found, true) in enumerate(pictures):
        free[number] = {k: set(map(tuple, np.argwhere(t.numpy()))) for k, t in enumerate(true)}
        answers += [(s, number, set(map(tuple, np.argwhere(m.numpy()))))
                    for s, m in zip(scores.tolist(), found, strict=True)]
    count, hits, points = sum(map(len, free.values())), 0, []
    for seen, (_, number, pixels) in enumerate(sorted(answers, key=lambda a: -a[0]), 1):
        overlaps = {k: Fraction(len(pixels & t), len(pixels | t)) for k, t in free[number].items()}
        best = max(overlaps, key=overlaps.get, default=None)
        if best is not None and overlaps[best] >= Fraction(threshold):
            del free[number][best]
            hits += 1
        points.append((hits / count, hits / seen))
    levels = np.linspace(0, 1, 101)
    return np.mean([max((p for r, p in points if r >= level), default=0) for level in levels])


@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_06_average_precision_is_cocos(m06, threshold):
    scores = []
    for seed in range(40):
        pictures = answers_06(seed)
        if sum(len(true) for *_, true in pictures) and sum(len(s) for s, *_ in pictures):
            want = precision_06(pictures, threshold)
            assert m06.average_precision(pictures, threshold) == pytest.approx(want, abs=1e-5), seed
            scores.append(want)
    assert len(scores) > 20 and 0 < np.mean(scores) < 1 and len(set(scores)) > 10


def test_06_no_answer_is_an_ap_of_nothing(m06):
    true = torch.ones(2, 4, 4, dtype=torch.bool)
    assert m06.average_precision([(torch.zeros(0), true[:0], true)]) == 0


# ---- lesson 08: the overlay explorer ------------------------------------------------------------


def package_weights(alpha, shown=(1, 2, 255)):
    return explorer.colours_of(explorer.State(alpha=alpha, shown=tuple(shown)), 3, "classes")[1]


def package_draw(image, ids, look, size):
    return explorer.panel(explorer.Picture(image, ids, {}), "truth", look, size=size)


@pytest.fixture(params=["package", "lesson"], scope="module")
def m08(request):
    """What lesson 08 builds: the drawing half of `explorer`, or the lesson's own."""
    if request.param == "package":
        return SimpleNamespace(blend=explorer.blend, weigh=package_weights, axis=explorer.axis,
                               outline=explorer.outline, Look=explorer.State, draw=package_draw)
    return definitions("08_overlay_explorer")


def scene_08(seed, shape=(5, 6)):
    """(image, ids, trust) of a few pixels, bright ones and dark ones."""
    rng = np.random.default_rng(seed)
    image = rng.choice([0, 1, 127, 128, 254, 255], (*shape, 3)).astype(np.uint8)
    return image, rng.choice([0, 1, 2, 255], shape).astype(np.uint8), \
        rng.integers(0, 256, shape, dtype=np.uint8)


@given(seed=st.integers(0, 999), alpha=st.sampled_from([0, 0.2, 0.5, 0.75, 1]),
       thin=st.booleans())
def test_08_blend_is_the_exact_mean_rounded(m08, seed, alpha, thin):
    image, ids, trust = scene_08(seed)
    weights = np.zeros(256, np.int64)
    weights[[1, 255]] = int(alpha * 65536)
    before = image.copy()
    drawn = m08.blend(image, ids, masks.PALETTE, weights, trust if thin else None)
    assert drawn.dtype == np.uint8 and np.array_equal(image, before)
    for y, x in np.ndindex(ids.shape):
        weight = int(weights[ids[y, x]])
        weight = weight * int(trust[y, x]) // 255 if thin else weight
        share = Fraction(weight, 65536)
        for c in range(3):
            exact = (1 - share) * int(image[y, x, c]) + share * int(masks.PALETTE[ids[y, x], c])
            assert abs(int(drawn[y, x, c]) - exact) <= Fraction(1, 2)


@given(seed=st.integers(0, 999), alpha=st.sampled_from([0, 0.25, 0.5, 0.9, 1]))
def test_08_an_overlay_by_hand_is_the_courses(m08, seed, alpha):
    image, ids, _ = scene_08(seed)
    drawn = m08.blend(image, ids, masks.PALETTE, m08.weigh(alpha))
    assert np.abs(drawn.astype(int) - show.overlay(image, ids, alpha)).max() <= 1


@given(alpha=st.floats(0, 1), shown=st.sets(st.sampled_from([0, 1, 2, 255])))
def test_08_a_weight_for_what_is_shown_and_none_for_the_rest(m08, alpha, shown):
    weights = m08.weigh(alpha, shown)
    assert weights.shape == (256,)
    for k, weight in enumerate(weights.tolist()):
        assert abs(weight / 65536 - (alpha if k in shown else 0)) <= 0.5 / 65536


@given(size=st.integers(1, 40), shown=st.integers(1, 60), zoom=st.sampled_from([1, 2, 4]),
       eighths=st.integers(0, 8))
def test_08_a_screen_pixel_shows_what_lies_under_its_middle(m08, size, shown, zoom, eighths):
    got = m08.axis(size, shown, zoom, eighths / 8)
    span = Fraction(size, zoom)
    start = min(max(Fraction(eighths * size, 8) - span / 2, Fraction(0)), size - span)
    middles = [start + (Fraction(2 * i + 1, 2)) * span / shown for i in range(shown)]
    assert got.tolist() == [min(int(middle), size - 1) for middle in middles]


@given(codes=arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)),
                    elements=st.sampled_from([0, 1, 255])), line=st.integers(1, 4))
def test_08_an_outline_keeps_what_is_near_another_id(m08, codes, line):
    before = codes.copy()
    got = m08.outline(codes, line)
    height, width = codes.shape
    for y, x in np.ndindex(codes.shape):
        row, column = before[y, max(x - line, 0):x + line + 1], \
            before[max(y - line, 0):y + line + 1, x]
        edge = (row != before[y, x]).any() or (column != before[y, x]).any()
        assert got[y, x] == (before[y, x] if edge else 254)
    assert np.array_equal(codes, before) and got.dtype == np.uint8


@given(seed=st.integers(0, 999), alpha=st.sampled_from([0, 0.5, 1]), fill=st.booleans(),
       shown=st.sets(st.sampled_from([0, 1, 2, 255])), zoom=st.sampled_from([1.0, 2.0]))
def test_08_a_picture_follows_from_its_state(m08, seed, alpha, fill, shown, zoom):
    image, ids, _ = scene_08(seed, (6, 8))
    look = m08.Look(alpha=alpha, fill=fill, shown=tuple(shown), zoom=zoom, centre=(0.5, 0.5))
    drawn = m08.draw(image, ids, look, (12, 16))
    top, left = (0, 0) if zoom == 1 else (1.5, 2)
    at = np.ix_([int(top + (i + 0.5) / (2 * zoom)) for i in range(12)],
                [int(left + (i + 0.5) / (2 * zoom)) for i in range(16)])
    image_, ids_ = image[at].astype(float), ids[at]
    painted = np.isin(ids_, list(shown))
    if not fill:
        for y, x in np.ndindex(ids_.shape):
            row, column = ids_[y, max(x - 2, 0):x + 3], ids_[max(y - 2, 0):y + 3, x]
            painted[y, x] &= (row != ids_[y, x]).any() or (column != ids_[y, x]).any()
    weight = alpha * painted[..., None]
    want = (1 - weight) * image_ + weight * masks.PALETTE[ids_]
    assert np.abs(drawn - want).max() <= 0.5
    assert np.array_equal(drawn, m08.draw(image, ids, look, (12, 16))), "nothing is remembered"
    with pytest.raises(AttributeError):
        look.alpha = 1                                     # frozen: nobody moves it on the way


@given(truth=arrays(np.uint8, (2, 7, 8), elements=st.sampled_from([0, 0, 0, 1, 255])),
       seed=st.integers(0, 99), reach=st.integers(0, 3))
def test_08_the_share_of_errors_near_a_border(truth, seed, reach):
    """Only the lesson has this one; the oracle goes from pixel to pixel."""
    m08 = definitions("08_overlay_explorer")
    pred = np.random.default_rng(seed).integers(0, 2, truth.shape, dtype=np.uint8)
    near, wrong = [], []
    for said, true in zip(pred, truth, strict=True):
        border = [(y, x) for y, x in np.ndindex(true.shape)
                  for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                  if 0 <= v < 7 and 0 <= u < 8 and true[v, u] != true[y, x]]
        close = np.array([[any(abs(y - v) <= reach and abs(x - u) <= reach for v, u in border)
                           for x in range(8)] for y in range(7)])
        assert np.array_equal(m08.near_border(true, reach), close)
        bad = (said != true) & (true != 255)
        near, wrong = near + close[bad].tolist(), wrong + bad[bad].tolist()
    got = m08.border_share(pred, truth, reach)
    assert got == pytest.approx(np.mean(near)) if wrong else np.isnan(got)

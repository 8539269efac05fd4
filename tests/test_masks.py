"""Masks in memory, against oracles that are not the code: loops, fractions, other libraries."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from torchvision.ops import masks_to_boxes

from segutils import masks

RNG = np.random.default_rng(0)

# A quick share by default, the whole campaign with `-m slow`.
campaign = pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.slow)])


def each(examples, *strategies):
    """Run a check on that many random examples."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return lambda check: settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=health
    )(given(*strategies)(check))()


@st.composite
def binary_masks(draw, side=24):
    """Noise of any density, blown up or not: parts, holes, islands, touching corners."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random((height, width)) < draw(st.sampled_from([0, 0.05, 0.3, 0.5, 0.7, 0.95, 1]))
    times = draw(st.integers(1, 3))
    return np.kron(mask, np.ones((times, times), bool)).astype(np.uint8)


def random_ids(shape=(7, 9), top=3, void=True):
    ids = RNG.integers(0, top, shape).astype(np.uint8)
    if void:
        ids[RNG.random(shape) < 0.2] = 255
    return ids


def refused(function, *args, **kwargs):
    with pytest.raises(ValueError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value) and ":" in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- palette and colours


def test_the_palette_is_the_agreed_one():
    palette = masks.PALETTE
    assert palette.shape == (256, 3) and palette.dtype == np.uint8 and not palette.flags.writeable
    agreed = {0: (0, 0, 0), 1: (230, 159, 0), 2: (0, 114, 178), 255: (224, 224, 224)}
    assert {k: tuple(palette[k].tolist()) for k in agreed} == agreed
    # One number for all 256: a changed colour would change every stored picture.
    assert int((palette.astype(int) * np.arange(1, 769).reshape(256, 3)).sum()) == 36855202


def test_all_colours_differ_also_for_colour_blind_readers():
    palette = masks.PALETTE.astype(float)
    assert len({tuple(c) for c in palette.tolist()}) == 256

    # Brettel, Vienot and Mollon's simplified map of 1999, written out for one colour at a time.
    def deuteranope(r, g, b):
        r, g, b = ((v / 255) ** 2.2 for v in (r, g, b))
        gray, blue = 0.29275 * r + 0.70725 * g, b - 0.02234 * (r - g)
        return [255 * min(max(v, 0), 1) ** (1 / 2.2) for v in (gray, gray, blue)]

    seen = np.array([deuteranope(*color) for color in palette.tolist()])
    for colors, least in ((palette, 60), (seen, 50)):
        first = np.r_[colors[:21], colors[255:]]  # as many as PASCAL VOC has, and void
        gaps = np.linalg.norm(first[:, None] - first[None], axis=2) + 1e3 * np.eye(22)
        assert gaps.min() > least


def test_colorize_is_a_look_up():
    ids = random_ids((5, 6), 256)
    painted = masks.colorize(ids)
    assert painted.dtype == np.uint8 and painted.shape == (5, 6, 3)
    for y, x in np.ndindex(ids.shape):
        assert painted[y, x].tolist() == masks.PALETTE[ids[y, x]].tolist()
    assert np.array_equal(masks.decode_rgb(painted, masks.PALETTE), ids)
    assert "id 255 has no colour" in refused(masks.colorize, [[0, 255]], masks.PALETTE[:3])


def test_decode_rgb_is_strict():
    table = {7: (1, 2, 3), 300: (3, 2, 1), 0: (0, 0, 0)}
    ids = RNG.choice(list(table), (6, 5))
    rgb = np.array([[table[i] for i in row] for row in ids.tolist()], np.uint8)
    read = masks.decode_rgb(rgb, table)
    assert read.dtype == np.uint16 and read.tolist() == ids.tolist()
    assert masks.decode_rgb(rgb, {**table, 300: (3, 2, 1)}).max() == 300
    swapped = refused(masks.decode_rgb, rgb[..., ::-1], {7: (1, 2, 3), 0: (0, 0, 0)}, "a.png")
    assert swapped.startswith("a.png: 1 colour is not in the table: (3,2,1) in ")
    assert "one colour to two ids" in refused(masks.decode_rgb, rgb, {1: (1, 2, 3), 2: (1, 2, 3)})
    assert "empty" in refused(masks.decode_rgb, rgb, {})
    for color in ((0, 0, 256), (0, 0, 0, 255), (0.5, 0, 0), (0, 0), (-1, 0, 0)):
        bad = {0: (0, 0, 0), 1: (1, 1, 1), 2: color}
        assert "must give whole numbers 0..255" in refused(masks.decode_rgb, rgb, bad)
    assert "uint8" in refused(masks.decode_rgb, rgb / 255, table)
    assert "(H, W, 3)" in refused(masks.decode_rgb, rgb[..., 0], table)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("step", [-1, 1])
def test_decode_rgb_never_snaps_to_the_nearest_colour(level, step):
    rgb = np.tile(masks.PALETTE[255], (2, 2, 1))
    rgb[0, 0, level] += np.int8(step).view(np.uint8)
    assert "1 colour is not in the table" in refused(masks.decode_rgb, rgb, masks.PALETTE)


def test_color_matrix_mends_bgr():
    rgb = RNG.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    matrix = masks.color_matrix("BGR", "RGB")
    assert matrix.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert np.array_equal(masks.apply_color_matrix(bgr, matrix), rgb)
    cycle = masks.apply_color_matrix(rgb, masks.color_matrix("RGB", "GBR"))  # no mirror image
    assert np.array_equal(cycle, rgb[..., [1, 2, 0]])
    assert "different channels" in refused(masks.color_matrix, "RGB", "RGA")


def test_apply_color_matrix_rounds_and_clips():
    image = np.array([[[0, 100, 255]]], np.uint8)
    matrix = [[1, 1, 1], [0, 0.506, 0], [0, -1, 0]]
    assert masks.apply_color_matrix(image, matrix).tolist() == [[[255, 51, 0]]]
    assert "(3, 3) matrix" in refused(masks.apply_color_matrix, image, np.eye(4))
    assert "uint8" in refused(masks.apply_color_matrix, image / 255, np.eye(3))


# ---------------------------------------------------------------- class maps and one-hot


def test_remap_equals_a_loop_and_is_strict():
    ids = RNG.choice([0, 4, 300], (5, 6))
    table = {0: 255, 4: 0, 300: 1}
    new = masks.remap(ids, table)
    assert new.dtype == np.uint8
    assert new.tolist() == [[table[i] for i in row] for row in ids.tolist()]
    assert masks.remap([[0, 1]], {0: 0, 1: 1001}).dtype == np.uint16
    assert refused(masks.remap, [[0, 7, 7, 9]], {0: 0}, "a.png") == (
        "a.png: holds ids that the table lacks: 7 in 2 pixels, 9 in 1 pixel: add them to the table"
    )
    assert "0..65535" in refused(masks.remap, [[0]], {0: -1})
    assert "0..65535" in refused(masks.remap, [[0]], {0: 0, -1: 255})
    assert "whole numbers" in refused(masks.remap, [[0.5]], {0: 0})


def test_class_maps():
    assert masks.remap([[0, 255]], masks.BINARY).tolist() == [[0, 1]]
    assert "7 in 1 pixel" in refused(masks.remap, [[0, 7, 255]], masks.BINARY)
    assert masks.remap([[1, 2, 3]], masks.PETS).tolist() == [[1, 0, 255]]
    assert "0 in 1 pixel" in refused(masks.remap, [[0]], masks.PETS)
    assert masks.remap([[0, 20, 255]], masks.VOC).tolist() == [[0, 20, 255]]
    assert "21 in 1 pixel" in refused(masks.remap, [[21]], masks.VOC)


def test_cityscapes_by_its_names():
    labels = """unlabeled / ego vehicle / rectification border / out of roi / static / dynamic /
    ground / road / sidewalk / parking / rail track / building / wall / fence / guard rail /
    bridge / tunnel / pole / polegroup / traffic light / traffic sign / vegetation / terrain /
    sky / person / rider / car / truck / bus / caravan / trailer / train / motorcycle / bicycle"""
    classes = """road / sidewalk / building / wall / fence / pole / traffic light / traffic sign /
    vegetation / terrain / sky / person / rider / car / truck / bus / train / motorcycle /
    bicycle"""
    labels, classes = ([n.strip() for n in names.split("/")] for names in (labels, classes))
    assert len(labels) == len(masks.CITYSCAPES) == 34 and len(classes) == 19
    for label, name in enumerate(labels):
        assert masks.CITYSCAPES[label] == (classes.index(name) if name in classes else 255), name


def test_one_hot_and_back():
    ids = random_ids()
    planes = masks.one_hot(ids, 4)
    assert planes.shape == (4, 7, 9) and planes.dtype == bool
    for c, y, x in np.ndindex(planes.shape):
        assert planes[c, y, x] == (ids[y, x] == c)
    for kind in (bool, np.uint8, np.float32, np.int64):
        back = masks.from_one_hot(planes.astype(kind))
        assert back.dtype == np.uint8 and np.array_equal(back, ids)
    assert (
        masks.one_hot([[0, 1, 2]], masks.CLASSES).astype(int).tolist()
        == np.eye(3)[:, None].tolist()
    )
    assert not masks.one_hot([[0]], 2, ignore_index=0).any()
    assert masks.from_one_hot(np.zeros((2, 1, 1)), ignore_index=7).tolist() == [[7]]


def test_one_hot_refuses_what_would_be_lost():
    assert "3 in 2 pixels" in refused(masks.one_hot, [[0, 3, 3]], 3)
    assert "is 255 a class" in refused(masks.one_hot, [[0, 255]], 3, ignore_index=None)
    assert "0..65535" in refused(masks.one_hot, [[-1]], 3)
    overlap = np.zeros((3, 2, 4))
    overlap[[0, 2], 1, 3] = 1
    assert "pixels in more than one class: 1, the first in row 1, column 3" in refused(
        masks.from_one_hot, overlap
    )
    assert "0 and 1" in refused(masks.from_one_hot, overlap * 0.5)
    assert "(C, H, W)" in refused(masks.from_one_hot, overlap[0])


# ---------------------------------------------------------------- instances


def parts_by_flooding(mask, connectivity):
    """Connected parts in reading order, pixel by pixel."""
    out = np.zeros(mask.shape, int)
    seen = {}
    near = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    near += [(-1, -1), (-1, 1), (1, -1), (1, 1)] if connectivity == 8 else []
    for start in np.ndindex(mask.shape):
        c = int(mask[start])
        if c in (0, 255) or out[start]:
            continue
        seen[c] = seen.get(c, 0) + 1
        todo = [start]
        while todo:
            y, x = todo.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if inside and mask[y, x] == c and not out[y, x]:
                out[y, x] = 1000 * c + seen[c]
                todo += [(y + dy, x + dx) for dy, dx in near]
    return out


@pytest.mark.parametrize("connectivity", [4, 8])
def test_instances_are_connected_parts_in_reading_order(connectivity):
    for side in (1, 3, 8, 20, 33):
        mask = random_ids((side, side + 2))
        instances = masks.instances_from_semantic(mask, connectivity)
        assert instances.dtype == np.uint16
        assert np.array_equal(instances, parts_by_flooding(mask, connectivity))
        semantic = masks.semantic_from_instances(instances)
        assert np.array_equal(semantic, np.where(mask == 255, 0, mask))


def test_touching_cars_become_one_instance():
    instances = np.array([[2001, 2001, 2002, 0, 1001]], np.uint16)
    semantic = masks.semantic_from_instances(instances)
    assert semantic.tolist() == [[2, 2, 2, 0, 1]] and semantic.dtype == np.uint8
    assert masks.instances_from_semantic(semantic).tolist() == [[2001, 2001, 2001, 0, 1001]]


def test_bad_instances_are_refused():
    assert "[7]" in refused(masks.semantic_from_instances, [[0, 7, 1001]])
    assert "[2000]" in refused(masks.split_instances, [[0, 2000, 1001]])
    assert "0..65535" in refused(masks.semantic_from_instances, [[70001]])
    assert "does not fit" in refused(masks.instances_from_semantic, [[65]])
    dots = np.zeros((64, 64), np.uint8)
    dots[::2, ::2] = 1
    assert "1024 parts" in refused(masks.instances_from_semantic, dots)


def test_split_instances():
    instances = np.array([[0, 2001, 1002], [1001, 2001, 0]], np.uint16)
    ids, classes, planes = masks.split_instances(instances)
    assert ids.tolist() == [1001, 1002, 2001] and classes.tolist() == [1, 1, 2]
    assert planes.dtype == bool
    for k, y, x in np.ndindex(planes.shape):
        assert planes[k, y, x] == (instances[y, x] == ids[k])
    ids, classes, planes = masks.split_instances(np.zeros((2, 3), np.uint16))
    assert ids.shape == classes.shape == (0,) and planes.shape == (0, 2, 3)


def test_boxes_are_on_pixel_edges():
    planes = RNG.random((20, 9, 11)) < 0.04
    planes[np.arange(20), RNG.integers(0, 9, 20), RNG.integers(0, 11, 20)] = True
    boxes = masks.boxes_from_masks(planes)
    assert boxes.dtype == np.int64
    for plane, box in zip(planes, boxes.tolist(), strict=True):
        rows, columns = zip(*[p for p in np.ndindex(plane.shape) if plane[p]], strict=True)
        assert box == [min(columns), min(rows), max(columns) + 1, max(rows) + 1]
    inclusive = masks_to_boxes(torch.from_numpy(planes)).numpy()
    assert np.array_equal(boxes - [0, 0, 1, 1], inclusive)
    assert masks.boxes_from_masks(np.ones((1, 3, 5))).tolist() == [[0, 0, 5, 3]]
    assert masks.boxes_from_masks(np.zeros((0, 3, 5))).shape == (0, 4)
    assert "[1] are empty" in refused(
        masks.boxes_from_masks, np.stack([np.eye(2), np.zeros((2, 2))])
    )
    assert "(N, H, W)" in refused(masks.boxes_from_masks, np.eye(2))


# ---------------------------------------------------------------- RLE


def runs_by_loop(mask):
    """Runs down the columns, zeros first."""
    runs, current = [0], 0
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if mask[y, x] != current:
                runs.append(0)
                current = mask[y, x]
            runs[-1] += 1
    return runs


def test_rle_by_hand():
    mask = [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert masks.encode_rle(mask, compressed=False) == {
        "size": [4, 4],
        "counts": [5, 1, 2, 2, 2, 3, 1],
    }
    assert masks.encode_rle(np.ones((2, 3)), compressed=False)["counts"] == [0, 6]
    assert masks.encode_rle(np.zeros((2, 3)), compressed=False)["counts"] == [6]


@campaign
def test_rle_round_trips(examples):
    @each(examples, binary_masks())
    def check(mask):
        plain, packed = masks.encode_rle(mask, compressed=False), masks.encode_rle(mask)
        assert plain == {"size": list(mask.shape), "counts": runs_by_loop(mask)}
        theirs = coco.encode(np.asfortranarray(mask))
        assert packed == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
        assert np.array_equal(coco.decode(coco.frPyObjects(plain, *mask.shape)), mask)
        for rle in (plain, packed, theirs):
            back = masks.decode_rle(rle)
            assert back.dtype == np.uint8 and np.array_equal(back, mask)


def test_rle_of_a_large_mask():
    mask = (RNG.random((700, 900)) < 0.01).astype(np.uint8)
    mask[:, 300:500] = 1  # a run that needs several characters
    for compressed in (True, False):
        assert np.array_equal(masks.decode_rle(masks.encode_rle(mask, compressed)), mask)


@campaign
def test_no_wrong_rle_is_read(examples):
    @each(examples, binary_masks(), st.integers(-3, 3), st.integers(-3, 3))
    def check(mask, dy, dx):
        height, width = mask.shape[0] + dy, mask.shape[1] + dx
        if height * width == mask.size and min(height, width) > 0:
            return  # the sums agree: not to be told from the true size
        for compressed in (True, False):
            rle = {**masks.encode_rle(mask, compressed), "size": [height, width]}
            refused(masks.decode_rle, rle)

    @each(examples, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
    def check_text(text):
        try:
            mask = masks.decode_rle({"size": [5, 7], "counts": text})
        except ValueError as error:
            assert str(error).startswith("rle: ") and "\n" not in str(error)
        else:
            assert mask.shape == (5, 7) and set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize(
    "counts",
    [[], [34], [36], [-1, 36], [1.5, 33.5], "", "1", "P", "zz~", "S1P", "\u00e9", b"\xff", [2**40]],
)
def test_wrong_runs_are_refused(counts):
    assert refused(masks.decode_rle, {"size": [5, 7], "counts": counts}).startswith("rle: ")


def test_only_binary_masks_are_encoded():
    for function in (masks.encode_rle, masks.to_polygons):
        assert "mask == class_id" in refused(function, [[0, 2]])
        assert "mask == class_id" in refused(function, [[0, 255]])
        refused(function, np.zeros((2, 2, 2)))


# ---------------------------------------------------------------- polygons


def area(ring):
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def test_polygons_by_hand():
    ring = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 1]]
    outer, hole = masks.to_polygons(ring)
    assert outer.tolist() == [[1, 1], [4, 1], [4, 3], [5, 3], [5, 4], [1, 4]]
    assert hole.tolist() == [[2, 2], [2, 3], [3, 3], [3, 2]] and hole.dtype == np.int64
    corners = masks.to_polygons([[1, 0], [0, 1]])  # touch at a corner: two rings
    assert [r.tolist() for r in corners] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]
    assert masks.to_polygons(np.zeros((3, 3))) == []
    assert masks.to_polygons(np.ones((3, 4)))[0].tolist() == [[0, 0], [4, 0], [4, 3], [0, 3]]


@campaign
def test_polygon_round_trips(examples):
    @each(examples, binary_masks())
    def check(mask):
        rings = masks.to_polygons(mask)
        back = masks.from_polygons(rings, *mask.shape)
        assert back.dtype == np.uint8 and np.array_equal(back, mask)
        assert sum(area(r) for r in rings) == mask.sum()  # holes count against
        outer = sum(area(r) > 0 for r in rings)
        assert outer == cv2.connectedComponents(mask, connectivity=4)[0] - 1
        for r in rings:  # corners only
            steps = np.roll(r, -1, axis=0) - r
            assert ((steps == 0).sum(1) == 1).all()
            assert ((steps * np.roll(steps, 1, axis=0)).sum(1) == 0).all()


def inside_by_fractions(rings, y, x):
    """Cast a ray to the left of the pixel's centre and count what it crosses, exactly."""
    odd, cy, cx = False, Fraction(2 * y + 1, 2), Fraction(2 * x + 1, 2)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            if (y0 <= cy) != (y1 <= cy):
                crossing = x0 + (cy - y0) * Fraction(x1 - x0) / Fraction(y1 - y0)
                odd ^= crossing <= cx
    return odd


@campaign
def test_any_polygon_is_filled_at_pixel_centres(examples):
    # Eighths: products of them are exact in a double, and so is where an edge meets a centre.
    point = st.tuples(st.integers(-24, 96), st.integers(-24, 96))
    ring = st.lists(point, min_size=3, max_size=6)

    @each(examples, st.lists(ring, max_size=3))
    def check(rings):
        eighths = [[(Fraction(x, 8), Fraction(y, 8)) for x, y in r] for r in rings]
        filled = masks.from_polygons([np.array(r) / 8 for r in rings], 8, 9)
        for y, x in np.ndindex(8, 9):
            assert filled[y, x] == inside_by_fractions(eighths, y, x)


def test_a_corner_on_a_pixel_centre_is_in():
    ring = np.array([[0, 0], [27, 71], [4, 28]]) / 8  # the last: the centre of row 3, column 0
    assert masks.from_polygons([ring], 8, 9)[3, 0] == 1


def test_holes_islands_and_several_parts_need_no_marks():
    def square(low, high):
        return np.array([[low, low], [high, low], [high, high], [low, high]])

    filled = masks.from_polygons([square(0, 7), square(1, 6), square(2, 5), square(3, 4)], 7, 9)
    distance = [[min(y, x, 6 - y, 6 - x) for x in range(9)] for y in range(7)]
    assert filled.tolist() == [[int(d >= 0 and d % 2 == 0) for d in row] for row in distance]


def test_coco_fills_holes_and_moves_edges():
    mask = np.ones((9, 9), np.uint8)
    mask[3:6, 3:6] = 0
    rings = masks.to_polygons(mask)
    assert np.array_equal(masks.from_polygons(rings, 9, 9), mask)
    assert masks.rasterize_coco(rings, 9, 9).all()  # the hole is gone
    triangle = [np.array([[1, 1], [8, 3], [2, 8]])]
    theirs, ours = masks.rasterize_coco(triangle, 9, 9), masks.from_polygons(triangle, 9, 9)
    flat = coco.frPyObjects([triangle[0].ravel().tolist()], 9, 9)
    assert np.array_equal(theirs, coco.decode(flat)[..., 0])
    assert (theirs != ours).any()
    assert not masks.rasterize_coco([], 3, 4).any()


@pytest.mark.parametrize(
    "ring", [[[0, 0], [1, 1]], [0, 0, 4, 0, 4, 4], [[0, 0, 0]] * 3, [[0, 0], [1, np.nan], [2, 2]]]
)
def test_bad_rings_are_refused(ring):
    good = [[0, 0], [1, 0], [1, 1]]
    for function in (masks.from_polygons, masks.rasterize_coco):
        assert refused(function, [good, ring], 4, 4).startswith("rings[1]: ")


# ---------------------------------------------------------------- resizing


def resized_by_fractions(mask, height, width):
    """For each new centre, the old pixel whose square holds it."""
    out = np.zeros((height, width), mask.dtype)
    for y, x in np.ndindex(height, width):
        old_y = Fraction(2 * y + 1, 2) * Fraction(mask.shape[0], height)
        old_x = Fraction(2 * x + 1, 2) * Fraction(mask.shape[1], width)
        out[y, x] = mask[old_y // 1, old_x // 1]
    return out


@campaign
def test_resize_reads_the_pixel_under_each_centre(examples):
    side = st.integers(1, 17)
    dtype = st.sampled_from([np.uint8, np.uint16, np.int64, bool])

    @each(examples, dtype.flatmap(lambda d: hnp.arrays(d, st.tuples(side, side))), side, side)
    def check(mask, height, width):
        before = mask.copy()
        small = masks.resize_mask(mask, (height, width))
        assert small.dtype == mask.dtype and small.shape == (height, width)
        assert np.array_equal(small, resized_by_fractions(mask, height, width))
        assert set(small.ravel().tolist()) <= set(mask.ravel().tolist())
        assert np.array_equal(mask, before) and small.flags.c_contiguous


def has_tie(old, new):
    return any((2 * i + 1) * old % (2 * new) == 0 for i in range(new))


def test_resize_commutes_with_flips_where_no_centre_is_on_an_edge():
    checked = 0
    for old in range(1, 14):
        for new in range(1, 14):
            line = RNG.permutation(old)[None].repeat(old, 0)
            flipped = masks.resize_mask(line[:, ::-1], (old, new))
            same = np.array_equal(flipped, masks.resize_mask(line, (old, new))[:, ::-1])
            assert same != has_tie(old, new)
            checked += same
    assert checked > 100


def centre(mask):
    """Centre of mass as a share of the picture, of pixel centres."""
    y, x = np.nonzero(mask)
    return np.array([(y.mean() + 0.5) / mask.shape[0], (x.mean() + 0.5) / mask.shape[1]])


@pytest.mark.parametrize(("old", "new"), [(9, 27), (27, 9), (10, 26), (21, 35), (35, 21), (12, 60)])
def test_resize_does_not_shift(old, new):
    mask = np.zeros((old, old), np.uint8)
    mask[old // 3 : old - old // 3, old // 3 : old - old // 3] = 1  # in the very middle
    assert np.allclose(centre(masks.resize_mask(mask, (new, new))), 0.5)


def test_opencv_plain_nearest_shifts_and_exact_agrees_with_ours():
    mask = np.zeros((27, 27), np.uint8)
    mask[10:17, 10:17] = 1
    shifted = cv2.resize(mask, (9, 9), interpolation=cv2.INTER_NEAREST)
    assert np.allclose(centre(shifted), 5 / 9)  # half a new pixel to the right and down
    assert np.allclose(centre(masks.resize_mask(mask, (9, 9))), 0.5)
    for old, new in ((9, 27), (27, 9), (10, 26), (21, 35), (35, 21), (33, 32), (19, 7)):
        assert not has_tie(old, new)
        ids = random_ids((old, old))
        exact = cv2.resize(ids, (new, new), interpolation=cv2.INTER_NEAREST_EXACT)
        in_torch = torch.nn.functional.interpolate(
            torch.from_numpy(ids)[None, None].double(), (new, new), mode="nearest-exact"
        )
        ours = masks.resize_mask(ids, (new, new))
        assert np.array_equal(ours, exact) and np.array_equal(ours, in_torch[0, 0].numpy())


def test_resize_keeps_the_order_of_height_and_width():
    assert masks.resize_mask(np.zeros((4, 6)), (2, 3)).shape == (2, 3)
    assert masks.resize_mask([[1, 2], [3, 4]], (2, 4)).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    for mask, size in ((np.zeros((2, 2, 3)), (2, 2)), (np.eye(2), (0, 2)), (np.eye(2), (2,))):
        assert "(H, W)" in refused(masks.resize_mask, mask, size)

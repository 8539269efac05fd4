"""Every way of ruining a label that lesson 01 shows: the break does damage, the cure does none.

Each test makes the mistake on a street scene, asserts that it costs something (or this would be a
test of nothing), and then asserts that the way through segutils costs nothing. Where the package
can notice the mistake, it must refuse it.
"""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from segutils import masks, show, street
from segutils.datasets import FolderPairs
from segutils.metrics import ConfusionMatrix

PERSON, CAR = 1, 2


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def scene():
    """The first plain scene with people, cars and void."""
    scenes = (street.draw(seed, 128, "plain") for seed in range(100))
    return next(s for s in scenes if min((s.mask == k).sum() for k in (PERSON, CAR)) > 300
                and (s.mask == 255).sum() > 50)


@pytest.fixture(scope="module")
def crowd():
    """The first full scene with six objects or more."""
    scenes = (street.draw(seed, 128, "full") for seed in range(100))
    return next(s for s in scenes if len(np.unique(s.instances)) > 6)


@pytest.fixture
def file(scene, tmp_path):
    """The scene's mask as a palette PNG."""
    masks.write_mask(tmp_path / "mask.png", scene.mask)
    return tmp_path / "mask.png"


@pytest.mark.parametrize("read", [
    lambda path: np.array(Image.open(path).convert("L")),
    lambda path: np.array(Image.open(path).convert("RGB"))[..., 0],
    lambda path: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE),
    lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 0],
], ids=["PIL L", "PIL RGB", "cv2 gray", "cv2 unchanged"])
def test_a_palette_read_as_colours_loses_every_object(scene, file, read):
    wrong = read(file)
    for k in (PERSON, CAR):
        assert iou(wrong == k, scene.mask == k) == 0
    with pytest.raises(ValueError, match="outside 0..2"):
        masks.check_ids(wrong, 3, 255)
    assert np.array_equal(masks.read_mask(file, classes=3, ignore_index=255), scene.mask)


@pytest.mark.parametrize("name", ["mask.jpg", "mask.png"])
def test_jpeg_ripples_the_ids_and_is_refused_under_any_name(scene, tmp_path, name):
    Image.fromarray(scene.mask).save(tmp_path / name, "JPEG", quality=95)
    lossy = np.array(Image.open(tmp_path / name))
    assert len(np.unique(lossy)) > 2 * len(np.unique(scene.mask))
    assert iou(lossy == PERSON, scene.mask == PERSON) < 0.8
    with pytest.raises(ValueError, match=f"{name}.*JPEG"):
        masks.read_mask(tmp_path / name)


def test_a_nearly_right_colour_is_named_not_dropped(scene):
    rgb = masks.colorize(scene.mask)
    table = {k: tuple(masks.PALETTE[k].tolist()) for k in (0, 1, 2, 255)}
    assert np.array_equal(masks.decode_rgb(rgb, table), scene.mask)
    smooth = cv2.GaussianBlur(rgb, (3, 3), 0)
    lenient = np.zeros_like(scene.mask)
    for k, color in table.items():
        lenient[(smooth == color).all(axis=2)] = k
    assert iou(lenient == PERSON, scene.mask == PERSON) < 0.9
    with pytest.raises(ValueError, match="not in the table"):
        masks.decode_rgb(smooth, table)


def test_autoscaled_imshow_paints_persons_as_cars(scene):
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    people = np.where(scene.mask == PERSON, PERSON, 0).astype(np.uint8)
    fig, ax = plt.subplots()
    layer = ax.imshow(people, cmap=ListedColormap(masks.PALETTE[:3] / 255))
    drawn = layer.to_rgba(people, bytes=True)[..., :3]
    assert (drawn[people == PERSON] == masks.PALETTE[CAR]).all()
    layer = show.overlay_axes(ax, scene.image, people).images[-1]
    drawn = layer.to_rgba(people, bytes=True)[..., :3]
    assert (drawn[people == PERSON] == masks.PALETTE[PERSON]).all()
    painted = show.overlay(scene.image, people, alpha=1)
    assert (painted[people == PERSON] == masks.PALETTE[PERSON]).all()
    plt.close(fig)


def test_bgr_shown_as_rgb_and_the_matrix_that_mends_it(scene, tmp_path):
    Image.fromarray(scene.image).save(tmp_path / "image.png")
    bgr = cv2.imread(str(tmp_path / "image.png"))
    assert (np.abs(bgr.astype(int) - scene.image).max(axis=2) > 20).mean() > 0.1
    mended = masks.apply_color_matrix(bgr, masks.color_matrix("BGR", "RGB"))
    assert np.array_equal(mended, scene.image)
    assert np.array_equal(masks.read_image(tmp_path / "image.png"), scene.image)


def test_a_color_matrix_from_gray_spots_alone_fails_elsewhere(scene):
    camera = np.array([[0.80, 0.15, 0.05], [0.10, 0.65, 0.05], [0.05, 0.10, 0.45]])
    seen = masks.apply_color_matrix(scene.image, camera)
    gray = np.repeat(np.arange(20, 240, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
    spots = tuple(np.random.default_rng(0).integers(0, 128, (2, 24)))
    errors = []
    for known, got in ((scene.image[spots], seen[spots]),
                       (gray[0], masks.apply_color_matrix(gray, camera)[0])):
        solution, *_ = np.linalg.lstsq(got.astype(float), known.astype(float), rcond=0.01)
        repaired = masks.apply_color_matrix(seen, solution.T)
        errors.append(np.abs(repaired.astype(int) - scene.image).mean())
    assert errors[0] < 2 < 5 < errors[1]


def test_totensor_on_a_mask_turns_void_into_person(scene, file):
    wrong = F.to_tensor(Image.open(file))[0].long().numpy()
    assert set(np.unique(wrong)) == {0, 1}
    assert np.array_equal(wrong == PERSON, scene.mask == 255)
    assert not (wrong == CAR).any()
    target = torch.from_numpy(masks.read_mask(file)).long()
    assert target.dtype == torch.int64 and np.array_equal(target.numpy(), scene.mask)


def test_void_counted_makes_a_perfect_answer_imperfect(crowd):
    perfect = masks.semantic_from_instances(crowd.instances)
    void = crowd.mask == 255
    score = ConfusionMatrix(3, ignore_index=255).update(perfect, crowd.mask).miou()
    as_background = np.where(void, 0, crowd.mask)
    as_fourth = np.where(void, 3, crowd.mask)
    assert score == 1
    assert ConfusionMatrix(3).update(perfect, as_background).miou() < 0.99
    assert ConfusionMatrix(4).update(perfect, as_fourth).miou() < 0.76
    assert not masks.one_hot(crowd.mask, 3)[:, void].any()


def test_255_for_object_is_not_taken_for_void_in_silence(scene):
    drawn = np.where(scene.mask == CAR, 255, 0).astype(np.uint8)
    assert not (drawn[drawn != 255] > 0).any()            # every object thrown away
    with pytest.raises(ValueError, match="is 255 a class"):
        masks.check_ids(drawn, 2)
    assert np.array_equal(masks.remap(drawn, masks.BINARY) == 1, scene.mask == CAR)


@pytest.mark.parametrize("read, most", [
    (lambda path: np.array(Image.open(path).convert("L")), 1),
    (lambda path: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), 2),
    (lambda path: np.array(Image.open(path)).astype(np.uint8), None),
], ids=["clipped", "divided", "cut"])
def test_16_bit_instances_in_8_bits(crowd, tmp_path, read, most):
    path = tmp_path / "instances.png"
    masks.write_mask(path, crowd.instances)
    objects = crowd.instances > 0
    wrong = read(path)
    assert most is None or len(np.unique(wrong[objects])) <= most
    assert not (wrong[objects].astype(int) // 1000 == crowd.instances[objects] // 1000).any()
    whole = masks.read_mask(path)
    assert whole.dtype == np.uint16 and np.array_equal(whole, crowd.instances)
    known = crowd.mask != 255
    assert np.array_equal(masks.semantic_from_instances(whole)[known], crowd.mask[known])


def test_touching_objects_merge_without_an_instance_map(crowd):
    semantic = masks.semantic_from_instances(crowd.instances)
    regions = masks.instances_from_semantic(semantic)
    assert not np.array_equal(regions, crowd.instances)
    ids, _, separate = masks.split_instances(crowd.instances)
    assert separate.sum(0).max() == 1 and len(ids) == len(np.unique(crowd.instances)) - 1


@pytest.mark.parametrize("size", [(200, 200), (96, 96), (300, 150)])
def test_bilinear_invents_persons_around_cars(scene, size):
    cars = np.where(scene.mask == CAR, CAR, 0).astype(np.uint8)
    assert (cv2.resize(cars, size[::-1]) == PERSON).sum() > 20
    assert set(np.unique(masks.resize_mask(cars, size))) == {0, CAR}


def test_plain_nearest_shifts_and_centres_do_not(scene):
    part, size = scene.mask[4:124, 4:124], (40, 40)        # 3 to 1: no centre on a border

    def nearest(mask, size):
        return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)

    agree = {}
    for resize in (nearest, masks.resize_mask):
        a, b = resize(part[:, ::-1], size), resize(part, size)[:, ::-1]
        agree[resize] = iou(a == PERSON, b == PERSON)
    assert agree[nearest] < 0.9 and agree[masks.resize_mask] == 1


def test_exif_turns_the_picture_and_not_the_mask(scene, tmp_path):
    note = Image.Exif()
    note[0x0112] = 6
    path = tmp_path / "phone.png"                          # PNG: so that pixels can be compared
    Image.fromarray(np.rot90(scene.image)).save(path, exif=note)
    plain = np.array(Image.open(path))
    assert plain.shape == scene.image.shape                # nothing to notice on a square
    assert np.array_equal(plain, np.rot90(scene.image))
    assert iou(scene.mask == CAR, np.rot90(scene.mask) == CAR) < 0.5
    assert np.array_equal(masks.read_image(path), scene.image)


def test_rle_along_the_rows_transposes_the_mask(scene):
    car = (scene.mask == CAR).astype(np.uint8)
    along_rows = masks.encode_rle(car.T, compressed=False)["counts"]
    wrong = masks.decode_rle({"size": list(car.shape), "counts": along_rows})
    assert np.array_equal(wrong, car.T) and iou(wrong == 1, car == 1) < 0.8
    assert np.array_equal(masks.decode_rle(masks.encode_rle(car)), car)


def test_cocos_rasteriser_fills_holes_and_ours_keeps_them():
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 0
    rings = masks.to_polygons(ring)
    assert masks.rasterize_coco(rings, 5, 5)[2, 2] == 1
    assert np.array_equal(masks.from_polygons(rings, 5, 5), ring)


def folder_of_pairs(root, n=12):
    """img1 ... img12 with masks that hold nothing but the number k of their picture."""
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for k in range(1, n + 1):
        gray = np.full((4, 4), k, np.uint8)
        Image.fromarray(np.stack([gray] * 3, axis=2)).save(root / "images" / f"img{k}.png")
        masks.write_mask(root / "masks" / f"img{k}.png", gray)
    return root / "images", root / "masks"


def test_pairs_by_position_are_pairs_of_strangers(tmp_path):
    images, targets = folder_of_pairs(tmp_path)
    counted = [f"img{k}" for k in range(1, 13)]
    assert sum(a != b for a, b in zip(counted, sorted(counted), strict=True)) == 11
    pairs = FolderPairs(images, targets)
    assert len(pairs) == 12
    assert all((image == mask[..., None]).all() for image, mask in pairs)


def test_one_lost_mask_shifts_the_rest_and_is_named(tmp_path):
    images, targets = folder_of_pairs(tmp_path)
    (targets / "img11.png").unlink()
    lists = (sorted(path.stem for path in folder.iterdir()) for folder in (images, targets))
    assert sum(a != b for a, b in zip(*lists, strict=False)) == 9
    with pytest.raises(ValueError, match="img11"):
        FolderPairs(images, targets)

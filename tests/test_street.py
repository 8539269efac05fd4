"""Street scenes: the same labels everywhere, labels that follow the picture, an honest folder."""

import csv
import hashlib
import itertools
import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from segutils import street
from segutils.datasets import DATA
from segutils.masks import read_image, read_mask

ROOT = DATA / "street"
LEVELS = ("plain", "full")

# sha256 of mask bytes + instance bytes (little endian); a change here changes the data set
SCENES = {
    ("plain", 0, 128): "e871ad596beb9dc4",
    ("plain", 12, 128): "37ef4ce2706c5333",
    ("full", 0, 128): "beb7e66ba2c4c4e9",
    ("full", 1, 128): "79800d1e628e95cc",
    ("full", 2, 128): "b3138c55762884e6",
    ("full", 77, 96): "7d8810c97b75cc5b",
    ("full", 3, 256): "f1f5023bee933c48",
    ("full", 2**70, 64): "91a5bf890540b2c6",
}


def digest(scene):
    data = scene.mask.tobytes() + scene.instances.astype("<u2").tobytes()
    return hashlib.sha256(data).hexdigest()


def rows(level):
    with open(ROOT / level / "scenes.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("level", "seed", "size"), SCENES)
def test_same_labels_on_every_machine(level, seed, size):
    assert digest(street.draw(seed, size, level))[:16] == SCENES[level, seed, size]


def test_tables_do_not_hang_on_the_last_bit_of_a_cosine():
    for i in range(64):
        for value in (1024 * math.cos(i * math.pi / 32), 1024 * math.sin(i * math.pi / 32)):
            assert abs(value % 1 - 0.5) > 1e-6


@pytest.mark.parametrize("level", LEVELS)
def test_mask_and_instances_belong_together(level):
    seen = set()
    for scene in itertools.islice(street.generate(None, 128, level, seed=7), 40):
        assert scene.image.shape == (128, 128, 3) and scene.image.dtype == np.uint8
        assert scene.mask.shape == (128, 128) and scene.mask.dtype == np.uint8
        assert scene.instances.shape == (128, 128) and scene.instances.dtype == np.uint16
        clear = scene.mask != 255
        assert (scene.mask[clear] == scene.instances[clear] // 1000).all()
        assert set(np.unique(scene.mask)) <= {0, 1, 2, 255}
        for kind in (1, 2):
            ids = np.unique(scene.instances[scene.instances // 1000 == kind])
            assert ids.tolist() == list(range(kind * 1000 + 1, kind * 1000 + 1 + len(ids)))
        seen |= set(np.unique(scene.mask))
    assert seen == {0, 1, 2, 255}


def test_label_is_the_majority_of_a_block_and_void_where_that_is_not_clear():
    z, rng = street.ZOOM, np.random.default_rng(0)
    kinds = [1, 0, 2, 1, 2]
    coarse = rng.integers(0, 6, (12, 12))
    who = np.kron(coarse, np.ones((10, 10), int))[:36 * z, :36 * z].astype(np.uint8)
    who = np.where(np.isin(who, [0, 2]), 0, who).astype(np.uint8)  # thing 2 is background
    size = 36
    mask, instances = street.label(SimpleNamespace(who=who), [SimpleNamespace(kind=k)
                                                             for k in kinds], size)
    for y in range(size):
        for x in range(size):
            block = who[y * z:y * z + z, x * z:x * z + z].ravel()
            counts = np.bincount(block, minlength=6)
            top = counts.argmax()
            kind = 0 if top == 0 else kinds[top - 1]
            assert (counts == counts.max()).sum() > 1 or instances[y, x] // 1000 == kind
            assert (mask[y, x] == 255) == (counts.max() < street.CLEAR)
            assert mask[y, x] in (255, instances[y, x] // 1000)


def test_a_speck_is_void_but_keeps_its_id():
    z = street.ZOOM
    who = np.zeros((128 * z, 128 * z), np.uint8)
    who[30 * z:33 * z, 30 * z:34 * z] = 1  # 12 pixels
    who[60 * z:65 * z, 60 * z:65 * z] = 2  # 25 pixels
    mask, instances = street.label(SimpleNamespace(who=who), [SimpleNamespace(kind=1)] * 2, 128)
    assert (mask[30:33, 30:34] == 255).all() and (instances[30:33, 30:34] == 1001).all()
    assert (mask[60:65, 60:65] == 1).all() and (instances[60:65, 60:65] == 1002).all()


def test_every_size_shows_the_same_street():
    for seed in (3, 4, 5):
        small, large = street.draw(seed, 64), street.draw(seed, 192)
        reduced = cv2.resize(large.mask, (64, 64), interpolation=cv2.INTER_NEAREST)
        clear = (small.mask != 255) & (reduced != 255)
        assert clear.mean() > 0.8 and (small.mask == reduced)[clear].mean() > 0.985


def test_no_stream_holds_a_scene_of_another_or_of_the_folder():
    seeds = [street.scene_seed(s, i) for s in range(5) for i in (0, 1, 999, street.STREAM - 1)]
    assert len(set(seeds)) == len(seeds)
    folder = {int(row["seed"]) for level in LEVELS for row in rows(level)}
    assert max(folder) < street.STREAM <= min(seeds)
    first = [digest(next(street.generate(1, seed=s))) for s in range(4)]
    assert len({*first, digest(street.draw(0))}) == 5
    again = list(street.generate(3, 64, "plain", seed=2))
    assert (again[1].image == street.draw(street.scene_seed(2, 1), 64, "plain").image).all()


@pytest.mark.parametrize(("given", "word"), [
    ({"seed": -1}, "seed"), ({"size": 16}, "size"), ({"size": 4096}, "size"),
    ({"difficulty": "easy"}, "difficulty")])
def test_bad_arguments_are_named_in_one_line(given, word):
    with pytest.raises(ValueError, match=word) as error:
        street.draw(**{"seed": 0, **given})
    assert "\n" not in str(error.value)


def test_drawing_leaves_the_threads_of_opencv_alone():
    before = cv2.getNumThreads()
    street.draw(0)
    assert cv2.getNumThreads() == before


def test_the_command_writes_what_draw_draws(tmp_path, capsys):
    counts = ["--train", "2", "--val", "1", "--test", "1", "--seed", "5"]
    street.main(["--out", str(tmp_path), *counts])
    for level in LEVELS:
        assert (tmp_path / level / "train.txt").read_text() == "0000\n0001\n"
        scene = street.draw(500_003, 128, level)
        assert (read_mask(tmp_path / level / "masks/0003.png") == scene.mask).all()
        assert (read_mask(tmp_path / level / "instances/0003.png") == scene.instances).all()
        assert Image.open(tmp_path / level / "masks/0003.png").mode == "P"
    street.main(["--out", str(tmp_path), *counts])  # its own folder may be written again
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit):
        street.main(["--out", str(tmp_path / "other"), *counts])
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize("level", LEVELS)
def test_the_folder_is_what_the_code_draws(level):
    for row in rows(level)[::97]:
        scene = street.draw(int(row["seed"]), 128, level)
        folder, stem = ROOT / level, row["stem"]
        assert (read_mask(folder / "masks" / f"{stem}.png") == scene.mask).all(), stem
        assert (read_mask(folder / "instances" / f"{stem}.png") == scene.instances).all(), stem
        image = read_image(folder / "images" / f"{stem}.jpg").astype(int)
        assert np.abs(image - scene.image).mean() < 6, stem


def test_the_folder_is_whole_small_and_split():
    assert sum(f.stat().st_size for f in ROOT.rglob("*") if f.is_file()) < 12e6
    for level in LEVELS:
        lists = [(ROOT / level / f"{split}.txt").read_text().split() for split in street.COUNTS]
        stems = list(itertools.chain(*lists))
        assert [len(part) for part in lists] == list(street.COUNTS.values())
        assert len(set(stems)) == len(stems) == len(rows(level))
        for name, end in (("images", "jpg"), ("masks", "png"), ("instances", "png")):
            assert {f.name for f in (ROOT / level / name).iterdir()} == {f"{s}.{end}"
                                                                         for s in stems}


def test_full_holds_the_hard_cases():
    test = [row for row in rows("full") if row["split"] == "test"]
    assert {row["light"] for row in test} == set(street.WEATHER)
    assert any(r["people"] == "0" < r["cars"] for r in test)
    assert any(r["cars"] == "0" < r["people"] for r in test)
    assert any(r["people"] == r["cars"] == "0" for r in test)
    touching = {1: 0, 2: 0}
    for row in test:
        ids = read_mask(ROOT / "full/instances" / f"{row['stem']}.png").astype(int)
        for a, b in ((ids[:, 1:], ids[:, :-1]), (ids[1:], ids[:-1])):
            for kind in touching:
                touching[kind] += ((a != b) & (a // 1000 == kind) & (b // 1000 == kind)).any()
    assert min(touching.values()) >= 15


def pixels(level, split, step):
    stems = (ROOT / level / f"{split}.txt").read_text().split()
    image = np.stack([read_image(ROOT / level / "images" / f"{s}.jpg") for s in stems])
    mask = np.stack([read_mask(ROOT / level / "masks" / f"{s}.png") for s in stems])
    image, mask = image[:, ::step, ::step], mask[:, ::step, ::step]
    y, x = np.mgrid[:128:step, :128:step] // 16
    r, g, b = np.moveaxis(image.astype(int) // 32, -1, 0)
    cell = (((r * 8 + g) * 8 + b) * 8 + y) * 8 + x
    clear = mask != 255
    return cell[clear], mask[clear].astype(int)


@pytest.mark.parametrize("level", LEVELS)
def test_colour_and_position_alone_do_not_solve_it(level):
    """A Bayes classifier on a histogram of (r, g, b, x, y), at the prior that suits it best."""
    cell, truth = pixels(level, "train", 2)
    counts = np.stack([np.bincount(cell[truth == k], minlength=8**5) for k in range(3)], 1)
    cell, truth = pixels(level, "test", 1)
    scores = []
    for prior in (1, 2, 3, 5):
        guess = (counts * [1, prior, prior]).argmax(1)[cell]
        matrix = np.bincount(truth * 3 + guess, minlength=9).reshape(3, 3)
        union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        scores.append((np.diag(matrix) / union).mean())
    print(f"{level}: mIoU {max(scores):.3f} from colour and position alone")
    assert 0.3 < max(scores) < 0.55


def test_the_card_tells_the_counts_of_the_folder():
    card = (ROOT.parent / "README.md").read_text()
    assert street.describe(ROOT) in card

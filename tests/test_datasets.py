"""Pairs are right, splits are stable, and no augmentation repeats in any number of workers."""

import multiprocessing as mp

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from segutils import datasets, street
from segutils.augment import eval_transform, train_transform
from segutils.datasets import (
    DATA,
    EpochSampler,
    FolderPairs,
    Street,
    StreetStream,
    check_scenes,
    loader,
    split_by_name,
    split_by_scene,
)
from segutils.masks import BINARY, write_mask

CLASSES = ("background", "person", "car")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than cores


def save_pair(folder, stem, shape=(40, 48), mask=None, image_suffix=".jpg", mask_suffix=""):
    """One pair in folder/images and folder/masks; the picture is the mask's ids, 50 times."""
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True)
    if mask is None:
        mask = np.random.default_rng(0).integers(0, 3, shape)
    mask = np.asarray(mask, np.uint8)
    Image.fromarray(np.repeat(50 * mask[..., None], 3, 2)).save(
        folder / "images" / f"{stem}{image_suffix}"
    )
    write_mask(folder / "masks" / f"{stem}{mask_suffix}.png", mask)


@pytest.fixture
def pairs(tmp_path):
    """Twelve pairs in folders of their own."""
    for k in range(12):
        save_pair(tmp_path, f"{k:02}", mask=np.random.default_rng(k).integers(0, 3, (40, 48)))
    return tmp_path


def open_pairs(folder, **options):
    return FolderPairs(folder / "images", folder / "masks", CLASSES, **options)


# Pairing ------------------------------------------------------------------------------------


def test_pairs_by_stem_not_by_order(tmp_path):
    """Sorted by name, 1_2_mask.png comes before 1_mask.png, but 1.PNG before 1_2.PNG."""
    for k, stem in enumerate(("2", "10", "1", "1_2", "cat.v1", "cat")):
        save_pair(tmp_path, stem, mask=np.full((8, 8 + k), k % 3), image_suffix=".PNG",
                  mask_suffix="_mask")
    ds = open_pairs(tmp_path, mask_suffix="_mask", check=True)
    assert ds.stems == ["1", "10", "1_2", "2", "cat", "cat.v1"]
    for image, mask in ds:
        assert (image == 50 * mask[..., None]).all()


def test_what_lacks_a_partner_is_said_in_one_line(pairs):
    for k in range(5):
        Image.new("RGB", (4, 4)).save(pairs / "images" / f"lone{k}.jpg")
    write_mask(pairs / "masks" / "stray.png", np.zeros((4, 4), np.uint8))
    line = (
        r"12 pairs, but 5 images without a mask \(lone0.jpg, lone1.jpg, lone2.jpg, ...\) "
        r"and 1 mask without an image \(stray.png\)"
    )
    with pytest.raises(ValueError, match=line) as error:
        open_pairs(pairs)
    assert "\n" not in str(error.value)
    with pytest.warns(UserWarning, match=line + ": skipped"):
        assert len(open_pairs(pairs, unpaired="skip")) == 12


def test_nothing_pairs_is_refused_even_when_skipping(tmp_path):
    save_pair(tmp_path, "a", mask_suffix="_mask")
    with pytest.raises(ValueError, match="0 pairs.*mask_suffix"):
        open_pairs(tmp_path, unpaired="skip")
    assert len(open_pairs(tmp_path, mask_suffix="_mask")) == 1
    (tmp_path / "masks" / "a_mask.png").rename(tmp_path / "images" / "a_mask.png")
    one_folder = FolderPairs(tmp_path / "images", tmp_path / "images", mask_suffix="_mask")
    assert one_folder.stems == ["a"] and one_folder[0][0].shape == (40, 48, 3)


def test_two_files_of_one_stem_are_refused(pairs):
    Image.new("RGB", (48, 40)).save(pairs / "images" / "03.png")
    with pytest.raises(ValueError, match=r"03.jpg and 03.png share the stem '03': keep one"):
        open_pairs(pairs)


def test_hidden_files_folders_and_other_kinds_are_ignored(pairs):
    for name in (".DS_Store", "._00.jpg", ".hidden.png", "Thumbs.db", "notes.txt"):
        (pairs / "images" / name).write_bytes(b"x")
    (pairs / "masks" / "old.png").mkdir()
    assert len(open_pairs(pairs, check=True)) == 12


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_missing_and_empty_folders_are_refused(pairs, folder):
    (pairs / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=folder):
        FolderPairs(pairs / folder, pairs / "masks")


def test_sizes_that_differ_are_refused_with_both_names(pairs):
    write_mask(pairs / "masks" / "05.png", np.zeros((48, 40), np.uint8))
    ds = open_pairs(pairs)
    with pytest.raises(ValueError, match=r"05.jpg is \(40, 48\) but .*05.png is \(48, 40\)"):
        ds[5]
    with pytest.raises(ValueError, match="05.jpg"):
        open_pairs(pairs, check=True)


def test_unknown_ids_are_refused_and_void_is_not(pairs):
    save_pair(pairs, "04", mask=np.full((40, 48), 255))
    assert (open_pairs(pairs)[4][1] == 255).all()
    save_pair(pairs, "04", mask=np.full((40, 48), 7))
    with pytest.raises(ValueError, match=r"04.png.*7 in 1920 pixels"):
        open_pairs(pairs)[4]


def test_black_and_white_masks_need_a_class_map(tmp_path):
    """255 would be void: every object would silently vanish."""
    for k in range(3):
        save_pair(tmp_path, str(k), mask=255 * np.eye(9))
    with pytest.raises(ValueError, match="every object is void.*class_map=masks.BINARY"):
        open_pairs(tmp_path, check=True)
    ds = open_pairs(tmp_path, class_map=BINARY, check=True)
    assert (ds[0][1] == np.eye(9)).all()


def test_stems_choose_and_order(pairs):
    assert open_pairs(pairs, stems=["07", "02"]).stems == ["07", "02"]
    with pytest.raises(ValueError, match="1 of the stems have no pair: 99"):
        open_pairs(pairs, stems=["07", "99"])
    with pytest.raises(TypeError, match="wanted a list of names"):
        FolderPairs(pairs / "images", pairs / "masks", classes="car")


def test_index_and_key(pairs):
    ds = open_pairs(pairs, transform=train_transform(24), seed=5)
    assert torch.equal(ds[3][0], ds[0, 3][0]) and torch.equal(ds[-1][0], ds[11][0])
    assert not torch.equal(ds[0, 3][0], ds[1, 3][0])
    assert not torch.equal(ds[3][0], open_pairs(pairs, transform=ds.transform, seed=6)[3][0])
    for bad in (12, -13, (0, 12)):
        with pytest.raises(IndexError, match="of 12"):
            ds[bad]
    assert len(list(open_pairs(pairs))) == 12  # a plain for loop ends


# Splits -------------------------------------------------------------------------------------


def test_split_is_stable_when_files_are_added():
    names = [f"img_{k}" for k in range(1000)]
    parts = split_by_name(names, (0.7, 0.2, 0.1), seed=1)
    assert sorted(sum(parts, [])) == sorted(names)
    assert [len(p) for p in parts] == pytest.approx([700, 200, 100], abs=45)
    more = split_by_name([*names[::-1], *(f"new_{k}" for k in range(500))], (0.7, 0.2, 0.1), seed=1)
    assert all(set(p) <= set(m) for p, m in zip(parts, more, strict=True))
    assert split_by_name(names, (0.7, 0.2, 0.1), seed=2) != parts
    assert split_by_name(["a", "b"], (1, 0)) == [["a", "b"], []]


def test_split_is_the_same_on_every_machine():
    assert split_by_name(list("abcdefghij"), (0.5, 0.5), seed=0) == [list("aci"), list("bdefghj")]


def test_bad_splits_are_refused():
    with pytest.raises(ValueError, match="must sum to 1"):
        split_by_name(["a"], (0.8, 0.1))
    with pytest.raises(ValueError, match="1 names stand more than once"):
        split_by_name(["a", "a"], (0.5, 0.5))


def place(stem):
    return stem.split("_")[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_scene_lies_in_one_part_and_parts_come_out_near_the_fractions(seed):
    rng = np.random.default_rng(seed)
    stems = [f"place{k}_{n}" for k in range(90) for n in range(rng.integers(1, 6))]
    rng.shuffle(stems)
    parts = split_by_scene(stems, place, (0.6, 0.3, 0.1), seed)
    assert sorted(sum(parts, [])) == sorted(stems)
    assert all(part == [s for s in stems if s in set(part)] for part in parts)  # their order
    owners = {}
    for k, part in enumerate(parts):
        for stem in part:
            assert owners.setdefault(stem.split("_")[0], k) == k
    for part, fraction in zip(parts, (0.6, 0.3, 0.1), strict=True):
        assert abs(len(part) - fraction * len(stems)) <= 10  # two scenes
    assert split_by_scene(stems[::-1], place, (0.6, 0.3, 0.1), seed)[0] == parts[0][::-1]


def test_few_scenes_leave_no_part_empty():
    """A hash of each name alone would leave one of the parts empty for most of these seeds."""
    stems = [f"{place}_{k}" for place in "abc" for k in range(10)]
    for seed in range(20):
        assert [len(p) for p in split_by_scene(stems, place, seed=seed)] == [10, 10, 10]
    assert len({tuple(map(tuple, split_by_scene(stems, place, seed=s))) for s in range(20)}) > 1
    one_is_large = [*stems, *(f"a_{k}" for k in range(10, 100))]
    assert min(len(p) for p in split_by_scene(one_is_large, place)) == 10


def test_a_split_by_scene_is_the_same_on_every_machine():
    stems = [f"{place}_{k}" for place in "abcdefghij" for k in range(2)]
    parts = split_by_scene(stems, place, (0.6, 0.2, 0.2), seed=0)
    assert ["".join(sorted({s[0] for s in part})) for part in parts] == [
        "abfhij", "eg", "cd"
    ]


def test_splits_by_scene_that_cannot_be_are_refused():
    for stems, fractions, says in (
        (["a_1", "a_2", "b_1"], (0.6, 0.2, 0.2), "2 scenes cannot fill 3 parts"),
        (["a_1", "b_1"], (0.6, 0.2), "must sum to 1"),
        (["a_1", "b_1"], (1.0, 0.0), "must be over 0"),
        (["a_1", "a_1"], (0.5, 0.5), "1 names stand more than once"),
    ):
        with pytest.raises(ValueError, match=says):
            split_by_scene(stems, place, fractions)


def test_a_leak_is_named():
    parts = {"train": ["a_1", "b_1"], "val": ["c_1"], "test": ["d_1"]}
    assert check_scenes(parts, place) is None
    with pytest.raises(ValueError) as error:
        check_scenes({**parts, "test": ["d_1", "b_2"]}, place)
    assert str(error.value) == (
        "the scene 'b' is in train (b_1) and in test (b_2): a leak; put all its pictures into one "
        "part"
    )
    with pytest.raises(ValueError, match="'a' is in train .* and in val"):
        check_scenes({**parts, "val": ["a_1"]}, place)  # the very same picture
    with pytest.raises(ValueError, match="the part 'val' is empty"):
        check_scenes({**parts, "val": []}, place)
    assert check_scenes({"train": ["a_1", "a_2"], "test": ["a_3"]}, str) is None


# Order --------------------------------------------------------------------------------------


def test_sampler_goes_on_to_the_next_epoch_by_itself():
    sampler = EpochSampler(20, seed=3)
    passes = [list(sampler) for _ in range(3)]
    assert [{epoch for epoch, _ in p} for p in passes] == [{0}, {1}, {2}]
    assert all(sorted(i for _, i in p) == list(range(20)) for p in passes)
    orders = [[i for _, i in p] for p in passes]
    assert orders[0] != orders[1] != orders[2] != list(range(20))
    assert [list(EpochSampler(20, seed=3))] == passes[:1]
    assert list(EpochSampler(20, seed=4)) != passes[0]
    assert list(EpochSampler(3, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]


def test_sampler_resumes_in_the_middle():
    whole = EpochSampler(20, seed=3)
    epochs = [list(whole) for _ in range(3)]
    resumed = EpochSampler(20, seed=3)
    resumed.set_epoch(1, start=8)
    assert len(resumed) == 12
    assert list(resumed) == epochs[1][8:]
    assert len(resumed) == 20 and list(resumed) == epochs[2]
    for wrong in ((-1, 0), (0, 21), (0, -1)):
        with pytest.raises(ValueError, match="start"):
            resumed.set_epoch(*wrong)


def test_a_pass_broken_off_is_not_shown_again():
    sampler = EpochSampler(20)
    next(iter(sampler))
    assert next(iter(sampler))[0] == 1


# Workers ------------------------------------------------------------------------------------


def same_picture(folder, n=24):
    """`n` files that hold one picture, so that only the augmentation can tell them apart."""
    noise = np.random.default_rng(0).integers(0, 3, (24, 24))
    for k in range(n):
        save_pair(folder, f"{k:02}", mask=noise)
    return folder


def three_epochs(dataset, workers, persistent=True, shuffle=True):
    batches = loader(dataset, batch_size=5, shuffle=shuffle, seed=7, workers=workers)
    if not persistent:
        batches = DataLoader(
            dataset,
            batch_size=5,
            sampler=batches.sampler,
            num_workers=workers,
            worker_init_fn=batches.worker_init_fn,
        )
    return [[torch.cat(parts) for parts in zip(*batches, strict=True)] for _ in range(3)]


def check_workers(folder, backend, settings):
    ds = open_pairs(folder, transform=train_transform(20, backend=backend), seed=1)
    first = three_epochs(ds, workers=0)
    images = torch.cat([images for images, _ in first])
    assert len(images) == 3 * len(ds)
    assert len(torch.unique(images.flatten(1), dim=0)) == len(images)  # nothing repeats
    for workers, persistent in settings:
        again = three_epochs(ds, workers, persistent)
        for (x, y), (u, v) in zip(first, again, strict=True):
            assert torch.equal(x, u) and torch.equal(y, v)


@pytest.mark.parametrize("backend", ["albumentations", "torchvision"])
def test_workers_repeat_nothing_and_change_nothing(tmp_path, backend):
    check_workers(same_picture(tmp_path), backend, [(0, False), (2, True)])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["albumentations", "torchvision"])
def test_workers_repeat_nothing_in_all_combinations(tmp_path, backend):
    check_workers(
        same_picture(tmp_path, n=150),
        backend,
        [(w, p) for w in (0, 1, 2, 4) for p in (True, False) if w or not p],
    )


class Naive(Dataset):
    """What most tutorials write: an Albumentations pipeline that nobody seeds."""

    def __init__(self):
        self.transform = A.Compose([A.Affine(rotate=(-90, 90), p=1)])
        self.image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.from_numpy(self.transform(image=self.image)["image"])


def distinct(batches):
    pictures = torch.cat([torch.cat(list(batches)) for _ in range(2)])
    return len(torch.unique(pictures.flatten(1), dim=0))


@pytest.mark.slow
@pytest.mark.skipif("fork" not in mp.get_all_start_methods(), reason="workers are not forked here")
def test_albumentations_alone_repeats_itself_in_workers():
    """The reason for our seeds: forked workers are copies of one generator, in every epoch."""
    fork = {"num_workers": 2, "multiprocessing_context": "fork", "batch_size": 4}
    assert distinct(DataLoader(Naive(), batch_size=4)) == 32
    assert distinct(DataLoader(Naive(), **fork)) == 8
    assert distinct(DataLoader(Naive(), **fork, persistent_workers=True)) == 16


def test_loader_resumes_in_the_middle(pairs):
    ds = open_pairs(pairs, transform=train_transform(20))
    whole = loader(ds, batch_size=4, shuffle=True)
    epochs = [list(whole) for _ in range(2)]
    resumed = loader(ds, batch_size=4, shuffle=True, workers=1)
    resumed.sampler.set_epoch(1, start=4)
    assert len(resumed) == 2
    got = list(resumed)
    assert len(got) == 2
    for (x, y), (u, v) in zip(epochs[1][1:], got, strict=True):
        assert torch.equal(x, u) and torch.equal(y, v)


def test_batches(pairs):
    ds = open_pairs(pairs, transform=train_transform(20))
    images, masks = next(iter(loader(ds, batch_size=5)))
    assert images.shape == (5, 3, 20, 20) and images.dtype == torch.float32
    assert masks.shape == (5, 20, 20) and masks.dtype == torch.int64
    assert len(loader(ds, 5)) == 3 and len(loader(ds, 5, drop_last=True)) == 2
    assert isinstance(next(iter(loader(ds, 5))), tuple)


def test_loader_says_what_is_wrong(pairs):
    with pytest.raises(ValueError, match="no transform"):
        loader(open_pairs(pairs))
    save_pair(pairs, "01", shape=(30, 30))
    ds = open_pairs(pairs, transform=eval_transform())
    with pytest.raises(ValueError, match=r"\(30, 30\).*\(40, 48\).*cannot be one batch"):
        next(iter(loader(ds, 4)))


class Threads(Dataset):
    transform = "some"

    def __len__(self):
        return 2

    def __getitem__(self, key):
        return (torch.tensor([[cv2.getNumThreads(), torch.get_num_threads()]]),)


def test_workers_use_one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        (threads,) = next(iter(loader(Threads(), batch_size=2, workers=1)))
        assert threads.flatten().tolist() == [1, 1, 1, 1]
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


# The street ---------------------------------------------------------------------------------


def test_stream_draws_anew_each_epoch_and_the_same_again():
    ds = StreetStream(3, size=32, instances=True, seed=1)
    images = [ds[e, i][0].tobytes() for e in range(2) for i in range(3)]
    assert len(set(images)) == 6
    assert images == [scene.image.tobytes() for scene in street.generate(6, 32, seed=1)]
    assert images == [
        StreetStream(3, size=32, seed=1)[e, i][0].tobytes() for e in range(2) for i in range(3)
    ]
    assert StreetStream(3, size=32, seed=2)[0][0].tobytes() not in images
    still = StreetStream(3, size=32, seed=1, fresh=False)
    assert still[5, 2][0].tobytes() == still[0, 2][0].tobytes() == images[2]
    image, mask, instances = ds[0]
    assert image.shape == (32, 32, 3) and mask.dtype == np.uint8 and instances.dtype == np.uint16
    with pytest.raises(ValueError, match="n=0"):
        StreetStream(0)


def test_stream_through_jpeg_is_what_the_folder_holds():
    """Scene 7 of the folder, drawn again and sent through a file's JPEG, is the file's picture."""
    ds = StreetStream(1, difficulty="plain", quality=street.QUALITY)
    draw = street.draw
    street.draw = lambda seed, *rest: draw(7, *rest)
    try:
        image, mask = ds[0]
    finally:
        street.draw = draw
    stored = Street("train", "plain")
    assert stored.stems[7] == "0007"
    # another library's encoder may round otherwise; without JPEG the mean is over 2
    assert np.abs(image.astype(int) - stored[7][0]).mean() < 0.5
    assert np.array_equal(mask, stored[7][1]) and image.flags.writeable


def test_stream_through_a_loader():
    ds = StreetStream(4, size=32, transform=train_transform(32), instances=True)
    batch = next(iter(loader(ds, batch_size=4)))
    assert [tuple(x.shape) for x in batch] == [(4, 3, 32, 32), (4, 32, 32), (4, 32, 32)]


def test_stream_never_draws_a_scene_of_the_folder():
    """Seeds of the folder lie below STREAM."""
    seeds = []
    draw = street.draw
    street.draw = lambda seed, *rest: seeds.append(seed) or draw(seed, *rest)
    try:
        ds = StreetStream(5, size=32)
        [ds[e, i] for e in range(3) for i in range(5)]
    finally:
        street.draw = draw
    assert min(seeds) >= street.STREAM and len(set(seeds)) == 15


@pytest.fixture
def small_street(tmp_path):
    """Three scenes written as data/street is."""
    folder = tmp_path / "plain"
    for name in ("images", "masks", "instances"):
        (folder / name).mkdir(parents=True)
    for k in range(3):
        scene = street.draw(k, 48, "plain")
        Image.fromarray(scene.image).save(folder / "images" / f"{k:04}.jpg", quality=90)
        write_mask(folder / "masks" / f"{k:04}.png", scene.mask)
        write_mask(folder / "instances" / f"{k:04}.png", scene.instances)
    for split, names in {"train": "0000\n0002\n", "val": "0001\n", "test": "0001\n"}.items():
        (folder / f"{split}.txt").write_text(names)
    return tmp_path


def test_street_reads_what_was_written(small_street):
    ds = Street("train", root=small_street, instances=True)
    assert len(ds) == 2 and ds.stems == ["0000", "0002"]
    image, mask, instances = ds[1]
    scene = street.draw(2, 48, "plain")
    assert (mask == scene.mask).all() and mask.dtype == np.uint8
    assert (instances == scene.instances).all() and instances.dtype == np.uint16
    assert np.abs(image.astype(int) - scene.image).mean() < 12  # JPEG
    assert len(Street("val", root=small_street)[0]) == 2


def test_street_says_what_is_missing(small_street):
    with pytest.raises(FileNotFoundError, match=r"full.train.txt.*python -m segutils.street"):
        Street("train", "full", root=small_street)
    with pytest.raises(ValueError, match="split='training'"):
        Street("training", root=small_street)
    with pytest.raises(ValueError, match="difficulty='easy'"):
        Street(difficulty="easy", root=small_street)


def test_street_refuses_a_pair_of_two_sizes(small_street):
    write_mask(small_street / "plain" / "masks" / "0000.png", np.zeros((48, 40), np.uint8))
    with pytest.raises(ValueError, match=r"0000.jpg is \(48, 48\) but .*0000.png"):
        Street("train", root=small_street)[0]


@pytest.mark.skipif(
    not (DATA / "street" / "plain" / "train.txt").is_file(), reason="data/street is not written"
)
@pytest.mark.parametrize("difficulty", ["plain", "full"])
def test_the_embedded_street_opens_from_any_folder(difficulty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = [Street(split, difficulty, instances=True) for split in ("train", "val", "test")]
    names = sum((ds.stems for ds in splits), [])
    assert len(set(names)) == len(names) > 1000
    for ds in splits:
        image, mask, instances = ds[len(ds) // 2]
        assert image.shape == (128, 128, 3) and mask.shape == instances.shape == (128, 128)
        assert (instances // 1000 == mask)[mask != 255].all()


def test_data_folder_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        Street()

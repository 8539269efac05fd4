"""Data sets of image and mask, seeded splits, and loaders that repeat nothing by accident.

A picture is asked for by (epoch, index). Its augmentation is drawn from (seed, epoch, index), so
it is the same in any number of workers, persistent or not, and after a resume. Lesson 02.
`Held` keeps pictures on the device that trains, where a `BatchTransform` makes whole batches.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index as as_int
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from segutils import street
from segutils.augment import BatchTransform, normalise_batch
from segutils.masks import CLASSES, IGNORE, check_ids, read_image, read_mask, remap

DATA = Path(os.environ.get("SEGUTILS_DATA") or Path(__file__).resolve().parents[1] / "data")

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}


class Pictures(Dataset):
    """What all data sets here share: `ds[i]` is epoch 0, `ds[(epoch, i)]` any epoch.

    A subclass reads arrays in `arrays(epoch, index)`: image (H, W, 3) uint8, mask (H, W) uint8
    and, where it has them, instances (H, W) uint16.
    """

    def __init__(self, transform: Callable | None, seed: int) -> None:
        self.transform, self.seed = transform, as_int(seed)

    def arrays(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        raise NotImplementedError

    def __getitem__(self, key: int | tuple[int, int]) -> tuple:
        epoch, index = (0, as_int(key)) if not isinstance(key, tuple) else map(as_int, key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index %= len(self)
        arrays = self.arrays(epoch, index)
        if self.transform is None:
            return arrays
        named = dict(zip(("image", "mask", "instances"), arrays, strict=False))
        out = self.transform(**named, seed=(self.seed, epoch, index))
        return tuple(out[name] for name in named)


class Street(Pictures):
    """The embedded street scenes as (image, mask) or, with `instances`, (image, mask, instances).

    `split`: train, val or test; `difficulty`: plain or full; `root`: the folder that holds both,
    data/street if None. Without `transform`: arrays (H, W, 3) uint8 RGB, (H, W) uint8 in
    {0, 1, 2, 255} and (H, W) uint16. Cut the list `stems` to use fewer of them.
    Raises FileNotFoundError where the files are missing.
    """

    classes = CLASSES

    def __init__(
        self,
        split: str = "train",
        difficulty: str = "plain",
        root: str | Path | None = None,
        transform: Callable | None = None,
        instances: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(transform, seed)
        if split not in ("train", "val", "test"):
            raise ValueError(f"split={split!r}: wanted train, val or test")
        if difficulty not in ("plain", "full"):
            raise ValueError(f"difficulty={difficulty!r}: wanted plain or full")
        self.folder = Path(root or DATA / "street") / difficulty
        self.instances = instances
        names = self.folder / f"{split}.txt"
        if not names.is_file():
            raise FileNotFoundError(
                f"{names} is missing: run `python -m segutils.street --out {self.folder.parent}`, "
                "or say where the data is by root= or SEGUTILS_DATA"
            )
        self.stems = names.read_text(encoding="utf-8").split()

    def __len__(self) -> int:
        return len(self.stems)

    def arrays(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        stem = self.stems[index]
        picture = self.folder / "images" / f"{stem}.jpg"
        file = self.folder / "masks" / f"{stem}.png"
        arrays = (read_image(picture), read_mask(file, classes=CLASSES, ignore_index=IGNORE))
        if self.instances:
            arrays += (read_mask(self.folder / "instances" / f"{stem}.png").astype(np.uint16),)
        _same_size(picture, file, arrays)
        return arrays


class StreetStream(Pictures):
    """`n` street scenes an epoch, drawn on the fly: new ones in every epoch, none of data/street.

    Scenes number epoch * n + index of `street.generate(seed=seed)`; items as of `Street`. With
    `fresh=False` each epoch shows the same `n` scenes again. `quality`: of the JPEG file that each
    picture goes through (those of `Street` went through 82); None leaves it as drawn.
    """

    classes = CLASSES

    def __init__(
        self,
        n: int,
        size: int = 128,
        difficulty: str = "full",
        transform: Callable | None = None,
        instances: bool = False,
        seed: int = 0,
        fresh: bool = True,
        quality: int | None = None,
    ) -> None:
        super().__init__(transform, seed)
        if n < 1:
            raise ValueError(f"n={n}: wanted at least one scene an epoch")
        self.n, self.size, self.difficulty = n, size, difficulty
        self.instances, self.fresh, self.quality = instances, fresh, quality

    def __len__(self) -> int:
        return self.n

    def arrays(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        number = index + (epoch * self.n if self.fresh else 0)
        scene = street.draw(street.scene_seed(self.seed, number), self.size, self.difficulty)
        if self.quality is not None:
            scene = scene._replace(image=_through_jpeg(scene.image, self.quality))
        return tuple(scene) if self.instances else (scene.image, scene.mask)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture as a JPEG file would hold it: (H, W, 3) uint8 -> the same."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


class FolderPairs(Pictures):
    """Your own pictures: a folder of images and a folder of masks, paired by file stem.

    `classes`: names of the ids 0, 1, ...; any other id but 255 (void) is refused at access.
    `class_map`: {id in the file: id}, such as `masks.BINARY` for masks of 0 and 255.
    `mask_suffix`: what mask stems have at their end, such as "_mask". `stems`: only these, in
    this order (see `split_by_name`). `unpaired`: "raise", or "skip" with a warning. `check`:
    read every pair now. Without `transform`: arrays (H, W, 3) uint8 RGB and (H, W) uint8.
    Raises ValueError, in one line with names, for files without a partner, two files of one
    stem, sizes that differ and ids that are no class. Lesson 02.
    """

    def __init__(
        self,
        images: str | Path,
        masks: str | Path,
        classes: Sequence[str] | None = None,
        transform: Callable | None = None,
        seed: int = 0,
        *,
        class_map: dict[int, int] | None = None,
        mask_suffix: str = "",
        stems: Sequence[str] | None = None,
        unpaired: str = "raise",
        check: bool = False,
    ) -> None:
        super().__init__(transform, seed)
        if isinstance(classes, str):
            raise TypeError(f"classes={classes!r}: wanted a list of names, such as [{classes!r}]")
        if unpaired not in ("raise", "skip"):
            raise ValueError(f"unpaired={unpaired!r}: wanted raise or skip")
        self.classes, self.class_map = classes, class_map
        self.masks = _by_stem(masks, mask_suffix)
        ours = set(self.masks.values())  # both kinds may lie in one folder
        self.images = {s: file for s, file in _by_stem(images).items() if file not in ours}
        self.stems = _pair(self.images, self.masks, unpaired == "raise")
        if stems is not None:
            self.stems = _only(self.stems, stems)
        if check:
            self.check()

    def __len__(self) -> int:
        return len(self.stems)

    def arrays(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        stem = self.stems[index]
        file = self.masks[stem]
        image, mask = read_image(self.images[stem]), read_mask(file)
        _same_size(self.images[stem], file, (image, mask))
        if self.class_map is not None:
            mask = remap(mask, self.class_map, file)
        if self.classes is not None:
            check_ids(mask, self.classes, IGNORE, file)
        if mask.max(initial=0) > 255:
            raise ValueError(f"{file}: holds ids over 255: give a class_map to ids of 0..254")
        return image, mask.astype(np.uint8, copy=False)

    def check(self) -> None:
        """Read every pair, and refuse a set whose masks hold nothing but 0 and 255."""
        found = set()
        for index in range(len(self)):
            found.update(np.unique(self.arrays(0, index)[1]).tolist())
        if found == {0, IGNORE}:
            raise ValueError(
                f"all {len(self)} masks hold 0 and 255 alone, so that every object is void: "
                "give class_map=masks.BINARY"
            )


def _by_stem(folder: str | Path, suffix: str = "") -> dict[str, Path]:
    """Files of a folder by stem, less `suffix`; hidden ones and other kinds are left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        kind = file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        if not kind or not file.is_file() or not file.stem.endswith(suffix):
            continue
        stem = file.stem.removesuffix(suffix)
        if stem in found:
            raise ValueError(
                f"{folder}: {found[stem].name} and {file.name} share the stem {stem!r}: keep one"
            )
        found[stem] = file
    if not found:
        raise ValueError(
            f"{folder}: holds no image file whose stem ends in {suffix!r}"
            if suffix
            else f"{folder}: holds no image file"
        )
    return found


def _pair(images: dict[str, Path], masks: dict[str, Path], strict: bool) -> list[str]:
    """Stems on both sides, sorted; those on one side are raised, or warned of, in one line."""
    paired = sorted(images.keys() & masks.keys())
    parts = []
    for side, other, kind, lacks in (
        (images, masks, "image", "a mask"),
        (masks, images, "mask", "an image"),
    ):
        alone = sorted(side.keys() - other.keys())
        if alone:
            names = ", ".join(side[stem].name for stem in alone[:3])
            more = ", ..." if len(alone) > 3 else ""
            s = "" if len(alone) == 1 else "s"
            parts.append(f"{len(alone)} {kind}{s} without {lacks} ({names}{more})")
    if parts:
        line = f"{len(paired)} pair{'' if len(paired) == 1 else 's'}, but {' and '.join(parts)}"
        if not paired or strict:
            raise ValueError(
                f"{line}: add or rename the files, or give mask_suffix= or unpaired='skip'"
            )
        warnings.warn(f"{line}: skipped", stacklevel=3)
    return paired


def _only(paired: list[str], stems: Sequence[str]) -> list[str]:
    missing = sorted(set(stems) - set(paired))
    if missing:
        raise ValueError(f"{len(missing)} of the stems have no pair: {', '.join(missing[:3])}")
    return list(stems)


def _same_size(image: Path, mask: Path, arrays: Sequence[np.ndarray]) -> None:
    sizes = [array.shape[:2] for array in arrays]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"{image} is {sizes[0]} but {mask} is {sizes[-1]} (height, width): "
            "are they a pair, and was one of them resized or turned?"
        )


def split_by_name(
    stems: Sequence[str], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> list[list[str]]:
    """Split names by a hash of each, so that files added later move none of the others.

    Returns one list per fraction, in the order given; sizes come out near the fractions. Pictures
    of one scene under several names are for `split_by_scene`. Raises ValueError on fractions that
    do not sum to 1 and on a name that stands twice. Lesson 02.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={tuple(fractions)} must not be negative and must sum to 1")
    _check_once(stems)
    bounds = np.cumsum(fractions)[:-1]
    parts: list[list[str]] = [[] for _ in fractions]
    for stem in stems:
        share = _number("split", as_int(seed), stem) / 2**64
        parts[int(np.searchsorted(bounds, share, side="right"))].append(stem)
    return parts


def split_by_scene(
    stems: Sequence[str],
    scene_of: Callable[[str], str],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> list[list[str]]:
    """Split names so that all pictures of a scene are in one part, and no part is empty.

    `scene_of(stem)`: what two parts must not share, such as a place, a day or a person. Scenes
    come in the order of a hash: each part gets one, and each further one goes to the part that
    lacks most pictures. A scene that is added later may move others, unlike in `split_by_name`:
    add pictures first, or keep the lists. Returns one list per fraction, in the order of `stems`.
    Raises ValueError for fewer scenes than parts, and as `split_by_name` does. Capstone.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={tuple(fractions)} must be over 0 and must sum to 1")
    _check_once(stems)
    scenes: dict[str, list[str]] = {}
    for stem in stems:
        scenes.setdefault(str(scene_of(stem)), []).append(stem)
    if len(scenes) < len(fractions):
        raise ValueError(
            f"{len(scenes)} scenes cannot fill {len(fractions)} parts: take pictures in more "
            "places, or on more days"
        )
    lacking = [fraction * len(stems) for fraction in fractions]
    part_of = {}
    for k, scene in enumerate(sorted(scenes, key=lambda s: _number("scene", as_int(seed), s))):
        part = k if k < len(fractions) else int(np.argmax(lacking))
        part_of[scene] = part
        lacking[part] -= len(scenes[scene])
    parts = range(len(fractions))
    return [[s for s in stems if part_of[str(scene_of(s))] == part] for part in parts]


def _check_once(stems: Sequence[str]) -> None:
    if len(set(stems)) < len(stems):
        raise ValueError(f"{len(stems) - len(set(stems))} names stand more than once")


def check_scenes(parts: Mapping[str, Sequence[str]], scene_of: Callable[[str], str]) -> None:
    """Refuse a split in which two parts share a scene, or a part is empty.

    `parts`: {name of a part: stems}; `scene_of`: as for `split_by_scene`. Raises ValueError, in
    one line, with the scene, the parts and a picture of each. Capstone.
    """
    seen: dict[str, tuple[str, str]] = {}
    for part, stems in parts.items():
        if not len(stems):
            raise ValueError(f"the part {part!r} is empty: give it at least one scene")
        for stem in stems:
            scene = str(scene_of(stem))
            first, other = seen.setdefault(scene, (part, stem))
            if first != part:
                raise ValueError(
                    f"the scene {scene!r} is in {first} ({other}) and in {part} ({stem}): a "
                    "leak; put all its pictures into one part"
                )


def _number(*parts: int | str) -> int:
    """A number of 64 bits that follows from the parts alone, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class EpochSampler(Sampler):
    """Yields (epoch, index) pairs; every pass over it is the next epoch, in an order of its own.

    The order follows from (seed, epoch); with `shuffle=False` it is 0..n-1. `set_epoch(epoch,
    start)` goes on in the middle: `start` pictures of that epoch's order are left out.
    """

    def __init__(self, n: int, seed: int = 0, shuffle: bool = True) -> None:
        self.n, self.seed, self.shuffle = as_int(n), as_int(seed), shuffle
        self.epoch, self.start = 0, 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Say what the next pass is: its epoch, and how many pictures of it were seen already."""
        if epoch < 0 or not 0 <= start <= self.n:
            raise ValueError(f"epoch={epoch}, start={start}: wanted epoch >= 0, 0 <= start <= n")
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return self.n - self.start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, start = self.epoch, self.start
        self.epoch, self.start = epoch + 1, 0  # at once: a pass broken off is not shown again
        order = np.arange(self.n)
        if self.shuffle:
            order = np.random.default_rng(_number("order", self.seed, epoch)).permutation(self.n)
        for index in order[start:].tolist():
            yield epoch, index


class Held(Dataset):
    """Pictures of one size, read once and held as uint8 on a device, made into batches there.

    `dataset`: any of the data sets here, without a transform; `transform`: a `BatchTransform`
    whose draws follow from (the data set's seed, epoch, index), or None to normalise only;
    `device`: the one that trains, whose memory takes 4 bytes a pixel. Instances are left out.
    Hand it to `loader`: nothing is read, sent or waited for while training. `held[epoch, index]`
    is one picture of its batches: image (3, h, w) float32 and mask (h, w) int64.
    Raises ValueError for pictures of two sizes, none, or other ones each epoch, and for a data set
    with a transform. Meant for a GPU. Lesson 05.
    """

    def __init__(
        self,
        dataset: Pictures,
        transform: BatchTransform | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not isinstance(dataset, Pictures):
            raise TypeError(f"Held wants a data set of this module, got {type(dataset).__name__}")
        if dataset.transform is not None:
            raise ValueError("the data set has a transform of its own: give one to Held instead")
        if getattr(dataset, "fresh", False):
            raise ValueError("each epoch has new pictures, which cannot be held: say fresh=False")
        self.transform, self.seed = transform, dataset.seed
        for name in ("classes", "stems"):  # the latter name a picture where training fails
            if hasattr(dataset, name):
                setattr(self, name, getattr(dataset, name))
        images, masks = _read_all(dataset)
        self.images = images.permute(0, 3, 1, 2).contiguous().to(device)  # (N, 3, H, W)
        self.masks = masks.to(device)  # (N, H, W)

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = self.__getitems__([key if isinstance(key, tuple) else (0, key)])
        return image[0], mask[0]

    def __getitems__(self, keys: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """A whole batch, which is what a DataLoader asks for where it finds this method."""
        for _, index in keys:
            if not -len(self) <= index < len(self):
                raise IndexError(f"picture {index} of {len(self)}")
        keys = [(as_int(epoch), as_int(index) % len(self)) for epoch, index in keys]
        rows = torch.tensor([index for _, index in keys])
        rows = rows.to(self.masks.device, non_blocking=True)
        images, masks = self.images[rows], self.masks[rows]
        if self.transform is None:
            return normalise_batch(images, masks)
        return self.transform(images, masks, [(self.seed, *key) for key in keys])


def _read_all(dataset: Pictures) -> tuple[torch.Tensor, torch.Tensor]:
    """Every picture of a data set: (N, H, W, 3) and (N, H, W) uint8."""
    if not len(dataset):
        raise ValueError("the data set is empty: give it at least one picture")
    images = masks = None
    for index in range(len(dataset)):
        image, mask, *_ = dataset.arrays(0, index)
        if images is None:
            images = np.empty((len(dataset), *image.shape), np.uint8)
            masks = np.empty((len(dataset), *mask.shape), np.uint8)
        if mask.shape != masks.shape[1:]:
            one, other = (getattr(dataset, "stems", range(len(dataset)))[i] for i in (0, index))
            raise ValueError(
                f"picture {one} is {masks.shape[1:]} but {other} is {mask.shape} (height, width): "
                "only one size can be held; resize the files, or use a transform that does"
            )
        images[index], masks[index] = image, mask
    return torch.from_numpy(images), torch.from_numpy(masks)


def loader(
    dataset: Pictures | Held,
    batch_size: int = 16,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
) -> DataLoader:
    """Batches (B, 3, H, W) float32, (B, H, W) int64 and, if the data set has them, instances.

    Each pass is the next epoch (`.sampler` is an `EpochSampler`); the batches do not depend on
    `workers`. The data set must be asked by (epoch, index), as all here. Pictures of different
    sizes in a batch raise ValueError. A `Held` data set makes its batches itself, on its device,
    and takes no workers. Lesson 02.
    """
    held = isinstance(dataset, Held)
    if held and workers:
        raise ValueError(f"workers={workers}: held pictures are on {dataset.masks.device} already")
    if not held and getattr(dataset, "transform", None) is None:
        raise ValueError("the data set has no transform: give it eval_transform() or another")
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed, shuffle),
        num_workers=workers,
        drop_last=drop_last,
        collate_fn=_as_it_is if held else _collate,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available() and not held,
    )


def _as_it_is(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return batch


def _collate(items: list[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    sizes = {tuple(item[0].shape[-2:]) for item in items}
    if len(sizes) > 1:
        raise ValueError(
            f"pictures of sizes {sorted(sizes)} cannot be one batch: give the "
            "transform a size, or batch_size=1"
        )
    return tuple(default_collate(items))


def _one_thread(worker: int) -> None:
    """In each worker: OpenCV on one thread, as torch is, or workers fight for the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)

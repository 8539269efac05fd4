"""Joint transforms of image, mask, instance ids and boxes: Albumentations and torchvision v2.

One contract behind both libraries. Geometry moves everything together, colour touches the image
alone, pixels that come from outside the frame are void (255) in the mask and 0 (no instance) in
the ids, and all randomness of a call follows from its `seed` alone. Lesson 02 builds it.
"""

from __future__ import annotations

import copy
import hashlib
import os
import random
import secrets
from collections.abc import Callable, Sequence
from operator import index as as_int

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no call to the network at import

import albumentations as A
import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from segutils.masks import IGNORE

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's training images, RGB, for values in 0..1
STD = (0.229, 0.224, 0.225)
FILL = tuple(round(255 * m) for m in MEAN)  # outside the frame: about 0 once normalised

_MEAN = 255 * torch.tensor(MEAN).view(3, 1, 1)
_STD = 255 * torch.tensor(STD).view(3, 1, 1)

Seed = int | Sequence[int] | None


def train_transform(
    size: int | tuple[int, int] = 128,
    *,
    flip: float = 0.5,
    vertical_flip: float = 0.0,
    scale: tuple[float, float] = (0.8, 1.25),
    rotate: float = 5.0,
    translate: float = 0.05,
    colour: float = 0.2,
    blur: float = 0.0,
    noise: float = 0.0,
    backend: str = "albumentations",
) -> JointTransform:
    """Random flip, affine, crop and colour for training, drawn anew for every call.

    `size`: side, or (height, width), of the random crop; smaller pictures are padded to it.
    `flip`, `vertical_flip`, `blur`, `noise`: probabilities. `scale`: range of the zoom factor.
    `rotate`: degrees either way. `translate`: share of the frame either way. `colour`: relative
    change of brightness, contrast and saturation; the hue turns by a tenth of it.
    Raises ValueError on a value out of range, TypeError on a name it does not know. Lesson 02.
    """
    options = {
        "flip": flip, "vertical_flip": vertical_flip, "scale": scale, "rotate": rotate,
        "translate": translate, "colour": colour, "blur": blur, "noise": noise,
    }
    _check_options(options)
    build = {"albumentations": _albumentations_train, "torchvision": _torchvision_train}
    return _joint(backend, build, _size(size), options)


def eval_transform(
    size: int | tuple[int, int] | None = None, *, backend: str = "albumentations"
) -> JointTransform:
    """Nothing random: normalise and, with `size`, fit the whole picture into it.

    `size`: side, or (height, width); the picture is resized with its proportions kept, then
    padded around with void, so that nothing is cut off. None leaves every pixel as it is.
    Lesson 02.
    """
    build = {"albumentations": _albumentations_eval, "torchvision": _torchvision_eval}
    return _joint(backend, build, None if size is None else _size(size), {})


class JointTransform:
    """An image, its mask and what belongs to them, transformed together; see the call."""

    def __init__(self, run: Callable, description: str) -> None:
        self._run, self._description = run, description

    def __call__(
        self,
        *,
        image: np.ndarray,
        mask: np.ndarray,
        instances: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        seed: Seed = None,
    ) -> dict[str, torch.Tensor]:
        """Transform one picture and all that belongs to it by the same geometry.

        `image` (H, W, 3) uint8 RGB; `mask` (H, W) uint8 ids; `instances` (H, W) ids in 0..65535,
        0 for none; `boxes` (N, 4) x1, y1, x2, y2 in pixel edges. `seed`: an int or a tuple of
        ints from which all the randomness follows, whatever else was drawn before, in any
        process; None: fresh from the operating system.
        Returns image (3, h, w) float32, normalised with MEAN and STD; mask (h, w) int64, void
        (255) kept and also where the frame was left; if given: instances (h, w) int64, and
        boxes (M, 4) float32, clipped, with kept (M,) int64, the rows that are not empty.
        A turned box is the box around its corners; for tight ones see `masks.boxes_from_masks`.
        Raises TypeError or ValueError on a wrong type or shape, or boxes outside. Lesson 02.
        """
        image, mask, instances = _check_arrays(image, mask, instances)
        boxes = None if boxes is None else _check_boxes(boxes, mask.shape)
        out = self._run(image, mask, instances, boxes, _entropy(seed))
        result = {"image": _normalise(out["image"]), "mask": _int64(out["mask"])}
        if instances is not None:
            result["instances"] = _int64(out["instances"])
        if boxes is not None:
            result |= _drop_empty(out["boxes"], out["kept"])
        return result

    def __repr__(self) -> str:
        return self._description


def denormalise(image: torch.Tensor) -> np.ndarray:
    """Turn a normalised (3, H, W) float image back into (H, W, 3) uint8 RGB. Lesson 02."""
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"denormalise wants one (3, H, W) image, got {tuple(image.shape)}")
    pixels = image.detach().float().cpu() * _STD + _MEAN
    return pixels.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


# Checks at the door -------------------------------------------------------------------------


def _check_arrays(image, mask, instances) -> list[np.ndarray | None]:
    """Refuse in one line what would go wrong silently; ids of instances become uint16."""
    for name, array in (("image", image), ("mask", mask), ("instances", instances)):
        if not isinstance(array, np.ndarray) and not (name == "instances" and array is None):
            raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        cure = "multiply by 255 and round" if image.dtype.kind == "f" else "read_image gives that"
        raise ValueError(
            f"image is {image.dtype} {image.shape}, wanted uint8 (H, W, 3) in 0..255: {cure}"
        )
    if mask.dtype != np.uint8 or mask.ndim != 2:
        cure = "take its one channel of ids" if mask.ndim == 3 else "read_mask gives that"
        raise ValueError(f"mask is {mask.dtype} {mask.shape}, wanted uint8 ids (H, W): {cure}")
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"image is {image.shape[:2]} but its mask is {mask.shape}: "
            "are they a pair, and was one of them resized or turned?"
        )
    if instances is not None:
        instances = _check_instances(instances, mask.shape)
    # torch takes no flipped views and warns of read-only memory
    return [a if a is None else np.require(a, requirements="CW") for a in (image, mask, instances)]


def _check_instances(instances: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if instances.shape != shape:
        raise ValueError(f"mask is {shape} but its instances are {instances.shape}: are they one?")
    if instances.dtype.kind not in "iu":
        raise ValueError(f"instances are {instances.dtype}, wanted whole ids such as uint16")
    if instances.size and not 0 <= instances.min() <= instances.max() <= 65535:
        raise ValueError(
            f"instance ids run from {instances.min()} to {instances.max()}, "
            "wanted 0..65535: number them anew"
        )
    return instances.astype(np.uint16, copy=False)


def _check_boxes(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    boxes = np.asarray(boxes, np.float32)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes are {boxes.shape}, wanted (N, 4): x1, y1, x2, y2")
    (x1, y1, x2, y2), (height, width) = boxes.T, shape
    good = (x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"box {row} {boxes[row].tolist()} is empty or outside the {height}x{width} picture: "
            "wanted x1, y1, x2, y2 in pixels, not widths and not shares"
        )
    return boxes


def _check_options(options: dict) -> None:
    for name in ("flip", "vertical_flip", "blur", "noise", "colour", "translate"):
        if not 0 <= options[name] <= 1:
            raise ValueError(f"{name}={options[name]} must lie in 0..1")
    low, high = options["scale"]
    if not 0 < low <= high:
        raise ValueError(f"scale={options['scale']} must be (low, high) with 0 < low <= high")
    if not 0 <= options["rotate"] <= 180:
        raise ValueError(f"rotate={options['rotate']} must be degrees in 0..180")


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = map(as_int, size if isinstance(size, Sequence) else (size, size))
    if height < 1 or width < 1:
        raise ValueError(f"size={size} must be a side or (height, width) of at least 1 pixel")
    return height, width


def _entropy(seed: Seed) -> int:
    """Make one number of a seed; a hash, as NumPy's own mixing takes (5,) and (5, 0) for one."""
    if seed is None:
        return secrets.randbits(128)
    parts = [as_int(s) for s in (seed if isinstance(seed, Sequence) else [seed])]
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little")


def _normalise(image: torch.Tensor | np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 array or (3, H, W) uint8 tensor -> (3, H, W) float32, contiguous."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return (image.contiguous().float() - _MEAN) / _STD


def _int64(ids: torch.Tensor | np.ndarray) -> torch.Tensor:
    if isinstance(ids, np.ndarray):
        return torch.from_numpy(ids.astype(np.int64))
    return ids.to(torch.int64).contiguous()


def _drop_empty(boxes: np.ndarray, kept: np.ndarray) -> dict[str, torch.Tensor]:
    """Leave out what was clipped to nothing; both libraries clip, only one of them drops."""
    boxes, kept = np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(kept, np.int64)
    full = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    return {"boxes": torch.from_numpy(boxes[full]), "kept": torch.from_numpy(kept[full])}


def _joint(backend: str, build: dict, size, options: dict) -> JointTransform:
    if backend not in build:
        raise ValueError(f"backend={backend!r}: wanted one of {', '.join(build)}")
    run = {"albumentations": RunAlbumentations, "torchvision": RunTorchvision}[backend]
    steps = build[backend](size, **options)
    return JointTransform(run(steps), f"{backend}: {steps}")


# Albumentations -----------------------------------------------------------------------------


class RunAlbumentations:
    """Runs Albumentations' steps on plain arrays, all randomness from one number."""

    def __init__(self, steps: list) -> None:
        # strict: a misspelt or outdated argument raises; by default it is dropped with a warning
        self.plain = A.Compose(steps, strict=True)
        boxes = A.BboxParams(format="pascal_voc", label_fields=["kept"])
        self.boxed = A.Compose(copy.deepcopy(steps), strict=True, bbox_params=boxes)

    def __call__(self, image, mask, instances, boxes, entropy: int) -> dict:
        pipeline = self.plain if boxes is None else self.boxed
        # set_random_seed would start every step on the same stream: two flips of p=0.5 would
        # always agree. One generator shared by all steps keeps them independent, and is faster.
        pipeline.set_random_state(np.random.default_rng(entropy), random.Random(entropy))
        data = {"image": image, "mask": _two_channels(mask, instances)}
        if boxes is not None:
            data |= {"bboxes": boxes, "kept": np.arange(len(boxes))}
        out = pipeline(**data)
        ids = out["mask"]
        result = {"image": out["image"], "mask": ids[..., 0], "instances": ids[..., 1]}
        if boxes is not None:
            result |= {"boxes": out["bboxes"], "kept": out["kept"]}
        return result


def _two_channels(mask: np.ndarray, instances: np.ndarray | None) -> np.ndarray:
    """Mask and instance ids as two channels, as each needs its own fill: void, and no instance."""
    if instances is None:
        instances = np.zeros_like(mask)
    return np.dstack([mask.astype(instances.dtype, copy=False), instances])


def _albumentations_train(
    size, *, flip, vertical_flip, scale, rotate, translate, colour, blur, noise
) -> list:
    fill = {"border_mode": cv2.BORDER_CONSTANT, "fill": FILL, "fill_mask": (IGNORE, 0)}
    steps = []
    if flip:
        steps.append(A.HorizontalFlip(p=flip))
    if vertical_flip:
        steps.append(A.VerticalFlip(p=vertical_flip))
    if tuple(scale) != (1, 1) or rotate or translate:
        steps.append(A.Affine(
            scale=tuple(map(float, scale)), keep_ratio=True, rotate=(-rotate, rotate),
            translate_percent=(-translate, translate), interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST, p=1, **fill,
        ))
    height, width = size
    steps.append(A.RandomCrop(height, width, pad_if_needed=True, p=1, **fill))
    if colour:
        around = (1 - colour, 1 + colour)
        steps.append(A.ColorJitter(
            brightness=around, contrast=around, saturation=around,
            hue=(-colour / 10, colour / 10), p=1,
        ))
    if blur:
        steps.append(A.GaussianBlur(blur_limit=5, sigma_limit=(0.3, 1.2), p=blur))
    if noise:
        steps.append(A.GaussNoise(std_range=(0.04, 0.04), p=noise))
    return steps


def _albumentations_eval(size) -> list:
    if size is None:
        return [A.NoOp()]
    fit = A.LongestMaxSize(
        max_size_hw=size, interpolation=cv2.INTER_LINEAR, area_for_downscale="image",
        mask_interpolation=cv2.INTER_NEAREST_EXACT, p=1,  # plain nearest shifts by half a pixel
    )
    pad = A.PadIfNeeded(
        *size, border_mode=cv2.BORDER_CONSTANT, fill=FILL, fill_mask=(IGNORE, 0), p=1
    )
    return [fit, pad]


# torchvision.transforms.v2 ------------------------------------------------------------------


class Instances(tv_tensors.Mask):
    """Instance ids: moved as a mask is, with a fill of their own."""


_FILL = {tv_tensors.Image: list(FILL), tv_tensors.Mask: IGNORE, Instances: 0}


class RunTorchvision:
    """Runs torchvision v2's steps on tv_tensors, all randomness from one number."""

    def __init__(self, steps: list) -> None:
        self.pipeline = v2.Compose(steps) if steps else v2.Identity()

    def __call__(self, image, mask, instances, boxes, entropy: int) -> dict:
        data = {
            "image": tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
            "mask": tv_tensors.Mask(torch.from_numpy(mask)),
        }
        if instances is not None:
            data["instances"] = Instances(torch.from_numpy(instances.astype(np.int32)))
        if boxes is not None:
            data["boxes"] = tv_tensors.BoundingBoxes(
                torch.from_numpy(boxes), format="XYXY", canvas_size=mask.shape
            )
        # v2 draws from torch's global generator, so it is lent and given back. Its own seed
        # method, since torch.manual_seed would reseed the accelerators as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(entropy % 2**63)
            out = self.pipeline(data)
        out = {name: tensor.as_subclass(torch.Tensor) for name, tensor in out.items()}
        if boxes is not None:
            out |= {"boxes": out["boxes"].numpy(), "kept": np.arange(len(boxes))}
        return out


def _torchvision_train(
    size, *, flip, vertical_flip, scale, rotate, translate, colour, blur, noise
) -> list:
    steps = []
    if flip:
        steps.append(v2.RandomHorizontalFlip(flip))
    if vertical_flip:
        steps.append(v2.RandomVerticalFlip(vertical_flip))
    if tuple(scale) != (1, 1) or rotate or translate:
        steps.append(v2.RandomAffine(
            rotate, translate=(translate, translate), scale=tuple(scale),
            interpolation=InterpolationMode.BILINEAR, fill=_FILL,
        ))
    steps.append(v2.RandomCrop(size, pad_if_needed=True, fill=_FILL))
    if colour:
        steps.append(v2.ColorJitter(colour, colour, colour, colour / 10))
    if blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.2))], p=blur))
    if noise:
        steps.append(v2.RandomApply([v2.GaussianNoise(sigma=0.04)], p=noise))
    return steps


def _torchvision_eval(size) -> list:
    return [] if size is None else [Fit(size)]


class Fit(v2.Transform):
    """Resize into `size` (height, width) with the proportions kept, then pad around to it."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def make_params(self, flat_inputs: list) -> dict:
        height, width = v2.query_size(flat_inputs)
        ratio = min(self.size[0] / height, self.size[1] / width)
        new = [max(1, round(height * ratio)), max(1, round(width * ratio))]
        top, left = (self.size[0] - new[0]) // 2, (self.size[1] - new[1]) // 2
        right, bottom = self.size[1] - new[1] - left, self.size[0] - new[0] - top
        return {"new": new, "padding": [left, top, right, bottom]}

    def transform(self, inpt, params: dict):
        if isinstance(inpt, tv_tensors.Mask):  # v2's own resize of a mask shifts by half a pixel
            plain = inpt.as_subclass(torch.Tensor)[None]
            resized = F.resize(plain, params["new"], InterpolationMode.NEAREST_EXACT)[0]
            inpt = tv_tensors.wrap(resized, like=inpt)
        else:
            inpt = F.resize(inpt, params["new"], InterpolationMode.BILINEAR, antialias=True)
        return F.pad(inpt, params["padding"], fill=_FILL.get(type(inpt), 0))

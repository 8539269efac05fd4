"""Joint transforms of image, mask, instance ids and boxes: Albumentations and torchvision v2.

One contract behind both libraries. Geometry moves everything together, colour touches the image
alone, pixels that come from outside the frame are void (255) in the mask and 0 (no instance) in
the ids, and all randomness of a call follows from its `seed` alone. Lesson 02 builds it.

`batch_transform` does the same to a whole batch of images and masks on the device that holds it.
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
from torch.nn.functional import grid_sample, pad
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from segutils.masks import IGNORE

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's training images, RGB, for values in 0..1
STD = (0.229, 0.224, 0.225)
FILL = tuple(round(255 * m) for m in MEAN)  # outside the frame: about 0 once normalised
GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)

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


# A whole batch, where it is -----------------------------------------------------------------

# What is drawn for each picture, each uniform in 0..1
_DRAWN = ("flip", "vertical_flip", "scale", "rotate", "across", "down", "left", "top",
          "brightness", "contrast", "saturation", "hue", "blur", "sigma", "noise")


def batch_transform(
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
) -> BatchTransform:
    """What `train_transform` does, for a whole batch at once on the device that holds it.

    Options, defaults and errors are those of `train_transform`; the draws are others. Flip,
    affine and crop are one look-up (inverse mapping), so that a crop still shows what the affine
    move alone would have pushed out of the frame. Shifts are by whole pixels. Brightness,
    contrast, saturation and hue are one matrix a picture, in this order. Lesson 02.
    """
    options = {
        "flip": flip, "vertical_flip": vertical_flip, "scale": scale, "rotate": rotate,
        "translate": translate, "colour": colour, "blur": blur, "noise": noise,
    }
    _check_options(options)
    return BatchTransform(_size(size), options)


class BatchTransform:
    """Images and masks of one size, transformed together where they are; see the call."""

    def __init__(self, size: tuple[int, int], options: dict) -> None:
        self.size, self.options = size, options

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, seeds: Sequence[Seed]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform each picture and its mask by the same geometry.

        `images` (B, 3, H, W) or (B, H, W, 3) uint8 RGB and `masks` (B, H, W) uint8 ids, on one
        device. `seeds`: B seeds, one a picture, as in `JointTransform`; numbers are drawn from
        them on the CPU, so that they depend neither on the device nor on who else is in the batch.
        Returns, on that device, images (B, 3, h, w) float32, normalised with MEAN and STD, and
        masks (B, h, w) int64, void (255) kept and also where the frame was left. On the CPU a
        picture comes out the same, bit by bit, in every batch; another device may round a value
        of a few pixels to the neighbour. Raises TypeError or ValueError on a wrong type, shape or
        number of seeds. Lesson 02.
        """
        images, masks = _check_batch(images, masks)
        if len(seeds) != len(images):
            raise ValueError(f"{len(images)} images and {len(seeds)} seeds: give each its own")
        generators = [np.random.default_rng(_entropy(seed)) for seed in seeds]
        # Always all the numbers, so that no option changes what the others draw
        table = np.array([one.random(len(_DRAWN)) for one in generators])
        drawn = dict(zip(_DRAWN, table.T, strict=True))
        with torch.no_grad():
            images, masks = _look_up(images, masks, self._matrices(drawn, masks), self.size)
            return _normalise_batch(self._repaint(images, drawn, generators)), masks

    def _matrices(self, drawn: dict, masks: torch.Tensor) -> np.ndarray:
        """(B, 2, 3): from the centre of a new pixel to the point (x, y) that it shows."""
        asked, old = self.options, np.array(masks.shape[:0:-1])  # width, height
        low, high = asked["scale"]
        zoom = low + (high - low) * drawn["scale"]
        angle = np.deg2rad(asked["rotate"] * (2 * drawn["rotate"] - 1))
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        mirror, flip = (np.where(drawn[name] < asked[name], -1.0, 1.0)
                        for name in ("flip", "vertical_flip"))
        back = np.stack([mirror * cos, -mirror * sin, flip * sin, flip * cos], 1).reshape(-1, 2, 2)
        shares = np.stack([drawn["across"], drawn["down"]], 1)  # (B, 2)
        shift = np.round(asked["translate"] * old * (2 * shares - 1))
        corner = np.stack([_corner(drawn["left"], old[0], self.size[1]),
                           _corner(drawn["top"], old[1], self.size[0])], 1)
        middle = old / 2
        moved = back @ (corner - shift - middle)[..., None] + middle[:, None]
        return np.concatenate([back, moved], 2)

    def _repaint(self, images: torch.Tensor, drawn: dict, generators: list) -> torch.Tensor:
        """Colour, blur and noise: values 0..255 as float, whole numbers again in the end."""
        asked = self.options
        if asked["colour"]:
            factors = {name: 1 + asked["colour"] * (2 * drawn[name] - 1)
                       for name in ("brightness", "contrast", "saturation")}
            turn = asked["colour"] / 10 * (2 * drawn["hue"] - 1)
            images = _change_colour(images, **factors, turn=turn)
        if (blurred := drawn["blur"] < asked["blur"]).any():
            images = _blur(images, np.where(blurred, 0.3 + 0.9 * drawn["sigma"], 0))
        rows = np.flatnonzero(drawn["noise"] < asked["noise"])
        if len(rows):  # drawn on the CPU as well: the one thing here that costs a large copy
            shape = images.shape[1:]
            grain = np.stack([generators[i].standard_normal(shape, np.float32) for i in rows])
            at = torch.from_numpy(rows).to(images.device)
            images = images.index_add(0, at, torch.from_numpy(0.04 * 255 * grain).to(at.device))
        return images.clamp(0, 255).round()

    def __repr__(self) -> str:
        return f"batch: {self.size} {self.options}"


def normalise_batch(
    images: torch.Tensor, masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `eval_transform()` does, for a whole batch: nothing random, every pixel kept.

    Takes and returns what a `BatchTransform` does, without seeds. Lesson 02.
    """
    images, masks = _check_batch(images, masks)
    return _normalise_batch(images.float()), masks.long()


def _check_batch(images, masks) -> tuple[torch.Tensor, torch.Tensor]:
    """Refuse in one line what would go wrong silently; images become (B, 3, H, W)."""
    for name, tensor in (("images", images), ("masks", masks)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if tensor.dtype != torch.uint8:
            raise ValueError(f"{name} are {tensor.dtype}, wanted uint8: hold them as they are read")
    shapes = f"images are {tuple(images.shape)} and masks {tuple(masks.shape)}"
    if masks.ndim != 3 or images.ndim != 4 or not len(images):
        raise ValueError(f"{shapes}, wanted (B, 3, H, W) or (B, H, W, 3), and (B, H, W)")
    if images.shape != (len(masks), 3, *masks.shape[1:]):
        images = images.permute(0, 3, 1, 2)
    if images.shape != (len(masks), 3, *masks.shape[1:]):
        raise ValueError(f"{shapes}, wanted RGB and as many ids as pixels: are they pairs?")
    if images.device != masks.device:
        raise ValueError(f"images are on {images.device}, masks on {masks.device}: use one device")
    return images, masks


def _corner(share: np.ndarray, old: int, new: int) -> np.ndarray:
    """Where a crop of `new` pixels begins in `old`; a larger one begins before, in the middle."""
    return np.floor(share * (old - new + 1)) if new <= old else 0 * share - (new - old) // 2


def _to(images: torch.Tensor, array: np.ndarray) -> torch.Tensor:
    """Parameters (B, ...) as float32 on the images' device; nobody waits for the copy."""
    return torch.from_numpy(array.astype(np.float32)).to(images.device, non_blocking=True)


def _look_up(images, masks, matrices: np.ndarray, size) -> tuple[torch.Tensor, torch.Tensor]:
    """Ask each new pixel where it comes from, once for image and mask.

    A point lies in the square of one pixel, whose id the mask takes; the image blends the four
    pixels around, and is rounded, so that whole shifts and flips change no value.
    Returns (B, 3, h, w) float in 0..255 and (B, h, w) int64; outside: FILL and void.
    """
    height, width = masks.shape[1:]
    y, x = (torch.arange(n, device=masks.device) + 0.5 for n in size)  # centres of new pixels
    m = _to(images, matrices)[..., None, None]  # (B, 2, 3, 1, 1)
    x, y = (m[:, i, 0] * x + m[:, i, 1] * y[:, None] + m[:, i, 2] for i in (0, 1))  # (B, h, w)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)  # edges of the frame: -1, 1
    moved = grid_sample(images.float(), grid, "bilinear", "border", align_corners=False).round()
    fill = _to(images, np.array(FILL)).view(3, 1, 1)
    at = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
    ids = masks.flatten(1).gather(1, at.flatten(1)).view_as(at)
    return torch.where(inside[:, None], moved, fill), torch.where(inside, ids, IGNORE).long()


def _change_colour(images, brightness, contrast, saturation, turn) -> torch.Tensor:
    """Scale all, spread around the mean grey, spread around each grey, turn around the grey axis.

    Factors (B,), 1 for no change; `turn` (B,): of the circle of hues, from red towards green.
    """
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    one, cos, sin, spread = np.eye(3), *(a[:, None, None] for a in (cos, sin, saturation))
    hue = cos * one + (1 - cos) / 3 + sin * across  # Rodrigues' formula
    matrix = hue @ (spread * one + (1 - spread) * np.array(GREY))
    matrix = (brightness * contrast)[:, None, None] * matrix
    # Sums of whole numbers are exact in any order, so the batch cannot change them
    mean = images.int().sum((2, 3)).float() / images[0, 0].numel()  # (B, 3)
    grey = GREY[0] * mean[:, 0] + GREY[1] * mean[:, 1] + GREY[2] * mean[:, 2]
    offset = _to(images, brightness * (1 - contrast)) * grey
    m = _to(images, matrix)[..., None, None]  # (B, 3, 3, 1, 1)
    red, green, blue = (images[:, i, None] for i in range(3))  # (B, 1, H, W)
    return m[:, :, 0] * red + m[:, :, 1] * green + m[:, :, 2] * blue + offset.view(-1, 1, 1, 1)


def _blur(images: torch.Tensor, sigma: np.ndarray) -> torch.Tensor:
    """Gaussian blur over 5 x 5 pixels, `sigma` (B,) of each picture; 0 leaves it as it is."""
    distance = np.arange(-2, 3)
    weights = np.exp(-(distance**2) / (2 * np.maximum(sigma, 1e-3)[:, None] ** 2))
    w = _to(images, weights / weights.sum(1, keepdims=True))[..., None, None, None]
    for dim, border in ((2, (0, 0, 2, 2)), (3, (2, 2, 0, 0))):
        padded = pad(images, border, mode="replicate")
        n = images.shape[dim]
        images = sum(w[:, k] * padded.narrow(dim, k, n) for k in range(5))
    return images


def _normalise_batch(images: torch.Tensor) -> torch.Tensor:
    mean, std = (values.to(images.device, non_blocking=True) for values in (_MEAN, _STD))
    return ((images - mean) / std).contiguous()

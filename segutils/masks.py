"""Masks: read, write, convert, resize and colour them without ever changing an id.

A mask is an (H, W) array of class ids, uint8 (or uint16 for instance ids); 255 is void. Errors are
one line that names the file, or the array's name, and the cure. Built in lesson 01_mask_basics.
"""

import os
import struct
import uuid
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pycocotools import mask as coco

IGNORE = 255
CLASSES = ("background", "person", "car")

# Class maps for `remap`: {id in the file: id to train on}.
BINARY = {0: 0, 255: 1}  # a drawing program's black and white
# Oxford-IIIT Pet trimaps, annotations/README: 1 foreground, 2 background, 3 border.
PETS = {1: 1, 2: 0, 3: IGNORE}
# PASCAL VOC 2012 development kit, section 3.4: 0 background, 1..20 objects, 255 void.
VOC = {**{k: k for k in range(21)}, 255: IGNORE}
# Cityscapes labelIds -> trainIds, cityscapesScripts helpers/labels.py: 19 classes, the rest void.
_CITYSCAPES_19 = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES = dict.fromkeys(range(34), IGNORE) | {k: i for i, k in enumerate(_CITYSCAPES_19)}


def _seen(colors):
    """RGB 0..255 as a deuteranope sees it: Vienot, Brettel and Mollon (1999), in linear light."""
    to_seen = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    linear = (colors / 255) ** 2.2 @ to_seen.T
    return np.rint(255 * linear.clip(0, 1) ** (1 / 2.2))  # whole numbers: alike on every machine


def _make_palette():
    """256 different colours: Okabe and Ito's, then each time the one farthest from all so far.

    How far is the smaller of two distances in RGB: as it is, and as a colour-blind reader sees it.
    """
    colors = np.zeros((256, 3))
    colors[[0, 1, 2, 255]] = (0, 0, 0), (230, 159, 0), (0, 114, 178), (224, 224, 224)
    colors[3:8] = (0, 158, 115), (213, 94, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66)
    grid = np.argwhere(np.ones((16, 16, 16))) * 17
    grid_seen = _seen(grid)

    def distance(color):
        plain, seen = ((grid - color) ** 2).sum(1), ((grid_seen - _seen(color)) ** 2).sum(1)
        return np.minimum(plain, seen)

    nearest = np.min([distance(color) for color in colors[[*range(8), 255]]], axis=0)
    for k in range(8, 255):
        colors[k] = grid[nearest.argmax()]
        nearest = np.minimum(nearest, distance(colors[k]))
    return colors.astype(np.uint8)


PALETTE = _make_palette()
PALETTE.setflags(write=False)


# ---------------------------------------------------------------- reading


def _bytes(path):
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder: name one file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file: check the name and the folder it is in")
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path}: is empty (0 bytes): copy or export it again")
    return data


def _open(data, path):
    """The PIL image as stored, the same image upright, and its number of frames."""
    try:
        image = Image.open(BytesIO(data))
        if image.format == "PNG":
            _verify_png(data)
        frames = getattr(image, "n_frames", 1)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError(
            f"{path}: is not a readable image (it begins {data[:9]!r}): copy or export it again"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path}: claims to be larger than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: "
            "cut it into tiles, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from None
    except Exception as error:  # PIL raises OSError, SyntaxError, zlib.error ...
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: is damaged ({reason}): copy or export it again") from None
    return image, upright, frames


def _verify_png(data):
    """Raise where a PNG is not whole: PIL lets missing rows pass, as zeros, and wrong checksums."""
    at, kinds, pixels = 8, [], b""
    while at < len(data) and kinds[-1:] != [b"IEND"]:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body, crc = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if crc != zlib.crc32(kind + body).to_bytes(4, "big"):
            raise ValueError(f"the checksum of its {kind} part is wrong or cut off")
        pixels += body if kind == b"IDAT" else b""
        kinds.append(kind)
        at += 12 + length
    if kinds[:1] != [b"IHDR"] or kinds.count(b"IHDR") != 1 or kinds[-1] != b"IEND":
        raise ValueError("its IHDR or IEND part is missing or double")
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if color == 3 and b"PLTE" not in kinds:
        raise ValueError("its palette is missing")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]
    needed = sum(h * (1 + (w * bits + 7) // 8) for w, h in sizes if w > 0)
    found = len(zlib.decompressobj().decompress(pixels, needed + 1))
    if found != needed:
        raise ValueError(f"it has {'more' if found > needed else 'fewer'} pixels than it says")


# x, y of the first pixel and the steps of each pass: PNG specification 8.2.
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
_ADAM7 += [(0, 1, 1, 2)]


def read_image(path):
    """Read a picture as (H, W, 3) uint8 RGB, upright (the EXIF orientation is carried out).

    Gray and palette pictures become RGB. Raises FileNotFoundError or ValueError, in one line, for a
    file that is missing, damaged, animated, 16-bit gray or float, or really transparent. Source:
    CIPA DC-008 (EXIF), tag 0x0112 Orientation. Lesson: 01_mask_basics.
    """
    path = Path(path)
    data = _bytes(path)
    image, upright, frames = _open(data, path)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG with a second, smaller picture
        raise ValueError(f"{path}: holds {frames} frames: export the one you want as PNG or JPEG")
    if image.mode not in {"1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr"}:
        raise ValueError(
            f"{path}: its pixels are {image.mode!r}, not 8-bit: scale it to 0..255 and save as PNG"
        )
    if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
        raise ValueError(f"{path}: has transparent pixels: flatten it onto a background first")
    return np.array(upright.convert("RGB"))


def read_mask(path, classes=None, ignore_index=None, colors=None):
    """Read a mask as (H, W) uint8 (uint16 for a 16-bit file), exactly the ids that are stored.

    A palette file gives its indices, never its colours; gray files of 1, 2, 4, 8 and 16 bits give
    the stored numbers; EXIF orientation is carried out. Reads PNG (the only one with checksums),
    lossless 8- or 16-bit TIFF, and 8- or 24-bit BMP. `colors` ({id: (r, g, b)} or an (N, 3) table)
    says that the ids are coded as colours. `classes` (a number or names) refuses all other ids; 255
    too, unless `ignore_index=255` says that it is void. The array is C-contiguous and writable.

    Raises FileNotFoundError or ValueError, in one line, for all that could change an id: JPEG and
    other lossy formats, alpha, RGB without `colors`, floats, several frames, damage, wrong suffix.
    Source: PNG specification (3rd ed.) 11.2; TIFF 6.0. Lesson: 01_mask_basics.
    """
    path = Path(path)
    mask = _decode_mask(_bytes(path), path, colors)
    if classes is not None:
        check_ids(mask, classes, ignore_index, path)
    return mask


_SUFFIXES = {"PNG": {".png"}, "TIFF": {".tif", ".tiff"}, "BMP": {".bmp"}}
_LOSSLESS_TIFF = {
    "raw",
    "packbits",
    "tiff_lzw",
    "tiff_deflate",
    "tiff_adobe_deflate",
    "zstd",
    "lzma",
}


def _decode_mask(data, path, colors=None):
    image, upright, frames = _open(data, path)
    kind = image.format
    if kind not in _SUFFIXES:
        raise ValueError(
            f"{path}: is {kind} inside, which may change ids: export the mask again, as PNG"
        )
    if path.suffix.lower() not in _SUFFIXES[kind]:
        raise ValueError(f"{path}: is {kind} inside: rename it to {min(_SUFFIXES[kind])}")
    if frames > 1:
        raise ValueError(f"{path}: holds {frames} frames: export the one you want as PNG")
    if image.mode in {"RGBA", "LA", "PA", "RGBX", "La", "RGBa"} or "transparency" in image.info:
        raise ValueError(f"{path}: has transparency: export the mask without alpha, as PNG")
    depth = _stored_depth(image, data, path)
    if colors is not None or image.mode == "RGB":
        if colors is None:
            raise ValueError(
                f"{path}: holds RGB colours, not ids: pass colors={{id: (r, g, b), ...}}"
            )
        if depth != 8 and image.mode == "RGB" or image.mode.startswith("I"):
            raise ValueError(f"{path}: has 16-bit colours: export the mask with 8 bits, as PNG")
        return decode_rgb(np.array(upright.convert("RGB")), colors, path)
    ids = np.array(upright)
    if image.mode == "L" and depth in {2, 4}:
        ids //= 255 // (2**depth - 1)  # PIL spreads 2- and 4-bit gray over 0..255
    return np.ascontiguousarray(ids, np.uint16 if image.mode.startswith("I") else np.uint8)


def _stored_depth(image, data, path):
    """Bits a sample as stored; raises where PIL's pixels are not the stored numbers."""
    kind, mode, depth = image.format, image.mode, 8
    good = {"1", "L", "P", "RGB", "I;16", "I;16B"}
    if kind == "PNG":
        depth = data[24]  # IHDR: bit depth
    elif kind == "TIFF":
        depth = _tiff_depth(image, path)
    elif kind == "BMP" and (int.from_bytes(data[28:30], "little") not in {8, 24} or mode == "1"):
        raise ValueError(f"{path}: is not an 8- or 24-bit BMP: export it again, as PNG")
    if mode not in good:
        raise ValueError(
            f"{path}: its pixels are {mode!r}, not whole ids: save the mask as 8- or 16-bit PNG"
        )
    return depth


def _tiff_depth(image, path):
    tags = image.tag_v2
    depth, compression = max(tags.get(258, (1,))), image.info.get("compression")
    if compression not in _LOSSLESS_TIFF:
        raise ValueError(f"{path}: its TIFF compression may lose ids: export it again, as PNG")
    # Photometric 0 (white is zero) PIL inverts; sample format 2 (signed) turns -1 into 255.
    if depth not in {8, 16} or tags.get(262) not in {1, 2, 3} or set(tags.get(339, (1,))) != {1}:
        raise ValueError(
            f"{path}: is a TIFF of {depth} bits, signed or inverted: export it again, as PNG"
        )
    needed = image.width * image.height * len(image.getbands()) * depth // 8
    if compression == "raw" and sum(tags.get(279, tags.get(325, ()))) < needed:
        raise ValueError(f"{path}: is damaged (pixels are missing): copy or export it again")
    return depth


def _count(classes):
    return len(classes) if hasattr(classes, "__len__") else int(classes)


def check_ids(mask, classes, ignore_index=None, name="mask"):
    """Refuse any id of a mask that is neither one of `classes` nor `ignore_index`.

    `mask`: (H, W) integers; `classes`: a number C (ids 0..C-1) or a sequence of names. Raises
    ValueError naming the ids and how many pixels hold them. Lesson: 01_mask_basics.
    """
    count = _count(classes)
    ids, pixels = np.unique(mask, return_counts=True)
    bad = ~(((ids >= 0) & (ids < count)) | (ids == ignore_index))
    if not bad.any():
        return
    found = _listed(ids[bad], pixels[bad])
    cure = "remap the mask, or raise classes"
    if 255 in ids[bad]:
        cure = "is 255 a class (remap it) or void (pass ignore_index=255)?"
    raise ValueError(f"{name}: holds ids outside 0..{count - 1}: {found}: {cure}")


def _listed(things, pixels):
    """List as '7 in 2 pixels, 9 in 1 pixel', at most five of them."""
    found = [f"{t} in {n} pixel{'s' if n > 1 else ''}" for t, n in zip(things, pixels, strict=True)]
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


# ---------------------------------------------------------------- ids, colours, class maps


def decode_rgb(rgb, colors, name="mask"):
    """Turn an RGB-coded mask (H, W, 3) uint8 into ids (H, W), through a strict colour table.

    `colors`: {id: (r, g, b)} or an (N, 3) table whose row is the id. The result is uint8, or uint16
    where the table has ids over 255. A colour that is not in the table raises ValueError, which
    names it and counts its pixels; so does a colour that stands for two ids.
    Lesson: 01_mask_basics.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"{name}: expected (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    table = dict(colors) if hasattr(colors, "keys") else dict(enumerate(colors))
    rows = [list(color) for color in table.values()]
    if any(len(row) != 3 or not all(v in range(256) for v in row) for row in rows):
        raise ValueError(
            f"{name}: the colour table must give whole numbers 0..255 (r, g, b) for each id"
        )
    ids = np.array(list(table), np.int64)
    keys = _pack(np.array(rows, np.int64).reshape(-1, 3))
    order = np.argsort(keys)
    ids, keys = ids[order], keys[order]
    if len(keys) == 0 or (np.diff(keys) == 0).any():
        raise ValueError(
            f"{name}: the colour table is empty or gives one colour to two ids: mend it"
        )
    packed = _pack(rgb.astype(np.int64))
    at = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
    unknown = keys[at] != packed
    if unknown.any():
        found, pixels = np.unique(packed[unknown], return_counts=True)
        listed = _listed([f"({k >> 16},{k >> 8 & 255},{k & 255})" for k in found], pixels)
        are = "colour is" if len(found) == 1 else "colours are"
        raise ValueError(
            f"{name}: {len(found)} {are} not in the table: {listed}: "
            "add them, or export the mask without smoothing"
        )
    return _smallest(ids, name)[at]


def _pack(colors):
    return colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]


def _smallest(ids, name):
    """Ids as uint8 where they fit, else uint16."""
    if ids.min() < 0 or ids.max() > 65535:
        raise ValueError(
            f"{name}: ids must lie in 0..65535, not {ids.min()}..{ids.max()}: remap them"
        )
    return ids.astype(np.uint8 if ids.max() <= 255 else np.uint16)


# ---------------------------------------------------------------- writing


def write_mask(path, mask, palette=PALETTE):
    """Write (H, W) uint8 as a palette PNG (`palette=None`: gray), uint16 as a 16-bit gray PNG.

    The file appears whole or not at all (a temporary file, then os.replace) and only after its
    bytes were read back equal. `palette`: (256, 3) uint8. Raises ValueError, in one line, for
    another suffix, dtype or shape. Source: PNG specification 11.2. Lesson: 01_mask_basics.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: a mask is written as PNG, which loses nothing: name it .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: its folder does not exist: create it first")
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"{path}: a mask is (H, W), this is {mask.shape}: pass one plane of ids")
    if mask.dtype not in (np.uint8, np.uint16):
        top = mask.max()
        need = "np.uint8" if top <= 255 else "np.uint16"
        raise ValueError(
            f"{path}: dtype {mask.dtype} with ids up to {top}: check them, then mask.astype({need})"
        )
    image = Image.fromarray(np.ascontiguousarray(mask))
    if mask.dtype == np.uint8 and palette is not None:
        palette = np.asarray(palette)
        if palette.shape != (256, 3) or palette.dtype != np.uint8:
            raise ValueError(f"{path}: the palette must be (256, 3) uint8, not {palette.shape}")
        image.putpalette(palette.tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG")
    if not np.array_equal(_decode_mask(buffer.getvalue(), path), mask):
        raise ValueError(f"{path}: saving would change ids: please report this file")
    _replace(path, buffer.getvalue())


def _replace(path, data):
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _as_ids(mask, name="mask"):
    """An (H, W) array of ids as uint8 or uint16; anything else raises."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "bui":
        raise ValueError(f"{name}: expected (H, W) whole numbers, not {mask.shape} {mask.dtype}")
    if mask.dtype in (np.uint8, np.uint16):
        return mask
    return _smallest(mask.astype(np.int64), name)


def remap(mask, table, name="mask"):
    """Give each id its new id by one look-up: BINARY, PETS, VOC, CITYSCAPES, or {id: new id}.

    `mask`: (H, W) integers -> (H, W) uint8, or uint16 where a new id is over 255. Ids that are not
    in the table raise ValueError, named and counted. Lesson: 01_mask_basics.
    """
    mask = _as_ids(mask, name)
    ids, pixels = np.unique(mask, return_counts=True)
    bad = np.array([i not in table for i in ids])
    if bad.any():
        found = _listed(ids[bad], pixels[bad])
        raise ValueError(f"{name}: holds ids that the table lacks: {found}: add them to the table")
    lut = np.zeros(65536, _smallest(np.array(list(table.values())), name).dtype)
    lut[_smallest(np.array(list(table)), f"{name}: the table")] = list(table.values())
    return lut[mask]


def one_hot(mask, classes, ignore_index=IGNORE):
    """Turn ids (H, W) into one plane a class, (C, H, W) bool; void pixels are False in all planes.

    `classes`: C or names. Raises ValueError for other ids. Lesson: 01_mask_basics.
    """
    mask = _as_ids(mask)
    check_ids(mask, classes, ignore_index)
    return (mask == np.arange(_count(classes))[:, None, None]) & (mask != ignore_index)


def from_one_hot(planes, ignore_index=IGNORE):
    """Turn planes (C, H, W) of 0 and 1 into ids (H, W) uint8; a pixel in no plane becomes void.

    Raises ValueError where planes overlap or hold other values. Lesson: 01_mask_basics.
    """
    planes = np.asarray(planes)
    if planes.ndim != 3 or not 0 < len(planes) < 256 or not np.isin(planes, (0, 1)).all():
        raise ValueError(f"planes: expected (C, H, W) of 0 and 1, C < 256, not {planes.shape}")
    planes = planes.astype(bool)
    depth = planes.sum(0)
    if depth.max(initial=0) > 1:
        y, x = np.argwhere(depth > 1)[0]
        raise ValueError(
            f"planes: pixels in more than one class: {(depth > 1).sum()}, the first in row {y}, "
            f"column {x}: give each pixel to one class"
        )
    return np.where(depth == 1, planes.argmax(0), ignore_index).astype(np.uint8)


# ---------------------------------------------------------------- instances


def semantic_from_instances(instances, name="instances"):
    """Class ids (H, W) uint8 from instance ids (H, W): class * 1000 + k, k from 1; 0 is background.

    There is no void in it. Raises ValueError for ids without a class or without a k. Source: the
    Cityscapes instanceIds rule, which also allows k = 0. Lesson: 01_mask_basics.
    """
    instances = _as_ids(instances, name)
    bad = np.unique(instances[(instances != 0) & ((instances < 1000) | (instances % 1000 == 0))])
    if len(bad):
        raise ValueError(
            f"{name}: {bad[:5].tolist()} are not class * 1000 + k with k from 1: renumber them"
        )
    return (instances // 1000).astype(np.uint8)


def instances_from_semantic(mask, connectivity=8, ignore_index=IGNORE):
    """Number the connected parts of each class: (H, W) uint16, class * 1000 + k in reading order.

    `connectivity` 8 joins pixels that touch at a corner, 4 does not. Background and void become 0.
    Touching objects of one class become one instance: a class mask does not hold them apart.
    Raises ValueError for a class over 64 or over 999 parts. Lesson: 01_mask_basics.
    """
    mask = _as_ids(mask)
    instances = np.zeros(mask.shape, np.uint16)
    for c in np.unique(mask[(mask != 0) & (mask != ignore_index)]).tolist():
        parts = (mask == c).astype(np.uint8)
        _, labels = cv2.connectedComponents(parts, connectivity=connectivity)
        _, first = np.unique(labels.ravel()[labels.ravel() > 0], return_index=True)
        if c > 64 or len(first) > 999:
            raise ValueError(f"mask: class {c} with {len(first)} parts does not fit class*1000 + k")
        rank = np.zeros(len(first) + 1, np.uint16)
        rank[1 + np.argsort(first)] = c * 1000 + np.arange(1, len(first) + 1)
        instances[labels > 0] = rank[labels[labels > 0]]
    return instances


def split_instances(instances):
    """Split instance ids (H, W) into ids (N,) int64, class ids (N,) int64, masks (N, H, W) bool.

    Sorted by id, background left out; N may be 0. Raises as semantic_from_instances does.
    Lesson: 01_mask_basics.
    """
    semantic_from_instances(instances)
    instances = _as_ids(instances)
    ids = np.unique(instances[instances != 0]).astype(np.int64)
    return ids, ids // 1000, instances == ids[:, None, None]


def boxes_from_masks(masks):
    """Boxes (N, 4) int64, x0 y0 x1 y1 on pixel edges, of masks (N, H, W) bool.

    x1 and y1 are one past the last pixel, so width = x1 - x0 and a full mask gives (0, 0, W, H);
    torchvision's masks_to_boxes gives the last pixel itself. Raises ValueError for an empty mask.
    Lesson: 01_mask_basics.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3:
        raise ValueError(f"masks: expected (N, H, W) bool, not {masks.shape}: use masks[None]")
    masks = masks.astype(bool)
    empty = np.flatnonzero(~masks.any((1, 2)))
    if len(empty):
        raise ValueError(f"masks: {empty[:5].tolist()} are empty and have no box: leave them out")
    ends = []
    for line in (masks.any(1), masks.any(2)):  # (N, W) for x, (N, H) for y
        ends += [line.argmax(1), line.shape[1] - line[:, ::-1].argmax(1)]
    x0, x1, y0, y1 = ends
    return np.stack([x0, y0, x1, y1], 1).astype(np.int64).reshape(-1, 4)


# ---------------------------------------------------------------- RLE and polygons


def _as_binary(mask):
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0 or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"mask: expected (H, W) of 0 and 1, not {mask.shape}: use mask == class_id"
        )
    return mask.astype(np.uint8)


def encode_rle(mask, compressed=True):
    """Encode a binary mask (H, W) as COCO's RLE: {"size": [H, W], "counts": ...}, ready for JSON.

    Runs go down the columns (column-major) and begin with the zeros. `counts` is a str if
    `compressed`, else the list of run lengths. Source: COCO API, common/maskApi.c.
    Lesson: 01_mask_basics.
    """
    mask = _as_binary(mask)
    if compressed:
        rle = coco.encode(np.asfortranarray(mask))
        return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
    flat = mask.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=0)).tolist()  # where the value changes
    return {"size": list(mask.shape), "counts": np.diff([0, *starts, flat.size]).tolist()}


def decode_rle(rle):
    """Decode COCO's RLE, compressed (str or bytes) or not (list), to (H, W) uint8 of 0 and 1.

    Raises ValueError where the runs do not add up to H * W; pycocotools by itself would read
    beyond its memory there. Source: COCO API, common/maskApi.c. Lesson: 01_mask_basics.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    runs = counts if isinstance(counts, list | tuple) else _runs(counts)
    if min(height, width) < 1 or any(n != int(n) or n < 0 for n in runs):
        raise ValueError(f"rle: size {[height, width]} or a run is negative: encode it again")
    if sum(runs) != height * width:
        raise ValueError(
            f"rle: its runs cover {sum(runs)} pixels, its size [H, W] = {[height, width]} has "
            f"{height * width}: is the size swapped or from another picture?"
        )
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def _runs(text):
    """Run lengths of a compressed RLE: 5 bits a character, as the change from two runs before."""
    runs, value, shift = [], 0, 0
    for code in text.encode() if isinstance(text, str) else bytes(text):
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(
                f"rle: {chr(code)!r} is not a character of COCO's RLE: encode it again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last character of this run
            value -= (bits & 16) << (shift - 4)  # its sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("rle: its text ends in the middle of a run: copy it whole")
    return runs


def to_polygons(mask):
    """Trace a binary mask (H, W) into rings on pixel corners, each (N, 2) int64 of x, y.

    Outer rings run clockwise as seen, holes against it; the first corner is not repeated; parts
    that touch only at a corner get rings of their own. `from_polygons` gives the very mask back.
    An empty mask gives []. Lesson: 01_mask_basics.
    """
    inside = np.pad(_as_binary(mask), 1).astype(bool)
    above, below = inside[:-1, 1:-1], inside[1:, 1:-1]  # of each horizontal edge
    left, right = inside[1:-1, :-1], inside[1:-1, 1:]  # of each vertical edge
    steps = []  # x, y -> x, y, the mask always on the right hand
    for edges, start, end in (
        (below & ~above, (0, 0), (1, 0)),
        (above & ~below, (1, 0), (0, 0)),
        (left & ~right, (0, 0), (0, 1)),
        (right & ~left, (0, 1), (0, 0)),
    ):
        corner = np.argwhere(edges)[:, ::-1]
        steps.append(np.hstack([corner + start, corner + end]))
    steps = np.concatenate(steps)
    exits = {}
    for x0, y0, x1, y1 in steps[np.lexsort((steps[:, 0], steps[:, 1]))].tolist():
        exits.setdefault((x0, y0), []).append((x1, y1))
    return [_walk(start, exits) for start in exits if exits[start]]


def _walk(start, exits):
    """Follow the edges from a ring's first corner in reading order until back, taking them out."""
    ring, here, step = [], start, None
    while not ring or here != start:
        nexts = exits[here]
        turn = (here[0] - step[1], here[1] + step[0]) if step else None  # right: same pixel
        there = turn if turn in nexts else nexts[0]
        nexts.remove(there)
        if (there[0] - here[0], there[1] - here[1]) != step:
            ring.append(here)
        step = (there[0] - here[0], there[1] - here[1])
        here = there
    return np.array(ring, np.int64)


def _as_rings(rings):
    rings = [np.asarray(ring, np.float64) for ring in rings]
    for k, ring in enumerate(rings):
        if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
            raise ValueError(
                f"rings[{k}]: expected (N, 2) finite x, y with N >= 3, not {ring.shape}: "
                "COCO's flat lists need np.reshape(ring, (-1, 2))"
            )
    return rings


def from_polygons(rings, height, width):
    """Fill rings of x, y (pixel edges: 0..width, 0..height) into a mask (H, W) uint8 of 0 and 1.

    Even-odd rule at pixel centres: a pixel is set if its centre lies inside an odd number of rings,
    so holes, islands in holes and several parts need no marks. A centre on a left or top edge is
    in. Parts outside the picture are cut off. Raises ValueError for a bad ring.
    Lesson: 01_mask_basics.
    """
    flips = np.zeros((height, width + 1), bool)  # the extra column takes crossings beyond the right
    for ring in _as_rings(rings):
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            # Rows whose centre y + 0.5 lies in [low, high): each crosses this edge once.
            low, high = np.ceil(np.clip([min(y0, y1) - 0.5, max(y0, y1) - 0.5], 0, height))
            rows = np.arange(int(low), int(high))
            if len(rows):
                y = rows + 0.5  # one division, at the end: exact where corners lie on a grid
                x = (x0 * (y1 - y) + x1 * (y - y0)) / (y1 - y0)
                flips[rows, np.ceil(x - 0.5).clip(0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(flips, axis=1)[:, :-1].astype(np.uint8)


def rasterize_coco(rings, height, width):
    """Fill rings as COCO's own rasteriser does, (H, W) uint8 of 0 and 1, to compare with ours.

    It joins the rings (a hole is filled) and rounds edges its own way, so even a traced mask may
    come back changed by a pixel along its edge. Source: COCO API, rleFrPoly.
    Lesson: 01_mask_basics.
    """
    flat = [ring.ravel().tolist() for ring in _as_rings(rings)]
    if not flat:
        return np.zeros((height, width), np.uint8)
    return coco.decode(coco.merge(coco.frPyObjects(flat, height, width)))


# ---------------------------------------------------------------- resizing and colours


def resize_mask(mask, size):
    """Resize (H, W) of any dtype to `size` (h, w), rows first: each new pixel's centre picks an id.

    No id is invented and nothing shifts: row i reads source row floor((i + 1/2) H / h), in whole
    numbers; OpenCV's INTER_NEAREST drops the half. Where a centre falls between two source pixels
    (even shrinking) the right or lower one is read; everywhere else flips commute with resizing.
    Raises ValueError for other shapes. Lesson: 01_mask_basics.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0 or len(size) != 2 or min(size) < 1:
        raise ValueError(
            f"mask: expected (H, W) and a size (h, w) over 0, not {mask.shape}, {size}"
        )
    rows, cols = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], cols]


def colorize(mask, palette=PALETTE):
    """Paint ids (H, W) with a palette (N, 3) uint8, one look-up: (H, W, 3) uint8 RGB.

    Void (255) has a colour of its own. Raises ValueError for an id beyond the palette.
    Lesson: 01_mask_basics.
    """
    mask, palette = _as_ids(mask), np.asarray(palette)
    if palette.ndim != 2 or palette.shape[1] != 3 or palette.dtype != np.uint8:
        raise ValueError(f"palette: expected (N, 3) uint8, not {palette.shape} {palette.dtype}")
    if mask.max() >= len(palette):
        raise ValueError(
            f"mask: id {mask.max()} has no colour: the palette ends at {len(palette) - 1}"
        )
    return palette[mask]


def color_matrix(source="BGR", target="RGB"):
    """The 3x3 matrix that reorders channels: target = matrix @ source, for every pixel.

    Raises ValueError if the two do not name the same three channels. Lesson: 01_mask_basics.
    """
    if len(set(source)) != 3 or sorted(source) != sorted(target):
        raise ValueError(
            f"{source!r} and {target!r} name different channels: give the same three, as in 'BGR'"
        )
    return np.array([[float(s == t) for s in source] for t in target])


def apply_color_matrix(image, matrix):
    """Multiply each pixel of (H, W, 3) uint8 by a (3, 3) matrix; rounded and clipped to 0..255.

    Raises ValueError for other shapes and dtypes. Lesson: 01_mask_basics.
    """
    image, matrix = np.asarray(image), np.asarray(matrix, np.float64)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or matrix.shape != (3, 3):
        raise ValueError(
            f"image: expected (H, W, 3) uint8 and a (3, 3) matrix, not {image.shape} {image.dtype} "
            f"and {matrix.shape}"
        )
    return np.rint(image @ matrix.T).clip(0, 255).astype(np.uint8)

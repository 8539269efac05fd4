"""Masks: read, write, convert, resize and colour them without ever changing an id.

A mask is an (H, W) array of class ids, uint8 (or uint16 for instance ids); 255 is void. Errors are
one line that names the file, or the array's name, and the cure. Built in lesson 01_mask_basics.
"""

import os
import uuid
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IGNORE = 255
CLASSES = ("background", "person", "car")

# Class maps for `remap`: {id in the file: id to train on}.
BINARY = {0: 0, 255: 1}  # a drawing program's black and white
# Oxford-IIIT Pet trimaps, annotations/README: 1 foreground, 2 background, 3 not classified (border).
PETS = {1: 1, 2: 0, 3: IGNORE}
# PASCAL VOC 2012 development kit, section 3.4: 0 background, 1..20 objects, 255 void.
VOC = {**{k: k for k in range(21)}, 255: IGNORE}
# Cityscapes labelIds -> trainIds, cityscapesScripts helpers/labels.py: 19 classes, the rest void.
_CITYSCAPES_19 = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES = {k: IGNORE for k in range(34)} | {k: i for i, k in enumerate(_CITYSCAPES_19)}


def _make_palette():
    """256 different colours: Okabe and Ito's first, then always the colour farthest from all so far.

    "Far" counts lightness and blue-yellow twice, which red-green colour-blind readers keep.
    """
    colors = np.zeros((256, 3), np.int64)
    colors[[0, 1, 2, 255]] = (0, 0, 0), (230, 159, 0), (0, 114, 178), (224, 224, 224)
    colors[3:8] = (0, 158, 115), (213, 94, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66)
    levels = np.arange(0, 256, 17)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    # Whole numbers only, so that every machine makes the same palette.
    features = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [2, 4, 1], [-2, -2, 4]]).T

    def distance(color):
        return (((grid - color) @ features) ** 2).sum(1)

    nearest = np.min([distance(c) for c in colors[[*range(8), 255]]], axis=0)
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
    """A loaded PIL image with every checksum verified, and whether its tiles cover it."""
    try:
        Image.open(BytesIO(data)).verify()  # PNG: chunk CRCs, which load() alone lets pass
        image = Image.open(BytesIO(data))
        frames = getattr(image, "n_frames", 1)
        whole = bool(image.tile) and tuple(image.tile[0][1]) in {(0, 0, *image.size), (0, 0)}
        image.load()
    except UnidentifiedImageError:
        raise ValueError(
            f"{path}: is not an image (it begins with {data[:12]!r}): download or export it again"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path}: claims to be larger than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: "
            "cut it into tiles, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from None
    except Exception as error:  # noqa: BLE001 - PIL raises OSError, SyntaxError, zlib.error ...
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: is damaged ({reason}): copy or export it again") from None
    return image, frames, whole


def read_image(path):
    """Read a picture as (H, W, 3) uint8 RGB, upright (the EXIF orientation is carried out).

    Gray and palette pictures become RGB. Raises FileNotFoundError or ValueError, in one line, for a
    file that is missing, damaged, animated, deeper than 8 bits, or really transparent. Source: CIPA
    DC-008 (EXIF), tag 0x0112 Orientation. Lesson: 01_mask_basics.
    """
    path = Path(path)
    data = _bytes(path)
    image, frames, _ = _open(data, path)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG with a second, smaller picture
        raise ValueError(f"{path}: holds {frames} frames: export the one you want as PNG or JPEG")
    if image.mode not in {"1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr"}:
        raise ValueError(
            f"{path}: its pixels are {image.mode!r}, not 8-bit: scale it to 0..255 and save as PNG"
        )
    if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
        raise ValueError(f"{path}: has transparent pixels: flatten it onto a background first")
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def read_mask(path, classes=None, ignore_index=None, colors=None):
    """Read a mask as (H, W) uint8 (uint16 for a 16-bit file), exactly the ids that are stored.

    A palette file gives its indices, never its colours; gray files of 1, 2, 4, 8 and 16 bits give
    the stored numbers; EXIF orientation is carried out. PNG, and 8- or 16-bit TIFF, BMP and GIF
    without loss. `colors` ({id: (r, g, b)} or an (N, 3) table) says that the ids are coded as
    colours. `classes` (a number or names) refuses all other ids; 255 too, unless
    `ignore_index=255` says that it is void. The array is C-contiguous and writable.

    Raises FileNotFoundError or ValueError, in one line, for all that could change an id: JPEG and
    other lossy formats, alpha, RGB without `colors`, floats, several frames, damage, wrong suffix.
    Source: PNG specification (3rd ed.) 11.2; TIFF 6.0. Lesson: 01_mask_basics.
    """
    path = Path(path)
    mask = _decode_mask(_bytes(path), path, colors)
    if classes is not None:
        check_ids(mask, classes, ignore_index, path)
    return mask


_SUFFIXES = {
    "PNG": {".png"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
}


def _decode_mask(data, path, colors=None):
    image, frames, whole = _open(data, path)
    kind = image.format
    if kind not in _SUFFIXES:
        raise ValueError(
            f"{path}: is {kind} inside, which may change ids: export the mask again, as PNG"
        )
    if path.suffix.lower() not in _SUFFIXES[kind]:
        raise ValueError(f"{path}: is {kind} inside: rename it to {min(_SUFFIXES[kind])}")
    if frames > 1 or not whole:
        raise ValueError(f"{path}: holds {frames} frames or a part: export one whole mask as PNG")
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
        return decode_rgb(np.array(ImageOps.exif_transpose(image).convert("RGB")), colors, path)
    ids = np.array(ImageOps.exif_transpose(image))
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
        depth = max(image.tag_v2.get(258, (1,)))
        lossless = {"raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"}
        if image.info.get("compression") not in lossless:
            raise ValueError(f"{path}: its TIFF compression may lose ids: save it again as PNG")
        if depth not in {8, 16} or image.tag_v2.get(262) == 0:  # 0: white is zero, PIL inverts
            raise ValueError(f"{path}: is a {depth}-bit or inverted TIFF: save it again as PNG")
    elif kind == "BMP" and (int.from_bytes(data[28:30], "little") not in {8, 24} or mode == "1"):
        raise ValueError(f"{path}: is not an 8- or 24-bit BMP: save it again as PNG")
    if mode not in good:
        raise ValueError(
            f"{path}: its pixels are {mode!r}, not whole ids: save the mask as 8- or 16-bit PNG"
        )
    return depth


def check_ids(mask, classes, ignore_index=None, name="mask"):
    """Refuse any id of a mask that is neither one of `classes` nor `ignore_index`.

    `mask`: (H, W) integers; `classes`: a number C (ids 0..C-1) or a sequence of names. Raises
    ValueError naming the ids and how many pixels hold them. Lesson: 01_mask_basics.
    """
    count = classes if isinstance(classes, int) else len(classes)
    ids, pixels = np.unique(mask, return_counts=True)
    bad = ~(((ids >= 0) & (ids < count)) | (ids == ignore_index))
    if not bad.any():
        return
    found = [f"{i} in {n} pixels" for i, n in zip(ids[bad], pixels[bad], strict=True)]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    cure = "remap the mask, or raise classes"
    if 255 in ids[bad]:
        cure = "is 255 a class (remap it) or void (pass ignore_index=255)?"
    raise ValueError(
        f"{name}: holds ids outside 0..{count - 1}: {', '.join(found[:5])}{more}: {cure}"
    )


# ---------------------------------------------------------------- ids, colours, class maps


def decode_rgb(rgb, colors, name="mask"):
    """Turn an RGB-coded mask (H, W, 3) uint8 into ids (H, W), through a strict colour table.

    `colors`: {id: (r, g, b)} or an (N, 3) table whose row is the id. The result is uint8, or uint16
    where the table has ids over 255. A colour that is not in the table raises ValueError, which
    names it and counts its pixels; so does a colour that stands for two ids. Lesson: 01_mask_basics.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"{name}: expected (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    table = dict(colors) if hasattr(colors, "keys") else dict(enumerate(np.asarray(colors)))
    ids = np.array(list(table), np.int64)
    keys = _pack(np.array([table[i] for i in table], np.int64).reshape(-1, 3), name)
    order = np.argsort(keys)
    ids, keys = ids[order], keys[order]
    if len(keys) == 0 or (np.diff(keys) == 0).any():
        raise ValueError(
            f"{name}: the colour table is empty or gives one colour to two ids: mend it"
        )
    packed = _pack(rgb.astype(np.int64), name)
    at = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
    unknown = keys[at] != packed
    if unknown.any():
        found, pixels = np.unique(packed[unknown], return_counts=True)
        listed = [
            f"({k >> 16},{k >> 8 & 255},{k & 255}) in {n} pixels"
            for k, n in zip(found[:5], pixels[:5], strict=True)
        ]
        are = "colour is" if len(found) == 1 else "colours are"
        raise ValueError(
            f"{name}: {len(found)} {are} not in the table: {', '.join(listed)}"
            f"{', ...' if len(found) > 5 else ''}: add them, or export without smoothing"
        )
    return _smallest(ids)[at]


def _pack(colors, name):
    if colors.size and (colors.min() < 0 or colors.max() > 255):
        raise ValueError(
            f"{name}: the colour table has values outside 0..255: give (r, g, b) bytes"
        )
    return colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]


def _smallest(ids):
    """Ids as uint8 where they fit, else uint16."""
    if ids.min() < 0 or ids.max() > 65535:
        raise ValueError(f"ids must lie in 0..65535, not {ids.min()}..{ids.max()}")
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

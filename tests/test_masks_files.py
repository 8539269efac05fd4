"""Mask files: every id as stored, or one line that says why not."""

import os
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_png import (
    GRAY,
    GRAY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    chunk,
    decode,
    exif,
    header,
    png,
    rows,
)

from segutils import masks

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 3, (9, 13))
SHUFFLED = RNG.permutation(256 * 3).astype(np.uint8).reshape(256, 3)  # colours that are no ids
COLORS = {0: (0, 0, 0), 1: (230, 159, 0), 2: (0, 114, 178)}
CODED = np.array([COLORS[i] for i in range(3)])[IDS]


def written(folder, data, name="mask.png"):
    path = folder / name
    path.write_bytes(data)
    return path


def pil(array, kind, **options):
    buffer = BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(data, width, height, bits, photometric=1, sample_format=1, order=">", orientation=1):
    """An uncompressed one-strip TIFF by hand."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (274, 3, orientation), (277, 3, 1), (278, 4, height), (279, 4, len(data))]
    tags += [(339, 3, sample_format)]
    data += b"\0" * (len(data) % 2)
    body = struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        value = struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0][: 5 - kind]))
        body += struct.pack(order + "HHI", tag, kind, 1) + value
    start = {">": b"MM", "<": b"II"}[order] + struct.pack(order + "HI", 42, 8 + len(data))
    return start + data + body + b"\0\0\0\0"


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(
    ("color", "depth"), [(GRAY, d) for d in (1, 2, 4, 8, 16)] + [(PALETTE, d) for d in (1, 2, 4, 8)]
)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 13), (16, 17)])
def test_every_depth_gives_the_stored_numbers(tmp_path, color, depth, interlace, shape):
    ids = RNG.integers(0, 2**depth, shape)
    ids[-1, -1] = 2**depth - 1
    palette = SHUFFLED[: 2**depth] if color == PALETTE else None
    data = png(ids, depth, color, palette, interlace=interlace)
    read = masks.read_mask(written(tmp_path, data))
    assert read.tolist() == ids.tolist()
    assert read.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert read.flags.c_contiguous and read.flags.writeable


def test_a_palette_is_read_as_indices_and_not_as_colours(tmp_path):
    data = png(IDS, 8, PALETTE, SHUFFLED)
    path = written(tmp_path, data)
    assert masks.read_mask(path).tolist() == IDS.tolist()
    assert not np.array_equal(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), IDS)  # the trap


EXTRA = {
    "gamma": (b"gAMA", struct.pack(">I", 45455)),
    "srgb": (b"sRGB", b"\0"),
    "chroma": (b"cHRM", struct.pack(">8I", *range(31270, 31278))),
    "profile": (b"iCCP", b"x\0\0" + zlib.compress(b"no real profile")),
    "significant bits": (b"sBIT", b"\2"),
    "density": (b"pHYs", struct.pack(">IIB", 2835, 1000, 1)),
    "background": (b"bKGD", b"\0\1"),
    "text": (b"tEXt", b"Comment\0255 is void"),
    "time": (b"tIME", struct.pack(">HBBBBB", 2020, 1, 1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", EXTRA)
def test_chunks_about_colour_never_touch_an_id(tmp_path, name):
    data = png(IDS, before=[EXTRA[name]])
    assert masks.read_mask(written(tmp_path, data)).tolist() == IDS.tolist()


def test_split_data_upper_case_and_what_follows_the_end_are_fine(tmp_path):
    data = png(IDS, splits=5) + b"what a camera appended"
    assert masks.read_mask(written(tmp_path, data, "MASK.PNG")).tolist() == IDS.tolist()


def test_an_index_beyond_a_short_palette_is_still_the_id(tmp_path):
    data = png(np.array([[0, 2, 255]]), 8, PALETTE, SHUFFLED[:3])
    assert masks.read_mask(written(tmp_path, data)).tolist() == [[0, 2, 255]]


@pytest.mark.parametrize("order", "<>")
def test_tiff_by_hand(tmp_path, order):
    ids = np.array([[0, 1, 300], [65535, 2, 3]])
    data = tiff(struct.pack(order + "6H", *ids.ravel()), 3, 2, 16, order=order)
    read = masks.read_mask(written(tmp_path, data, "mask.tif"))
    assert read.tolist() == ids.tolist() and read.dtype == np.uint16


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_tiff(tmp_path, compression, dtype):
    ids = RNG.integers(0, np.iinfo(dtype).max, (300, 200)).astype(dtype)
    data = pil(ids, "TIFF", compression=compression)
    assert np.array_equal(masks.read_mask(written(tmp_path, data, "mask.tiff")), ids)


def test_bmp(tmp_path):
    ids = IDS.astype(np.uint8)
    assert np.array_equal(masks.read_mask(written(tmp_path, pil(ids, "BMP"), "m.bmp")), ids)


@pytest.mark.parametrize("color", [RGB, PALETTE, GRAY])
def test_coded_colours_come_back_as_ids(tmp_path, color):
    palette = np.array([COLORS[2], COLORS[0], COLORS[1]])  # colour k does not stand at index k
    if color == RGB:
        data, table = png(CODED, 8, RGB), COLORS
    elif color == PALETTE:
        data, table = png((IDS + 1) % 3, 8, PALETTE, palette), COLORS
    else:
        data, table = png(IDS * 85, 8, GRAY), {k: (85 * k,) * 3 for k in range(3)}
    assert masks.read_mask(written(tmp_path, data), colors=table).tolist() == IDS.tolist()


# EXIF 2.32, tag 0x0112: the visual side of the 0th row and of the 0th column.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright(stored, orientation):
    """Carry each stored pixel to the place that the EXIF table names."""
    height, width = stored.shape[:2]
    row_side, column_side = SIDES[orientation]
    swap = row_side in {"left", "right"}
    out = np.zeros(((width, height) if swap else (height, width)) + stored.shape[2:], stored.dtype)
    for r in range(height):
        for c in range(width):
            from_row = r if row_side in {"top", "left"} else height - 1 - r
            from_column = c if column_side in {"top", "left"} else width - 1 - c
            y, x = (from_column, from_row) if swap else (from_row, from_column)
            out[y, x] = stored[r, c]
    return out


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_alike(tmp_path, orientation):
    turned = upright(IDS, orientation).tolist()
    chunks = [(b"eXIf", exif(orientation))]
    kinds = {
        "gray": png(IDS, before=chunks),
        "late": png(IDS, after=chunks),
        "two_bits": png(IDS, 2, before=chunks),
        "palette": png(IDS, 8, PALETTE, SHUFFLED, before=chunks),
        "deep": png(IDS, 16, before=chunks),
    }
    for name, data in kinds.items():
        assert masks.read_mask(written(tmp_path, data, f"{name}.png")).tolist() == turned, name
    coded = written(tmp_path, png(CODED, 8, RGB, before=chunks), "coded.png")
    assert masks.read_mask(coded, colors=COLORS).tolist() == turned
    assert np.array_equal(masks.read_image(coded), upright(CODED, orientation))
    tif = tiff(bytes(IDS.astype(np.uint8)), 13, 9, 8, orientation=orientation)
    assert masks.read_mask(written(tmp_path, tif, "mask.tif")).tolist() == turned
    photo = np.full((16, 24, 3), 255, np.uint8)
    photo[:8, :8] = 0  # marks the corner; blocks of eight survive JPEG
    tag = Image.Exif()
    tag[0x112] = orientation
    jpeg = written(tmp_path, pil(photo, "JPEG", exif=tag, quality=95), "photo.jpg")
    expected = upright(photo, orientation)
    assert np.abs(masks.read_image(jpeg).astype(int) - expected).max() < 30


def test_read_image_gives_rgb(tmp_path):
    rgb = RNG.integers(0, 256, (5, 7, 3))
    cases = [
        (png(rgb, 8, RGB), rgb),
        (png(rgb[..., 0], 8, GRAY), np.repeat(rgb[..., :1], 3, 2)),
        (png(IDS, 8, PALETTE, SHUFFLED), SHUFFLED[IDS]),
        (png(np.dstack([rgb, np.full((5, 7), 255)]), 8, RGBA), rgb),
    ]
    for data, expected in cases:
        read = masks.read_image(written(tmp_path, data))
        assert np.array_equal(read, expected)
        assert read.dtype == np.uint8 and read.flags.writeable and read.flags.c_contiguous


# ---------------------------------------------------------------- what is refused

GOOD = png(IDS, 8, PALETTE, SHUFFLED)
RAW = rows(IDS, 8)
IDAT, PLTE = GOOD.index(b"IDAT"), GOOD.index(b"PLTE")
BYTES = IDS.astype(np.uint8)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def built(*parts, raw=RAW, before=(), end=True):
    """A PNG of a header and of one IDAT of any bytes."""
    body = SIGNATURE + header(*parts) + b"".join(chunk(*c) for c in before)
    body += b"" if raw is None else chunk(b"IDAT", raw)
    return body + (chunk(b"IEND", b"") if end else b"")


def packed(raw=RAW):
    return zlib.compress(raw)


def alpha(samples, depth=8):
    pixels = np.concatenate([CODED[..., : samples - 1], np.full((9, 13, 1), 2**depth - 1)], 2)
    return png(pixels, depth, RGBA if samples == 4 else GRAY_ALPHA)


def frames(kind, **options):
    extra = [Image.fromarray(BYTES + k) for k in (1, 2)]
    return pil(BYTES, kind, save_all=True, append_images=extra, **options)


def ppm(maximum):
    return f"P5 13 9 {maximum}\n".encode() + bytes(BYTES)


# Name: (bytes, words that the line must hold[, file name[, arguments of read_mask]])
MALFORMED = {
    # no picture at all
    "empty": (b"", "is empty"),
    "zeros": (b"\0" * 100, "not a readable image"),
    "text": (b"0 0 1 1 2\n", "not a readable image"),
    "html_of_a_failed_download": (b"<!doctype html><title>404", "<!doctype"),
    "git_lfs_pointer": (b"version https://git-lfs.github.com/spec/v1\n", "version h"),
    "json": (b'{"shapes": []}', "not a readable image"),
    "npy": (b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}", "not a readable image"),
    "zip": (b"PK\x03\x04" + b"\0" * 40, "not a readable image"),
    "signature_only": (SIGNATURE, "again"),
    "random": (bytes(RNG.integers(0, 256, 500, np.uint8)), "not a readable image"),
    # cut off
    "cut_in_signature": (GOOD[:5], "not a readable image"),
    "cut_in_header": (GOOD[:22], "again"),
    "cut_after_header": (GOOD[:33], "again"),
    "cut_in_palette": (GOOD[: PLTE + 50], "damaged"),
    "cut_in_pixels": (GOOD[: IDAT + 20], "damaged"),
    "cut_before_end": (GOOD[:-12], "damaged"),
    "cut_in_end": (GOOD[:-2], "damaged"),
    "tiff_cut": (pil(BYTES, "TIFF")[:60], "again", "mask.tif"),
    "tiff_pixels_missing": (tiff(bytes(BYTES)[:50], 13, 9, 8), "damaged", "mask.tif"),
    "bmp_cut": (pil(BYTES, "BMP")[:-20], "damaged", "mask.bmp"),
    # damaged
    "pixel_bit_flipped": (flipped(GOOD, IDAT + 12), "damaged"),
    "header_bit_flipped": (flipped(GOOD, 19), "again"),
    "palette_bit_flipped": (flipped(GOOD, PLTE + 9), "again"),
    "line_ends_converted": (GOOD.replace(b"\r\n", b"\n"), "not a readable image"),
    "zlib_checksum": (built(13, 9, 8, 0, raw=packed()[:-1] + b"\0"), "damaged"),
    "not_zlib": (built(13, 9, 8, 0, raw=RAW), "damaged"),
    "rows_missing": (built(13, 9, 8, 0, raw=packed(RAW[:-28])), "fewer pixels"),
    "one_byte_missing": (built(13, 9, 8, 0, raw=packed(RAW[:-1])), "fewer pixels"),
    "rows_too_many": (built(13, 9, 8, 0, raw=packed(RAW + RAW)), "more pixels"),
    "said_interlaced": (built(13, 9, 8, 0, 0, 0, 1, raw=packed()), "pixels"),
    "no_pixels": (built(13, 9, 8, 0, raw=None), "damaged"),
    "empty_pixels": (built(13, 9, 8, 0, raw=b""), "fewer pixels"),
    "no_end": (built(13, 9, 8, 0, raw=packed(), end=False), "IEND"),
    "two_headers": (
        built(13, 9, 8, 0, raw=packed(), before=[(b"IHDR", header(4, 4, 8, 0)[8:21])]),
        "IHDR",
    ),
    "no_palette": (built(13, 9, 8, 3, raw=packed()), "palette is missing"),
    "long_palette": (built(13, 9, 8, 3, raw=packed(), before=[(b"PLTE", bytes(771))]), "damaged"),
    "unknown_filter": (built(13, 9, 8, 0, raw=packed(b"\x09" + RAW[1:])), "damaged"),
    "unknown_interlace": (built(13, 9, 8, 0, 0, 0, 2, raw=packed()), "damaged"),
    "no_width": (built(0, 9, 8, 0, raw=packed()), "again"),
    "no_height": (built(13, 0, 8, 0, raw=packed()), "again"),
    "three_bits": (built(13, 9, 3, 0, raw=packed()), "again"),
    "palette_of_16_bits": (built(13, 9, 16, 3, raw=packed()), "again"),
    "colour_type_1": (built(13, 9, 8, 1, raw=packed()), "again"),
    "colour_type_5": (built(13, 9, 8, 5, raw=packed()), "again"),
    "claims_900_megapixels": (built(30000, 30000, 8, 0, raw=packed()), "tiles"),
    "claims_more_than_it_holds": (built(300, 300, 8, 0, raw=packed()), "fewer pixels"),
    "long_part": (GOOD[:33] + b"\xff\xff\xff\xff" + GOOD[37:], "damaged"),
    # alpha
    "rgba": (alpha(4), "without alpha"),
    "gray_alpha": (alpha(2), "without alpha"),
    "rgba_16": (alpha(4, 16), "without alpha"),
    "gray_alpha_16": (alpha(2, 16), "without alpha"),
    "palette_alpha": (png(IDS, 8, PALETTE, SHUFFLED, [(b"tRNS", b"\0\xff")]), "without alpha"),
    "gray_key": (png(IDS, before=[(b"tRNS", b"\0\1")]), "without alpha"),
    "rgb_key": (png(CODED, 8, RGB, before=[(b"tRNS", bytes(6))]), "without alpha"),
    "rgba_with_colors": (alpha(4), "without alpha", "mask.png", {"colors": COLORS}),
    # colours
    "rgb": (png(CODED, 8, RGB), "pass colors="),
    "rgb_16": (png(CODED, 16, RGB), "pass colors="),
    "rgb_16_with_colors": (png(CODED, 16, RGB), "8 bits", "mask.png", {"colors": COLORS}),
    "gray_16_with_colors": (png(IDS, 16), "8 bits", "mask.png", {"colors": COLORS}),
    "colour_unknown": (
        png(CODED, 8, RGB),
        "1 colour is",
        "mask.png",
        {"colors": {0: (0, 0, 0)} | {1: COLORS[1]}},
    ),
    "colours_smoothed": (
        png(cv2.GaussianBlur(CODED.astype(np.uint8), (3, 3), 0), 8, RGB),
        "more: add them, or export the mask without smoothing",
        "mask.png",
        {"colors": COLORS},
    ),
    "ids_where_colours_are_said": (png(IDS), "(1,1,1)", "mask.png", {"colors": COLORS}),
    "rgb_bmp": (pil(CODED.astype(np.uint8), "BMP"), "pass colors=", "mask.bmp"),
    "rgb_tiff": (pil(CODED.astype(np.uint8), "TIFF"), "pass colors=", "mask.tif"),
    # formats that lose or renumber ids
    "jpeg": (pil(BYTES, "JPEG"), "JPEG inside", "mask.jpg"),
    "jpeg_named_png": (pil(BYTES, "JPEG"), "JPEG inside"),
    "jpeg_coded_named_png": (
        pil(CODED.astype(np.uint8), "JPEG"),
        "JPEG",
        "mask.png",
        {"colors": COLORS},
    ),
    "webp_lossy": (pil(BYTES, "WEBP", quality=80), "WEBP inside", "mask.webp"),
    "webp_lossless": (pil(BYTES, "WEBP", lossless=True), "WEBP inside", "mask.webp"),
    "webp_named_png": (pil(BYTES, "WEBP"), "WEBP inside"),
    "gif": (pil(BYTES * 100, "GIF"), "GIF inside", "mask.gif"),
    "gif_animated": (frames("GIF"), "GIF inside", "mask.gif"),
    "pgm_scaled": (ppm(2), "PPM inside", "mask.pgm"),
    "pgm": (ppm(255), "PPM inside", "mask.pgm"),
    "ico": (pil(Image.new("L", (16, 16)), "ICO"), "ICO inside", "mask.ico"),
    "tga": (pil(BYTES, "TGA"), "TGA inside", "mask.tga"),
    "tiff_jpeg": (pil(BYTES, "TIFF", compression="jpeg"), "compression", "mask.tif"),
    # pixels that are not ids
    "tiff_float": (pil(BYTES.astype(np.float32), "TIFF"), "TIFF of 32 bits", "mask.tif"),
    "tiff_int32": (pil(BYTES.astype(np.int32), "TIFF"), "TIFF of 32 bits", "mask.tif"),
    "tiff_int16": (tiff(bytes(2 * 13 * 9), 13, 9, 16, sample_format=2), "signed", "mask.tif"),
    "tiff_int8": (tiff(bytes(BYTES), 13, 9, 8, sample_format=2), "signed", "mask.tif"),
    "tiff_white_is_zero": (tiff(bytes(BYTES), 13, 9, 8, photometric=0), "inverted", "mask.tif"),
    "tiff_1_bit": (tiff(bytes(18), 13, 9, 1), "TIFF of 1 bits", "mask.tif"),
    "tiff_4_bits": (tiff(bytes(63), 13, 9, 4), "TIFF of 4 bits", "mask.tif"),
    "tiff_cmyk": (pil(Image.new("CMYK", (4, 4)), "TIFF"), "inverted", "mask.tif"),
    "tiff_rgba": (pil(Image.new("RGBA", (4, 4)), "TIFF"), "without alpha", "mask.tif"),
    "tiff_pages": (frames("TIFF"), "3 frames", "mask.tif"),
    "png_animated": (frames("PNG"), "3 frames"),
    "bmp_1_bit": (pil(Image.new("1", (13, 9)), "BMP"), "24-bit BMP", "mask.bmp"),
    "bmp_32_bits": (pil(Image.new("RGBA", (13, 9)), "BMP"), "BMP", "mask.bmp"),
    # names that would mislead the next tool
    "png_named_jpg": (GOOD, "rename it to .png", "mask.jpg"),
    "png_named_tif": (GOOD, "rename it to .png", "mask.tif"),
    "png_without_suffix": (GOOD, "rename it to .png", "mask"),
    "bmp_named_png": (pil(BYTES, "BMP"), "rename it to .bmp"),
    # ids outside the classes
    "class_beyond": (GOOD, "2 in ", "mask.png", {"classes": 2}),
    "void_not_said": (png(IDS * 127 + (IDS == 2)), "void (pass", "mask.png", {"classes": 3}),
    "names_too_few": (GOOD, "outside 0..1", "mask.png", {"classes": ("road", "car")}),
    "wrong_void": (
        png(np.where(IDS == 2, 254, IDS)),
        "254 in ",
        "mask.png",
        {"classes": 2, "ignore_index": 255},
    ),
}


def refused(function, *args, **kwargs):
    with pytest.raises((ValueError, OSError)) as caught:
        function(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_mask_is_refused_in_one_line(tmp_path, case):
    data, words, *rest = MALFORMED[case]
    name = rest[0] if rest else "mask.png"
    arguments = rest[1] if len(rest) > 1 else {}
    path = written(tmp_path, data, name)
    line = refused(masks.read_mask, path, **arguments)
    assert "\n" not in line and line.startswith(f"{path}: ") and words in line
    assert len(line.removeprefix(f"{path}: ")) < 250
    assert ":" in line.removeprefix(f"{path}: ")  # what is wrong: what to do


def test_there_are_at_least_sixty_of_them():
    assert len(MALFORMED) >= 60
    assert len({case[0] for case in MALFORMED.values()}) >= 60


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for read in (masks.read_mask, masks.read_image):
        assert "no such file" in refused(read, tmp_path / "absent.png")
        assert "is a folder" in refused(read, tmp_path)


def test_no_flipped_bit_of_a_png_passes_as_another_mask(tmp_path):
    data = png(IDS, 8, PALETTE, SHUFFLED[:3])
    for at in range(len(data)):
        path = written(tmp_path, flipped(data, at))
        try:
            read = masks.read_mask(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            raise AssertionError(f"byte {at} was changed and read as {read.shape}")


def test_no_shortened_png_passes(tmp_path):
    for length in range(len(GOOD)):
        path = written(tmp_path, GOOD[:length])
        assert refused(masks.read_mask, path).startswith(f"{path}: ")


MALFORMED_IMAGES = {
    "empty": (b"", "is empty"),
    "text": (b"no image", "not a readable image"),
    "cut": (pil(np.zeros((64, 64, 3), np.uint8), "JPEG")[:-200], "damaged"),
    "transparent": (png(np.zeros((2, 2, 4), int), 8, RGBA), "flatten it"),
    "gray_16": (png(IDS, 16), "not 8-bit"),
    "float": (pil(BYTES.astype(np.float32), "TIFF"), "not 8-bit"),
    "animated": (frames("GIF"), "3 frames"),
    "rows_missing": (built(13, 9, 8, 0, raw=packed(RAW[:-28])), "fewer pixels"),
}


@pytest.mark.parametrize("case", MALFORMED_IMAGES)
def test_a_malformed_image_is_refused_in_one_line(tmp_path, case):
    data, words = MALFORMED_IMAGES[case]
    path = written(tmp_path, data, "photo.jpg")
    line = refused(masks.read_image, path)
    assert line.startswith(f"{path}: ") and "\n" not in line and words in line


def test_unknown_colours_are_named_and_counted(tmp_path):
    pixels = np.zeros((4, 5, 3), int)
    pixels[1:, 1:, :] = 1, 2, 3
    pixels[0, 0] = 4, 5, 6
    path = written(tmp_path, png(pixels, 8, RGB))
    assert refused(masks.read_mask, path, colors={0: (0, 0, 0)}) == (
        f"{path}: 2 colours are not in the table: (1,2,3) in 12 pixels, (4,5,6) in 1 pixel: "
        "add them, or export the mask without smoothing"
    )


def test_classes_accept_what_they_should(tmp_path):
    path = written(tmp_path, png(np.array([[0, 1, 255]])))
    assert masks.read_mask(path, classes=2, ignore_index=255).tolist() == [[0, 1, 255]]
    assert masks.read_mask(path, classes=256).tolist() == [[0, 1, 255]]
    line = refused(masks.read_mask, path, classes=masks.CLASSES)
    assert line.endswith(
        "255 in 1 pixel: is 255 a class (remap it) or void (pass ignore_index=255)?"
    )


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (37, 5)])
def test_write_mask_gives_the_same_ids_to_an_independent_reader(tmp_path, shape):
    path = tmp_path / "mask.png"
    ids = RNG.integers(0, 256, shape).astype(np.uint8)
    masks.write_mask(path, ids)
    read, depth, color, palette = decode(path.read_bytes())
    assert (depth, color) == (8, PALETTE)
    assert np.array_equal(read, ids) and np.array_equal(palette, masks.PALETTE)
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], masks.PALETTE[ids])
    masks.write_mask(path, ids, palette=None)
    read, depth, color, palette = decode(path.read_bytes())
    assert (depth, color, palette) == (8, GRAY, None) and np.array_equal(read, ids)
    wide = RNG.integers(0, 65536, shape).astype(np.uint16)
    masks.write_mask(path, wide)
    read, depth, color, palette = decode(path.read_bytes())
    assert (depth, color, palette) == (16, GRAY, None) and np.array_equal(read, wide)
    assert np.array_equal(masks.read_mask(path), wide)


def test_write_mask_takes_any_memory_layout(tmp_path):
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for view in (ids[:, ::-1], ids.T, ids[::2, 1::3], np.asfortranarray(ids)):
        masks.write_mask(tmp_path / "mask.png", view)
        assert np.array_equal(decode((tmp_path / "mask.png").read_bytes())[0], view)


UNWRITABLE = {
    "jpg": ("mask.jpg", BYTES, "name it .png"),
    "tif": ("mask.tif", BYTES, "name it .png"),
    "no_suffix": ("mask", BYTES, "name it .png"),
    "no_folder": ("absent/mask.png", BYTES, "create it first"),
    "int64": ("mask.png", IDS, "astype(np.uint8)"),
    "over_255": ("mask.png", IDS * 200, "astype(np.uint16)"),
    "float": ("mask.png", IDS / 2, "dtype float64"),
    "bool": ("mask.png", IDS > 0, "dtype bool"),
    "negative": ("mask.png", IDS - 1, "dtype int64"),
    "three_planes": ("mask.png", CODED.astype(np.uint8), "(9, 13, 3)"),
    "batch": ("mask.png", BYTES[None], "(1, 9, 13)"),
    "flat": ("mask.png", BYTES.ravel(), "(117,)"),
    "nothing": ("mask.png", BYTES[:0], "(0, 13)"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written_is_refused_in_one_line(tmp_path, case):
    name, array, words = UNWRITABLE[case]
    line = refused(masks.write_mask, tmp_path / name, array)
    assert line.startswith(f"{tmp_path / name}: ") and "\n" not in line and words in line
    assert not list(tmp_path.iterdir())


def test_a_bad_palette_is_refused(tmp_path):
    for palette in (masks.PALETTE[:3], masks.PALETTE / 255, [0, 0, 0]):
        line = refused(masks.write_mask, tmp_path / "m.png", BYTES, palette)
        assert "(256, 3) uint8" in line


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    masks.write_mask(path, BYTES)
    before = path.read_bytes()

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        masks.write_mask(path, BYTES + 1)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_change_while_saving_is_noticed(tmp_path, monkeypatch):
    save = Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda im, *a: save(im.point(lambda v: v // 2), *a))
    assert "would change ids" in refused(masks.write_mask, tmp_path / "m.png", BYTES)
    assert not list(tmp_path.iterdir())

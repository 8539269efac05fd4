"""A PNG writer and reader of a few lines, straight from the specification.

The tests of `segutils.masks` use it so that no imaging library is its own judge.
"""

import struct
import zlib

import numpy as np

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]


def chunk(kind, body):
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def header(width, height, depth, color, compression=0, filtering=0, interlace=0):
    fields = width, height, depth, color, compression, filtering, interlace
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))


def rows(pixels, depth):
    """Filter byte 0 and the packed samples of each row of an (H, W[, samples]) array."""
    raw = b""
    for row in pixels:
        bits = "".join(format(int(v), f"0{depth}b") for v in np.ravel(row))
        bits += "0" * (-len(bits) % 8)
        raw += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return raw


def png(pixels, depth=8, color=GRAY, palette=None, before=(), after=(), interlace=False, splits=1):
    """Encode an (H, W[, samples]) array of integers; before and after: chunks around the IDAT."""
    height, width = pixels.shape[:2]
    if interlace:
        parts = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        raw = b"".join(rows(part, depth) for part in parts if part.size)
    else:
        raw = rows(pixels, depth)
    data = zlib.compress(raw)
    step = -(-len(data) // splits)
    body = SIGNATURE + header(width, height, depth, color, interlace=int(interlace))
    if palette is not None:
        body += chunk(b"PLTE", bytes(np.asarray(palette, np.uint8)))
    body += b"".join(chunk(*c) for c in before)
    body += b"".join(chunk(b"IDAT", data[i : i + step]) for i in range(0, len(data), step))
    return body + b"".join(chunk(*c) for c in after) + chunk(b"IEND", b"")


def exif(orientation):
    """The body of an eXIf chunk that holds nothing but the orientation."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)


def decode(data):
    """Read a plain 8- or 16-bit gray or palette PNG: pixels, depth, colour type, palette."""
    at, pixels, palette = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
        elif kind == b"PLTE":
            palette = np.frombuffer(body, np.uint8).reshape(-1, 3)
        elif kind == b"IDAT":
            pixels += body
        at += 12 + length
    size = depth // 8
    stride = width * size
    raw, above, out = zlib.decompress(pixels), bytearray(stride), []
    for y in range(height):
        kind, *line = raw[y * (stride + 1) : (y + 1) * (stride + 1)]
        for i in range(stride):
            a, b = (line[i - size] if i >= size else 0), above[i]
            c = above[i - size] if i >= size else 0
            paeth = min((a, b, c), key=lambda v: abs(a + b - c - v))
            line[i] = line[i] + (0, a, b, (a + b) // 2, paeth)[kind] & 255
        above = line
        out.append(line)
    ids = np.frombuffer(bytes(np.array(out, np.uint8)), f">u{size}").reshape(height, width)
    return ids, depth, color, palette

"""PNG bytes from arrays, and the pictures of the galleries."""

from __future__ import annotations

import struct
import zlib

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEVELS = 48
"""Steps of a heat map: fewer than eyes tell apart, so that a map takes a few kilobytes."""


def encode(image: Image) -> bytes:
    """Return an image, uint8 (H, W, 3), as PNG."""
    above = np.zeros_like(image)
    above[1:] = image[:-1]
    lines = (image - above).reshape(len(image), -1)  # PNG's filter 2, Up: modulo 256 by definition
    return _png(lines, image.shape[1], colour_type=2, filter_type=2)


def encode_indexed(indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    """Return indices, uint8 (H, W), into a palette, uint8 (n, 4) RGBA, as PNG."""
    chunks = _chunk(b"PLTE", palette[:, :3].tobytes()) + _chunk(b"tRNS", palette[:, 3].tobytes())
    return _png(indices, indices.shape[1], colour_type=3, filter_type=0, chunks=chunks)


def size(png: bytes) -> tuple[int, int]:
    """Return the (width, height) that a PNG states; raises ValueError for anything else."""
    if png[:8] != SIGNATURE or png[12:16] != b"IHDR":
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def outline(mask: Mask) -> Mask:
    """Return the pixels of a mask, bool (H, W), that touch its outside or the picture's edge."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def outline_layer(mask: Mask) -> bytes:
    """Return the ground truth as a layer over its image: a light line on a dark one, else clear."""
    line = outline(mask)
    padded = np.pad(line, 1)
    near = np.zeros_like(line)
    for row in range(3):
        for column in range(3):
            near |= padded[row : row + line.shape[0], column : column + line.shape[1]]
    indices = np.where(line, 2, near).astype(np.uint8)
    palette = np.array([(0, 0, 0, 0), (0, 0, 0, 150), (255, 255, 255, 255)], np.uint8)
    return encode_indexed(indices, palette)


def heat_layer(map_: npt.NDArray[np.floating], low: float, high: float, mask: Mask) -> bytes:
    """Return an anomaly map (H, W) as a layer over its image, the ground truth's outline in it.

    `low` is dark and `high` bright (the `inferno` scale); values beyond either end take its colour,
    NaN that of `low`.
    """
    span = (high - low) or 1.0
    share = np.clip((map_.astype(np.float32) - low) / span, 0.0, 1.0)
    indices = np.rint(np.nan_to_num(share) * (_LEVELS - 1)).astype(np.uint8)
    indices[outline(mask)] = _LEVELS
    return encode_indexed(indices, _heat_palette())


def _heat_palette() -> npt.NDArray[np.uint8]:
    at = np.linspace(0, 1, _LEVELS)
    heat = np.asarray(mpl.colormaps["inferno"](at) * 255).round().astype(np.uint8)
    heat[:, 3] = (255 * (0.42 + 0.5 * at)).round()
    return np.concatenate([heat, np.full((1, 4), 255, np.uint8)])


def _png(
    lines: npt.NDArray[np.uint8],
    width: int,
    colour_type: int,
    filter_type: int,
    chunks: bytes = b"",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(lines), 8, colour_type, 0, 0, 0)
    filters = np.full((len(lines), 1), filter_type, np.uint8)
    pixels = zlib.compress(np.hstack([filters, lines]).tobytes(), 9)
    body = _chunk(b"IHDR", header) + chunks + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return SIGNATURE + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

"""Whether a PNG holds all the pixels that it declares: decoders leave the rest of it black."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import PIL.ImageFile

_PASSES: tuple[tuple[int, int, int, int], ...] = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""Of an interlaced image: first column and row of every pass, and the steps to the next."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by colour type."""
_PIECE = 2**20


def ends_early(path: Path, file: PIL.ImageFile.ImageFile) -> bool:
    """Say whether the pixels of a decoded PNG end before its last row.

    Rows that were not there are black, so only an image that ends in black is looked at, and one
    that is interlaced: inflating it again costs as much as decoding it.
    """
    last = file.crop((0, file.height - 1, file.width, file.height))
    if not file.info.get("interlace") and any(last.tobytes()):
        return False
    expected = held = 0
    inflating = zlib.decompressobj()
    for kind, data in _chunks(path):
        if kind == b"IHDR":
            expected = _bytes_of(data)
        elif kind == b"IDAT":
            while data and held < expected:
                held += len(inflating.decompress(data, _PIECE))
                data = inflating.unconsumed_tail
                if inflating.eof:
                    return held < expected
    return held + len(inflating.flush()) < expected


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            yield head[4:], file.read(int.from_bytes(head[:4], "big"))
            file.seek(4, 1)


def _bytes_of(header: bytes) -> int:
    """Return how many bytes the rows of an image inflate to, each with its filter in front."""
    width, height = (int.from_bytes(header[i : i + 4], "big") for i in (0, 4))
    bits, interlaced = header[8] * _SAMPLES.get(header[9], 1), header[12]
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total

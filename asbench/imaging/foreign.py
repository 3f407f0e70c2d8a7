"""Where a patch of another image goes, and where a blend has changed the image."""

from __future__ import annotations

import cv2
import numpy as np

from synth_store.types import Image, Mask

Box = tuple[slice, slice]
"""Rows and columns of a rectangle, never negative: `image[box]` is a view."""


def draw_centre(rng: np.random.Generator, shape: tuple[int, int], core: float) -> tuple[int, int]:
    """Draw a (row, column) uniformly from the pixels of the image's central part.

    core: that part's share of each side, 0 < core <= 1.
    """
    row, column = (_within(rng, (1 - core) / 2 * side, core * side) for side in shape)
    return row, column


def _within(rng: np.random.Generator, first: float, length: float) -> int:
    start = round(first)
    return int(rng.integers(start, max(round(first + length), start + 1)))


def draw_reach(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> int:
    """Draw half the side of a square, or the radius of a disc, uniform in whole pixels.

    low, high: shares of the image's shorter side; rounded, the upper end left out (as FPI does)
    unless nothing is left. At least 1.
    """
    first, last = (max(round(share * min(shape)), 1) for share in (low, high))
    return int(rng.integers(first, max(last, first + 1)))


def square(centre: tuple[int, int], reach: int, shape: tuple[int, int], frame: int = 0) -> Box:
    """Return the square from centre - reach to centre + reach - 1, clipped to the image.

    frame: pixels along the image's border that it keeps off.
    """
    top, left = (max(middle - reach, frame) for middle in centre)
    bottom, right = (
        min(middle + reach, side - frame) for middle, side in zip(centre, shape, strict=True)
    )
    return slice(top, max(bottom, top)), slice(left, max(right, left))


def changed(image: Image, clean: Image, levels: int) -> Mask:
    """Return where some channel differs by at least `levels`.

    image, clean: uint8 (h, w, 3); levels: 1..255 grey levels. Returns bool (h, w).
    """
    below = (levels - 1,) * 3
    same = cv2.inRange(cv2.absdiff(image, clean), (0, 0, 0), below)
    return np.equal(same, 0)

"""Rectangular patches: draw their size and place, rotate them, paste them through an alpha mask.

Sizes are fractions of the image, so that a method looks alike at every resolution. All functions
are pure; the only chance is the generator passed in.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from synth_store.types import Image, Mask

Size = tuple[int, int]
"""(height, width) in pixels."""
ROUNDING = 1e-9
"""Pixels below which a length is nothing but the rounding error of a sine at right angles."""


def rectangle(
    rng: np.random.Generator, shape: Size, area: tuple[float, float], aspect: tuple[float, float]
) -> Size:
    """Draw a rectangle's size.

    area: bounds of its share of the image, drawn uniformly; aspect: bounds of width / height, drawn
    log-uniformly. Each side is rounded and clamped to 1 .. the image's side. Source: CutPaste
    (Li et al., CVPR 2021).
    """
    height, width = shape
    share, position = rng.random(2)
    pixels = (area[0] + share * (area[1] - area[0])) * height * width
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = math.exp(low + position * (high - low))
    return (
        min(max(round(math.sqrt(pixels / ratio)), 1), height),
        min(max(round(math.sqrt(pixels * ratio)), 1), width),
    )


def place(rng: np.random.Generator, size: Size, shape: Size, margin: float = 0.0) -> Size:
    """Draw the (top, left) of a patch, every place inside the image being equally likely.

    margin: share of each side, at both ends, that the patch keeps free of. Along a side too
    short for patch and margins the patch is centred, and starts at 0 if it is longer than the side.
    """
    row, column = rng.random(2)
    return _along(row, size[0], shape[0], margin), _along(column, size[1], shape[1], margin)


def _along(position: float, length: int, side: int, margin: float) -> int:
    first, last = math.ceil(margin * side), math.floor((1 - margin) * side) - length
    if last < first:
        return max((side - length) // 2, 0)
    return first + int(position * (last - first + 1))


def elsewhere(rng: np.random.Generator, image: Image, size: Size) -> Image:
    """Cut a patch of `size` from a random place: uint8 (H, W, 3) to (h, w, 3).

    Along a side that it fills by more than half, the image is continued in its mirror image by the
    excess, so that even a patch as large as the image shows another part of it.
    """
    shape = (image.shape[0], image.shape[1])
    tall, wide = (max(0, n - side // 2) for n, side in zip(size, shape, strict=True))
    if tall or wide:
        image = np.asarray(
            cv2.copyMakeBorder(image, tall, tall, wide, wide, cv2.BORDER_REFLECT), np.uint8
        )
    top, left = place(rng, size, (image.shape[0], image.shape[1]))
    return image[top : top + size[0], left : left + size[1]]


def rotate(patch: Image, degrees: float, expand: bool = True) -> tuple[Image, Mask]:
    """Rotate a patch counter-clockwise about its centre, nearest neighbour.

    patch: uint8 (h, w, C). Returns the rotated patch and its alpha: True where the patch is, False
    in the corners it left empty, which are 0. With `expand` the canvas grows to hold all of it, to
    Pillow's size, on which published code relies: half a pixel more on each side, on average,
    than the turned outline. Else the size stays and what sticks out is lost.
    """
    height, width = patch.shape[:2]
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    rows, columns = height, width
    if expand:
        lying = abs(cos) < ROUNDING
        rows = _canvas(abs(height * cos) + abs(width * sin), width if lying else height)
        columns = _canvas(abs(width * cos) + abs(height * sin), height if lying else width)
    y = (np.arange(rows) + 0.5 - rows / 2)[:, None]
    x = np.arange(columns) + 0.5 - columns / 2
    source_y = np.floor(sin * x + (cos * y + height / 2)).astype(np.int32)
    source_x = np.floor(cos * x + (width / 2 - sin * y)).astype(np.int32)
    alpha = (source_y >= 0) & (source_y < height) & (source_x >= 0) & (source_x < width)
    pixels = np.zeros((height * width + 1, patch.shape[2]), np.uint8)  # the last is the corners'
    pixels[:-1] = patch.reshape(height * width, -1)
    places = np.where(alpha, source_y * width + source_x, height * width)
    return pixels.take(places, axis=0, mode="clip"), alpha


def _canvas(length: float, before: int) -> int:
    """Return the whole pixels that an outline of `length` touches, centred as one of `before` was.

    Not counting those it touches by the rounding error of a sine.
    """
    first, last = (before - length) / 2, (before + length) / 2
    return math.ceil(last - ROUNDING) - math.floor(first + ROUNDING)


def paste(image: Image, patch: Image, at: Size, alpha: Mask | None = None) -> tuple[Image, Mask]:
    """Return a copy of the image with the patch pasted, and the bool (H, W) mask of what was.

    at: (top, left) of the patch; what lies beyond the image is cut off. alpha: bool (h, w), the
    pixels of the patch to paste; all of them by default.
    """
    rows, from_rows = _overlap(at[0], patch.shape[0], image.shape[0])
    columns, from_columns = _overlap(at[1], patch.shape[1], image.shape[1])
    visible = patch[from_rows, from_columns]
    pasted, mask = image.copy(), np.zeros(image.shape[:2], np.bool_)
    if alpha is None:
        pasted[rows, columns], mask[rows, columns] = visible, True
    else:
        chosen = alpha[from_rows, from_columns]
        mask[rows, columns] = chosen
        if chosen.size:
            cv2.copyTo(visible, chosen.view(np.uint8), pasted[rows, columns])
    return pasted, mask


def _overlap(start: int, length: int, side: int) -> tuple[slice, slice]:
    """Return where a patch falls on one side of the image, and which part of the patch does."""
    first, last = min(max(start, 0), side), min(max(start + length, 0), side)
    return slice(first, last), slice(first - start, last - start)

"""Cut a part out of an image with its surroundings, turned, scaled, mirrored, and put it elsewhere.

All functions are pure; the only chance is the generator passed in.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from asbench.imaging.patches import Size, place
from synth_store.types import Image, Mask

PLACES = 100
"""Places tried for a part that must lie on the object."""


class Part(NamedTuple):
    """A part of an image: uint8 (h, w, 3), and the bool (h, w) mask of its pixels.

    The mask is clear along the outermost ring, where the image shows the part's surroundings.
    """

    image: Image
    mask: Mask


def taken(
    image: Image, mask: Mask, *, degrees: float, scale: float, mirrored: tuple[bool, bool]
) -> Part | None:
    """Return the part of an image that a mask marks, turned, scaled and mirrored.

    image: uint8 (H, W, 3); mask: bool (H, W). mirrored: along rows, along columns. Bilinear; beyond
    its border the image is continued in its mirror image. None where nothing of the mask is left.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return None
    side = math.ceil(math.hypot(width, height) * scale) + 4
    # As even or odd as the part, which then is not resampled where nothing turns or scales it.
    tall, wide = side + (side - height) % 2, side + (side - width) % 2
    turn = math.radians(degrees)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    matrix = np.array([[cos, sin], [-sin, cos]]) * [-1 if flip else 1 for flip in mirrored[::-1]]
    centre = np.array((left + (width - 1) / 2, top + (height - 1) / 2))
    shift = np.array(((wide - 1) / 2, (tall - 1) / 2)) - matrix @ centre
    warp = np.hstack((matrix, shift[:, None]))
    seen = cv2.warpAffine(image, warp, (wide, tall), borderMode=cv2.BORDER_REFLECT_101)
    marked = cv2.warpAffine(mask.view(np.uint8) * np.uint8(255), warp, (wide, tall)) > 127
    marked[[0, -1]] = marked[:, [0, -1]] = False
    left, top, width, height = cv2.boundingRect(marked.view(np.uint8))
    if not width:
        return None
    box = slice(top - 1, top + height + 1), slice(left - 1, left + width + 1)
    return Part(np.ascontiguousarray(seen[box], np.uint8), np.ascontiguousarray(marked[box]))


def put(
    rng: np.random.Generator, part: Mask, shape: Size, within: Mask | None, least: float
) -> Size | None:
    """Draw the (top, left) of a part on an image, every place that will do being equally likely.

    part: bool (h, w); shape: (H, W). within: bool (H, W), where at least the share `least` of the
    part must lie; None for anywhere. Where the part fits, it lies inside the image. None where
    none of `PLACES` places will do.
    """
    size = part.shape[0], part.shape[1]
    if within is None:
        return place(rng, size, shape)
    # Only where the part's box meets that of the object can it lie on the object.
    left, top, width, height = cv2.boundingRect(within.view(np.uint8))
    bounds = [
        (max(first - side + 1, 0), max(min(first + length - 1, whole - side), 0))
        for first, length, side, whole in zip(
            (top, left), (height, width), size, shape, strict=True
        )
    ]
    needed = least * np.count_nonzero(part)
    for _ in range(PLACES):
        row, column = (int(rng.integers(low, max(high, low) + 1)) for low, high in bounds)
        under = within[row : row + size[0], column : column + size[1]]
        seen = part[: under.shape[0], : under.shape[1]]
        if np.count_nonzero(under & seen) >= needed:
            return row, column
    return None

"""Shapes at random places: masks for an anomaly, whatever is to fill them.

Sizes are shares of the image's area, so that a shape looks alike at every resolution. All functions
are pure; the only chance is the generator passed in. A mask may come out empty at tiny sizes.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from asbench.imaging.cells import enlarge, partition
from asbench.imaging.ifs import from_bank, thicken
from asbench.imaging.patches import Size, paste, place
from asbench.imaging.patches import rectangle as draw_size
from asbench.imaging.patches import rotate as rotate_patch
from synth_store.types import Mask

Bounds = tuple[float, float]
CELL_SIDES = (2 / 256, 4 / 256, 8 / 256, 16 / 256)
CELL_SETS = 3
"""RIAD's cells (Zavrtanik et al., 2021): sides as shares of the shorter side, and disjoint sets."""


def rectangle(rng: np.random.Generator, shape: Size, area: Bounds, aspect: Bounds) -> Mask:
    """Draw an axis-parallel rectangle inside the image: bool `shape`.

    area: bounds of its share of the image; aspect: bounds of width / height, log-uniform.
    """
    height, width = draw_size(rng, shape, area, aspect)
    top, left = place(rng, (height, width), shape)
    mask = np.zeros(shape, np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def disc(rng: np.random.Generator, shape: Size, area: Bounds) -> Mask:
    """Draw a disc inside the image, of at least one pixel: bool `shape`."""
    pixels = rng.uniform(*area) * shape[0] * shape[1]
    reach = min(max(math.sqrt(pixels / math.pi), 0.5), min(shape) / 2)
    row, column = (rng.uniform(reach, side - reach) - 0.5 for side in shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= max(reach, 0.71) ** 2)


def strip(
    rng: np.random.Generator, shape: Size, area: Bounds, aspect: Bounds, max_degrees: float
) -> Mask:
    """Draw a rectangle turned by U(-max_degrees, max_degrees): bool `shape`.

    area, aspect: as for `rectangle`, before the turn; it lies inside the image where it fits.
    """
    height, width = draw_size(rng, shape, area, aspect)
    return stamp(rng, np.ones((height, width), np.bool_), shape, max_degrees)


def cells(rng: np.random.Generator, shape: Size, area: Bounds) -> Mask:
    """Draw a third of the cells of a window: bool `shape`.

    The cells' side is one of `CELL_SIDES`. area: bounds of what is covered, so the window is three
    times as large, at most the image.
    """
    side = max(1, round(CELL_SIDES[int(rng.integers(len(CELL_SIDES)))] * min(shape)))
    rows, columns = (-(-length // side) for length in shape)
    share = math.sqrt(min(CELL_SETS * rng.uniform(*area), 1))
    tall, wide = (min(max(2, round(n * share)), n) for n in (rows, columns))
    top, left = place(rng, (tall, wide), (rows, columns))
    covered: Mask = np.zeros((rows, columns), np.bool_)
    window = covered[top : top + tall, left : left + wide]
    window[...] = partition(tall, wide, CELL_SETS, rng) == 0
    return enlarge(covered, side, *shape)


def fractal(rng: np.random.Generator, shape: Size, area: Bounds, max_degrees: float) -> Mask:
    """Draw an attractor of the bank, thickened and turned: bool `shape`.

    area: bounds of its square, of which it fills about two fifths.
    """
    side = math.sqrt(rng.uniform(*area) * shape[0] * shape[1])
    attractor = thicken(from_bank(rng, min(max(round(side), 2), *shape)), rng)
    return stamp(rng, attractor, shape, max_degrees)


def moved(
    rng: np.random.Generator, mask: Mask, *, anywhere: bool, mirrored: bool, max_degrees: float
) -> Mask:
    """Return a mask, bool (H, W), mirrored, turned and put elsewhere: bool (H, W).

    anywhere: to a place where it lies inside the image, where it fits, each equally likely; else
    it stays about its own centre. mirrored: in each axis, by a fair coin. max_degrees: it is turned
    by U(-max_degrees, max_degrees). What comes to lie beyond the image is cut off.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return mask.copy()
    shape = (mask.shape[0], mask.shape[1])
    part = mask[top : top + height, left : left + width]
    if mirrored:
        down, right = rng.random(2) < 0.5
        part = part[:: -1 if down else 1, :: -1 if right else 1]
    centre = None if anywhere else (top + height / 2, left + width / 2)
    return stamp(rng, part, shape, max_degrees, centre)


def stamp(
    rng: np.random.Generator,
    part: Mask,
    shape: Size,
    max_degrees: float,
    centre: tuple[float, float] | None = None,
) -> Mask:
    """Return a small mask, bool (h, w), turned and placed on an empty one: bool `shape`.

    centre: (row, column) on which its own centre comes to lie, by default a random place inside.
    """
    if max_degrees:
        turned, _ = rotate_patch(
            part.view(np.uint8)[..., None], rng.uniform(-max_degrees, max_degrees)
        )
        # The turned canvas has empty edges, which would keep the shape off the image's.
        left, top, width, height = cv2.boundingRect(turned)
        part = turned[top : top + height, left : left + width, 0].view(np.bool_)
    size = (part.shape[0], part.shape[1])
    if centre is None:
        at = place(rng, size, shape)
    else:
        at = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    empty = np.zeros((*shape, 1), np.uint8)
    _, mask = paste(empty, part.view(np.uint8)[..., None], at, part)
    return mask

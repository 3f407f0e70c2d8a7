"""Perlin noise of any size, and the rotated, thresholded mask of DRAEM, DeSTSeg and MemSeg.

True Perlin noise: every pixel finds its cell by floor, so sizes need not divide by the cell count.
Within a cell the weight of a corner is a product of one term per axis, so noise is two small matrix
products instead of a gather per pixel.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask

Float = npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def _basis(size: int, cells: int) -> tuple[Float, Float]:
    """Return, for one axis, the weight of each node at each pixel, and weight times offset.

    Both float32 (size, cells + 1), read-only. The weight is 1 - s(t) for the node before the pixel
    and s(t) for the one after it, s(t) = 6t^5 - 15t^4 + 10t^3; the offset is pixel minus node, in
    cells.
    """
    place = np.arange(size) * cells / size
    before = np.floor(place).astype(np.intp)
    t = place - before
    s = t**3 * (t * (6 * t - 15) + 10)
    weight = np.zeros((size, cells + 1))
    offset = np.zeros_like(weight)
    rows = np.arange(size)
    weight[rows, before], weight[rows, before + 1] = 1 - s, s
    offset[rows, before], offset[rows, before + 1] = (1 - s) * t, s * (t - 1)
    basis = weight.astype(np.float32), offset.astype(np.float32)
    for array in basis:
        array.setflags(write=False)
    return basis


@lru_cache(maxsize=256)
def _row_basis(size: int, cells: int) -> Float:
    joined = np.hstack(_basis(size, cells))
    joined.setflags(write=False)
    return joined


@lru_cache(maxsize=256)
def _column_basis(size: int, cells: int) -> tuple[Float, Float]:
    weight, offset = (np.ascontiguousarray(b.T) for b in _basis(size, cells))
    weight.setflags(write=False)
    offset.setflags(write=False)
    return weight, offset


def draw_cells(rng: np.random.Generator, low: int = 0, high: int = 5) -> tuple[int, int]:
    """Return cells per axis (rows, columns), each 2^k with k drawn from low..high inclusive."""
    rows, columns = rng.integers(low, high + 1, size=2)
    return 1 << int(rows), 1 << int(columns)


def noise_at(height: int, width: int, angles: npt.NDArray[np.floating]) -> Float:
    """Return the Perlin noise of given gradients: float32 (height, width), about -1..1.

    angles: (rows + 1, columns + 1) radians, the direction of the unit gradient at each node of a
    grid of rows x columns cells (rows, columns >= 1). Scaled by sqrt 2, as DRAEM does; the
    standard deviation is 0.22 for one cell to 0.31 for many.
    """
    rows, columns = angles.shape[0] - 1, angles.shape[1] - 1
    scaled = np.float32(np.sqrt(2)) * np.stack((np.cos(angles), np.sin(angles))).astype(np.float32)
    weight, offset = _column_basis(width, columns)
    # cos lies along the rows: it meets the row offset and the column weight; sin the reverse.
    nodes = np.concatenate((scaled[1] @ offset, scaled[0] @ weight))
    return np.asarray(_row_basis(height, rows) @ nodes)


def noise(height: int, width: int, cells: tuple[int, int], rng: np.random.Generator) -> Float:
    """Return Perlin noise with `cells` = (rows, columns): float32 (height, width), about -1..1."""
    return noise_at(height, width, rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1)))


def rotate(field: Float, degrees: float) -> Float:
    """Turn a float32 (H, W) field about its centre: bilinear, zero outside."""
    height, width = field.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(field, turn, (width, height), flags=cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )


def draw_mask(
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    exponents: tuple[int, int] = (0, 5),
    threshold: float = 0.5,
    max_degrees: float = 90.0,
    two_sided: bool = False,
) -> Mask:
    """Return a random Perlin mask: bool (height, width), True where the noise exceeds `threshold`.

    Cells per axis are 2^k, k from `exponents` inclusive, drawn per axis; the noise is rotated by
    U(-max_degrees, max_degrees) with zeros turned in at the corners (no rotation if that is 0).
    The mask may be empty: in 5.5 % of draws at the defaults. Covers about 5 % of the image; with
    `two_sided`, where the noise below -`threshold` counts too, twice as much.
    Source: Zavrtanik et al., DRAEM, ICCV 2021.
    """
    field = noise(height, width, draw_cells(rng, *exponents), rng)
    if max_degrees:
        field = rotate(field, rng.uniform(-max_degrees, max_degrees))
    return np.asarray((np.abs(field) if two_sided else field) > threshold)

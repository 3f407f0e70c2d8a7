"""Images cut into cells: cells that change places, and random sets of cells.

Any size will do: sides need not divide by the cells.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask


def shuffle_cells(image: Image, order: npt.NDArray[np.integer], cells: int) -> Image:
    """Return the image with its cells in another order: uint8 (H, W, 3) to a new (H, W, 3).

    The image is cut into `cells` x `cells`, counted row by row; cell i of the result is cell
    `order[i]` of the image. Where a side does not divide by `cells`, they differ by one pixel in
    size: a cell moved to a larger place then brings the next pixel along, one moved to a smaller
    place loses its last.

    Raises ValueError if `order` is no permutation of the cells.
    """
    if not np.array_equal(np.sort(order), np.arange(cells * cells)):
        raise ValueError(f"order is no permutation of {cells} x {cells} cells")
    rows, columns = (np.arange(cells + 1) * n // cells for n in image.shape[:2])
    out = np.empty_like(image)
    for place, cell in enumerate(order):
        (i, j), (y, x) = divmod(place, cells), divmod(int(cell), cells)
        height, width = rows[i + 1] - rows[i], columns[j + 1] - columns[j]
        out[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] = image[
            rows[y] : rows[y] + height, columns[x] : columns[x] + width
        ]
    return out


def partition(
    rows: int, columns: int, sets: int, rng: np.random.Generator
) -> npt.NDArray[np.integer]:
    """Return the set that each cell of a grid belongs to: integers (rows, columns), 0..sets - 1.

    Every cell is in exactly one set; sets differ in size by one cell at most, the first being the
    largest; every such division is equally likely.
    """
    # 64-bit numbers are permuted about twice as fast as bytes.
    return (rng.permutation(rows * columns) % sets).reshape(rows, columns)


def enlarge(cells: Mask, side: int, height: int, width: int) -> Mask:
    """Return the mask of a grid's cells: bool (rows, columns) to bool (height, width).

    Each cell is `side` x `side` pixels, the first at the top left; what lies beyond the image is
    cut off. Raises ValueError if the grid does not cover the image.
    """
    tall, wide = cells.shape[0] * side, cells.shape[1] * side
    if tall < height or wide < width:
        raise ValueError(f"{cells.shape} cells of {side} pixels do not cover {height} x {width}")
    pixels = cv2.resize(cells.view(np.uint8), (wide, tall), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(pixels[:height, :width]).view(np.bool_)

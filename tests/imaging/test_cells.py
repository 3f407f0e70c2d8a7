"""Cells: permutations, partitions, and their pixels at any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench.imaging.cells import enlarge, partition, shuffle_cells
from synth_store.rng import address_rng

WITHIN = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""


def numbered(height: int, width: int) -> np.ndarray:
    """An image in which every pixel has a colour of its own."""
    number = np.arange(height * width).reshape(height, width)
    return np.stack([number >> 16, number >> 8 & 255, number & 255], axis=-1).astype(np.uint8)


def numbers(image: np.ndarray) -> np.ndarray:
    return image.astype(int) @ [1 << 16, 1 << 8, 1]


def by_reshaping(image: np.ndarray, order: np.ndarray, cells: int) -> np.ndarray:
    """The published way, for sides that divide: a view as cells, indexed by the order."""
    height, width = image.shape[0] // cells, image.shape[1] // cells
    cut = image.reshape(cells, height, cells, width, 3).swapaxes(1, 2)
    moved = cut.reshape(cells * cells, height, width, 3)[order]
    whole = moved.reshape(cells, cells, height, width, 3).swapaxes(1, 2)
    return whole.reshape(image.shape)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (8, 8)])
def test_cells_that_divide_are_permuted(size: tuple[int, int]) -> None:
    image, order = numbered(*size), address_rng("order", *size).permutation(64)
    out = shuffle_cells(image, order, 8)
    assert np.array_equal(out, by_reshaping(image, order, 8))
    assert np.array_equal(np.sort(numbers(out).ravel()), np.arange(size[0] * size[1]))
    # The permutation that undoes it gives the image back.
    assert np.array_equal(shuffle_cells(out, np.argsort(order), 8), image)


@given(
    st.integers(1, 50), st.integers(1, 50), st.integers(1, 9), st.integers(0, 2**32), st.booleans()
)
def test_any_size_moves_whole_cells(
    height: int, width: int, cells: int, seed: int, identity: bool
) -> None:
    """Every cell shows one connected piece of the image, beginning at the cell it came from."""
    image = numbered(height, width)
    order = np.arange(cells**2)
    if not identity:
        order = np.random.default_rng(seed).permutation(cells**2)
    out = numbers(shuffle_cells(image, order, cells))
    rows, columns = (np.arange(cells + 1) * n // cells for n in (height, width))
    for place, cell in enumerate(order):
        i, j = divmod(place, cells)
        piece = out[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
        y, x = np.meshgrid(np.arange(piece.shape[0]), np.arange(piece.shape[1]), indexing="ij")
        start = rows[cell // cells] * width + columns[cell % cells]
        assert np.array_equal(piece, start + y * width + x)
    if identity:
        assert np.array_equal(out, numbers(image))


@pytest.mark.parametrize("order", [np.zeros(4, int), np.arange(3), np.arange(1, 5)])
def test_an_order_that_is_no_permutation_is_refused(order: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no permutation of 2 x 2"):
        shuffle_cells(numbered(8, 8), order, 2)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 7), st.integers(0, 2**32))
def test_sets_are_a_partition(rows: int, columns: int, sets: int, seed: int) -> None:
    found = partition(rows, columns, sets, np.random.default_rng(seed))
    assert found.shape == (rows, columns)
    covered = np.stack([found == k for k in range(sets)])
    assert (covered.sum(axis=0) == 1).all()
    sizes = covered.sum(axis=(1, 2))
    assert sizes.max() - sizes.min() <= 1
    assert sizes[0] == sizes.max() == -(-rows * columns // sets)


def test_every_cell_is_as_likely_in_every_set() -> None:
    rng = address_rng("sets")
    draws = np.array([partition(4, 5, 3, rng) for _ in range(3000)])
    for k, size in enumerate((7, 7, 6)):
        share = size / 20
        spread = (share * (1 - share) / 3000) ** 0.5
        assert np.abs((draws == k).mean(axis=0) - share).max() < 3.9 * spread
    # Neighbours are drawn like any other two cells: pairs without replacement.
    together = (draws[:, 0, 0] == 0) & (draws[:, 0, 1] == 0)
    pair = 7 / 20 * 6 / 19
    assert abs(together.mean() - pair) < WITHIN * (pair * (1 - pair) / 3000) ** 0.5


@pytest.mark.parametrize(("height", "width", "side"), [(16, 24, 4), (17, 23, 4), (9, 9, 1)])
def test_enlarged_cells_against_indexing(height: int, width: int, side: int) -> None:
    rows, columns = -(-height // side), -(-width // side)
    cells = address_rng("enlarge", height).random((rows, columns)) < 0.5
    y, x = np.ogrid[:height, :width]
    mask = enlarge(cells, side, height, width)
    assert mask.dtype == np.bool_
    assert mask.flags.c_contiguous
    assert np.array_equal(mask, cells[y // side, x // side])


def test_cells_that_do_not_cover_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="do not cover 16 x 17"):
        enlarge(np.ones((4, 4), np.bool_), 4, 16, 17)

"""Photographs as tiles: every pixel is covered, weights sum to 1, nothing moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench.imaging.tiles import (
    Grid,
    around,
    blend,
    cut,
    enlarge,
    scale_image,
    scale_mask,
    starts,
    window,
)
from synth_store import Geometry

SIDES = st.integers(1, 90)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    height, width = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    overlap = draw(st.integers(0, min(height, width) // 2))
    scale = draw(st.sampled_from([1.0, 0.5, 0.3, 0.77]))
    return Grid(draw(SIDES), draw(SIDES), Geometry(height, width, "tile", scale, overlap))


@given(grids())
def test_tiles_cover_every_pixel_and_overlap_by_no_less_than_asked(grid: Grid) -> None:
    covered = np.zeros(grid.padded, int)
    for place in grid.places:
        view = covered[place.top :, place.left :][: grid.geometry.height, : grid.geometry.width]
        assert view.shape == (grid.geometry.height, grid.geometry.width)
        view += 1
    assert covered.min() == 1
    assert len(set(grid.places)) == len(grid.places)
    for begins, side in ((grid.rows, grid.geometry.height), (grid.columns, grid.geometry.width)):
        assert all(a + side - b >= grid.geometry.overlap for a, b in pairwise(begins))


@given(grids(), st.floats(-1e3, 1e3, width=32))
def test_a_constant_blends_into_itself(grid: Grid, value: float) -> None:
    shape = (grid.geometry.height, grid.geometry.width)
    blended = blend((np.full(shape, value, np.float32) for _ in grid.places), grid)
    assert blended.shape == grid.size
    np.testing.assert_allclose(blended, value, rtol=1e-6, atol=1e-30)


@given(grids(), st.integers(0, 9))
def test_a_map_that_is_cut_and_blended_is_itself(grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.random(grid.padded, np.float32)
    geometry = grid.geometry
    maps = [
        whole[p.top : p.top + geometry.height, p.left : p.left + geometry.width]
        for p in grid.places
    ]
    tall, wide = grid.size
    np.testing.assert_allclose(blend(maps, grid), whole[:tall, :wide], atol=1e-6)
    assert blend(maps, grid).min() >= whole.min() - 1e-6
    with pytest.raises(ValueError, match="argument"):
        blend(maps[1:], grid)


@given(grids(), st.integers(0, 9))
def test_what_is_cut_is_the_scaled_photograph(grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    photograph = rng.integers(256, size=(grid.height, grid.width, 3), dtype=np.uint8)
    whole, tiles = scale_image(photograph, grid.geometry), list(cut(photograph, grid.geometry))
    assert whole.shape == (*grid.padded, 3)
    for place, tile in zip(grid.places, tiles, strict=True):
        assert np.array_equal(tile, window(whole, place, grid.geometry))
    tall, wide = grid.size
    for axis, inside in ((0, tall), (1, wide)):  # padding repeats the outermost pixels
        beyond = np.take(whole, range(inside, whole.shape[axis]), axis)
        assert (beyond == np.take(whole, [inside - 1], axis)).all()


def test_the_last_tile_moves_inward() -> None:
    assert starts(256, 256, 32) == (0,)
    assert starts(480, 256, 32) == (0, 224)
    assert starts(481, 256, 32) == (0, 224, 225)
    assert len(Grid(3000, 4000, Geometry(256, 256, "tile", 1, 32)).places) == 14 * 18
    assert len(Grid(3000, 4000, Geometry(256, 256, "tile", 0.5, 32)).places) == 7 * 9


def test_the_weights_over_an_overlap_are_a_ramp() -> None:
    grid = Grid(8, 13, Geometry(8, 8, "tile", 1, 3))
    ones, zeros = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    np.testing.assert_allclose(blend([zeros, ones], grid)[0, 4:9], [0, 0.25, 0.5, 0.75, 1])


def test_the_edge_of_a_tile_counts_only_where_no_other_shows_it() -> None:
    grid = Grid(16, 24, Geometry(16, 16, "tile", 1, 8))
    edged = np.zeros((16, 16), np.float32)
    edged[:, [0, 1, -2, -1]] = 1
    said = blend([edged, edged], grid)
    np.testing.assert_allclose(said[:, 2:-2], 0, atol=1e-5)
    np.testing.assert_allclose(said[:, [0, 1, -2, -1]], 1)


def test_a_map_at_the_native_size_is_itself() -> None:
    same = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert enlarge(same, 3, 4) is same
    assert enlarge(same, 6, 8).shape == (6, 8)


def test_no_small_defect_is_lost_when_a_mask_is_scaled() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[50, 51] = True
    assert scale_mask(mask, Geometry(16, 16, "tile", 0.1, 0)).sum() == 1


@given(grids(), SIDES, SIDES, st.integers(0, 9))
def test_a_window_around_a_defect_shows_it(grid: Grid, top: int, left: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    photograph = rng.integers(256, size=(grid.height, grid.width, 3), dtype=np.uint8)
    mask = np.zeros((grid.height, grid.width), np.bool_)
    mask[top % grid.height, left % grid.width] = True
    image, marked = around(photograph, mask, grid.geometry)
    assert image.shape == (grid.geometry.height, grid.geometry.width, 3)
    assert marked.shape == image.shape[:2]
    assert marked.any()
    assert not around(photograph, ~mask & False, grid.geometry)[1].any()

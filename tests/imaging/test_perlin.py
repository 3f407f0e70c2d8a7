"""Perlin noise against the textbook formula pixel by pixel, and its published statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging import perlin

THREE_SIGMA = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""


def textbook(height: int, width: int, angles: np.ndarray) -> np.ndarray:
    """Corner by corner and pixel by pixel, in float64."""
    rows, columns = angles.shape[0] - 1, angles.shape[1] - 1
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            iy, ix = y * rows // height, x * columns // width
            v, u = y * rows / height - iy, x * columns / width - ix
            for b in (0, 1):
                for a in (0, 1):
                    angle = angles[iy + b, ix + a]
                    dot = np.cos(angle) * (v - b) + np.sin(angle) * (u - a)
                    sv, su = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (v, u))
                    out[y, x] += dot * (sv if b else 1 - sv) * (su if a else 1 - su)
    return np.sqrt(2) * out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 4, 8, 32]),
    st.sampled_from([1, 2, 5, 16]),
    st.integers(0, 1000),
)
def test_equals_the_textbook_at_any_size(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (rows + 1, columns + 1))
    ours = perlin.noise_at(height, width, angles)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, textbook(height, width, angles), atol=2e-6)


def test_noise_is_zero_at_the_nodes() -> None:
    field = perlin.noise(64, 32, (8, 4), np.random.default_rng(0))
    assert np.abs(field[::8, ::8]).max() == 0


def test_cells_cover_the_exponents_evenly() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.array([perlin.draw_cells(rng) for _ in range(3000)]).T
    for drawn in (rows, columns):
        sizes, counts = np.unique(drawn, return_counts=True)
        assert sizes.tolist() == [1, 2, 4, 8, 16, 32]
        assert np.abs(counts / 3000 - 1 / 6).max() < THREE_SIGMA * (5 / 36 / 3000) ** 0.5
    assert abs(np.corrcoef(np.log2(rows), np.log2(columns))[0, 1]) < THREE_SIGMA / 3000**0.5


@pytest.mark.parametrize(
    ("exponents", "empty", "slack"),
    [((0, 0), 0.59, 0.03), ((0, 1), 0.37, 0.03), ((1, 1), 0.155, 0.015), ((0, 3), 0.025, 0.01)],
)
def test_coverage_and_empty_masks(exponents: tuple[int, int], empty: float, slack: float) -> None:
    """Rotated masks at 128 x 128: P(empty) by exponents, and 4.4 to 5.7 % covered on average."""
    rng = np.random.default_rng(12)
    cells = 1 << exponents[0], 1 << exponents[1]
    masks = [
        perlin.rotate(perlin.noise(128, 128, cells, rng), rng.uniform(-90, 90)) > 0.5
        for _ in range(2000)
    ]
    found = np.mean([not m.any() for m in masks])
    assert abs(found - empty) < slack + THREE_SIGMA * (empty * (1 - empty) / 2000) ** 0.5
    areas = np.array([m.mean() for m in masks])
    error = THREE_SIGMA * areas.std() / 2000**0.5
    assert 0.044 - error < areas.mean() < 0.057 + error


def test_share_of_empty_masks_overall() -> None:
    """DRAEM's published settings: one mask in eighteen to twenty comes out empty."""
    rng = np.random.default_rng(3)
    found = np.mean([not perlin.draw_mask(64, 64, rng).any() for _ in range(2000)])
    assert abs(found - 0.053) < 0.005 + THREE_SIGMA * (0.053 * 0.947 / 2000) ** 0.5


def test_rotation_by_a_quarter_turn_is_exact_and_corners_turn_in_as_zero() -> None:
    field = perlin.noise(64, 64, (4, 8), np.random.default_rng(1))
    np.testing.assert_allclose(perlin.rotate(field, 90), np.rot90(field), atol=1e-5)
    turned = perlin.rotate(np.ones((64, 96), np.float32), 45)
    assert turned[0, 0] == turned[-1, -1] == 0
    assert turned[32, 48] == 1


def test_mask_draws_are_repeatable_and_distinct() -> None:
    first = perlin.draw_mask(96, 160, np.random.default_rng(5))
    assert first.dtype == np.bool_
    assert first.shape == (96, 160)
    assert np.array_equal(first, perlin.draw_mask(96, 160, np.random.default_rng(5)))
    assert not np.array_equal(first, perlin.draw_mask(96, 160, np.random.default_rng(6)))

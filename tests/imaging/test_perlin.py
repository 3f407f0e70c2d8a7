"""Perlin noise against the textbook formula pixel by pixel, and its published statistics."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging import perlin


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

"""Simplex noise: continuous, zero where its lattice says so, and of the strength promised."""

from __future__ import annotations

import numpy as np

from asbench.imaging.simplex import noise, octaves

RNG = np.random.default_rng(0)
TABLE = RNG.permutation(256)


def at(points: np.ndarray) -> np.ndarray:
    return noise(*np.ascontiguousarray(points.T.astype(np.float32)), TABLE)


def test_it_is_continuous_also_where_simplices_meet() -> None:
    """On the planes x = y, y = z and the lattice's own, where the order of corners changes."""
    points = RNG.uniform(0, 200, (4000, 3))
    points[:1000, 1] = points[:1000, 0]
    points[1000:2000, 2] = points[1000:2000, 1]
    step = RNG.normal(0, 1e-3, points.shape)
    assert np.abs(at(points + step) - at(points - step)).max() < 0.05


def test_it_is_zero_at_the_lattice_and_within_one() -> None:
    cells = RNG.integers(0, 100, (200, 3))
    lattice = cells - cells.sum(axis=1, keepdims=True) / 6
    assert np.abs(at(lattice)).max() < 1e-3
    values = at(RNG.uniform(0, 256, (20_000, 3)))
    assert np.abs(values).max() < 1.05
    assert abs(values.mean()) < 0.02
    assert 0.38 < values.std() < 0.46


def test_octaves_are_as_strong_and_as_grey_as_the_published_noise() -> None:
    """Measured there: a standard deviation of .365, correlations of .976 and .935."""
    drawn = []
    for seed in range(300):
        rows, columns = np.indices((24, 24)).reshape(2, -1)
        rng = np.random.default_rng(seed)
        drawn.append(octaves(rows, columns, rng, period=32, count=6, persistence=0.6))
    values = np.concatenate(drawn)
    assert 0.35 < values.std() < 0.38
    together = np.corrcoef(values.T)[0]
    assert abs(together[1] - 0.976) < 0.01
    assert abs(together[2] - 0.935) < 0.015


def test_a_pixel_does_not_depend_on_the_others_asked_for() -> None:
    rows, columns = np.indices((9, 7)).reshape(2, -1)
    whole = octaves(rows, columns, np.random.default_rng(1), period=8, count=3, persistence=0.5)
    some = octaves(
        rows[5:20], columns[5:20], np.random.default_rng(1), period=8, count=3, persistence=0.5
    )
    assert np.array_equal(whole[5:20], some)

"""Squares at drawn places, and where a blend changed the image."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asbench.imaging.foreign import changed, draw_centre, draw_reach, square


def test_centres_fill_the_core_evenly() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([draw_centre(rng, (100, 40), 0.8) for _ in range(4000)])
    assert (centres.min(0).tolist(), centres.max(0).tolist()) == ([10, 4], [89, 35])
    counts = np.bincount(centres[:, 1] - 4, minlength=32)
    assert np.abs(counts - 4000 / 32).max() < 4.5 * (4000 / 32) ** 0.5


def test_reaches_are_uniform_over_whole_pixels() -> None:
    rng = np.random.default_rng(0)
    reaches = np.array([draw_reach(rng, (256, 300), 0.05, 0.2) for _ in range(4000)])
    assert (reaches.min(), reaches.max()) == (13, 50)  # round(12.8) .. round(51.2) - 1
    counts = np.bincount(reaches - 13)
    assert np.abs(counts - 4000 / 38).max() < 4.5 * (4000 / 38) ** 0.5


@given(
    st.integers(3, 60), st.integers(3, 60), st.floats(0.01, 1), st.floats(0.001, 1), st.integers()
)
def test_any_image_has_room(height: int, width: int, core: float, low: float, seed: int) -> None:
    rng, shape = np.random.default_rng(abs(seed)), (height, width)
    centre = draw_centre(rng, shape, core)
    reach = draw_reach(rng, shape, low, 1.0)
    assert 1 <= reach <= min(shape)
    rows, columns = square(centre, reach, shape)
    for axis, side, middle in zip((rows, columns), shape, centre, strict=True):
        assert 0 <= axis.start <= middle < axis.stop <= side
    framed = square(centre, reach, shape, frame=1)
    ones = np.ones(shape, np.bool_)[framed]
    assert ones.size <= (2 * reach) ** 2
    for axis, side in zip(framed, shape, strict=True):
        assert 1 <= axis.start <= axis.stop <= side


def test_changed_needs_one_channel_to_reach_the_levels() -> None:
    clean = np.full((1, 5, 3), 100, np.uint8)
    image = clean.copy()
    image[0, 1, 0], image[0, 2, 2], image[0, 3], image[0, 4, 1] = 101, 97, 102, 0
    assert changed(image, clean, 1)[0].tolist() == [False, True, True, True, True]
    assert changed(image, clean, 3)[0].tolist() == [False, False, True, False, True]
    assert changed(image, clean, 255)[0].tolist() == [False] * 5

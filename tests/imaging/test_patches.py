"""Patches: their sizes, places and turns, with Pillow's rotation as the independent reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from asbench.imaging.patches import elsewhere, paste, place, rectangle, rotate

DRAWS = 2000
SIDES = st.integers(1, 40)


def test_rectangles_have_the_drawn_area_and_log_uniform_aspect() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array(
        [rectangle(rng, (1000, 800), (0.02, 0.15), (0.3, 1 / 0.3)) for _ in range(DRAWS)]
    )
    area = sizes.prod(axis=1) / 800_000
    logs = np.log(sizes[:, 1] / sizes[:, 0])
    assert 0.0195 < area.min() < 0.021
    assert 0.149 < area.max() < 0.1505
    assert area.mean() == pytest.approx(0.085, abs=0.003)
    # Uniform on (-1.204, 1.204): mean 0, standard deviation 1.204 / sqrt 3.
    assert np.abs(logs).max() < 1.21
    assert logs.mean() == pytest.approx(0, abs=0.06)
    assert logs.std() == pytest.approx(0.695, abs=0.02)


@given(SIDES, SIDES, st.integers(0, 999))
def test_rectangles_stay_within_any_image(height: int, width: int, seed: int) -> None:
    h, w = rectangle(np.random.default_rng(seed), (height, width), (0.02, 1.0), (0.1, 10.0))
    assert 1 <= h <= height
    assert 1 <= w <= width


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([0.0, 0.1, 0.4]), st.integers(0, 99))
def test_places_lie_inside_where_there_is_room(
    h: int, w: int, height: int, width: int, margin: float, seed: int
) -> None:
    at = place(np.random.default_rng(seed), (h, w), (height, width), margin)
    for start, length, side in zip(at, (h, w), (height, width), strict=True):
        assert start >= 0
        if length <= side:
            assert start + length <= side
        else:
            assert start == 0
        if length + 2 * margin * side + 1 <= side:
            assert start >= margin * side - 1e-9
            assert start + length <= (1 - margin) * side + 1e-9


def test_every_place_is_drawn_alike_often() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.array([place(rng, (3, 5), (6, 8)) for _ in range(DRAWS)]).T
    for places in (rows, columns):
        counts = np.bincount(places, minlength=4)
        assert len(counts) == 4
        assert np.abs(counts - DRAWS / 4).max() < 5 * np.sqrt(DRAWS * 3 / 16)


@settings(deadline=None)
@given(SIDES, SIDES, st.decimals(-180, 180, places=2).map(float), st.booleans(), st.integers(0, 99))
def test_rotation_agrees_with_pillow(
    height: int, width: int, degrees: float, expand: bool, seed: int
) -> None:
    patch = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    turned, alpha = rotate(patch, degrees, expand)
    theirs = np.asarray(Pillow.fromarray(patch).rotate(degrees, expand=expand))
    np.testing.assert_array_equal(turned.any(axis=2), alpha)
    assert turned.shape == theirs.shape
    # Pillow's 16-bit fixed point rounds a few pixels to the neighbour.
    same = (turned == theirs).all(axis=2).mean()
    assert same > 0.85 or turned[..., 0].size < 30


@given(SIDES, SIDES, st.integers(-2, 2))
def test_right_angles_lose_nothing(height: int, width: int, quarters: int) -> None:
    patch = np.arange(height * width * 3, dtype=np.uint64).reshape(height, width, 3)
    patch = (patch % 255 + 1).astype(np.uint8)
    turned, alpha = rotate(patch, 90.0 * quarters)
    assert alpha.all()
    np.testing.assert_array_equal(turned, np.rot90(patch, quarters))


def test_the_expanded_canvas_holds_the_whole_strip() -> None:
    strip = np.full((25, 6, 3), 200, np.uint8)
    for degrees in range(-45, 46, 5):
        turned, alpha = rotate(strip, degrees)
        assert alpha.sum() == pytest.approx(150, rel=0.06)
        assert (turned[~alpha] == 0).all()
        assert (turned[alpha] == 200).all()


@given(SIDES, SIDES, SIDES, SIDES, st.integers(-50, 50), st.integers(-50, 50), st.booleans())
def test_paste_changes_the_pasted_pixels_alone(
    height: int, width: int, h: int, w: int, top: int, left: int, whole: bool
) -> None:
    rng = np.random.default_rng(height * width + h * w)
    image = rng.integers(0, 128, (height, width, 3), dtype=np.uint8)
    patch = rng.integers(128, 256, (h, w, 3), dtype=np.uint8)
    alpha = None if whole else rng.random((h, w)) < 0.5
    before = image.copy()
    pasted, mask = paste(image, patch, (top, left), alpha)
    expected, where = image.copy(), np.zeros((height, width), np.bool_)
    for y in range(h):
        for x in range(w):
            inside = 0 <= top + y < height and 0 <= left + x < width
            if inside and (alpha is None or alpha[y, x]):
                expected[top + y, left + x], where[top + y, left + x] = patch[y, x], True
    np.testing.assert_array_equal(pasted, expected)
    np.testing.assert_array_equal(mask, where)
    np.testing.assert_array_equal(image, before)


def test_a_small_patch_is_cut_from_inside_the_image_and_a_large_one_shows_it_mirrored() -> None:
    rows, columns = np.mgrid[:40, :60]
    image = np.stack((rows, columns, rows * 0), axis=-1).astype(np.uint8)
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(200):
        patch = elsewhere(rng, image, (8, 10))
        places.add((int(patch[0, 0, 0]), int(patch[0, 0, 1])))
        np.testing.assert_array_equal(patch[:, 0, 0], np.arange(8) + patch[0, 0, 0])
    assert len(places) > 150
    whole = [elsewhere(rng, image, (40, 60)) for _ in range(30)]
    assert sum(np.array_equal(patch, image) for patch in whole) <= 1
    for patch in whole:  # mirrored, so no row is further from its neighbour than one step
        assert np.abs(np.diff(patch[..., 0].astype(int), axis=0)).max() <= 1

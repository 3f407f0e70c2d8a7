"""Shapes at random places: their sizes, and that nothing of them is lost."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging import regions
from synth_store.types import Mask

SHAPE = (96, 160)
AREA = (0.02, 0.15)


def drawn(draw: Callable[[np.random.Generator], Mask], count: int = 300) -> list[Mask]:
    rng = np.random.default_rng(0)
    return [draw(rng) for _ in range(count)]


@pytest.mark.parametrize(
    ("draw", "tolerance"),
    [
        (lambda rng: regions.rectangle(rng, SHAPE, AREA, (0.5, 2)), 0.1),
        (lambda rng: regions.strip(rng, SHAPE, AREA, (0.8, 1.25), 45), 0.1),
        (lambda rng: regions.disc(rng, SHAPE, AREA), 0.1),
    ],
)
def test_areas_are_uniform_within_their_bounds(
    draw: Callable[[np.random.Generator], Mask], tolerance: float
) -> None:
    areas = np.array([mask.mean() for mask in drawn(draw)])
    assert areas.min() > AREA[0] * (1 - tolerance)
    assert areas.max() < AREA[1] * (1 + tolerance)
    # Five standard errors of a uniform mean.
    assert abs(areas.mean() - sum(AREA) / 2) < 5 * (AREA[1] - AREA[0]) / np.sqrt(12 * 300) + 1e-3


def test_rectangles_and_discs_are_what_they_are_called() -> None:
    for mask in drawn(lambda rng: regions.rectangle(rng, SHAPE, AREA, (0.3, 3)), 50):
        _, _, width, height = cv2.boundingRect(mask.view(np.uint8))
        assert mask.sum() == width * height
    for mask in drawn(lambda rng: regions.disc(rng, SHAPE, AREA), 50):
        _, _, width, height = cv2.boundingRect(mask.view(np.uint8))
        assert abs(width - height) <= 1
        assert mask.sum() == pytest.approx(np.pi / 4 * width * height, rel=0.12)


def test_cells_cover_a_third_of_a_window() -> None:
    for mask in drawn(lambda rng: regions.cells(rng, SHAPE, AREA), 100):
        _, _, width, height = cv2.boundingRect(mask.view(np.uint8))
        assert 0.2 < mask.sum() / (width * height) < 0.75
        assert 0.01 < mask.mean() < 0.2


def test_fractals_lie_within_their_square() -> None:
    masks = drawn(lambda rng: regions.fractal(rng, SHAPE, AREA, 75.0), 100)
    areas = np.array([mask.mean() for mask in masks])
    assert (areas < 1.5 * AREA[1]).all()
    assert np.count_nonzero(areas) >= 97  # a thickening stamp is empty once in 512
    assert 0.2 < areas.mean() / (sum(AREA) / 2) < 1.0


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    height, width = draw(st.integers(4, 30)), draw(st.integers(4, 30))
    mask = np.zeros((height, width), np.bool_)
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : top + draw(st.integers(1, 6)), left : left + draw(st.integers(1, 6))] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(0, 2**32 - 1), st.booleans())
def test_a_mask_that_is_not_turned_keeps_every_pixel(mask: Mask, seed: int, mirrored: bool) -> None:
    before = mask.copy()
    rng = np.random.default_rng(seed)
    moved = regions.moved(rng, mask, anywhere=True, mirrored=mirrored, max_degrees=0)
    assert moved.sum() == mask.sum()
    assert cv2.boundingRect(moved.view(np.uint8))[2:] == cv2.boundingRect(before.view(np.uint8))[2:]
    here = regions.moved(rng, mask, anywhere=False, mirrored=False, max_degrees=0)
    np.testing.assert_array_equal(here, before)
    assert not np.shares_memory(here, mask)
    np.testing.assert_array_equal(mask, before)


def test_a_turned_mask_keeps_its_area_and_reaches_every_edge() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[10:20, 30:50] = True
    edges = np.zeros((64, 64), np.bool_)
    for moved in drawn(
        lambda rng: regions.moved(rng, mask, anywhere=True, mirrored=True, max_degrees=180), 400
    ):
        assert moved.sum() == pytest.approx(200, rel=0.1)
        edges |= moved
    assert edges[0].any()
    assert edges[-1].any()
    assert edges[:, 0].any()
    assert edges[:, -1].any()
    turned = regions.moved(
        np.random.default_rng(1), mask, anywhere=False, mirrored=False, max_degrees=180
    )
    assert np.argwhere(turned).mean(axis=0) == pytest.approx([14.5, 39.5], abs=1)


@pytest.mark.parametrize("shape", [(8, 8), (24, 24), (8, 40)])
def test_tiny_images_get_masks_of_their_size(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        for mask in (
            regions.rectangle(rng, shape, AREA, (0.3, 3)),
            regions.disc(rng, shape, AREA),
            regions.strip(rng, shape, AREA, (0.05, 0.2), 90),
            regions.cells(rng, shape, AREA),
            regions.fractal(rng, shape, AREA, 75),
        ):
            assert mask.shape == shape
            assert mask.dtype == np.bool_
        assert regions.disc(rng, shape, (0.0001, 0.0002)).any()

"""The band around a border, and what masks say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asbench.quality.record import Score
from asbench.quality.regions import BAND, MaskStatistics, band


def boxed(top: int, left: int, size: int, side: int = 128) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_the_band_lies_on_either_side_of_the_border() -> None:
    mask, radius = boxed(40, 40, 30), round(128 * BAND)
    found = band(mask)
    row = np.flatnonzero(found[55])
    expected = [*range(40 - radius, 40 + radius), *range(70 - radius, 70 + radius)]
    np.testing.assert_array_equal(row, expected)
    assert (found & mask).any()
    assert (found & ~mask).any()


@pytest.mark.parametrize("mask", [np.zeros((64, 64), bool), np.ones((64, 64), bool)])
def test_no_border_no_band(mask: np.ndarray) -> None:
    assert not band(mask).any()


def test_an_image_edge_is_no_border() -> None:
    found = band(boxed(0, 0, 64))
    assert not found[:60, :60].any()
    assert found[64, 10]


def statistics(masks: list[np.ndarray], change: int = 0) -> dict[str, Score]:
    found = MaskStatistics()
    stack = np.stack(masks)
    rng = np.random.default_rng(0)
    clean = rng.integers(50, 100, (*stack.shape, 3), dtype=np.uint8)
    image = clean + (stack[..., None] * change).astype(np.uint8)
    found.add(image[:1], stack[:1], clean[:1])
    found.add(image[1:], stack[1:], clean[1:])
    return {score.address: score for score in found.scores()}


def test_statistics_of_masks_by_hand() -> None:
    two = boxed(0, 0, 32) | boxed(96, 96, 32)
    found = statistics([boxed(0, 0, 32), two, boxed(0, 96, 32)], change=51)
    area = 1024 / 128**2
    assert found["mask_area:self:whole"].value == pytest.approx(area * 4 / 3)
    assert found["mask_regions:self:whole"].value == pytest.approx(4 / 3)
    # Half of `two` is the first mask; the third meets neither.
    assert found["mask_distance:self:whole"].value == pytest.approx((0.5 + 1 + 1) / 3)
    # 16 cells of 1/3, 16 of 1/6 twice: masks weigh alike, whatever their size.
    shares = np.repeat([1 / 3 + 1 / 6, 1 / 6, 1 / 3], 16) / 16
    entropy = -(shares * np.log(shares)).sum() / math.log(256)
    assert found["mask_position:self:whole"].value == pytest.approx(entropy)
    assert found["change:clean:inside"].value == pytest.approx(0.2)
    assert found["change:clean:whole"].value == pytest.approx(0.2 * area * 4 / 3)
    assert found["change_outside:clean:whole"].value == 0
    assert found["border_gradient:clean:border"].value > 1
    assert found["change:clean:border"].n == 3
    assert found["change_levels:clean:inside"].value == 51
    assert found["mask_unchanged:clean:inside"].value == 0


def test_changes_are_told_with_the_noise_and_the_share_of_the_mask() -> None:
    found, mask = MaskStatistics(noise=1.5), boxed(0, 0, 32)
    clean = np.full((2, 128, 128, 3), 90, np.uint8)
    image = clean.copy()
    image[0, :16, :32], image[1, :32, :32] = 110, 130
    found.add(image, np.stack([mask, mask]), clean)
    scores = {score.address: score for score in found.scores()}
    assert scores["change_levels:clean:inside"].value == 30
    assert scores["change_levels:clean:inside"].note == "noise 1.50"
    assert scores["mask_unchanged:clean:inside"].value == 0.25


def test_positions_everywhere_alike_have_entropy_one() -> None:
    found = statistics([np.ones((64, 64), bool)] * 2)
    assert found["mask_position:self:whole"].value == pytest.approx(1)
    outside = found["change_outside:clean:whole"]
    assert math.isnan(outside.value)
    assert outside.reason == "no such pixels"


def test_a_sample_without_an_edge_has_gradient_one() -> None:
    assert statistics([boxed(40, 40, 30)] * 2)["border_gradient:clean:border"].value == 1

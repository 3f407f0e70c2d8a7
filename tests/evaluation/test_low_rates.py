"""AUPIMO and sPRO against references that walk through thresholds one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.evaluation.low_rates import aupimo, spro
from asbench.evaluation.metrics import best_f1_threshold, pixel_metrics
from asbench.files.saturation import Region

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def defects(seed: int, levels: int = 0, n: int = 8, side: int = 40) -> tuple[Maps, Masks]:
    """Return noisy maps of half normal, half defective images; `levels`: so many values alone."""
    rng = np.random.default_rng(seed)
    maps = rng.random((n, side, side), np.float32)
    masks = np.zeros(maps.shape, bool)
    for i in range(n // 2, n):
        top, left = rng.integers(0, side - 9, 2)
        masks[i, top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = True
        maps[i][masks[i]] += rng.random() ** 2
    return (np.floor(maps * levels) / levels if levels else maps).astype(np.float32), masks


def pimo_by_thresholds(maps: Maps, masks: Masks, lower: float, upper: float) -> list[float]:
    """As the paper defines it: every score is a threshold, and the curve is what they give.

    The shared rate is the mean over normal images of each image's rate.
    """
    normal = [m for m, mask in zip(maps, masks, strict=True) if not mask.any()]
    thresholds = np.unique(maps)[::-1]
    fpr = np.mean([[(m >= t).mean() for t in thresholds] for m in normal], axis=0)
    fine = np.exp(np.linspace(math.log(lower), math.log(upper), 40_001))
    values = []
    for scores, mask in zip(maps, masks, strict=True):
        if not mask.any():
            values.append(math.nan)
            continue
        tpr = np.array([(scores[mask] >= t).mean() for t in thresholds])
        # right-continuous on rates that stand still, straight between rates that differ
        last = np.append(fpr[1:] != fpr[:-1], True)
        x, y_after = fpr[last], tpr[last]
        first = np.append(True, fpr[1:] != fpr[:-1])
        y_before = tpr[first]
        x, y_after = np.append(0.0, x), np.append(0.0 if x[0] > 0 else y_after[0], y_after)
        y_before = np.append(0.0, y_before)
        at = np.searchsorted(x, fine, side="right") - 1
        ahead = np.minimum(at + 1, len(x) - 1)
        gap = np.where(ahead > at, x[ahead] - x[at], 1.0)
        y = y_after[at] + (fine - x[at]) / gap * (y_before[ahead] - y_after[at])
        values.append(float(np.trapezoid(y, np.log(fine)) / math.log(upper / lower)))
    return values


@pytest.mark.parametrize("levels", [0, 7, 60])
@pytest.mark.parametrize("seed", range(3))
def test_aupimo_is_that_of_all_thresholds(seed: int, levels: int) -> None:
    maps, masks = defects(seed, levels, n=6, side=24)
    bounds = (1e-3, 3e-2)
    got = aupimo(maps, masks, bounds)
    assert np.allclose(
        got.images, pimo_by_thresholds(maps, masks, *bounds), atol=2e-4, equal_nan=True
    )
    assert got.mean == pytest.approx(np.nanmean(got.images))
    small = aupimo(maps, masks, bounds, block=100)  # kept piece by piece
    assert np.array_equal(small.images, got.images, equal_nan=True)


def anomalib_scores(maps: Maps, masks: Masks, lower: float, upper: float) -> list[float]:
    """As anomalib does: 20,000 even thresholds over normal scores, trapezoids over ln FPR."""
    is_normal = ~masks.any(axis=(1, 2))
    low, high = maps[is_normal].min(), maps[is_normal].max()
    thresholds = np.linspace(low, high, 20_000)
    fpr = np.mean([1 - np.searchsorted(np.sort(m.ravel()), thresholds) / m.size
                   for m in maps[is_normal]], axis=0)  # fmt: skip
    first, last = (int(np.argmin(np.abs(fpr - bound))) for bound in (upper, lower))
    span = slice(first, last + 1)
    values = []
    for scores, mask in zip(maps[~is_normal], masks[~is_normal], strict=True):
        found = np.sort(scores[mask])
        tpr = 1 - np.searchsorted(found, thresholds) / found.size
        area = np.trapezoid(tpr[span][::-1], np.log(fpr[span][::-1]))
        values.append(float(area / math.log(upper / lower)))
    return values


def test_aupimo_is_what_anomalib_comes_near_to() -> None:
    maps, masks = defects(5, n=12, side=128)
    bounds = (1e-3, 1e-2)
    got = [v for v in aupimo(maps, masks, bounds).images if not math.isnan(v)]
    assert np.allclose(got, anomalib_scores(maps, masks, *bounds), atol=0.01)


def test_aupimo_of_perfect_useless_and_undefined_maps() -> None:
    masks = np.zeros((3, 400, 400), bool)
    masks[2, :9, :9] = True
    perfect = aupimo(masks.astype(np.float32), masks)
    assert (perfect.mean, perfect.images[2]) == (1.0, 1.0)
    assert math.isnan(perfect.images[0])
    equal = aupimo(np.zeros(masks.shape, np.float32), masks).mean
    lower, upper = 1e-5, 1e-4  # a straight line from (0, 0) to (1, 1)
    assert equal == pytest.approx((upper - lower) / math.log(upper / lower))
    few = aupimo(masks[:, :100, :100].astype(np.float32), masks[:, :100, :100])
    assert math.isnan(few.mean)
    assert few.reason == "normal images have 20,000 pixels, and a rate of 1e-05 needs 100,000"
    assert aupimo(np.zeros((1, 9, 9)), np.zeros((1, 9, 9), bool)).reason == "no anomalous pixel"
    with pytest.raises(ValueError, match="bounds are false positive rates"):
        aupimo(masks.astype(np.float32), masks, (0.1, 0.01))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 3, 20]))
def test_aupimo_asks_for_ranks_alone(seed: int, levels: int) -> None:
    maps, masks = defects(seed, levels, n=4, side=20)
    bounds = (1e-2, 0.3)
    same = aupimo(np.exp(3 * maps.astype(np.float64)), masks, bounds).images
    assert np.allclose(aupimo(maps, masks, bounds).images, same, equal_nan=True)


def spro_by_thresholds(
    maps: Maps, masks: Masks, regions: list[list[Region]], limit: float
) -> float:
    """Return the area under the curve through every distinct score, cut at `limit`."""
    thresholds = np.unique(maps)[::-1]
    normal = maps[~masks]
    x, y = [0.0], [0.0]
    for t in thresholds:
        parts = [
            min((maps[i][r.mask] >= t).sum() / r.pixels, 1.0) for i, of in enumerate(regions)
            for r in of
        ]  # fmt: skip
        x.append(float((normal >= t).mean()))
        y.append(float(np.mean(parts)))
    fine = np.linspace(0, limit, 200_001)
    # of points at one rate the last counts to its right, the first to its left
    order = np.arange(len(x)) * 1e-13
    return float(np.trapezoid(np.interp(fine, np.array(x) + order, y), fine) / limit)


@pytest.mark.parametrize("levels", [0, 9])
def test_spro_is_that_of_all_thresholds(levels: int) -> None:
    maps, masks = defects(3, levels, side=24)
    regions: list[list[Region]] = [[] for _ in masks]
    for i in range(4, 8):
        regions[i].append(Region(masks[i].copy(), max(1, int(masks[i].sum()) // 3)))
    other = np.zeros_like(masks[5])
    other[2:6, 1:20] = True  # regions may overlap
    regions[5].append(Region(other, 4))
    masks[5] |= other
    got = spro(maps, masks, regions, limit=0.2, block=50)
    assert got.regions == 5
    assert got.value == pytest.approx(spro_by_thresholds(maps, masks, regions, 0.2), abs=2e-4)


def test_spro_without_saturation_is_pro() -> None:
    """Where all of a region must be found, and regions do not touch."""
    maps, masks = defects(8)
    regions: list[list[Region]] = [
        [Region(m.copy(), int(m.sum()))] if m.any() else [] for m in masks
    ]
    whole = spro(maps, masks, regions, limit=0.3).value
    assert whole == pytest.approx(pixel_metrics(maps, masks).pro, abs=1e-12)
    half = [[Region(r.mask, max(1, r.pixels // 2)) for r in of] for of in regions]
    assert spro(maps, masks, half, limit=0.3).value > whole


def test_spro_is_undefined_without_regions_or_normal_pixels() -> None:
    maps = np.zeros((1, 5, 5), np.float32)
    assert spro(maps, maps > 0, [[]]).reason == "no region"
    full = np.ones((1, 5, 5), bool)
    assert spro(maps, full, [[Region(full[0], 3)]]).reason == "no normal pixel"


def test_pixel_f1_is_the_best_of_all_thresholds() -> None:
    maps, masks = defects(2, 30)
    brute = max(
        2 * (masks & (maps >= t)).sum() / (masks.sum() + (maps >= t).sum()) for t in np.unique(maps)
    )
    assert pixel_metrics(maps, masks).f1 == pytest.approx(brute)
    assert pixel_metrics(maps, masks).f1 == best_f1_threshold(maps, masks).f1
    nothing: Any = np.zeros_like(masks)
    assert math.isnan(pixel_metrics(maps, nothing).f1)

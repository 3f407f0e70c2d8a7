"""The exact metrics against scikit-learn and against a slow reading of the definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from asbench.evaluation import metrics, pixels
from asbench.evaluation.metrics import (
    best_f1_threshold,
    image_ap,
    image_auroc,
    image_metrics,
    per_image_ap,
    pixel_metrics,
    pixel_metrics_without,
    region_count,
)
from synth_store.types import UserError

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
KINDS = ("smooth", "tied", "saturated", "constant")


def brute_force_pro(maps, masks, limit=0.3):
    """PRO by its definition: every score a threshold, every region looked at on its own."""
    regions = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(index, labels == number) for number in range(1, count + 1)]
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        over = maps >= threshold
        overlap = np.mean([over[index][region].mean() for index, region in regions])
        curve.append((over[~masks].mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def example(kind, seed, n=5, size=24):
    """Return maps with something to find, and masks: one empty, one with defects in two corners."""
    rng = np.random.default_rng(seed)
    masks = ndimage.gaussian_filter(rng.random((n, size, size)), (0, 2, 2)) > 0.55
    masks[0] = False
    masks[1] = False
    masks[1, :3, :3] = masks[1, -2:, -4:] = True
    maps = ndimage.gaussian_filter(rng.random((n, size, size)), (0, 1, 1)) + 0.05 * masks
    maps = {
        "smooth": maps,
        "tied": np.round(maps * 25),
        "saturated": np.clip((maps - 0.45) * 10, 0, 1),
        "constant": np.full_like(maps, 0.25),
    }[kind]
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_pixel_metrics_equal_the_references(kind, seed):
    maps, masks = example(kind, seed)
    found = pixel_metrics(maps, masks)
    truth, scores = masks.ravel(), maps.ravel()
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=TOLERANCE)
    assert found.ap == pytest.approx(average_precision_score(truth, scores), abs=TOLERANCE)
    assert found.pro == pytest.approx(brute_force_pro(maps, masks), abs=TOLERANCE)
    assert (found.anomalous, found.normal) == (masks.sum(), (~masks).sum())
    assert found.regions == sum(ndimage.label(m, np.ones((3, 3)))[1] for m in masks)
    assert not found.reasons


@st.composite
def small_test_sets(draw):
    """Few pixels with few scores: ties within and between the classes, regions of every shape."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    levels = draw(st.sampled_from([1, 2, 4, 100]))
    maps = draw(hnp.arrays(np.float32, shape, elements=st.integers(-levels, levels)))
    masks = draw(hnp.arrays(np.bool_, shape))
    return maps, masks


@settings(max_examples=200, deadline=None)
@given(small_test_sets(), st.sampled_from([0.05, 0.3, 1.0]))
def test_pixel_metrics_equal_the_references_on_any_small_set(small, limit):
    maps, masks = small
    found = pixel_metrics(maps, masks, limit=limit)
    if masks.all() or not masks.any():
        assert np.isnan([found.auroc, found.ap, found.pro]).all()
        assert set(found.reasons) == {"auroc", "ap", "pro"}
        return
    truth, scores = masks.ravel(), maps.ravel()
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=TOLERANCE)
    assert found.ap == pytest.approx(average_precision_score(truth, scores), abs=TOLERANCE)
    assert found.pro == pytest.approx(brute_force_pro(maps, masks, limit), abs=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_sorting_in_many_blocks_changes_nothing(kind, monkeypatch):
    maps, masks = example(kind, 0, n=9)
    whole = pixel_metrics(maps, masks)
    monkeypatch.setattr(metrics, "_BLOCK", 1000)
    monkeypatch.setattr(metrics, "_BLOCK_PER_ANOMALOUS", 0)
    pairs, every, buffer = pixels.pairs(maps, masks), np.ones(9, bool), np.empty(1000)
    assert len(list(pixels.normal_pixels(pairs, every, buffer))) > 4
    assert pixel_metrics(maps, masks) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left_out", [[0], [1, 3], [2, 3, 4], range(5), []])
def test_a_part_is_scored_from_the_same_sort_as_if_by_itself(kind, left_out):
    maps, masks = example(kind, 4)
    aside = np.isin(range(len(maps)), list(left_out))
    full, part = pixel_metrics_without(maps, masks, aside)
    assert repr(full) == repr(pixel_metrics(maps, masks))
    assert repr(part) == repr(pixel_metrics(maps[~aside], masks[~aside]))


@pytest.mark.parametrize("change", [np.exp2, np.cbrt, lambda x: 3 * x - 7, np.arctan])
def test_no_increasing_change_of_the_scores_matters(change):
    maps, masks = example("tied", 1)
    changed = change(maps.astype(np.float64) / 8)
    assert len(np.unique(changed)) == len(np.unique(maps))
    assert pixel_metrics(changed, masks) == pixel_metrics(maps, masks)


@pytest.mark.parametrize("limit", [0.1, 0.3, 1.0])
def test_perfect_scores_have_one_and_reversed_ones_none(limit):
    _, masks = example("smooth", 2)
    perfect = pixel_metrics(masks.astype(np.float32), masks, limit=limit)
    assert (perfect.auroc, perfect.ap, perfect.pro) == (1, 1, 1)
    # all normal pixels tie above every defect: the curve runs along the axis up to FPR 1
    wrong = pixel_metrics((~masks).astype(np.float32), masks, limit=limit)
    assert (wrong.auroc, wrong.pro) == (0, 0)


@pytest.mark.parametrize("limit", [0.1, 0.3, 1.0])
def test_scores_that_tell_nothing_have_half_and_half_the_limit(limit):
    """One threshold takes all at once: the curve is the diagonal, its area to L is L^2 / 2."""
    maps, masks = example("constant", 2)
    constant = pixel_metrics(maps, masks, limit=limit)
    assert constant.auroc == pytest.approx(0.5, abs=TOLERANCE)
    assert constant.ap == pytest.approx(masks.mean(), abs=TOLERANCE)
    assert constant.pro == pytest.approx(limit / 2, abs=TOLERANCE)
    drawn = np.random.default_rng(5).random((40, 64, 64), dtype=np.float32)
    random = pixel_metrics(drawn, np.random.default_rng(6).random(drawn.shape) < 0.1, limit=limit)
    assert random.auroc == pytest.approx(0.5, abs=0.02)
    assert random.pro == pytest.approx(limit / 2, abs=0.02)


def test_a_small_region_weighs_as_much_as_a_large_one():
    """Of two regions, 1 and 9 pixels, only the small one is found: half the overlap, 1/10 TPR."""
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 0, 0] = masks[0, 3:6, 3:6] = True
    maps = np.where(masks, np.float32(-1), np.float32(0))
    maps[0, 0, 0] = 1
    found = pixel_metrics(maps, masks)
    assert found.pro == pytest.approx(0.5 + 0.0 * 0.3)
    assert found.auroc == pytest.approx(0.1)


def test_regions_are_8_connected():
    diagonal = np.eye(5, dtype=bool)
    assert region_count(diagonal) == 1
    corners = np.zeros((4, 4), bool)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    assert region_count(corners) == 4
    assert region_count(np.zeros((3, 3), bool)) == 0
    assert pixel_metrics(np.zeros((2, 5, 5)), np.stack([diagonal, diagonal[::-1]])).regions == 2


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_regions_are_those_of_scipy(mask):
    assert region_count(mask) == ndimage.label(mask, structure=np.ones((3, 3)))[1]


def test_the_limit_cuts_between_two_thresholds():
    """4 normal scores above the defect of 10: the curve is 0 up to FPR 0.4, then 1."""
    maps = np.array([[[5, 5, 5, 5, 3, 1, 1, 1, 1, 1, 1]]], np.float32)
    masks = maps == 3
    assert pixel_metrics(maps, masks, limit=0.3).pro == 0
    assert pixel_metrics(maps, masks, limit=0.5).pro == pytest.approx(0.1 / 0.5)
    # tied with two of them it rises from (0.2, 0) to (0.4, 1): at 0.3 it stands at 1/2
    maps[0, 0, 2:5] = 3
    assert pixel_metrics(maps, masks, limit=0.3).pro == pytest.approx(0.1 * 0.5 / 2 / 0.3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_scores_of_any_precision(dtype):
    maps, masks = example("tied", 0)
    assert pixel_metrics(maps.astype(dtype), masks) == pixel_metrics(maps, masks)


def test_images_of_different_sizes_and_precisions():
    rng = np.random.default_rng(0)
    maps = [rng.random((4 + i, 9 - i)).astype([np.float32, np.float64][i % 2]) for i in range(4)]
    masks = [rng.random(m.shape) < 0.3 for m in maps]
    found = pixel_metrics(maps, masks)
    truth = np.concatenate([m.ravel() for m in masks])
    scores = np.concatenate([m.ravel() for m in maps])
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=TOLERANCE)


def test_inputs_are_left_as_they_were():
    maps, masks = example("smooth", 0)
    masks[2] = ~masks[0]
    before = maps.copy(), masks.copy()
    maps.flags.writeable = masks.flags.writeable = False
    pixel_metrics(maps, masks)
    pixel_metrics(maps[:, ::-1, ::2], masks[:, ::-1, ::2])
    per_image_ap(maps[1], masks[1])
    scores, labels = maps[:, 0, 0], np.arange(5) % 2
    image_metrics(scores, labels)
    best_f1_threshold(scores, labels)
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_one_class_alone_has_no_value_but_a_reason():
    maps, masks = example("smooth", 0)
    normal = pixel_metrics(maps, np.zeros_like(masks))
    assert np.isnan([normal.auroc, normal.ap, normal.pro]).all()
    assert normal.reasons == dict.fromkeys(("auroc", "ap", "pro"), "no anomalous pixel")
    assert (normal.regions, normal.normal) == (0, masks.size)
    full = pixel_metrics(maps, np.ones_like(masks))
    assert full.reasons["pro"] == "no normal pixel"
    assert pixel_metrics([], []).reasons["auroc"] == "no normal and no anomalous pixel"
    assert np.isnan(per_image_ap(maps[0], masks[0]))
    assert np.isnan(image_auroc([1.0, 2.0], [1, 1]))
    assert np.isnan(image_ap([1.0, 2.0], [0, 0]))
    assert image_metrics([1.0, 2.0], [1, 1]).reasons == dict.fromkeys(
        ("auroc", "ap"), "no normal image"
    )
    assert best_f1_threshold([1.0], [0]).reasons["f1"] == "no anomalous item"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_image_metrics_equal_scikit_learn(data):
    n = data.draw(st.integers(2, 30))
    scores = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n)), float)
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    labels[:2] = 0, 1
    found = image_metrics(scores, labels)
    assert found.auroc == pytest.approx(roc_auc_score(labels, scores), abs=TOLERANCE)
    assert found.ap == pytest.approx(average_precision_score(labels, scores), abs=TOLERANCE)
    best = best_f1_threshold(scores, labels)
    f1 = {t: f1_score(labels, scores >= t) for t in np.unique(scores)}
    assert best.f1 == pytest.approx(max(f1.values()), abs=TOLERANCE)
    assert best.f1 == pytest.approx(f1[best.threshold], abs=TOLERANCE)


def test_pixel_ap_of_one_image_is_scikit_learns():
    maps, masks = example("saturated", 0)
    expected = average_precision_score(masks[1].ravel(), maps[1].ravel())
    assert per_image_ap(maps[1], masks[1]) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(bad):
    maps, masks = example("smooth", 0)
    maps[3, 4, 5] = bad
    with pytest.raises(UserError, match="image 3 is not finite"):
        pixel_metrics(maps, masks)
    with pytest.raises(UserError, match="image 0"):
        per_image_ap(maps[3], masks[3])
    with pytest.raises(UserError, match=f"score 1 is {bad}"):
        image_auroc([0.0, bad], [0, 1])


def test_what_does_not_fit_is_refused():
    maps, masks = example("smooth", 0)
    with pytest.raises(ValueError, match="5 maps do not go with 4 masks"):
        pixel_metrics(maps, masks[:4])
    with pytest.raises(ValueError, match="image 0: its mask must be bool"):
        pixel_metrics(maps, masks.astype(np.uint8))
    with pytest.raises(ValueError, match="image 0: its mask"):
        pixel_metrics(maps, masks[:, :-1])
    with pytest.raises(ValueError, match="limit"):
        pixel_metrics(maps, masks, limit=0)
    with pytest.raises(ValueError, match="labels are 0"):
        image_auroc([1.0, 2.0], [1, 2])
    with pytest.raises(ValueError, match="do not go with"):
        image_auroc([1.0, 2.0], [1])

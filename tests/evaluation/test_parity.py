"""Published ways of scoring, each against its rule worked out in plain loops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from asbench.detectors import resolve
from asbench.evaluation import parity
from asbench.evaluation.metrics import image_metrics, pixel_metrics
from asbench.evaluation.parity import FLAVOURS, flavour_of, parity_scores
from asbench.evaluation.score import TestScores
from asbench.evaluation.testset import TestSet
from asbench.nets.detector import Detector
from asbench.types import Dataset, Item
from synth_store.types import Geometry, Mask, UserError
from tests.trees import soft

LIMIT = 0.3


# --- PRO ---


def case(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Six maps of 12x12 with regions of several sizes, two of them touching by a corner."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((6, 12, 12), bool)
    for image, box in (
        (0, (1, 5, 1, 4)),
        (1, (0, 3, 8, 12)),
        (1, (3, 5, 6, 8)),
        (2, (9, 10, 2, 9)),
    ):
        masks[image, box[0] : box[1], box[2] : box[3]] = True
    masks[4, 7, 7] = True
    maps = rng.random(masks.shape) + masks * rng.random((6, 1, 1))
    maps = np.round(maps * 6) / 12 if ties else maps / 2
    return maps.astype(np.float32), masks


def region_scores(maps: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
    found = []
    for scores, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        found += [scores[labels == k] for k in range(1, count + 1)]
    return found


def area(x: list[float], y: list[float], limit: float) -> float:
    """The area under straight lines from 0 to limit."""
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise(zip(x, y, strict=True)):
        end = min(x1, limit)
        if end > x0:
            there = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            total += (end - x0) * (y0 + there) / 2
    return total


CASES = pytest.mark.parametrize(("seed", "ties"), [(0, False), (1, False), (2, True), (3, True)])


@CASES
@pytest.mark.parametrize("count", [2, 10, 100])
def test_quantile_pro_is_its_rule(seed: int, ties: bool, count: int) -> None:
    maps, masks = case(seed, ties)
    normal = sorted(maps[~masks].tolist())
    x, y = [1.0], [1.0]
    for k in range(count):
        rank = int(k * (len(normal) - 1) / (count - 1))
        shares = [(r > np.float32(normal[rank])).mean() for r in region_scores(maps, masks)]
        x.append(1 - (rank + 1) / len(normal))
        y.append(float(np.mean(shares)))
    wanted = area(x[::-1], y[::-1], LIMIT) / LIMIT
    assert parity.quantile_pro(maps, masks, thresholds=count) == pytest.approx(wanted, abs=1e-9)


def torch_roc(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """FPR and TPR from (0, 0) on, one corner a distinct score: torchmetrics 0.10's `roc`."""
    order = torch.argsort(scores, descending=True, stable=True)
    scores, positive = scores[order], positive[order].long()
    last = torch.cat([torch.where(scores.diff() != 0)[0], torch.tensor([len(scores) - 1])])
    tp = positive.cumsum(0)[last]
    fp = 1 + last - tp
    tp, fp = (torch.cat([torch.zeros(1, dtype=torch.long), count]) for count in (tp, fp))
    return fp / fp[-1], tp / tp[-1]


def destseg_pro(maps: np.ndarray, masks: np.ndarray) -> float:
    """DeSTSeg's AUPRO, step by step as its `model/metrics.py` takes them, in float32 on torch."""
    regions, count = np.zeros(masks.shape, np.int64), 0
    for index, mask in enumerate(masks):
        labels, found = ndimage.label(mask, np.ones((3, 3)))
        regions[index][mask] = labels[mask] + count
        count += found
    scores, labels = torch.from_numpy(maps).flatten(), torch.from_numpy(regions).flatten()
    limit = torch.tensor(LIMIT)
    size = int((torch_roc(scores, labels > 0)[0] <= limit).sum())
    fpr_sum, tpr_sum = torch.zeros(size), torch.zeros(size)
    sample_at = torch.arange(size, dtype=torch.float)
    for label in range(1, count + 1):
        sample_at[-1] = size - 1
        known = (labels == 0) | (labels == label)
        fpr, tpr = torch_roc(scores[known], labels[known] == label)
        end = limit if fpr[fpr <= limit].max() > 0 else fpr[fpr > limit].min()
        kept, share = torch.where(fpr <= end)[0], None
        if not torch.allclose(fpr[kept].max(), limit):
            beyond = torch.searchsorted(fpr, limit)
            kept = torch.cat([kept, beyond[None]])
            share = 1 - (fpr[beyond] - limit) / (fpr[beyond] - fpr[beyond - 1])
        fpr, tpr, place = fpr[kept], tpr[kept], kept.float()
        place = place / place.max() * sample_at.max()
        if share is not None:
            sample_at[-1] = place[-2] + (place[-1] - place[-2]) * share
        left = (torch.searchsorted(place, sample_at) - 1).clamp(0, len(place) - 2)
        for total, curve in ((fpr_sum, fpr), (tpr_sum, tpr)):
            slope = (curve[1:] - curve[:-1]) / (torch.finfo().eps + place[1:] - place[:-1])
            total += curve[left] + slope[left] * (sample_at - place[left])
    fpr, tpr = fpr_sum / count, tpr_sum / count
    x, order = torch.sort(fpr, stable=True)
    return float(torch.trapz(tpr[order], x) / fpr[-1])


def reshaped(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = case(seed, ties=False)
    if kind == "smooth":
        maps = ndimage.gaussian_filter(maps, (0, 2, 2))
    changed = {
        "tied": np.round(maps * 8) / 8,
        "coarse": np.round(maps * 2),
        "binary": maps > 0.35,
        "inverted binary": maps < 0.35,
        "saturated": np.clip(maps, 0.2, 0.6),
        "saturated above": np.minimum(maps, 0.3),
        "one pixel": maps * 0 + (np.arange(maps.size).reshape(maps.shape) == seed),
        "regions alone": masks * maps,
        "inside out": ~masks * (0.5 + maps) + masks * maps / 4,
    }
    return changed.get(kind, maps).astype(np.float32), masks


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "kind",
    [
        "any",
        "smooth",
        "tied",
        "coarse",
        "binary",
        "inverted binary",
        "saturated",
        "saturated above",
        "one pixel",
        "regions alone",
        "inside out",
    ],
)
def test_region_pro_is_that_of_the_published_code(kind: str, seed: int) -> None:
    maps, masks = reshaped(kind, seed)
    wanted = destseg_pro(maps, masks)
    assert parity.region_pro(maps, masks) == pytest.approx(wanted, abs=2e-5, nan_ok=True)


def test_region_pro_of_a_constant_map_is_no_number() -> None:
    _, masks = case(0, ties=False)
    maps = np.full(masks.shape, 0.5, np.float32)
    assert np.isnan(destseg_pro(maps, masks))
    assert np.isnan(parity.region_pro(maps, masks))


def test_region_pro_by_hand() -> None:
    """Ten normal pixels and one region of two, all distinct; the limit lies on a corner."""
    masks = np.zeros((1, 3, 4), bool)
    masks[0, 0, :2] = True
    scores = np.array([[9.5, 6.5, 10, 9], [8, 7, 6, 5], [4, 3, 2, 1]], np.float32)[None]
    # Falling: n r n n n | r ...: corners (.1, 0) (.1, .5) (.2, .5) (.3, .5), and the curve ends.
    assert parity.region_pro(scores, masks) == pytest.approx((0.2 * 0.5) / 0.3, abs=1e-6)


@CASES
def test_full_range_pro_is_its_rule(seed: int, ties: bool) -> None:
    maps, masks = case(seed, ties)
    normal, regions = maps[~masks], region_scores(maps, masks)
    x, y = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        x.append(float((normal >= np.float32(threshold)).mean()))
        y.append(float(np.mean([(r >= np.float32(threshold)).mean() for r in regions])))
    assert parity.full_range_pro(maps, masks) == pytest.approx(area(x, y, 1.0), abs=1e-9)


PROS = (parity.quantile_pro, parity.region_pro, parity.full_range_pro)


def test_perfect_and_random_maps_have_the_values_that_each_code_gives_them() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 64, 64), bool)
    masks[:4, 10:40, 10:40] = True
    for pro, chance in zip(PROS, (0.15, 0.15, 0.5), strict=True):
        maps = masks.astype(np.float32)
        perfect = destseg_pro(maps, masks) if pro is parity.region_pro else 1
        assert pro(maps, masks) == pytest.approx(perfect, abs=1e-6)
        assert pro(rng.random(masks.shape), masks) == pytest.approx(chance, abs=0.02)


def test_smooth_scores_of_many_pixels_hardly_tell_the_codes_apart() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((4, 128, 128), bool)
    masks[:3, 30:60, 40:90] = True
    maps = rng.normal(size=masks.shape) + masks
    exact = pixel_metrics(maps, masks).pro
    assert parity.region_pro(maps, masks) == pytest.approx(exact, abs=0.01)
    coarse = parity.quantile_pro(maps, masks)
    assert 0 < exact - coarse < 0.03  # straight lines between few corners lie below the curve
    fine = parity.quantile_pro(maps, masks, thresholds=20_000)
    assert fine == pytest.approx(exact, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(PROS))
def test_every_pro_is_a_share_and_nothing_is_written_to(seed, ties, pro) -> None:
    maps, masks = case(seed, ties)
    before = maps.copy(), masks.copy()
    found = pro(maps, masks)
    assert 0 <= found <= 1 + 1e-9
    assert pro(np.exp(maps.astype(np.float64)), masks) == pytest.approx(found, abs=1e-6)
    assert np.array_equal(maps, before[0])
    assert np.array_equal(masks, before[1])


@pytest.mark.parametrize("pro", PROS)
def test_without_a_region_or_a_normal_pixel_there_is_no_pro(pro) -> None:
    maps = np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
    assert np.isnan(pro(maps, np.zeros(maps.shape, bool)))
    assert np.isnan(pro(maps, np.ones(maps.shape, bool)))
    assert np.isnan(pro([], []))


# --- whole test sets ---

SIZE = 24


def found_and_greys(seed: int = 0) -> tuple[TestScores, list[np.ndarray | None]]:
    """2 normals, 5 defects: 2 few-shot, 5 without a mask on record, 6 with one that marks nothing.

    Native masks are twice as large as the maps.
    """
    rng = np.random.default_rng(seed)
    greys: list[np.ndarray | None] = [None, np.zeros((48, 48), np.uint8)]
    greys += [soft(k, (48, 48)) for k in (2, 3, 4)]
    greys += [None, np.zeros((48, 48), np.uint8)]
    few = [False, False, True, False, False, False, False]
    labels = [0, 0, 1, 1, 1, 1, 1]
    maps = rng.random((7, SIZE, SIZE)).astype(np.float32)
    for i in (2, 3, 4):
        maps[i] += parity.bilinear(greys[i], (SIZE, SIZE)) / 2
    names = [str(i) for i in range(7)]
    scores = rng.random(7) + np.array(labels) / 2
    return TestScores(names, labels, names, few, scores, maps, [None] * 7), greys


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_both_test_sets_are_scored_from_the_same_maps(flavour: str) -> None:
    found, greys = found_and_greys()
    way = FLAVOURS[flavour]
    scored = parity_scores(flavour, found, iter(greys))
    assert scored.flavour == flavour
    for subset, images in (("full", [0, 1, 2, 3, 4, 6]), ("held_out", [0, 1, 3, 4, 6])):
        levels = [
            np.zeros((SIZE, SIZE), np.float32)
            if greys[i] is None
            else way.resize(greys[i], (SIZE, SIZE))
            for i in images
        ]
        positive = np.stack([way.positive(level) for level in levels])
        regions = np.stack([way.region(level) for level in levels])
        pixels = found.maps[images]
        metrics = scored.metrics[subset]
        assert metrics["pixel_auroc"] == pytest.approx(
            roc_auc_score(positive.ravel(), pixels.ravel())
        )
        assert metrics["pixel_ap"] == pytest.approx(
            average_precision_score(positive.ravel(), pixels.ravel())
        )
        assert metrics["pro"] == pytest.approx(way.pro(pixels, regions))
        every = sorted([*images, 5])
        labels = [found.labels[i] for i in every]
        if flavour == "destseg":
            labels[-1] = 0  # the mask that marks nothing makes a normal image of a defect
        wanted = image_metrics(found.scores[every], labels)
        assert (metrics["image_auroc"], metrics["image_ap"]) == (wanted.auroc, wanted.ap)
    assert scored.reasons == {"full": {}, "held_out": {}}
    assert scored.metrics["full"] != scored.metrics["held_out"]


def test_flavours_differ_where_their_rules_do() -> None:
    found, greys = found_and_greys()
    full = {f: parity_scores(f, found, greys).metrics["full"] for f in FLAVOURS}
    assert full["draem"]["pixel_ap"] == full["anomalydiffusion"]["pixel_ap"]
    assert full["draem"]["pro"] != full["anomalydiffusion"]["pro"]
    assert len({round(metrics["pro"], 6) for metrics in full.values()}) == 4


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_has_no_value_is_told(flavour: str) -> None:
    found, greys = found_and_greys()
    faint = [None if g is None else np.minimum(g, 0) for g in greys]
    scored = parity_scores(flavour, found, faint)
    assert {k: w for k, w in scored.reasons["full"].items() if not k.startswith("image")} == {
        "pixel_auroc": "no anomalous pixel",
        "pixel_ap": "no anomalous pixel",
        "pro": "no anomalous pixel",
    }
    assert np.isnan(scored.metrics["held_out"]["pro"])


# --- where masks and flavours come from ---


class Filed(Dataset):
    """Masks in files, as given."""

    name = "filed"

    def __init__(self, folder: Path, above: int) -> None:
        self.folder, self.above = folder, above

    def categories(self) -> tuple[str, ...]:
        return ("a",)

    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(Item(n, "a", "test", int(n != "good")) for n in ("soft", "empty", "good"))

    def image(self, item: Item) -> np.ndarray:
        raise AssertionError("no image is needed for masks")

    def mask(self, item: Item) -> Mask | None:
        if not item.label:
            return np.zeros((37, 48), bool)
        marked = np.asarray(PIL.Image.open(self.mask_path(item))) > self.above
        return marked if marked.any() else None

    def mask_path(self, item: Item) -> Path | None:
        return self.folder / f"{item.id}.png" if item.label else None


def test_soft_edges_come_from_the_files_where_127_is_their_threshold(tmp_path: Path) -> None:
    for name, grey in (("soft", soft(5)), ("empty", np.zeros((37, 48), np.uint8))):
        PIL.Image.fromarray(grey).save(tmp_path / f"{name}.png")

    def greys(above: int) -> list[np.ndarray | None]:
        data = Filed(tmp_path, above)
        return list(TestSet(data, data.test("a"), Geometry(16, 16)).greys())

    edges, empty, good = greys(127)
    assert np.array_equal(edges, soft(5))
    for zeros in (empty, good):
        assert zeros is not None
        assert not zeros.any()
    # ids of defects, say: what their levels mean nobody knows
    assert np.array_equal(greys(0)[0], (soft(5) > 0) * np.uint8(255))


def test_every_published_detector_names_its_flavour() -> None:
    flat = Geometry(32, 32)
    named = {
        n: flavour_of(resolve(n)[0], flat) for n in ("draem", "destseg", "memseg", "unet@tiny")
    }
    assert named == {
        "draem": "draem",
        "destseg": "destseg",
        "memseg": "memseg",
        "unet@tiny": "anomalydiffusion",
    }

    class Own(Detector):
        title = "Own"

    with pytest.raises(UserError, match=r"Own names no published way .* draem, memseg"):
        flavour_of(Own, flat)
    with pytest.raises(UserError, match=r"32x32 \(pad\), and published code stretches"):
        flavour_of(resolve("draem")[0], Geometry(32, 32, "pad"))

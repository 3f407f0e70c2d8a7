"""Detection metrics, exact: AUROC, average precision and PRO of images and of pixels.

All of them are read off one table of counts. Let a_1 > a_2 > ... > a_K be the distinct scores of
the anomalous items (images or pixels), P the number of anomalous and N of normal items, and

    TP_k = anomalous items with a score >= a_k        FP_k = normal items with a score >= a_k
    above_k = normal items with a score > a_k         TP_0 = FP_0 = 0

Lowering the threshold from one anomalous score to the next moves the ROC curve straight along its
FPR axis, whatever the normal scores between them are. So its corners are (0, 0), (above_k / N,
TP_{k-1} / P), (FP_k / N, TP_k / P) for every k, and (1, 1), and the normal scores matter only by
two ranks for each anomalous score. That needs their values sorted, but no order of their places:
a plain sort of numbers in place, which the processor does many at a time, instead of the argsort
of everything, some 20 times as dear, which the usual implementations make.

    AUROC = area under the ROC curve = P(anomalous > normal) + P(anomalous = normal) / 2
    AP    = sum_k (TP_k - TP_{k-1}) / P * TP_k / (TP_k + FP_k)    (steps, not trapezoids)
    PRO   = 1/L * integral from 0 to L of overlap(FPR) dFPR

where overlap replaces TP/P by the mean over all 8-connected regions of the share of the region
that scores >= a_k (Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021).
The FPR is taken over all pixels outside regions, those of defective images too; the curve is
interpolated linearly at the limit L, 0.3 unless said otherwise. Equal scores are one threshold.

Perfect scores have 1 in all three. Scores that tell nothing (all equal, or random) have AUROC 1/2,
AP P / (P + N) and PRO L / 2. No strictly increasing change of the scores changes any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asbench.evaluation.pixels import (
    Maps,
    Masks,
    Scores,
    anomalous_pixels,
    normal_pixels,
    pairs,
    regions_of,
)
from asbench.evaluation.sorting import sort
from synth_store.types import Mask, UserError

PRO_LIMIT = 0.3
"""The FPR up to which PRO is integrated, as in the MVTec AD papers."""

_BLOCK = 1 << 24
"""Normal pixels sorted at a time (64 MB of float32)."""
_BLOCK_PER_ANOMALOUS = 32
"""A block is at least this many times the anomalous pixels: searching costs less than sorting."""


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """Values in [0, 1], or NaN with the reason under the value's name."""

    auroc: float
    ap: float
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Values in [0, 1], or NaN with the reason under the value's name.

    `normal`, `anomalous` count pixels, `regions` the 8-connected ones of all masks; f1 is the best.
    """

    auroc: float
    ap: float
    pro: float
    normal: int
    anomalous: int
    regions: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    f1: float = np.nan


@dataclass(frozen=True, slots=True)
class F1Threshold:
    """Items with a score >= `threshold` are called anomalous; `f1` is what that scores.

    Both NaN, with the reason under their names, where there is no anomalous item.
    """

    threshold: float
    f1: float
    reasons: Mapping[str, str] = field(default_factory=dict)


def image_metrics(scores: npt.ArrayLike, labels: npt.ArrayLike) -> ImageMetrics:
    """Return AUROC and AP of one score per image.

    scores: real (n,), higher = more anomalous; labels: (n,) of 0 and 1, 1 = anomalous. Raises
    UserError naming the index of a score that is not finite.
    """
    curve = _labelled(scores, labels)
    reasons = curve.undefined("image", "auroc", "ap")
    if reasons:
        return ImageMetrics(np.nan, np.nan, reasons)
    return ImageMetrics(curve.auroc(), curve.ap())


def image_auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the AUROC of `image_metrics`: NaN where only one class is there."""
    return image_metrics(scores, labels).auroc


def image_ap(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the average precision of `image_metrics`: NaN where only one class is there."""
    return image_metrics(scores, labels).ap


def best_f1_threshold(scores: npt.ArrayLike, labels: npt.ArrayLike) -> F1Threshold:
    """Return the threshold with the highest F1 = 2 TP / (2 TP + FP + FN), and that F1.

    scores, labels: as for `image_metrics`, of any one shape. It is always an anomalous score: to go
    below one without reaching the next only adds false alarms. The highest of equals is taken.
    """
    curve = _labelled(scores, labels)
    if (table := curve.table).anomalous == 0:
        reason = "no anomalous item"
        return F1Threshold(np.nan, np.nan, {"threshold": reason, "f1": reason})
    best = int(np.argmax(f1 := curve.f1()))
    return F1Threshold(float(table.score[best]), float(f1[best]))


def pixel_metrics(maps: Maps, masks: Masks, *, limit: float = PRO_LIMIT) -> PixelMetrics:
    """Return pixel AUROC, AP, PRO and best F1 of a test set, all exact, from one sort.

    maps: real (n, H, W) or n arrays (H, W) of any sizes, float32 for speed; masks: bool of the same
    shapes, all False for normal images; limit: the FPR in (0, 1] up to which PRO is integrated.
    Nothing passed in is written to. Sequences that make their arrays when asked are gone through
    three times, one image at a time. Raises UserError naming the index of a map that is not finite.

    Cost: the values of the normal pixels are copied and sorted once, block by block in one buffer,
    since ranks add up over blocks. So the time approaches that of the sort (5 to 12 ns a pixel, see
    `sorting`) plus one pass over the maps at memory bandwidth. Added memory is one block (64 MB, or
    128 bytes per anomalous pixel if that is more, but never more than the maps have), half as much
    again where numpy's own sort is slow, and some 80 bytes per anomalous pixel, however many maps
    there are.
    """
    return pixel_metrics_without(maps, masks, np.zeros(len(maps), np.bool_), limit=limit)[0]


def pixel_metrics_without(
    maps: Maps, masks: Masks, left_out: npt.ArrayLike, *, limit: float = PRO_LIMIT
) -> tuple[PixelMetrics, PixelMetrics]:
    """Return `pixel_metrics` of all images and of those that are not left out, from one sort.

    left_out: bool (n,). Ranks add up over images, so the normal pixels of either part are counted
    against the anomalous scores of all: each is what it would be by itself, bit for bit.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit is a false positive rate in (0, 1], not {limit}")
    images, aside = pairs(maps, masks), np.asarray(left_out, np.bool_)
    anomalous, weights, held, regions = anomalous_pixels(images, aside)
    table = _table(anomalous, weights)
    size = min(images.total, max(_BLOCK, _BLOCK_PER_ANOMALOUS * anomalous.size, images.largest))
    buffer = np.empty(size, images.dtype)
    kept, rest = (
        _ranks(table.score, normal_pixels(images, chosen, buffer)) for chosen in (~aside, aside)
    )
    full = _pixel_metrics(_Curve(table, kept + rest), regions[0], limit)
    if not aside.any():
        return full, full
    part = _table(anomalous[held], weights[held])
    places = np.searchsorted(-table.score, -part.score)  # every score of the part is in the table
    return full, _pixel_metrics(_Curve(part, kept.at(places)), regions[1], limit)


def _pixel_metrics(curve: _Curve, regions: int, limit: float) -> PixelMetrics:
    auroc = ap = pro = f1 = np.nan
    if not (reasons := curve.undefined("pixel", "auroc", "ap", "pro")):
        auroc, ap, pro, f1 = curve.auroc(), curve.ap(), curve.pro(limit), curve.f1().max()
    return PixelMetrics(auroc, ap, pro, curve.normal, curve.anomalous, regions, reasons, float(f1))


def per_image_ap(scores: Scores, mask: Mask) -> float:
    """Return the pixel AP of one image, (H, W) each; NaN where the mask is all one class."""
    pairs([scores], [mask])
    anomalous, normal = scores[mask], scores[~mask]
    if not (anomalous.size and normal.size):
        return np.nan
    # What scores below every anomalous pixel has no part in it, and need not be sorted.
    return _curve(anomalous, [normal[normal >= anomalous.min()]]).ap()


def region_count(mask: Mask) -> int:
    """Return the number of 8-connected regions of a mask, bool (H, W)."""
    return regions_of(mask)[0]


@dataclass(frozen=True, slots=True)
class _Table:
    """The anomalous items: row k belongs to the k-th highest distinct score among them."""

    score: Scores
    tp: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.float64]
    """Sum of the weights of the anomalous items that score at least `score`."""
    anomalous: int


@dataclass(frozen=True, slots=True)
class _Ranks:
    """How many of `normal` normal items score above each row's score, and at least it."""

    above: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    normal: int

    def __add__(self, other: _Ranks) -> _Ranks:
        return _Ranks(self.above + other.above, self.fp + other.fp, self.normal + other.normal)

    def at(self, rows: npt.NDArray[np.intp]) -> _Ranks:
        return _Ranks(self.above[rows], self.fp[rows], self.normal)


@dataclass(frozen=True, slots=True)
class _Curve:
    """The table of counts, and what is read off it."""

    table: _Table
    ranks: _Ranks

    @property
    def normal(self) -> int:
        return self.ranks.normal

    @property
    def anomalous(self) -> int:
        return self.table.anomalous

    def auroc(self) -> float:
        return self._area(self.table.tp, 1.0)

    def pro(self, limit: float) -> float:
        return self._area(self.table.overlap, limit)

    def ap(self) -> float:
        tp = self.table.tp
        return float(np.diff(tp, prepend=0) / self.anomalous @ (tp / (tp + self.ranks.fp)))

    def f1(self) -> npt.NDArray[np.float64]:
        return 2 * self.table.tp / (self.table.tp + self.ranks.fp + self.anomalous)

    def _area(self, height: npt.NDArray[Any], limit: float) -> float:
        """Return the mean height of the curve over FPR in [0, limit], its last height being 1."""
        corners = np.stack([self.ranks.above, self.ranks.fp], axis=1).ravel()
        x = np.concatenate([[0], corners, [self.normal]])
        y = np.repeat(np.concatenate([[0], height]), 2)
        x, y = x / x[-1], y / y[-1]
        inside = np.searchsorted(x, limit, side="right")
        at_limit = np.interp(limit, x[inside - 1 : inside + 1], y[inside - 1 : inside + 1])
        x, y = np.append(x[:inside], limit), np.append(y[:inside], at_limit)
        return float(np.trapezoid(y, x) / limit)

    def undefined(self, item: str, *metrics: str) -> dict[str, str]:
        """Return why the metrics have no value, by metric; empty where they have."""
        if self.normal and self.anomalous:
            return {}
        lacking = [k for k, n in (("normal", self.normal), ("anomalous", self.anomalous)) if not n]
        return dict.fromkeys(metrics, f"no {' and no '.join(lacking)} {item}")


def _curve(anomalous: Scores, normal: Iterable[Scores]) -> _Curve:
    """Count items that all weigh the same. `normal` comes in blocks, which are sorted in place."""
    table = _table(anomalous, None)
    return _Curve(table, _ranks(table.score, normal))


def _table(anomalous: Scores, weights: npt.NDArray[np.float64] | None) -> _Table:
    order = np.argsort(anomalous)[::-1]  # the few that are anomalous: 0.5 % of a test set's pixels
    descending = anomalous[order]
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: anomalous.size])
    score, tp = descending[ends], ends + 1
    overlap = tp.astype(np.float64) if weights is None else np.cumsum(weights[order])[ends]
    return _Table(score, tp, overlap, anomalous.size)


def _ranks(score: Scores, blocks: Iterable[Scores]) -> _Ranks:
    above, fp, total = np.zeros(score.size, np.int64), np.zeros(score.size, np.int64), 0
    for block in blocks:
        sort(block)
        total += block.size
        above += block.size - np.searchsorted(block, score, side="right")
        fp += block.size - np.searchsorted(block, score, side="left")
    return _Ranks(above, fp, total)


def _labelled(scores: npt.ArrayLike, labels: npt.ArrayLike) -> _Curve:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape:
        raise ValueError(f"{scores.shape} scores do not go with {labels.shape} labels")
    anomalous = labels == 1
    if not (anomalous | (labels == 0)).all():
        raise ValueError(f"labels are 0 (normal) or 1 (anomalous), not {np.unique(labels)}")
    finite = np.isfinite(scores)
    if not finite.all():
        first = np.flatnonzero(~finite)[0]
        raise UserError(
            f"score {first} is {scores.flat[first]}: metrics need finite scores. "
            "Did the training diverge? Look at its losses."
        )
    return _curve(scores[anomalous], [scores[~anomalous]])

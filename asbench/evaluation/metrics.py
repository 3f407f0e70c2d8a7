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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask, UserError

Scores = npt.NDArray[Any]
"""Real numbers of any precision, higher = more anomalous."""
Maps = Scores | Sequence[Scores]
"""(n, H, W), or one (H, W) array an image."""
Masks = npt.NDArray[np.bool_] | Sequence[Mask]

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

    `normal` and `anomalous` count pixels, `regions` the 8-connected regions of all masks.
    """

    auroc: float
    ap: float
    pro: float
    normal: int
    anomalous: int
    regions: int
    reasons: Mapping[str, str] = field(default_factory=dict)


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
    if curve.anomalous == 0:
        reason = "no anomalous item"
        return F1Threshold(np.nan, np.nan, {"threshold": reason, "f1": reason})
    f1 = 2 * curve.tp / (curve.tp + curve.fp + curve.anomalous)
    best = int(np.argmax(f1))
    return F1Threshold(float(curve.score[best]), float(f1[best]))


def pixel_metrics(maps: Maps, masks: Masks, *, limit: float = PRO_LIMIT) -> PixelMetrics:
    """Return pixel AUROC, pixel AP and PRO of a test set, all three exact, from one sort.

    maps: real (n, H, W) or n arrays (H, W) of any sizes, float32 for speed; masks: bool of the same
    shapes, all False for normal images; limit: the FPR in (0, 1] up to which PRO is integrated.
    Nothing passed in is written to. Sequences that make their arrays when asked are gone through
    three times, one image at a time. Raises UserError naming the index of a map that is not finite.

    Cost: the values of the normal pixels are copied and sorted once, block by block in one buffer,
    since ranks add up over blocks. So the time approaches that of np.sort (vectorised on AVX2 and
    AVX-512: about 4 ns a pixel) plus one pass over the maps at memory bandwidth. Added memory is
    one block (64 MB, or 128 bytes per anomalous pixel if that is more, but never more than the maps
    have) and some 80 bytes per anomalous pixel, however many maps there are.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit is a false positive rate in (0, 1], not {limit}")
    images = _pairs(maps, masks)
    anomalous, weights, regions = _anomalous_pixels(images)
    size = max(_BLOCK, _BLOCK_PER_ANOMALOUS * anomalous.size)
    curve = _curve(anomalous, weights, _normal_pixels(images, size))

    reasons = curve.undefined("pixel", "auroc", "ap", "pro")
    if reasons:
        auroc = ap = pro = np.nan
    else:
        auroc, ap, pro = curve.auroc(), curve.ap(), curve.pro(limit)
    return PixelMetrics(auroc, ap, pro, curve.normal, curve.anomalous, regions, reasons)


def per_image_ap(scores: Scores, mask: Mask) -> float:
    """Return the pixel AP of one image, (H, W) each; NaN where the mask is all one class."""
    _pairs([scores], [mask])
    curve = _curve(scores[mask], None, [scores[~mask]])
    return np.nan if curve.undefined("pixel", "ap") else curve.ap()


def region_count(mask: Mask) -> int:
    """Return the number of 8-connected regions of a mask, bool (H, W)."""
    return _regions(mask)[0]


@dataclass(frozen=True, slots=True)
class _Curve:
    """The table of counts: row k belongs to the k-th highest distinct anomalous score."""

    score: Scores
    tp: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.float64]
    """Sum of the weights of the anomalous items that score at least `score`."""
    above: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    normal: int
    anomalous: int

    def auroc(self) -> float:
        return self._area(self.tp, 1.0)

    def pro(self, limit: float) -> float:
        return self._area(self.overlap, limit)

    def ap(self) -> float:
        recall_steps = np.diff(self.tp, prepend=0) / self.anomalous
        return float(recall_steps @ (self.tp / (self.tp + self.fp)))

    def _area(self, height: npt.NDArray[Any], limit: float) -> float:
        """Return the mean height of the curve over FPR in [0, limit], its last height being 1."""
        x = np.concatenate([[0], np.stack([self.above, self.fp], axis=1).ravel(), [self.normal]])
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


def _curve(
    anomalous: Scores, weights: npt.NDArray[np.float64] | None, normal: Iterable[Scores]
) -> _Curve:
    """Count. `normal` comes in blocks, which are sorted in place."""
    order = np.argsort(anomalous)[::-1]  # the few that are anomalous: 0.5 % of a test set's pixels
    descending = anomalous[order]
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True)[: anomalous.size])
    score, tp = descending[ends], ends + 1
    overlap = tp.astype(np.float64) if weights is None else np.cumsum(weights[order])[ends]

    above, fp, total = np.zeros_like(tp), np.zeros_like(tp), 0
    for block in normal:
        block.sort()
        total += block.size
        above += block.size - np.searchsorted(block, score, side="right")
        fp += block.size - np.searchsorted(block, score, side="left")
    return _Curve(score, tp, overlap, above, fp, total, anomalous.size)


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
    return _curve(scores[anomalous], None, [scores[~anomalous]])


@dataclass(frozen=True)
class _Pairs:
    """The (scores, mask) of every image, checked, and gone through as often as it takes.

    dtype: in which the scores of all images compare; total, largest: pixels, of all and of one.
    """

    maps: Maps
    masks: Masks
    dtype: np.dtype[Any]
    total: int
    largest: int

    def __iter__(self) -> Iterator[tuple[Scores, Mask]]:
        return zip(self.maps, self.masks, strict=True)


def _pairs(maps: Maps, masks: Masks) -> _Pairs:
    """Return the (scores, mask) of every image, checked."""
    if len(maps) != len(masks):
        raise ValueError(f"{len(maps)} maps do not go with {len(masks)} masks")
    kinds, sizes = {np.dtype(np.float16)}, [0]
    for index, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if scores.ndim != 2 or mask.shape != scores.shape or mask.dtype != np.bool_:
            raise ValueError(
                f"image {index}: its mask must be bool and (H, W) like its map {scores.shape}, "
                f"not {mask.dtype} {mask.shape}"
            )
        if not np.isfinite(scores).all():
            raise UserError(
                f"the anomaly map of image {index} is not finite: metrics need finite scores. "
                "Did the training diverge? Look at its losses."
            )
        kinds.add(scores.dtype)
        sizes.append(scores.size)
    return _Pairs(maps, masks, np.result_type(*kinds), sum(sizes), max(sizes))


def _regions(mask: Mask) -> tuple[int, npt.NDArray[Any]]:
    """Return the number R of 8-connected regions, and (H, W) int32: 1..R inside, 0 outside."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(labels)


def _anomalous_pixels(
    images: _Pairs,
) -> tuple[Scores, npt.NDArray[np.float64], int]:
    """Return the scores of all anomalous pixels, their weights, and the number of regions.

    A pixel weighs 1 / (pixels of its region), so every region weighs 1 whatever its size.
    """
    anomalous, weights, regions = [np.empty(0, images.dtype)], [np.empty(0)], 0
    for scores, mask in images:
        if mask.any():
            count, labels = _regions(mask)
            region = labels[mask]
            anomalous.append(scores[mask])
            weights.append(1 / np.bincount(region)[region])
            regions += count
    return np.concatenate(anomalous), np.concatenate(weights), regions


def _normal_pixels(images: _Pairs, size: int) -> Iterator[Scores]:
    """Yield the scores of all normal pixels in blocks of about `size`.

    Every block is a view of the same buffer, overwritten by the next: memory touched for the first
    time costs more than the copy itself.
    """
    buffer = np.empty(min(images.total, max(size, images.largest)), images.dtype)
    filled = 0
    for scores, mask in images:
        normal = scores[~mask] if mask.any() else scores.ravel()
        if filled + normal.size > buffer.size:
            yield buffer[:filled]
            filled = 0
        buffer[filled : filled + normal.size] = normal
        filled += normal.size
    yield buffer[:filled]

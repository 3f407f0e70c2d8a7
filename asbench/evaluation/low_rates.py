"""Metrics at low false positive rates, exact: AUPIMO of each image, and sPRO of MVTec LOCO.

Both read the curve up to a rate L alone, so of N normal pixels only the L * N highest scores count,
with their equals. Those are picked without sorting the others; anomalous scores are then ranked
among them. The curve's corners are those of `asbench.evaluation.metrics`: lowering the threshold
from one anomalous score to the next moves along the rate, and equal scores are one straight step.

    AUPIMO = 1 / ln(U / L) * integral from L to U of TPR(F) dF / F        L = 1e-5, U = 1e-4

for each image with a defect; TPR: the share of its anomalous pixels above the threshold, F: the
share of the pixels of all normal images (Bertoldo et al., AUPIMO, BMVC 2024; anomalib's defaults).
Where their authors' code interpolates between 300,000 thresholds, this is the limit. Normal pixels
of defective images do not count. Images of one size weigh alike; photographs of several sizes weigh
by their pixels.

    sPRO = 1 / L * integral from 0 to L of mean over regions of min(|found| / s, 1) dF    L = 0.05

with s, the pixels of a region that count as all of it (Bergmann et al., Beyond Dents and Scratches,
IJCV 2022), F: the share of all pixels outside regions. The s highest scores of a region weigh 1 / s
each, the others nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asbench.evaluation.pixels import Maps, Masks, Scores
from asbench.files.saturation import Region

AUPIMO_BOUNDS = (1e-5, 1e-4)
SPRO_LIMIT = 0.05
Floats = npt.NDArray[np.float64]


class Aupimo(NamedTuple):
    """The mean over the images with a defect, and each image's value; NaN for normal images.

    reason: why all are NaN; empty where they are not.
    """

    mean: float
    images: tuple[float, ...]
    reason: str = ""


class Spro(NamedTuple):
    """The value, NaN with its reason, and the regions that it is of."""

    value: float
    regions: int
    reason: str = ""


def aupimo(
    maps: Maps, masks: Masks, bounds: tuple[float, float] = AUPIMO_BOUNDS, block: int = 1 << 22
) -> Aupimo:
    """Return AUPIMO: the mean over the images with a defect, and each image's.

    maps: real (n, H, W) or n arrays (h, w), finite; masks: bool of the same shapes, all False for
    normal images; bounds: false positive rates 0 < L < U <= 1; block: scores kept at a time beyond
    those that count. NaN without normal or defective images, and where L is less than a pixel.
    """
    lower, upper = bounds
    if not 0 < lower < upper <= 1:
        raise ValueError(f"bounds are false positive rates 0 < L < U <= 1, not {bounds}")
    defective = [bool(mask.any()) for mask in masks]
    pixels = sum(scores.size for scores, bad in zip(maps, defective, strict=True) if not bad)
    nothing = (math.nan,) * len(defective)
    if not any(defective):
        return Aupimo(math.nan, nothing, "no anomalous pixel")
    if lower * pixels < 1:
        least = math.ceil(1 / lower)
        reason = f"normal images have {pixels:,} pixels, and a rate of {lower:g} needs {least:,}"
        return Aupimo(math.nan, nothing, reason)
    normals = (maps[i].ravel() for i, bad in enumerate(defective) if not bad)
    highest = _highest(normals, math.ceil(upper * pixels) + 1, block)
    images = []
    for i, bad in enumerate(defective):
        value = math.nan
        if bad:
            found = np.asarray(maps[i][masks[i]], np.float64)
            x, y = _corners(found, np.full(found.size, 1 / found.size), highest)
            area = _area(x / pixels, y, lower, upper, logarithmic=True)
            value = min(1.0, area / math.log(upper / lower))
        images.append(value)
    return Aupimo(float(np.nanmean(images)), tuple(images))


def spro(
    maps: Maps,
    masks: Masks,
    regions: Sequence[Sequence[Region]],
    limit: float = SPRO_LIMIT,
    block: int = 1 << 22,
) -> Spro:
    """Return the saturated per-region overlap up to a false positive rate.

    maps, masks: as for `aupimo`, masks the union of an image's regions; regions: of each image,
    each bool (h, w) and the pixels that count as all of it; limit: in (0, 1]. NaN without regions
    or normal pixels.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit is a false positive rate in (0, 1], not {limit}")
    pixels = sum(int((~mask).sum()) for mask in masks)
    scores, weights, count = [np.empty(0)], [np.empty(0)], 0
    for i, parts in enumerate(regions):
        for part in parts:
            found = np.sort(np.asarray(maps[i][part.mask], np.float64))[::-1]
            weight = np.zeros(found.size)
            weight[: part.pixels] = 1 / min(part.pixels, found.size)
            scores.append(found)
            weights.append(weight)
            count += 1
    if not count or not pixels:
        return Spro(math.nan, count, f"no {'region' if not count else 'normal pixel'}")
    normals = (scored[~mask] for scored, mask in zip(maps, masks, strict=True))
    highest = _highest(normals, math.ceil(limit * pixels) + 1, block)
    x, y = _corners(np.concatenate(scores), np.concatenate(weights) / count, highest)
    return Spro(_area(x / pixels, y, 0.0, limit, logarithmic=False) / limit, count)


def _highest(scores: Iterable[Scores], count: int, block: int) -> Floats:
    """Return the `count` highest scores and all equal to the last of them, ascending."""
    kept: list[npt.NDArray[Any]] = []
    held, least = 0, -np.inf
    for one in scores:
        above = one[one >= least] if np.isfinite(least) else one
        kept.append(np.asarray(above, np.float64))
        held += above.size
        if held > count + block:
            whole = np.concatenate(kept)
            least = np.partition(whole, whole.size - count)[whole.size - count]
            kept = [whole[whole >= least]]
            held = kept[0].size
    whole = np.concatenate(kept) if kept else np.empty(0)
    if whole.size > count:
        least = np.partition(whole, whole.size - count)[whole.size - count]
        whole = whole[whole >= least]
    whole.sort()
    return whole


def _corners(found: Floats, weights: Floats, highest: Floats) -> tuple[Floats, Floats]:
    """Return the corners of the curve: normal pixels (x) and summed weights (y) at each threshold.

    Beyond the scores in `highest` the curve goes on flat, for there it is not read.
    """
    order = np.argsort(-found, kind="stable")
    descending, summed = found[order], np.cumsum(weights[order])
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    score, height = descending[ends], summed[ends]
    above = highest.size - np.searchsorted(highest, score, side="right")
    fp = highest.size - np.searchsorted(highest, score, side="left")
    x = np.concatenate([[0.0], np.stack([above, fp], axis=1).ravel(), [math.inf]])
    y = np.repeat(np.concatenate([[0.0], height]), 2)
    return x, y


def _area(x: Floats, y: Floats, lower: float, upper: float, *, logarithmic: bool) -> float:
    """Return the integral of the straight pieces between corners from `lower` to `upper`.

    logarithmic: over d ln x, else over dx.
    """
    x = np.append(x[:-1], max(x[-2], upper) + 1)  # the last piece is flat, however long
    x0, x1, y0, y1 = x[:-1], x[1:], y[:-1], y[1:]
    left, right = np.maximum(x0, lower), np.minimum(x1, upper)
    inside = right > left
    x0, x1, y0, y1, left, right = (a[inside] for a in (x0, x1, y0, y1, left, right))
    slope = (y1 - y0) / (x1 - x0)
    start = y0 + slope * (left - x0)
    if logarithmic:
        pieces = (start - slope * left) * np.log(right / left) + slope * (right - left)
    else:
        pieces = (start + slope * (right - left) / 2) * (right - left)
    return float(pieces.sum())

"""Ground truth and scores as published detectors' code makes them, beside the exact ones.

Four detectors were published with four ways of bringing a mask to the size of the map, two ways of
cutting it, and three quantities called PRO. Their numbers cannot be compared with each other, nor
with the exact ones of `asbench.evaluation.metrics`; each can be compared with its paper's. For a
soft mask, levels 0..1 after the resize:

    flavour            resize                          AUROC, AP     PRO's regions    PRO
    draem              bilinear, no antialiasing       level 1       level 1          quantile_pro
    anomalydiffusion   as draem                        level 1       above 0          quantile_pro
    destseg            bilinear, antialiased           from 0.5      from 0.5         region_pro
    memseg             bicubic, antialiased            level 1       above 0          full_range_pro

Level 1 alone erodes every region, above 0 dilates it. An anomalous image whose mask marks nothing
has normal pixels everywhere, and destseg's code takes the image for a normal one: its labels come
from the masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch.nn import functional as F

from asbench.evaluation.metrics import (
    PRO_LIMIT,
    image_metrics,
    pixel_metrics,
)
from asbench.evaluation.pixels import Maps, Masks, Scores
from asbench.evaluation.score import TestScores
from asbench.evaluation.sorting import sort
from asbench.nets.detector import Detector
from asbench.results import Parity, Subset
from synth_store.types import Geometry, Mask, UserError

Grey = npt.NDArray[np.uint8]
"""(h, w): a mask at its native size, soft edges and all; 255 = anomalous."""
Levels = npt.NDArray[np.float32]
"""(H, W) in 0..1: a mask at the size of the map, before it is cut."""
Floats = npt.NDArray[np.float64]

THRESHOLDS = 100


def bilinear(grey: Grey, size: tuple[int, int]) -> Levels:
    """Return a mask at `size` (height, width) as OpenCV resizes by default, in whole levels.

    Four neighbours count, however much it shrinks.
    """
    resized = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32) / np.float32(255)


def bilinear_antialiased(grey: Grey, size: tuple[int, int]) -> Levels:
    """Return a mask at `size` (height, width) as tensors are resized, averaging what shrinks."""
    tensor = torch.from_numpy(grey.astype(np.float32) / 255)[None, None]
    resized = F.interpolate(tensor, size, mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(resized[0, 0].numpy())


def bicubic(grey: Grey, size: tuple[int, int]) -> Levels:
    """Return a mask at `size` (height, width) as Pillow resizes by default, in whole levels."""
    resized = PIL.Image.fromarray(grey).resize(size[::-1], PIL.Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32) / np.float32(255)


def whole(levels: Levels) -> Mask:
    """Cut at level 1: what casting to an integer leaves."""
    return np.asarray(levels >= 1)


def touched(levels: Levels) -> Mask:
    """Cut above level 0."""
    return np.asarray(levels > 0)


def half(levels: Levels) -> Mask:
    """Cut at level 0.5, which counts."""
    return np.asarray(levels >= 0.5)


def quantile_pro(
    maps: Maps, masks: Masks, *, limit: float = PRO_LIMIT, thresholds: int = THRESHOLDS
) -> float:
    """Return PRO of a curve with `thresholds` corners: DRAEM's and AnomalyDiffusion's.

    The thresholds are the normal pixels' scores at equally spaced ranks r = 0 .. n - 1, rounded
    down; each has FPR 1 - (r + 1) / n, ties or not, and the mean share of the regions' pixels that
    score above it. (1, 1) is added, and the area up to `limit`, its end interpolated, divided by
    `limit`. maps, masks: as for `pixel_metrics`. NaN without a region or a normal pixel.
    """
    normal, regions = _split(maps, masks)
    if not (normal.size and regions):
        return np.nan
    ranks = np.linspace(0, normal.size - 1, thresholds).astype(np.int64)[::-1]
    fpr = 1 - (ranks + 1) / normal.size
    below = [
        np.searchsorted(region, normal[ranks], side="right") / len(region) for region in regions
    ]
    x, y = np.append(fpr, 1), np.append(1 - np.mean(below, axis=0), 1)
    inside = x <= limit
    at_limit = np.interp(limit, x, y)
    return float(np.trapezoid([*y[inside], at_limit], [*x[inside], limit]) / limit)


def region_pro(maps: Maps, masks: Masks, *, limit: float = PRO_LIMIT) -> float:
    """Return PRO as the area below the mean of the regions' own ROC curves: DeSTSeg's.

    Every region has a curve against the pixels outside of all regions, with a corner at every
    distinct score of either. It is cut after FPR `limit`: where its last corner within is not
    there to 1e-5, the first corner beyond is kept, and the curve ends on the line to it, at the
    limit. Regions have different numbers of corners: each curve is sampled, by the numbers of its
    corners and not by their FPR, at as many points as the curve of all regions together has corners
    within the limit, the last one at its end. FPR and TPR are averaged point by point, sorted by
    FPR, integrated, and divided by the last point's FPR. All as published, in single precision
    where it decides.

    maps, masks: as for `pixel_metrics`. NaN without a region or a normal pixel, and where that FPR
    is 0: of maps that are constant above the limit.
    """
    normal, regions = _split(maps, masks)
    if not (normal.size and regions):
        return np.nan
    head = _head(normal, limit)
    together = np.concatenate(regions)
    together.sort()
    points = int(np.count_nonzero(_roc(head, together)[0] <= np.float32(limit)))
    fpr, tpr = np.zeros(points), np.zeros(points)
    for region in regions:
        x, y = _sampled(*_roc(head, region), points, limit)
        fpr += x / len(regions)
        tpr += y / len(regions)
    if fpr[-1] == 0:
        return np.nan
    order = np.argsort(fpr, kind="stable")
    return float(np.trapezoid(tpr[order], fpr[order]) / fpr[-1])


def full_range_pro(maps: Maps, masks: Masks) -> float:
    """Return the exact PRO over every FPR from 0 to 1: MemSeg's, where random maps have 0.5."""
    return pixel_metrics(maps, masks, limit=1.0).pro


@dataclass(frozen=True)
class Flavour:
    """How one published code makes ground truth, and its PRO.

    resize: a mask to the map's size; positive: what counts for pixel AUROC and AP; region: for PRO.
    labels_from_masks: an image is anomalous if its mask is, whatever folder it lies in.
    """

    resize: Callable[[Grey, tuple[int, int]], Levels]
    positive: Callable[[Levels], Mask]
    region: Callable[[Levels], Mask]
    pro: Callable[[Maps, Masks], float]
    labels_from_masks: bool = False


FLAVOURS: Mapping[str, Flavour] = {
    "anomalydiffusion": Flavour(bilinear, whole, touched, quantile_pro),
    "destseg": Flavour(bilinear_antialiased, half, half, region_pro, labels_from_masks=True),
    "draem": Flavour(bilinear, whole, whole, quantile_pro),
    "memseg": Flavour(bicubic, whole, touched, full_range_pro),
}


def flavour_of(detector: type[Detector], geometry: Geometry) -> str:
    """Return the flavour of a detector's published code.

    Raises UserError where it has none, and for a store that does not stretch images as all of them
    do.
    """
    if detector.flavour not in FLAVOURS:
        raise UserError(
            f"{detector.title} names no published way of scoring (there are "
            f"{', '.join(FLAVOURS)}): leave --parity out."
        )
    if geometry.resize != "stretch":
        raise UserError(
            f"the store is {geometry}, and published code stretches images to their size: "
            "leave --parity out, or generate into another store with --resize stretch."
        )
    return detector.flavour


@dataclass(frozen=True, eq=False)
class _Truth:
    positive: Mask
    region: Mask


def parity_scores(flavour: str, scores: TestScores, greys: Iterable[Grey | None]) -> Parity:
    """Return a flavour's metrics of the `full` and the `held_out` test set.

    greys: one per image of `scores`, None where none is on record: a normal image then has no
    anomalous pixel, and an anomalous one stays out of the pixel metrics.
    """
    way = FLAVOURS[flavour]
    truths = [
        _truth(way, np.zeros((1, 1), np.uint8) if grey is None else grey, scores.maps[i].shape)
        if label == 0 or grey is not None
        else None
        for i, (label, grey) in enumerate(zip(scores.labels, greys, strict=True))
    ]
    chosen: dict[Subset, list[int]] = {
        "full": list(range(len(truths))),
        "held_out": [i for i, few in enumerate(scores.few_shot) if not few],
    }
    scored = {s: _evaluate(way, scores, truths, images) for s, images in chosen.items()}
    return Parity(
        flavour=flavour,
        metrics={s: metrics for s, (metrics, _) in scored.items()},
        reasons={s: reasons for s, (_, reasons) in scored.items()},
    )


def _truth(way: Flavour, grey: Grey, size: tuple[int, ...]) -> _Truth:
    levels = way.resize(grey, (size[0], size[1]))
    return _Truth(way.positive(levels), way.region(levels))


def _evaluate(
    way: Flavour, scores: TestScores, truths: Sequence[_Truth | None], images: Sequence[int]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics over some images, and why a NaN is one."""
    labels = [scores.labels[i] for i in images]
    if way.labels_from_masks:
        masks = [truths[i] for i in images]
        labels = [
            label if truth is None else int(truth.region.any())
            for label, truth in zip(labels, masks, strict=True)
        ]
    known = [(i, truth) for i in images if (truth := truths[i]) is not None]
    maps = [scores.maps[i] for i, _ in known]
    image = image_metrics(scores.scores[list(images)], labels)
    pixel = pixel_metrics(maps, [truth.positive for _, truth in known])
    regions = [truth.region for _, truth in known]
    pro = way.pro(maps, regions)
    metrics = {
        "image_auroc": image.auroc,
        "image_ap": image.ap,
        "pixel_auroc": pixel.auroc,
        "pixel_ap": pixel.ap,
        "pro": pro,
    }
    reasons = {f"image_{name}": why for name, why in image.reasons.items()}
    reasons |= {f"pixel_{name}": why for name, why in pixel.reasons.items() if name != "pro"}
    if np.isnan(pro):
        marked = any(region.any() for region in regions)
        reasons["pro"] = "no normal pixel" if marked else "no anomalous pixel"
        if marked and not all(region.all() for region in regions):
            reasons["pro"] = "the published curve ends at FPR 0, by which it is divided"
    return metrics, reasons


def _split(maps: Maps, masks: Masks) -> tuple[Scores, list[Scores]]:
    """Return the scores outside of all 8-connected regions, and those of every region; sorted."""
    normal, regions = [np.empty(0, np.float16)], []
    for scores, mask in zip(maps, masks, strict=True):
        normal.append(scores[~mask])
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [np.sort(scores[labels == region]) for region in range(1, count)]
    outside = np.concatenate(normal)
    sort(outside)
    return outside, regions


@dataclass(frozen=True, eq=False)
class _Head:
    """The distinct normal scores in falling order down to the first whose FPR exceeds the limit.

    floor: the normal score below them, None where there is none.
    """

    score: Scores
    fpr: npt.NDArray[np.float32]
    floor: float | None


def _head(normal: Scores, limit: float) -> _Head:
    """Return the head of sorted scores."""
    falling = normal[::-1]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    fpr = (ends + 1).astype(np.float32) / np.float32(normal.size)
    end = int(np.searchsorted(fpr, np.float32(limit), side="right")) + 1
    floor = float(falling[ends[end]]) if end < ends.size else None
    return _Head(falling[ends[:end]], fpr[:end], floor)


Curve = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def _roc(head: _Head, region: Scores) -> Curve:
    """Return FPR and TPR of every corner from (0, 0) to the last with the FPR of the head's end."""
    above = region if head.floor is None else region[region > head.floor]
    own = np.setdiff1d(above, head.score)[::-1]
    place = np.searchsorted(-head.score, -own)
    before = np.concatenate([np.zeros(1, np.float32), head.fpr])
    threshold = np.insert(head.score, place, own)
    fpr = np.concatenate([before[:1], np.insert(head.fpr, place, before[place])])
    reached = region.size - np.searchsorted(region, threshold)
    tpr = np.append(0, reached).astype(np.float32) / np.float32(region.size)
    return fpr, tpr


def _sampled(
    fpr: npt.NDArray[np.float32], tpr: npt.NDArray[np.float32], points: int, limit: float
) -> tuple[Floats, Floats]:
    """Return a region's curve up to the limit at so many points, as `region_pro` says."""
    end = np.float32(limit)
    corners = np.flatnonzero(fpr <= end)
    if fpr[corners].max() == 0 and (beyond := fpr[fpr > end]).size:
        # Published code then takes in all corners at the first FPR beyond, and below adds the first
        # of them once more: out of order, where there are several.
        corners = np.flatnonzero(fpr <= beyond.min())
    at = np.arange(points, dtype=np.float64)
    last, share = at[-1], None
    if not np.isclose(fpr[corners].max(), end, rtol=1e-5, atol=1e-8):
        first = int(np.searchsorted(fpr, end))
        corners = np.append(corners, first)
        share = 1 - (fpr[first] - end) / (fpr[first] - fpr[first - 1])
    place = corners / corners.max() * last
    if share is not None:
        at[-1] = place[-2] + (place[-1] - place[-2]) * share
    # torch's search: numpy's takes another way through places that are out of order.
    left = torch.searchsorted(torch.from_numpy(place), torch.from_numpy(at)).numpy() - 1
    left = np.clip(left, 0, len(place) - 2)
    past = (at - place[left]) / (np.finfo(np.float32).eps + place[left + 1] - place[left])
    x, y = (curve[corners].astype(np.float64) for curve in (fpr, tpr))
    return x[left] + past * (x[left + 1] - x[left]), y[left] + past * (y[left + 1] - y[left])

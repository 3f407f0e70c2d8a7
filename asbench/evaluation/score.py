"""A detector over a test set: from what it returned to the rows of a run.

Every evaluation scores two test sets from the same maps: `full`, and `held_out`, which leaves out
the few-shot third of the defects that a learned synthesizer may have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np
import numpy.typing as npt

from asbench.evaluation.low_rates import aupimo, spro
from asbench.evaluation.maps import Lazy
from asbench.evaluation.metrics import (
    PixelMetrics,
    image_metrics,
    per_image_ap,
    pixel_metrics,
    pixel_metrics_without,
)
from asbench.files.saturation import Region
from asbench.results import SUBSETS, Further, ImageRow
from synth_store.types import Mask, UserError


@dataclass(frozen=True, eq=False)
class TestScores:
    """What a detector returned for the n images of a category's test set, beside the truth.

    ids, defects: n names; labels: n of 0 and 1 (1 = anomalous); few_shot: n flags, True for defects
    that may have trained a synthesizer; scores: real (n,), higher = more anomalous; maps: float32
    (n, H, W), or n of (h, w) for photographs; masks: n of bool (H, W), None where an image has none
    on record. The mask of a normal image may be None or all False. regions: of each image those
    that sPRO is of, with how much of each must be found; None where the data set does not say, or
    cannot be asked: then unknown says why.

    Raises ValueError where lengths or shapes differ, UserError naming the image where a score or a
    map is not finite or where a normal image has a defect in its mask.
    """

    __test__ = False  # not a test, whatever pytest makes of its name

    ids: Sequence[str]
    labels: Sequence[int]
    defects: Sequence[str]
    few_shot: Sequence[bool]
    scores: npt.NDArray[np.floating]
    maps: npt.NDArray[np.float32] | Sequence[npt.NDArray[np.float32]]
    masks: Sequence[Mask | None]
    regions: Sequence[Sequence[Region]] | None = None
    unknown: str = ""

    def __post_init__(self) -> None:
        columns = ("ids", "labels", "defects", "few_shot", "scores", "maps", "masks")
        lengths = {name: len(getattr(self, name)) for name in columns}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"test scores of different lengths: {lengths}")
        for id, label, score, scored, mask in zip(
            self.ids, self.labels, self.scores, self.maps, self.masks, strict=True
        ):
            if not (np.isfinite(score) and np.isfinite(scored).all()):
                raise UserError(
                    f"image {id!r}: its score or anomaly map is not finite. "
                    "Did the training diverge? Look at its losses."
                )
            if mask is not None and mask.shape != scored.shape:
                raise ValueError(f"image {id!r}: mask {mask.shape} but anomaly map {scored.shape}")
            if mask is not None and not label and mask.any():
                raise UserError(
                    f"image {id!r} is labelled normal, yet its mask shows a defect: "
                    "mend the folder it stands in or its mask."
                )

    def truth(self, index: int) -> Mask | None:
        """Return where image `index` is anomalous, bool (H, W), None where nobody knows.

        Nobody does for an anomalous image without a mask, nor for one whose mask is all False:
        taken as it stands, such a mask would call the pixels of a defect normal.
        """
        mask = self.masks[index]
        if not self.labels[index]:
            return np.broadcast_to(np.False_, self.maps[index].shape) if mask is None else mask
        return mask if mask is not None and mask.any() else None


class SubsetScores(TypedDict):
    """The metrics of one test set: in [0, 1], or NaN with the reason under the metric's name.

    counts: images `normal`, `anomalous`, `with_mask`, `without_mask` (the last two make up the
    anomalous), and defect `regions`. pixel_f1 stands in a run's `Further`.
    """

    image_auroc: float
    image_ap: float
    pixel_auroc: float
    pixel_ap: float
    pro: float
    pixel_f1: float
    counts: dict[str, int]
    reasons: dict[str, str]


def evaluate(scores: TestScores) -> dict[str, SubsetScores]:
    """Return the metrics of the `full` test set and of the `held_out` one (no few-shot images).

    Image metrics use every image of the set; pixel metrics its normals and those anomalous images
    whose anomalous pixels are known. The others are counted as `without_mask`.
    """
    every, masked = range(len(scores.ids)), _masked(scores)
    full, held_out = pixel_metrics_without(
        *_known_pixels(scores, masked), [scores.few_shot[i] for i in masked]
    )
    seldom = [i for i in every if not scores.few_shot[i]]
    return {
        "full": _subset(scores, every, masked, full),
        "held_out": _subset(
            scores, seldom, [i for i in masked if not scores.few_shot[i]], held_out
        ),
    }


def evaluate_full(scores: TestScores) -> SubsetScores:
    """Return what `evaluate` says of the `full` test set alone."""
    masked = _masked(scores)
    pixel = pixel_metrics(*_known_pixels(scores, masked))
    return _subset(scores, range(len(scores.ids)), masked, pixel)


def further(
    scores: TestScores, evaluated: Mapping[str, SubsetScores]
) -> tuple[Further, tuple[float, ...]]:
    """Return the further metrics of both test sets, and AUPIMO image by image.

    evaluated: what `evaluate` returned for the same scores; an image's AUPIMO is NaN where it has
    no mask or no defect. Both test sets share their normal images, so an image has one value.
    """
    every = range(len(scores.ids))
    masked = _masked(scores)
    maps, truths = _known_pixels(scores, masked)
    of = aupimo(maps, truths)
    each = np.full(len(every), np.nan)
    each[masked] = of.images
    metrics, reasons = {}, {}
    for subset in SUBSETS:
        chosen = [i for i in masked if subset == "full" or not scores.few_shot[i]]
        told = {"pixel_f1": evaluated[subset]["pixel_f1"], "aupimo": _mean(each[chosen])}
        why = {"aupimo": of.reason} if of.reason else {}
        if pixel := evaluated[subset]["reasons"].get("pixel_ap"):
            why |= {"pixel_f1": pixel, "aupimo": pixel}
        if scores.regions is not None:
            maps, truths = _known_pixels(scores, chosen)
            found = spro(maps, truths, [scores.regions[i] for i in chosen])
            told["spro"] = found.value
            why |= {"spro": found.reason} if found.reason else {}
        elif scores.unknown:
            told["spro"], why["spro"] = np.nan, scores.unknown
        metrics[subset], reasons[subset] = told, why
    return Further(metrics=metrics, reasons=reasons), tuple(each.tolist())


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else np.nan


def table(scores: TestScores, each: Sequence[float] | None = None) -> list[ImageRow]:
    """Return one row per image, in the order of the test set; each: their AUPIMO."""
    return [
        ImageRow(
            id=scores.ids[i],
            label=int(scores.labels[i]),
            defect=scores.defects[i],
            few_shot=bool(scores.few_shot[i]),
            score=float(scores.scores[i]),
            pixel_ap=_pixel_ap(scores, i),
            aupimo=None if each is None or np.isnan(each[i]) else each[i],
        )
        for i in range(len(scores.ids))
    ]


def _pixel_ap(scores: TestScores, index: int) -> float:
    truth = scores.truth(index)
    if truth is None or not scores.labels[index]:
        return np.nan
    return per_image_ap(scores.maps[index], truth)


def _masked(scores: TestScores) -> list[int]:
    """Return which images have known anomalous pixels, or are normal."""
    return [i for i in range(len(scores.ids)) if scores.truth(i) is not None]


def _known_pixels(
    scores: TestScores, masked: Sequence[int]
) -> tuple[Sequence[npt.NDArray[np.float32]], Sequence[Mask]]:
    """Return their maps and masks, one at a time: a copy of them can be many gigabytes."""
    return (
        Lazy(len(masked), lambda i: scores.maps[masked[i]]),
        Lazy(len(masked), lambda i: cast(Mask, scores.truth(masked[i]))),
    )


def _subset(
    scores: TestScores, chosen: Sequence[int], masked: Sequence[int], pixel: PixelMetrics
) -> SubsetScores:
    labels = np.array([scores.labels[i] for i in chosen], np.int64)
    image = image_metrics(scores.scores[list(chosen)], labels)
    anomalous = int(labels.sum())
    normal = len(labels) - anomalous
    unmarked = len(labels) - len(masked)
    why = pixel.reasons
    if unmarked and unmarked == anomalous:
        why = dict.fromkeys(why, "no defective image has a mask")
    return SubsetScores(
        image_auroc=image.auroc,
        image_ap=image.ap,
        pixel_auroc=pixel.auroc,
        pixel_ap=pixel.ap,
        pro=pixel.pro,
        pixel_f1=pixel.f1,
        counts=dict(
            normal=normal,
            anomalous=anomalous,
            with_mask=len(masked) - normal,
            without_mask=unmarked,
            regions=pixel.regions,
        ),
        reasons={f"image_{name}": reason for name, reason in image.reasons.items()}
        | {name if name == "pro" else f"pixel_{name}": reason for name, reason in why.items()},
    )

"""The settings of a measurement of image quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from asbench.parameters import parameter
from asbench.progress import Notify, silent
from asbench.settings.every_stage import MOST_SAMPLES, MOST_SEED, QUALITY, SAMPLES, Settings


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """The settings of one measurement of a stored set's image quality."""

    method: str = parameter("draem", "A stored method, or `real`, the few-shot defects.")
    _: KW_ONLY
    category: str | None = parameter(None, "A category.", unset="the first of the data set")
    n: int = parameter(
        SAMPLES,
        "Samples measured of a set, the first ones. Scores of different n do not compare.",
        least=2,
        most=MOST_SAMPLES,
        flags=("-n", "--n"),
        study="quality",
        plural="samples",
    )
    seed: int = parameter(0, "Seed of the synthetic set.", least=0, most=MOST_SEED)
    metrics: Sequence[str] | None = parameter(
        None,
        "A metric of `asbench.quality.metrics.METRICS`.",
        unset="all whose weights are here",
        flags=("--metric",),
        study="quality",
        plural="metrics",
    )
    real: Literal["held_out", "full"] = parameter(
        "held_out",
        "Real defects held against. full: the few-shot third too, as in the paper.",
        study="quality",
        plural="real",
    )
    weights: Mapping[str, Path] | None = parameter(
        None,
        "Files of the networks behind metrics, by name: inception, alexnet, vgg16, resnet18.",
        unset="those in ASBENCH_WEIGHTS",
        hash=False,
    )
    out: Path | str = parameter(QUALITY, "Folder of what was measured.", flags=("--quality",))
    notify: Notify = parameter(silent, "Called with sentences worth reading.", flags=())

"""A made-up results table of the paper's whole grid, 6144 scores, and dearer ways to read it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from asbench.data import published
from asbench.report.paper import as_printed
from asbench.results import METRICS
from asbench.results.frame import from_records
from synth_store.rng import address_rng

RATIO_STUDY = ("mvtec", "btad")


def full_grid(seed: int = 0) -> pd.DataFrame:
    """Return 1776 base scores, 2592 at other ratios, 148 without anomalies and 1628 of mixtures."""
    rng = address_rng("full grid", seed)
    skill = {m: float(rng.uniform(-0.12, 0.12)) for m in as_printed.METHODS}
    defaults = published.default_ratios()
    records: list[dict[str, Any]] = []

    def put(dataset: str, category: str, detector: str, mix: tuple[str, ...], ratio: float) -> None:
        level = 0.8 + (sum(skill[m] for m in mix) / len(mix) if mix else -0.2)
        values = {m: float(min(1, level + rng.normal(0, 0.05))) for m in METRICS}
        about = {"dataset": dataset, "category": category, "detector": detector, "ratio": ratio}
        even = {m: 1 / len(mix) for m in mix}
        records.append({**about, "mix": even, "source": "made-up", **values})

    for dataset in as_printed.DATASETS:
        for category in published.categories(dataset):
            for detector in as_printed.DETECTORS:
                default = defaults[detector]
                put(dataset, category, detector, (), 0.0)
                for method in as_printed.METHODS:
                    put(dataset, category, detector, (method,), default)
                    if dataset in RATIO_STUDY:
                        for ratio in as_printed.RATIOS:
                            if ratio != default:
                                put(dataset, category, detector, (method,), ratio)
                for mix in as_printed.mixtures():
                    put(dataset, category, detector, mix, default)
    return from_records(records)


def quality(seed: int = 0) -> dict[tuple[str, str], dict[str, float]]:
    """Return the six metrics by (data set, metric) and method."""
    rng = address_rng("quality", seed)
    return {
        (d, q): {m: float(rng.uniform(0, 50)) for m in as_printed.METHODS}
        for d in as_printed.DATASETS
        for q in as_printed.QUALITIES
    }

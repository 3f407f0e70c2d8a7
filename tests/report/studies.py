"""Made-up studies: the paper's whole grid, seeded, with numbers that a test works out again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from asbench import published
from asbench.report import paper
from asbench.report.scores import Score
from asbench.results import METRICS
from synth_store.rng import address_rng

DETECTORS = ("destseg", "draem", "memseg", "unet")
MIXED = ("anomalydiffusion", "draem", "fractal", "memseg")
RATIOS = (0.25, 0.5, 0.75, 1.0)


def made_up(
    dataset: str, category: str, detector: str, mix: tuple[str, ...], ratio: float, seed: int = 0
) -> Score:
    """Return a score whose numbers come from its address alone: method, detector, data set and
    ratio each shift it."""
    place = (dataset, category, detector, "+".join(mix), str(ratio), str(seed))
    shift = sum(float(address_rng("skill", m).normal(0, 0.04)) for m in mix) / max(1, len(mix))
    shift += 0.02 * (len(mix) > 1) - 0.25 * (not mix)
    shift += float(address_rng("home", dataset, detector).normal(0, 0.03))
    rng = address_rng("score", *place)
    metrics = {
        metric: float(min(0.999, max(0.01, level + shift + rng.normal(0, 0.01))))
        for metric, level in zip(METRICS, (0.92, 0.9, 0.94, 0.55, 0.8), strict=True)
    }
    return Score(
        dataset=dataset,
        category=category,
        detector=detector,
        mix=mix,
        ratio=ratio,
        seed=seed,
        synth_seed=0,
        metrics=metrics,
        subset="full",
        source="made-up",
        runs=(f"{int(rng.integers(1 << 48)):012x}",),
    )


def categories(datasets: Sequence[str]) -> list[tuple[str, str]]:
    """Return (data set, category) of the paper's, named as their authors do."""
    found = []
    for dataset in datasets:
        names = list(published.categories(dataset)) or [f"{dataset}-{n}" for n in range(3)]
        found += [(dataset, name) for name in names]
    return found


def whole() -> list[Score]:
    """Return the paper's grid: 37 categories, 12 methods, 4 detectors, ratios, no anomalies,
    mixtures; one seed."""
    defaults = published.default_ratios()
    found = []
    for dataset, category in categories(list(published.table3())):
        for detector in DETECTORS:
            at = [defaults[detector]]
            at += [r for r in RATIOS if r not in at] if dataset in paper.RATIO_TABLES else []
            found += [
                made_up(dataset, category, detector, (method,), ratio)
                for method in sorted(paper.METHODS)
                for ratio in at
            ]
            found.append(made_up(dataset, category, detector, (), 0.0))
            found += [
                made_up(dataset, category, detector, mix, defaults[detector])
                for size in (2, 3, 4)
                for mix in combinations(MIXED, size)
            ]
    return found

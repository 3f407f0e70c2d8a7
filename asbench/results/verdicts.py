"""What a run's scores mean to who uses it: what it flags, whether that is better than chance, and
what a detector that needs no synthesis makes of the same photographs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asbench.results.images import ImageRow
from asbench.results.kept_out import KeptOut
from asbench.results.run import RUNS, Run, Subset

NORMAL_95 = 1.96
"""Standard deviations of a normal law that hold 95 % of it."""
HARDLY = 0.6
"""An image AUROC below this is hardly better than chance, however many images show that it is."""
UNLIKE = 0.01
"""Chance at which as many good test images are flagged if they are like the kept-out normals."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """How many good test images a threshold flags, and how many defective ones."""

    good: int
    of_good: int
    defective: int
    of_defective: int

    def __str__(self) -> str:
        return (
            f"good {self.good} of {self.of_good}, defective {self.defective} of {self.of_defective}"
        )


def flagged(rows: Iterable[ImageRow], threshold: float, subset: Subset = "full") -> Flagged:
    """Count the test images whose score reaches a threshold; `held_out` leaves out few-shot ones.

    Scores are float32, so the threshold is one too, as in `Trained.predict`.
    """
    counted = [row for row in rows if subset == "full" or not row.few_shot]
    good = [row.score >= threshold for row in counted if not row.label]
    defective = [row.score >= threshold for row in counted if row.label]
    return Flagged(sum(good), len(good), sum(defective), len(defective))


def against_chance(auroc: float, normal: int, anomalous: int) -> str:
    """Say how an image AUROC stands to chance; nothing where it is plainly better.

    normal, anomalous: how many images of either kind it was measured on. Where a detector guesses,
    the AUROC of m and n images has mean 1/2 and variance (m + n + 1) / 12 m n (Mann and Whitney,
    Annals of Mathematical Statistics 18, 1947): within 95 % of that it is no better than chance.
    The interval about the measured value itself would have no width where few images are parted
    without a fault.
    """
    if math.isnan(auroc) or not (normal and anomalous):
        return ""
    width = NORMAL_95 * math.sqrt((normal + anomalous + 1) / (12 * normal * anomalous))
    if auroc < 0.5 - width:
        return "worse than chance"
    if auroc <= 0.5 + width:
        return "no better than chance"
    return "hardly better than chance" if auroc < HARDLY else ""


def run_against_chance(run: Run, subset: Subset) -> str:
    """Say how a run's image AUROC stands to chance, as `against_chance`."""
    counts = run.counts[subset]
    normal, anomalous = (counts.get(name, 0) for name in ("normal", "anomalous"))
    return against_chance(run.metrics[subset]["image_auroc"], normal, anomalous)


def unlike(kept: KeptOut | None, rows: Sequence[ImageRow], threshold: float) -> Flagged | None:
    """Return what is flagged of the good test images where that is more than kept-out normals say.

    As (good: test images, defective: kept-out normals). None where the difference may be chance, by
    Fisher's exact test, and where no normal was kept out.
    """
    if kept is None or kept.trained:
        return None
    from scipy.stats import fisher_exact

    alarms = flagged(rows, threshold)
    own, count = int((kept.normals >= threshold).sum()), len(kept.normals)
    table = [[alarms.good, alarms.of_good - alarms.good], [own, count - own]]
    if not alarms.of_good or fisher_exact(table, alternative="greater").pvalue >= UNLIKE:
        return None
    return Flagged(alarms.good, alarms.of_good, own, count)


def baselines(run: Run, others: Iterable[Run]) -> list[Run]:
    """Return the runs that trained nothing on the photographs that a run was scored on.

    The same test images at the same geometry; the newest of each detector.
    """
    same = ("dataset", "category", "geometry", "test")
    newest: dict[str, Run] = {}
    for other in sorted(others, key=lambda r: (r.created, r.id)):
        if not other.decides["steps"] and all(
            other.decides[name] == run.decides[name] for name in same
        ):
            newest[other.decides["detector"]] = other
    return list(newest.values())


def scored_alike(root: Path, run: Run) -> list[Run]:
    """Return the runs under a folder that were scored on the test images of a run.

    Only their records are read: a folder may hold thousands, and a damaged one is not looked at
    unless it is one of these. Raises UserError naming such a one.
    """
    test = str(run.decides["test"]).encode()
    return [
        RUNS.read(path.parent)
        for path in sorted(root.glob(f"*/{RUNS.name}"))
        if test in path.read_bytes()
    ]

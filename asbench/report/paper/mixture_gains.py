"""What mixing gains: paired differences of mixtures to their theoretical mean and best single."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asbench.quality import statistics
from asbench.quality.correlation import holm
from asbench.quality.statistics import Interval
from asbench.report.paper.blocks import ENOUGH, Unit, rows_of
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import mean, title
from asbench.report.paper.sheet import Entry, Sheet, number

Differences = Mapping[tuple[str, ...], Mapping[Unit, float]]


class Gain(NamedTuple):
    """One mixture's mean difference over n blocks; corrected: p after Holm over the mixtures."""

    mix: tuple[str, ...]
    difference: float
    interval: Interval
    p: float
    corrected: float
    n: int


@dataclass(frozen=True, slots=True)
class Gains:
    """All mixtures against one kind of part. overall: over the blocks' means over mixtures."""

    each: tuple[Gain, ...]
    overall: float
    interval: Interval
    p: float
    n: int
    unit: str
    notes: tuple[str, ...]

    def sheet(self, other: str) -> Sheet:
        """Return the mixtures' differences to `other`, in words, as a table."""
        rows = tuple(
            (
                Entry(title(g.mix)),
                number(g.difference),
                number(g.interval.low),
                number(g.interval.high),
                number(g.p),
                number(g.corrected),
                Entry(str(g.n), g.n),
            )
            for g in self.each
        )
        head = ("Mixture", f"Minus {other}", "95 % from", "to", "p", "Holm p", "n")
        name = f"question4-{other.replace(' ', '-')}"
        return Sheet(name, f"Mixtures against their {other}", head, rows)


def gains(grid: ScoreGrid, metric: str, rng: np.random.Generator) -> dict[str, Gains]:
    """Return the gains over the theoretical mean (`mean`) and over the best single (`best`).

    Per category and detector, both at the detector's default ratio: the mixture minus the mean of
    its parts, and minus the part that is best for that detector over all categories that the
    mixture has. Then averaged over detectors: every category weighs alike, which is equation 1
    where a data set has all of its categories. Empty where no mixture stands with all its parts.
    """
    rows = rows_of(
        grid,
        metric,
        lambda s: title(s.mix) if s.mix and s.ratio == grid.ratios.get(s.detector) else None,
    )
    found = {}
    for name, differences in (("mean", _to_mean(grid, rows)), ("best", _to_best(grid, rows))):
        if differences:
            found[name] = _gains(differences, rng, _notes(grid, name))
    return found


def _to_mean(grid: ScoreGrid, rows: Mapping[Unit, Mapping[str, float]]) -> Differences:
    return {
        mix: {u: of[title(mix)] - mean([of[m] for m in mix]) for u, of in units.items()}
        for mix, units in _paired(grid, rows).items()
    }


def _to_best(grid: ScoreGrid, rows: Mapping[Unit, Mapping[str, float]]) -> Differences:
    found = {}
    for mix, units in _paired(grid, rows).items():
        best = {}
        for detector in {u.detector for u in units}:
            own = [of for u, of in units.items() if u.detector == detector]
            best[detector] = max(mix, key=lambda m, own=own: mean([of[m] for of in own]))  # type: ignore[misc]
        found[mix] = {u: of[title(mix)] - of[best[u.detector]] for u, of in units.items()}
    return found


def _paired(
    grid: ScoreGrid, rows: Mapping[Unit, Mapping[str, float]]
) -> dict[tuple[str, ...], dict[Unit, Mapping[str, float]]]:
    """Return by mixture the units that have it and all of its parts."""
    found = {}
    for mix in grid.mixtures:
        needed = (title(mix), *mix)
        units = {
            u: of
            for u, of in rows.items()
            if not any(math.isnan(of.get(name, math.nan)) for name in needed)
        }
        if units:
            found[mix] = units
    return found


def _gains(differences: Differences, rng: np.random.Generator, notes: tuple[str, ...]) -> Gains:
    places = {u.place for units in differences.values() for u in units}
    shared = len(places) < ENOUGH and len({u for of in differences.values() for u in of}) > len(
        places
    )
    each, by_block = [], defaultdict(list)
    for mix, units in differences.items():
        grouped: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for unit, value in units.items():
            grouped[unit[: 2 if shared else 1]].append(value)
        values = {block: mean(of) for block, of in sorted(grouped.items())}
        for block, value in values.items():
            by_block[block].append(value)
        own = list(values.values())
        p = statistics.signed_rank(own)
        each.append((mix, mean(own), statistics.bootstrap(own, rng), p, len(own)))
    corrected = holm([p for *_, p, _ in each]).tolist()
    overall = [mean(of) for _, of in sorted(by_block.items())]
    if shared:
        notes += (
            f"Fewer than {ENOUGH} categories: every detector on each counts as a block, so blocks "
            "share test images and p-values are optimistic.",
        )
    return Gains(
        tuple(
            Gain(mix, difference, interval, p, c, n)
            for (mix, difference, interval, p, n), c in zip(each, corrected, strict=True)
        ),
        mean(overall),
        statistics.bootstrap(overall, rng),
        statistics.signed_rank(overall),
        len(overall),
        "pairs of category and detector" if shared else "categories",
        notes,
    )


def _notes(grid: ScoreGrid, name: str) -> tuple[str, ...]:
    told: tuple[str, ...] = ()
    if name == "best":
        told += (
            "The best single was chosen on the same scores, which favours it slightly over the "
            "mixture.",
        )
    if any("steps mode per-component" in s.settings for s in grid.scores if len(s.mix) > 1):
        told += (
            "Some mixtures were trained for the steps of one method times their number of "
            "methods: what they gain over their parts may be the longer training.",
        )
    return told

"""What mixing gains: paired differences of mixtures to their theoretical mean and best single."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from asbench.quality.statistics import Interval, bootstrap, holm, signed_rank
from asbench.report.paper.blocks import ENOUGH, units
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.sheet import Entry, Sheet, number

Differences = Mapping[str, "pd.Series[float]"]
"""By mixture, a value per (place, detector)."""


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
                Entry(" + ".join(g.mix)),
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
    scores = grid.scores
    at_default = scores["ratio"] == scores["detector"].map(grid.ratios)
    table = units(scores[at_default & (scores["parts"] > 0)], metric, "methods")
    # Of each mixture, the units that have it and all of its parts.
    paired = {
        methods: table.reindex(columns=[methods, *mix]).dropna()
        for methods, mix in grid.mixtures.items()
    }
    paired = {methods: pairs for methods, pairs in paired.items() if len(pairs)}
    if not paired:
        return {}
    to_mean = {m: p[m] - p.drop(columns=m).mean(axis=1) for m, p in paired.items()}
    to_best = {m: _to_best(p[m], p.drop(columns=m)) for m, p in paired.items()}
    return {
        "mean": _gains(grid, to_mean, rng, _notes(grid, "mean")),
        "best": _gains(grid, to_best, rng, _notes(grid, "best")),
    }


def _to_best(whole: pd.Series[float], parts: pd.DataFrame) -> pd.Series[float]:
    """Return the differences to the part that has the highest mean under each detector."""
    best = [of[str(of.mean().idxmax())] for _, of in parts.groupby("detector")]
    return whole.sub(pd.concat(best))


def _gains(
    grid: ScoreGrid, differences: Differences, rng: np.random.Generator, notes: tuple[str, ...]
) -> Gains:
    table = pd.DataFrame(differences)  # (place, detector) × mixtures, NaN for a gap
    places = table.index.unique("place")
    shared = len(places) < ENOUGH and len(table) > len(places)
    by_block = table.groupby(["place", "detector"] if shared else "place").mean()
    each = []
    for methods in differences:
        own = by_block[methods].dropna().to_numpy()
        interval, p = bootstrap(own, rng), signed_rank(own)
        each.append((grid.mixtures[methods], float(own.mean()), interval, p, len(own)))
    corrected = holm([p for *_, p, _ in each]).tolist()
    overall = by_block.mean(axis=1).to_numpy()
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
        float(overall.mean()),
        bootstrap(overall, rng),
        signed_rank(overall),
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
    mixed = grid.scores[grid.scores["parts"] > 1]
    if mixed["settings"].str.contains("steps mode per-component").any():
        told += (
            "Some mixtures were trained for the steps of one method times their number of "
            "methods: what they gain over their parts may be the longer training.",
        )
    return told

"""Blocks: the independent units that the report's tests run over."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asbench.quality.statistics import Floats
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import Score, mean

ENOUGH = 5
"""Blocks below which nothing is decided."""


class Unit(NamedTuple):
    """Where a row of numbers was measured. place: `mvtec/bottle`, or a data set where categories
    are unknown; method: "" where the columns are methods."""

    place: str
    detector: str
    method: str = ""


@dataclass(frozen=True)
class Blocks:
    """values: (n, k) float64 without NaN, a row per block, a column per treatment.

    unit: what a block is, in the plural; left_out: treatments with too many gaps; shared: whether
    blocks share test images, so that p-values are optimistic.
    """

    values: Floats
    columns: tuple[str, ...]
    unit: str
    left_out: tuple[str, ...]
    shared: bool

    @property
    def enough(self) -> bool:
        return len(self.values) >= ENOUGH

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what a reader must know of the blocks."""
        found = []
        if self.left_out:
            names = ", ".join(self.left_out)
            found.append(f"Left out, for they lack in too many places: {names}.")
        if self.shared:
            found.append(
                f"Fewer than {ENOUGH} categories: every detector on each counts as a block, so "
                "blocks share test images and p-values are optimistic."
            )
        return tuple(found)


def rows_of(
    grid: ScoreGrid,
    metric: str,
    column: Callable[[Score], str | None],
    method: Callable[[Score], str] = lambda score: "",
) -> dict[Unit, dict[str, float]]:
    """Return the mean over seeds by unit and column; scores of column None are left out."""
    found: defaultdict[Unit, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in grid.scores:
        at = column(score)
        if at is not None and metric in score.metrics and not score.shares:
            place = f"{score.dataset}/{score.category}" if score.category else score.dataset
            unit = Unit(place, score.detector, method(score))
            found[unit][at].append(score.metrics[metric])
    return {unit: {c: mean(v) for c, v in of.items()} for unit, of in found.items()}


def blocks(rows: Mapping[Unit, Mapping[str, float]]) -> Blocks | None:
    """Return complete blocks: units without gaps, averaged by place.

    Treatments that stand almost nowhere would leave no complete unit: the most frequent ones are
    kept, as many as make units × treatments largest. Where fewer than `ENOUGH` places remain,
    every detector on each is a block. None where fewer than two treatments share a unit.
    """
    defined = {u: {c for c, v in of.items() if not math.isnan(v)} for u, of in rows.items()}
    counts: defaultdict[str, int] = defaultdict(int)
    for columns in defined.values():
        for column in columns:
            counts[column] += 1
    ordered = sorted(counts, key=lambda c: (-counts[c], c))
    sizes = []
    for k in range(2, len(ordered) + 1):
        whole = sum(set(ordered[:k]) <= columns for columns in defined.values())
        sizes.append((whole * k, k))
    size, k = max(sizes, default=(0, 0))
    if not size:
        return None
    kept = sorted(ordered[:k])
    units = {u: [of[c] for c in kept] for u, of in rows.items() if set(kept) <= defined[u]}
    places = _averaged(units, lambda unit: (unit.place,))
    one, unit = (
        ("category", "categories")
        if any("/" in u.place for u in units)
        else ("data set", "data sets")
    )
    shared = len(places) < ENOUGH and len({u[:2] for u in units}) > len(places)
    if shared:
        places, unit = _averaged(units, lambda unit: unit[:2]), f"pairs of {one} and detector"
    values = np.array([places[name] for name in sorted(places)], dtype=np.float64)
    return Blocks(values, tuple(kept), unit, tuple(sorted(ordered[k:])), shared)


def _averaged(
    units: Mapping[Unit, list[float]], name: Callable[[Unit], tuple[str, ...]]
) -> dict[tuple[str, ...], Floats]:
    groups: defaultdict[tuple[str, ...], list[list[float]]] = defaultdict(list)
    for unit, values in units.items():
        groups[name(unit)].append(values)
    return {key: np.mean(np.array(v), axis=0) for key, v in groups.items()}

"""Blocks: the independent units that the report's tests run over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from asbench.quality.statistics import Floats
from asbench.results.frame import means

ENOUGH = 5
"""Blocks below which nothing is decided."""


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
        told = []
        if self.left_out:
            names = ", ".join(self.left_out)
            told.append(f"Left out, for they lack in too many places: {names}.")
        if self.shared:
            told.append(
                f"Fewer than {ENOUGH} categories: every detector on each counts as a block, so "
                "blocks share test images and p-values are optimistic."
            )
        return tuple(told)


def units(
    scores: pd.DataFrame, metric: str, columns: str, also: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the mean over seeds: a row per place, detector and `also`, a column per treatment.

    place: `mvtec/bottle`, or a data set where categories are unknown; columns: the column of
    `scores` that names the treatments. Mixes of unequal shares are left out.
    """
    even = scores[scores["shares"] == ""]
    place = (even["dataset"] + "/" + even["category"]).str.removesuffix("/")
    by = ["place", "detector", *also, columns]
    return means(even.assign(place=place), by, [metric])[metric].unstack()


def blocks(table: pd.DataFrame) -> Blocks | None:
    """Return complete blocks: units (as `units` gives them) without gaps, averaged by place.

    Treatments that stand almost nowhere would leave no complete unit: the most frequent ones are
    kept, as many as make units × treatments largest. Where fewer than `ENOUGH` places remain,
    every detector on each is a block. None where fewer than two treatments share a unit.
    """
    counts = table.count()
    ordered = sorted(counts.index[counts > 0], key=lambda c: (-counts[c], c))
    sizes = [(len(table[ordered[:k]].dropna()) * k, k) for k in range(2, len(ordered) + 1)]
    size, k = max(sizes, default=(0, 0))
    if not size:
        return None
    kept = sorted(ordered[:k])
    full = table[kept].dropna()
    by_place = full.groupby("place").mean()
    one, unit = ("data set", "data sets")
    if by_place.index.str.contains("/").any():
        one, unit = ("category", "categories")
    by_pair = full.groupby(["place", "detector"]).mean()
    shared = len(by_place) < ENOUGH and len(by_pair) > len(by_place)
    if shared:
        by_place, unit = by_pair, f"pairs of {one} and detector"
    return Blocks(by_place.to_numpy(), tuple(kept), unit, tuple(sorted(ordered[k:])), shared)

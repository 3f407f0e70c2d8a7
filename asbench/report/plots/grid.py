"""The grid of a study as figures read it: means of data sets, default ratios, and what is missing.

A value of a figure is a mean over training seeds; `Setting` says of what.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asbench import published
from asbench.report import scores as group
from asbench.report.scores import Score, Setting, plain

Cells = Mapping[Setting, float]


@dataclass(frozen=True, eq=False)
class Grid:
    """One study's scores. `scores`: at most one a place, as `scores.settle` leaves them."""

    scores: tuple[Score, ...]

    @functools.cached_property
    def means(self) -> list[Score]:
        """The data-set means, seed by seed."""
        return [s for s in group.dataset_means(self.scores) if not s.shares]

    @functools.cached_property
    def datasets(self) -> list[str]:
        order = list(published.table3())
        names = {s.dataset for s in self.scores}
        return sorted(names, key=lambda n: (_place(plain(n), order), n))

    @functools.cached_property
    def detectors(self) -> list[str]:
        return sorted({s.detector for s in self.scores})

    @functools.cached_property
    def methods(self) -> list[str]:
        """The methods that some detector was trained on alone."""
        return sorted({s.mix[0] for s in self.scores if len(s.mix) == 1})

    @functools.cached_property
    def mixtures(self) -> list[tuple[str, ...]]:
        found = {s.mix for s in self.scores if len(s.mix) > 1 and not s.shares}
        return sorted(found, key=lambda mix: (len(mix), mix))

    @functools.cached_property
    def ratios(self) -> dict[str, float]:
        """Each detector's ratio where ratios are not compared.

        Its authors' where it was trained at that, else the one that most of its scores have.
        """
        seen: defaultdict[str, Counter[float]] = defaultdict(Counter)
        for score in self.scores:
            if score.mix:
                seen[score.detector][score.ratio] += 1
        printed = published.default_ratios()
        found = {}
        for detector, counts in seen.items():
            own = printed.get(plain(detector))
            most = max(counts, key=lambda ratio: (counts[ratio], -ratio))
            found[detector] = own if own in counts else most
        return found

    @functools.cached_property
    def weights(self) -> dict[str, int]:
        """Equation 1's weights."""
        return group.class_counts(self.scores)

    def cells(self, metric: str) -> dict[Setting, float]:
        """Return the means over seeds by data set, detector, mix and ratio."""
        return group.means(self.means, metric)

    def singles(self, metric: str) -> dict[Setting, float]:
        """Return the cells of single methods at the detectors' own ratios (ratio None)."""
        found = group.at_default(self.cells(metric), self.ratios)
        return {s: v for s, v in found.items() if len(s.mix) == 1}

    def over_datasets(self, cells: Cells, *, weighted: bool) -> dict[tuple[str, ...], float]:
        """Return means over all data sets by (detector, *mix); NaN where one lacks.

        weighted: by equation 1, else each data set alike.
        """
        weights = [float(self.weights[d]) if weighted else 1.0 for d in self.datasets]
        found = {}
        for detector, *mix in sorted({(s.detector, *s.mix) for s in cells}):
            some = next(s for s in cells if s.detector == detector and s.mix == tuple(mix))
            values = [cells.get(some._replace(dataset=d), math.nan) for d in self.datasets]
            found[detector, *mix] = group.mean(values, weights)
        return found

    def lacks(self, wanted: Iterable[Setting], cells: Cells) -> tuple[str, ...]:
        """Say which of the wanted cells are not there or undefined, and for want of what."""
        return tuple(self._lack(s, cells) for s in wanted if math.isnan(cells.get(s, math.nan)))

    def all_singles(self, datasets: Sequence[str] = ()) -> list[Setting]:
        """Return every setting that `singles` has in a grid without gaps."""
        return [
            Setting(dataset, detector, (method,), None)
            for dataset in datasets or self.datasets
            for detector in self.detectors
            for method in self.methods
        ]

    def _lack(self, setting: Setting, cells: Cells) -> str:
        what = group.title(setting.mix)
        told = f"{what} with {setting.detector} on {setting.dataset}"
        if setting.ratio is not None:
            told += f" at ratio {setting.ratio:g}"
        if setting in cells:
            return f"{told} (undefined)"
        ratio = self.ratios.get(setting.detector) if setting.ratio is None else setting.ratio
        have = {c for c, *rest in self._trained if rest == [*setting[:3], ratio]}
        lacking = sorted(self._categories[setting.dataset] - have)
        if not have or not lacking:
            return told
        return f"{told} ({len(lacking)} of {len(lacking) + len(have)} categories)"

    @functools.cached_property
    def _trained(self) -> set[tuple[Any, ...]]:
        return {(s.category, s.dataset, s.detector, s.mix, s.ratio) for s in self.scores}

    @functools.cached_property
    def _categories(self) -> dict[str, set[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for score in self.scores:
            found[score.dataset].add(score.category)
        return found


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def mean_defined(values: Iterable[float]) -> float:
    """Return the mean, NaN where one of them is or there is none."""
    kept = list(values)
    return math.fsum(kept) / len(kept) if kept else math.nan


def sample_variance(values: Sequence[float]) -> float:
    """Return the sample variance (n - 1), NaN for fewer than two values or an undefined one."""
    if len(values) < 2:
        return math.nan
    mean = mean_defined(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)

"""What the page shows of a study: figures with their gaps, tables with the origin of each number,
and every run once."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from asbench.report.drawing import Drawing
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import Expected, title
from asbench.report.paper.sheet import GAP, Entry, Sheet


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its caption. paper: the number of the paper's figure, or nothing; width: in
    points, 0 for the whole column; missing: what is not drawn for want of runs."""

    svg: Markup
    caption: str
    paper: str = ""
    width: float = 0.0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traced:
    """An entry of a table. runs: that its number is made of; at: the id of the page where a large
    study lists them; both empty for names and gaps."""

    entry: Entry
    runs: tuple[str, ...] = ()
    at: str = ""

    @property
    def of(self) -> str:
        """The runs in a few words."""
        more = f" and {len(self.runs) - 3} more" if len(self.runs) > 3 else ""
        count = f"{len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'}"
        return f"{count}: {', '.join(self.runs[:3])}{more}" if self.runs else ""


@dataclass(frozen=True, slots=True)
class SheetShown:
    """A table. numeric: by column, whether it sorts by value."""

    sheet: Sheet
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Traced, ...], ...]

    @property
    def origins(self) -> list[tuple[str, Traced]]:
        """Return (name, cell) of each number that has runs."""
        return [
            (f"{row[0].entry.text}, {head}", cell)
            for row in self.rows
            for head, cell in zip(self.sheet.head, row, strict=True)
            if cell.runs
        ]


@dataclass(frozen=True, slots=True)
class Line:
    """The runs of one mix, ratio and seed of a detector on a data set, by category."""

    mix: str
    ratio: float
    seed: int
    runs: tuple[tuple[str, str, float], ...]
    """(category, run id, image AUROC)"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All runs of a detector on a data set, under an id of the page."""

    at: str
    dataset: str
    detector: str
    lines: tuple[Line, ...]

    @property
    def count(self) -> int:
        return sum(len(line.runs) for line in self.lines)


def plots(drawings: Iterable[Drawing]) -> list[Plot]:
    """Return drawings as the page takes them."""
    return [
        Plot(Markup(d.svg()), d.caption, d.paper, 72 * d.figure.get_figwidth(), d.missing)
        for d in drawings
    ]


def spans(grid: ScoreGrid) -> bool:
    """Whether there is a study: more than one data set or detector, or three methods."""
    return len(grid.datasets) > 1 or len(grid.detectors) > 1 or len(grid.methods) > 2


def anchor(*names: str) -> str:
    """Return the page's id of what stands about a data set, or of a detector on it."""
    return "-".join(["from", *(re.sub(r"\W", "-", name) for name in names)])


def ledgers(scores: pd.DataFrame) -> list[Ledger]:
    """Return every run once, by data set and detector."""
    groups: Any = scores.groupby(["dataset", "detector"])
    return [
        Ledger(anchor(dataset, detector), dataset, detector, tuple(_lines(members)))
        for (dataset, detector), members in groups
    ]


def shown(sheets: Iterable[Sheet], grid: ScoreGrid) -> list[SheetShown]:
    """Return the tables that hold any number, each cell with its origin."""
    tables = []
    for sheet in sheets:
        columns = range(len(sheet.head))
        numeric = tuple(any(row[c].value is not None for row in sheet.rows) for c in columns)
        if any(row[c].text != GAP for row in sheet.rows for c in columns[1:]):
            rows = tuple(tuple(_traced(sheet, row, c, grid) for c in columns) for row in sheet.rows)
            tables.append(SheetShown(sheet, numeric, rows))
    return tables


def _lines(scores: pd.DataFrame) -> Iterable[Line]:
    groups: Any = scores.groupby(["parts", "methods", "shares", "ratio", "seed", "settings"])
    for (_, methods, shares, ratio, seed, _), of in groups:
        runs = zip(of["category"], of["run"], of["image_auroc"], strict=True)
        name = title(methods)
        yield Line(f"{name} ({shares})" if shares else name, ratio, seed, tuple(sorted(runs)))


def _traced(sheet: Sheet, row: Sequence[Entry], column: int, grid: ScoreGrid) -> Traced:
    """Add to an entry the runs that it is made of, where it is a number of tables 4 or 6 to 8."""
    entry, name, head = row[column], row[0].text, sheet.head[column]
    if column == 0 or entry.value is None or math.isnan(entry.value):
        return Traced(entry)
    datasets = [d for d in grid.datasets if head.startswith(f"{d} ")] or list(grid.datasets)
    detectors = list(grid.detectors)
    methods = name
    every_ratio = False
    if sheet.name.startswith("table4"):
        named = entry.mark.partition(", of ")[0].split(" = ")  # a best names its detectors
        detectors = [d for d in grid.detectors if d in named] or detectors
    elif sheet.name == "table6":
        datasets, methods = [name], ""
        detectors = [d for d in grid.detectors if head.startswith(f"{d} ")]
    elif " on " in sheet.title:
        datasets = [d for d in grid.datasets if sheet.title.endswith(f" on {d}")]
        every_ratio = True
    else:
        return Traced(entry)
    runs = [
        run
        for dataset in sorted(datasets)
        for detector in detectors
        for ratio, of in grid.runs.get((dataset, detector, methods), {}).items()
        if every_ratio or not methods or ratio == grid.ratios.get(detector)
        for run in of
    ]
    if not runs or not datasets:
        return Traced(entry)
    one = len(datasets) == 1
    at = anchor(datasets[0], detectors[0]) if one and len(detectors) == 1 else ""
    return Traced(entry, tuple(runs), at or "runs")


def lacking(missing: Iterable[Expected]) -> list[tuple[str, str]]:
    """Return missing runs by all but their category: what is trained, and the categories."""
    categories: defaultdict[str, list[str]] = defaultdict(list)
    for one in missing:
        trained = f"{title(one.methods)} with {one.detector} on {one.dataset}"
        categories[f"{trained} at ratio {one.ratio:g}, seed {one.seed}"].append(one.category)
    return [(name, ", ".join(of)) for name, of in categories.items()]

"""What is found of each defect type: read from the images' scores, so of every run there is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from asbench.report.tables import ResultRow, ResultTable, SeedMean
from asbench.results import ImageRow, Run, Subset, table_of

METRICS = {"image_auroc": "Image AUROC", "pixel_ap": "Pixel AP", "aupimo": "AUPIMO"}
"""By name: what people call each metric of a defect type."""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One defect type in one row of the results.

    images: of this type, in the subset; cells: by metric. image_auroc sets the type's images
    against all good ones; pixel_ap and aupimo are means over images of what each has alone.
    """

    row: ResultRow
    defect: str
    images: int
    cells: dict[str, SeedMean]


@dataclass(frozen=True, slots=True)
class TypeBlock:
    """A category's defect types under one detector: rows of results across, types down."""

    dataset: str
    category: str
    detector: str
    rows: tuple[ResultRow, ...]
    types: tuple[tuple[TypeRow, ...], ...]
    """For each type, what each of `rows` has of it."""


def by_type(table: ResultTable, root: Path) -> list[TypeRow]:
    """Return every row of one category by defect type, in the table's order, types sorted.

    Runs whose table of images is gone are left out. Raises UserError for a damaged one.
    """
    found: list[TypeRow] = []
    for row in table.rows:
        here = [run for run in row.runs if (root / run.id / "test.csv").exists()]
        if row.categories == 1 and here:
            found += _of(row, here, root, table.subset)
    return found


def blocks(rows: Sequence[TypeRow]) -> list[TypeBlock]:
    """Return the types of each category and detector, where there are two of them or more."""
    grouped: dict[tuple[str, str, str], dict[str, list[TypeRow]]] = {}
    for one in rows:
        grouped.setdefault(one.row.block, {}).setdefault(one.defect, []).append(one)
    return [
        TypeBlock(
            dataset,
            category,
            detector,
            tuple(one.row for one in next(iter(types.values()))),
            tuple(tuple(of) for of in types.values()),
        )
        for (dataset, category, detector), types in grouped.items()
        if len(types) > 1 and len({len(of) for of in types.values()}) == 1
    ]


def csv_text(rows: Sequence[TypeRow], subset: Subset) -> str:
    """Return the rows as CSV: full precision in 0..1, nothing where undefined."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    numbers = [f"{metric}_{what}" for metric in METRICS for what in ("mean", "sd")]
    keys = ("dataset", "category", "detector", "mix", "ratio", "settings", "subset", "defect")
    lines.writerow([*keys, "images", "runs", *numbers])
    for one in rows:
        row = one.row
        values = [v for m in METRICS for v in (one.cells[m].mean, one.cells[m].sd)]
        lines.writerow(
            [row.dataset, row.category, row.detector, str(row.mix), repr(row.ratio)]
            + ["; ".join(f"{k}={v}" for k, v in row.settings.items()), subset, one.defect]
            + [one.images, " ".join(run.id for run in row.runs)]
            + ["" if math.isnan(v) else repr(v) for v in values]
        )
    return out.getvalue()


def _of(row: ResultRow, runs: Sequence[Run], root: Path, subset: Subset) -> Iterator[TypeRow]:
    tables = [
        [line for line in table_of(run, root) if subset == "full" or not line.few_shot]
        for run in runs
    ]
    for defect in sorted({line.defect for line in tables[0] if line.label}):
        chosen = [[line for line in lines if line.defect == defect] for lines in tables]
        good = [[line.score for line in lines if not line.label] for lines in tables]
        scores = [[line.score for line in lines] for lines in chosen]
        cells = {
            "image_auroc": _mean([_auroc(*pair) for pair in zip(scores, good, strict=True)]),
            "pixel_ap": _mean([_average(lines, _pixel_ap) for lines in chosen]),
            "aupimo": _mean([_average(lines, _aupimo) for lines in chosen]),
        }
        yield TypeRow(row, defect, len(chosen[0]), cells)


def _pixel_ap(line: ImageRow) -> float:
    return line.pixel_ap


def _aupimo(line: ImageRow) -> float:
    return math.nan if line.aupimo is None else line.aupimo


def _average(lines: Sequence[ImageRow], value: Callable[[ImageRow], float]) -> float:
    """Return the mean over those images that have a value; NaN where none has."""
    values = [v for line in lines if not math.isnan(v := value(line))]
    return math.fsum(values) / len(values) if values else math.nan


def _auroc(anomalous: Sequence[float], normal: Sequence[float]) -> float:
    """Return how often an anomalous score is above a normal one, equal ones half."""
    n, m = len(anomalous), len(normal)
    if not n or not m:
        return math.nan
    ranks = rankdata([*anomalous, *normal])[:n].sum()
    return float((ranks - n * (n + 1) / 2) / (n * m))


def _mean(values: Sequence[float]) -> SeedMean:
    array = np.array(values)
    sd = float(array.std(ddof=1)) if array.size > 1 else math.nan
    return SeedMean(tuple(values), float(array.mean()), sd)

"""Tables 3 to 9 of the paper as group-bys over a grid of scores.

With `compare`, a cell stands beside the printed number, or beside "not comparable" where something
that decides the outcome differs; the notes say what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asbench.data import published
from asbench.report.paper import as_printed
from asbench.report.paper.comparison import (
    Comparison,
    grid_notes,
    listed,
    marked,
    not_the_four,
    reasons,
    scored_on,
)
from asbench.report.paper.grid import Best, ScoreGrid
from asbench.report.paper.relations import (
    QualityByMethod,
    ratio_studies,
    ratio_table,
    table9,
    table9_printed,
)
from asbench.report.paper.scores import plain, title
from asbench.report.paper.sheet import GAP, Entry, Sheet, number
from asbench.report.tables import TITLES
from asbench.results.frame import at, by_label

SHOWN = ("image_auroc", "pixel_ap")
"""The metrics of Table 4."""


def tables(
    grid: ScoreGrid,
    *,
    quality: QualityByMethod | None = None,
    measured: Mapping[str, Mapping[str, published.Measured]] | None = None,
    compare: bool = False,
) -> list[Sheet]:
    """Return tables 3 to 9 in order; those without any data of their own stand with gaps."""
    several = len(grid.detectors) > 1 and not grid.printed
    of_scores = [
        table4_best(grid, compare),
        table4_mean(grid),
        *(table4_of(grid, d) for d in grid.detectors if several),
        table5(grid, compare),
        table6(grid, compare),
        *(ratio_table(grid, study, compare) for study in ratio_studies(grid)),
        *([table9(grid, quality, compare)] if quality else []),
    ]
    return [
        table3(measured),
        *(marked(table, grid) for table in of_scores),
        *([table9_printed()] if compare else []),
        *([missing_runs(grid)] if grid.missing else []),
    ]


def table3(measured: Mapping[str, Mapping[str, published.Measured]] | None = None) -> Sheet:
    """Return the data sets as the paper prints them and, beside, as measured at hand."""
    head = ("Data set", "Train normal", "Test normal", "Test anomalous", "Categories")
    rows, notes = [], []
    for name, printed in published.table3().items():
        here = (measured or {}).get(name)
        given: tuple[int | str, ...] = ("", "", "", "", "")
        if here:
            total = sum((m.counts for m in here.values()), published.Counts(0, 0, 0))
            sides = [side for m in here.values() if m.sides for side in m.sides]
            span = f"{min(sides)}-{max(sides)}" if sides else GAP
            given = (*total, len(here), span)
            notes += [f"{name}: {told}." for told in published.differences(name, here) or ()]
        span = f"{printed.sides[0]}-{printed.sides[1]}"
        shown: tuple[int | str, ...] = (*printed.counts, printed.categories, span)
        rows.append(
            (
                Entry(name),
                *(
                    Entry(
                        str(p),
                        None if isinstance(p, str) else p,
                        beside=f"here {g}" if here else "",
                    )
                    for p, g in zip(shown, given, strict=True)
                ),
            )
        )
        if printed.note and not here:
            notes.append(f"{name}: {printed.note}.")
    return Sheet(
        "table3", "Table 3: data sets", (*head, "Sides (pixels)"), tuple(rows), tuple(notes)
    )


def table4_best(grid: ScoreGrid, compare: bool = False) -> Sheet:
    """Return Table 4: the best of the detectors by data set and method, the detector named.

    The last columns are equation 1 over the data sets. A best of fewer detectors than the grid has
    is marked with their number and does not compete.
    """
    printed = Comparison(compare)
    best = {metric: grid.best_of_detectors(metric) for metric in SHOWN}
    theirs = _printed_best()

    def fewer(cell: Best) -> bool:
        return not grid.printed and cell.of < len(grid.detectors)

    def cell(dataset: str, method: str, metric: str, top: float) -> Entry:
        best_of = best[metric].get((dataset, method))
        if best_of is None:
            return Entry(GAP, math.nan)
        mark = " = ".join(best_of.detectors) + (f", of {best_of.of}" if fewer(best_of) else "")
        why = reasons(grid, dataset, grid.detectors, (method,)) | not_the_four(grid.detectors)
        of = theirs.get((plain(dataset), plain(method), metric))
        leads = best_of.value == top and not fewer(best_of)
        return number(best_of.value, mark=mark, beside=printed.beside(of, why), best=leads)

    values = {m: {k: b.value for k, b in best[m].items() if not fewer(b)} for m in SHOWN}
    rows = _method_rows(grid, values, cell)
    any_fewer = any(fewer(b) for of in best.values() for b in of.values())
    notes = [
        "In 0..1; the best of the detectors at hand, named behind it, chosen for each metric by "
        "itself; bold: the best method of the column.",
        *(["“of n”: n detectors alone had it, so it does not compete."] if any_fewer else []),
        *grid_notes(grid),
        *printed.notes(),
    ]
    return Sheet("table4-best", "Table 4: best of detectors", _head4(grid), rows, tuple(notes))


def table4_mean(grid: ScoreGrid) -> Sheet:
    """Return Table 4 as the unweighted mean over detectors; the paper does not print it."""
    values = {metric: grid.mean_of_detectors(metric) for metric in SHOWN}

    def cell(dataset: str, method: str, metric: str, top: float) -> Entry:
        value = values[metric].get((dataset, method), math.nan)
        return number(value, best=value == top)

    notes = (
        f"In 0..1; mean over {listed(grid.detectors)}; a gap where one of them lacks; bold: the "
        "best method of the column.",
        *grid_notes(grid),
    )
    rows = _method_rows(grid, values, cell)
    return Sheet("table4-mean", "Table 4: mean of detectors", _head4(grid), rows, notes)


def table4_of(grid: ScoreGrid, detector: str) -> Sheet:
    """Return Table 4 of one detector; the paper does not print it."""
    values = {metric: by_label(at(grid.singles(metric), "detector", detector)) for metric in SHOWN}

    def cell(dataset: str, method: str, metric: str, top: float) -> Entry:
        value = values[metric].get((dataset, method), math.nan)
        return number(value, best=value == top)

    rows = _method_rows(grid, values, cell)
    notes = ("In 0..1; bold: the best method of the column.", *grid_notes(grid))
    name = f"table4-{detector.replace('@', '-')}"
    return Sheet(name, f"Table 4: {detector} alone", _head4(grid), rows, notes)


def best_methods(grid: ScoreGrid) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return Table 5 by (detector, data set): the methods with the highest image AUROC."""
    by_detector: Any = grid.singles("image_auroc").dropna().groupby(["detector", "dataset"])
    return {
        pair: tuple(sorted(of.index[of == of.max()].get_level_values("methods")))
        for pair, of in by_detector
    }


def table5(grid: ScoreGrid, compare: bool = False) -> Sheet:
    """Return Table 5: each detector's best method by data set, by image AUROC."""
    printed = Comparison(compare)
    ours, theirs = best_methods(grid), as_printed.table5()
    rows = []
    for detector in grid.detectors:
        cells = [Entry(detector)]
        for dataset in grid.datasets:
            why = set(reasons(grid, dataset, [detector], grid.methods))
            if {plain(m) for m in grid.methods} != set(as_printed.METHODS):
                why.add("other methods")
            of = theirs.get((plain(detector), plain(dataset)))
            here = ours.get((detector, dataset))
            beside = printed.beside(of if here else None, why)
            cells.append(Entry(" = ".join(here or (GAP,)), beside=beside))
        rows.append(tuple(cells))
    notes = ["The method with the highest image AUROC.", *grid_notes(grid), *printed.notes()]
    head = ("Detector", *grid.datasets)
    return Sheet("table5", "Table 5: best method of each detector", head, tuple(rows), tuple(notes))


def table6(grid: ScoreGrid, compare: bool = False) -> Sheet:
    """Return Table 6: training without anomalies."""
    printed, metrics = Comparison(compare), ("image_auroc", "pixel_ap", "pro")
    theirs = as_printed.table6().set_index(["dataset", "detector"])[list(metrics)]
    rows = []
    for dataset in grid.datasets:
        row = [Entry(dataset)]
        for detector in grid.detectors:
            setting = dataset, detector, "", 0.0
            for metric in metrics:
                value = grid.cells[metric].get(setting, math.nan)
                of = theirs[metric].get((plain(dataset), plain(detector)))
                why = set(grid.caveats.get(setting, ()))
                if metric == "pro" and plain(detector) == "memseg":
                    why.add("PRO of MemSeg is printed up to a false-positive rate of 1")
                shown = None if of is None or math.isnan(value) else f"{of:.4f}"
                row.append(number(value, beside=printed.beside(shown, why)))
        rows.append(tuple(row))
    head = ("Data set", *(f"{d} {TITLES[m]}" for d in grid.detectors for m in metrics))
    notes = ("In 0..1; trained on normals alone, ratio 0.", *scored_on(grid), *printed.notes())
    return Sheet("table6", "Table 6: without anomalies", head, tuple(rows), notes)


def missing_runs(grid: ScoreGrid) -> Sheet:
    """Return the expected places without a score."""
    head = ("Data set", "Category", "Detector", "Mix", "Ratio", "Seed")
    rows = tuple(
        (
            Entry(training.dataset),
            Entry(training.category),
            Entry(training.detector),
            Entry(title(training.methods)),
            Entry(f"{training.ratio:g}"),
            Entry(str(training.seed)),
        )
        for training in grid.missing
    )
    count = len(rows)
    name = f"{count} missing run{'s' if count > 1 else ''}"
    return Sheet("missing", name, head, rows, ("Their cells are gaps, or rest on fewer seeds.",))


def _head4(grid: ScoreGrid) -> tuple[str, ...]:
    columns = (f"{d} {TITLES[m]}" for d in (*grid.datasets, "Eq. 1") for m in SHOWN)
    return ("Method", *columns)


def _method_rows(
    grid: ScoreGrid,
    values: Mapping[str, Mapping[tuple[str, str], float]],
    cell: Callable[[str, str, str, float], Entry],
) -> tuple[tuple[Entry, ...], ...]:
    weighted = {metric: grid.weighted(values[metric]) for metric in SHOWN}
    top = {
        (d, metric): _highest(v for (of, _), v in values[metric].items() if of == d)
        for d in grid.datasets
        for metric in SHOWN
    }
    whole = {metric: _highest(weighted[metric].values()) for metric in SHOWN}
    return tuple(
        (
            Entry(method),
            *(cell(d, method, m, top[d, m]) for d in grid.datasets for m in SHOWN),
            *(number(weighted[m][method], best=weighted[m][method] == whole[m]) for m in SHOWN),
        )
        for method in grid.methods
    )


def _highest(values: Iterable[float]) -> float:
    return max((v for v in values if not math.isnan(v)), default=math.nan)


def _printed_best() -> dict[tuple[str, str, str], str]:
    cells = as_printed.table4().set_index(["dataset", "methods"])
    return {
        (*pair, metric): f"{value:.4f}"
        for metric in SHOWN
        for pair, value in by_label(cells[metric].dropna()).items()
    }

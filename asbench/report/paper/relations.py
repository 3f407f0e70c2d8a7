"""Tables 7 to 9 of the paper: over ratios, and quality against detection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from asbench.quality.statistics import Pearson, holm, p_of_r, pearson
from asbench.report.paper import as_printed
from asbench.report.paper.comparison import Comparison, listed, not_the_four, reasons, scored_on
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import plain
from asbench.report.paper.sheet import Entry, Sheet, number, scientific
from asbench.results.frame import across, at

QualityByMethod = Mapping[tuple[str, str], Mapping[str, float]]
"""A quality metric's value by method, by (data set, metric's name)."""


class RatioStudy(NamedTuple):
    """What Table 7 says of a data set.

    cells: image AUROC of every method, ratio and detector compared, NaN for a gap; by_ratio: its
    mean over detectors, methods × ratios; spreads: of that over the ratios, methods × (mean,
    sample variance (n - 1), maximum, minimum, range); r: Pearson of mean and range over the
    methods without gaps, None for fewer than three.
    """

    dataset: str
    detectors: tuple[str, ...]
    ratios: tuple[float, ...]
    cells: pd.Series[float]
    by_ratio: pd.DataFrame
    spreads: pd.DataFrame
    r: Pearson | None


def ratio_studies(grid: ScoreGrid) -> list[RatioStudy]:
    """Return the data sets on which single methods were trained at several ratios above 0."""
    cells = grid.cells["image_auroc"]
    single = cells.index.isin(grid.methods, level="methods")
    cells = cells[single & (cells.index.get_level_values("ratio") > 0)]
    several = cells[cells.groupby(["dataset", "detector", "methods"]).transform("size") > 1]
    compared = set(several.index.unique("dataset"))
    return [
        _ratio_study(dataset, at(cells, "dataset", dataset), at(several, "dataset", dataset))
        for dataset in grid.datasets
        if dataset in compared
    ]


def ratio_table(grid: ScoreGrid, study: RatioStudy, compare: bool = False) -> Sheet:
    """Return Table 7 or 8, or their like for another data set: a method's spread over ratios."""
    printed = Comparison(compare)
    theirs = (
        as_printed.ratio_table(study.dataset) if study.dataset in as_printed.RATIO_TABLES else {}
    )
    rows = []
    spreads: Any = study.spreads.to_dict("index")
    for method, spread in spreads.items():
        why = reasons(grid, study.dataset, study.detectors, (method,), study.ratios)
        why |= not_the_four(study.detectors)
        if study.ratios != as_printed.RATIOS:
            why.add("other ratios")
        row = [Entry(method)]
        for field, value in spread.items():
            of = getattr(theirs[plain(method)], field) if plain(method) in theirs else None
            form = "{:.2E}" if field == "variance" else "{:.4f}"
            shown = None if of is None or math.isnan(value) else form.format(of)
            make = scientific if field == "variance" else number
            row.append(make(value, beside=printed.beside(shown, why)))
        rows.append(tuple(row))
    told = ", ".join(f"{r:g}" for r in study.ratios)
    notes = [
        f"Image AUROC in 0..1, mean over {listed(study.detectors)}, over the ratios {told}; "
        "sample variance (n − 1); a gap where a run lacks.",
        *scored_on(grid),
    ]
    if study.r is not None:
        notes.append(
            f"Mean against range over {study.r.n} methods: Pearson r = {study.r.r:.6f}, "
            f"p = {study.r.p:.6f}."
        )
    place = as_printed.RATIO_TABLES.get(study.dataset)
    name = f"table{place}" if place else f"ratios-{study.dataset}"
    heading = f"Table {place}" if place else "As tables 7 and 8"
    head = ("Method", "Mean", "Variance", "Maximum", "Minimum", "Range")
    notes += printed.notes()
    return Sheet(name, f"{heading}: ratios on {study.dataset}", head, tuple(rows), tuple(notes))


def table9(grid: ScoreGrid, quality: QualityByMethod, compare: bool = False) -> Sheet:
    """Return Table 9: quality against image AUROC over methods, the mean over detectors.

    p is two-sided and uncorrected as in the paper; the corrected one stands beside it.
    """
    printed = Comparison(compare)
    pairs = {(p.dataset, p.metric): p for p in pairings(grid, quality)}
    correlations = {
        at: pearson(p.x, p.y) if len(p.x) > 2 else Pearson(math.nan, math.nan, len(p.x))
        for at, p in pairs.items()
    }
    corrected = dict(
        zip(correlations, holm([c.p for c in correlations.values()]).tolist(), strict=True)
    )
    rows = []
    for metric in dict.fromkeys(m for _, m in quality):
        row = [Entry(metric)]
        for dataset in grid.datasets:
            at = (dataset, metric)
            c = correlations.get(at, Pearson(math.nan, math.nan, 0))
            beside = _printed_r(grid, pairs[at], printed) if at in pairs else ""
            row += [number(c.r, beside=beside), number(c.p), number(corrected.get(at, math.nan))]
            row.append(Entry(str(c.n), c.n))
        rows.append(tuple(row))
    head = tuple(f"{d} {what}" for d in grid.datasets for what in ("r", "p", "Holm p", "n"))
    notes = [
        "Pearson's r over methods of a quality metric with image AUROC; p two-sided; Holm p: "
        f"corrected for the {len(correlations)} tests of the table; n: methods.",
        *_detection_notes(pairs.values()),
        *scored_on(grid),
        *printed.notes(),
    ]
    if compare:
        notes.append("The paper does not say which images its pairs are made of.")
    name = "Table 9: quality and detection"
    return Sheet("table9", name, ("Quality metric", *head), tuple(rows), tuple(notes))


def _printed_r(grid: ScoreGrid, pair: Pairing, printed: Comparison) -> str:
    of = as_printed.table9().get((plain(pair.dataset), pair.metric))
    why = reasons(grid, pair.dataset, pair.detectors, pair.methods)
    why |= not_the_four(pair.detectors)
    if {plain(m) for m in pair.methods} != set(as_printed.METHODS):
        why.add("other methods")
    return printed.beside(f"{of.r:.4f}" if of and len(pair.x) > 2 else None, why)


def _detection_notes(pairs: Iterable[Pairing]) -> list[str]:
    """Say over which detectors image AUROC was averaged, by data set."""
    used = dict.fromkeys((p.dataset, p.detectors) for p in pairs if p.methods)
    return [f"Image AUROC on {dataset}: mean over {listed(of)}." for dataset, of in used]


def table9_printed() -> Sheet:
    """Return the paper's own Table 9 with the p-values that follow from its r and n = 12."""
    theirs, n = as_printed.table9(), len(as_printed.METHODS)
    follows = {at: p_of_r(c.r, n) for at, c in theirs.items()}
    corrected = dict(zip(theirs, holm(list(follows.values())).tolist(), strict=True))
    rows = tuple(
        (
            Entry(dataset),
            Entry(metric),
            number(c.r),
            number(c.p),
            number(follows[dataset, metric]),
            number(corrected[dataset, metric]),
        )
        for (dataset, metric), c in theirs.items()
    )
    head = ("Data set", "Quality metric", "r", "Printed p", "p of r", "Holm p")
    name = "Table 9 as printed, with the p-values of its r"
    return Sheet("table9-printed", name, head, rows, as_printed.NOTES[9])


class Pairing(NamedTuple):
    """A quality metric beside the detection of the same methods: x and y of equal length.

    detectors: that y is the mean over.
    """

    dataset: str
    metric: str
    detectors: tuple[str, ...]
    methods: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]


def pairings(grid: ScoreGrid, quality: QualityByMethod) -> list[Pairing]:
    """Pair quality with image AUROC, of methods that have both.

    Detection is the mean over the detectors that make the most methods comparable, and among
    equals over the most detectors: a mean over different detectors would not compare.
    """
    if not grid.detectors:
        return []
    cells, pairs = grid.singles("image_auroc"), []
    for (dataset, metric), by_method in quality.items():
        known = {m for m, value in by_method.items() if not math.isnan(value)}
        table = at(cells, "dataset", dataset).unstack("detector").reindex(columns=grid.detectors)
        have = {d: known & set(table.index[table[d].notna()]) for d in grid.detectors}
        ordered = sorted(have, key=lambda d, have=have: (-len(have[d]), d))  # type: ignore[misc]
        sets = [ordered[: k + 1] for k in range(len(ordered))]
        shared = [set.intersection(*(have[d] for d in of)) for of in sets]
        k = max(range(len(sets)), key=lambda k: (len(shared[k]), k))
        detectors, methods = tuple(sorted(sets[k])), tuple(sorted(shared[k]))
        y = table.loc[list(methods), list(detectors)].mean(axis=1)
        x = tuple(by_method[m] for m in methods)
        pairs.append(Pairing(dataset, metric, detectors, methods, x, tuple(y)))
    return pairs


def _ratio_study(dataset: str, cells: pd.Series[float], several: pd.Series[float]) -> RatioStudy:
    detectors, methods, ratios = (sorted(several.index.unique(n)) for n in several.index.names)
    axes = detectors, methods, ratios
    every = cells.reindex(pd.MultiIndex.from_product(axes, names=several.index.names))
    by_ratio = across(every, "detector").unstack("ratio")
    high, low = by_ratio.max(axis=1, skipna=False), by_ratio.min(axis=1, skipna=False)
    spreads = pd.DataFrame(
        {
            "mean": by_ratio.mean(axis=1, skipna=False),
            "variance": by_ratio.var(axis=1, skipna=False),
            "maximum": high,
            "minimum": low,
            "range": high - low,
        }
    )
    full = spreads.dropna()
    r = pearson(full["mean"], full["range"]) if len(full) > 2 else None
    return RatioStudy(dataset, tuple(detectors), tuple(ratios), every, by_ratio, spreads, r)

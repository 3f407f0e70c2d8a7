"""Quality beside detection: which score of a set goes with how well detectors learn from it.

One point is one method. Its x is a quality score: the mean over the categories. Its y is a
detection metric of runs trained on that method alone: the mean over training seeds, then over the
settings of a category (detectors and all else that a run's id is made of), then over categories,
and only over settings and categories that every method of the row was run with.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from asbench.quality.record import Quality
from asbench.quality.statistics import LEAST, RESAMPLES, Correlation, corrected, correlate
from asbench.results import BEST_ON_TEST, METRICS, Run, Subset, subset_for
from synth_store.types import UserError

Cell = tuple[str, str]
"""A category, and the settings of a run but for its mix, sets and training seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One score against one detection metric, over the methods of one data set.

    score: an address such as `fid:real:whole`; n: samples measured of each set; real: the defects
    that scores `:real:` were held against; target, subset: the detection metric and the test images
    it is of; methods, x, y: the points; detectors, categories, seeds: what y is the mean over;
    left_out: methods that have runs or scores but not what this row needs, with the reason.
    """

    dataset: str
    score: str
    n: int
    real: Subset
    target: str
    subset: Subset
    methods: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    counts: tuple[int, ...]
    detectors: tuple[str, ...]
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    result: Correlation
    left_out: Mapping[str, str]
    family: int = 0
    """Tests that p is corrected for."""


def correlate_runs(
    qualities: Sequence[Quality],
    runs: Iterable[Run],
    *,
    target: str = "image_auroc",
    scores: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    detectors: Sequence[str] | None = None,
    ratio: float | None = None,
    least: int = LEAST,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Row]:
    """Return one row per data set and score, p corrected over all of them.

    Args:
        scores: addresses, or metrics whose every address is meant; None for all. Choosing them
            after having seen the rows defeats the correction.
        datasets, detectors, ratio: keep only such runs; None keeps all.
        least, resamples, seed: as for `asbench.quality.statistics.correlate`.

    Runs of a mixture, of none, and those selected on the test set play no part. All rows use the
    held-out test images as soon as one run has seen defects. Raises UserError for an unknown target
    or score, and where nothing is left to correlate.
    """
    if target not in METRICS:
        raise UserError(f"detection metric {target!r} is unknown: choose {', '.join(METRICS)}.")
    chosen = [
        run
        for run in runs
        if len(run.decides["mix"]) == 1
        and run.decides["select"] != BEST_ON_TEST
        and (datasets is None or run.decides["dataset"] in datasets)
        and (detectors is None or run.decides["detector"] in detectors)
        and (ratio is None or math.isclose(run.decides["ratio"], ratio))
    ]
    if not chosen:
        raise UserError(
            "there is no run on a single method to correlate with: train some, as in "
            "`asbench train --mix draem`, one for every method that `asbench quality` measured."
        )
    if not qualities:
        raise UserError("no set is measured yet: run `asbench quality --method draem,fractal`.")
    subset = subset_for(chosen)
    found = []
    for group in _groups(qualities):
        members = [run for run in chosen if run.decides["dataset"] == group[0].decides["dataset"]]
        for address, weights in _wanted(group, scores):
            row = _row(address, weights, group, members, target, subset)
            if row is not None:
                result = correlate(row.x, row.y, least=least, resamples=resamples, seed=seed)
                found.append(replace(row, result=result))
    if not found:
        raise UserError(
            f"no score{'' if scores is None else ' ' + ', '.join(scores)} of a measured set goes "
            "with a run: data set, category and method must be the same. See what is measured with "
            "`asbench quality`, and what is trained with `asbench report`."
        )
    results = corrected([row.result for row in found])
    family = sum(not math.isnan(result.pearson.p) for result in results)
    pairs = zip(found, results, strict=True)
    return [replace(row, result=result, family=family) for row, result in pairs]


def latest(qualities: Sequence[Quality]) -> list[Quality]:
    """Return those that were measured as the latest of their data set: only these compare."""
    found: dict[str, list[Quality]] = {}
    for group in sorted(_groups(qualities), key=lambda g: max(q.created for q in g)):
        found[group[0].decides["dataset"]] = group
    return [quality for group in found.values() for quality in group]


def by_method(qualities: Sequence[Quality]) -> dict[tuple[str, str], dict[str, float]]:
    """Return what a report shows of each metric: (data set, name) to its value by method.

    Under the metric's own name the global score, whole images against real defects or, as the
    inception score, against nothing; under `fid, inside` the local one, of what the masks mark,
    for metrics of pairs against the clean image. A value is the mean over set seeds, then over
    categories; methods that were not measured on every category of the data set have none. Of each
    data set those count that were measured as its latest was.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for group in _groups(latest(qualities)):
        dataset = group[0].decides["dataset"]
        whole = {q.decides["category"] for q in group}
        weights = {s.address: s.weights for q in group for s in q.scores}
        for metric in dict.fromkeys(name for q in group for name in q.decides["metrics"]):
            for name, pairings in (
                (f"{metric}:{{}}:whole", ("real", "self")),
                (f"{metric}:{{}}:inside", ("real", "self", "clean")),
            ):
                address = next((a for p in pairings if (a := name.format(p)) in weights), None)
                if address is None:
                    continue
                shown = metric if name.endswith("whole") else f"{metric}, inside"
                scores = _scores_by_method(address, weights[address], group)
                found[dataset, shown] = {
                    method: statistics.fmean(value for value, _ in by.values())
                    for method, by in sorted(scores.items())
                    if by.keys() == whole
                }
    return {at: values for at, values in found.items() if values}


def detection(
    runs: Iterable[Run], target: str, subset: Subset
) -> dict[Cell, dict[str, list[tuple[int, float]]]]:
    """Return, by cell and method, (training seed, value) of runs on that method alone."""
    found: defaultdict[Cell, dict[str, list[tuple[int, float]]]] = defaultdict(dict)
    for run in runs:
        method = next(iter(run.decides["mix"]))
        value = run.metrics[subset][target]
        if not math.isnan(value):
            found[cell_of(run)].setdefault(method, []).append((run.decides["seed"], value))
    return dict(found)


def cell_of(run: Run) -> Cell:
    """Return a run's category and what else its id is made of, but mix, sets and seed."""
    rest = {k: v for k, v in run.decides.items() if k not in ("mix", "sets", "seed", "category")}
    return run.decides["category"], json.dumps(rest, sort_keys=True)


def mean_over_cells(cells: Mapping[Cell, float]) -> float:
    """Return the mean over categories of the mean over a category's settings."""
    by_category: defaultdict[str, list[float]] = defaultdict(list)
    for (category, _), value in cells.items():
        by_category[category].append(value)
    return statistics.fmean(statistics.fmean(values) for values in by_category.values())


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV, one line each, full precision, nothing where undefined."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    estimates = [f"{c}{s}" for c in ("pearson", "spearman") for s in _PARTS]
    about = ("dataset", "score", "samples", "real", "target", "subset", "n")
    points = ("methods", "x", "y", "counts", "detectors", "categories", "seeds", "left_out")
    lines.writerow([*about, *estimates, "tests", "verdict", *points])
    for row in rows:
        numbers = [
            getattr(estimate, part.strip("_") or "value")
            for estimate in (row.result.pearson, row.result.spearman)
            for part in _PARTS
        ]
        lines.writerow(
            [row.dataset, row.score, row.n, row.real, row.target, row.subset, row.result.n]
            + ["" if math.isnan(v) else repr(float(v)) for v in numbers]
            + [row.family, row.result.verdict(), " ".join(row.methods)]
            + [" ".join(repr(float(v)) for v in column) for column in (row.x, row.y)]
            + [" ".join(map(str, row.counts))]
            + [" ".join(row.detectors), " ".join(row.categories), " ".join(map(str, row.seeds))]
            + ["; ".join(f"{m}: {why}" for m, why in row.left_out.items())]
        )
    return out.getvalue()


_PARTS = ("", "_p", "_low", "_high", "_holm", "_bh")


def _groups(qualities: Iterable[Quality]) -> list[list[Quality]]:
    """Return what can be compared: same data set, geometry, samples asked for and reference."""
    found: defaultdict[tuple[str, ...], list[Quality]] = defaultdict(list)
    for quality in qualities:
        d = quality.decides
        key = (d["dataset"], d["geometry"], str(d["n"]), d["real"], str(d["version"]))
        found[key].append(quality)
    return [found[key] for key in sorted(found)]


def _wanted(group: Sequence[Quality], scores: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return address and weights of every score that is asked for: other weights, other score."""
    known = dict.fromkeys((s.address, s.weights) for quality in group for s in quality.scores)
    if scores is None:
        return list(known)
    return [(a, w) for a, w in known if a in scores or a.partition(":")[0] in scores]


def _row(
    address: str,
    weights: str,
    group: Sequence[Quality],
    runs: Sequence[Run],
    target: str,
    subset: Subset,
) -> Row | None:
    """Return the points of one score; None where no method has both score and runs."""
    x = _scores_by_method(address, weights, group)
    y = detection(runs, target, subset)
    trained = {method for by_method in y.values() for method in by_method}
    measured, left_out = set(x), {m: "not trained on" for m in x if m not in trained}
    left_out |= {m: f"no {address}" for m in trained if m not in measured}
    both = sorted(measured & trained)
    cells = [c for c, by_method in y.items() if all(m in by_method for m in both)]
    # A category that one of them lacks a score for counts for none.
    cells = [c for c in cells if all(c[0] in x[m] for m in both)]
    if not both or not cells:
        return None
    means = {
        m: mean_over_cells({c: statistics.fmean(v for _, v in y[c][m]) for c in cells})
        for m in both
    }
    categories = tuple(sorted({category for category, _ in cells}))
    settings = [json.loads(text) for _, text in cells]
    first = group[0].decides
    return Row(
        dataset=first["dataset"],
        score=address,
        n=first["n"],
        real=first["real"],
        target=target,
        subset=subset,
        methods=tuple(both),
        x=tuple(statistics.fmean(v for v, _ in (x[m][c] for c in categories)) for m in both),
        counts=tuple(min(n for _, n in (x[m][c] for c in categories)) for m in both),
        y=tuple(means[m] for m in both),
        detectors=tuple(sorted({s["detector"] for s in settings})),
        categories=categories,
        seeds=tuple(sorted({seed for c in cells for m in both for seed, _ in y[c][m]})),
        result=correlate((), ()),
        left_out=dict(sorted(left_out.items())),
    )


def _scores_by_method(
    address: str, weights: str, group: Sequence[Quality]
) -> dict[str, dict[str, tuple[float, int]]]:
    """Return a score and its samples by method and category; undefined ones are left out.

    The mean over set seeds, and the least of their samples. Of a set that was measured twice, the
    later measurement counts.
    """
    latest: dict[tuple[str, str, int], tuple[float, int]] = {}
    for quality in sorted(group, key=lambda q: q.created):
        for score in quality.scores:
            if (score.address, score.weights) == (address, weights):
                d = quality.decides
                latest[d["method"], d["category"], d["seed"]] = score.value, score.n
    found: defaultdict[str, defaultdict[str, list[tuple[float, int]]]]
    found = defaultdict(lambda: defaultdict(list))
    for (method, category, _), one in latest.items():
        if not math.isnan(one[0]):
            found[method][category].append(one)
    return {
        method: {
            category: (statistics.fmean(value for value, _ in some), min(n for _, n in some))
            for category, some in by.items()
        }
        for method, by in found.items()
    }

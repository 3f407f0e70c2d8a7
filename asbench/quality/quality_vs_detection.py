"""Quality beside detection: which score of a set goes with how well detectors learn from it.

One point is one method. Its x is a quality score: the mean over the categories. Its y is a
detection metric of runs trained on that method alone: the mean over training seeds, then over the
settings of a category (detectors and all else that a run's id is made of), then over categories,
and only over settings and categories that every method of the row was run with.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from asbench.quality.record import Quality
from asbench.quality.statistics import LEAST, RESAMPLES, Correlation, corrected, correlate
from asbench.results import BEST_ON_TEST, METRICS, Run, Subset, frame, subset_for
from asbench.results.frame import by_label, context, means
from synth_store.types import UserError


@dataclass(frozen=True, slots=True)
class Correlated:
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
) -> list[Correlated]:
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
    trained = detection(chosen, subset).dropna(subset=[target])
    correlated = []
    for group in _groups(qualities):
        here = trained[trained["dataset"] == group[0].decides["dataset"]]
        for address, weights in _wanted(group, scores):
            row = _row(address, weights, group, here, target, subset)
            if row is not None:
                result = correlate(row.x, row.y, least=least, resamples=resamples, seed=seed)
                correlated.append(replace(row, result=result))
    if not correlated:
        raise UserError(
            f"no score{'' if scores is None else ' ' + ', '.join(scores)} of a measured set goes "
            "with a run: data set, category and method must be the same. See what is measured with "
            "`asbench quality`, and what is trained with `asbench report`."
        )
    results = corrected([row.result for row in correlated])
    family = sum(not math.isnan(result.pearson.p) for result in results)
    pairs = zip(correlated, results, strict=True)
    return [replace(row, result=result, family=family) for row, result in pairs]


def latest(qualities: Sequence[Quality]) -> list[Quality]:
    """Return those that were measured as the latest of their data set: only these compare."""
    newest: dict[str, list[Quality]] = {}
    for group in sorted(_groups(qualities), key=lambda g: max(q.created for q in g)):
        newest[group[0].decides["dataset"]] = group
    return [quality for group in newest.values() for quality in group]


def by_method(qualities: Sequence[Quality]) -> dict[tuple[str, str], dict[str, float]]:
    """Return what a report shows of each metric: (data set, name) to its value by method.

    Under the metric's own name the global score, whole images against real defects or, as the
    inception score, against nothing; under `fid, inside` the local one, of what the masks mark,
    for metrics of pairs against the clean image. A value is the mean over set seeds, then over
    categories; methods that were not measured on every category of the data set have none. Of each
    data set those count that were measured as its latest was.
    """
    by_name: dict[tuple[str, str], dict[str, float]] = {}
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
                scores = _by_category(address, weights[address], group)["value"]
                means_of = scores.unstack("category").reindex(columns=sorted(whole))
                by_name[dataset, shown] = by_label(means_of.dropna().mean(axis=1))
    return {at: values for at, values in by_name.items() if values}


def detection(runs: Sequence[Run], subset: Subset) -> pd.DataFrame:
    """Return runs on one method each as `asbench.results.frame`.

    `context` then holds all settings but mix, sets, category and training seed: what must be alike
    for two methods to be compared.
    """
    contexts = [context(run, "mix", "sets", "category") for run in runs]
    return frame(runs, subset).assign(context=contexts)


def shared(scores: pd.DataFrame, methods: Sequence[str], target: str) -> pd.DataFrame:
    """Return the scores of those categories and settings that each of the methods has `target` of.

    scores: as `detection` gives them.
    """
    own = scores[scores["methods"].isin(methods)]
    defined = own["methods"].where(own[target].notna())
    count = defined.groupby([own["category"], own["context"]]).transform("nunique")
    return own[count == len(methods)]


def mean_by_method(scores: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the mean over training seeds, then over a category's settings, then over categories.

    scores: as `detection` gives them; a row per method, a column of `columns` each.
    """
    for by in (["category", "context", "methods"], ["category", "methods"], ["methods"]):
        scores = means(scores, by, columns)
    return scores


def csv_text(rows: Sequence[Correlated]) -> str:
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
    groups: defaultdict[tuple[str, ...], list[Quality]] = defaultdict(list)
    for quality in qualities:
        d = quality.decides
        key = (d["dataset"], d["geometry"], str(d["n"]), d["real"], str(d["version"]))
        groups[key].append(quality)
    return [groups[key] for key in sorted(groups)]


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
    y: pd.DataFrame,
    target: str,
    subset: Subset,
) -> Correlated | None:
    """Return the points of one score; None where no method has both score and runs."""
    measured = _by_category(address, weights, group)
    x, counts = (measured[name].unstack("category") for name in ("value", "n"))
    trained = set(y["methods"])
    left_out = {m: "not trained on" for m in x.index if m not in trained}
    left_out |= {m: f"no {address}" for m in trained if m not in x.index}
    both = sorted(trained.intersection(x.index))
    # A category that one of them lacks a score for counts for none.
    scored = x.loc[both].dropna(axis=1).columns
    compared = shared(y[y["category"].isin(scored)], both, target)
    if compared.empty:
        return None
    categories = sorted(set(compared["category"]))
    first = group[0].decides
    return Correlated(
        dataset=first["dataset"],
        score=address,
        n=first["n"],
        real=first["real"],
        target=target,
        subset=subset,
        methods=tuple(both),
        x=tuple(x.loc[both, categories].mean(axis=1)),
        counts=tuple(counts.loc[both, categories].min(axis=1).astype(int)),
        y=tuple(mean_by_method(compared, [target]).loc[both, target]),
        detectors=tuple(sorted(set(compared["detector"]))),
        categories=tuple(categories),
        seeds=tuple(sorted(set(compared["seed"]))),
        result=correlate((), ()),
        left_out=dict(sorted(left_out.items())),
    )


def _by_category(address: str, weights: str, group: Sequence[Quality]) -> pd.DataFrame:
    """Return a score (`value`) and its samples (`n`) by method and category, defined ones alone.

    The mean over set seeds, and the least of their samples. Of a set that was measured twice, the
    later measurement counts.
    """
    of = ["method", "category", "seed"]
    rows = [
        (*(quality.decides[name] for name in of), score.value, score.n)  # type: ignore[literal-required]
        for quality in sorted(group, key=lambda q: q.created)
        for score in quality.scores
        if (score.address, score.weights) == (address, weights)
    ]
    table = pd.DataFrame(rows, columns=[*of, "value", "n"]).drop_duplicates(of, keep="last")
    return table.dropna(subset="value").groupby(of[:2]).agg({"value": "mean", "n": "min"})

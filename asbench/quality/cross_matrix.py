"""The cross-synthesis matrix: how well what was learned from one method finds another's anomalies.

`matrix[A][B]` is the score of detectors trained on A alone, on stored samples of B that no training
saw, against training normals. No real image plays a part. A method whose detectors find what other
methods made may find real defects too: the mean of A's row without its own column predicts how A
ranks, and its rank correlation with the true metric says how well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from asbench import results
from asbench.files.documents import Number, RecordFolder, record_id
from asbench.quality.quality_vs_detection import detection, mean_by_method, shared
from asbench.quality.statistics import (
    LEAST,
    Correlation,
    correlate,
    leave_one_out,
    off_diagonal_mean,
)
from asbench.results import Run, Subset, subset_for
from synth_store.types import UserError

SCHEMA = 1
CROSS_VERSION = 1
CROSS_METRICS = ("image_auroc", "pixel_ap")


class CrossDecides(TypedDict):
    """What decides a row of the matrix: the run, the digests of the sets that it is scored on, and
    the normals, of which `negatives` are looked at."""

    version: int
    run: str
    sets: Mapping[str, str]
    normals: str
    negatives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """The contents of `cross.json`: one run on every set, by method and metric.

    values: in 0..1, NaN where undefined; counts: samples of each set.
    """

    decides: CrossDecides
    method: str
    values: Mapping[str, Mapping[str, Number]]
    counts: Mapping[str, int]
    created: str

    @property
    def id(self) -> str:
        """The name of the folder: 12 hex digits."""
        return record_id(self.decides)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Detectors trained on A (rows) scored on samples of B (columns), of one data set.

    cells: (n, n) in 0..1, the mean over training seeds, settings and categories; truth: (n,) the
    true metric of each A, on real test images `subset`; predictor: (n,) the mean of each row
    without its own column.
    """

    dataset: str
    metric: str
    target: str
    subset: Subset
    methods: tuple[str, ...]
    cells: tuple[tuple[float, ...], ...]
    truth: tuple[float, ...]
    predictor: tuple[float, ...]
    detectors: tuple[str, ...]
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    result: Correlation
    without: tuple[float, ...]
    """Spearman's rho without each method in turn, its row and its column."""

    def __getitem__(self, method: str) -> dict[str, float]:
        """Return one row: by the method that was scored."""
        return dict(zip(self.methods, self.cells[self.methods.index(method)], strict=True))


ROWS = RecordFolder(
    Crossed,
    "cross.json",
    SCHEMA,
    "delete its folder and run `asbench cross` again",
    ascii_only=True,
)
save, read = ROWS.save, ROWS.read
rows, finished = ROWS.rows, ROWS.finished


def matrices(
    crossed: Iterable[Crossed],
    runs: Iterable[Run],
    *,
    metric: str = "image_auroc",
    target: str = "image_auroc",
    least: int = LEAST,
    seed: int = 0,
) -> list[Matrix]:
    """Return the matrix of every data set that has one, with its rank correlation.

    Cells are means over the settings and categories that every method was run with, as the truth.
    Of a run that was scored twice, the later row counts.
    """
    if metric not in CROSS_METRICS:
        raise UserError(f"metric {metric!r} is unknown: choose {' or '.join(CROSS_METRICS)}.")
    known = {run.id: run for run in runs}
    latest = {c.decides["run"]: c for c in crossed if c.decides["run"] in known}
    by_dataset: defaultdict[str, list[Crossed]] = defaultdict(list)
    for one in latest.values():
        by_dataset[known[one.decides["run"]].decides["dataset"]].append(one)
    built = [
        _matrix(dataset, members, known, metric, target, least, seed)
        for dataset, members in sorted(by_dataset.items())
    ]
    return [matrix for matrix in built if matrix is not None]


def matrices_in(
    crossed: Iterable[Crossed], runs: Path | str, metric: str = "image_auroc"
) -> list[Matrix]:
    """Return the matrices of rows and the runs in a folder, against the true values of the metric.

    Raises UserError where no data set has one.
    """
    known = results.by_category(results.runs(Path(runs)))
    comparable = matrices(crossed, known, metric=metric, target=metric)
    if not comparable:
        raise UserError(
            "no setting and category was run with all of these methods, so their rows cannot be "
            "compared: keep one detector with --detector, or train what is missing."
        )
    return comparable


def _matrix(
    dataset: str,
    members: Sequence[Crossed],
    known: Mapping[str, Run],
    metric: str,
    target: str,
    least: int,
    seed: int,
) -> Matrix | None:
    runs = [known[one.decides["run"]] for one in members]
    subset = subset_for(runs)
    methods = sorted({one.method for one in members})
    methods = [m for m in methods if all(m in one.values for one in members)]
    if len(methods) < 2:
        return None
    columns = {f"on {b}": [one.values[b][metric] for one in members] for b in methods}
    compared = shared(detection(runs, subset).assign(**columns), methods, target)
    if compared.empty:
        return None
    table = mean_by_method(compared, list(columns)).to_numpy()
    true = mean_by_method(compared.dropna(subset=[target]), [target])[target].to_numpy()
    predictor = off_diagonal_mean(table)
    return Matrix(
        dataset=dataset,
        metric=metric,
        target=target,
        subset=subset,
        methods=tuple(methods),
        cells=tuple(tuple(row) for row in table.tolist()),
        truth=tuple(true.tolist()),
        predictor=tuple(predictor.tolist()),
        detectors=tuple(sorted(set(compared["detector"]))),
        categories=tuple(sorted(set(compared["category"]))),
        seeds=tuple(sorted(set(compared["seed"]))),
        result=correlate(predictor, true, least=least, seed=seed),
        without=tuple(leave_one_out(table, true).tolist()),
    )

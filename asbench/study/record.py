"""What a study is to hold, and what became of it: cells, and the record beside its runs.

Nothing here needs torch, so that a report can list the runs that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from asbench.files.documents import Keyed, RecordFile
from asbench.parameters import parameters
from asbench.results import Run, Subset
from asbench.settings import TrainSettings
from asbench.types import REAL
from synth_store import UserError

RECORD = "study.json"
FAILURES = "failures.jsonl"
SCHEMA = 1


@dataclass(frozen=True)
class Cell:
    """One run that a study asks for, by the settings it will have: digests are known only later.

    training: settled, whatever the budget was said in and however many methods lengthen it, but for
    where things are; parameters: all of the detector's. part, keep: which part of the study asked
    first, and whether the trained weights stay; they do not tell cells apart.
    """

    training: TrainSettings
    geometry: str
    parameters: tuple[tuple[str, Any], ...]
    part: str = field(compare=False)
    keep: bool = field(compare=False)

    @property
    def dataset(self) -> str:
        return self.training.dataset

    @property
    def category(self) -> str:
        return str(self.training.category)

    @property
    def detector(self) -> str:
        return self.training.detector

    @property
    def ratio(self) -> float:
        assert self.training.ratio is not None
        return self.training.ratio

    @property
    def steps(self) -> int:
        assert self.training.steps is not None
        return self.training.steps

    @property
    def batch(self) -> int:
        assert self.training.batch is not None
        return self.training.batch

    @property
    def methods(self) -> tuple[str, ...]:
        """The stored methods it trains on."""
        return self.training.mixture.names

    def __str__(self) -> str:
        t = self.training
        mix = str(t.mixture) or "normals alone"
        words = [f"{t.detector} on {t.dataset}/{t.category}", mix]
        words += [f"ratio {t.ratio:g}"] if t.ratio else []
        words += [f"pool {t.pool}"] if t.pool is not None else []
        words += [f"set seed {t.synth_seed}"] if t.synth_seed else []
        return ", ".join([*words, f"seed {t.seed}"])


@dataclass(frozen=True)
class SetNeeded:
    """One category of a synthetic set that cells train on. Real defects are stored under seed 0."""

    dataset: str
    category: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.method}/{self.seed}/{self.category}"

    @property
    def stored(self) -> SetNeeded:
        """The same with the seed under which the store has it."""
        return replace(self, seed=0) if self.method == REAL else self


def match(cell: Cell, run: Run) -> bool:
    """Say whether a run is the one that a cell asks for, by name and settings.

    Which pixels it trained on plays no part: those of another set under the same key match too.
    """
    decides: Mapping[str, Any] = run.decides
    asked = cell.training.decides() | {
        "geometry": cell.geometry,
        "parameters": dict(cell.parameters),
    }
    # Where a look at the test set falls is left to the detector.
    asked.pop("select_every", None)
    asked["kept_out"] = cell.training.kept_out
    # No study leaves samples out by hand: a run that does is not its.
    asked["excluded"] = {}
    # The same mixture chosen blind is another run: it counts as having seen nothing.
    asked["chosen_on_few_shot"] = cell.training.chosen_on_few_shot and cell.training.ratio != 0
    decides = {"kept_out": 0.0, "excluded": {}, "chosen_on_few_shot": False, **decides}
    # JSON knows no tuples, so neither does a run that was read.
    return all(_as_json(decides[name]) == _as_json(value) for name, value in asked.items())


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def standing(
    cells: Iterable[Cell],
    runs: Iterable[Run],
    counts: Callable[[Cell, Run], bool] = lambda cell, run: True,
) -> dict[Cell, Run]:
    """Return the cells that have a run that counts, each with the newest of them."""
    by_place: dict[tuple[str, str, str, int], list[Run]] = {}
    for run in runs:
        d = run.decides
        place = (d["dataset"], d["category"], d["detector"], d["seed"])
        by_place.setdefault(place, []).append(run)
    newest = {}
    for cell in cells:
        at = (cell.dataset, cell.category, cell.detector, cell.training.seed)
        for run in by_place.get(at, ()):
            if match(cell, run) and counts(cell, run):
                newest[cell] = run
    return newest


@dataclass(frozen=True)
class LeftOut:
    """A cell that was not run because something it needs is not on this machine, and why."""

    cell: Cell
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What became of the quality that a study asks for.

    samples, real, metrics: as `asbench.measure` takes them; left_out: metrics that cannot be had
    here, with the reason; sets: all that are to be measured; done: their records' ids; failed: what
    was said of those that could not be measured.
    """

    samples: int
    real: Subset
    metrics: tuple[str, ...]
    left_out: Mapping[str, str]
    sets: tuple[SetNeeded, ...]
    done: Mapping[SetNeeded, str]
    failed: Mapping[SetNeeded, str]


@dataclass(frozen=True)
class Record:
    """What `study.json` holds.

    text: the study file; cells: all that the study asks for; runs: the id of the run of each that
    is done; failed: what became of cells that could not be run; left_out: those never tried;
    quality: None where none is asked for.
    """

    name: str
    text: str
    cells: tuple[Cell, ...]
    runs: Mapping[Cell, str]
    failed: Mapping[Cell, str]
    left_out: tuple[LeftOut, ...]
    quality: Measured | None = None

    @property
    def missing(self) -> tuple[Cell, ...]:
        """The cells without a run, whatever the reason."""
        return tuple(cell for cell in self.cells if cell not in self.runs)


_OF_CELL = [
    one
    for one in parameters(TrainSettings)
    if one.study or one.name in ("dataset", "category", "detector")
]
"""The settings that a cell's row holds."""
_SETTLED: Mapping[str, Any] = {
    **{"dataset": str, "category": str, "geometry": str, "mix": str, "ratio": float},
    **{"pool": int | None, "detector": str, "parameters": Mapping[str, Any]},
    **{"settings": Mapping[str, Any], "steps": int, "batch": int},
}
"""What every row says of its cell, in its order; settled, so none of it is None but a pool."""
_OTHERS = [one for one in _OF_CELL if one.name not in _SETTLED]
_ROW: Mapping[str, Any] = {
    **_SETTLED,
    **{one.name: one.type for one in _OTHERS},
    **{"part": str, "keep": bool},
    **{"run": str | None, "failed": str | None, "left_out": tuple[str, ...] | None},
}
"""The keys of a row: a cell's, and what became of it."""
_ABSENT = {one.name: one.default for one in _OTHERS} | {"kept_out": 0.0, "precision": "fp32"}
_Row = Annotated[Mapping[str, Any], Keyed(_ROW, absent=_ABSENT)]
"""What a version knew no setting for was as it is unset now, but that it trained on all normals."""


@dataclass(frozen=True)
class _SetRow(SetNeeded):
    """A set whose quality is asked for, and what became of it. id: of its `quality.json`."""

    id: str | None
    failed: str | None


@dataclass(frozen=True)
class _Quality:
    """As `Measured`, row by row."""

    samples: int
    real: Subset
    metrics: tuple[str, ...]
    left_out: Mapping[str, str]
    sets: tuple[_SetRow, ...]


@dataclass(frozen=True)
class _Document:
    """What `study.json` holds, as JSON has it: a row for each cell and what became of it."""

    name: str
    study: str
    cells: tuple[_Row, ...]
    quality: _Quality | None = None


FILE = RecordFile(
    _Document, RECORD, SCHEMA, "delete it and run the study again, which does nothing twice"
)


def write(record: Record, folder: Path) -> None:
    """Write `study.json`, whole or not at all."""
    reasons = {out.cell: out.reasons for out in record.left_out}
    rows = []
    for cell in record.cells:
        row = _cell_row(cell) | {
            "run": record.runs.get(cell),
            "failed": record.failed.get(cell),
            "left_out": reasons.get(cell),
        }
        rows.append({key: row[key] for key in _ROW})
    quality = None if record.quality is None else _quality_rows(record.quality)
    FILE.write(_Document(record.name, record.text, tuple(rows), quality), folder)


def read(folder: Path) -> Record:
    """Return the record of a study's folder.

    Raises UserError naming the file, and the key, where it is missing, damaged or of a later
    schema.
    """
    if not (folder / RECORD).exists():
        raise UserError(
            f"{folder} holds no study: {RECORD} is not there; run one, `asbench study run demo`."
        )
    document = FILE.read(folder)
    rows = [(_cell(row), row) for row in document.cells]
    return Record(
        name=document.name,
        text=document.study,
        cells=tuple(cell for cell, _ in rows),
        runs={cell: row["run"] for cell, row in rows if row["run"]},
        failed={cell: row["failed"] for cell, row in rows if row["failed"] is not None},
        left_out=tuple(LeftOut(c, r["left_out"]) for c, r in rows if r["left_out"] is not None),
        quality=None if document.quality is None else _quality(document.quality),
    )


def _cell_row(cell: Cell) -> dict[str, Any]:
    said = {one.name: getattr(cell.training, one.name) for one in _OF_CELL}
    return said | {
        "mix": str(cell.training.mixture),
        "settings": dict(cell.training.settings or {}),
        "geometry": cell.geometry,
        "parameters": dict(cell.parameters),
        "part": cell.part,
        "keep": cell.keep,
    }


def _cell(row: Mapping[str, Any]) -> Cell:
    said = {one.name: row[one.name] for one in _OF_CELL}
    nothing = {name: row[name] or None for name in ("mix", "settings")}
    return Cell(
        training=TrainSettings(**said | nothing),
        geometry=row["geometry"],
        parameters=frozen(row["parameters"]),
        part=row["part"],
        keep=row["keep"],
    )


def _quality_rows(quality: Measured) -> _Quality:
    done, failed = quality.done, quality.failed
    return _Quality(
        samples=quality.samples,
        real=quality.real,
        metrics=quality.metrics,
        left_out=quality.left_out,
        sets=tuple(
            _SetRow(**vars(one), id=done.get(one), failed=failed.get(one)) for one in quality.sets
        ),
    )


def _quality(said: _Quality) -> Measured:
    names = SetNeeded.__dataclass_fields__
    rows = [(SetNeeded(**{n: getattr(row, n) for n in names}), row) for row in said.sets]
    return Measured(
        samples=said.samples,
        real=said.real,
        metrics=said.metrics,
        left_out=said.left_out,
        sets=tuple(one for one, _ in rows),
        done={one: row.id for one, row in rows if row.id is not None},
        failed={one: row.failed for one, row in rows if row.failed is not None},
    )


def frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return settings as a cell has them: sorted pairs, lists as tuples."""
    pairs = sorted(settings.items())
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in pairs)


def note_failure(folder: Path, job: str, error: Exception, attempt: int) -> None:
    """Add one line of JSON to `failures.jsonl`: the job, what it said, which attempt it was."""
    line = {
        "job": job,
        "error": str(error),
        "kind": type(error).__name__,
        "attempt": attempt,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        with (folder / FAILURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as problem:
        raise UserError(f"cannot write {folder / FAILURES}: {problem.strerror}.") from problem

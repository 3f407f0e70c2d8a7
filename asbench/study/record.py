"""What a study is to hold, and what became of it: cells, and the record beside its runs.

Nothing here needs torch, so that a report can list the runs that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asbench.documents import into_place
from asbench.results import Run, Subset
from asbench.types import REAL
from synth_store import Mix, UserError

RECORD = "study.json"
FAILURES = "failures.jsonl"
SCHEMA = 1


@dataclass(frozen=True)
class Cell:
    """One run that a study asks for, by the settings it will have: digests are known only later.

    mix: as `--mix` takes it, empty at ratio 0; pool: None for all samples; parameters: all of the
    detector's, settings: those that differ from its variant's; steps: settled, whatever the budget
    was said in and however many methods lengthen it. part, keep: which part of the study asked
    first, and whether the trained weights stay; they do not tell cells apart.
    """

    dataset: str
    category: str
    geometry: str
    mix: str
    ratio: float
    pool: int | None
    detector: str
    parameters: tuple[tuple[str, Any], ...]
    settings: tuple[tuple[str, Any], ...]
    steps: int
    batch: int
    precision: str
    seed: int
    synth_seed: int
    ratio_mode: str
    select: str
    steps_mode: str
    parity: bool
    part: str = field(compare=False)
    keep: bool = field(compare=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """The stored methods it trains on."""
        return Mix.parse(self.mix).names if self.mix else ()

    def __str__(self) -> str:
        words = [f"{self.detector} on {self.dataset}/{self.category}", self.mix or "normals alone"]
        words += [f"ratio {self.ratio:g}"] if self.ratio else []
        words += [f"pool {self.pool}"] if self.pool is not None else []
        words += [f"set seed {self.synth_seed}"] if self.synth_seed else []
        return ", ".join([*words, f"seed {self.seed}"])


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


COMPARED = (
    *("dataset", "category", "geometry", "pool", "detector", "steps", "batch", "precision"),
    *("seed", "synth_seed", "ratio", "ratio_mode", "select"),
)
"""Settings that have one name and one form in a cell and in a run."""


def match(cell: Cell, run: Run) -> bool:
    """Say whether a run is the one that a cell asks for, by name and settings.

    Which pixels it trained on plays no part: those of another set under the same key match too.
    """
    decides: Mapping[str, Any] = run.decides
    mix = {name: float(share) for name, share in Mix.parse(cell.mix).shares} if cell.mix else {}
    # JSON knows no tuples, so neither does a run that was read.
    parameters = json.loads(json.dumps(dict(cell.parameters)))
    return (
        all(decides[name] == getattr(cell, name) for name in COMPARED)
        and dict(decides["mix"]) == mix
        and json.loads(json.dumps(dict(decides["parameters"]))) == parameters
    )


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
    found = {}
    for cell in cells:
        for run in by_place.get((cell.dataset, cell.category, cell.detector, cell.seed), ()):
            if match(cell, run) and counts(cell, run):
                found[cell] = run
    return found


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


def write(record: Record, folder: Path) -> None:
    """Write `study.json`, whole or not at all."""
    reasons = {out.cell: list(out.reasons) for out in record.left_out}
    rows = [
        {
            **asdict(cell),
            "parameters": dict(cell.parameters),
            "settings": dict(cell.settings),
            "run": record.runs.get(cell),
            "failed": record.failed.get(cell),
            "left_out": reasons.get(cell),
        }
        for cell in record.cells
    ]
    document = {
        "schema": SCHEMA,
        "name": record.name,
        "study": record.text,
        "cells": rows,
        "quality": None if record.quality is None else _quality_rows(record.quality),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    into_place(folder / RECORD, lambda part: part.write_text(text, encoding="utf-8"))


def read(folder: Path) -> Record:
    """Return the record of a study's folder.

    Raises UserError naming the file where it is missing, damaged or of a later schema.
    """
    path = folder / RECORD
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {document['schema']!r}, and this version of ASBench reads "
                f"schema {SCHEMA}: run the study again to write it anew."
            )
        rows = [(_cell(row), row) for row in document["cells"]]
        return Record(
            name=str(document["name"]),
            text=str(document["study"]),
            cells=tuple(cell for cell, _ in rows),
            runs={cell: row["run"] for cell, row in rows if row["run"]},
            failed={cell: row["failed"] for cell, row in rows if row["failed"]},
            left_out=tuple(LeftOut(c, tuple(r["left_out"])) for c, r in rows if r["left_out"]),
            quality=_quality(document.get("quality")),
        )
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no study: {RECORD} is not there; run one, `asbench study run demo`."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} cannot be read ({error}): delete it and run the study again, which does "
            "nothing twice."
        ) from error


def _cell(row: Mapping[str, Any]) -> Cell:
    known = {name: row[name] for name in Cell.__dataclass_fields__}
    for name in ("parameters", "settings"):
        known[name] = frozen(row[name])
    return Cell(**known)


def _quality_rows(quality: Measured) -> dict[str, Any]:
    return {
        "samples": quality.samples,
        "real": quality.real,
        "metrics": quality.metrics,
        "left_out": quality.left_out,
        "sets": [
            {**asdict(one), "id": quality.done.get(one), "failed": quality.failed.get(one)}
            for one in quality.sets
        ],
    }


def _quality(said: Mapping[str, Any] | None) -> Measured | None:
    if said is None:
        return None
    names = SetNeeded.__dataclass_fields__
    rows = [(SetNeeded(**{n: row[n] for n in names}), row) for row in said["sets"]]
    return Measured(
        samples=said["samples"],
        real=said["real"],
        metrics=tuple(said["metrics"]),
        left_out=dict(said["left_out"]),
        sets=tuple(one for one, _ in rows),
        done={one: row["id"] for one, row in rows if row["id"]},
        failed={one: row["failed"] for one, row in rows if row["failed"]},
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


def failures(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return the lines of `failures.jsonl`, oldest first; none where there is no such file."""
    path = folder / FAILURES
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]

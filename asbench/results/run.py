"""One run, one file: what was trained, what it scored, and where every number came from.

A run's folder holds `test.csv` and `gallery.npz`, then `run.json`, renamed into place last: a
folder without `run.json` is unfinished, one with it is done.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from asbench.documents import damaged, into_place
from synth_store.types import UserError

SCHEMA = 1
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "pro")
Subset = Literal["full", "held_out"]
"""Which test images: all of them, or all but the few-shot third of the defects."""
SUBSETS: tuple[Subset, ...] = ("full", "held_out")
Scores = Mapping[Subset, Mapping[str, float]]
"""One value in 0..1 per subset and metric of `METRICS`; NaN where undefined."""
BEST_ON_TEST = "best-on-test"


class _AlwaysDecides(TypedDict):
    dataset: str
    category: str
    geometry: str
    normals: str
    test: str
    mix: Mapping[str, float]
    sets: Mapping[str, str]
    ratio: float
    ratio_mode: str
    pool: int | None
    detector: str
    parameters: Mapping[str, Any]
    steps: int
    batch: int
    precision: str
    weights: str | None
    seed: int
    synth_seed: int
    select: str


class Decides(_AlwaysDecides, total=False):
    """Everything that decides a run's outcome, so everything its id is made of.

    normals, test, sets, weights: digests; mix: method to weight, empty at ratio 0; pool: samples
    read of every set, None for all; select: `last` or `best-on-test`, and only with the latter
    select_every: steps between two looks at the test set.
    """

    select_every: int


def last_of(decides: Decides) -> Decides:
    """Return what decides the run of the same training whose last checkpoint counts."""
    last = decides.copy()
    last["select"] = "last"
    last.pop("select_every", None)
    return last


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The score from which an image counts as anomalous, and the rule that set it."""

    value: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The checkpoint that `best-on-test` kept: after `step` steps the full test set's `metrics`
    summed to `value`, more than at any other look."""

    step: int
    metrics: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The scores of the same maps as a detector's published code computes them.

    flavour: whose code, a name of `asbench.evaluation.parity`; reasons: as in `Run`.
    """

    flavour: str
    metrics: Scores
    reasons: Mapping[Subset, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The contents of `run.json`.

    metrics: scores of the trained detector; untrained: of the same detector before its first step.
    counts: per subset, images `normal`, `anomalous` and `with_mask`, and defect `regions`.
    reasons: per subset and metric, why a score is NaN. saw_defects: real defects of this category
    that any training saw. realised: items trained on, by source (`normal` or a method's name).
    losses: (step, loss), NaN where it was not finite. seconds: wall time of `train` and `score`.
    created: ISO 8601. selected: None where the last checkpoint counts.
    steps_mode: `same`, or `per-component` where `steps` were multiplied by the number of the mix's
    methods; not in the id, for the steps it led to are. parity: None unless asked for.
    """

    decides: Decides
    metrics: Scores
    counts: Mapping[Subset, Mapping[str, int]]
    reasons: Mapping[Subset, Mapping[str, str]]
    untrained: Scores | None
    saw_defects: int
    realised: Mapping[str, int]
    losses: tuple[tuple[int, float], ...]
    threshold: Threshold | None
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    created: str
    selected: Selected | None = None
    steps_mode: str = "same"
    parity: Parity | None = None

    @property
    def id(self) -> str:
        """The name of the run's folder: 12 hex digits."""
        return run_id(self.decides)


def run_id(decides: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 of `decides` in canonical JSON.

    Keys are sorted and floats written as `repr` does, whole ones as integers: mappings that are
    equal have one id, so `ratio=1` and `ratio=1.0` name one run. Raises TypeError for what JSON
    cannot hold and ValueError for NaN and infinities.
    """
    text = json.dumps(_canonical(decides), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def save(run: Run, folder: Path) -> None:
    """Write `run.json` into `folder`, whole or not at all. Save the tables beside it first."""
    record = {"schema": SCHEMA, "id": run.id, **asdict(run)}
    text = json.dumps(_nulled(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    into_place(folder / "run.json", lambda part: part.write_text(text, encoding="utf-8"))


def read(folder: Path) -> Run:
    """Return the run of a folder.

    Raises UserError naming the file where it is missing, damaged, edited or of a later schema.
    """
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema = record["schema"]
    except FileNotFoundError:
        raise UserError(_no_run(folder)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    if schema != SCHEMA:
        raise UserError(
            f"{path} has schema {schema!r}; this version of ASBench reads schema {SCHEMA}. "
            "Install the version that wrote it, or delete the folder and train again."
        )
    try:
        run = _run(record)
        if record["id"] != run.id:
            raise ValueError(f"its id is {record['id']!r}, its settings give {run.id!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error
    return run


def add_parity(folder: Path, parity: Parity) -> None:
    """Record the scores of published code in a finished run; what else it holds stays."""
    save(replace(read(folder), parity=parity), folder)


def _no_run(folder: Path) -> str:
    """Say what is there instead of a run, and what to type."""
    if (folder / "checkpoint").is_dir():
        return (
            f"{folder} holds a run that was interrupted (run.json is not there): the same "
            "`asbench train` command continues it."
        )
    near = folder if any(folder.glob("*/run.json")) else folder.parent
    known = sorted(path.parent.name for path in near.glob("*/run.json"))
    there = f"{near} holds the runs {', '.join(known)}." if known else "train one: `asbench train`."
    return f"{folder} holds no finished run: run.json is not there; {there}"


def runs(root: Path) -> list[Run]:
    """Return the finished runs under `root`, oldest first; folders without `run.json` are skipped.

    Raises UserError for a damaged run, and for one run in two folders (it would count twice).
    """
    found: dict[str, tuple[Run, Path]] = {}
    for path in sorted(root.glob("*/run.json")):
        run = read(path.parent)
        if run.id in found:
            raise UserError(
                f"{found[run.id][1]} and {path.parent} hold one and the same run, which must not "
                "count twice: delete one of the folders."
            )
        found[run.id] = run, path.parent
    return sorted((run for run, _ in found.values()), key=lambda r: (r.created, r.id))


def subset_for(runs: Iterable[Run]) -> Subset:
    """Return `held_out` as soon as one of the runs has seen defects, else `full`."""
    return "held_out" if any(run.saw_defects for run in runs) else "full"


def finished(root: Path, decides: Mapping[str, Any]) -> Run | None:
    """Return the run under `root` that `decides` names, or None where it has not finished."""
    folder = root / run_id(decides)
    return read(folder) if (folder / "run.json").exists() else None


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys must be strings: {sorted(map(repr, value))}")
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _nulled(value: Any) -> Any:
    """Return `value` with NaN and infinities (a diverged loss) as None, for JSON has neither."""
    if isinstance(value, Mapping):
        return {key: _nulled(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nulled(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scores(record: Mapping[str, Any]) -> Scores:
    return {
        s: {m: _float(record[s][m]) for m in METRICS} for s in SUBSETS
    }  # every metric must be there: a score may be undefined, not forgotten


def _parity(record: Mapping[str, Any]) -> Parity:
    return Parity(
        flavour=str(record["flavour"]),
        metrics=_scores(record["metrics"]),
        reasons={s: dict(record["reasons"][s]) for s in SUBSETS},
    )


def _selected(record: Mapping[str, Any]) -> Selected:
    return Selected(**{**record, "metrics": tuple(record["metrics"])})


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _run(record: Mapping[str, Any]) -> Run:
    needed = {key: record["decides"][key] for key in Decides.__required_keys__}
    allowed = {k: v for k, v in record["decides"].items() if k in Decides.__optional_keys__}
    decides = needed | allowed
    if extra := record["decides"].keys() - decides.keys():
        raise ValueError(f"unknown settings {', '.join(sorted(extra))}")
    untrained, threshold = record["untrained"], record["threshold"]
    selected, parity = record.get("selected"), record.get("parity")
    return Run(
        decides=cast(Decides, decides),
        metrics=_scores(record["metrics"]),
        counts={s: dict(record["counts"][s]) for s in SUBSETS},
        reasons={s: dict(record["reasons"].get(s, {})) for s in SUBSETS},
        untrained=None if untrained is None else _scores(untrained),
        saw_defects=int(record["saw_defects"]),
        realised=dict(record["realised"]),
        losses=tuple((int(step), _float(loss)) for step, loss in record["losses"]),
        threshold=None if threshold is None else Threshold(**threshold),
        environment=dict(record["environment"]),
        seconds=dict(record["seconds"]),
        created=str(record["created"]),
        selected=None if selected is None else _selected(selected),
        steps_mode=str(record.get("steps_mode", "same")),
        parity=None if parity is None else _parity(parity),
    )


def unfinished(root: Path) -> Sequence[str]:
    """Return the names of the folders under `root` whose run has not finished, sorted."""
    return sorted(f.name for f in root.glob("*") if f.is_dir() and not (f / "run.json").exists())

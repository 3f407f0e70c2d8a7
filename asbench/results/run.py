"""One run, one file: what was trained, what it scored, and where every number came from.

A run's folder holds `test.csv` and `gallery.npz`, then `run.json`, renamed into place last: a
folder without `run.json` is unfinished, one with it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from asbench.files.documents import UNSAID, Keyed, Number, RecordFolder, record_id
from asbench.files.sums import write_sums
from asbench.parameters import Parameter, parameters
from asbench.settings import TrainSettings
from synth_store.types import UserError

SCHEMA = 1
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "pro")
FURTHER = ("pixel_f1", "aupimo", "spro")
"""Metrics that runs of earlier releases have not; sPRO where the data set has saturations alone."""
Subset = Literal["full", "held_out"]
"""Which test images: all of them, or all but the few-shot third of the defects."""
SUBSETS: tuple[Subset, ...] = ("full", "held_out")
Scores = Annotated[Mapping[Subset, Annotated[Mapping[str, Number], Keyed(METRICS)]], Keyed(SUBSETS)]
"""One value in 0..1 per subset and metric of `METRICS`; NaN where undefined, never left out."""
Reasons = Mapping[Subset, Mapping[str, str]]
"""Per subset and metric, why a score is NaN."""
_DIGESTS: Mapping[str, Any] = {
    **dict.fromkeys(("geometry", "normals", "test"), str),
    "sets": Mapping[str, str],
    "parameters": Mapping[str, Any],
    "weights": str | None,
    "version": int,
    "excluded": Mapping[str, tuple[int, ...]],
    "chosen_on_few_shot": bool,
    "joint": Mapping[str, Mapping[str, Any]],
}


def _settled(setting: Parameter) -> Any:
    """Return the type of a setting that decides a run: nothing is left open but the whole pool."""
    if setting.name == "mix":
        return Mapping[str, float]
    if setting.name == "pool" or get_origin(setting.type) not in (UnionType, Union):
        return setting.type
    return get_args(setting.type)[0]


Decides = Annotated[
    Mapping[str, Any],
    Keyed(
        {one.name: _settled(one) for one in parameters(TrainSettings) if one.decides} | _DIGESTS,
        optional=("select_every", "kept_out", "version", "excluded", "chosen_on_few_shot", "joint"),
    ),
]
"""Everything that decides a run's outcome, so everything its id is made of.

The settings of `TrainSettings` that decide, all settled: mix is method to weight, empty at ratio 0,
select_every stands where `select` is `best-on-test` only, and kept_out where normals were kept out.
Beside them the digests of normals, test images, sets by method and pretrained weights, the
geometry, the detector's parameters, its version where that is not 1, where samples were left out by
hand which, by method, and whether few-shot defects chose the mixture. Of one detector over several
categories `category` names them all, `joint` has each one's digests of normals, test images and
sets, and those beside it are of all.
"""


def last_of(decides: Decides) -> Decides:
    """Return what decides the run of the same training whose last checkpoint counts."""
    kept = {name: value for name, value in decides.items() if name != "select_every"}
    return kept | {"select": "last"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The score from which an image counts as anomalous, and the rule that set it."""

    value: Number
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The checkpoint that `best-on-test` kept: after `step` steps the full test set's `metrics`
    summed to `value`, more than at any other look."""

    step: int
    metrics: tuple[str, ...]
    value: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The scores of the same maps as a detector's published code computes them.

    flavour: whose code, a name of `asbench.evaluation.parity`.
    """

    flavour: str
    metrics: Scores
    reasons: Annotated[Reasons, Keyed(SUBSETS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """The metrics of `FURTHER`, per subset, and why one is NaN."""

    metrics: Annotated[
        Mapping[Subset, Annotated[Mapping[str, Number], Keyed(FURTHER, optional=("spro",))]],
        Keyed(SUBSETS),
    ]
    reasons: Annotated[Reasons, Keyed(SUBSETS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCategory:
    """What a joint run is of one of its categories: named and meant as in `Run`."""

    metrics: Scores
    counts: Annotated[Mapping[Subset, Mapping[str, int]], Keyed(SUBSETS)]
    reasons: Annotated[Reasons, Keyed(SUBSETS)]
    untrained: Scores | None
    saw_defects: int
    realised: Mapping[str, int]
    further: Further | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The contents of `run.json`.

    metrics: scores of the trained detector; untrained: of the same detector before its first step.
    counts: per subset, images `normal`, `anomalous` and `with_mask`, and defect `regions`.
    saw_defects: real defects of this category that any training saw, or who chose the mixture.
    realised: items trained on, by source (`normal` or a method's name). losses: (step, loss), NaN
    where it was not finite. seconds: wall time of `train` and `score`. created: ISO 8601.
    selected: None where the last checkpoint counts.
    steps_mode: `same`, or `per-component` where `steps` were multiplied by the number of the mix's
    methods; not in the id, for the steps it led to are. parity: None unless asked for. further:
    None in runs of earlier releases. by_category: of a joint run what it is of each category, in
    their order; what stands beside it is of all their images as one test set. None for the others,
    which do not say it.
    """

    decides: Decides
    metrics: Scores
    counts: Annotated[Mapping[Subset, Mapping[str, int]], Keyed(SUBSETS)]
    reasons: Annotated[Reasons, Keyed(SUBSETS, absent={s: {} for s in SUBSETS})]
    untrained: Scores | None
    saw_defects: int
    realised: Mapping[str, int]
    losses: tuple[tuple[int, Number], ...]
    threshold: Threshold | None
    environment: Mapping[str, Any]
    seconds: Mapping[str, Number]
    created: str
    selected: Selected | None = None
    steps_mode: str = "same"
    parity: Parity | None = None
    further: Further | None = None
    by_category: Mapping[str, OneCategory] | None = field(default=None, metadata=UNSAID)

    @property
    def id(self) -> str:
        """The name of the run's folder: 12 hex digits."""
        return record_id(self.decides)

    @property
    def label(self) -> str:
        """What tells it from all others on a page."""
        return self.id


run_id = record_id
AGAIN = "delete its folder and run `asbench train` again"
RUNS = RecordFolder(Run, "run.json", SCHEMA, AGAIN)
save = RUNS.write
"""Write `run.json` into a folder, whole or not at all. Save the tables beside it first."""
finished = RUNS.finished
runs = RUNS.rows


def read(folder: Path) -> Run:
    """Return the run of a folder.

    Raises UserError naming the file, and the key, where it is missing, damaged, edited or of a
    later schema.
    """
    if not (folder / RUNS.name).exists():
        raise UserError(_no_run(folder))
    return RUNS.read(folder)


def write_digests(folder: Path, run: Run) -> None:
    """List the digests of what stands in a run's folder, in `SHA256SUMS`, before the run itself."""
    beside = ("model.safetensors", "test.csv", "kept_out.csv", "gallery.npz")
    write_sums(folder, [name for name in beside if (folder / name).exists()], of=f"run {run.id}")


def add_parity(folder: Path, parity: Parity) -> None:
    """Record the scores of published code in a finished run; what else it holds stays."""
    save(replace(read(folder), parity=parity), folder)


def set_threshold(folder: Path, threshold: Threshold) -> None:
    """Record another threshold in a finished run; what else it holds stays."""
    save(replace(read(folder), threshold=threshold), folder)


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


def subset_for(runs: Iterable[Run]) -> Subset:
    """Return `held_out` as soon as one of the runs has seen defects, else `full`."""
    return "held_out" if any(run.saw_defects for run in runs) else "full"


def unfinished(root: Path) -> Sequence[str]:
    """Return the names of the folders under `root` whose run has not finished, sorted."""
    return sorted(f.name for f in root.glob("*") if f.is_dir() and not (f / "run.json").exists())

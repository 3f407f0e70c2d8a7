"""What a study asks for, beside what there is of it: its own runs, and its gaps with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asbench.quality.record import Quality
from asbench.report.paper.comparison import listed
from asbench.report.paper.scores import Expected
from asbench.report.paper.sheet import Entry, Sheet
from asbench.results import BEST_ON_TEST, Run
from asbench.study.record import Cell, Record, SetNeeded, standing

FEW = 3
"""Categories and mixes up to which a gap names them; more are counted."""
LONG = 90
"""Characters from which on a reason stands in full only where it is asked for."""
LEFT_OUT, FAILED, NOT_YET = "left out", "failed", "not run yet"


@dataclass(frozen=True, slots=True)
class Box:
    """Runs that are all combinations of these values. runs: how many, for trainings that differ in
    something else, their length say, stand together."""

    datasets: tuple[str, ...]
    categories: tuple[str, ...]
    detectors: tuple[str, ...]
    mixes: tuple[str, ...]
    ratios: tuple[float, ...]
    pools: tuple[int | None, ...]
    synth_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Runs that are not there for one reason. kind: `failed`, `left out` or `not run yet`."""

    kind: str
    reason: str
    boxes: tuple[Box, ...]

    @property
    def count(self) -> int:
        """How many runs they are."""
        return sum(box.runs for box in self.boxes)

    @property
    def short(self) -> str:
        """The first of the reasons, up to what is to be done about it."""
        return self.reason.partition(": ")[0] if len(self.reason) > LONG else self.reason

    def rows(self) -> list[tuple[str, ...]]:
        """Return the boxes in words, under the heads of `HEAD`."""
        return [_in_words(box) for box in self.boxes]


HEAD = ("Runs", "Data set", "Category", "Detector", "Trained with", "Ratio", "Seed")


@dataclass(frozen=True, slots=True)
class Coverage:
    """A study as a report takes it.

    count: runs that it asks for; standing: those that there are; expected: all but what was left
    out; gaps: of what is not there; others: runs of the folder that are not of the study;
    selected: whether its checkpoints were selected on the test set; quality: a sentence on what is
    measured and what is not, empty where nothing is asked for.
    """

    name: str
    count: int
    standing: int
    expected: tuple[Expected, ...]
    gaps: tuple[Gap, ...]
    others: int
    selected: bool
    quality: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The study in a sentence."""
        text = f"Study {self.name}: {self.standing} of its {self.count} runs stand"
        kinds = dict.fromkeys(gap.kind for gap in self.gaps)
        counts = {k: sum(gap.count for gap in self.gaps if gap.kind == k) for k in kinds}
        if counts:
            text += f"; {listed([f'{count} {kind}' for kind, count in counts.items()])}"
        if self.others:
            other = "run of its folder is" if self.others == 1 else "runs of its folder are"
            text += f"; {self.others} other {other} not shown"
        return f"{text}."

    def sheet(self) -> Sheet:
        """Return what is not there as a table, with the reasons as notes."""
        rows = tuple(
            tuple(map(Entry, (f"{gap.kind} ({number})", *row)))
            for number, gap in enumerate(self.gaps, 1)
            for row in gap.rows()
        )
        notes = tuple(f"({n}) {gap.kind}: {gap.reason}" for n, gap in enumerate(self.gaps, 1))
        count = sum(gap.count for gap in self.gaps)
        name = f"{count} missing run{'s' if count != 1 else ''}"
        return Sheet("missing", name, ("Why", *HEAD), rows, notes)


def coverage_of(record: Record, runs: Sequence[Run], measured: Sequence[Quality] = ()) -> Coverage:
    """Hold a study against the runs of its folder, and its quality against what is measured."""
    standing_runs = standing(record.cells, runs)
    reasons = {out.cell: (LEFT_OUT, "; ".join(out.reasons)) for out in record.left_out}
    by_reason: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in record.cells:
        if cell in standing_runs:
            continue
        failed = record.failed.get(cell)
        why = (FAILED, failed) if failed else (NOT_YET, "the study’s next run makes them")
        by_reason[reasons.get(cell, why)].append(cell)
    order = (FAILED, LEFT_OUT, NOT_YET)
    gaps = [Gap(kind, why, boxes(cells)) for (kind, why), cells in by_reason.items()]
    return Coverage(
        name=record.name,
        count=len(record.cells),
        standing=len(standing_runs),
        expected=tuple(
            dict.fromkeys(
                _expected(c) for c in record.cells if c in standing_runs or c not in reasons
            )
        ),
        gaps=tuple(sorted(gaps, key=lambda gap: (order.index(gap.kind), -gap.count))),
        others=len(runs) - len(own(record, runs)),
        selected=any(cell.training.select == BEST_ON_TEST for cell in record.cells),
        quality=tuple(_on_quality(record, measured)),
    )


def own(record: Record, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that are of a study, in their order.

    Where it selects checkpoints on the test set, the last ones of the same trainings too.
    """
    cells = [*record.cells]
    cells += [
        replace(cell, training=replace(cell.training, select="last"))
        for cell in cells
        if cell.training.select == BEST_ON_TEST
    ]
    ids = {run.id for run in standing(cells, runs).values()}
    return [run for run in runs if run.id in ids]


def own_quality(record: Record, measured: Sequence[Quality]) -> list[Quality]:
    """Return the measurements that are as a study asks for them; none where it asks for none."""
    asks = record.quality
    if asks is None:
        return []
    sets = {one.stored for one in asks.sets}
    how = asks.samples, asks.real
    return [
        q for q in measured if _set_of(q) in sets and (q.decides["n"], q.decides["real"]) == how
    ]


def boxes(cells: Iterable[Cell]) -> tuple[Box, ...]:
    """Return cells as few combinations of values, none of them in two."""
    rows = [
        Box(
            (c.dataset,),
            (c.category,),
            (c.detector,),
            (c.training.mixture.title,),
            (c.ratio,),
            (c.training.pool,),
            (c.training.synth_seed,),
            (c.training.seed,),
            1,
        )
        for c in cells
    ]
    # Not over data sets: categories belong to one.
    for axis in ("categories", "seeds", "synth_seeds", "ratios", "pools", "mixes", "detectors"):
        alike: dict[Box, list[Box]] = {}
        for row in rows:
            others: dict[str, Any] = {axis: (), "runs": 0}
            alike.setdefault(replace(row, **others), []).append(row)
        rows = [_joined(members, axis) for members in alike.values()]
    return tuple(sorted(rows, key=lambda box: -box.runs))


def _joined(members: Sequence[Box], axis: str) -> Box:
    """Return boxes that differ along one axis as one."""
    values = dict.fromkeys(value for member in members for value in getattr(member, axis))
    both: dict[str, Any] = {axis: tuple(values), "runs": sum(member.runs for member in members)}
    return replace(members[0], **both)


def _in_words(box: Box) -> tuple[str, ...]:
    ratios = ", ".join(f"{ratio:g}" for ratio in box.ratios)
    if box.pools != (None,):
        pools = ", ".join("all" if pool is None else str(pool) for pool in box.pools)
        ratios += f"; pool {pools}"
    seeds = ", ".join(map(str, box.seeds))
    if box.synth_seeds != (0,):
        seeds += f"; sets' {', '.join(map(str, box.synth_seeds))}"
    return (
        str(box.runs),
        ", ".join(box.datasets),
        _counted(box.categories, "categories"),
        ", ".join(box.detectors),
        _counted(box.mixes, "mixes"),
        ratios,
        seeds,
    )


def _counted(names: Sequence[str], many: str) -> str:
    if len(names) <= FEW:
        return ", ".join(names)
    return f"{len(names)} {many}: {', '.join(names)}"


def _expected(cell: Cell) -> Expected:
    methods = " + ".join(sorted(cell.methods))
    seeds = cell.training.seed, cell.training.synth_seed
    return Expected(cell.dataset, cell.category, cell.detector, methods, cell.ratio, *seeds)


def _on_quality(record: Record, measured: Sequence[Quality]) -> Iterable[str]:
    asks = record.quality
    if asks is None:
        return
    count = len({_set_of(q) for q in own_quality(record, measured)})
    against = asks.real.replace("_", "-")
    yield (
        f"Quality of {count} of {len(asks.sets)} sets is measured: {listed(asks.metrics)} of the "
        f"first {asks.samples} samples at most, against the {against} real defects."
    )
    for metric, why in asks.left_out.items():
        yield f"{metric} is not measured: {why}"
    for one, why in asks.failed.items():
        yield f"The quality of {one} could not be measured: {why}"


def _set_of(quality: Quality) -> SetNeeded:
    d = quality.decides
    return SetNeeded(d["dataset"], d["category"], d["method"], d["seed"])

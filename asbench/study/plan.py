"""From a study to its cells: what it asks for, what is wrong with it, what is absent here.

Nothing is written and nothing is trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from asbench.settings import TrainSettings
from asbench.study.availability import Absence, Availability
from asbench.study.record import Cell, SetNeeded
from asbench.study.spec import Part, Study
from asbench.training.sources import trainable
from asbench.types import LearnedSynthesizer, Synthesizer
from synth_store import UserError

ALIKE: Mapping[str, Any] = {"precision": "fp32"}
"""What a study's trainings have unless it says so, whatever is usual on the machine they run on."""


@dataclass(frozen=True)
class StudyPlan:
    """What a study comes down to here.

    cells: all it asks for, each once, part by part; absent: what each of the cells that cannot run
    here lacks; faults: why it may not run at all; normals: training normals of each data set's
    categories, counted where the data is here, else as the file states them, 0 for unknown;
    unmeasurable: quality metrics that cannot be had here, and what they lack.
    """

    study: Study
    cells: tuple[Cell, ...]
    absent: Mapping[Cell, tuple[Absence, ...]]
    faults: tuple[str, ...]
    normals: Mapping[tuple[str, str], int]
    methods: Mapping[str, Synthesizer]
    unmeasurable: Mapping[str, Absence]

    @cached_property
    def present(self) -> tuple[Cell, ...]:
        """The cells that can run here."""
        return tuple(cell for cell in self.cells if cell not in self.absent)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The quality metrics that are asked for and can be had here."""
        asked = (self.study.quality or {}).get("metrics", ())
        return tuple(name for name in asked if name not in self.unmeasurable)

    def sets(self, cells: Iterable[Cell]) -> tuple[SetNeeded, ...]:
        """Return the synthetic sets that cells train on, each once."""
        needed = (
            SetNeeded(c.dataset, c.category, method, c.training.synth_seed)
            for c in cells
            for method in c.methods
        )
        return tuple(dict.fromkeys(needed))

    def fits(self, cells: Iterable[Cell]) -> tuple[SetNeeded, ...]:
        """Return one set of each fit that cells need; a joint one serves every category.

        Not of a method that cannot be had here.
        """
        each: dict[tuple[str, str, str | None], SetNeeded] = {}
        for one in self.sets(cells):
            method = self.methods.get(one.method)
            if isinstance(method, LearnedSynthesizer):
                category = None if method.joint else one.category
                each.setdefault((one.dataset, one.method, category), one)
        return tuple(each.values())

    def refuse_faults(self) -> None:
        """Raise UserError naming everything that is wrong with the study."""
        if self.faults:
            listed = "\n".join(f"  {fault}" for fault in self.faults)
            many = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            raise UserError(f"study {self.study.name} has {many}, so nothing was begun:\n{listed}")


def plan(study: Study) -> StudyPlan:
    """Settle what a study asks for, what is wrong with it, and what it lacks here."""
    here = Availability(study, [*study.faults])
    cells: dict[Cell, Cell] = {}
    for part in study.parts:
        for cell in _cells(here, part):
            cells.setdefault(cell, cell)
    here.check_objects()
    unmeasurable = here.unmeasurable()
    absent = {cell: absences for cell in cells.values() if (absences := here.lacks(cell))}
    return StudyPlan(
        study=study,
        cells=tuple(cells.values()),
        absent=absent,
        faults=tuple(dict.fromkeys(here.faults)),
        normals=here.normals,
        methods={name: method for name, method in here.methods.items() if method is not None},
        unmeasurable=unmeasurable,
    )


def cells(study: Study) -> list[Cell]:
    """Return the runs that a study asks for, whether they can be had here or not.

    Raises UserError naming everything that is wrong with the study.
    """
    planned = plan(study)
    planned.refuse_faults()
    return list(planned.cells)


def _cells(here: Availability, part: Part) -> Iterator[Cell]:
    """Yield the cells of one part, in the order of its axes."""
    study = here.study
    for dataset, stated in part.datasets.items():
        for category in here.categories(dataset, stated):
            for budget in part.detectors:
                settled = here.settled(budget, dataset, category)
                if settled is None:
                    continue
                for values in itertools.product(*part.axes.values()):
                    asked = TrainSettings(
                        dataset=dataset,
                        category=category,
                        detector=budget.detector,
                        **dict(zip(part.axes, values, strict=True)),
                        **study.protocol,
                        **{
                            **ALIKE,
                            **budget.training,
                            "steps": settled.steps,
                            "batch": settled.batch,
                        },
                    )
                    ratio = settled.ratio if asked.ratio is None else asked.ratio
                    if fault := _fault(here, part, asked, ratio):
                        here.fault(fault)
                        continue
                    training = replace(asked, ratio=ratio)
                    if not ratio:  # normals alone know neither mixture nor set nor pool: one run
                        training = replace(training, mix=None, pool=None, synth_seed=0)
                    elif training.steps_mode == "per-component" and settled.in_epochs:
                        steps = settled.steps * len(training.mixture.names)
                        training = replace(training, steps=steps)
                    yield Cell(
                        training=training,
                        geometry=str(study.geometry),
                        parameters=settled.parameters,
                        part=part.name,
                        keep=part.keep,
                    )


def _fault(here: Availability, part: Part, asked: TrainSettings, ratio: float) -> str:
    """Say what keeps a training from being asked for; nothing where all is well."""
    samples = here.study.samples
    if ratio and not asked.mixture.shares:
        return f"parts.{part.name}: ratio {ratio:g} needs mixes: name methods."
    if ratio and asked.pool is not None and asked.pool > trainable(samples):
        return (
            f"parts.{part.name}.pools: {asked.pool} is more than sets of {samples} samples can "
            f"give: {trainable(samples)} of them may train; raise samples."
        )
    return ""

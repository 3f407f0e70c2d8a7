"""From a study to its cells: what it asks for, what is wrong with it, what is absent here.

Nothing is written and nothing is trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from asbench.study.availability import Absence, Here
from asbench.study.record import Cell, SetNeeded, frozen
from asbench.study.spec import Part, Study
from asbench.training.sources import trainable
from asbench.types import Synthesizer
from synth_store import Mix, UserError


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
        asked = self.study.quality.metrics if self.study.quality is not None else ()
        return tuple(name for name in asked if name not in self.unmeasurable)

    def sets(self, cells: Iterable[Cell]) -> tuple[SetNeeded, ...]:
        """Return the synthetic sets that cells train on, each once."""
        needed = (
            SetNeeded(c.dataset, c.category, method, c.synth_seed)
            for c in cells
            for method in c.methods
        )
        return tuple(dict.fromkeys(needed))

    def refuse_faults(self) -> None:
        """Raise UserError naming everything that is wrong with the study."""
        if self.faults:
            listed = "\n".join(f"  {fault}" for fault in self.faults)
            many = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            raise UserError(f"study {self.study.name} has {many}, so nothing was begun:\n{listed}")


def plan(study: Study) -> StudyPlan:
    """Settle what a study asks for, what is wrong with it, and what it lacks here."""
    here = Here(study, [*study.faults])
    cells: dict[Cell, Cell] = {}
    for part in study.parts:
        for cell in _cells(here, part):
            cells.setdefault(cell, cell)
    unmeasurable = here.unmeasurable()
    absent = {cell: found for cell in cells.values() if (found := here.lacks(cell))}
    return StudyPlan(
        study=study,
        cells=tuple(cells.values()),
        absent=absent,
        faults=tuple(dict.fromkeys(here.faults)),
        normals=here.normals,
        methods={name: found for name, found in here.methods.items() if found is not None},
        unmeasurable=unmeasurable,
    )


def cells(study: Study) -> list[Cell]:
    """Return the runs that a study asks for, whether they can be had here or not.

    Raises UserError naming everything that is wrong with the study.
    """
    planned = plan(study)
    planned.refuse_faults()
    return list(planned.cells)


def _cells(here: Here, part: Part) -> Iterator[Cell]:
    """Yield the cells of one part, in the order of its axes."""
    study, protocol = here.study, asdict(here.study.protocol)
    lengthens = here.study.protocol.steps_mode == "per-component"
    for dataset, stated in part.datasets.items():
        for category in here.categories(dataset, stated):
            for budget in part.detectors:
                settled = here.settled(budget, dataset, category)
                if settled is None:
                    continue
                axes = (part.ratios, part.mixes or ("",), part.pools, part.synth_seeds, part.seeds)
                for given, mix, pool, synth_seed, seed in itertools.product(*axes):
                    ratio = settled.ratio if given is None else given
                    if ratio and not mix:
                        here.fault(f"parts.{part.name}: ratio {ratio:g} needs mixes: name methods.")
                        continue
                    if ratio and pool is not None and pool > trainable(study.samples):
                        here.fault(
                            f"parts.{part.name}.pools: {pool} is more than sets of "
                            f"{study.samples} samples can give: {trainable(study.samples)} of them "
                            "may train; raise samples."
                        )
                        continue
                    longer = lengthens and settled.in_epochs and ratio
                    # Normals alone know neither mixture nor set nor pool, and are one run.
                    yield Cell(
                        dataset=dataset,
                        category=category,
                        geometry=str(study.geometry),
                        mix=mix if ratio else "",
                        ratio=ratio,
                        pool=pool if ratio else None,
                        detector=budget.detector,
                        parameters=settled.parameters,
                        settings=frozen(budget.settings),
                        steps=settled.steps * (len(Mix.parse(mix).names) if longer else 1),
                        batch=settled.batch,
                        precision=budget.precision,
                        seed=seed,
                        synth_seed=synth_seed if ratio else 0,
                        part=part.name,
                        keep=part.keep,
                        **protocol,
                    )

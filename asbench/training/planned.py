"""What every plan of a run has, of one category or of several that one detector learns together."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from asbench import results
from asbench.nets.pretrained import Pretrained
from asbench.results import Decides
from asbench.settings import TrainSettings
from asbench.training.sampler import Indices, Sources
from asbench.types import Dataset
from synth_store import ItemStream, Normals, StoredSet, SynthStore, UserError


@dataclasses.dataclass(frozen=True)
class Planned(ABC):
    """A run: its stream of items, and where its record will stand.

    training: its settings, nothing left open; digests: what decides the outcome beside them.
    """

    training: TrainSettings
    digests: Mapping[str, Any]
    data: Dataset
    store: SynthStore
    device: torch.device
    pretrained: Pretrained | None

    @property
    @abstractmethod
    def parts(self) -> tuple[Any, ...]:
        """The run category by category, a `Plan` each: itself where it is of one."""

    @property
    @abstractmethod
    def schedule(self) -> ItemStream:
        """The stream of items."""

    @property
    def decides(self) -> Decides:
        """All that decides the outcome."""
        return {**self.training.decides(), **self.digests}

    @property
    def id(self) -> str:
        """The run's id, and the name of its folder."""
        return results.run_id(self.decides)

    @property
    def runs(self) -> Path:
        """Where runs are."""
        return Path(self.training.runs)

    @property
    def folder(self) -> Path:
        """Where the run is or is to be."""
        return self.runs / self.id

    @property
    def drawn_from(self) -> Sources:
        """What the stream draws from, in its order."""
        told: list[Normals | StoredSet] = []
        for part in self.parts:
            told += [part.normals, *part.sources.sets]
        return told

    @property
    def indices(self) -> Indices:
        """What of each source trains; None where all do, from the first on."""
        if not any(part.kept or part.sources.excluded for part in self.parts):
            return None
        return [one for part in self.parts for one in (part.trained, *part.sources.indices)]

    @property
    def photograph_of(self) -> list[Mapping[int, int]]:
        """For each source, the number of the photograph that each of its normals is of.

        A set's normals are those that it was drawn on. No two categories share a number.
        """
        told: list[Mapping[int, int]] = []
        first = 0
        for part in self.parts:
            numbers = {i: first + place for i, place in part.places.items()}
            told += [numbers] * (1 + len(part.sources.sets))
            first += len(part.photographs)
        return told

    @property
    def realised(self) -> dict[str, int]:
        """How many items of each source the training sees, as `realised_by_category`, together."""
        told: dict[str, int] = {}
        for of in self.realised_by_category.values():
            for name, count in of.items():
                told[name] = told.get(name, 0) + count
        return told

    @property
    def realised_by_category(self) -> dict[str, dict[str, int]]:
        """How many items of each source the training sees: exact, known before it begins.

        Where nothing is trained, every normal is looked at once.
        """
        names = [str(part.training.category) for part in self.parts]
        if not self.training.steps:
            trained = [{"normal": len(part.trained)} for part in self.parts]
            return dict(zip(names, trained, strict=True))
        counts = iter(self.schedule.counts(self.decides["steps"] * self.decides["batch"]))
        return {
            name: {source: next(counts) for source in ("normal", *part.sources.mix.names)}
            for name, part in zip(names, self.parts, strict=True)
        }

    @property
    def last(self) -> Self:
        """The run of the same training whose last checkpoint counts; itself if it is that one."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, select="last"))

    def with_seed(self, seed: int) -> Self:
        """Return the same run with another training seed."""
        changed = dataclasses.replace(self.training, seed=checked_seed(seed))
        return dataclasses.replace(self, training=changed)

    def __str__(self) -> str:
        told = {
            category: ", ".join(f"{count} {name}" for name, count in of.items())
            for category, of in self.realised_by_category.items()
        }
        several = len(told) > 1
        counts = "; ".join(f"{c}: {of}" if several else of for c, of in told.items())
        d = self.decides
        length = f"{d['steps']} steps of {d['batch']} items" if d["steps"] else "nothing is trained"
        photographs = sum(len(part.kept_photographs) for part in self.parts)
        what = f"{photographs} normals"
        if self.store.geometry.tiled:
            kept, of_all = (
                sum(len(one) for one in each)
                for each in zip(*((p.kept, p.normals) for p in self.parts), strict=True)
            )
            what = f"{photographs} photographs ({kept} of {of_all} tiles)"
        out = f"; {what} kept out for the threshold" if photographs else ""
        where = f"{d['dataset']}/{d['category']}{' together' if several else ''}"
        return f"{where}, seed {d['seed']}: {counts} ({length}){out}"


def checked_seed(seed: int) -> int:
    """Return a training seed; raises UserError for a negative one."""
    if seed < 0:
        raise UserError(f"training seed {seed} is negative: use 0, 1, 2, ...")
    return seed


def trained_photographs(plan: Planned) -> Sequence[int]:
    """Return the number of the photograph of every normal that trains, category by category."""
    both = zip(plan.drawn_from, plan.photograph_of, strict=True)
    normals = [numbers for source, numbers in both if isinstance(source, Normals)]
    return [of[i] for of, part in zip(normals, plan.parts, strict=True) for i in part.trained]

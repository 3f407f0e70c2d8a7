"""What a run is, settled before anything is trained; every refusal comes here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from asbench import results
from asbench.data import tiling
from asbench.data.excluded import read_marks
from asbench.data.ingest import ensure_normals
from asbench.data.validation_part import kept_count
from asbench.datasets import open_dataset
from asbench.detectors import pretrained_of, protocol_of, resolve
from asbench.evaluation.kept_normals import kept_photographs
from asbench.evaluation.testset import TestSet
from asbench.evaluation.thresholds import Rule
from asbench.nets.detector import Protocol
from asbench.nets.device import find_device, usual_precision
from asbench.nets.pretrained import Pretrained, check_networks
from asbench.results import BEST_ON_TEST, Decides
from asbench.results.advised import ADVISED, advised_for
from asbench.settings import TrainSettings
from asbench.training.compiling import refuse_uncompilable
from asbench.training.loop import check
from asbench.training.sampler import Indices
from asbench.training.sources import Sources, find_sources
from asbench.types import Dataset
from synth_store import Mix, Normals, Stream, SynthStore, UserError
from synth_store.places import place
from synth_store.types import Geometry


@dataclass(frozen=True)
class Learner:
    """What a run needs to know of a detector before it is built.

    parameters: all of them; version: of the detector's own arithmetic.
    """

    name: str
    protocol: Protocol
    stride: int
    parameters: Mapping[str, Any]
    pretrained: Pretrained | None = None
    version: int = 1

    @classmethod
    def find(
        cls,
        name: str,
        settings: Mapping[str, Any] | None,
        weights: Mapping[str, Path] | None,
    ) -> Learner:
        """Return a detector of ours; raises what `resolve` and `find_pretrained` raise."""
        check_networks(weights or {})
        detector, parameters = resolve(name, settings)
        pretrained = pretrained_of(name, settings, weights)
        protocol, version = protocol_of(name), detector.version
        return cls(name, protocol, detector.stride, parameters, pretrained, version)


@dataclass(frozen=True)
class Plan:
    """One run: its data, the stream of items it trains on, and where its record will stand.

    training: its settings, nothing left open; digests: what decides the outcome beside them.
    """

    training: TrainSettings
    digests: Mapping[str, Any]
    data: Dataset
    store: SynthStore
    normals: Normals
    sources: Sources
    share: Fraction
    test: TestSet
    device: torch.device
    pretrained: Pretrained | None

    @property
    def decides(self) -> Decides:
        """All that decides the outcome."""
        return {**self.training.decides(), **self.digests}

    @property
    def id(self) -> str:
        """The run's id, and the name of its folder."""
        return results.run_id(self.decides)

    @cached_property
    def photographs(self) -> Sequence[tiling.Photograph]:
        """The photographs of the normals: of tiles, several normals are one's."""
        return tiling.photographs(self.normals)

    @cached_property
    def photograph_of(self) -> Mapping[int, int]:
        """The place of the photograph that each normal is of: its own, but for tiles."""
        return {i: place for place, one in enumerate(self.photographs) for i in one.normals}

    @cached_property
    def kept_photographs(self) -> Sequence[tiling.Photograph]:
        """Those that training never sees: thresholds come from them."""
        return kept_photographs(self.photographs, self.training.kept_out)

    @cached_property
    def kept(self) -> Sequence[int]:
        """The places of the normals that training never sees."""
        return [i for one in self.kept_photographs for i in one.normals]

    @cached_property
    def trained(self) -> Sequence[int]:
        """The places of the normals that training may see."""
        kept = set(self.kept)
        return [i for i in range(len(self.normals)) if i not in kept]

    @property
    def indices(self) -> Indices:
        """What of the normals and of each set trains; None where all do, from the first on."""
        chosen = self.kept or self.sources.excluded
        return [self.trained, *self.sources.indices] if chosen else None

    @property
    def runs(self) -> Path:
        """Where runs are."""
        return Path(self.training.runs)

    @property
    def folder(self) -> Path:
        """Where the run is or is to be."""
        return self.runs / self.id

    @property
    def schedule(self) -> Stream:
        """The stream of items."""
        count, seed = len(self.trained), self.training.seed
        return self.sources.schedule(self.share, count, seed, self.training.ratio_mode)

    @property
    def realised(self) -> dict[str, int]:
        """How many items of each source the training sees: exact, known before it begins.

        Where nothing is trained, every normal is looked at once.
        """
        if not self.decides["steps"]:
            return {"normal": len(self.trained)}
        names = ("normal", *(self.sources.mix.names if self.share else ()))
        items = self.decides["steps"] * self.decides["batch"]
        return dict(zip(names, self.schedule.counts(items), strict=True))

    @property
    def saw_defects(self) -> int:
        """How many real defects the sets saw, or who chose the mixture."""
        seen = set(self.sources.saw_defects)
        if self.training.chosen_on_few_shot and self.share:
            seen |= {item.id for item in self.test.items if item.few_shot}
        return len(seen)

    @property
    def last(self) -> Plan:
        """The run of the same training whose last checkpoint counts; itself if it is that one."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, select="last"))

    def with_seed(self, seed: int) -> Plan:
        """Return the same run with another training seed."""
        changed = dataclasses.replace(self.training, seed=_checked_seed(seed))
        return dataclasses.replace(self, training=changed)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.realised.items())
        d = self.decides
        length = f"{d['steps']} steps of {d['batch']} items" if d["steps"] else "nothing is trained"
        what = f"{len(self.kept_photographs)} normals"
        if self.store.geometry.tiled:
            tiles = f"{len(self.kept)} of {len(self.normals)} tiles"
            what = f"{len(self.kept_photographs)} photographs ({tiles})"
        kept = f"; {what} kept out for the threshold" if self.kept else ""
        return f"{d['dataset']}/{d['category']}, seed {d['seed']}: {counts} ({length}){kept}"


def plan_run(training: TrainSettings, learner: Learner | None = None) -> Plan:
    """Settle a run: of one of our detectors, or of a model of another library.

    Nothing is written but the category's normals, and those only when all else is in order.
    `training.notify` hears of a bare name in the mix that was taken for its one stored variant.
    Raises UserError for what the caller can mend.
    """
    data = open_dataset(training.dataset, name=training.name)
    categories = data.categories()
    category = training.category if training.category is not None else categories[0]
    if category not in categories:
        raise UserError(
            f"category {category!r} is not in {data.name}: choose from {', '.join(categories)}."
        )
    if learner is None:
        learner = Learner.find(training.detector, training.settings, training.weights)
    protocol, pretrained = learner.protocol, learner.pretrained
    share = _share(protocol.ratio if training.ratio is None else training.ratio)
    if protocol.steps == 0 and (share or training.steps):
        asked = f"ratio {float(share):g}" if share else f"{training.steps} steps"
        raise UserError(
            f"{learner.name} trains nothing, it looks at the normals alone, and {asked} would "
            "change nothing: leave out --ratio and --steps."
        )
    there = SynthStore.stands_at(training.store)
    store = (
        SynthStore.open(training.store) if there else SynthStore(place(training.store), Geometry())
    )
    origin = ["--dataset", training.dataset]
    origin += ["--name", training.name] if training.name is not None else []
    if training.mixture.names == (ADVISED,):
        advised = advised_for(store, data, category, origin)
        seen = bool(advised.few_shot) or training.chosen_on_few_shot
        training = dataclasses.replace(training, mix=advised.mixture, chosen_on_few_shot=seen)
        training.notify(f"advised for {data.name}/{category}: {advised.mixture}")
        if advised.few_shot:
            training.notify(
                f"{len(advised.few_shot)} few-shot defects chose that: the run counts as having "
                "seen them, and held-out scores leave them out"
            )
    if share and not training.mixture.shares:
        raise UserError(
            f"ratio {float(share):g} needs a mix of stored methods: add for example "
            "--mix draem:0.5,fractal:0.5, or --ratio 0 to train on normals alone."
        )
    batch = training.batch if training.batch is not None else protocol.batch
    if batch < 1:
        raise UserError(f"a batch of {batch} items is impossible: give 1 or more.")
    _checked_seed(training.seed)
    asked_steps = 1 if training.steps is None or protocol.steps == 0 else training.steps
    check(asked_steps, training.precision or "fp32")
    kept_count(0, training.kept_out)
    Rule.of(training.threshold, training.false_alarms)
    device = find_device(training.device)
    precision = training.precision or (usual_precision(device) if protocol.steps != 0 else "fp32")
    if precision != (training.precision or "fp32"):
        training.notify(f"trains in {precision}, as is usual on {device}: else --precision fp32")
    if training.compile:
        refuse_uncompilable(device)
    _check_stride(learner, store.geometry)
    wanted = training.mixture if share else Mix()
    marks = {} if training.exclude is None else read_marks(training.exclude)
    sources = find_sources(
        store,
        data.name,
        category,
        wanted,
        training.synth_seed,
        training.pool,
        origin=origin,
        kept_out=training.kept_out,
        marks=marks,
    )
    if training.exclude is not None:
        told = ", ".join(f"{len(of)} {name}" for name, of in sources.excluded.items())
        where = f"{data.name}/{category}"
        training.notify(f"{where}: {told or 'nothing'} left out, as {training.exclude} says")
    for bare, full in sources.resolved:
        training.notify(
            f"{bare} means {full}: the only variant of it stored for {data.name}/{category}"
        )
    test = TestSet(data, data.test(category), store.geometry)
    test.refuse_without_anomalies()
    whole = tiling.foreseen(store, data, category)
    count = sum(len(one.normals) for one in whole)
    count -= sum(len(one.normals) for one in kept_photographs(whole, training.kept_out))
    steps = training.steps if training.steps is not None else protocol.steps_for(count)
    if training.steps_mode == "per-component":
        steps *= max(1, len(sources.mix.shares))  # at ratio 0 there are no components
    every = training.select_every
    if training.select != BEST_ON_TEST and every is not None:
        raise UserError(
            f"select every {every} steps says when to look at the test set, which only "
            "`--select best-on-test` does: add that, or leave --select-every out."
        )
    if training.select == BEST_ON_TEST and count:  # without normals all is refused below
        every = every if every is not None else protocol.select_every(count)
        _check_looks(every, steps)
    sources.refuse_leaks(test.items, store)
    normals = ensure_normals(SynthStore.create(training.store), data, category, training.progress)
    settled = dataclasses.replace(
        training,
        dataset=data.name,
        category=category,
        mix=sources.mix,
        ratio=float(share),
        pool=training.pool if share else None,
        detector=learner.name,
        steps=steps,
        batch=batch,
        precision=precision,
        synth_seed=training.synth_seed if share else 0,
        select_every=every,
    )
    digests = {
        "geometry": str(store.geometry),
        "normals": normals.digest,
        "test": test.digest(),
        "sets": {s.key.method: str(s.digest) for s in sources.sets},
        "parameters": dict(learner.parameters),
        "weights": None if pretrained is None else pretrained.digest,
        **({"version": learner.version} if learner.version > 1 else {}),
        **({"excluded": sources.excluded} if sources.excluded else {}),
    }
    plan = Plan(settled, digests, data, store, normals, sources, share, test, device, pretrained)
    if results.finished(plan.runs, plan.decides) is None:
        test.refuse_unusable(training.progress)
        if said := test.without_value():
            training.notify(said)
        if training.select == BEST_ON_TEST:
            test.refuse_without_masks(protocol.select.metrics)
    return plan


def plan_all(
    training: TrainSettings, categories: Sequence[str] | None, seeds: Sequence[int]
) -> list[Plan]:
    """Settle every run of some categories and training seeds, category by category.

    So a refusal of any of them wastes no training. categories: None takes the first, and `all`
    among them every one. `training.notify` hears what was taken, and of each run what it will see.
    Raises what `plan_run` raises.
    """
    known = open_dataset(training.dataset, name=training.name).categories()
    if not categories and len(known) > 1:
        training.notify(
            f"category {known[0]} of {', '.join(known)} (--category all trains every one)"
        )
    if "@" in training.detector:
        training.notify(
            f"{training.detector} is a reduced or changed network: not to be held against papers"
        )
    plans: list[Plan] = []
    for category in known if "all" in (categories or ()) else categories or known[:1]:
        plan = plan_run(dataclasses.replace(training, category=category, seed=seeds[0]))
        plans += [plan.with_seed(seed) for seed in seeds]
    for plan in plans:
        training.notify(str(plan))
    return plans


def _share(ratio: float) -> Fraction:
    if not (math.isfinite(ratio) and 0 <= ratio <= 1):
        raise UserError(f"ratio {ratio:g} is impossible: choose from 0 to 1.")
    return Fraction(str(ratio))


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise UserError(f"training seed {seed} is negative: use 0, 1, 2, ...")
    return seed


def _check_looks(every: int, steps: int) -> None:
    if not 1 <= every < steps:
        raise UserError(
            f"looking at the test set every {every} of {steps} steps leaves no checkpoint to "
            f"choose from: give --select-every 1 to {steps - 1}."
        )


def _check_stride(learner: Learner, geometry: Geometry) -> None:
    stride = learner.stride
    if geometry.height % stride or geometry.width % stride:
        raise UserError(
            f"{learner.name} needs image sides that are multiples of {stride}, and the store's "
            f"are {geometry}: make another, as in `asbench generate --store other --size 256`."
        )

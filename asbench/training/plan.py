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
from asbench.nets.device import bf16_gain, find_device, usual_precision
from asbench.nets.features import FeatureDetector
from asbench.nets.pretrained import Pretrained, check_networks
from asbench.results import BEST_ON_TEST
from asbench.results.advised import ADVISED, advised_for
from asbench.settings import TrainSettings
from asbench.training.compiling import refuse_uncompilable
from asbench.training.loop import check
from asbench.training.planned import Planned, checked_seed
from asbench.training.sources import Sources, find_sources
from synth_store import Mix, Normals, Stream, SynthStore, UserError
from synth_store.places import place
from synth_store.types import Geometry

LONG, QUICK = 600.0, 3.0
"""A training of so many seconds on a core is offered bf16, where products take a third in it."""


@dataclass(frozen=True)
class Learner:
    """What a run needs to know of a detector before it is built.

    parameters: all of them; version: of the detector's own arithmetic; on_features: whether it
    learns from what a frozen network says of images.
    """

    name: str
    protocol: Protocol
    stride: int
    parameters: Mapping[str, Any]
    pretrained: Pretrained | None = None
    version: int = 1
    on_features: bool = False

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
        on_features = issubclass(detector, FeatureDetector)
        return cls(name, protocol, detector.stride, parameters, pretrained, version, on_features)


@dataclass(frozen=True)
class Plan(Planned):
    """A run of one category: its data, and the stream of items that it trains on."""

    normals: Normals
    sources: Sources
    share: Fraction
    test: TestSet

    @property
    def parts(self) -> tuple[Plan, ...]:
        """The run itself."""
        return (self,)

    @cached_property
    def photographs(self) -> Sequence[tiling.Photograph]:
        """The photographs of the normals: of tiles, several normals are one's."""
        return tiling.photographs(self.normals)

    @cached_property
    def places(self) -> Mapping[int, int]:
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
    def schedule(self) -> Stream:
        """The stream of items."""
        count, seed = len(self.trained), self.training.seed
        return self.sources.schedule(self.share, count, seed, self.training.ratio_mode)

    @property
    def saw_defects(self) -> int:
        """How many real defects the sets saw, or who chose the mixture."""
        seen = set(self.sources.saw_defects)
        if self.training.chosen_on_few_shot and self.share:
            seen |= {item.id for item in self.test.items if item.few_shot}
        return len(seen)


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
    checked_seed(training.seed)
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
    if training.select == BEST_ON_TEST or training.parity:
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
        check_looks(every, steps)
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
        **({"chosen_on_few_shot": True} if share and training.chosen_on_few_shot else {}),
    }
    plan = Plan(settled, digests, data, store, device, pretrained, normals, sources, share, test)
    if results.finished(plan.runs, plan.decides) is None:
        test.refuse_unusable(training.progress)
        on_cpu = training.precision is None and device.type == "cpu"
        if on_cpu and _is_long(learner, steps * batch) and (gain := bf16_gain()) >= QUICK:
            training.notify(
                f"this processor multiplies {gain:.0f} times as fast in bf16: --precision bf16 is "
                "another run, at published widths in half the time or less"
            )
        if said := test.without_value():
            training.notify(said)
        if training.select == BEST_ON_TEST:
            test.refuse_without_masks(protocol.select.metrics)
    return plan


def _share(ratio: float) -> Fraction:
    if not (math.isfinite(ratio) and 0 <= ratio <= 1):
        raise UserError(f"ratio {ratio:g} is impossible: choose from 0 to 1.")
    return Fraction(str(ratio))


def check_looks(every: int, steps: int) -> None:
    """Raise UserError unless looking at the test set `every` so many steps leaves a choice."""
    if not 1 <= every < steps:
        raise UserError(
            f"looking at the test set every {every} of {steps} steps leaves no checkpoint to "
            f"choose from: give --select-every 1 to {steps - 1}."
        )


def _is_long(learner: Learner, images: int) -> bool:
    guess = learner.protocol.seconds
    return not learner.on_features and guess is not None and images * guess[0] > LONG


def _check_stride(learner: Learner, geometry: Geometry) -> None:
    stride = learner.stride
    if geometry.height % stride or geometry.width % stride:
        raise UserError(
            f"{learner.name} needs image sides that are multiples of {stride}, and the store's "
            f"are {geometry}: make another, as in `asbench generate --store other --size 256`."
        )

"""What a run is, settled before anything is trained; every refusal comes here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from asbench import results
from asbench.data.ingest import ensure_normals
from asbench.datasets import open_dataset
from asbench.detectors import pretrained_of, protocol_of, resolve
from asbench.evaluation.testset import TestSet
from asbench.nets.detector import Protocol
from asbench.nets.device import find_device
from asbench.nets.pretrained import Pretrained
from asbench.progress import Notify, Progress, quiet, silent
from asbench.results import BEST_ON_TEST, Decides
from asbench.training.loop import Precision, check
from asbench.training.sources import Sources, find_sources
from asbench.types import Dataset
from synth_store import Mix, Normals, Stream, SynthStore, UserError
from synth_store.places import Place, place
from synth_store.types import Geometry

RatioMode = Literal["exact", "bernoulli"]
"""exact: every count as near to its share as whole items allow; bernoulli: independent draws."""
Select = Literal["last", "best-on-test"]
"""last: the last checkpoint counts; best-on-test: the one that scored best on the test images."""
StepsMode = Literal["same", "per-component"]
"""same: steps know nothing of the mix; per-component: multiplied by the number of its methods."""


@dataclass(frozen=True)
class Learner:
    """What a run needs to know of a detector before it is built.

    parameters: all of them; settings: those that differ from its variant's.
    """

    name: str
    protocol: Protocol
    stride: int
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any] | None = None
    pretrained: Pretrained | None = None

    @classmethod
    def find(
        cls,
        name: str,
        settings: Mapping[str, Any] | None,
        weights: Mapping[str, Path] | None,
    ) -> Learner:
        """Return a detector of ours; raises what `resolve` and `find_pretrained` raise."""
        found, parameters = resolve(name, settings)
        pretrained = pretrained_of(name, settings, weights)
        return cls(name, protocol_of(name), found.stride, parameters, settings, pretrained)


@dataclass(frozen=True)
class Plan:
    """One run: its data, the stream of items it trains on, and where its record will stand."""

    decides: Decides
    data: Dataset
    store: SynthStore
    normals: Normals
    sources: Sources
    share: Fraction
    test: TestSet
    device: torch.device
    settings: Mapping[str, Any] | None
    pretrained: Pretrained | None
    runs: Path
    steps_mode: StepsMode = "same"

    @property
    def id(self) -> str:
        """The run's id, and the name of its folder."""
        return results.run_id(self.decides)

    @property
    def folder(self) -> Path:
        """Where the run is or is to be."""
        return self.runs / self.id

    @property
    def schedule(self) -> Stream:
        """The stream of items."""
        seed, mode = self.decides["seed"], self.decides["ratio_mode"]
        return self.sources.schedule(self.share, len(self.normals), seed, mode)

    @property
    def realised(self) -> dict[str, int]:
        """How many items of each source the training sees: exact, known before it begins.

        Where nothing is trained, every normal is looked at once.
        """
        if not self.decides["steps"]:
            return {"normal": len(self.normals)}
        names = ("normal", *(self.sources.mix.names if self.share else ()))
        items = self.decides["steps"] * self.decides["batch"]
        return dict(zip(names, self.schedule.counts(items), strict=True))

    @property
    def last(self) -> Plan:
        """The run of the same training whose last checkpoint counts; itself if it is that one."""
        return dataclasses.replace(self, decides=results.last_of(self.decides))

    def with_seed(self, seed: int) -> Plan:
        """Return the same run with another training seed."""
        decides = self.decides.copy()
        decides["seed"] = _checked_seed(seed)
        return dataclasses.replace(self, decides=decides)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.realised.items())
        d = self.decides
        length = f"{d['steps']} steps of {d['batch']} items" if d["steps"] else "nothing is trained"
        return f"{d['dataset']}/{d['category']}, seed {d['seed']}: {counts} ({length})"


def plan_run(
    dataset: str = "demo",
    mix: str | None = None,
    *,
    ratio: float | None = None,
    detector: str | Learner = "unet@tiny",
    category: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    precision: Precision = "fp32",
    seed: int = 0,
    synth_seed: int = 0,
    pool: int | None = None,
    ratio_mode: RatioMode = "exact",
    select: Select = "last",
    select_every: int | None = None,
    steps_mode: StepsMode = "same",
    settings: Mapping[str, Any] | None = None,
    weights: Mapping[str, Path] | None = None,
    store: Path | Place | str = "asbench-store",
    runs: Path | str = "runs",
    device: str | None = None,
    name: str | None = None,
    progress: Progress = quiet,
    notify: Notify = silent,
) -> Plan:
    """Settle a run; the arguments are those of `train`, or a detector of another library.

    Nothing is written but the category's normals, and those only when all else is in order.
    `notify` hears of a bare name in the mix that was taken for its one stored variant. Raises
    UserError for what the caller can mend.
    """
    data = open_dataset(dataset, name=name)
    chosen = category if category is not None else data.categories()[0]
    if chosen not in data.categories():
        raise UserError(
            f"category {chosen!r} is not in {data.name}: choose from "
            f"{', '.join(data.categories())}."
        )
    if isinstance(detector, str):
        detector = Learner.find(detector, settings, weights)
    protocol, pretrained = detector.protocol, detector.pretrained
    share = _share(protocol.ratio if ratio is None else ratio)
    if protocol.steps == 0 and (share or steps is not None):
        asked = f"ratio {float(share):g}" if share else f"{steps} steps"
        raise UserError(
            f"{detector.name} trains nothing, it looks at the normals alone, and {asked} would "
            "change nothing: leave out --ratio and --steps."
        )
    if share and mix is None:
        raise UserError(
            f"ratio {float(share):g} needs a mix of stored methods: add for example "
            "--mix draem:0.5,fractal:0.5, or --ratio 0 to train on normals alone."
        )
    parsed = Mix.parse(mix) if mix is not None else Mix()
    items = batch if batch is not None else protocol.batch
    if items < 1:
        raise UserError(f"a batch of {items} items is impossible: give 1 or more.")
    _checked_seed(seed)
    _check_choice("ratio mode", ratio_mode, get_args(RatioMode))
    _check_choice("select", select, get_args(Select))
    _check_choice("steps mode", steps_mode, get_args(StepsMode))
    check(1 if steps is None else steps, precision, checkpoint_every=1)
    where = find_device(device)
    there = SynthStore.stands_at(store)
    opened = SynthStore.open(store) if there else SynthStore(place(store), Geometry())
    _check_stride(detector, opened.geometry)
    origin = ["--dataset", dataset, *(["--name", name] if name is not None else [])]
    wanted = parsed if share else Mix()
    sources = find_sources(opened, data.name, chosen, wanted, synth_seed, pool, origin=origin)
    for bare, full in sources.resolved:
        notify(f"{bare} means {full}: the only variant of it stored for {data.name}/{chosen}")
    test = TestSet(data, data.test(chosen), opened.geometry)
    test.refuse_without_anomalies()
    count = len(data.train(chosen))
    length = steps if steps is not None else protocol.steps_for(count)
    if steps_mode == "per-component":
        length *= max(1, len(sources.mix.shares))  # at ratio 0 there are no components
    every = select_every if select_every is not None else protocol.select_every(count)
    if select == BEST_ON_TEST and count:  # without normals all is refused below
        _check_looks(every, length)
    if select != BEST_ON_TEST and select_every is not None:
        raise UserError(
            f"select every {select_every} steps says when to look at the test set, which only "
            "`--select best-on-test` does: add that, or leave --select-every out."
        )
    sources.refuse_leaks(test.items, opened)
    normals = ensure_normals(SynthStore.create(store), data, chosen, progress)
    decides = Decides(
        dataset=data.name,
        category=chosen,
        geometry=str(opened.geometry),
        normals=normals.digest,
        test=test.digest(),
        mix={method: float(weight) for method, weight in sources.mix.shares},
        sets={s.key.method: str(s.digest) for s in sources.sets},
        ratio=float(share),
        ratio_mode=ratio_mode,
        pool=pool if share else None,
        detector=detector.name,
        parameters=dict(detector.parameters),
        steps=length,
        batch=items,
        precision=precision,
        weights=None if pretrained is None else pretrained.digest,
        seed=seed,
        synth_seed=synth_seed if share else 0,
        select=select,
    )
    if select == BEST_ON_TEST:
        decides["select_every"] = every
    plan = Plan(
        decides,
        data,
        opened,
        normals,
        sources,
        share,
        test,
        where,
        detector.settings,
        pretrained,
        Path(runs),
        steps_mode,
    )
    if results.finished(plan.runs, decides) is None:
        test.refuse_unusable(progress)
        if select == BEST_ON_TEST:
            test.refuse_without_masks(protocol.select.metrics)
    return plan


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


def _check_choice(what: str, given: str, choices: Sequence[str]) -> None:
    if given not in choices:
        raise UserError(f"{what} {given!r} is unknown: choose {' or '.join(choices)}.")


def _check_stride(learner: Learner, geometry: Geometry) -> None:
    stride = learner.stride
    if geometry.height % stride or geometry.width % stride:
        raise UserError(
            f"{learner.name} needs image sides that are multiples of {stride}, and the store's "
            f"are {geometry}: make another, as in `asbench generate --store other --size 256`."
        )

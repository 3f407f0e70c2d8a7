"""Runs of several categories: each with a detector of its own, or one detector for all of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asbench.datasets import open_dataset
from asbench.detectors import resolve
from asbench.results import BEST_ON_TEST
from asbench.settings import TrainSettings
from asbench.training.plan import Plan, check_looks, plan_run
from asbench.training.planned import Planned, checked_seed
from synth_store import Joined, UserError

EVERY = "all"
"""In place of a category: every one of the data set."""
CHOSEN = "chosen_on_few_shot"


@dataclass(frozen=True)
class JointPlan(Planned):
    """A run of one detector over several categories, each planned as if it were alone.

    A block of its stream is one block of each, so ratio and mixture are exact in every category,
    and a category weighs by its normals.
    """

    alone: tuple[Plan, ...]

    @property
    def parts(self) -> tuple[Plan, ...]:
        """The run category by category."""
        return self.alone

    @property
    def schedule(self) -> Joined:
        """The stream of items."""
        seed = self.training.seed
        return Joined(tuple(part.with_seed(seed).schedule for part in self.alone), seed)


def plan_any(training: TrainSettings) -> Plan | JointPlan:
    """Settle a run of one category or, where `training.joint` says so, of several together."""
    if not training.joint:
        return plan_run(training)
    named = training.category.split(",") if training.category is not None else None
    return plan_joint(training, None if named is None else [name.strip() for name in named])


def plan_joint(training: TrainSettings, categories: Sequence[str] | None) -> JointPlan:
    """Settle the run of one detector over several categories of a data set.

    categories: None, or `all` among them, for every one. Steps are the sum of what each would train
    alone, unless they are stated. Raises what `plan_run` raises of any of them, and UserError where
    there is only one, where the mix comes down to other sets in one than in another, and for the
    scores of published code, which knows one category at a time.
    """
    known = open_dataset(training.dataset, name=training.name).categories()
    named = list(dict.fromkeys(known if EVERY in (categories or (EVERY,)) else categories or ()))
    if len(named) < 2:
        raise UserError(
            f"--joint trains one detector over several categories, and {', '.join(named)} is one: "
            f"name more of {', '.join(known)} with --category a,b, or leave --joint out."
        )
    if training.parity:
        raise UserError(
            "published code scores one category at a time, so --parity says nothing of a joint "
            "run: leave one of the two out, or ask `asbench evaluate RUN --category ... --parity`."
        )
    ordered = sorted(named, key=lambda name: known.index(name) if name in known else -1)
    alone = dataclasses.replace(training, joint=False, settings=_settings(training, len(ordered)))
    parts = tuple(plan_run(dataclasses.replace(alone, category=name)) for name in ordered)
    first = parts[0]
    mixes = {str(part.training.mixture): part.training.category for part in parts}
    if len(mixes) > 1:
        told = ", ".join(f"{mix} for {category}" for mix, category in mixes.items())
        raise UserError(
            f"a joint run has one mixture, and here it comes down to {told}: name stored methods "
            "that all categories have, variants in full."
        )
    steps = first.training.steps
    if training.steps is None:
        steps = sum(part.training.steps or 0 for part in parts)
    every = training.select_every
    if training.select == BEST_ON_TEST and every is None:
        every = sum(part.training.select_every or 0 for part in parts)
        check_looks(every, steps or 0)
    settled = dataclasses.replace(
        first.training,
        category=",".join(ordered),
        joint=True,
        steps=steps,
        select_every=every,
        chosen_on_few_shot=any(part.training.chosen_on_few_shot for part in parts),
    )
    data, store, device, pretrained = first.data, first.store, first.device, first.pretrained
    return JointPlan(settled, _digests(parts), data, store, device, pretrained, parts)


def _settings(training: TrainSettings, count: int) -> Mapping[str, Any] | None:
    """Return the detector's parameters: its memory is of as many patches of each as alone."""
    _, parameters = resolve(training.detector, training.settings)
    if "remembered" not in parameters or "remembered" in (training.settings or {}):
        return training.settings
    many = parameters["remembered"] * count
    training.notify(
        f"{training.detector} remembers {many} patches of {count} categories together: as many of "
        "each as alone (--set remembered=N for another number)"
    )
    return {**(training.settings or {}), "remembered": many}


def plan_all(
    training: TrainSettings, categories: Sequence[str] | None, seeds: Sequence[int]
) -> list[Plan | JointPlan]:
    """Settle every run of some categories and training seeds, category by category or together.

    So a refusal of any of them wastes no training. categories: None takes the first, and `all`
    among them every one; of joint runs None takes every one too. `training.notify` hears what was
    taken, and of each run what it will see. Raises what `plan_run` and `plan_joint` raise.
    """
    known = open_dataset(training.dataset, name=training.name).categories()
    if not categories and len(known) > 1 and not training.joint:
        training.notify(
            f"category {known[0]} of {', '.join(known)} (--category all trains every one)"
        )
    if "@" in training.detector:
        training.notify(
            f"{training.detector} is a reduced or changed network: not to be held against papers"
        )
    begun = dataclasses.replace(training, seed=checked_seed(seeds[0]))
    plans: list[Plan | JointPlan] = []
    if training.joint:
        together = plan_joint(begun, categories)
        plans += [together.with_seed(seed) for seed in seeds]
    else:
        for category in known if EVERY in (categories or ()) else categories or known[:1]:
            plan = plan_run(dataclasses.replace(begun, category=category))
            plans += [plan.with_seed(seed) for seed in seeds]
    for one in plans:
        training.notify(str(one))
    return plans


def _digests(parts: Sequence[Plan]) -> dict[str, Any]:
    """Return what decides a joint run beside its settings: of each category, and of all."""
    own = ("normals", "test", "sets", "excluded", CHOSEN)
    by_category = {
        str(part.training.category): {k: part.digests[k] for k in own if k in part.digests}
        for part in parts
    }
    every = list(by_category.values())
    methods = parts[0].digests["sets"]
    return {
        **{k: v for k, v in parts[0].digests.items() if k not in own},
        "normals": _of_all(one["normals"] for one in every),
        "test": _of_all(one["test"] for one in every),
        "sets": {method: _of_all(one["sets"][method] for one in every) for method in methods},
        "joint": by_category,
        **({CHOSEN: True} if any(CHOSEN in one for one in every) else {}),
    }


def _of_all(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()

"""The fitting loop of every learned synthesizer: stage after stage, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.nets import checkpoint
from asbench.nets.seeds import address_generator, address_seed, private_rng, seed_rng
from synth_store.types import UserError

CHECKPOINT_SECONDS = 300.0
"""Between two checkpoints: by the clock, since a step takes milliseconds or seconds."""
CURVE = 500
"""About how many points of every loss curve are kept."""

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Loss by `stage/name`: (step of the stage, value)."""


@dataclass(frozen=True)
class Fitting:
    """What a fit left behind besides the weights: losses, seconds of all sessions, done or not."""

    curves: Curves
    seconds: float
    steps: int
    done: bool


def fit(
    model: LearnedModel,
    stages: Sequence[FitStage],
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    progress: Callable[[str, int, int], None],
    notify: Callable[[str], None],
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    stop: Callable[[], bool] | None = None,
) -> Fitting:
    """Run all stages in place, or on from the folder's checkpoint.

    seed: with stage and step it seeds the generator each step draws from and torch's global ones,
    so a resumed fit needs no generator's state; bit for bit on CPU with as many threads. progress:
    called with the stage's name, steps done and steps in all. notify: told when it
    goes on. stop: asked before every step; when
    true, a checkpoint is written and `done` is False. Raises UserError where a loss is not finite.
    """
    total = sum(stage.steps for stage in stages)
    past = checkpoint.peek(folder)
    at, seconds = 0, 0.0
    curves: dict[str, list[tuple[int, float]]] = {}
    if past is not None:
        at, seconds = past["step"], past["seconds"]
        curves = {name: [(int(s), float(v)) for s, v in c] for name, c in past["curves"].items()}
        checkpoint.restore(folder, past, model, _stage(stages, at)[0])
        notify(f"the fit in {folder.parent} continues from step {at} of {total}")
    began = saved = time.perf_counter()

    def save(step: int) -> Fitting:
        """Commit the state before `step`."""
        spent = seconds + time.perf_counter() - began
        stage, _ = _stage(stages, step)
        checkpoint.write(folder, model, stage, step, {"curves": curves, "seconds": spent})
        return Fitting(curves, spent, step, done=step == total)

    with private_rng(device):
        for step in range(at, total):
            if stop is not None and stop():
                return save(step)
            stage, within = _stage(stages, step)
            address = ("fit", seed, stage.name, within)
            seed_rng(address_seed("torch", *address), device)
            if within == 0:
                stage.begin()
            losses = stage.step(within, address_generator(*address))
            if within % max(1, stage.steps // CURVE) == 0 or within + 1 == stage.steps:
                _keep(curves, stage, within, losses)
            progress(stage.name, step + 1, total)
            if time.perf_counter() - saved > checkpoint_seconds and step + 1 < total:
                save(step + 1)
                saved = time.perf_counter()
    return save(total)


def _stage(stages: Sequence[FitStage], step: int) -> tuple[FitStage, int]:
    """Return the stage of a step and the step's number within it; the last stage after the end."""
    for stage in stages[:-1]:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return stages[-1], step


def _keep(
    curves: dict[str, list[tuple[int, float]]],
    stage: FitStage,
    step: int,
    losses: Mapping[str, torch.Tensor],
) -> None:
    for name, loss in losses.items():
        value = float(loss)
        if not math.isfinite(value):
            raise UserError(
                f"the loss {name!r} became {value} at step {step} of {stage.steps} of the stage "
                f"{stage.name!r}: try a smaller learning rate (--set lr=...)."
            )
        curves.setdefault(f"{stage.name}/{name}", []).append((step, value))

"""The training loop of every detector."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from asbench.grid.memory import freed_memory_kept
from asbench.nets import checkpoint
from asbench.nets.checkpoint_writer import CheckpointWriter
from asbench.nets.detector import Batch, Detector, Stage
from asbench.nets.device import tuned
from asbench.nets.features import FeatureBatch
from asbench.nets.seeds import address_generator, address_seed, private_rng, seed_rng
from asbench.training.compiling import CompiledLoss
from asbench.training.selection import BestOnTest
from synth_store.types import UserError

Precision = Literal["fp32", "bf16"]
"""fp32: torch's own settings (on CUDA its convolutions may use TF32). bf16: autocast."""

CURVE = 1000
"""About how many points of the loss curve are kept, however long the training."""
CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints, by the clock: what a killed training loses, about."""


@dataclass(frozen=True)
class Trajectory:
    """What a training left behind besides the weights.

    losses: (step, loss) of evenly spaced steps; seconds: wall-clock time of all sessions together;
    steps: optimiser steps done; done: False if `stop` ended it early.
    """

    losses: tuple[tuple[int, float], ...]
    seconds: float
    steps: int
    done: bool


def fit(
    detector: Detector,
    batch_at: Callable[[int], Batch | FeatureBatch],
    *,
    steps: int,
    seed: int,
    device: torch.device | str,
    folder: Path,
    precision: Precision = "fp32",
    compiled: bool = False,
    progress: Callable[[int, float], None] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    checkpoint_every: int | None = None,
    stop: Callable[[], bool] | None = None,
    best: BestOnTest | None = None,
) -> Trajectory:
    """Train a detector in place for `steps` optimiser steps, or on from the folder's checkpoint.

    Args:
        detector: moved to `device`; `prepare` must have been called.
        batch_at: gives the batch of a step on the device; a pure function of the step.
        seed: with the step it seeds the augmentation and torch's global generators (dropout), so
            a resumed training needs no generator's state; the global generators come back as found.
        folder: of the checkpoints; resumed from if it holds one, bit for bit on CPU with the same
            number of threads. A finished one returns at once.
        compiled: whether steps go through torch.compile; the first of every stage is checked.
        progress: called with (steps done, last loss) from time to time.
        checkpoint_seconds: between two checkpoints, by the clock, at least; they take at most a
            hundredth of the time, and a thread writes them. There is always one at the end.
        checkpoint_every: steps after which one is written at once, besides; None for never.
        stop: asked before every step; when true, a checkpoint is written and `done` is False.
        best: looks at the detector after every step and keeps the weights it thinks best.

    Raises UserError if the loss is not finite, if the folder's checkpoint is of another training,
    or if an argument is out of range.
    """
    check(steps, precision, checkpoint_every)
    device = torch.device(device)
    # Channels-last is what tensor cores and oneDNN want; it changes speed, not meaning.
    detector.to(device=device)
    detector.to(memory_format=torch.channels_last)
    stages = detector.stages(steps)
    ends = stage_ends(stages, steps)
    training = {
        "detector": type(detector).__name__,
        "stages": [stage.name for stage in stages],
        "steps": steps,
        "seed": seed,
        "precision": precision,
        **({"compiled": True} if compiled else {}),
    }
    past = resume(folder, training, detector, stages, ends)
    curve = LossCurve(past.losses, steps, at_once=1 if device.type == "cpu" else 20)
    began = time.perf_counter()

    def save(step: int, *, at_once: bool = True) -> Trajectory:
        """Commit the state before `step`; unless `at_once`, by a thread."""
        curve.read()  # a state behind a loss that is not finite is never committed
        seconds = past.seconds + time.perf_counter() - began
        facts = {"training": training, "losses": curve.points, "seconds": seconds}
        kept = {} if best is None else {"best": best.facts}
        stage = stages[stage_of(step, ends)]
        state = checkpoint.state_of(detector, stage, step, facts | kept)
        if at_once or best is not None:  # the best weights are dropped behind a checkpoint alone
            writer.now(state)
        else:
            writer.later(state)
        if best is not None:
            best.committed()
        return Trajectory(tuple(curve.points), seconds, step, done=step == steps)

    now, current = past, None
    writing = CheckpointWriter(folder, checkpoint_seconds)
    with writing as writer, private_rng(device), tuned(device), freed_memory_kept():
        for step in range(past.steps, steps):
            if stop is not None and stop():
                return save(step)

            stage = stages[stage_of(step, ends)]
            if stage is not current:
                current, loss_of = stage, stage.loss
                if compiled:
                    loss_of = CompiledLoss(stage.loss, detector, precision)
                detector.eval()
                for part in stage.trains:
                    part.train()

            batch = batch_at(step)
            if isinstance(batch, Batch):
                batch = _augmented(detector, batch, seed, step)

            seed_rng(address_seed("step", seed, step), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_of(batch)
            detector.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in stage.optimizers:
                optimizer.step()
            for schedule in stage.schedules:
                schedule.step()

            if curve.add(step, loss.detach()) and progress is not None:
                progress(step + 1, curve.last)
            if best is not None:
                best.look(detector, step + 1)
            if step + 1 == steps or (checkpoint_every and (step + 1) % checkpoint_every == 0):
                now = save(step + 1)
            elif writer.due():
                save(step + 1, at_once=False)
    return now


def _augmented(detector: Detector, batch: Batch, seed: int, step: int) -> Batch:
    """Return the batch as the detector's protocol changes base images, its images channels-last."""
    augment = detector.protocol.augment
    if augment is not None:
        batch = augment(batch, address_generator("augment", seed, step))
    return replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))


class LossCurve:
    """The losses of a training: every one is checked, about `CURVE` are kept.

    points: (step, loss) of evenly spaced steps. Losses wait on the device and are read `at_once`
    together, because reading one makes the host wait for the GPU.
    """

    def __init__(self, points: Iterable[tuple[int, float]], steps: int, at_once: int) -> None:
        self.points = list(points)
        self.last = math.nan
        self._steps, self._at_once = steps, at_once
        self._waiting: list[tuple[int, Tensor]] = []

    def add(self, step: int, loss: Tensor) -> bool:
        """Take in the loss of a step; return True if it and those before it have been read."""
        self._waiting.append((step, loss))
        if len(self._waiting) < self._at_once:
            return False
        self.read()
        return True

    def read(self) -> None:
        """Read what waits; raises UserError at the first loss that is not finite."""
        if not self._waiting:
            return
        steps, losses = zip(*self._waiting, strict=True)
        self._waiting.clear()
        for step, value in zip(steps, torch.stack(losses).tolist(), strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"the loss became {value} at step {step} of {self._steps}: try a smaller "
                    "learning rate (--set lr=...), or --precision fp32 if this was bf16."
                )
            if step % max(1, self._steps // CURVE) == 0:
                self.points.append((step, value))
            self.last = value


def stage_ends(stages: Sequence[Stage], steps: int) -> tuple[int, ...]:
    """Return the step after the last of every stage: cumulative shares, rounded; the last `steps`.

    Raises ValueError unless the shares add to 1.
    """
    shares = [math.fsum(stage.share for stage in stages[: i + 1]) for i in range(len(stages))]
    if not math.isclose(shares[-1], 1.0):
        raise ValueError(f"the shares of the stages add to {shares[-1]}, not 1")
    return (*(round(share * steps) for share in shares[:-1]), steps)


def stage_of(step: int, ends: Sequence[int]) -> int:
    """Return which stage trains at `step`; the last one for the step after the end."""
    return next((i for i, end in enumerate(ends) if step < end), len(ends) - 1)


def check(steps: int, precision: str, checkpoint_every: int | None = None) -> None:
    """Raise UserError for an argument of `fit` that is out of range."""
    if steps < 1:
        raise UserError(f"{steps} training steps are too few: at least 1.")
    if precision not in get_args(Precision):
        choices = " or ".join(get_args(Precision))
        raise UserError(f"precision {precision!r} is unknown: choose {choices}.")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise UserError(f"a checkpoint every {checkpoint_every} steps is impossible: at least 1.")


def resume(
    folder: Path,
    training: dict[str, Any],
    detector: Detector,
    stages: Sequence[Stage],
    ends: Sequence[int],
) -> Trajectory:
    """Restore the folder's checkpoint if there is one; return the trajectory up to it."""
    commit = checkpoint.peek(folder)
    if commit is None:
        return Trajectory((), 0.0, 0, done=False)
    begun = {"compiled": False, **commit["training"]}
    for key, value in {"compiled": False, **training}.items():
        if begun[key] != value:
            raise UserError(
                f"the checkpoint in {folder} is of another training: its {key} is "
                f"{begun[key]!r}, not {value!r}. Name another folder or delete it."
            )
    step = commit["step"]
    checkpoint.restore(folder, commit, detector, stages[stage_of(step, ends)])
    losses = tuple((int(at), float(value)) for at, value in commit["losses"])
    return Trajectory(losses, commit["seconds"], step, done=step == ends[-1])

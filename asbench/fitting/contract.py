"""The contract of a learned synthesizer's networks: fitted stage by stage, then asked to render."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from asbench.nets.weights import load_tensors, refuse_not_finite, save_tensors
from asbench.types import Canvas, LearnedSynthesizer, Subject
from synth_store import Sample, UserError


def _nothing() -> None:
    """Begin a stage that needs no beginning."""


@dataclass(frozen=True)
class FitStage:
    """One leg of fitting.

    step: does one optimisation step (forward, backward, optimisers and schedules) and returns its
    losses by name, detached; called with the step's number within the stage and a CPU generator
    that is a function of seed, stage and step. Besides these it depends on the model's parameters
    and buffers and on the optimisers alone, so that a fit resumes exactly.
    optimizers, schedules: what `step` uses, for checkpoints; their parameters are the model's.
    begin: called once, before the stage's first step, and not when it resumes (copying an earlier
    stage's networks). Stages are all made before the first one runs.
    """

    name: str
    steps: int
    step: Callable[[int, torch.Generator], Mapping[str, Tensor]]
    optimizers: tuple[Optimizer, ...]
    schedules: tuple[LRScheduler, ...] = ()
    begin: Callable[[], None] = field(default=_nothing)


class LearnedModel(nn.Module, ABC):
    """Networks of a learned synthesizer.

    Everything that fitting changes is a parameter or a buffer, at the latest once `stages` was
    called. Weights are initialised from torch's default generator, which the caller seeds.
    """

    method: LearnedSynthesizer
    """The parameters it renders with, given by `build`; a joint model is handed those of another
    category, which may differ where fitting does not look."""

    @abstractmethod
    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        """Return the legs of fitting on these categories; the model is on its device already."""

    @abstractmethod
    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        """Return one sample per canvas, as `Renderer` says; called in eval mode, without gradients.

        All noise is drawn on the CPU, each sample's from the generator at its own place. The number
        of canvases is the method's `batch`, always: the stage pads.
        """

    def kept(self) -> Mapping[str, Tensor]:
        """Return what rendering needs, by its name in `state_dict`: by default everything.

        Discriminators and raw weights beside their averages need not be kept, nor pretrained
        networks that stay as they were.
        """
        return self.state_dict()


def save_kept(model: LearnedModel, path: Path) -> None:
    """Write what rendering needs as one safetensors file, by rename."""
    save_tensors(model.kept(), path)


def load_kept(model: LearnedModel, path: Path) -> None:
    """Put back what `save_kept` wrote; raises UserError for the first misfit."""
    tensors, kept = load_tensors(path), model.kept()
    refuse_not_finite(tensors, path)
    for name in sorted(tensors.keys() | kept.keys()):
        there, here = tensors.get(name), kept.get(name)
        if there is None or here is None or there.shape != here.shape:
            raise UserError(
                f"{path} does not fit this {type(model).__name__}: {name!r} is {_shape(there)} "
                f"there and {_shape(here)} here. Fit it again with `asbench fit --replace`."
            )
    model.load_state_dict(tensors, strict=False)


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(tuple(tensor.shape))

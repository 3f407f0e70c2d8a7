"""The contract of a detector: what one loop needs to train any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from asbench.results import METRICS


@dataclass(frozen=True)
class Batch:
    """What a training step sees; everything on the training device.

    image, clean: float32 (B, 3, H, W) in [0, 1], RGB; mask: float32 (B, 1, H, W) in {0, 1}.
    For a normal item image equals clean and the mask is zero.
    """

    image: Tensor
    clean: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Selection:
    """How published training code chooses a checkpoint on the test set.

    It keeps the weights with the highest sum of `metrics` (names of `asbench.results.METRICS`) and
    looks every `steps` optimiser steps, or every `epochs`: exactly one of the two is set.
    """

    metrics: tuple[str, ...] = ("image_auroc", "pixel_ap")
    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"exactly one of steps and epochs must be set: {self}")
        if not self.metrics or not set(self.metrics) <= set(METRICS):
            raise ValueError(f"metrics must be some of {METRICS}, not {self.metrics}")


@dataclass(frozen=True)
class Protocol:
    """How a detector's authors train it.

    Exactly one of `steps` and `epochs` is set; an epoch is one pass over the category's normals.
    `steps` 0: nothing is trained, `prepare` is all there is to it, and `stages` returns none.
    `ratio`: their share of anomalous items. `augment`: their change of the base image, alike on
    image, clean and mask; draws from the (CPU) generator alone; None where they do nothing.
    `select`: what `--select best-on-test` does; nothing is chosen on the test set without it.
    `seconds`: a guess for what a study will take: of a training step per image of 256x256, on a
    core and on a GPU of 40 TFLOP/s; of a detector of no steps that of one, all it does counted. A
    variant's protocol without it takes the detector's own.
    """

    batch: int
    ratio: float
    steps: int | None = None
    epochs: int | None = None
    augment: Callable[[Batch, torch.Generator], Batch] | None = None
    select: Selection = Selection(epochs=1)
    seconds: tuple[float, float] | None = None

    def steps_for(self, normals: int) -> int:
        """Return the number of optimiser steps for a category of `normals` training images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * self._epoch(normals)

    def select_every(self, normals: int) -> int:
        """Return the steps between two looks at the test set, for `normals` training images."""
        if self.select.steps is not None:
            return self.select.steps
        assert self.select.epochs is not None
        return self.select.epochs * self._epoch(normals)

    def _epoch(self, normals: int) -> int:
        return -(-normals // self.batch)


@dataclass(frozen=True)
class Stage:
    """One leg of training. Its length is `share` of all steps; the shares of a detector add to 1.

    `trains` are put in train mode, everything else in eval mode. `loss` maps a batch to a scalar: a
    `Batch`, or of a detector on features also the `FeatureBatch` that its sampler gives.
    `schedules` are stepped once after every optimiser step; they are made for `steps` steps.
    """

    name: str
    share: float
    trains: tuple[nn.Module, ...]
    optimizers: tuple[Optimizer, ...]
    schedules: tuple[LRScheduler, ...]
    loss: Callable[[Any], Tensor]


@dataclass(frozen=True)
class Backbone:
    """The pretrained network a detector starts from.

    network: its name in `--weights NAME=PATH`; layers: those it takes, by their names there.
    folded: whether weights whose batch norm is folded will do, which needs every layer in eval
    mode throughout. instead: which variants do without, for the refusal when there are none.
    """

    network: str
    layers: tuple[str, ...]
    folded: bool
    instead: str


class Detector(nn.Module, ABC):
    """An anomaly detector: a dataclass (`@dataclass(eq=False)`) whose fields are its parameters.

    Networks are made in `__post_init__`, after `super().__init__()`. Weights are initialised from
    torch's default generator: the training stage seeds it (inside a fork of the global state)
    before it builds the detector.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    url: ClassVar[str]
    protocol: ClassVar[Protocol]
    stride: ClassVar[int]
    """Both image sides must be multiples of this."""
    version: ClassVar[int] = 1
    """Raised where equal parameters come to other scores than before: part of a run's id, so that
    no run of before passes for one of now."""
    bounded: ClassVar[bool] = False
    """Whether maps and scores lie in [0, 1], as probabilities do: thresholds then stay below 1."""
    flavour: ClassVar[str] = ""
    """How its published code scores: a name of `asbench.evaluation.parity`, empty for none."""

    @abstractmethod
    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the legs of a training of `steps` steps in all; none if nothing is trained."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map float32 (B, 3, H, W) images in [0, 1] to anomaly maps (B, H, W), higher = worse."""

    @abstractmethod
    def image_scores(self, maps: Tensor) -> Tensor:
        """Map anomaly maps (B, H, W) to one score per image (B,), by the authors' rule."""

    def maps_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` and `image_scores` do, (B, H, W) and (B,).

        Overridden where the score of an image is not a function of its map alone.
        """
        maps = self(images).float()
        return maps, self.image_scores(maps).float()

    def backbone(self) -> Backbone | None:
        """Return the pretrained network it starts from at these parameters; None for none."""
        return None

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the weights of `backbone()`'s layers, under the network's own names.

        Called once, before `prepare`. A trained detector's own weights hold them too.
        """

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        """Look at the training normals, uint8 (N, 3, H, W), before the first step.

        What is kept (a memory bank) must be a buffer, so that checkpoints carry it.
        """

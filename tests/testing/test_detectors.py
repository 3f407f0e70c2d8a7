"""The contract catches the detectors it is there to catch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from asbench.nets.detector import Batch, Detector, Protocol, Stage
from asbench.parameters import parameter
from asbench.testing import DetectorContract
from asbench.testing.detectors import ready

CONTRACT = DetectorContract()


@dataclass(eq=False)
class Sound(Detector):
    """A convolution of the distance from the mean normal."""

    title = "Sound"
    paper = "No paper: a test of contracts"
    url = "https://github.com/M-3LAB/ASBench"
    protocol = Protocol(batch=4, ratio=0.5, steps=10)
    stride = 2

    lr: float = parameter(0.01, "Learning rate.")

    def __post_init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 1, 3, padding=1)
        self.register_buffer("mean", torch.empty(0))

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        self.mean = (normals.float() / 255).mean((0, 2, 3))[:, None, None]

    def stages(self, steps: int) -> tuple[Stage, ...]:
        return (Stage("all", 1.0, (self,), (SGD(self.parameters(), self.lr),), (), self.loss),)

    def loss(self, batch: Batch) -> Tensor:
        logits = self.net(batch.image - self.mean)
        return F.binary_cross_entropy_with_logits(logits, batch.mask)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images - self.mean)[:, 0].sigmoid()

    def image_scores(self, maps: Tensor) -> Tensor:
        return maps.amax((1, 2))


class Forgetful(Sound):
    """What it looked at is no buffer."""

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        super().prepare(normals, generator)
        self.seen = self.mean.clone()

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + getattr(self, "seen", torch.zeros(1)).mean()


class Global(Sound):
    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        super().prepare(normals[torch.randperm(len(normals))], generator)


class Neighbourly(Sound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean())


class Drawing(Sound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.1 * torch.randn(images.shape))


class Inverted(Sound):
    def image_scores(self, maps: Tensor) -> Tensor:
        return -maps.amax((1, 2))


class Small(Sound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, ::2, ::2]


class Contrasty(Sound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images / images.std((1, 2, 3), keepdim=True))


class Counting(Sound):
    """A warm-up that is counted outside of what checkpoints hold."""

    count = 0

    def loss(self, batch: Batch) -> Tensor:
        self.count += 1
        return super().loss(batch) * self.count


class Halved(Sound):
    def stages(self, steps: int) -> tuple[Stage, ...]:
        return (Stage("all", 0.5, (self,), (SGD(self.parameters(), 0.1),), (), self.loss),)


@dataclass
class Compared(Sound):
    """The decorator's own comparison takes its hash."""


@dataclass(eq=False)
class Undocumented(Sound):
    width: int = 3


def holds(test: str, detector: Detector, tmp_path: Path, **arguments: Any) -> bool:
    given: dict[str, Any] = {"detector": detector, "tmp_path": tmp_path}
    told = getattr(CONTRACT, test)
    wanted = told.__code__.co_varnames[1 : told.__code__.co_argcount]
    try:
        if "prepared" in wanted:
            given["prepared"] = ready(detector)
        told(**{name: given[name] for name in wanted if name in given}, **arguments)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("test", "faulty"),
    [
        ("test_says_what_it_is_and_what_its_parameters_mean", Compared),
        ("test_says_what_it_is_and_what_its_parameters_mean", Undocumented),
        ("test_its_protocol_can_be_followed", Halved),
        ("test_prepare_keeps_all_it_knows_in_buffers", Forgetful),
        ("test_prepare_keeps_all_it_knows_in_buffers", Global),
        ("test_an_image_does_not_depend_on_its_neighbours", Neighbourly),
        ("test_an_image_does_not_depend_on_its_neighbours", Drawing),
        ("test_a_worse_map_has_a_higher_score", Inverted),
        (
            "test_a_training_that_is_stopped_at_every_step_ends_in_the_same_weights",
            Counting,
        ),
    ],
)
def test_a_fault_is_found(test: str, faulty: type[Detector], tmp_path: Path) -> None:
    assert holds(test, Sound(), tmp_path / "sound")
    assert not holds(test, faulty(), tmp_path / "faulty")


def test_maps_that_are_no_maps_are_found(tmp_path: Path) -> None:
    test = "test_maps_have_the_images_size"
    assert holds(test, Sound(), tmp_path, shape=(1, 3), count=2)
    assert not holds(test, Small(), tmp_path, shape=(1, 3), count=2)
    test = "test_images_without_colour_or_content_get_finite_scores"
    assert holds(test, Sound(), tmp_path, kind="constant")
    assert not holds(test, Contrasty(), tmp_path, kind="constant")

"""Distance: how far a pixel is from the mean normal, without any training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from asbench.nets.detector import Detector, Protocol, Stage
from asbench.parameters import parameter

VARIANTS = {"sharp": {"power": 2.0}}


@dataclass(eq=False)
class Distance(Detector):
    """The mean normal is all it remembers."""

    title = "Distance"
    paper = "No paper: a test of plugins"
    url = "https://github.com/M-3LAB/ASBench"
    protocol = Protocol(batch=8, ratio=0.0, steps=0)
    stride = 1

    power: float = parameter(1.0, "Exponent of the distance.")

    def __post_init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        self.mean = (normals.float() / 255).mean((0, 2, 3))[:, None, None]

    def stages(self, steps: int) -> tuple[Stage, ...]:
        return ()

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean).abs().mean(1) ** self.power

    def image_scores(self, maps: Tensor) -> Tensor:
        return maps.amax((1, 2))

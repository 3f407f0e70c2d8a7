"""Defect-GAN's generator and critic."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 3
"""Halvings of the image in the generator."""
SLOPE = 0.01
NOISE = 0.1
"""The weights of noise at the beginning."""


class Painted(NamedTuple):
    """What the generator makes of images: float (N, 3, s, s) in [-1, 1], and (N, 1, s, s).

    image: the composition; paint: f; map: m, in [0, 1].
    """

    image: Tensor
    paint: Tensor
    map: Tensor


class Noise(nn.Module):
    """Adds noise, the same to all channels but for weights of their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1, 1), NOISE))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """x: (N, C, h, w); noise: (N, 1, h, w)."""
        return x + self.weight * noise


class Spade(nn.Module):
    """Normalises features image by image, then scales and shifts them pixel by pixel."""

    def __init__(self, channels: int, planes: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Conv2d(planes, hidden, 5, padding=2)
        self.scale = nn.Conv2d(hidden, channels, 5, padding=2)
        self.shift = nn.Conv2d(hidden, channels, 5, padding=2)

    def forward(self, x: Tensor, control: Tensor) -> Tensor:
        at = F.interpolate(control, x.shape[-2:], mode="area")
        told = F.relu(self.shared(at))
        return torch.addcmul(self.shift(told), self.norm(x), 1 + self.scale(told))


class Residual(nn.Module):
    """Two 3x3 convolutions beside the features they are added to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.inner(x)
        return added


class Down(nn.Sequential):
    """Half the size, other channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.ReLU(inplace=True),
        )


class Up(nn.Module):
    """Twice the size, other channels, told by the control map, with noise."""

    def __init__(self, inputs: int, outputs: int, planes: int, hidden: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
        self.first, self.second = (Spade(outputs, planes, hidden) for _ in range(2))
        self.one = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.other = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.noise = Noise(outputs)

    def forward(self, x: Tensor, control: Tensor, noise: Tensor) -> Tensor:
        x = self.enlarge(x)
        inner = self.one(F.leaky_relu(self.first(x, control), SLOPE))
        inner = self.other(F.leaky_relu(self.second(inner, control), SLOPE))
        added: Tensor = self.noise(x + inner, noise)
        return added


class Generator(nn.Module):
    """Defaces or restores, as the control map says.

    near: what is painted begins as the image, to which the last layer adds.
    """

    def __init__(
        self, width: int, blocks: int, planes: int, hidden: int, *, near: bool = False
    ) -> None:
        super().__init__()
        self.near = near
        channels = [width << level for level in range(LEVELS + 1)]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 7, padding=3), nn.ReLU(inplace=True))
        self.downs = nn.ModuleList(Down(a, b) for a, b in pairwise(channels))
        self.noises = nn.ModuleList(Noise(c) for c in channels[1:])
        self.middle = nn.Sequential(*(Residual(channels[-1]) for _ in range(blocks)))
        back = channels[::-1]
        self.ups = nn.ModuleList(Up(a, b, planes, hidden) for a, b in pairwise(back))
        self.paint = nn.Conv2d(width, 3, 7, padding=3)
        self.map = nn.Conv2d(width, 1, 7, padding=3)

    def forward(
        self, images: Tensor, control: Tensor, noise: list[Tensor], gate: Tensor | None = None
    ) -> Painted:
        """Return what becomes of images.

        images: (N, 3, s, s); control: (N, planes, s, s) of 0 and 1; noise: as `noise_shapes` says;
        gate: (N, 1, s, s) of 0 and 1, where the map may be open; None for anywhere.
        """
        x = self.stem(images)
        for down, add, drawn in zip(self.downs, self.noises, noise, strict=False):
            x = add(down(x), drawn)
        x = self.middle(x)
        for up, drawn in zip(self.ups, noise[LEVELS:], strict=True):
            x = up(x, control, drawn)
        paint, opened = torch.tanh(self.paint(x)), torch.sigmoid(self.map(x))
        if self.near:
            paint = (images + paint).clamp(-1, 1)
        if gate is not None:
            opened = opened * gate
        return Painted(torch.lerp(images, paint, opened), paint, opened)


def noise_shapes(side: int) -> list[tuple[int, int, int]]:
    """Return the shapes of one image's noise, from the first layer to the last."""
    down = [side >> level for level in range(1, LEVELS + 1)]
    up = [side >> level for level in reversed(range(LEVELS))]
    return [(1, s, s) for s in (*down, *up)]


class Critic(nn.Module):
    """Judges patches, and says of which type an image is."""

    def __init__(self, side: int, width: int, levels: int, types: int) -> None:
        super().__init__()
        levels = min(levels, side.bit_length() - 2)
        layers: list[nn.Module] = []
        channels = 3
        for level in range(levels):
            layers += [
                nn.Conv2d(channels, width << level, 4, stride=2, padding=1),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
            channels = width << level
        self.layers = nn.Sequential(*layers)
        self.realness = nn.Conv2d(channels, 1, 3, padding=1)
        self.types = nn.Conv2d(channels, types, side >> levels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return how real images are, (N,), and the logits of their types, (N, types)."""
        x = self.layers(images)
        return self.realness(x).mean(dim=(1, 2, 3)), self.types(x).flatten(1)

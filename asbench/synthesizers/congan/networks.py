"""A self-attention GAN of small crops: residual blocks, spectral norms, one attention.

Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

PLANES = 4
"""Red, green, blue, and the mask."""
START = 4
"""Side of the generator's first features."""


def conv(into: int, out: int, side: int) -> nn.Module:
    """Return a convolution of spectral norm 1 that keeps the size."""
    made: nn.Module = spectral_norm(nn.Conv2d(into, out, side, padding=side // 2))
    return made


class Attention(nn.Module):
    """Features plus, by a weight that begins at 0, what they attend to at half the side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 8)
        self.query, self.key = conv(width, inner, 1), conv(width, inner, 1)
        self.value, self.out = conv(width, width // 2, 1), conv(width // 2, width, 1)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).transpose(1, 2)
        key, value = (F.max_pool2d(each(x), 2).flatten(2) for each in (self.key, self.value))
        looked = (query @ key).softmax(dim=-1) @ value.transpose(1, 2)
        found: Tensor = self.out(looked.transpose(1, 2).unflatten(2, x.shape[2:]))
        return x + self.weight * found


class Normed(nn.Module):
    """Batch norm whose scale and shift depend on the type."""

    def __init__(self, width: int, types: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale, self.shift = nn.Embedding(types, width), nn.Embedding(types, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, types: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        scale: Tensor = self.scale(types)[..., None, None]
        return torch.addcmul(self.shift(types)[..., None, None], y, scale)


class Wider(nn.Module):
    """Features to ones of twice the side."""

    def __init__(self, into: int, out: int, types: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList((Normed(into, types), Normed(out, types)))
        self.first, self.second = conv(into, out, 3), conv(out, out, 3)
        self.beside = conv(into, out, 1)

    def forward(self, x: Tensor, types: Tensor) -> Tensor:
        y = F.interpolate(F.relu(self.norms[0](x, types)), scale_factor=2)
        y = self.second(F.relu(self.norms[1](self.first(y), types)))
        return torch.add(y, self.beside(F.interpolate(x, scale_factor=2)))


class Narrower(nn.Module):
    """Features to ones of half the side."""

    def __init__(self, into: int, out: int, *, rectified: bool) -> None:
        super().__init__()
        self.rectified = rectified
        self.first, self.second = conv(into, out, 3), conv(out, out, 3)
        self.beside = conv(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.relu(x) if self.rectified else x)
        y = F.avg_pool2d(self.second(F.relu(y)), 2)
        beside: Tensor = F.avg_pool2d(self.beside(x), 2)
        return y + beside


class Generator(nn.Module):
    """Numbers, (N, latent), and types to crops with masks, (N, 4, side, side) in [-1, 1]."""

    def __init__(self, latent: int, widths: Sequence[int], types: int) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Linear(latent, widths[0] * START**2))
        outs = [*widths[1:], widths[-1]]
        self.blocks = nn.ModuleList(
            Wider(into, out, types) for into, out in zip(widths, outs, strict=True)
        )
        self.attention = Attention(widths[-1])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = conv(widths[-1], PLANES, 3)

    def forward(self, numbers: Tensor, types: Tensor) -> Tensor:
        x = self.first(numbers).unflatten(1, (-1, START, START))
        for place, block in enumerate(self.blocks):
            if place + 1 == len(self.blocks):  # at half of the side
                x = self.attention(x)
            x = block(x, types)
        crops: Tensor = torch.tanh(self.out(F.relu(self.norm(x))))
        return crops


class Judged(NamedTuple):
    """real: (N,); features: of every level, (N, c, h, w); place: on the sphere, (N, c)."""

    real: Tensor
    features: tuple[Tensor, ...]
    place: Tensor


class Discriminator(nn.Module):
    """Crops with masks to whether they are real, told the type."""

    def __init__(self, widths: Sequence[int], types: int) -> None:
        super().__init__()
        backwards = list(reversed(widths))
        intos = [PLANES, *backwards[:-1]]
        self.blocks = nn.ModuleList(
            Narrower(into, out, rectified=place > 0)
            for place, (into, out) in enumerate(zip(intos, backwards, strict=True))
        )
        self.attention = Attention(backwards[0])
        self.real = spectral_norm(nn.Linear(backwards[-1], 1))
        self.types = spectral_norm(nn.Embedding(types, backwards[-1]))

    def forward(self, crops: Tensor, types: Tensor) -> Judged:
        x, features = crops, []
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place == 0:
                x = self.attention(x)
            features.append(x)
        summed = F.relu(x).sum(dim=(2, 3))
        real = self.real(summed)[:, 0] + (self.types(types) * summed).sum(dim=1)
        return Judged(real, tuple(features), F.normalize(summed, dim=1))

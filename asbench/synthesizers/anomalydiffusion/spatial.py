"""AnomalyDiffusion's spatial encoder: a mask becomes a few words that say where it is.

A residual network in the manner of face recognition (batch norm first, PReLU, a first convolution
that keeps the size), a feature pyramid on its last three stages, and one head for each word.
Source: Hu et al., AnomalyDiffusion, AAAI 2024, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.01


class SpatialEncoder(nn.Module):
    """Masks, float (N, 1, side, side) of 0 and 1, to words, float (N, words, dim).

    width: of the first stage, doubled by each later one; units: residual units of the four stages,
    the first of each halving the side; side: a power of 2, 16 or more.
    """

    def __init__(self, side: int, width: int, units: Sequence[int], words: int, dim: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        widths = [width << stage for stage in range(4)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                Unit(widths[max(0, stage - 1)], channels, 2),
                *(Unit(channels, channels, 1) for _ in range(units[stage] - 1)),
            )
            for stage, channels in enumerate(widths)
        )
        top = widths[3]
        self.lateral = nn.ModuleList(nn.Conv2d(c, top, 1) for c in (widths[2], widths[1]))
        self.heads = nn.ModuleList(Head(side // 4, top, dim) for _ in range(words))

    def forward(self, masks: Tensor) -> Tensor:
        x = self.stem(masks.expand(-1, 3, -1, -1) * 2 - 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        for lateral, finer in zip(self.lateral, (features[2], features[1]), strict=True):
            beside = lateral(finer)
            x = beside + F.interpolate(x, beside.shape[-2:], mode="bilinear", align_corners=False)
        return torch.stack([head(x) for head in self.heads], dim=1)


class Unit(nn.Module):
    """Batch norm, convolution, PReLU, convolution, batch norm, beside a shortcut."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(into),
            nn.Conv2d(into, out, 3, padding=1, bias=False),
            nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.MaxPool2d(1, stride)
        if into != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.body(x) + self.shortcut(x))


class Head(nn.Module):
    """Convolutions that halve the side down to one pixel, then one equalised linear layer."""

    def __init__(self, side: int, into: int, dim: int) -> None:
        super().__init__()
        halvings = side.bit_length() - 1
        layers: list[nn.Module] = []
        for halving in range(halvings):
            channels = dim if halving else into
            layers += [nn.Conv2d(channels, dim, 3, 2, padding=1), nn.LeakyReLU(SLOPE)]
        self.down = nn.Sequential(*layers)
        self.weight = nn.Parameter(torch.randn(dim, dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.down(x).flatten(1)
        return F.linear(flat, self.weight / math.sqrt(flat.shape[1]), self.bias)

"""What a memory of normal patches keeps, and how far a patch is from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asbench.nets.device import full_precision

PROJECTED = 128
"""Dimensions in which the coreset is chosen."""
LAZY = 1024
"""Points that wait together until one of them may be the next."""
BLOCK = 2048
"""Remembered patches compared at once: bounds memory, changes no result but in the last bits."""


def greedy_coreset(
    points: Tensor, count: int, generator: torch.Generator, projected: int = PROJECTED
) -> Tensor:
    """Return the places of `count` of the points (N, C), each the farthest from those before it.

    The first is drawn, the others follow: int64 (count,), on the points' device. Distances are
    measured in a random projection to at most `projected` dimensions. Source: Roth et al.,
    algorithm 1; Sener and Savarese, Active learning for convolutional neural networks: a core-set
    approach, ICLR 2018; for the projection Johnson and Lindenstrauss.
    """
    if points.shape[1] > projected:
        shape = (points.shape[1], projected)
        points = points @ torch.randn(shape, generator=generator).to(points) / projected**0.5
    points = points - points.mean(dim=0)  # short vectors lose fewer digits in the products below
    lengths = points.square().sum(dim=1)
    at = int(torch.randint(len(points), (1,), generator=generator))
    # A distance only falls as points are chosen. So blocks of points wait, with the largest they
    # had, until one of theirs may be the farthest of all; then all that was chosen meanwhile is
    # compared with them in one product. A GPU compares everything at once.
    size = LAZY if points.device.type == "cpu" else len(points)
    blocks, norms = torch.split(points, size), torch.split(lengths, size)
    farthest = torch.split(torch.full_like(lengths, math.inf), size)
    largest, compared = np.full(len(blocks), np.inf), [0] * len(blocks)
    chosen = torch.empty(count, dtype=torch.int64)
    centres, norm = points.new_empty((count, points.shape[1])), lengths.new_empty(count)
    for place in range(count):
        chosen[place], centres[place], norm[place] = at, points[at], lengths[at]
        farthest[at // size][at % size] = -math.inf
        while compared[block := int(largest.argmax())] <= place:
            new = slice(compared[block], place + 1)
            products = torch.addmm(norm[new], blocks[block], centres[new].mT, alpha=-2)
            near = products.amin(dim=1) + norms[block]
            torch.minimum(farthest[block], near, out=farthest[block])
            largest[block], compared[block] = float(farthest[block].max()), place + 1
        at = block * size + int(farthest[block].argmax())
    return chosen.to(points.device)


class Nearest(NamedTuple):
    """How far points (...) are from the nearest patch, float32, and which that is, int64."""

    distance: Tensor
    place: Tensor


@dataclass(frozen=True)
class Bank:
    """Remembered patches, made ready to be compared with: float32, about their own middle (C,).

    patches: (K, C); lengths: (K,), squared.
    """

    middle: Tensor
    patches: Tensor
    lengths: Tensor

    @staticmethod
    def of(patches: Tensor) -> Bank:
        """Make patches (K, C) ready."""
        patches = patches.float()
        middle = patches.mean(dim=0)  # short vectors lose fewer digits in the products below
        patches = patches - middle
        return Bank(middle, patches, patches.square().sum(dim=1))

    def distances(self, points: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return the Euclidean distance of each point (P, C) from the nearest patch: float32 (P,).

        hidden: bool (K,), which patches do not count. In float32, also under autocast.
        """
        with full_precision(points.device):
            points = points.float() - self.middle
            least = torch.stack([part.amin(dim=1) for part in self._compared(points, hidden)])
            return _rooted(least.amin(dim=0), points)

    def nearest(self, points: Tensor, hidden: Tensor | None = None) -> Nearest:
        """Return the same distances, and the place in the bank of the patch that is nearest."""
        with full_precision(points.device):
            points = points.float() - self.middle
            parts = [_least(part) for part in self._compared(points, hidden)]
            values, places = (torch.stack(each) for each in zip(*parts, strict=True))
            least, block = values.min(dim=0)
            place = places.gather(0, block[None])[0] + block * BLOCK
            return Nearest(_rooted(least, points), place)

    def _compared(self, points: Tensor, hidden: Tensor | None) -> Iterator[Tensor]:
        """Yield |p - b|^2 but for |p|^2, some patches at once: one product of two matrices."""
        lengths = self.lengths if hidden is None else self.lengths.masked_fill(hidden, math.inf)
        both = zip(torch.split(self.patches, BLOCK), torch.split(lengths, BLOCK), strict=True)
        return (torch.addmm(length, points, part.mT, alpha=-2) for part, length in both)


def _least(compared: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least value of each row (P, K) and its place, of equals the first: (P,) both."""
    if compared.device.type != "cpu" or torch.compiler.is_exporting():
        least, place = compared.min(dim=1)
        return least, place
    # numpy looks at many values at once, torch at one after the other: a fifth of the time.
    place = torch.from_numpy(compared.numpy().argmin(axis=1))
    return compared.gather(1, place[:, None])[:, 0], place


def _rooted(least: Tensor, points: Tensor) -> Tensor:
    return (least + points.square().sum(dim=1)).clamp_min(0).sqrt()

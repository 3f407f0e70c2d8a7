"""What a memory of normal patches keeps, and how far a patch is from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PROJECTED = 128
"""Dimensions in which the coreset is chosen."""
BLOCK = 2048
"""Remembered patches compared at once: bounds memory, changes no result but in the last bits."""


def greedy_coreset(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the places of `count` of the points (N, C), each the farthest from those before it.

    The first is drawn, the others follow: int64 (count,), on the points' device. Distances are
    measured in a random projection to at most 128 dimensions. Source: Roth et al., algorithm 1;
    Sener and Savarese, Active learning for convolutional neural networks: a core-set approach,
    ICLR 2018; for the projection Johnson and Lindenstrauss.
    """
    if points.shape[1] > PROJECTED:
        shape = (points.shape[1], PROJECTED)
        points = points @ torch.randn(shape, generator=generator).to(points) / PROJECTED**0.5
    points = points - points.mean(dim=0)  # short vectors lose fewer digits in the products below
    lengths = points.square().sum(dim=1)
    farthest = torch.full_like(lengths, math.inf)
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    at = torch.randint(len(points), (1,), generator=generator).to(points.device)
    for place in range(count):
        chosen[place] = at[0]
        # |p - c|^2 but for |c|^2 is one product of a matrix and a vector, read once.
        from_here = lengths - 2 * (points @ points[at][0]) + lengths[at]
        torch.minimum(farthest, from_here, out=farthest)
        farthest[at] = -math.inf
        at = farthest.argmax(keepdim=True)
    return chosen


def nearest_distances(points: Tensor, bank: Tensor) -> Tensor:
    """Return the Euclidean distance of each point (P, C) from the nearest of the bank (K, C): (P,).

    Everything in float32, also under autocast.
    """
    with torch.autocast(points.device.type, enabled=False):
        points, bank = points.float(), bank.float()
        parts = [
            (part.square().sum(dim=1) - 2 * points @ part.mT).amin(dim=1)
            for part in torch.split(bank, BLOCK)
        ]
        least = torch.stack(parts).amin(dim=0) + points.square().sum(dim=1)
        return least.clamp_min(0).sqrt()

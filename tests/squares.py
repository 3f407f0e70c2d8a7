"""Batches that draw themselves: grey noise, on every other item a bright square with its mask."""

from __future__ import annotations

import torch
from torch import Tensor

from asbench.nets.detector import Batch
from asbench.nets.seeds import address_generator


def squares(step: int, size: int = 64, count: int = 8) -> Batch:
    """Return the batch of a step; items 0, 2, 4, ... are anomalous."""
    generator = address_generator("squares", step)
    clean = torch.rand(count, 3, size, size, generator=generator) * 0.2 + 0.3
    mask = torch.zeros(count, 1, size, size)
    for item in range(0, count, 2):
        y, x = torch.randint(0, size // 2, (2,), generator=generator).tolist()
        mask[item, :, y : y + size // 3, x : x + size // 3] = 1
    return Batch(clean * (1 - mask) + 0.9 * mask, clean, mask)


def normals(count: int = 10, size: int = 64) -> Tensor:
    """Return normals of the same kind: uint8 (count, 3, size, size)."""
    return (squares(100_000, size, count).clean * 255).round().to(torch.uint8)

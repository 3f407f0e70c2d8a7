"""Smoothing of anomaly maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian(sigma: float) -> Tensor:
    """Return a Gaussian's weights at whole numbers, out to 4 sigma: (2r + 1,), adding to 1.

    On the CPU, also where a network is built without values.
    """
    reach = math.ceil(4 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device="cpu") / sigma) ** 2)
    return weights / weights.sum()


def smoothed(maps: Tensor, kernel: Tensor) -> Tensor:
    """Return maps (B, 1, H, W) convolved with a kernel along rows and columns, edges repeated."""
    reach = len(kernel) // 2
    maps = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    maps = F.conv2d(maps, kernel.view(1, 1, -1, 1))
    return F.conv2d(maps, kernel.view(1, 1, 1, -1))


def enlarging(side: int, factor: int, kernel: Tensor) -> Tensor:
    """Return the matrix that enlarges a row of cells, bilinear, and smooths it: (side f, side).

    With one such matrix an axis, `down @ cells @ across.mT` is what `interpolate` and `smoothed`
    give: both work along one axis at a time, and of the few cells' many pixels none is convolved.
    """
    cells = torch.eye(side, device=kernel.device)[:, None]
    rows = F.interpolate(cells, scale_factor=float(factor), mode="linear", align_corners=False)
    reach = len(kernel) // 2
    rows = F.conv1d(F.pad(rows, (reach, reach), mode="replicate"), kernel.view(1, 1, -1))
    return rows[:, 0].mT

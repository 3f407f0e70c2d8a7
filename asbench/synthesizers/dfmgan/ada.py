"""Augmentation of what a discriminator sees, as often as it needs it: ADA with fewer transforms.

Source: Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020
(appendix B). Of its pipeline `bgc` these are here: flip, turn by 90 degrees, shift, scale,
stretch, rotation; brightness, contrast, saturation. Its luma flip and hue rotation are not. Images
are sampled bilinearly, where the original filters at twice the size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TARGET = 0.6
"""The mean sign of the discriminator's logits on real images that is aimed at."""
EVERY = 4
"""Steps between two changes of the probability."""


def adjusted(p: Tensor, signs: Tensor, images: int, kimg: float) -> Tensor:
    """Return the probability after `images` images whose logits had the mean sign `signs`.

    It moves by 1 in `kimg` thousand images and is never below 0.
    """
    return (p + torch.sign(signs - TARGET) * images / (kimg * 1000)).clamp(min=0)


def augment(images: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Return images (N, 3, H, W) in [-1, 1], each transform applied with probability p.

    Differentiable once with respect to geometry. The generator is a CPU's.
    """
    if p <= 0:
        return images
    count = len(images)
    lattice = F.affine_grid(
        geometry(count, p, generator)[:, :2].to(images), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, lattice, padding_mode="reflection", align_corners=False)
    matrix, offset = (part.to(images) for part in colour(count, p, generator))
    return torch.einsum("nij,njhw->nihw", matrix, moved) + offset[:, :, None, None]


def geometry(count: int, p: float, generator: torch.Generator) -> Tensor:
    """Return `count` transforms of coordinates in [-1, 1]: float (count, 3, 3)."""

    def happens(probability: float = p) -> Tensor:
        return (torch.rand(count, generator=generator) < probability).float()

    def normal(scale: float) -> Tensor:
        return torch.randn(count, generator=generator) * scale

    flip = 1 - 2 * happens(p / 2)
    quarters = torch.randint(4, (count,), generator=generator) * happens()
    shift = (torch.rand(2, count, generator=generator) * 2 - 1) * 0.125 * happens()
    scale = torch.exp2(normal(0.2) * happens())
    turns = 1 - math.sqrt(max(0.0, 1 - p))  # before and after the stretch: together p
    before, after = (
        (torch.rand(count, generator=generator) * 2 - 1) * math.pi * happens(turns)
        for _ in range(2)
    )
    stretch = torch.exp2(normal(0.2) * happens())
    wander = torch.stack([normal(0.125), normal(0.125)]) * happens()
    one = torch.ones(count)
    chain = (
        _scaling(flip, one),
        _rotation(quarters * (math.pi / 2)),
        _shift(2 * shift),
        _scaling(scale, scale),
        _rotation(before),
        _scaling(stretch, 1 / stretch),
        _rotation(after),
        _shift(2 * wander),
    )
    total = torch.eye(3).expand(count, 3, 3)
    for transform in chain:
        total = total @ transform
    return total


def colour(count: int, p: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return `count` changes of colour, x' = A x + b: float (count, 3, 3) and (count, 3)."""

    def sometimes(scale: float) -> Tensor:
        drawn = torch.randn(count, generator=generator) * scale
        return drawn * (torch.rand(count, generator=generator) < p)

    brightness, contrast = sometimes(0.2), torch.exp2(sometimes(0.5))
    saturation = torch.exp2(sometimes(1.0))
    grey = torch.full((3, 3), 1 / 3)
    kept = grey + (torch.eye(3) - grey) * saturation[:, None, None]
    matrix = kept * contrast[:, None, None]
    return matrix, (brightness * contrast)[:, None].expand(-1, 3)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    c, s = angle.cos(), angle.sin()
    return _matrix([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def _shift(by: Tensor) -> Tensor:
    zero, one = torch.zeros_like(by[0]), torch.ones_like(by[0])
    return _matrix([[one, zero, by[0]], [zero, one, by[1]], [zero, zero, one]])

"""What keeps a GAN of a few images from copying them: three parts of Con-GAN, as a likeness."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, SCALE, COLOUR = 0.125, 0.2, 0.2
"""Largest shift, as a share of the side; largest change of scale; largest change of colour."""


class View:
    """One random transform for each crop of a batch: the same for real crops and generated ones."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        def even(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator) * 2 - 1

        turn = torch.randint(4, (count,), generator=generator) * (torch.pi / 2)
        mirror = torch.where(even() > 0, 1.0, -1.0)
        size = 1 / (1 + SCALE * even())
        cos, sin = turn.cos() * size, turn.sin() * size
        shift = 2 * SHIFT * even(2)
        rows = (cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1])
        self.matrix = torch.stack(rows, dim=1).view(count, 2, 3)
        self.colour = COLOUR * even(3)

    def __call__(self, crops: Tensor) -> Tensor:
        """Return crops, (N, 4, s, s), as this view shows them; colour leaves the mask alone."""
        grid = F.affine_grid(self.matrix.to(crops), list(crops.shape), align_corners=False)
        moved = F.grid_sample(crops, grid, padding_mode="reflection", align_corners=False)
        image, mask = moved[:, :3], moved[:, 3:]
        bright, contrast, vivid = self.colour.to(crops).view(-1, 3, 1, 1, 1).unbind(dim=1)
        grey = image.mean(dim=1, keepdim=True)
        image = grey + (1 + vivid) * (image - grey)
        middle = image.mean(dim=(1, 2, 3), keepdim=True)
        image = middle + (1 + contrast) * (image - middle) + bright
        return torch.cat((image, mask), dim=1)


def matched(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Return the mean distance of features' means, weighted by where there are most of them."""
    apart = [F.l1_loss(_attended(m), _attended(r)) for r, m in zip(real, made, strict=True)]
    return torch.stack(apart).mean()


def _attended(features: Tensor) -> Tensor:
    weights = features.mean(dim=1, keepdim=True).flatten(2).softmax(dim=-1)
    return (features.flatten(2) * weights).sum(dim=-1).mean(dim=0)


def apart_on_sphere(first: Tensor, second: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of places on the sphere, (N, c) each.

    first, second: two views of each generated crop, which attract; real: views of real ones, all of
    which repel.
    """
    near = (first * second).sum(dim=1, keepdim=True)
    far = first @ real.T
    logits = torch.cat((near, far), dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(first), dtype=torch.int64, device=first.device))

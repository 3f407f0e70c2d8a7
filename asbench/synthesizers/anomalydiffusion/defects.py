"""Few-shot defects on their way into AnomalyDiffusion, and the masks that come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from synth_store.types import Mask

if TYPE_CHECKING:
    from asbench.synthesizers.anomalydiffusion import Anomalydiffusion

DEGREES = 20
"""Images are turned by a whole number of degrees up to this."""


def augmented(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return images and masks flipped, turned and cropped alike; the masks 0 and 1 again.

    images: float (N, 3, s, s) in [-1, 1]; masks: (N, 1, s, s). The whole batch is flipped, or not,
    turned by one angle, and cropped to one box that contains every mask's pixels.
    """
    upright, lying = (torch.rand(2, generator=generator) < 0.5).tolist()
    degrees = int(torch.randint(DEGREES + 1, (), generator=generator))
    both = torch.cat((images, masks), dim=1)
    flipped = [axis for axis, flip in ((2, upright), (3, lying)) if flip]
    both = _turned(both.flip(flipped), degrees)
    left, right = _around(both[:, 3:].amax(dim=(0, 1, 2)) > 0.5, generator)
    top, bottom = _around(both[:, 3:].amax(dim=(0, 1, 3)) > 0.5, generator)
    cropped = F.interpolate(
        both[:, :, top:bottom, left:right],
        images.shape[-2:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return cropped[:, :3].clamp(-1, 1), (cropped[:, 3:] > 0.5).float()


def _turned(both: Tensor, degrees: int) -> Tensor:
    """Turn about the centre; what comes in from outside is the image mirrored."""
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn = torch.stack((cos, -sin, cos * 0, sin, cos, cos * 0)).view(1, 2, 3)
    grid = F.affine_grid(turn.expand(len(both), -1, -1), list(both.shape), align_corners=False)
    return F.grid_sample(
        both, grid.to(both), "bilinear", padding_mode="reflection", align_corners=False
    )


def _around(marked: Tensor, generator: torch.Generator) -> tuple[int, int]:
    """Draw an interval that contains all marked places of an axis, bool (s,)."""
    places = marked.nonzero().flatten()
    first, last = (int(places[0]), int(places[-1])) if len(places) else (0, len(marked) - 1)
    begin = int(torch.randint(first + 1, (), generator=generator))
    end = int(torch.randint(last + 1, len(marked) + 1, (), generator=generator))
    return begin, end


def sound_masks(masks: Tensor, method: Anomalydiffusion) -> Tensor:
    """Return which masks are kept: bool (N,), on the CPU.

    masks: float (N, 1, side, side) of 0 and 1. Refused are those on more than `mask_border` of one
    of the four borders, and those whose share of the image is not in `area_low`..`area_high`.
    """
    flat = masks[:, 0].cpu()
    borders = torch.stack((flat[:, 0], flat[:, -1], flat[:, :, 0], flat[:, :, -1]), dim=1)
    widest = borders.mean(dim=2).amax(dim=1)
    area = flat.mean(dim=(1, 2))
    return (
        (widest <= method.mask_border)
        & (area >= method.area_low)
        & (area <= method.area_high)
        & (area > 0)
    )


def unpacked(bits: npt.NDArray[np.uint8], side: int) -> Mask:
    """Return a mask of the bank: bool (side, side)."""
    return np.unpackbits(bits).reshape(side, side).astype(np.bool_)

"""Images and masks between the store and a network, which may work at another size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from asbench.imaging.geometry import fit_mask, resize
from synth_store import Geometry
from synth_store.types import Image, Mask


def small(images: Sequence[Image], side: int) -> Tensor:
    """Return images for a network: float32 (N, 3, side, side) in [-1, 1]."""
    frame = Geometry(side, side)
    stacked = np.stack([resize(image, frame) for image in images])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def small_masks(masks: Sequence[Mask], side: int) -> Tensor:
    """Return masks for a network: float32 (N, 1, side, side) of 0 and 1."""
    frame = Geometry(side, side)
    stacked = np.stack([fit_mask(mask, frame) for mask in masks])
    return torch.from_numpy(stacked)[:, None].float()


def large(images: Tensor, height: int, width: int) -> list[Image]:
    """Return a network's images, float (N, 3, h, w) in [-1, 1], as uint8 (height, width, 3)."""
    levels = (images.float().cpu().clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)
    frame = Geometry(height, width)
    return [resize(image, frame) for image in levels.permute(0, 2, 3, 1).numpy()]


def large_masks(masks: Tensor, height: int, width: int) -> list[Mask]:
    """Return a network's masks, bool (N, 1, h, w) or (N, h, w), as bool (height, width)."""
    flat = masks.reshape(len(masks), *masks.shape[-2:]).bool().cpu().numpy()
    frame = Geometry(height, width)
    return [fit_mask(mask, frame) for mask in flat]


def noise(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Return standard normal noise of one sample, float32, drawn on the CPU."""
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))

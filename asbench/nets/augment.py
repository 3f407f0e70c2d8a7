"""Changes of the base image at training time, on the batch's device."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from asbench.nets.detector import Batch
from asbench.nets.device import uploaded


def random_rotation(
    batch: Batch, generator: torch.Generator, probability: float = 0.3, degrees: float = 90.0
) -> Batch:
    """Rotate each item with `probability` about its centre by an angle from U(-degrees, degrees).

    Image, clean and mask turn alike; bilinear, zeros where nothing was. The mask is interpolated
    too and cut at 0.5, so its edge stays where the image's edge is (nearest would shift it by up to
    half a pixel). Items that are not drawn come back bit for bit. Two draws per item from the CPU
    generator, whatever they decide: the same rotations on every device.
    """
    count = len(batch.image)
    drawn = torch.rand(count, generator=generator) < probability
    angles = (torch.rand(count, generator=generator) * 2 - 1) * degrees
    if not drawn.any():
        return batch
    device = batch.image.device
    chosen = uploaded(drawn.nonzero().flatten(), device)
    turned = rotate(
        torch.cat([batch.image[chosen], batch.clean[chosen], batch.mask[chosen]], dim=1),
        uploaded(angles[drawn], device),
    )
    image, clean, mask = turned[:, :3], turned[:, 3:6], turned[:, 6:]
    return Batch(
        image=batch.image.index_copy(0, chosen, image),
        clean=batch.clean.index_copy(0, chosen, clean),
        mask=batch.mask.index_copy(0, chosen, (mask >= 0.5).to(mask.dtype)),
    )


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate (B, C, H, W) about the centre by `angles` (B,) in degrees, anticlockwise as seen.

    Bilinear; zeros where nothing was. Angles are true on non-square images too.
    """
    height, width = images.shape[-2:]
    radians = angles * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    zero = torch.zeros_like(cos)
    # affine_grid works in [-1, 1] along each axis: the aspect ratio keeps a rotation a rotation.
    to_source = torch.stack(
        [
            torch.stack([cos, -sin * height / width, zero], dim=-1),
            torch.stack([sin * width / height, cos, zero], dim=-1),
        ],
        dim=1,
    )
    grid = F.affine_grid(to_source, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

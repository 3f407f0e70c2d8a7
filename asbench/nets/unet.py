"""The discriminative U-Net of DRAEM, which AnomalyDiffusion's detector uses alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asbench.nets.blocks import DoubleConv, Float32Conv, Up, init_normal


class UNet(nn.Module):
    """Six levels with skip connections, from an image to one logit map per class.

    Maps float32 (B, inputs, H, W) to logits (B, classes, H, W); both sides must be multiples
    of 32. `width` is the number of channels at full size (64 as published); the levels have
    1, 2, 4, 8, 8 and 8 times as many. Source: Zavrtanik et al., DRAEM, ICCV 2021.
    """

    def __init__(self, inputs: int, classes: int = 2, width: int = 64) -> None:
        super().__init__()
        w = width
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            [
                DoubleConv(inputs, w, w, of_pixels=True),
                DoubleConv(w, 2 * w, 2 * w),
                DoubleConv(2 * w, 4 * w, 4 * w),
                DoubleConv(4 * w, 8 * w, 8 * w),
                DoubleConv(8 * w, 8 * w, 8 * w),
                DoubleConv(8 * w, 8 * w, 8 * w),
            ]
        )
        self.up = nn.ModuleList(
            [Up(8 * w, 8 * w), Up(8 * w, 4 * w), Up(4 * w, 2 * w), Up(2 * w, w), Up(w, w)]
        )
        self.merge = nn.ModuleList(
            [
                DoubleConv(16 * w, 8 * w, 8 * w),
                DoubleConv(12 * w, 4 * w, 4 * w),
                DoubleConv(6 * w, 2 * w, 2 * w),
                DoubleConv(3 * w, w, w),
                DoubleConv(2 * w, w, w),
            ]
        )
        self.head = Float32Conv(w, classes, 3, padding=1)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes, H, W)."""
        x = self.down[0](images)
        skips = []
        for level in self.down[1:]:
            skips.append(x)
            x = level(self.pool(x))
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], dim=1))
        logits: Tensor = self.head(x)
        return logits

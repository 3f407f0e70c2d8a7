"""Rules that make one score of an anomaly map."""

from __future__ import annotations

import torch
from torch import Tensor

from asbench.nets.device import full_precision
from synth_store.types import UserError


def check_window(window: int) -> None:
    """Raise UserError unless a window of this side has a pixel in the middle."""
    if window < 1 or window % 2 == 0:
        raise UserError(
            f"a window of {window} pixels has no pixel in the middle: choose an odd side, "
            "`--set window=21` as published or about a twelfth of the images' side."
        )


def largest_mean(maps: Tensor, window: int = 21) -> Tensor:
    """Return the largest mean over any window of maps (B, H, W): (B,).

    Stride 1, centred on every pixel (`window` is odd); zeros beyond the border count in the mean.
    The rule of DRAEM and of AnomalyDiffusion's detector.
    """
    # Rows, then columns, as products with matrices of 0 and 1: a pooling layer reads every pixel
    # `window` squared times, which of a map of 256x256 takes 30 times as long.
    down, across = (_near(side, window, maps.device) for side in maps.shape[1:])
    with full_precision(maps.device):
        sums = down @ maps.float() @ across
    return sums.amax(dim=(1, 2)) / window**2


def _near(side: int, window: int, device: torch.device) -> Tensor:
    """Return which places along an axis lie in the window around each: float32 (side, side)."""
    places = torch.arange(side, device=device)
    return ((places[:, None] - places).abs() <= window // 2).float()


def top_mean(maps: Tensor, count: int = 100) -> Tensor:
    """Return the mean of the `count` largest pixels of maps (B, H, W), of all if fewer: (B,).

    The rule of DeSTSeg and MemSeg.
    """
    pixels = maps.flatten(1)
    return pixels.topk(min(count, pixels.shape[1]), dim=1).values.mean(dim=1)

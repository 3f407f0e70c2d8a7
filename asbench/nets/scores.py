"""Rules that make one score of an anomaly map."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

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
    means = F.avg_pool2d(
        maps[:, None], window, stride=1, padding=window // 2, count_include_pad=True
    )
    return means.amax(dim=(1, 2, 3))


def top_mean(maps: Tensor, count: int = 100) -> Tensor:
    """Return the mean of the `count` largest pixels of maps (B, H, W), of all if fewer: (B,).

    The rule of DeSTSeg and MemSeg.
    """
    pixels = maps.flatten(1)
    return pixels.topk(min(count, pixels.shape[1]), dim=1).values.mean(dim=1)

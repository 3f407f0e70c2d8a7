"""Losses, kept to the published formulas with their constants.

All of them work in float32 whatever the precision of the network: SSIM's variances are differences
of nearly equal numbers, which bfloat16 cannot hold.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
FOCAL_SMOOTH = 1e-5


def published_range(image: Tensor) -> Tensor:
    """Return the value range L that DRAEM's SSIM assumes for `image`: a scalar tensor.

    255 if the largest value exceeds 128, else 1; one more if the smallest is below -0.5. Taken from
    the reconstruction, so L jumps from 1 to 2 while a young network dips below -0.5. It stays a
    tensor: reading it would make every step wait for the GPU.
    """
    high = torch.where(image.amax() > 128, 255.0, 1.0)
    low = torch.where(image.amin() < -0.5, -1.0, 0.0)
    return high - low


def ssim(first: Tensor, second: Tensor, value_range: float | Tensor) -> Tensor:
    """Return the mean structural similarity of two batches: a scalar in [-1, 1].

    first, second: float (B, C, H, W). Gaussian window 11x11 with sigma 1.5 for each channel, zero
    padding of 5 (the padding counts in the statistics), C1 = (0.01 L)^2, C2 = (0.03 L)^2, mean over
    everything. Source: Wang et al., Image quality assessment, TIP 2004, eq. 13.
    """
    with torch.autocast(first.device.type, enabled=False):
        x, y = first.float(), second.float()
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(
            torch.stack([x, y, x * x, y * y, x * y])
        ).unbind()
        c1 = (0.01 * value_range) ** 2
        c2 = (0.03 * value_range) ** 2
        variances = mean_xx - mean_x**2 + mean_yy - mean_y**2
        covariance = mean_xy - mean_x * mean_y
        above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        below = (mean_x**2 + mean_y**2 + c1) * (variances + c2)
        return (above / below).mean()


def _blur(images: Tensor) -> Tensor:
    """Gaussian blur of (..., H, W), zero padded, as two products with banded matrices.

    The window is separable, and zero padding is what a matrix cut off at its edge does. Products
    are 20 times faster than a one-channel convolution on CPU, and on CUDA they stay float32 where
    convolutions default to TF32.
    """
    height, width = images.shape[-2:]
    down, across = (_band(side, images.device, images.dtype) for side in (height, width))
    return down @ images @ across.mT


def _band(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The (size, size) matrix that blurs a zero-padded line with the normalised window."""
    # torch.compile would trace into the cache, and warns of it: there it is part of the graph.
    # (To mark the function for it would import the whole compiler with this file.)
    make = _make_band if torch.compiler.is_compiling() else _kept_band
    return make(size, device, dtype)


@cache
def _kept_band(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # a kept inference tensor could not serve in training
        return _make_band(size, device, dtype)


def _make_band(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    places = torch.arange(size, dtype=torch.float64)
    offsets = places[:, None] - places
    taps = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    total = torch.exp(-(window**2) / (2 * SSIM_SIGMA**2)).sum()
    band = torch.where(offsets.abs() <= SSIM_WINDOW // 2, taps / total, 0.0)
    return band.to(device, dtype)


def focal(probabilities: Tensor, mask: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the focal loss of softmax outputs, without class weights: a scalar.

    probabilities: float (B, 2, H, W), channel 1 = anomalous; mask: float (B, 1, H, W) in {0, 1}.
    With targets clamped to [1e-5, 1 - 1e-5] and p_t = sum of target * probability + 1e-5:
    mean over the pixels of -(1 - p_t)^gamma ln p_t. Source: Lin et al., Focal loss, ICCV 2017,
    with the smoothing of DRAEM's implementation.
    """
    with torch.autocast(probabilities.device.type, enabled=False):
        target = torch.cat([1.0 - mask, mask], dim=1).clamp(FOCAL_SMOOTH, 1.0 - FOCAL_SMOOTH)
        p_true = (target * probabilities.float()).sum(dim=1) + FOCAL_SMOOTH
        return (-((1.0 - p_true) ** gamma) * p_true.log()).mean()


def focal_logits(logits: Tensor, anomalous: Tensor, gamma: float) -> Tensor:
    """Return the focal loss of logits, without class weights: a scalar.

    logits: float (n,); anomalous: bool (n,). With p_t the probability of the truth, the mean of
    -(1 - p_t)^gamma ln p_t. Source: Lin et al., Focal loss, ICCV 2017.
    """
    told = torch.where(anomalous, logits, -logits).float()
    return (-(torch.sigmoid(-told) ** gamma) * F.logsigmoid(told)).mean()


def margins(logits: Tensor, anomalous: Tensor, margin: float = 0.5) -> Tensor:
    """Return the truncated L1 loss: a scalar, 0 where all are beyond the margin on their side.

    logits: float (n,); anomalous: bool (n,). The mean over normals of how far they are above
    -margin, and over anomalies of how far below +margin; a side without members adds nothing.
    Source: Liu et al., SimpleNet, CVPR 2023, equation 6.
    """
    short = (margin - torch.where(anomalous, logits, -logits)).clamp_min(0)
    sides = ((short * side).sum() / side.sum().clamp_min(1) for side in (anomalous, ~anomalous))
    return torch.stack(list(sides)).sum()

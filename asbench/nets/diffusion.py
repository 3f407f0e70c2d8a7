"""Denoising diffusion with a learned variance, step by step: pure functions of tensors.

Notation of Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, ICML 2021:
alpha-bar falls from 1 to 0, images lie in [-1, 1], a network returns the noise it sees in x_t and,
in three more channels, v in about [-1, 1] that chooses the variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TIMES = 1000
"""Steps of the chain that a network learns to walk back."""
BETAS = (1e-4, 0.02)
"""First and last variance of a step, linear between them."""
HALF_LEVEL = 1 / 255
"""Half the distance of two of 256 levels in [-1, 1]."""
TINY = 1e-12


@dataclass(frozen=True)
class Chain:
    """The tables of a chain of steps, perhaps a respaced one.

    times: int64 (K,), ascending, at which the network is asked; kept, before: float32 (K,),
    alpha-bar after the step and before it.
    """

    times: Tensor
    kept: Tensor
    before: Tensor

    @property
    def beta(self) -> Tensor:
        """The variance each step adds: 1 - abar_k / abar_{k-1}, float32 (K,)."""
        return 1 - self.kept / self.before

    @property
    def posterior(self) -> Tensor:
        """The variance of x_{k-1} given x_k and x_0; the first entry, 0, is the second's.

        The first step's logarithm would be infinite (Improved DDPM's code clips it so).
        """
        variance = (1 - self.before) / (1 - self.kept) * self.beta
        return torch.cat((variance[1:2], variance[1:]))

    def __len__(self) -> int:
        return len(self.times)


def chain(steps: int = TIMES, device: torch.device | str = "cpu") -> Chain:
    """Return the chain, or one of `steps` steps at equal distances that walks it faster.

    Steps stand at 0, d, 2 d, ... with d = floor(1000 / steps): 0, 50, ..., 950 for 20 of them.
    """
    kept = torch.cumprod(1 - torch.linspace(*BETAS, TIMES, dtype=torch.float32), dim=0)
    times = torch.arange(steps) * (TIMES // steps)
    at = kept[times]
    before = torch.cat((torch.ones(1), at[:-1]))
    return Chain(times.to(device), at.to(device), before.to(device))


def noised(images: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """Return x_t: sqrt(abar) x_0 + sqrt(1 - abar) noise; kept: abar, float (N,)."""
    kept = kept.view(-1, 1, 1, 1)
    return kept.sqrt() * images + (1 - kept).sqrt() * noise


def log_variance(v: Tensor, chain: Chain, at: Tensor) -> Tensor:
    """Return f log beta + (1 - f) log beta~ with f = (v + 1) / 2 (equation 15).

    v: (N, 3, H, W); at: places in the chain, int64 (N,).
    """
    high = _at(chain.beta, at).log()
    low = _at(chain.posterior, at).log()
    share = (v + 1) / 2
    return share * high + (1 - share) * low


def clean_estimate(x: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """Return the x_0 that x_t and its noise imply; kept: abar, broadcast."""
    return (x - (1 - kept).sqrt() * noise) / kept.sqrt()


def posterior_mean(clean: Tensor, x: Tensor, chain: Chain, at: Tensor) -> Tensor:
    """Return the mean of q(x_{k-1} | x_k, x_0)."""
    kept, before = _at(chain.kept, at), _at(chain.before, at)
    alpha = kept / before
    return (
        before.sqrt() * (1 - alpha) / (1 - kept) * clean
        + alpha.sqrt() * (1 - before) / (1 - kept) * x
    )


def variance_bound(
    clean: Tensor, x: Tensor, noise: Tensor, v: Tensor, chain: Chain, at: Tensor
) -> Tensor:
    """Return L_vb of each image in bits per dimension, float (N,).

    KL(q(x_{t-1} | x_t, x_0) || p) for t > 0; the negative log-likelihood of the 256 levels for
    t = 0. clean: the true x_0; noise: the network's, detached where it must not learn from this.
    """
    true = posterior_mean(clean, x, chain, at)
    estimate = clean_estimate(x, noise, _at(chain.kept, at))
    mean = posterior_mean(estimate, x, chain, at)
    log_true = _at(chain.posterior, at).log()
    log_own = log_variance(v, chain, at)
    ratio = log_true - log_own
    divergence = 0.5 * (ratio.exp() - ratio - 1 + (true - mean) ** 2 * (-log_own).exp())
    likelihood = -_log_level(clean, mean, (0.5 * log_own).exp())
    bits = torch.where((at == 0).view(-1, 1, 1, 1), likelihood, divergence) / math.log(2)
    return bits.mean(dim=(1, 2, 3))


def _log_level(levels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return the log-probability that a Gaussian falls on these levels, the outermost open."""
    above = torch.special.ndtr((levels + HALF_LEVEL - mean) / deviation)
    below = torch.special.ndtr((levels - HALF_LEVEL - mean) / deviation)
    above = torch.where(levels > 0.999, torch.ones_like(above), above)
    below = torch.where(levels < -0.999, torch.zeros_like(below), below)
    return (above - below).clamp_min(TINY).log()


def back_step(
    x: Tensor,
    noise: Tensor,
    v: Tensor,
    chain: Chain,
    k: int,
    fresh: Tensor,
    strength: Tensor,
    *,
    clamped: bool = True,
) -> Tensor:
    """Return x_{k-1} of x_k, its variance (1 + s) times what was learned.

    x, noise, v, fresh: (N, 3, H, W); strength s: float (N,). The last step, k = 0, adds no noise.
    clamped: whether x_0 lies in [-1, 1], as images do and latents do not.
    With s = 0 this is ancestral sampling. Source: Zhang et al., RealNet, CVPR 2024, section 3.1.
    """
    at = torch.full((len(x),), k, dtype=torch.int64, device=x.device)
    estimate = clean_estimate(x, noise, _at(chain.kept, at))
    if clamped:
        estimate = estimate.clamp(-1, 1)
    mean = posterior_mean(estimate, x, chain, at)
    if k == 0:
        return mean
    deviation = (0.5 * log_variance(v, chain, at)).exp()
    return mean + (1 + strength).sqrt().view(-1, 1, 1, 1) * deviation * fresh


def _at(table: Tensor, at: Tensor) -> Tensor:
    return table[at].view(-1, 1, 1, 1)

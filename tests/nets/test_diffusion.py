"""The chain, its variance and its steps, against diffusers and against the formulas again."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from asbench.nets.diffusion import (
    TIMES,
    back_step,
    chain,
    log_variance,
    noised,
    posterior_mean,
    variance_bound,
)

SHAPE = (4, 3, 5, 6)


def scheduler() -> DDPMScheduler:
    return DDPMScheduler(
        TIMES, 1e-4, 0.02, "linear", variance_type="learned_range", timestep_spacing="leading"
    )


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*(shape or SHAPE), generator=torch.Generator().manual_seed(seed))


def test_respaced_steps_stand_where_diffusers_has_them() -> None:
    theirs = scheduler()
    theirs.set_timesteps(20)
    steps = chain(20)
    assert steps.times.tolist() == theirs.timesteps.flip(0).tolist() == list(range(0, 1000, 50))
    assert torch.equal(steps.kept, theirs.alphas_cumprod[steps.times])
    assert torch.equal(steps.before[1:], steps.kept[:-1])
    assert steps.before[0] == 1
    assert torch.allclose(chain().beta, theirs.betas, rtol=1e-3)


@pytest.mark.parametrize("walk", [20, 50, 1000])
def test_without_strength_a_step_is_that_of_plain_ddpm(walk: int) -> None:
    """With the same noise, whatever the network says of the variance."""
    theirs = scheduler()
    theirs.set_timesteps(walk)
    steps = chain(walk)
    x, seen, v = randn(seed=1), randn(seed=2), randn(seed=3).tanh()
    for k in (walk - 1, walk // 2, 1, 0):
        generator = torch.Generator().manual_seed(k)
        there = theirs.step(
            torch.cat((seen, v), dim=1), steps.times[k], x, generator=generator
        ).prev_sample
        fresh = torch.randn(SHAPE, generator=torch.Generator().manual_seed(k))
        here = back_step(x, seen, v, steps, k, fresh, torch.zeros(4))
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)


def test_strength_scales_the_variance_of_every_step_but_the_last() -> None:
    steps = chain(20)
    x, seen, v, fresh = (randn(seed=s) for s in range(4))
    strengths = torch.tensor([0.0, 0.1, 0.5, 3.0])
    for k in (19, 7, 1):
        still = back_step(x, seen, v, steps, k, torch.zeros(SHAPE), strengths)
        moved = back_step(x, seen, v, steps, k, fresh, strengths)
        plain = back_step(x, seen, v, steps, k, fresh, torch.zeros(4))
        ratio = ((moved - still) / (plain - still)).mean(dim=(1, 2, 3))
        torch.testing.assert_close(ratio, (1 + strengths).sqrt(), rtol=1e-3, atol=1e-3)
    assert torch.equal(
        back_step(x, seen, v, steps, 0, fresh, strengths),
        back_step(x, seen, v, steps, 0, -fresh, torch.zeros(4)),
    )


def test_the_variance_lies_between_the_posterior_and_beta() -> None:
    steps = chain()
    at = torch.tensor([1, 10, 500, 999])
    ones = torch.ones(SHAPE)
    table = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)[at]
    posterior = beta * (1 - table[at - 1]) / (1 - table[at])
    for v, expected in ((ones, beta), (-ones, posterior), (0 * ones, (beta * posterior).sqrt())):
        found = log_variance(v, steps, at).exp()[:, 0, 0, 0]
        torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=0)


def test_the_bound_is_the_divergence_of_two_gaussians() -> None:
    """Against torch.distributions, with the posterior written out in float64."""
    steps = chain()
    at = torch.tensor([1, 40, 400, 999])
    clean, fresh, seen = randn(seed=4).clamp(-1, 1), randn(seed=5), randn(seed=6)
    v = randn(seed=7).tanh()
    x = noised(clean, fresh, steps.kept[at])
    found = variance_bound(clean, x, seen, v, steps, at)

    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    kept = torch.cumprod(1 - betas, 0)
    for i, t in enumerate(at.tolist()):
        beta, now, before = betas[t], kept[t], kept[t - 1]
        of_clean = before.sqrt() * beta / (1 - now)
        of_x = (1 - beta).sqrt() * (1 - before) / (1 - now)
        estimate = (x[i].double() - (1 - now).sqrt() * seen[i]) / now.sqrt()
        posterior = beta * (1 - before) / (1 - now)
        share = (v[i].double() + 1) / 2
        own = (share * beta.log() + (1 - share) * posterior.log()).exp()
        true = Normal(of_clean * clean[i] + of_x * x[i], posterior.sqrt())
        model = Normal(of_clean * estimate + of_x * x[i], own.sqrt())
        expected = kl_divergence(true, model).mean() / math.log(2)
        torch.testing.assert_close(found[i].double(), expected, rtol=5e-3, atol=1e-5)


def test_at_the_first_step_the_bound_is_the_likelihood_of_levels() -> None:
    """The probabilities of all 256 levels sum to one, and the bound is the true one's."""
    steps = chain()
    levels = torch.arange(256) / 127.5 - 1
    clean = levels.view(256, 1, 1, 1)
    x = torch.full((256, 1, 1, 1), 0.31)
    seen, v = torch.full_like(x, 0.2), torch.full_like(x, 0.4)
    at = torch.zeros(256, dtype=torch.int64)
    bits = variance_bound(clean, x, seen, v, steps, at).double()
    assert (2**-bits).sum().item() == pytest.approx(1, abs=1e-4)
    most = int(bits.argmin())
    kept = steps.kept[0]
    estimate = (0.31 - (1 - kept).sqrt() * 0.2) / kept.sqrt()
    assert levels[most].item() == pytest.approx(estimate.item(), abs=1 / 127.5)


def test_a_perfect_network_leaves_no_divergence() -> None:
    steps = chain()
    at = torch.tensor([1, 40, 400, 999])
    clean, fresh = randn(seed=4).clamp(-1, 1), randn(seed=5)
    x = noised(clean, fresh, steps.kept[at])
    found = variance_bound(clean, x, fresh, -torch.ones(SHAPE), steps, at)
    assert found.abs().max() < 1e-4
    back = posterior_mean(clean, x, steps, at)
    assert torch.isfinite(back).all()

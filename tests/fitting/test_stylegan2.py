"""StyleGAN2's blocks against independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from torch import Tensor

from asbench.synthesizers.dfmgan.stylegan2 import (
    MAPPING_RATE,
    Discriminator,
    EqualConv,
    EqualLinear,
    ModulatedConv,
    Synthesis,
    channels_at,
    deviation,
    enlarge,
    gradient_penalty,
    levels_of,
    path_lengths,
    reduce,
    smooth,
)

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def resampled(x: Tensor, up: int, down: int, keep: slice, gain: float) -> Tensor:
    """Filter rows and columns by scipy, and keep a part of each."""
    y = x.numpy()
    for axis in (2, 3):
        y = scipy.signal.upfirdn(TAPS * gain, y, up=up, down=1, axis=axis)
        y = np.take(y, np.arange(y.shape[axis])[keep][::down], axis=axis)
    return torch.from_numpy(y)


@pytest.mark.parametrize("size", [(4, 4), (6, 10)])
def test_resampling_is_scipys(size: tuple[int, int]) -> None:
    """Up: zeros between the pixels, 1 pixel cut before and after; down: every second pixel."""
    x = drawn(2, 3, *size)
    torch.testing.assert_close(enlarge(x), resampled(x, 2, 1, slice(1, -1), 2.0))
    torch.testing.assert_close(reduce(x), resampled(x, 1, 2, slice(2, -1), 1.0))
    torch.testing.assert_close(smooth(x, 2), resampled(x, 1, 1, slice(1, -1), 1.0))
    assert enlarge(x).shape[2:] == (2 * size[0], 2 * size[1])


def test_a_constant_stays_when_enlarged_or_reduced() -> None:
    ones = torch.ones(1, 2, 16, 16)
    for resized in (enlarge(ones), reduce(ones)):
        inner = resized[..., 1:-1, 1:-1]
        torch.testing.assert_close(inner, torch.ones_like(inner))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_is_that_of_weights_made_for_every_image(up: bool, demodulate: bool) -> None:
    layer = ModulatedConv(5, 4, 3, 6, demodulate=demodulate, up=up).double()
    x, codes = drawn(3, 5, 8, 8), drawn(3, 6, seed=1)
    expected = []
    for image, code in zip(x, codes, strict=True):
        style = layer.style.weight @ code / math.sqrt(6) + layer.style.bias
        weight = layer.weight / math.sqrt(5 * 9) * style[None, :, None, None]
        if demodulate:
            norms = (weight**2).sum(dim=(1, 2, 3), keepdim=True)
            weight = weight / torch.sqrt(norms + 1e-8)
        if up:
            apart = torch.zeros(1, 5, 16, 16, dtype=torch.float64)
            apart[0, :, ::2, ::2] = image
            # A true convolution over what lies between zeros, then the filter.
            spread = F.conv2d(F.pad(apart, (2, 2, 2, 2)), weight.flip(2, 3))[..., :17, :17]
            found = resampled(spread.detach(), 1, 1, slice(2, -2), 2.0)
        else:
            found = F.conv2d(image[None], weight, padding=1).detach()
        expected.append(found)
    torch.testing.assert_close(layer(x, codes).detach(), torch.cat(expected))


@pytest.mark.parametrize("inputs", [4, 64])
def test_learning_rates_are_equalised(inputs: int) -> None:
    """Whatever the number of inputs: output of variance 1, and a step of the optimiser moves it
    by the learning rate in units of a weight's first spread."""
    linear, conv = EqualLinear(inputs, 512), EqualConv(inputs, 64, 3)
    assert linear(torch.randn(512, inputs)).var().item() == pytest.approx(1, rel=0.15)
    inner = conv(torch.randn(4, inputs, 16, 16))[..., 1:-1, 1:-1]
    assert inner.var().item() == pytest.approx(1, rel=0.15)
    slow = EqualLinear(inputs, 512, rate=MAPPING_RATE)
    assert slow(torch.randn(512, inputs)).var().item() == pytest.approx(1, rel=0.15)
    for layer, rate in ((linear, 1.0), (slow, MAPPING_RATE)):
        adam = torch.optim.Adam(layer.parameters(), lr=0.01, betas=(0.0, 0.99))
        before = (layer.weight * layer.gain).detach()
        layer(torch.randn(8, inputs)).sum().backward()
        adam.step()
        moved = (layer.weight * layer.gain).detach() - before
        expected = torch.full_like(moved, 0.01 * rate / math.sqrt(inputs))
        torch.testing.assert_close(moved.abs(), expected, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 2), (3, 1)])
def test_deviation_is_of_groups_spread_over_the_batch(count: int, group: int) -> None:
    x = drawn(count, 3, 4, 4)
    found = deviation(x)
    assert found.shape == (count, 1, 4, 4)
    apart = count // group
    for first in range(apart):
        members = x[first::apart].numpy()
        assert len(members) == group
        level = np.sqrt(members.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[first::apart].numpy(), level)


def test_gradient_penalty_is_the_squared_slope() -> None:
    """Of a function with known slopes; of a discriminator, by differences."""
    x = drawn(3, 2, 4, 4).requires_grad_(True)
    factors = drawn(2, 4, 4, seed=1)
    torch.testing.assert_close(
        gradient_penalty((factors * x**2).sum(dim=(1, 2, 3)), x),
        ((2 * factors * x.detach()) ** 2).sum(dim=(1, 2, 3)),
    )
    critic = Discriminator(8, 64, 4, planes=1).double()
    images = drawn(1, 1, 8, 8).requires_grad_(True)
    penalty = gradient_penalty(critic(images), images)
    slopes = torch.zeros_like(images)
    with torch.no_grad():
        for place in np.ndindex(*images.shape):
            step = torch.zeros_like(images)
            step[place] = 1e-6
            slopes[place] = (critic(images + step) - critic(images - step)).sum() / 2e-6
    torch.testing.assert_close(
        penalty.detach(), slopes.square().sum(dim=(1, 2, 3)), rtol=1e-5, atol=0
    )
    penalty.sum().backward()
    assert all(p.grad is not None for name, p in critic.named_parameters() if "weight" in name)


def test_path_lengths_are_those_of_the_jacobian() -> None:
    synthesis = Synthesis(8, 64, 4, 5).double()
    codes = drawn(1, synthesis.codes, 5).requires_grad_(True)
    noises = [drawn(1, 1, s, s, seed=s) for s in synthesis.noise_sides]
    fresh = drawn(1, 3, 8, 8, seed=2)
    found = path_lengths(synthesis(codes, noises), codes, fresh)
    jacobian = torch.autograd.functional.jacobian(lambda c: synthesis(c, noises), codes)
    slopes = torch.einsum("nchw,nchwmld->mld", fresh / 8, jacobian)
    torch.testing.assert_close(found, slopes.square().sum(dim=2).mean(dim=1).sqrt())


def test_levels_and_widths_are_the_published_ones() -> None:
    assert levels_of(256) == [4, 8, 16, 32, 64, 128, 256]
    assert [channels_at(s, 16384, 512) for s in levels_of(256)] == [512] * 4 + [256, 128, 64]
    with torch.device("meta"):
        synthesis = Synthesis(256, 16384, 512, 512)
    assert synthesis.codes == 14
    assert synthesis.noise_sides == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256]


def test_every_code_and_every_noise_of_an_image_counts() -> None:
    synthesis = Synthesis(16, 64, 4, 5)
    with torch.no_grad():
        for name, parameter in synthesis.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.5)
    codes = torch.randn(2, synthesis.codes, 5, requires_grad=True)
    noises = [torch.randn(2, 1, s, s, requires_grad=True) for s in synthesis.noise_sides]
    image = synthesis(codes, noises)
    assert image.shape == (2, 3, 16, 16)
    image.square().sum().backward()
    assert codes.grad is not None
    assert (codes.grad.abs().amax(dim=2) > 0).all()
    assert all(noise.grad is not None and noise.grad.abs().max() > 0 for noise in noises)

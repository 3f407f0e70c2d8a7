"""StyleGAN2's blocks, from its formulas.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020: modulated and
demodulated convolutions, a generator whose images are summed level by level, a residual
discriminator, equalised learning rates, resampling by the filter [1, 3, 3, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
EPSILON = 1e-8
MAPPING_RATE = 0.01
"""Learning rate of the mapping's layers, as a share of the others'."""
GROUP = 4
"""Images over which the discriminator takes standard deviations."""


def channels_at(side: int, base: int, most: int) -> int:
    """Return the channels of a level of `side` pixels: base / side, at most `most`."""
    return min(base // side, most)


def levels_of(side: int) -> list[int]:
    """Return the sides of the levels: 4, 8, ... up to `side`."""
    return [1 << power for power in range(2, side.bit_length())]


def leaky(x: Tensor) -> Tensor:
    """Return the leaky ReLU, scaled to keep the second moment of standard normal input."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


def _filter(x: Tensor, gain: float) -> Tensor:
    """Return the filter's kernel for each channel of `x`: (C, 1, 4, 4), summing to `gain`."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8
    return (torch.outer(taps, taps) * gain).expand(x.shape[1], 1, 4, 4)


def smooth(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Filter (N, C, h, w) after padding with zeros: sides grow by 2 padding - 3."""
    return F.conv2d(x, _filter(x, gain), padding=padding, groups=x.shape[1])


def enlarge(x: Tensor) -> Tensor:
    """Double the sides of (N, C, h, w): zeros between the pixels, then the filter."""
    return F.conv_transpose2d(x, _filter(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def reduce(x: Tensor) -> Tensor:
    """Halve the sides of (N, C, h, w): the filter, then every second pixel."""
    return F.conv2d(x, _filter(x, 1.0), stride=2, padding=1, groups=x.shape[1])


class EqualLinear(nn.Module):
    """A linear layer whose weights are standard normal and scaled when used.

    rate: learning rate as a share of the optimiser's, which Adam's scale invariance makes of the
    scaling; bias: its first value.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution with an equalised learning rate; `down` halves the sides, filtered first."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, down: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.down = 1 / math.sqrt(inputs * kernel * kernel), down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.down:
            return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)
        if weight.shape[-1] == 1:
            return F.conv2d(reduce(x), weight, self.bias)
        return F.conv2d(smooth(x, 2), weight, self.bias, stride=2)


class ModulatedConv(nn.Module):
    """A convolution whose weights w are, for every image, scaled by a style s of the code.

    w'_oik = s_i w_oik, divided by the root of its sum of squares over i and k where
    `demodulate` (equations 1 and 3). Scaling the input by s and the output by that norm computes
    the same, without weights for each image. `up` doubles the sides, filtered afterwards.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        latent: int,
        *,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.style = EqualLinear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain = 1 / math.sqrt(inputs * kernel * kernel)
        self.demodulate, self.up = demodulate, up

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        style, weight = self.style(code), self.weight * self.gain
        x = x * style[:, :, None, None]
        if self.up:
            y = smooth(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
        else:
            y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            squares = F.linear(style.square(), weight.square().sum(dim=(2, 3)))
            y = y * (squares + EPSILON).rsqrt()[:, :, None, None]
        return y


class StyledConv(nn.Module):
    """A modulated 3x3 convolution with noise of a learned strength, a bias and a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, latent, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        y = self.conv(x, code) + self.strength * noise
        return leaky(y + self.bias[:, None, None])


class ToPlanes(nn.Module):
    """A modulated 1x1 convolution from features to an image, or to a mask's values."""

    def __init__(self, inputs: int, planes: int, latent: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, planes, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(planes))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        planes: Tensor = self.conv(x, code) + self.bias[:, None, None]
        return planes


class CodeMapping(nn.Module):
    """From noise z, normalised, to a code w, by two layers: (N, latent) to (N, latent)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EqualLinear(latent, latent, rate=MAPPING_RATE) for _ in range(2)
        )

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
        for layer in self.layers:
            x = leaky(layer(x))
        return x


class Pair(nn.Module):
    """The two convolutions of a level, of which the first doubles the sides."""

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.first = StyledConv(inputs, outputs, latent, up=True)
        self.second = StyledConv(outputs, outputs, latent)

    def forward(self, x: Tensor, codes: Sequence[Tensor], noises: Sequence[Tensor]) -> Tensor:
        y: Tensor = self.second(self.first(x, codes[0], noises[0]), codes[1], noises[1])
        return y


Added = Callable[[int, Tensor], Tensor]
"""From a level's number and the features that come into it to what is added to its own."""


class Synthesis(nn.Module):
    """From codes to an image of `side` pixels, level by level: 4, 8, ...

    Codes are (N, `codes`, latent): one for each convolution, and the last for the last image; every
    level's image takes the code of the convolution that follows it. Noise is (N, 1, s, s) for every
    side s in `noise_sides`.
    """

    def __init__(self, side: int, base: int, most: int, latent: int) -> None:
        super().__init__()
        self.sides = levels_of(side)
        widths = [channels_at(s, base, most) for s in self.sides]
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.start = StyledConv(widths[0], widths[0], latent)
        self.pairs = nn.ModuleList(Pair(one, other, latent) for one, other in pairwise(widths))
        self.images = nn.ModuleList(ToPlanes(width, 3, latent) for width in widths)

    @property
    def codes(self) -> int:
        """How many codes an image takes."""
        return 2 * len(self.sides)

    @property
    def noise_sides(self) -> list[int]:
        """The sides of the noise that the convolutions add, in their order."""
        return [4] + [side for side in self.sides[1:] for _ in range(2)]

    def through(
        self,
        levels: range,
        x: Tensor | None,
        image: Tensor | None,
        codes: Tensor,
        noises: Sequence[Tensor],
        added: Added | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return features and image, (N, C, s, s) and (N, 3, s, s), after some levels.

        x, image: after the level before the first of them; None before level 0.
        """
        for level in levels:
            if x is None or level == 0:
                x = self.constant.expand(len(codes), -1, -1, -1)
                x = self.start(x, codes[:, 0], noises[0])
            else:
                at = 2 * level - 1
                both = codes[:, at], codes[:, at + 1]
                own = self.pairs[level - 1](x, both, noises[at : at + 2])
                x = own if added is None else own + added(level, x)
            seen = self.images[level](x, codes[:, 2 * level + 1])
            image = seen if image is None else enlarge(image) + seen
        assert x is not None
        assert image is not None
        return x, image

    def forward(self, codes: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Return images, float (N, 3, side, side) in about [-1, 1]."""
        return self.through(range(len(self.sides)), None, None, codes, noises)[1]


class Backbone(nn.Module):
    """StyleGAN2's generator: a mapping and a synthesis."""

    def __init__(self, side: int, base: int, most: int, latent: int) -> None:
        super().__init__()
        self.mapping = CodeMapping(latent)
        self.synthesis = Synthesis(side, base, most, latent)

    def codes(self, z: Tensor) -> Tensor:
        """Return the codes of noise (N, latent), the same for every layer: (N, codes, latent)."""
        w: Tensor = self.mapping(z)
        return w[:, None].expand(-1, self.synthesis.codes, -1)


class Halving(nn.Module):
    """A residual level of the discriminator, which halves the sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3, down=True)
        self.skip = EqualConv(inputs, outputs, 1, bias=False, down=True)

    def forward(self, x: Tensor) -> Tensor:
        y = leaky(self.second(leaky(self.first(x))))
        total: Tensor = (y + self.skip(x)) / math.sqrt(2)
        return total


class Discriminator(nn.Module):
    """From images of `planes` channels to one logit each: (N, planes, side, side) to (N,)."""

    def __init__(self, side: int, base: int, most: int, planes: int = 3) -> None:
        super().__init__()
        sides = levels_of(side)[::-1]
        widths = [channels_at(s, base, most) for s in sides]
        self.start = EqualConv(planes, widths[0], 1)
        self.levels = nn.ModuleList(Halving(one, other) for one, other in pairwise(widths))
        self.last = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.hidden = EqualLinear(widths[-1] * 16, widths[-1])
        self.output = EqualLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        x = leaky(self.start(images))
        for level in self.levels:
            x = level(x)
        x = leaky(self.last(torch.cat([x, deviation(x)], dim=1)))
        x = leaky(self.hidden(x.flatten(1)))
        logits: Tensor = self.output(x).squeeze(1)
        return logits


def deviation(x: Tensor) -> Tensor:
    """Return each image's share in its group's mean standard deviation: (N, 1, h, w).

    Groups are of four images (of two or one where their number is not divisible), spread over the
    batch.
    """
    count, _, height, width = x.shape
    group = math.gcd(count, GROUP)
    apart = x.reshape(group, count // group, *x.shape[1:])
    spread = (apart - apart.mean(dim=0)).square().mean(dim=0)
    level = (spread + EPSILON).sqrt().mean(dim=(1, 2, 3))
    return level.repeat(group).reshape(count, 1, 1, 1).expand(-1, 1, height, width)


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return R1 of each image, the squared norm of its gradient: float (N,).

    Source: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018.
    images: (N, C, H, W), the discriminator's input, with gradients.
    """
    (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slopes.square().sum(dim=(1, 2, 3))


def path_lengths(images: Tensor, codes: Tensor, fresh: Tensor) -> Tensor:
    """Return how far images move with their codes: float (N,), section 3.2 of the paper.

    fresh: standard normal noise of the images' shape.
    """
    height, width = images.shape[2:]
    projected = (images * fresh).sum() / math.sqrt(height * width)
    (slopes,) = torch.autograd.grad(projected, codes, create_graph=True)
    return slopes.square().sum(dim=2).mean(dim=1).sqrt()

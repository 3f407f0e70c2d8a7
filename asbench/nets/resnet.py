"""ResNet-18 as a feature extractor of any width, and the residual blocks it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's RGB channels in [0, 1]: what torchvision's weights expect."""

STEM = ("conv1", "bn1")
"""The layers in front of the residual ones."""


class ResNet18(nn.Module):
    """torchvision's ResNet-18 without pooling and classifier; its weights fit name by name.

    Maps float (B, 3, H, W) RGB in [0, 1] to its levels, a dict: `stem` (B, w, H/2, W/2), then
    `layer1` (w, a 4th), `layer2` (2w, an 8th), `layer3` (4w, a 16th), `layer4` (8w, a 32nd).
    ImageNet's mean and deviation are taken off inside.

    Args:
        width: w; 64 is the published network, and the only one torchvision has weights for.
        depth: the deepest of the four residual layers that is built.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        w = width
        # Constants, not weights: they follow the device and stay out of the state.
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.conv1 = nn.Conv2d(3, w, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layers = tuple(f"layer{place}" for place in range(1, depth + 1))
        channels = w
        for place, name in enumerate(self.layers):
            self.add_module(name, residual_layer(channels, w << place, stride=1 + (place > 0)))
            channels = w << place
        init_kaiming(self)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels by name, in the order of their depth."""
        x = self.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        levels = {"stem": x}
        x = self.maxpool(x)
        for name in self.layers:
            x = self.get_submodule(name)(x)
            levels[name] = x
        return levels


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with norms, added to the shortcut: torchvision's, under its names.

    Written here because importing torchvision takes as long as importing torch.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        x += shortcut
        return cast(Tensor, self.relu(x))


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without bias on every `stride`-th row and column.

    On CPUs the pixels are picked first, which is the same function: oneDNN's own strided 1x1
    convolution writes past its workspace when it differentiates channels-last weights of fewer than
    16 input channels (uxlfoundation/oneDNN issue 6035; with torch 2.15: segmentation faults).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.pick = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride)."""
        if x.is_cuda:
            return F.conv2d(x, self.weight, stride=self.pick)
        return super().forward(x[:, :, :: self.pick, :: self.pick])


def residual_layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return two residual blocks; where size or channels change, 1x1 conv and norm shortcut."""
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(Pointwise(inputs, outputs, stride), nn.BatchNorm2d(outputs))
    return nn.Sequential(
        BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs)
    )


def init_kaiming(net: nn.Module) -> None:
    """Initialise in place as torchvision does: He's normal by fan-out, norms as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def silence_residuals(net: nn.Module) -> None:
    """Start every residual block as its shortcut: the last norm's weight is 0. In place.

    timm's default for a network without weights. Source: Goyal et al., Accurate, large minibatch
    SGD, 2017, section 5.1.
    """
    for module in net.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)


def freeze(*nets: nn.Module) -> None:
    """Take the parameters out of training; gradients still flow through."""
    for net in nets:
        net.requires_grad_(False)


@torch.no_grad()
def measure_statistics(
    net: nn.Module, batches: Iterable[Tensor], parts: Sequence[nn.Module]
) -> None:
    """Set the running statistics of the batch norm in `parts` to their mean over `batches`.

    In place; modes stay. For frozen parts that nobody trained: at the initial statistics, mean 0
    and variance 1, all their features would point the same way.
    """
    norms = [m for part in parts for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain mean over the batches
    for batch in batches:
        net(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, training in modes:
        module.training = training

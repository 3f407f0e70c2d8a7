"""The building blocks of DRAEM's networks, and how they are initialised."""

from __future__ import annotations

from torch import Tensor, nn

from asbench.nets.device import full_precision


class Float32Conv(nn.Conv2d):
    """A convolution in float32, in mixed precision too: of pixels, and of what is said of them.

    A surface varies by hundredths about its mean, and bfloat16 keeps 8 bits of the sum of both;
    behind the batch norm, which takes the mean away, it is too late.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to float32."""
        with full_precision(x.device):
            return super().forward(x.float())


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution with bias, batch norm, ReLU. `channels` reads in, middle, out.

    of_pixels: whether it looks at images.
    """

    def __init__(self, *channels: int, of_pixels: bool = False) -> None:
        first, middle, last = channels
        kind = Float32Conv if of_pixels else nn.Conv2d
        super().__init__(
            kind(first, middle, 3, padding=1),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, last, 3, padding=1),
            nn.BatchNorm2d(last),
            nn.ReLU(inplace=True),
        )


class Up(nn.Sequential):
    """Twice the size by bilinear interpolation (corners aligned), then conv, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


def init_normal(net: nn.Module) -> None:
    """Initialise in place as DRAEM's authors do, drawing from torch's default generator.

    Convolution weights from N(0, 0.02), batch norm weights from N(1, 0.02), batch norm biases 0;
    convolution biases keep torch's default.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)

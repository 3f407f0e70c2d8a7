"""Frozen networks whose features detectors stand on: named, in eval mode, one contract for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asbench.nets.detector import Backbone
from asbench.nets.lite0 import TO_STRIDE_16, Lite0
from asbench.nets.resnet import MEAN, STD, STEM, ResNet18, freeze
from asbench.nets.timm_levels import LAYERS as TIMM_LAYERS
from asbench.nets.timm_levels import TIMM, TimmLevels, timm_version
from synth_store.rng import address_rng
from synth_store.types import UserError

FEWER = "/"
"""Between a network's name and how many channels are kept of each level."""
TAKEN = (2, 4, TO_STRIDE_16 - 1)
"""The blocks of Lite0 that end its levels."""
LAYERS = ("layer1", "layer2", "layer3")


@dataclass(frozen=True)
class Kind:
    """A network that features come from.

    channels: of its three levels; layers: those its weights must hold; build: makes it, unfilled,
    to map float32 (B, 3, H, W) in [0, 1] to its levels.
    """

    channels: tuple[int, int, int]
    layers: tuple[str, ...]
    build: Callable[[], nn.Module]


class LiteLevels(Lite0):
    """EfficientNet-Lite0 up to its last block at stride 16."""

    def __init__(self) -> None:
        super().__init__(TO_STRIDE_16)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels."""
        outputs = super().forward(images)
        return [outputs[block] for block in TAKEN]


class ResNet18Levels(ResNet18):
    """ResNet-18 up to its third layer."""

    def __init__(self) -> None:
        super().__init__(depth=3)

    def forward(self, images: Tensor) -> list[Tensor]:  # type: ignore[override]
        """Return the levels."""
        levels = super().forward(images)
        return [levels[name] for name in LAYERS]


class WideLevels(nn.Module):
    """torchvision's Wide ResNet-50-2 up to its third layer."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        from torchvision.models import wide_resnet50_2  # late: 1.4 s that no other network needs

        super().__init__()
        whole = wide_resnet50_2(weights=None)
        for name, module in whole.named_children():
            if name in {*STEM, "relu", "maxpool", *LAYERS}:
                self.add_module(name, module)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels."""
        x = (images - self.mean) / self.std
        for name in (*STEM, "relu", "maxpool"):
            x = self.get_submodule(name)(x)
        levels = []
        for name in LAYERS:
            x = self.get_submodule(name)(x)
            levels.append(x)
        return levels


KINDS: Mapping[str, Kind] = {
    "lite0": Kind((24, 40, 112), ("_conv_stem", "_blocks"), LiteLevels),
    "resnet18": Kind((64, 128, 256), (*STEM, *LAYERS), ResNet18Levels),
    "wide_resnet50_2": Kind((256, 512, 1024), (*STEM, *LAYERS), WideLevels),
}


CHOICES = (*KINDS, f"{TIMM}NAME")
"""What may stand in front of `FEWER`."""


class Projection(nn.Module):
    """Maps (B, C, H, W) to fewer channels by a Gaussian matrix that is a function of both numbers.

    Distances and products are kept as well as so few numbers can, whatever the features are.
    Source: Johnson and Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, 1984.
    """

    weight: Tensor

    def __init__(self, channels: int, fewer: int) -> None:
        super().__init__()
        rows = address_rng("projection", channels, fewer).standard_normal((fewer, channels))
        matrix = torch.from_numpy(rows / fewer**0.5).float()
        # Kept with the detector, so that another version's chance changes nothing of what is.
        self.register_buffer("weight", matrix[..., None, None])

    def forward(self, maps: Tensor) -> Tensor:
        """Return float32 (B, `fewer`, H, W)."""
        return F.conv2d(maps, self.weight)


class Frozen(nn.Module):
    """A pretrained network that never learns: images to the features of three levels.

    name: a key of `KINDS`, or `timm:NAME`; `/32` behind it projects each level that has more than
    32 channels to 32. Raises UserError for another. Weights come by `fill`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        network, slash, fewer = name.partition(FEWER)
        if network.startswith(TIMM):
            timm = TimmLevels(network.removeprefix(TIMM))
            self.net: nn.Module = timm
            channels, self.layers = timm.channels, TIMM_LAYERS
        elif network in KINDS:
            self.net = KINDS[network].build()
            channels, self.layers = KINDS[network].channels, KINDS[network].layers
        else:
            raise UserError(f"backbone {name!r} is unknown: choose from {', '.join(CHOICES)}.")
        most = _kept_channels(name, fewer, channels) if slash else max(channels)
        self.name, self.network = name, network
        fine, middle, coarse = (min(most, count) for count in channels)
        self.channels = fine, middle, coarse
        self.fewer = nn.ModuleList(
            Projection(count, most) if count > most else nn.Identity() for count in channels
        )
        freeze(self.net)
        self.eval()
        self.filled = False

    def needed(self) -> Backbone:
        """Return which weights it needs; its batch norm may be folded, since it stays as it is."""
        instead = "with --set backbone_name=lite0"
        return Backbone(self.network, self.layers, folded=True, instead=instead)

    def weights(self) -> dict[str, Tensor]:
        """Return all that its features depend on: of a network that keeps its channels `net`'s."""
        return {**self.net.state_dict(), **self.fewer.state_dict(prefix="fewer.")}

    def versions(self) -> dict[str, str]:
        """Return by name the version of the library that the network is of, if it is not ours."""
        return {"timm": timm_version()} if isinstance(self.net, TimmLevels) else {}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights, as `find_pretrained` gives them."""
        self.net.load_state_dict(dict(tensors))
        self.filled = True

    def train(self, mode: bool = True) -> Frozen:
        """Stay in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map float32 (B, 3, H, W) in [0, 1] to float32 (B, C, H/s, W/s), s in 4, 8, 16."""
        pairs = zip(self.net(images), self.fewer, strict=True)
        return tuple(fewer(level) for level, fewer in pairs)


def _kept_channels(name: str, text: str, channels: tuple[int, ...]) -> int:
    most = int(text) if text.isdecimal() else 0
    if str(most) != text or not 0 < most < max(channels):
        raise UserError(
            f"backbone {name!r} should keep {text!r} channels of each level: give a whole number "
            f"from 1 to {max(channels) - 1}, of which it has up to {max(channels)}."
        )
    return most

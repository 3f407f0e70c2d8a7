"""Frozen networks whose features detectors stand on: named, in eval mode, one contract for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import wide_resnet50_2

from asbench.nets.detector import Backbone
from asbench.nets.lite0 import TO_STRIDE_16, Lite0
from asbench.nets.resnet import MEAN, STD, STEM, ResNet18, freeze
from synth_store.types import UserError

STRIDES = (4, 8, 16)
"""Of the levels that every backbone gives, finest first."""
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


class Frozen(nn.Module):
    """A pretrained network that never learns: images to the features of three levels.

    name: a key of `KINDS`; raises UserError for another. Weights come by `fill`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in KINDS:
            raise UserError(f"backbone {name!r} is unknown: choose from {', '.join(KINDS)}.")
        self.name, self.channels = name, KINDS[name].channels
        self.net = KINDS[name].build()
        freeze(self.net)
        self.eval()
        self.filled = False

    def needed(self) -> Backbone:
        """Return which weights it needs; its batch norm may be folded, since it stays as it is."""
        instead = "with --set backbone_name=lite0"
        return Backbone(self.name, KINDS[self.name].layers, folded=True, instead=instead)

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
        return tuple(self.net(images))

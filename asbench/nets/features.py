"""Detectors that learn from what a frozen backbone says of an image, never from its pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asbench.nets.backbones import CHOICES, FEWER, KINDS, Frozen
from asbench.nets.coreset import Nearest
from asbench.nets.detector import Backbone, Batch, Detector
from asbench.nets.device import full_precision
from asbench.nets.pretrained import check_loaded
from asbench.nets.smoothing import enlarging, gaussian
from asbench.nets.timm_levels import TIMM
from synth_store.types import UserError

RANDOM = "random"
"""In place of a backbone's name: EfficientNet-Lite0 with weights that nobody trained."""
NAMES = (
    "Frozen network: `lite0`, `resnet18`, `wide_resnet50_2`, `timm:NAME`; or `random`. "
    "`/32` behind it keeps 32 channels a level."
)
"""What `backbone_name` may be, as its doc."""
SOME = 64
"""Images whose gathered features are in float32 at once."""
CELL, COARSE = 8, 16
"""Strides of the two levels that are used, in pixels."""
TOGETHER = 1
"""Images that pass through a backbone at once: an image's features are then the same, to the bit,
whatever stands beside it. On a core it is as quick as many, whose layers leave the cache."""


@dataclass(frozen=True)
class Features:
    """What a backbone says of B images: float16, two of its levels.

    fine: (B, H/8, W/8, C); coarse: (B, H/16, W/16, D): the numbers of a cell lie together.
    """

    fine: Tensor
    coarse: Tensor

    def __len__(self) -> int:
        return len(self.fine)

    def __getitem__(self, part: slice) -> Features:
        return Features(self.fine[part], self.coarse[part])

    @property
    def levels(self) -> tuple[Tensor, Tensor]:
        """Both, the fine one first."""
        return self.fine, self.coarse

    @property
    def bytes_each(self) -> int:
        """What one image's features take."""
        return sum(level[0].numel() * level.element_size() for level in self.levels)

    def chosen(self, at: Tensor) -> Features:
        """Return the features of the images at these places, int64 (B,)."""
        return Features(self.fine.index_select(0, at), self.coarse.index_select(0, at))

    def put(self, at: Tensor, features: Features) -> None:
        """Write the features of other images to these places, int64 (B,)."""
        for own, other in zip(self.levels, features.levels, strict=True):
            own.index_copy_(0, at.to(own.device), other)

    @staticmethod
    def together(parts: list[Features]) -> Features:
        """Return the features of all parts, one after the other."""
        return Features(
            torch.cat([part.fine for part in parts]), torch.cat([part.coarse for part in parts])
        )


@dataclass(frozen=True)
class FeatureBatch:
    """What a training step sees of images whose features are at hand.

    share: float32 (B, H/s, W/s), how much of each square of the detector's `square` s is anomalous,
    in [0, 1]; source: int64 (B,), which of the remembered normals each image is or was drawn on, of
    tiles which photograph, -1 where it is none of them; nearest: (B, H/8 * W/8), what each cell is
    nearest to of what is remembered, where a detector asks for that and it is known before.
    """

    features: Features
    share: Tensor
    source: Tensor
    nearest: Nearest | None = None


def as_cells(maps: Tensor) -> Tensor:
    """Return maps (B, C, H, W) with the channels of a cell side by side: (B, H, W, C)."""
    return maps.permute(0, 2, 3, 1).contiguous()


def averaged(cells: Tensor) -> Tensor:
    """Return the mean of each cell and its neighbours, 0 beyond the edge: float32 (B, H, W, C).

    Cells at the edge are so drawn towards 0, as PatchCore's are. Their features, of which a part is
    the backbone's own padding, would else be the most unusual ones of many good photographs.
    """
    maps = cells.float().permute(0, 3, 1, 2)
    return as_cells(F.avg_pool2d(maps, 3, 1, 1))


def enlarged(cells: Tensor, height: int, width: int) -> Tensor:
    """Return cells (B, h, w, C) at another size, bilinear: (B, H, W, C)."""
    maps = F.interpolate(
        cells.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False
    )
    return as_cells(maps)


def gathered(features: Features) -> Tensor:
    """Return both levels, averaged, at the fine one's size: float32 (B, H/8, W/8, C + D).

    The patches of PatchCore, equation 2: one vector a cell, of its neighbourhood on two levels.
    """
    fine, coarse = averaged(features.fine), averaged(features.coarse)
    return torch.cat([fine, enlarged(coarse, *fine.shape[1:3])], dim=-1)


def some_cells(total: int, count: int, generator: torch.Generator) -> Tensor:
    """Return which of `total` cells are drawn, `count` of them, all if they are fewer: (total,)."""
    drawn = torch.zeros(total, dtype=torch.bool)
    drawn[torch.randperm(total, generator=generator)[:count]] = True
    return drawn


def cells_of(features: Features, drawn: Tensor) -> Tensor:
    """Return the gathered features of the cells that are drawn, bool (B H/8 W/8,): (n, C + D)."""
    each = features.fine[0, ..., 0].numel()
    rows = []
    for begin in range(0, len(features), SOME):
        part = gathered(features[begin : begin + SOME]).flatten(0, 2)
        here = drawn[begin * each : begin * each + len(part)]
        rows.append(part[here.to(part.device)])
    return torch.cat(rows)


def cell_share(mask: Tensor, square: int = CELL) -> Tensor:
    """Return how much of each square is marked: float32 (B, 1, H, W) to (B, H/s, W/s)."""
    return F.avg_pool2d(mask, square)[:, 0]


class FeatureDetector(Detector):
    """A detector on a frozen backbone; `backbone_name` is a parameter of every one of them.

    Trained from stored features or, where a batch brings pixels, from those it computes: the same
    numbers either way. Training-time augmentation of the image is what it gives up.
    """

    stride: ClassVar[int] = COARSE

    backbone_name: str
    sigma: float
    untrained: bool
    """Whether nobody trained the backbone's weights."""

    def make_backbone(self) -> None:
        """Build the backbone of the parameters, and what smooths the maps."""
        network, slash, fewer = self.backbone_name.partition(FEWER)
        if network not in (*KINDS, RANDOM) and not network.startswith(TIMM):
            raise UserError(
                f"backbone_name={self.backbone_name!r} is unknown: choose from "
                f"{', '.join((*CHOICES, RANDOM))}; {FEWER}32 behind it keeps 32 channels a level."
            )
        self.untrained = network == RANDOM
        if self.sigma <= 0:
            raise UserError(f"sigma={self.sigma:g} smooths nothing: it must be positive.")
        self.extractor = Frozen(f"{'lite0' if self.untrained else network}{slash}{fewer}")
        self.register_buffer("kernel", gaussian(self.sigma), persistent=False)

    @property
    def square(self) -> int:
        """Side, in pixels, of the squares whose anomalous share a batch tells."""
        return CELL

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the fine and of the coarse level."""
        return self.extractor.channels[1], self.extractor.channels[2]

    def backbone(self) -> Backbone | None:
        """Return the pretrained network; None for the random one."""
        return None if self.untrained else self.extractor.needed()

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the backbone."""
        self.extractor.fill(tensors)

    @torch.no_grad()
    def look(self, images: Tensor) -> Features:
        """Return the features of float32 (B, 3, H, W) images in [0, 1]."""
        with full_precision(images.device):
            parts = [
                Features(*(as_cells(level).half() for level in self.extractor(some)[1:]))
                for some in self._split(images)
            ]
            return Features.together(parts)

    @staticmethod
    def _split(images: Tensor) -> tuple[Tensor, ...]:
        """Return the images as they are looked at; an exported program takes any number at once."""
        return (images,) if torch.compiler.is_exporting() else torch.split(images, TOGETHER)

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        """Look at the training normals, uint8 (N, 3, H, W), and remember their features."""
        if not self.untrained:
            check_loaded(type(self).__name__.lower(), self.extractor.filled, RANDOM)
        device = self.get_buffer("kernel").device
        parts = [
            self.look(some.to(device).float() / 255) for some in torch.split(normals, TOGETHER)
        ]
        self.remember(Features.together(parts), generator)

    @abstractmethod
    def remember(
        self, normals: Features, generator: torch.Generator, whole: Tensor | None = None
    ) -> None:
        """Look at the features of the training normals before the first step.

        whole: int64 (N,), the photograph that each is of, where they are tiles.
        """

    @abstractmethod
    def learn(self, batch: FeatureBatch) -> Tensor:
        """Return the loss of a batch: a scalar."""

    @abstractmethod
    def judge(self, features: Features) -> Tensor:
        """Return how anomalous each cell is, on a grid over the image: float32 (B, h, w)."""

    def loss(self, batch: Batch | FeatureBatch) -> Tensor:
        """Return the loss of a batch of pixels or of features: a scalar."""
        if isinstance(batch, Batch):
            nowhere = torch.full((len(batch.image),), -1, device=batch.image.device)
            batch = FeatureBatch(
                self.look(batch.image), cell_share(batch.mask, self.square), nowhere
            )
        return self.learn(batch)

    def forward(self, images: Tensor) -> Tensor:
        """Return the smoothed maps: float32 (B, H, W)."""
        return self.maps(self.look(images))

    def maps_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps (B, H, W) of images and their scores (B,)."""
        return self.maps_and_scores_of(self.look(images))

    def maps_and_scores_of(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the maps (B, H, W) of images whose features are at hand, and their scores (B,).

        Overridden, in place of `maps_and_scores`, where a score is not a function of its map alone.
        """
        maps = self.maps(features).float()
        return maps, self.image_scores(maps).float()

    @staticmethod
    def apart(cells: Tensor) -> list[Tensor]:
        """Return cells (B, H, W, C) image by image, (H W, C) each.

        One at a time is what caches hold; an exported program takes any number at once.
        """
        return [cells.flatten(0, 2)] if torch.compiler.is_exporting() else [*cells.flatten(1, 2)]

    def maps(self, features: Features) -> Tensor:
        """Return the cells' values at the image's size, smoothed: float32 (B, H, W)."""
        return self.spread(self.judge(features), features)

    def spread(self, cells: Tensor, features: Features) -> Tensor:
        """Return cells (B, h, w) at the size of the features' images, smoothed: (B, H, W)."""
        kernel = self.get_buffer("kernel")
        sides = zip(features.fine.shape[1:3], cells.shape[1:3], strict=True)
        down, across = (enlarging(cell, side * CELL // cell, kernel) for side, cell in sides)
        with full_precision(kernel.device):
            return down @ cells.float() @ across.mT

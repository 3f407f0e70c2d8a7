"""PatchCore: how far is each patch from the nearest remembered patch of the normals?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asbench.nets.backbones import LAYERS, Frozen
from asbench.nets.coreset import greedy_coreset, nearest_distances
from asbench.nets.detector import Backbone, Detector, Protocol, Stage
from asbench.nets.pretrained import check_choice, check_loaded
from asbench.nets.resnet import STEM, ResNet18, freeze, measure_statistics
from asbench.nets.smoothing import gaussian, smoothed
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "lite0": {"pretrained": "lite0", "coreset": 0.01},
    "scratch": {"pretrained": "none"},
    "tiny-scratch": {"pretrained": "none", "width": 8},
}
"""`lite0`: on EfficientNet-Lite0, whose weights are always at hand, with the smallest memory that
the paper reports. `scratch`: random features, for where there are no weights. `tiny-scratch`: an
eighth of the widths as well. What those two score says what random features are worth, not what
PatchCore is."""

LITE0 = "lite0"

NEIGHBOURHOOD = 3


@dataclass(eq=False)
class Patchcore(Detector):
    """A memory of patch features of the normals; the anomaly map is the distance from it.

    The baseline that no synthesis plays a part in: it learns from normals alone, in `prepare`, and
    trains nothing. Patches are the features of layers 2 and 3, each averaged over 3x3 neighbours,
    layer 3 enlarged to layer 2's size. A greedy coreset of them is kept: again and again the patch
    that lies farthest from all that were chosen, found in a random projection to 128 dimensions.

    Two things differ from the authors': the features are a ResNet-18's, or Lite0's, not a Wide
    ResNet-50's; and the score of an image is its map's largest value, without the
    factor made of the nearest patch's own neighbours (their equation 7). Maps are distances, from 0
    up without a bound. The normals that it remembers lie nearer than others do: its threshold is
    chosen on normals kept out of the memory, and means little where none are (`--kept-out 0`).
    """

    title = "PatchCore (ResNet-18)"
    paper = (
        "Roth, Pemula, Zepeda, Schoelkopf, Brox, Gehler: Towards total recall in industrial "
        "anomaly detection, CVPR 2022"
    )
    url = "https://github.com/amazon-science/patchcore-inspection"
    protocol = Protocol(batch=8, ratio=0.0, steps=0)
    stride = 16

    width: int = parameter(64, "Channels of layer 1; 64 is the published ResNet-18.")
    pretrained: str = parameter(
        "imagenet", "`imagenet` (ResNet-18, only at width 64), `lite0` or `none`."
    )
    coreset: float = parameter(
        0.1, "Share of all patches that is remembered; the paper reports 0.25, 0.1 and 0.01."
    )
    sigma: float = parameter(
        4.0, "Standard deviation of the Gaussian that smooths the map, in pixels."
    )

    def __post_init__(self) -> None:
        super().__init__()
        if self.width < 1 or not 0 < self.coreset <= 1 or self.sigma <= 0:
            raise UserError(
                f"patchcore with width={self.width}, coreset={self.coreset}, sigma={self.sigma} "
                "cannot be built: width must be at least 1, coreset above 0 and at most 1, sigma "
                "positive."
            )
        check_choice("patchcore", self.pretrained, ("imagenet", LITE0, "none"), self.width)
        self.loaded = self.pretrained == "none"
        if self.pretrained == LITE0:
            self.extractor: nn.Module = Frozen(LITE0)
        else:
            self.extractor = ResNet18(self.width, depth=3)
            freeze(self.extractor)
        self.bank: Tensor
        self.register_buffer("bank", torch.empty(0))
        self.register_buffer("kernel", gaussian(self.sigma), persistent=False)

    def backbone(self) -> Backbone | None:
        """Stem and layers 1 to 3, in eval mode throughout."""
        if self.pretrained == "none":
            return None
        if isinstance(self.extractor, Frozen):
            return self.extractor.needed()
        return Backbone("resnet18", (*STEM, *LAYERS), folded=True, instead="patchcore@scratch")

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the extractor."""
        if isinstance(self.extractor, Frozen):
            self.extractor.fill(tensors)
        else:
            self.extractor.load_state_dict(dict(tensors))
        self.loaded = True

    @torch.no_grad()
    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        """Remember a coreset of the patches of all normals."""
        check_loaded("patchcore", self.loaded)
        device = self.get_buffer("kernel").device
        batches = (some.to(device).float() / 255 for some in torch.split(normals, 8))
        if self.pretrained == "none":
            chosen = torch.randperm(len(normals), generator=generator)[:64]
            some = (normals[part].to(device).float() / 255 for part in torch.split(chosen, 8))
            measure_statistics(self.extractor, some, [self.extractor])
        self.extractor.eval()
        patches = torch.cat([self.patches(batch).flatten(0, 2) for batch in batches])
        count = max(1, round(self.coreset * len(patches)))
        self.bank = patches[greedy_coreset(patches, count, generator)]

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return none: there is nothing to train."""
        return ()

    def patches(self, images: Tensor) -> Tensor:
        """Return the features of every patch: float32 (B, H/8, W/8, 6 `width`), 152 on Lite0."""
        levels = self.extractor(images)
        if not isinstance(self.extractor, Frozen):
            levels = [levels[name] for name in LAYERS]
        fine, coarse = (
            F.avg_pool2d(level.float(), NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2)
            for level in levels[1:]
        )
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, coarse], dim=1).permute(0, 2, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the smoothed distance of every pixel's patch: float32 (B, H, W), from 0 up."""
        if self.bank.numel() == 0:
            raise RuntimeError(
                "PatchCore's memory is empty: call prepare(normals, generator) first"
            )
        patches = self.patches(images)
        near = nearest_distances(patches.flatten(0, 2), self.bank).view(patches.shape[:3])
        size = images.shape[-2:]
        maps = F.interpolate(near[:, None], size, mode="bilinear", align_corners=False)
        return smoothed(maps, self.get_buffer("kernel"))[:, 0]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest value of each map."""
        return maps.amax(dim=(1, 2))

"""PatchCore: how far is each patch from the nearest remembered patch of the normals?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asbench.nets.coreset import Bank, greedy_coreset
from asbench.nets.detector import Protocol, Stage
from asbench.nets.features import (
    NAMES,
    FeatureBatch,
    FeatureDetector,
    Features,
    cells_of,
    gathered,
    some_cells,
)
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "lite0": {"backbone_name": "lite0", "coreset": 0.01, "candidates": 100_000},
    "wide": {"backbone_name": "wide_resnet50_2"},
    "random": {"backbone_name": "random", "coreset": 0.01, "candidates": 100_000},
}
"""By backbone. `lite0`: whose weights are always at hand, with the smallest memory that the paper
reports, chosen from as many patches as take seconds. `wide`: the paper's. `random`: features that
nobody trained; what it scores says what those are worth, not what PatchCore is."""


@dataclass(eq=False)
class Patchcore(FeatureDetector):
    """A memory of patch features of the normals; the anomaly map is the distance from it.

    The baseline that no synthesis plays a part in: it learns from normals alone, before the first
    step, and trains nothing. Patches are the features of two levels, each averaged over 3x3
    neighbours, the coarse one enlarged to the fine one's size. A greedy coreset of them is kept:
    again and again the patch that lies farthest from all that were chosen, found in a random
    projection to 128 dimensions.

    Most of all two things differ from the authors': the features are a ResNet-18's, or Lite0's, not
    a Wide ResNet-50's, but for `wide`; and the score of an image is its map's largest value,
    without the factor made of the nearest patch's own neighbours (their equation 7). The rest is
    listed in docs/explanation/differences.md. Maps are distances, from 0 up without a bound. The
    normals that it remembers lie nearer than others do: its threshold is chosen on normals kept
    out of the memory, and means little where none are (`--kept-out 0`).
    """

    title = "PatchCore"
    paper = (
        "Roth, Pemula, Zepeda, Schoelkopf, Brox, Gehler: Towards total recall in industrial "
        "anomaly detection, CVPR 2022"
    )
    url = "https://github.com/amazon-science/patchcore-inspection"
    protocol = Protocol(batch=8, ratio=0.0, steps=0, seconds=(1.2, 0.1))

    backbone_name: str = parameter("resnet18", NAMES)
    coreset: float = parameter(
        0.1, "Share of all patches that is remembered; the paper reports 0.25, 0.1 and 0.01."
    )
    candidates: int = parameter(
        0, "Patches, drawn at random, that the coreset is chosen from; 0 for all, as published."
    )
    sigma: float = parameter(
        4.0, "Standard deviation of the Gaussian that smooths the map, in pixels."
    )

    def __post_init__(self) -> None:
        super().__init__()
        self.make_backbone()
        if not 0 < self.coreset <= 1 or self.candidates < 0:
            raise UserError(
                f"patchcore with coreset={self.coreset}, candidates={self.candidates} cannot be "
                "built: coreset must be above 0 and at most 1, candidates not negative."
            )
        self.bank: Tensor
        self.register_buffer("bank", torch.empty(0))

    def remember(
        self, normals: Features, generator: torch.Generator, whole: Tensor | None = None
    ) -> None:
        """Remember a coreset of the patches of all normals."""
        total = normals.fine[..., 0].numel()
        count = max(1, round(self.coreset * total))
        drawn = some_cells(total, max(count, self.candidates or total), generator)
        patches = cells_of(normals, drawn)
        self.bank = patches[greedy_coreset(patches, count, generator)]

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return none: there is nothing to train."""
        return ()

    def learn(self, batch: FeatureBatch) -> Tensor:
        """Raise: it has no stages, so that nobody asks."""
        raise NotImplementedError("PatchCore trains nothing: it has no loss")

    def judge(self, features: Features) -> Tensor:
        """Return the distance of every patch from the memory: float32 (B, H/8, W/8), from 0 up."""
        if self.bank.numel() == 0:
            raise RuntimeError(
                "PatchCore's memory is empty: call prepare(normals, generator) first"
            )
        patches = gathered(features)
        bank = Bank.of(self.bank)
        near = [bank.distances(part) for part in self.apart(patches)]
        return torch.cat(near).view(patches.shape[:3])

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest value of each map."""
        return maps.amax(dim=(1, 2))

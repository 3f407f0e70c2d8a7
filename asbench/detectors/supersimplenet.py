"""SuperSimpleNet: one head outlines, another scores, on adapted features of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from asbench.imaging.perlin import draw_mask
from asbench.nets.detector import Protocol, Stage
from asbench.nets.features import CELL, NAMES, FeatureBatch, FeatureDetector, Features
from asbench.nets.losses import focal_logits, margins
from asbench.nets.schedules import fall_twice
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "supervised": {"noise_threshold": 0.6, "detach": False, "clip": 1.0},
    "lite0": {
        "backbone_name": "lite0",
        "enlarge": 1,
        "hidden": 256,
        "width": 32,
        "noise_std": 0.0,
        "lr": 5e-4,
        "scored_by": "map",
    },
    "random": {
        "backbone_name": "random",
        "enlarge": 1,
        "hidden": 32,
        "width": 8,
        "lr": 1e-3,
    },
}
"""`supervised`: as published where defects are at hand, but for the flips of the images. `lite0`:
for processors, on the weights that are always at hand: the map as fine as level 2, a quarter of
the units, higher rates, few steps; only stored anomalies teach, and the score is the map's maximum,
since a step has a thousand times as many cells to learn from as images. `random`: features that
nobody trained, smaller still; what it scores says what those are worth."""

PROTOCOLS = {
    "lite0": Protocol(batch=16, ratio=0.5, steps=300, seconds=(0.02, 0.0002)),
    "random": Protocol(batch=16, ratio=0.5, steps=300, seconds=(0.02, 0.0002)),
}

MARKED = 0.5
"""A cell is anomalous where more of it than this is marked."""
SCALES = (0, 5)
"""Exponents of 2: the cells of the Perlin noise along an axis."""
UNTOUCHED = 0.5
"""Share of the images that get no noise."""
MARGIN, GAMMA = 0.5, 4.0
DECAY = 1e-5
FALL = 0.4
"""What the learning rates are multiplied by after 80 % and after 90 % of the steps."""


@dataclass(eq=False)
class Supersimplenet(FeatureDetector):
    """Features, adapted, are judged twice: cell by cell, and once for the whole image.

    Two levels of the backbone, both enlarged to a finer grid, averaged over 3x3 cells and adapted
    by a linear layer. The segmentation head is one hidden layer; the classification head sees the
    features and its map, and gives the image's score. Published without stored anomalies (ratio
    0): Gaussian noise on adapted features, under Perlin masks, is what it learns from, and every
    batch is taken twice, each copy under masks of its own. Here stored anomalies teach beside the
    noise, which stays off what they mark, or in place of it (`noise_std=0`).

    Differs from its code: a cell is marked where more than half of its pixels are, not half of the
    four in its middle; rates fall by steps, not epochs. The logits are what is returned, of map and
    score: sigmoid and stretching to 0..1, which change no order, are left out.

    Source: Rolih, Fucka, Skocaj, ICPR 2024; its supervised setting, JIM 2025.
    """

    title = "SuperSimpleNet"
    paper = (
        "Rolih, Fucka, Skocaj: SuperSimpleNet - Unifying unsupervised and supervised learning for "
        "fast and reliable surface defect detection, ICPR 2024"
    )
    url = "https://github.com/blaz-r/SuperSimpleNet"
    version = 2  # @lite0 is scored by its map
    protocol = Protocol(batch=32, ratio=0.5, epochs=300, seconds=(9.0, 0.02))

    backbone_name: str = parameter("wide_resnet50_2", NAMES)
    enlarge: int = parameter(2, "Cells of the map per cell of 8 pixels, along each axis: 1 or 2.")
    hidden: int = parameter(1024, "Units of the segmentation head's hidden layer.")
    width: int = parameter(128, "Channels of the classification head's convolution.")
    noise_std: float = parameter(
        0.015,
        "Standard deviation of the noise on adapted features; 0: only stored anomalies teach.",
    )
    noise_threshold: float = parameter(
        0.2, "Perlin noise above it marks where noise is added: 0.2 on MVTec AD, 0.6 on VisA."
    )
    detach: bool = parameter(
        True,
        "Whether the score's gradient stops at the map, as published where no defect is at hand.",
    )
    clip: float = parameter(0.0, "Largest norm of the gradient; 0 for any.")
    lr: float = parameter(
        1e-4,
        "Learning rate of the adaptor's AdamW, times 0.4 after 80 % and again after 90 % of the "
        "steps; the heads' is twice as high.",
    )
    scored_by: str = parameter(
        "head", "The image's score: of the classification `head`, or the largest of the `map`."
    )
    sigma: float = parameter(
        4.0, "Standard deviation of the Gaussian that smooths the map, in pixels."
    )

    def __post_init__(self) -> None:
        super().__init__()
        self.make_backbone()
        if self.enlarge not in (1, 2) or min(self.hidden, self.width) < 1 or self.lr <= 0:
            raise UserError(
                f"supersimplenet with enlarge={self.enlarge}, hidden={self.hidden}, "
                f"width={self.width}, lr={self.lr:g} cannot be built: enlarge must be 1 or 2, "
                "hidden and width at least 1, lr positive."
            )
        if self.noise_std < 0 or self.clip < 0:
            raise UserError(
                f"supersimplenet with noise_std={self.noise_std:g}, clip={self.clip:g} cannot be "
                "trained: neither may be negative, and 0 does without."
            )
        if self.scored_by not in ("head", "map"):
            raise UserError(f"scored_by={self.scored_by!r} is unknown: choose head or map.")
        channels = sum(self.channels)
        self.adaptor = nn.Conv2d(channels, channels, 1)
        self.segmentation = nn.Sequential(
            nn.Conv2d(channels, self.hidden, 1),
            nn.BatchNorm2d(self.hidden),
            nn.LeakyReLU(0.2),
            nn.Conv2d(self.hidden, 1, 1, bias=False),
        )
        self.classification = nn.Sequential(
            nn.Conv2d(channels + 1, self.width, 5, padding=2),
            nn.BatchNorm2d(self.width),
            nn.ReLU(),
        )
        self.score = nn.Linear(2 * (self.width + 1), 1)
        for part in (self.adaptor, *self.segmentation, *self.classification, self.score):
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(part.weight)

    @property
    def square(self) -> int:
        """Side of a cell of the map, in pixels."""
        return CELL // self.enlarge

    def remember(
        self, normals: Features, generator: torch.Generator, whole: Tensor | None = None
    ) -> None:
        """Remember nothing: normals teach by the step alone."""

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the one leg: adaptor and heads, one AdamW."""
        heads = nn.ModuleList([self.segmentation, self.classification, self.score])
        groups: list[dict[str, Any]] = [
            {"params": list(self.adaptor.parameters())},  # decays by torch's 0.01, as published
            {"params": list(heads.parameters()), "lr": 2 * self.lr, "weight_decay": DECAY},
        ]
        adam = AdamW(groups, lr=self.lr, fused=True)
        if self.clip:
            learned = [*self.adaptor.parameters(), *heads.parameters()]

            def clipped(*_: object) -> None:
                nn.utils.clip_grad_norm_(learned, self.clip)

            adam.register_step_pre_hook(clipped)
        return (
            Stage(
                name="joint",
                share=1.0,
                trains=(self.adaptor, *heads),
                optimizers=(adam,),
                schedules=(fall_twice(adam, steps, FALL),),
                loss=self.loss,
            ),
        )

    def learn(self, batch: FeatureBatch) -> Tensor:
        """Return margins and focal loss over the cells, and focal loss over the images."""
        adapted = self.adapted(batch.features)
        marked = batch.share > MARKED
        anomalous = (batch.share > 0).flatten(1).any(dim=1)
        if self.noise_std:
            adapted, marked, anomalous = self.disturbed(adapted, marked, anomalous)
        cells, scores = self.heads(adapted)
        cells, marked = cells.flatten(), marked.flatten()
        return (
            margins(cells, marked, MARGIN)
            + focal_logits(cells, marked, GAMMA)
            + focal_logits(scores, anomalous, GAMMA)
        )

    def disturbed(
        self, adapted: Tensor, marked: Tensor, anomalous: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all three twice, noise under masks added, and what is marked and anomalous now.

        adapted: (B, C, h, w); marked: bool (B, h, w); anomalous: bool (B,). Draws from torch's
        global generators.
        """
        adapted, marked = torch.cat([adapted, adapted]), torch.cat([marked, marked])
        count, height, width = marked.shape
        drawn = noise_masks(count, height, width, self.noise_threshold)
        noisy = drawn.to(marked.device) & ~marked
        adapted = adapted + self.noise_std * torch.randn_like(adapted) * noisy[:, None]
        now = torch.cat([anomalous, anomalous]) | noisy.flatten(1).any(dim=1)
        return adapted, marked | noisy, now

    def adapted(self, features: Features) -> Tensor:
        """Return both levels on the map's grid, averaged and adapted: (B, C + D, h, w)."""
        size = [side * self.enlarge for side in features.fine.shape[1:3]]
        levels = [
            F.interpolate(
                level.float().permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True
            )
            for level in (features.fine, features.coarse)
        ]
        adapted: Tensor = self.adaptor(F.avg_pool2d(torch.cat(levels, dim=1), 3, 1, 1))
        return adapted

    def heads(self, adapted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of cells and images: float32 (B, h, w) and (B,)."""
        cells: Tensor = self.segmentation(adapted)
        seen = cells.detach() if self.detach else cells
        parts = (self.classification(torch.cat([adapted, seen], dim=1)), seen)
        highest, mean = (
            [pool(part, dim=(2, 3)) for part in parts] for pool in (torch.amax, torch.mean)
        )
        known = torch.cat([highest[0], mean[0], highest[1], mean[1]], dim=1)
        return cells[:, 0].float(), self.score(known)[:, 0].float()

    def judge(self, features: Features) -> Tensor:
        """Return the logit of each cell: float32 (B, h, w), beyond +-0.5 where it is sure."""
        cells: Tensor = self.segmentation(self.adapted(features))
        return cells[:, 0].float()

    def maps_and_scores_of(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the smoothed maps, and the scores of the classification head or of the maps."""
        cells, scores = self.heads(self.adapted(features))
        maps = self.spread(cells, features)
        return maps, scores if self.scored_by == "head" else self.image_scores(maps)

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest value of each map, which the authors report beside their score."""
        return maps.amax(dim=(1, 2))


def noise_masks(count: int, height: int, width: int, threshold: float) -> Tensor:
    """Return Perlin masks, half of them empty: bool (count, height, width).

    Draws from torch's global generator on the CPU.
    """
    rng = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
    masks = np.zeros((count, height, width), dtype=np.bool_)
    for mask in masks:
        if rng.random() >= UNTOUCHED:
            mask[:] = draw_mask(
                height, width, rng, exponents=SCALES, threshold=threshold, max_degrees=0.0
            )
    return torch.from_numpy(masks)

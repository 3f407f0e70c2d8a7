"""A memory of the normals and a head trained on stored anomalies, on one frozen backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from asbench.nets.coreset import greedy_coreset
from asbench.nets.detector import Protocol, Stage
from asbench.nets.features import (
    FeatureBatch,
    FeatureDetector,
    Features,
    as_cells,
    averaged,
    enlarged,
    full_precision,
)
from asbench.nets.losses import focal_logits, margins
from asbench.nets.scores import top_share
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "random": {"backbone_name": "random"},
    "resnet18": {"backbone_name": "resnet18"},
    "wide": {"backbone_name": "wide_resnet50_2"},
}
"""By backbone. `random`: features that nobody trained; what it scores says what those are worth."""

DIRECTIONS = 64
"""Principal directions in which patches are compared; what they leave out counts whole."""
CHOSEN_IN = 24
"""The first of them, in which the memory is chosen."""
CANDIDATES = 200_000
"""Patches that may be remembered: more are drawn from, so that choosing takes seconds."""
LEARNED = 0.25
"""Share of the normal cells of a batch that a step learns from; neighbours say much the same."""
MARKED = 0.5
"""A cell is anomalous where more of it than this is marked, and ignored where less of it is."""
FLAT = 1e-3
"""The least deviation of a channel: features of constant images have none."""
FAINT = 0.05
"""Distances that differ by less than this share of the patches' own spread do not differ."""
MOMENTUM = 0.05
"""How fast the head's running mean and deviation on normals follow."""
TOGETHER = 64
"""Images whose features are in float32 at once."""
MEASURED = 128
"""Normals on which the memory's own distances are measured."""
TOP = 0.01
"""The image score is the mean of this share of the map."""


@dataclass(eq=False)
class Memory(FeatureDetector):
    """Two opinions of every place, in one unit and added: the memory's and the head's.

    The memory holds patches of the training normals, chosen greedily so that none is far from all
    of them (as PatchCore does); a patch is as unusual as it is far from the nearest. The head, one
    hidden layer on features and distance, is trained on stored anomalies: it knows outlines, and
    what some defects look like. Each alone fails where the other holds: what was never synthesized
    is found by distance, what normals vary in is forgiven by the head. An image's own patches are
    never counted as its neighbours while training, so that all normals may be remembered and still
    teach. Both are divided by their spread on normals. The idea, a difference from remembered
    normals as input to a network trained on synthetic anomalies, is MemSeg's.

    Source: our own; Roth et al., Towards total recall in industrial anomaly detection, CVPR 2022,
    and Yang, Wu, Feng, MemSeg, EAAI 2023; the loss is SuperSimpleNet's (Rolih, Fucka, Skocaj, ICPR
    2024).
    """

    title = "Memory and head"
    paper = (
        "ASBench's own, after Roth et al., PatchCore, CVPR 2022, Yang et al., MemSeg, EAAI 2023, "
        "and Rolih et al., SuperSimpleNet, ICPR 2024"
    )
    url = "https://arxiv.org/abs/2106.08265"
    protocol = Protocol(batch=16, ratio=0.5, steps=300, seconds=(0.003, 0.0001))

    backbone_name: str = parameter(
        "lite0", "Frozen network: `lite0`, `resnet18`, `wide_resnet50_2`; or `random`."
    )
    remembered: int = parameter(2000, "Patches of 16x16 pixels that the memory holds.")
    width: int = parameter(128, "Units of the head's hidden layer.")
    lr: float = parameter(2e-3, "Learning rate of AdamW, falling to 0 along a cosine.")
    sigma: float = parameter(
        4.0, "Standard deviation of the Gaussian that smooths the map, in pixels."
    )

    def __post_init__(self) -> None:
        super().__init__()
        self.make_backbone()
        if self.remembered < 1 or self.width < 1 or self.lr <= 0:
            raise UserError(
                f"memory with remembered={self.remembered}, width={self.width}, lr={self.lr:g} "
                "cannot be built: the first two must be at least 1, lr positive."
            )
        self.fine: Tensor
        self.middle: Tensor
        self.directions: Tensor
        self.bank: Tensor
        self.origin: Tensor
        self.near: Tensor
        self.logit: Tensor
        for name in ("fine", "middle", "directions", "bank"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("origin", torch.empty(0, dtype=torch.int64))
        for name in ("near", "logit"):
            self.register_buffer(name, torch.tensor([0.0, 1.0]))  # mean and deviation on normals
        inputs = sum(self.channels) + 1
        self.head = nn.Sequential(
            nn.Linear(inputs, self.width),
            nn.BatchNorm1d(self.width),
            nn.LeakyReLU(0.2),
            nn.Linear(self.width, 1),
        )

    def remember(
        self, normals: Features, generator: torch.Generator, whole: Tensor | None = None
    ) -> None:
        """Choose the memory, and measure what is usual of features and distances."""
        parts = [normals[i : i + TOGETHER] for i in range(0, len(normals), TOGETHER)]
        self.fine = moments(map(gathered, parts))
        self.middle = moments(map(patches, parts))[0]
        cells, number = self._candidates(parts, generator)
        whole = torch.arange(len(normals)) if whole is None else whole
        origin, whole = whole.to(number.device)[number], whole.to(number.device)
        self.directions = principal(cells)
        seen = cells @ self.directions
        chosen = greedy_coreset(seen[:, :CHOSEN_IN], min(self.remembered, len(seen)), generator)
        self.bank, self.origin = seen[chosen], origin[chosen]
        some = torch.randperm(len(normals), generator=generator)[:MEASURED].to(cells.device)
        distances = self.distances(normals.chosen(some), whole[some])
        least = FAINT * (cells - cells.mean(dim=0)).square().sum(dim=1).mean().sqrt()
        spread = torch.maximum(distances.std(unbiased=False), least).clamp_min(FLAT)
        self.near = torch.stack([distances.mean(), spread])

    def _candidates(
        self, parts: Sequence[Features], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return patches that may be remembered, (n, C + D), and the normal each is of, (n,)."""
        each = parts[0].coarse[0, ..., 0].numel()
        total = each * sum(map(len, parts))
        drawn = torch.zeros(total, dtype=torch.bool)
        drawn[torch.randperm(total, generator=generator)[:CANDIDATES]] = True
        rows, begin = [], 0
        for part in parts:
            here = drawn[begin : begin + each * len(part)].to(self.middle.device)
            rows.append(patches(part).flatten(0, 2)[here] - self.middle)
            begin += each * len(part)
        return torch.cat(rows), (drawn.nonzero()[:, 0] // each).to(self.middle.device)

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the one leg: the head."""
        adam = AdamW(self.head.parameters(), lr=self.lr, fused=True)
        schedule = CosineAnnealingLR(adam, max(1, steps))
        return (
            Stage(
                name="head",
                share=1.0,
                trains=(self.head,),
                optimizers=(adam,),
                schedules=(schedule,),
                loss=self.loss,
            ),
        )

    def learn(self, batch: FeatureBatch) -> Tensor:
        """Return margins and focal loss over the anomalous cells and some of the normal ones."""
        unusual = batch.described
        if unusual is None:
            unusual = self.describe(batch.features, batch.source)
        share = batch.share.flatten()
        anomalous = share > MARKED
        drawn = torch.rand(len(share), device=share.device) < LEARNED
        kept = (anomalous | ((share == 0) & drawn)).nonzero()[:, 0]
        logits = self.head(self.inputs(batch.features, unusual, kept))[:, 0].float()
        anomalous = anomalous[kept]
        self._follow(logits.detach()[~anomalous])
        return margins(logits, anomalous) + 10 * focal_logits(logits, anomalous, gamma=4.0)

    def judge(self, features: Features) -> Tensor:
        """Return the sum of both opinions: float32 (B, H/8, W/8), about 0 +- 1.4 on normals."""
        unusual = self.describe(features)
        batch, height, width, _ = features.fine.shape
        logits: Tensor = self.head(self.inputs(features, unusual)).float()[:, 0]
        logits = logits.view(batch, height, width)
        learned = (logits - self.logit[0]) / self.logit[1]
        return learned + enlarged(unusual, height, width)[..., 0]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the mean of the highest hundredth of each map."""
        return top_share(maps, TOP)

    def describe(self, features: Features, source: Tensor | None = None) -> Tensor:
        """Return the distances in units of their spread on normals: (B, H/16, W/16, 1)."""
        distances = self.distances(features, source)
        return ((distances - self.near[0]) / self.near[1])[..., None]

    @torch.no_grad()
    def distances(self, features: Features, source: Tensor | None = None) -> Tensor:
        """Return how far each patch is from the nearest remembered: float32 (B, H/16, W/16).

        Patches of the image's own normal, `source` (B,), are no neighbours of it.
        """
        if self.bank.numel() == 0:
            raise RuntimeError("the memory is empty: call prepare(normals, generator) first")
        with full_precision(self.bank.device):
            coarse = patches(features)
            batch, height, width, _ = coarse.shape
            cells = coarse.flatten(0, 2) - self.middle
            seen = cells @ self.directions
            base = self.bank.square().sum(dim=1).expand(batch, -1)
            if source is not None:
                own = source[:, None] == self.origin
                # Where the memory is all of one photograph, its own patches are all there is.
                base = base.masked_fill(own & ~own.all(dim=1, keepdim=True), torch.inf)
            bank = self.bank.mT.expand(batch, -1, -1)
            squared = torch.baddbmm(
                base[:, None], seen.view(batch, height * width, -1), bank, alpha=-2
            )
            # Within the directions, taken anew since near 0 the products above lose their digits;
            # and what of the patch lies outside of them.
            within = (seen - self.bank[squared.flatten(0, 1).argmin(dim=1)]).square().sum(dim=1)
            outside = (cells - seen @ self.directions.mT).square().sum(dim=1)
            return (within + outside).sqrt().view(batch, height, width)

    def inputs(self, features: Features, unusual: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return what the head sees of cells, all or those kept: float32 (n, C + D + 1)."""
        known = gathered(features)
        parts = known, enlarged(unusual, *known.shape[1:3])
        rows, distances = (
            part.flatten(0, 2) if kept is None else part.flatten(0, 2)[kept] for part in parts
        )
        return torch.cat([standardised(rows, self.fine), distances], dim=1)

    @torch.no_grad()
    def _follow(self, logits: Tensor) -> None:
        """Take a step's logits of normal cells into their running mean and deviation."""
        if len(logits) > 1:
            now = torch.stack([logits.mean(), logits.std().clamp_min(FLAT)])
            self.logit.lerp_(now, MOMENTUM)


def gathered(features: Features) -> Tensor:
    """Return both levels, averaged, at the fine one's size: float32 (B, H/8, W/8, C + D)."""
    fine, coarse = averaged(features.fine), averaged(features.coarse)
    return torch.cat([fine, enlarged(coarse, *fine.shape[1:3])], dim=-1)


def patches(features: Features) -> Tensor:
    """Return both levels, averaged, at the coarse one's size: float32 (B, H/16, W/16, C + D)."""
    fine = F.avg_pool2d(averaged(features.fine).permute(0, 3, 1, 2), 2)
    return torch.cat([as_cells(fine), averaged(features.coarse)], dim=-1)


def moments(parts: Iterable[Tensor]) -> Tensor:
    """Return each channel's mean and deviation over all parts, (B, H, W, C) each: (2, C)."""
    sums, count = torch.zeros((), dtype=torch.float64), 0
    for part in parts:
        rows = part.flatten(0, -2).double()
        sums = sums + torch.stack([rows.sum(dim=0), rows.square().sum(dim=0)])
        count += len(rows)
    mean, square = sums / count
    deviation = (square - mean.square()).clamp_min(FLAT**2).sqrt()
    return torch.stack([mean, deviation]).float()


def standardised(rows: Tensor, moments: Tensor) -> Tensor:
    """Return rows (..., C) less the mean, over the deviation, of each channel."""
    mean, deviation = moments.unbind()
    return (rows - mean) / deviation


def principal(rows: Tensor) -> Tensor:
    """Return the directions of the largest variance, first ones first: (C, at most 64)."""
    covariance = torch.cov(rows.T.double(), correction=0)
    ascending = torch.linalg.eigh(covariance).eigenvectors.to(rows)
    directions: Tensor = ascending.flip(1)[:, :DIRECTIONS]
    # The sign of an eigenvector is anybody's: the largest entry is made positive.
    largest = directions.abs().argmax(dim=0, keepdim=True)
    return directions * directions.gather(0, largest).sign()

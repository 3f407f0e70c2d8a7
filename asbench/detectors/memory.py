"""A memory of the normals and a head trained on stored anomalies, on one frozen backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from asbench.nets.coreset import Bank, Nearest, greedy_coreset
from asbench.nets.detector import Protocol, Stage
from asbench.nets.features import (
    NAMES,
    SOME,
    FeatureBatch,
    FeatureDetector,
    Features,
    cells_of,
    gathered,
    some_cells,
)
from asbench.nets.losses import focal_logits, margins
from asbench.nets.recalled import Recalled, content
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "random": {"backbone_name": "random"},
    "resnet18": {"backbone_name": "resnet18"},
    "wide": {"backbone_name": "wide_resnet50_2"},
}
"""By backbone. `random`: features that nobody trained; what it scores says what those are worth."""

CANDIDATES = 400_000
"""Patches that may be remembered: more are drawn from, so that choosing takes seconds."""
CHOSEN_IN = 64
"""Dimensions of the random projection in which the memory is chosen."""
LEARNED = 512
"""About as many normal cells of a batch a step learns from; neighbours say much the same."""
MARKED = 0.5
"""A cell is anomalous where more of it than this is marked, and ignored where less of it is."""
FLAT = 1e-3
"""The least deviation of a channel: features of constant images have none."""
FAINT = 0.05
"""Distances that differ by less than this share of the patches' own spread do not differ."""
MOMENTUM = 0.05
"""How fast the head's running mean and deviation on normals follow."""
MEASURED = 128
"""Normals on which the memory's own distances are measured."""
MEMORIES, NEAR = Recalled(2**26), Recalled(2**26)
"""Memories chosen before in this process, and what images' cells were nearest to in them: a study
trains on the same normals with one set after another, and scores the same test images."""


@dataclass(eq=False)
class Memory(FeatureDetector):
    """Two opinions of every place, in one unit and added: the memory's, and half of the head's.

    The memory holds patches of the training normals, chosen greedily so that none is far from all
    of them (as PatchCore does); a patch is as unusual as it is far from the nearest. The head, one
    hidden layer on the difference from the nearest and its length, is trained on stored anomalies:
    it knows outlines, and in what ways defects differ. It never sees a place as it looks: a head
    that does takes what was not synthesized for one more normal, where normals are of many looks.
    Each alone fails where the other holds: what was never synthesized is found by distance, what
    normals vary in is forgiven by the head. The memory's counts twice (`head_weight`): it does not
    depend on what was synthesized, and on surfaces without a shape the head finds less. An image's
    own patches are never counted as its neighbours while training, so that all normals may be
    remembered and still teach. Both are divided by their spread on normals. The idea, a difference
    from remembered normals as input to a network trained on synthetic anomalies, is MemSeg's.

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
    version = 4  # the head's opinion counts half of the memory's
    protocol = Protocol(batch=16, ratio=0.5, steps=300, seconds=(0.003, 0.0001))

    backbone_name: str = parameter("lite0", NAMES)
    remembered: int = parameter(4000, "Patches that the memory holds.")
    width: int = parameter(128, "Units of the head's hidden layer.")
    head_weight: float = parameter(0.5, "What the head's opinion counts, the memory's being 1.")
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
        if self.head_weight < 0:
            raise UserError(
                f"memory with head_weight={self.head_weight:g} would count against what its head "
                "finds: give 0 for the memory alone, 1 for both alike."
            )
        self.usual: Tensor
        self.bank: Tensor
        self.origin: Tensor
        self.near: Tensor
        self.logit: Tensor
        self.taught: Tensor
        for name in ("usual", "bank"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("origin", torch.empty(0, dtype=torch.int64))
        for name in ("near", "logit"):
            self.register_buffer(name, torch.tensor([0.0, 1.0]))  # mean and deviation on normals
        self.register_buffer("taught", torch.tensor(0.0))  # 1 once the head has seen an anomaly
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
        whole = torch.arange(len(normals)) if whole is None else whole
        state, asked = generator.get_state(), torch.tensor(self.remembered)
        key = content(*normals.levels, whole, state, asked) + str(normals.fine.device).encode()
        chosen = MEMORIES.of(key, partial(self._chosen, normals, generator, whole))
        self.usual, self.bank, self.origin, self.near = chosen

    def _chosen(
        self, normals: Features, generator: torch.Generator, whole: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        self.usual = moments(gathered(normals[i : i + SOME]) for i in range(0, len(normals), SOME))
        each = normals.fine[0, ..., 0].numel()
        drawn = some_cells(each * len(normals), CANDIDATES, generator)
        cells = cells_of(normals, drawn) - self.usual[0]
        number = (drawn.nonzero()[:, 0] // each).to(cells.device)
        whole = whole.to(cells.device)
        chosen = greedy_coreset(cells, min(self.remembered, len(cells)), generator, CHOSEN_IN)
        self.bank, self.origin = cells[chosen], whole[number[chosen]]
        some = torch.randperm(len(normals), generator=generator)[:MEASURED].to(cells.device)
        rows = gathered(normals.chosen(some)).flatten(1, 2)
        distances = self.nearest([*rows], whole[some]).distance
        least = FAINT * cells.square().sum(dim=1).mean().sqrt()
        spread = torch.maximum(distances.std(unbiased=False), least).clamp_min(FLAT)
        return self.usual, self.bank, self.origin, torch.stack([distances.mean(), spread])

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
        share = batch.share.flatten(1)
        anomalous = share > MARKED
        drawn = torch.rand(share.shape, device=share.device) < LEARNED / share.numel()
        kept = anomalous | ((share == 0) & drawn)
        if int(kept.sum()) < 2:  # tiny images marked in part everywhere: nothing can be learned
            return sum(weight.sum() for weight in self.head.parameters()) * torch.zeros(())
        rows = gathered(batch.features).flatten(1, 2)
        chosen = [image[here] for image, here in zip(rows, kept, strict=True)]
        if batch.nearest is None:
            nearest = self.nearest(chosen, batch.source)
        else:
            nearest = Nearest(*(known[kept] for known in batch.nearest))
        logits = self.head(self.inputs(chosen, nearest))[:, 0].float()
        anomalous = anomalous[kept]
        self._follow(logits.detach()[~anomalous])
        self.taught.copy_(torch.maximum(self.taught, anomalous.any()))
        return margins(logits, anomalous) + 10 * focal_logits(logits, anomalous, gamma=4.0)

    def judge(self, features: Features) -> Tensor:
        """Return what both opinions come to: float32 (B, H/8, W/8), about 0 +- 1.3 on normals.

        The memory's alone while the head has seen no anomaly: at ratio 0, and before any training.
        """
        rows = gathered(features)
        images = self.apart(rows)
        nearest = self._near(features, images)
        logits: Tensor = self.head(self.inputs(images, nearest)).float()[:, 0]
        learned = (logits - self.logit[0]) / self.logit[1] * self.taught
        return self.both(self.in_units(nearest.distance), learned).view(rows.shape[:3])

    def both(self, near: Tensor, learned: Tensor) -> Tensor:
        """Return what the memory's opinion and the head's, each in its unit, come to together."""
        return near + self.head_weight * learned

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest value of each map."""
        return maps.amax(dim=(1, 2))

    @torch.no_grad()
    def nearest(self, images: Sequence[Tensor], source: Tensor | None = None) -> Nearest:
        """Return how far each cell is from the nearest remembered, and which that is: (n,) both.

        images: cells of one image after the other, (n_i, C + D) each. Cells of the image's own
        normal, `source` (B,), are no neighbours of it.
        """
        if self.bank.numel() == 0:
            raise RuntimeError("the memory is empty: call prepare(normals, generator) first")
        bank, parts = Bank.of(self.bank), []
        for number, cells in enumerate(images):
            own = None
            if source is not None:
                own = self.origin == source[number]
                # Where the memory is all of one photograph, its own cells are all there is.
                own = own & ~own.all()
            parts.append(bank.nearest(cells - self.usual[0], own))
        return together(parts)

    def _near(self, features: Features, images: Sequence[Tensor]) -> Nearest:
        """Return what all cells of images are nearest to; what was asked before is recalled.

        On a GPU it takes less time than a digest does.
        """
        if torch.compiler.is_exporting() or features.fine.device.type != "cpu":
            return self.nearest(images)
        bank = content(self.usual, self.bank)
        parts: list[Nearest] = []
        for number, cells in enumerate(images):
            key = bank + content(features.fine[number], features.coarse[number])
            parts.append(Nearest(*NEAR.of(key, partial(self.nearest, [cells]))))
        return together(parts)

    def in_units(self, distances: Tensor) -> Tensor:
        """Return distances in units of their spread on normals."""
        return (distances - self.near[0]) / self.near[1]

    def inputs(self, images: Sequence[Tensor], nearest: Nearest) -> Tensor:
        """Return what the head sees of cells: float32 (n, C + D + 1)."""
        mean, deviation = self.usual.unbind()
        change = (torch.cat([*images]) - mean - self.bank[nearest.place]) / deviation
        return torch.cat([change, self.in_units(nearest.distance)[:, None]], dim=1)

    @torch.no_grad()
    def _follow(self, logits: Tensor) -> None:
        """Take a step's logits of normal cells into their running mean and deviation."""
        if len(logits) > 1:
            now = torch.stack([logits.mean(), logits.std().clamp_min(FLAT)])
            self.logit.lerp_(now, MOMENTUM)


def together(parts: Sequence[Nearest]) -> Nearest:
    """Return what the cells of all parts, (n_i,) each, are nearest to: (n,)."""
    distances, places = (torch.cat(each) for each in zip(*parts, strict=True))
    return Nearest(distances, places)


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

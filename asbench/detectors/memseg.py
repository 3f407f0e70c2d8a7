"""MemSeg: features beside their difference from the nearest remembered normal, segmented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from asbench.nets.blocks import Up
from asbench.nets.detector import Backbone, Batch, Detector, Protocol, Selection, Stage
from asbench.nets.pretrained import check_choice, check_loaded
from asbench.nets.resnet import STEM, ResNet18, freeze, measure_statistics
from asbench.nets.schedules import warm_up_and_cosine
from asbench.nets.scores import top_mean
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "partial": {"pretrained": "partial"},
    "scratch": {"pretrained": "none"},
    "tiny-partial": {"pretrained": "partial", "narrowing": 4, "stem_learns": False},
    "tiny-scratch": {"pretrained": "none", "width": 8},
}
"""`partial`: layer 4 from scratch, and batch norm of the stem and layers 1 to 3 keeps ImageNet's
statistics, for weights that hold no more than those layers or whose batch norm is folded.
`scratch`: the published widths, nothing pretrained. `tiny-partial`: as `partial`, with a quarter of
the width for fusion and decoder. `tiny-scratch`: an eighth of all widths, 0.30 M parameters."""

PROTOCOLS = {
    "tiny-partial": Protocol(
        batch=8, ratio=0.5, steps=300, select=Selection(steps=100), seconds=(0.3, 0.001)
    ),
    "tiny-scratch": Protocol(
        batch=8, ratio=0.5, steps=300, select=Selection(steps=100), seconds=(0.04, 0.001)
    ),
}

LEVELS = ("layer1", "layer2", "layer3")
"""What is remembered: features at a 4th, an 8th and a 16th of the image's size."""
GAMMA = 4.0
SMOOTH = 1e-5
LOWEST = 1 / 30
WARM_UP = 0.1
"""The rate climbs from 1e-4 to 3e-3 in 500 of 5000 steps, and falls back to 1e-4."""


class CoordAtt(nn.Module):
    """Coordinate attention: every row and every column of every channel gets a weight.

    Maps float (B, channels, H, W) to the same shape. Source: Hou et al., Coordinate attention for
    efficient mobile network design, CVPR 2021.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(8, channels // 32)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, middle, 1), nn.BatchNorm2d(middle), nn.Hardswish()
        )
        self.rows = nn.Conv2d(middle, channels, 1)
        self.columns = nn.Conv2d(middle, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the weights of its rows and of its columns, each in (0, 1)."""
        height, width = x.shape[-2:]
        rows = x.mean(dim=3, keepdim=True)
        columns = x.mean(dim=2, keepdim=True).mT
        squeezed = self.squeeze(torch.cat([rows, columns], dim=2))
        rows, columns = squeezed.split([height, width], dim=2)
        weighted: Tensor = x * self.rows(rows).sigmoid() * self.columns(columns.mT).sigmoid()
        return weighted


class Msff(nn.Module):
    """Multi-scale feature fusion: from features and differences to one map a level.

    Takes, per level, float (B, 2C, h, w): features and their squared difference from memory, with
    C = e, 2e, 4e for e = `entering`. Returns (B, w, h, w), 2w, 4w channels, finest first. Where
    `width` is not `entering`, a 1x1 convolution comes first. A level's convolved map is multiplied
    by its attended map, which is the input times its weights: quadratic in the input, with no norm
    and no activation but the attention's.
    """

    def __init__(self, entering: int, width: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.narrow = nn.ModuleList(
            nn.Identity() if width == entering else nn.Conv2d(2 * (entering << i), 2 * c, 1)
            for i, c in enumerate(sizes)
        )
        self.attention = nn.ModuleList(CoordAtt(2 * c) for c in sizes)
        self.enter = nn.ModuleList(_conv(2 * c, 2 * c) for c in sizes)
        self.leave = nn.ModuleList(nn.Sequential(_conv(2 * c, c), _conv(c, c)) for c in sizes)
        self.from3 = nn.Sequential(_up2(), _conv(4 * width, 2 * width))
        self.from2 = nn.Sequential(_up2(), _conv(2 * width, width))

    def forward(self, joined: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three fused maps."""
        y1, y2, y3 = (
            leave(enter(x) * attention(x))
            for x, attention, enter, leave in zip(
                (narrow(x) for narrow, x in zip(self.narrow, joined, strict=True)),
                self.attention,
                self.enter,
                self.leave,
                strict=True,
            )
        )
        y2 = y2 + self.from3(y3)
        y1 = y1 + self.from2(y2)
        gate1, gate2, gate3 = spatial_gates([x.chunk(2, dim=1)[1] for x in joined])
        return y1 * gate1, y2 * gate2, y3 * gate3


def spatial_gates(differences: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean differences per place, each level's times the coarser one's.

    differences: (B, C, h, w) of three levels, finest first; the gates are (B, 1, h, w).
    """
    mean1, mean2, mean3 = (d.mean(dim=1, keepdim=True) for d in differences)
    gate2 = mean2 * _doubled(mean3)
    return mean1 * _doubled(gate2), gate2, mean3


class Decoder(nn.Module):
    """From layer 4 up to full size, each level joined with its fused map, the last with the stem.

    Layer 4 brings 8 times, the stem once the channels `entering`. Returns logits (B, 2, H, W).
    """

    def __init__(self, entering: int, width: int) -> None:
        super().__init__()
        w = width
        last = max(1, 3 * w // 4)
        self.up4 = Up(8 * entering, 4 * w)
        self.up3 = Up(8 * w, 2 * w)
        self.up2 = Up(4 * w, w)
        self.up1 = Up(2 * w, last)
        self.stem = _conv(entering, last)
        self.up0 = Up(2 * last, last)
        self.head = _conv(last, 2)

    def forward(self, deep: Tensor, fused: Sequence[Tensor], stem: Tensor) -> Tensor:
        """Return the logits; channel 1 = anomalous."""
        x = self.up4(deep)
        x = self.up3(torch.cat([x, fused[2]], dim=1))
        x = self.up2(torch.cat([x, fused[1]], dim=1))
        x = self.up1(torch.cat([x, fused[0]], dim=1))
        x = self.up0(torch.cat([x, self.stem(stem)], dim=1))
        logits: Tensor = self.head(x)
        return logits


@dataclass(eq=False)
class Memseg(Detector):
    """ResNet-18, a memory of normals, fusion, and a U-shaped decoder.

    Layers 1 to 3 are frozen, stem and layer 4 learn. As published, the whole network is in train
    mode: batch norm of the frozen layers goes on moving, and with the learning stem the features
    drift away from a memory that is filled once. `partial` and `none` keep the statistics of stem
    and layers 1 to 3 as they were when the memory was filled; without weights they are measured on
    the normals first.
    """

    title = "MemSeg"
    paper = (
        "Yang, Wu, Feng: MemSeg - A semi-supervised method for image surface defect detection "
        "using differences and commonalities, Engineering Applications of AI 2023"
    )
    url = "https://github.com/TooTouch/MemSeg"
    protocol = Protocol(
        batch=8, ratio=0.5, steps=5000, select=Selection(steps=100), seconds=(2.0, 0.002)
    )
    stride = 32
    bounded = True
    flavour = "memseg"

    width: int = parameter(64, "Channels of the first level.")
    pretrained: str = parameter(
        "imagenet",
        "`imagenet` (stem and all layers) or `partial` (stem and layers 1 to 3), both at width 64 "
        "only, or `none`.",
    )
    lr: float = parameter(
        3e-3,
        "Highest learning rate of AdamW; reached after a tenth of the steps from a thirtieth of "
        "it, to which it falls back along a cosine.",
    )
    memory: int = parameter(30, "Normals to remember; all, if there are fewer.")
    narrowing: int = parameter(1, "Fusion and decoder have `width` divided by this.")
    stem_learns: bool = parameter(
        True,
        "Whether the extractor's stem is trained, as published, though the memory keeps the "
        "features of the stem as it was.",
    )

    def __post_init__(self) -> None:
        super().__init__()
        width, narrowing = self.width, self.narrowing
        if min(width, self.memory, narrowing, width // max(1, narrowing)) < 1 or self.lr <= 0:
            raise UserError(
                f"memseg with width={width}, lr={self.lr}, memory={self.memory}, "
                f"narrowing={narrowing} cannot be built: width, memory and narrowing must be at "
                "least 1, narrowing at most width, and lr positive."
            )
        check_choice("memseg", self.pretrained, ("imagenet", "partial", "none"), width)
        self.loaded = self.pretrained == "none"
        self.extractor = ResNet18(width)
        frozen = LEVELS if self.stem_learns else (*STEM, *LEVELS)
        freeze(*(self.extractor.get_submodule(name) for name in frozen))
        self.fusion = Msff(width, width // narrowing)
        self.decoder = Decoder(width, width // narrowing)
        for level in LEVELS:
            self.register_buffer(f"bank_{level}", torch.empty(0))

    def backbone(self) -> Backbone | None:
        """The extractor, without layer 4 where `partial`."""
        if self.pretrained == "none":
            return None
        if self.pretrained == "partial":
            return Backbone("resnet18", (*STEM, *LEVELS), folded=True, instead="memseg@scratch")
        return Backbone(
            "resnet18",
            (*STEM, *LEVELS, "layer4"),
            folded=False,
            instead="memseg@partial (layer 4 from scratch, batch norm held) or memseg@scratch",
        )

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the extractor; what is not there keeps its initial weights."""
        self.extractor.load_state_dict({**self.extractor.state_dict(), **tensors})
        self.loaded = True

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        """Fill the memory with the features of normals drawn without replacement."""
        check_loaded("memseg", self.loaded)
        chosen = torch.randperm(len(normals), generator=generator)[: self.memory]
        device = self.extractor.mean.device
        batches = [normals[some].to(device).float() / 255 for some in torch.split(chosen, 8)]
        if self.pretrained == "none":
            measure_statistics(self.extractor, batches, self._remembered())
        was_training = self.extractor.training
        self.extractor.eval()
        with torch.no_grad():
            features = [self.extractor(batch) for batch in batches]
        self.extractor.train(was_training)
        for level in LEVELS:
            setattr(self, f"bank_{level}", torch.cat([levels[level] for levels in features]))

    def _remembered(self) -> list[nn.Module]:
        """The parts of the extractor that the memory's features come from."""
        return [self.extractor.get_submodule(name) for name in (*STEM, *LEVELS)]

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the one leg: all that learns, one AdamW."""
        learning = [p for p in self.parameters() if p.requires_grad]
        adamw = AdamW(learning, lr=self.lr, weight_decay=5e-4, fused=True)
        trains: tuple[nn.Module, ...] = (self,)
        if self.pretrained != "imagenet":
            trains = (self.extractor.get_submodule("layer4"), self.fusion, self.decoder)
        return (
            Stage(
                name="segment",
                share=1.0,
                trains=trains,
                optimizers=(adamw,),
                schedules=(warm_up_and_cosine(adamw, steps, LOWEST, WARM_UP),),
                loss=self.loss,
            ),
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return 0.6 L1 + 0.4 focal loss: a scalar."""
        if batch.image.shape[0] * batch.image.shape[2:].numel() <= 32 * 32:
            raise UserError(
                "memseg cannot train on batches of one 32x32 image: batch norm of its last layer "
                "would see a single value. Try --batch 2 or more."
            )
        probabilities = self.probabilities(batch.image)
        l1 = F.l1_loss(probabilities[:, 1:], batch.mask)
        return 0.6 * l1 + 0.4 * classwise_focal(probabilities, batch.mask)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits: float32 (B, 2, H, W), channel 1 = anomalous."""
        levels = self.extractor(images)
        features = [levels[level] for level in LEVELS]
        banks = [self.get_buffer(f"bank_{level}") for level in LEVELS]
        if banks[0].numel() == 0:
            raise RuntimeError("MemSeg's memory is empty: call prepare(normals, generator) first")
        nearest = nearest_items(features, banks)
        joined = [
            torch.cat([feature, (feature - bank[nearest]) ** 2], dim=1)
            for feature, bank in zip(features, banks, strict=True)
        ]
        logits: Tensor = self.decoder(levels["layer4"], self.fusion(joined), levels["stem"])
        return logits.float().softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of `anomalous` per pixel: float32 (B, H, W)."""
        return self.probabilities(images)[:, 1]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the mean of the 100 largest pixels."""
        return top_mean(maps, 100)


@torch.no_grad()
def nearest_items(features: Sequence[Tensor], banks: Sequence[Tensor]) -> Tensor:
    """Return which item of the memory is nearest to each image: int64 (B,).

    features: (B, C, h, w) per level; banks: (K, C, h, w) per level. The distance is the sum over
    the levels of the mean squared difference, so that one item is nearest in all of them.
    """
    with torch.autocast(features[0].device.type, enabled=False):
        # |f - m|^2 = |f|^2 - 2 f.m + |m|^2, and |f|^2 is the same for every item: one product
        # instead of K differences the size of the features.
        # The batch as shape[0]: len() would make it a constant of an exported program.
        images, items = features[0].shape[0], banks[0].shape[0]
        ranks = torch.zeros(images, items, device=features[0].device)
        for feature, bank in zip(features, banks, strict=True):
            f, m = feature.float().flatten(1), bank.float().flatten(1)
            ranks += (m.square().sum(dim=1) - 2 * f @ m.mT) / m.shape[1]
        return ranks.argmin(dim=1)


def classwise_focal(probabilities: Tensor, mask: Tensor, gamma: float = GAMMA) -> Tensor:
    """Return the focal loss of softmax outputs, summed over both classes: a scalar.

    probabilities: float (B, 2, H, W), channel 1 = anomalous; mask: float (B, 1, H, W) in {0, 1}.
    With targets y clamped to [1e-5, 1 - 1e-5]: mean over the pixels of
    -sum of (1 - p)^gamma y ln(p + 1e-5). Source: Lin et al., Focal loss, ICCV 2017, with the
    smoothing of TooTouch's implementation.
    """
    target = torch.cat([1.0 - mask, mask], dim=1).clamp(SMOOTH, 1.0 - SMOOTH)
    terms = (1.0 - probabilities) ** gamma * target * (probabilities + SMOOTH).log()
    return -terms.sum(dim=1).mean()


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _up2() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

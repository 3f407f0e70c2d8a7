"""DeSTSeg: a student learns to undo anomalies in feature space, a network segments where it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from asbench.nets.detector import Backbone, Batch, Detector, Protocol, Selection, Stage
from asbench.nets.pretrained import check_choice, check_loaded
from asbench.nets.resnet import (
    STEM,
    ResNet18,
    freeze,
    init_kaiming,
    measure_statistics,
    residual_layer,
    silence_residuals,
)
from asbench.nets.scores import top_mean
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "scratch": {"pretrained": "none"},
    "tiny": {"narrowing": 8},
    "tiny-scratch": {"pretrained": "none", "width": 8},
}
"""`scratch`: the published widths with a random teacher. `tiny`: the published teacher, and an
eighth of the widths for all that learns. `tiny-scratch`: an eighth of all widths, 0.55 M
parameters."""

PROTOCOLS = {
    "tiny": Protocol(
        batch=8, ratio=1.0, steps=600, select=Selection(steps=100), seconds=(0.15, 0.001)
    ),
    "tiny-scratch": Protocol(
        batch=8, ratio=1.0, steps=600, select=Selection(steps=100), seconds=(0.035, 0.001)
    ),
}

LEVELS = ("layer1", "layer2", "layer3")
"""Where student and teacher are compared: at a 4th, an 8th and a 16th of the image's size."""
GAMMA = 4.0
RATES = (6, 12, 18)
NORM_EPS = 1e-12


class Student(nn.Module):
    """A ResNet-18 encoder and a decoder of residual layers, without skip connections.

    Maps float (B, 3, H, W) to the levels of `LEVELS` in the shapes of a teacher of `wanted`
    channels at its first level. A student of another width ends every level in a 1x1 convolution.
    """

    def __init__(self, width: int, wanted: int) -> None:
        super().__init__()
        w = width
        self.encoder = ResNet18(width)
        silence_residuals(self.encoder)
        self.bottleneck = residual_layer(8 * w, 8 * w)
        self.up3 = residual_layer(8 * w, 4 * w)
        self.up2 = residual_layer(4 * w, 2 * w)
        self.up1 = residual_layer(2 * w, w)
        for part in (self.bottleneck, self.up3, self.up2, self.up1):
            init_kaiming(part)
        self.widen = nn.ModuleDict()
        if width != wanted:
            for place, level in enumerate(LEVELS):
                self.widen[level] = nn.Conv2d(w << place, wanted << place, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the restored features by level."""
        seen = self.encoder(images)
        x = self.bottleneck(seen["layer4"])
        restored = {}
        for level, up in zip(reversed(LEVELS), (self.up3, self.up2, self.up1), strict=True):
            x = up(_resize(x, seen[level]))
            restored[level] = self.widen[level](x) if self.widen else x
        return restored


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: three dilated convolutions and the global mean, merged.

    Maps float (B, channels, H, W) to the same shape. Source: Chen et al., Rethinking atrous
    convolution for semantic image segmentation, 2017, without its plain 1x1 branch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.dilated = nn.ModuleList(_conv_norm_relu(c, c, 3, dilation=rate) for rate in RATES)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_norm_relu(c, c, 1))
        self.merge = _conv_norm_relu(4 * c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged branches."""
        branches = [branch(x) for branch in self.dilated]
        # Added, not expanded: the sum lies in memory as the others do, and so does what is merged.
        branches.append(self.pooled(x) + torch.zeros_like(branches[0]))
        merged: Tensor = self.merge(torch.cat(branches, dim=1))
        return merged


class SegmentationNet(nn.Module):
    """From the features' products, float (B, inputs, h, w), to logits (B, 1, h, w)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        w = width
        self.body = residual_layer(inputs, 4 * w)
        init_kaiming(self.body)
        self.head = nn.Sequential(
            Aspp(4 * w), *_conv_norm_relu(4 * w, 4 * w, 3), nn.Conv2d(4 * w, 1, 1)
        )

    def forward(self, products: Tensor) -> Tensor:
        """Return the logits of `anomalous`."""
        logits: Tensor = self.head(self.body(products))
        return logits


@dataclass(eq=False)
class Destseg(Detector):
    """A frozen teacher, a student that sees the anomaly, and a segmentation of their difference.

    In the first fifth of the steps the student learns the teacher's features of the clean image
    from the anomalous one; then it is frozen, and a network segments the products of the two.
    Distillation is summed over the batch, as published: a smaller batch takes smaller steps.

    The authors rotate the normals of some categories of MVTec AD; ASBench's copy of their code
    never does, and neither does this. Without pretrained weights the teacher is random; the
    statistics of its batch norm are then measured on the normals.
    """

    title = "DeSTSeg"
    paper = (
        "Zhang, Li, Li, Huang, Shan, Chen: DeSTSeg - Segmentation guided denoising "
        "student-teacher for anomaly detection, CVPR 2023"
    )
    url = "https://github.com/apple/ml-destseg"
    protocol = Protocol(
        batch=32, ratio=1.0, steps=5000, select=Selection(steps=100), seconds=(5.5, 0.005)
    )
    stride = 32
    bounded = True
    flavour = "destseg"

    width: int = parameter(64, "Channels of the first level of teacher and student.")
    pretrained: str = parameter(
        "imagenet", "The teacher's weights, `imagenet` (only at width 64) or `none`."
    )
    student_lr: float = parameter(0.4, "Learning rate of the student's SGD; constant.")
    body_lr: float = parameter(
        0.1, "Learning rate of the residual part of the segmentation network; constant."
    )
    head_lr: float = parameter(
        0.01, "Learning rate of the rest of the segmentation network; constant."
    )
    narrowing: int = parameter(1, "Student and segmentation network have `width` divided by this.")

    def __post_init__(self) -> None:
        super().__init__()
        width, narrowing = self.width, self.narrowing
        rates = (self.student_lr, self.body_lr, self.head_lr)
        if min(width, narrowing, width // max(1, narrowing)) < 1 or min(rates) <= 0:
            raise UserError(
                f"destseg with width={width}, narrowing={narrowing}, student_lr={self.student_lr}, "
                f"body_lr={self.body_lr}, head_lr={self.head_lr} cannot be built: width and "
                "narrowing must be at least 1, narrowing at most width, and rates positive."
            )
        check_choice("destseg", self.pretrained, ("imagenet", "none"), width)
        self.loaded = self.pretrained == "none"
        self.teacher = ResNet18(width, depth=3)
        freeze(self.teacher)
        self.student = Student(width // narrowing, width)
        self.segmentation = SegmentationNet(7 * width, width // narrowing)

    def backbone(self) -> Backbone | None:
        """The teacher: stem and layers 1 to 3, in eval mode throughout."""
        if self.pretrained == "none":
            return None
        return Backbone("resnet18", (*STEM, *LEVELS), folded=True, instead="destseg@scratch")

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the teacher."""
        self.teacher.load_state_dict(dict(tensors))
        self.loaded = True

    def prepare(self, normals: Tensor, generator: torch.Generator) -> None:
        """Measure a random teacher's statistics on up to 64 normals; with weights, do nothing."""
        check_loaded("destseg", self.loaded)
        if self.pretrained == "none":
            chosen = torch.randperm(len(normals), generator=generator)[:64]
            device = self.teacher.mean.device
            batches = (normals[some].to(device).float() / 255 for some in torch.split(chosen, 8))
            measure_statistics(self.teacher, batches, [self.teacher])

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the two legs: the student for a fifth of the steps, then the segmentation."""
        student = SGD(self.student.parameters(), self.student_lr, 0.9, weight_decay=1e-4)
        segmentation = SGD(
            [
                {"params": self.segmentation.body.parameters(), "lr": self.body_lr},
                {"params": self.segmentation.head.parameters(), "lr": self.head_lr},
            ],
            momentum=0.9,
            weight_decay=1e-4,
        )
        return (
            Stage("student", 0.2, (self.student,), (student,), (), self.distillation),
            Stage(
                "segmentation",
                0.8,
                (self.segmentation,),
                (segmentation,),
                (),
                self.segmentation_loss,
            ),
        )

    def distillation(self, batch: Batch) -> Tensor:
        """Return 1 - cosine of restored and clean features: a scalar.

        Mean over the places, sum over levels and batch.
        """
        if len(batch.image) == 1:  # said now, not when the second leg stumbles over it
            raise UserError(
                "destseg cannot train on batches of 1: its segmentation network normalises the "
                "image's mean over the batch. Try --batch 2 or more."
            )
        with torch.no_grad():
            wanted = self.teacher(batch.clean)
        restored = self.student(batch.image)
        return torch.stack(
            [
                (1 - (_unit(wanted[level]) * _unit(restored[level])).sum(dim=1)).mean((1, 2)).sum()
                for level in LEVELS
            ]
        ).sum()

    def segmentation_loss(self, batch: Batch) -> Tensor:
        """Return focal loss + L1 between probabilities and mask at a 4th of the size: a scalar."""
        logits = self.logits(batch.image)
        mask = F.interpolate(batch.mask, logits.shape[-2:], mode="bilinear", align_corners=False)
        target = (mask >= 0.5).to(logits.dtype)
        return binary_focal(logits, target) + F.l1_loss(logits.sigmoid(), target)

    def logits(self, images: Tensor) -> Tensor:
        """Return the segmentation at a 4th of the size: float32 (B, 1, H/4, W/4).

        No gradient reaches teacher and student.
        """
        with torch.no_grad():
            seen, restored = self.teacher(images), self.student(images)
            products = [-_unit(seen[level]) * _unit(restored[level]) for level in LEVELS]
            products = [_resize(product, products[0]) for product in products]
        logits: Tensor = self.segmentation(torch.cat(products, dim=1))
        return logits.float()

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of `anomalous` per pixel: float32 (B, H, W)."""
        probabilities = self.logits(images).sigmoid()
        return F.interpolate(
            probabilities, images.shape[-2:], mode="bilinear", align_corners=False
        )[:, 0]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the mean of the 100 largest pixels."""
        return top_mean(maps, 100)


def binary_focal(logits: Tensor, target: Tensor, gamma: float = GAMMA) -> Tensor:
    """Return the mean over everything of (1 - p_t)^gamma times the cross-entropy: a scalar.

    logits, target: float32 of one shape, target in {0, 1}. p_t is the probability given to the
    right class. Source: Lin et al., Focal loss, ICCV 2017, without class weights.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_wrong = (logits.sigmoid() - target).abs()
    return (p_wrong**gamma * cross_entropy).mean()


def _unit(features: Tensor) -> Tensor:
    """Features (B, C, H, W) with length 1 at every place, in float32."""
    features = features.float()
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + NORM_EPS)


def _resize(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)


def _conv_norm_relu(inputs: int, outputs: int, size: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

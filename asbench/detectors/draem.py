"""DRAEM: reconstruct the image as if it were normal, then segment where that failed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from asbench.nets.augment import random_rotation
from asbench.nets.blocks import DoubleConv, Float32Conv, Up, init_normal
from asbench.nets.detector import Batch, Detector, Protocol, Selection, Stage
from asbench.nets.losses import focal, published_range, ssim
from asbench.nets.schedules import fall_twice
from asbench.nets.scores import check_window, largest_mean
from asbench.nets.unet import UNet
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "tiny": {"width": 16, "seg_width": 8, "lr": 1e-3},
    "tiny-detached": {"width": 8, "seg_width": 8, "lr": 1e-3, "joint": False},
}
"""`tiny`: an eighth of the published widths, 1.5 M parameters; learns in a few hundred steps on two
CPU cores. Batch norm's running statistics trail a rate this high: judge it at the end of a
training, after the rate has fallen, not halfway. `tiny-detached`: half of that width where it
reconstructs, the two networks apart, trained longer and without the rotation: for images that
differ in brightness and always lie the same way, which `tiny` does not learn."""

PROTOCOLS = {
    "tiny": Protocol(
        batch=8,
        ratio=0.5,
        steps=300,
        augment=random_rotation,
        select=Selection(steps=100),
        seconds=(0.33, 0.001),
    ),
    "tiny-detached": Protocol(batch=8, ratio=0.5, steps=900, select=Selection(steps=100)),
}


class ReconstructionNet(nn.Module):
    """An autoencoder without skip connections: 5 levels, bottleneck 8 `width` at a 16th.

    Maps float (B, 3, H, W) to (B, 3, H, W) without an output activation.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.encoder = nn.Sequential(
            DoubleConv(3, w, w, of_pixels=True),
            nn.MaxPool2d(2),
            DoubleConv(w, 2 * w, 2 * w),
            nn.MaxPool2d(2),
            DoubleConv(2 * w, 4 * w, 4 * w),
            nn.MaxPool2d(2),
            DoubleConv(4 * w, 8 * w, 8 * w),
            nn.MaxPool2d(2),
            DoubleConv(8 * w, 8 * w, 8 * w),
        )
        self.decoder = nn.Sequential(
            Up(8 * w, 8 * w),
            DoubleConv(8 * w, 8 * w, 4 * w),
            Up(4 * w, 4 * w),
            DoubleConv(4 * w, 4 * w, 2 * w),
            Up(2 * w, 2 * w),
            DoubleConv(2 * w, 2 * w, w),
            Up(w, w),
            DoubleConv(w, w, w),
        )
        self.head = Float32Conv(w, 3, 3, padding=1)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images as they would be without anomalies."""
        restored: Tensor = self.head(self.decoder(self.encoder(images)))
        return restored


@dataclass(eq=False)
class Draem(Detector):
    """A reconstructive and a discriminative network, trained together from scratch.

    Loss: MSE + (1 - SSIM) between reconstruction and clean image, + focal on the segmentation,
    whose gradient flows through the reconstruction (`joint`). Channels are RGB; the authors read
    BGR, which is the same thing to a network that starts from scratch.
    """

    title = "DRAEM"
    paper = (
        "Zavrtanik, Kristan, Skocaj: DRAEM - A discriminatively trained reconstruction embedding "
        "for surface anomaly detection, ICCV 2021"
    )
    url = "https://github.com/VitjanZ/DRAEM"
    protocol = Protocol(
        batch=8,
        ratio=0.5,
        epochs=700,
        augment=random_rotation,
        select=Selection(epochs=10),
        seconds=(50.0, 0.03),
    )
    stride = 32
    bounded = True
    flavour = "draem"

    width: int = parameter(128, "Channels of the reconstructive network at full size.")
    seg_width: int = parameter(64, "Channels of the discriminative network at full size.")
    lr: float = parameter(
        1e-4, "Learning rate of Adam, times 0.2 after 80 % and again after 90 % of the steps."
    )
    joint: bool = parameter(
        True,
        "Whether the segmentation's gradient flows through the reconstruction, as published; else "
        "the reconstruction learns from the clean images alone.",
    )
    window: int = parameter(
        21,
        "Side of the square, in pixels, whose largest mean is the image score: odd. 21 is the "
        "published one, a twelfth of the published images' side.",
    )

    def __post_init__(self) -> None:
        super().__init__()
        if self.width < 1 or self.seg_width < 1 or self.lr <= 0:
            raise UserError(
                f"draem with width={self.width}, seg_width={self.seg_width}, lr={self.lr} cannot "
                "be built: widths must be at least 1 and lr positive."
            )
        check_window(self.window)
        self.reconstruction = ReconstructionNet(self.width)
        self.segmentation = UNet(inputs=6, width=self.seg_width)

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the one leg: both networks, one Adam."""
        adam = Adam(self.parameters(), lr=self.lr, fused=True)
        return (
            Stage(
                name="joint",
                share=1.0,
                trains=(self,),
                optimizers=(adam,),
                schedules=(fall_twice(adam, steps),),
                loss=self.loss,
            ),
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of the three losses, each with weight 1: a scalar."""
        restored, probabilities = self.restore_and_segment(batch.image)
        restored = restored.float()
        likeness = ssim(restored, batch.clean, published_range(restored.detach()))
        return (
            F.mse_loss(restored, batch.clean) + (1.0 - likeness) + focal(probabilities, batch.mask)
        )

    def restore_and_segment(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstructions (B, 3, H, W) and the probabilities (B, 2, H, W)."""
        restored = self.reconstruction(images)
        seen = restored if self.joint else restored.detach()
        logits = self.segmentation(torch.cat([seen, images], dim=1))
        return restored, logits.float().softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of `anomalous` per pixel: float32 (B, H, W)."""
        return self.restore_and_segment(images)[1][:, 1]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest mean over any square of `window`; padding zeros count in it."""
        return largest_mean(maps, self.window)

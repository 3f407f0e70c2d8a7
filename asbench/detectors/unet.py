"""AnomalyDiffusion's detection network: DRAEM's segmentation U-Net, alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.optim import Adam

from asbench.nets.detector import Batch, Detector, Protocol, Selection, Stage
from asbench.nets.losses import focal
from asbench.nets.schedules import fall_twice
from asbench.nets.scores import check_window, largest_mean
from asbench.nets.unet import UNet
from asbench.parameters import parameter
from synth_store.types import UserError

VARIANTS = {
    "tiny": {"width": 8, "lr": 1e-3},
}
"""`tiny`: an eighth of the published width, 0.45 M parameters."""

JUDGED = ("image_auroc", "pixel_auroc", "pixel_ap", "pro")
"""What the authors add up to choose a checkpoint, after each of their epochs of 63 steps."""

PROTOCOLS = {
    "tiny": Protocol(
        batch=8,
        ratio=0.5,
        steps=300,
        select=Selection(JUDGED, steps=100),
        seconds=(0.09, 0.001),
    ),
}


@dataclass(eq=False)
class Unet(Detector):
    """A U-Net that segments the image, trained from scratch by the focal loss alone.

    It sees no reconstruction and no pretrained feature: all it knows of anomalies is what was
    synthesized. The authors train 200 epochs of 500 draws, 12 600 steps whatever the number of
    normals; their sampler reaches the first 500 normals only, ours all.
    """

    title = "U-Net (AnomalyDiffusion)"
    paper = (
        "Hu, Zhang, Yi, Du, Chen, Liu, Wang, Wang: AnomalyDiffusion - Few-shot anomaly image "
        "generation with diffusion model, AAAI 2024"
    )
    url = "https://github.com/sjtuplayer/anomalydiffusion"
    protocol = Protocol(
        batch=8,
        ratio=0.5,
        steps=12_600,
        select=Selection(JUDGED, steps=63),
        seconds=(6.0, 0.006),
    )
    stride = 32
    bounded = True
    flavour = "anomalydiffusion"

    width: int = parameter(64, "Channels at full size.")
    lr: float = parameter(
        1e-4, "Learning rate of Adam, times 0.2 after 80 % and again after 90 % of the steps."
    )
    window: int = parameter(
        21,
        "Side of the square, in pixels, whose largest mean is the image score: odd. 21 is the "
        "published one, a twelfth of the published images' side.",
    )

    def __post_init__(self) -> None:
        super().__init__()
        if self.width < 1 or self.lr <= 0:
            raise UserError(
                f"unet with width={self.width}, lr={self.lr} cannot be built: "
                "width must be at least 1 and lr positive."
            )
        check_window(self.window)
        self.segmentation = UNet(inputs=3, width=self.width)

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return the one leg: one network, one Adam."""
        adam = Adam(self.parameters(), lr=self.lr, fused=True)
        return (
            Stage(
                name="segment",
                share=1.0,
                trains=(self,),
                optimizers=(adam,),
                schedules=(fall_twice(adam, steps),),
                loss=self.loss,
            ),
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return the focal loss (gamma 2) of the segmentation: a scalar."""
        return focal(self.probabilities(batch.image), batch.mask)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits: float32 (B, 2, H, W), channel 1 = anomalous."""
        logits: Tensor = self.segmentation(images)
        return logits.float().softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of `anomalous` per pixel: float32 (B, H, W)."""
        return self.probabilities(images)[:, 1]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest mean over any square of `window`; padding zeros count in it."""
        return largest_mean(maps, self.window)

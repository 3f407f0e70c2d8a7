"""AnomalyDiffusion's detection network: DRAEM's segmentation U-Net, alone."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Adam

from asbench.nets.detector import Batch, Detector, Protocol, Selection, Stage
from asbench.nets.losses import focal
from asbench.nets.schedules import fall_twice
from asbench.nets.scores import largest_mean, odd_window
from asbench.nets.unet import UNet
from synth_store.types import UserError

VARIANTS = {
    "tiny": {"width": 8, "lr": 1e-3},
}
"""`tiny`: an eighth of the published width, 0.45 M parameters."""

JUDGED = ("image_auroc", "pixel_auroc", "pixel_ap", "pro")
"""What the authors add up to choose a checkpoint, after each of their epochs of 63 steps."""

PROTOCOLS = {
    "tiny": Protocol(batch=8, ratio=0.5, steps=300, select=Selection(JUDGED, steps=100)),
}


class Unet(Detector):
    """A U-Net that segments the image, trained from scratch by the focal loss alone.

    It sees no reconstruction and no pretrained feature: all it knows of anomalies is what was
    synthesized. The authors train 200 epochs of 500 draws, 12 600 steps whatever the number of
    normals; their sampler reaches the first 500 normals only, ours all.

    Args:
        width: channels at full size.
        lr: learning rate of Adam, times 0.2 after 80 % and again after 90 % of the steps.
        window: side of the square, in pixels, whose largest mean is the image score: odd. 21 is
            the published one, a twelfth of the published images' side.
    """

    title = "U-Net (AnomalyDiffusion)"
    paper = (
        "Hu, Zhang, Yi, Du, Chen, Liu, Wang, Wang: AnomalyDiffusion - Few-shot anomaly image "
        "generation with diffusion model, AAAI 2024"
    )
    url = "https://github.com/sjtuplayer/anomalydiffusion"
    protocol = Protocol(batch=8, ratio=0.5, steps=12_600, select=Selection(JUDGED, steps=63))
    stride = 32
    flavour = "anomalydiffusion"

    def __init__(self, *, width: int = 64, lr: float = 1e-4, window: int = 21) -> None:
        super().__init__()
        if width < 1 or lr <= 0:
            raise UserError(
                f"unet with width={width}, lr={lr} cannot be built: "
                "width must be at least 1 and lr positive."
            )
        self.lr = lr
        self.window = odd_window(window)
        self.segmentation = UNet(inputs=3, width=width)

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

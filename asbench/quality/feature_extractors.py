"""Feature spaces in which sets of images are compared, each with maps that a mask can weigh.

A space turns images into maps of C channels; a feature is their mean, over the whole image or
weighed by how much of a region falls on each cell. Over a region that is the whole image both are
one number, so local metrics are the global ones looked at elsewhere, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asbench.nets.pretrained import read, weights_digest
from asbench.nets.released import standard
from asbench.nets.resnet import ResNet18
from asbench.quality.record import Region
from synth_store.types import UserError

Floats = npt.NDArray[np.float64]


class Space(ABC):
    """A feature space. name: as it stands after the `@` of a metric; digest: of its weights."""

    name: str
    digest: str | None = None
    classes = True
    """Whether `logits` are something that the inception score's formula can be applied to."""

    @abstractmethod
    def maps(self, images: Tensor) -> Tensor:
        """Return the maps of uint8 (B, 3, H, W) images: float (B, C, h, w)."""

    def logits(self, features: Tensor) -> Tensor:
        """Return class logits (B, K) of features (B, C)."""
        return features

    @torch.inference_mode()
    def features(
        self, images: Tensor, regions: Mapping[Region, Tensor | None]
    ) -> dict[Region, Floats]:
        """Return a feature (B, C) an image for each region, NaN where that is empty.

        images: uint8 (B, 3, H, W); regions: bool (B, H, W), None for the whole image.
        """
        maps = self.maps(images)
        return {
            name: (maps.mean((2, 3)) if where is None else pooled(maps, where))
            .double()
            .cpu()
            .numpy()
            for name, where in regions.items()
        }


def pooled(maps: Tensor, where: Tensor) -> Tensor:
    """Return the mean (B, C) of maps (B, C, h, w) over regions, bool (B, H, W); NaN where empty.

    A cell weighs as much as the share of it that the region covers.
    """
    weights = F.adaptive_avg_pool2d(where[:, None].float(), (maps.shape[2], maps.shape[3]))
    return (maps * weights).sum((2, 3)) / weights.sum((2, 3))


class Inception(Space):
    """InceptionV3 of 2015 as FID was defined with: 2048 channels of 8x8 cells, 1008 classes.

    torchmetrics' adapter of torch-fidelity's network, images resized to 299x299 with antialiasing
    as torchmetrics does. Source: Heusel et al., GANs trained by a two time-scale update rule, 2017.
    """

    name = "inception"

    def __init__(self, path: Path, device: torch.device) -> None:
        from torchmetrics.image.fid import NoTrainInceptionV3

        read(path)  # torch-fidelity would run any code in the file: only named tensors pass here
        try:
            net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
        except ModuleNotFoundError as error:
            raise UserError(
                "fid, kid and is need the package torch-fidelity: install "
                "`pip install 'asbench[quality]'`; or measure stand-ins such as fid@histogram."
            ) from error
        except Exception as error:  # torch.load and load_state_dict raise all sorts
            raise UserError(
                f"{path} does not hold torch-fidelity's InceptionV3 ({error}): give its .pth file "
                "with --weights inception=PATH."
            ) from error
        net.AvgPool = nn.Identity()  # the maps themselves, to be pooled by region
        self.net = net.to(device)
        self.digest = weights_digest(net.state_dict())

    def maps(self, images: Tensor) -> Tensor:
        flat: Tensor = self.net(images)
        return flat.view(len(images), 2048, 8, 8)

    def logits(self, features: Tensor) -> Tensor:
        # Without its bias, as the published score has it.
        logits: Tensor = features @ self.net.fc.weight.T.to(features)
        return logits


class Layer3(Space):
    """ResNet-18's third residual layer: 256 channels of cells of 16x16 pixels. A stand-in.

    It has no classes; the inception score's formula takes its channels for them.
    """

    name = "resnet18-layer3"

    def __init__(self, path: Path, device: torch.device) -> None:
        self.net = load_resnet(path, device)
        self.digest = weights_digest(self.net.state_dict())

    def maps(self, images: Tensor) -> Tensor:
        levels: dict[str, Tensor] = self.net(images.float() / 255)
        return levels["layer3"]


class Histogram(Space):
    """Colours and edges counted: 8 levels of each channel, 8 of the luminance gradient.

    A stand-in that needs no weights. 32 channels of single pixels, so a feature holds the shares
    of pixels at each level; gradients are binned by powers of two.
    """

    name = "histogram"
    classes = False

    def maps(self, images: Tensor) -> Tensor:
        return F.one_hot(self._levels(images), 8).permute(0, 1, 4, 2, 3).flatten(1, 2).float()

    @torch.inference_mode()
    def features(
        self, images: Tensor, regions: Mapping[Region, Tensor | None]
    ) -> dict[Region, Floats]:
        # Counted, since 32 maps of an image's size are 64 times its bytes.
        levels = self._levels(images) + 8 * torch.arange(4, device=images.device)[:, None, None]
        found = {}
        for name, where in regions.items():
            chosen = [one if where is None else one[:, where[i]] for i, one in enumerate(levels)]
            counts = torch.stack([one.flatten().bincount(minlength=32) for one in chosen])
            found[name] = (4 * counts.double() / counts.sum(1, keepdim=True)).cpu().numpy()
        return found

    def _levels(self, images: Tensor) -> Tensor:
        """Return the level, 0..7, of each pixel in 3 channels and of its gradient: (B, 4, H, W)."""
        grey = images.float().mean(1, keepdim=True)
        padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
        dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        steep = torch.log2(torch.hypot(dx, dy).clamp(1, 255)).long()
        return torch.cat([(images // 32).long(), steep], 1)


def load_resnet(path: Path, device: torch.device) -> ResNet18:
    """Return ResNet-18 to its third layer, in eval mode, from a file of torchvision's weights."""
    tensors, _ = standard(read(path), path, "resnet18")
    net = ResNet18(depth=3)
    wanted = {name: tensors[name] for name in net.state_dict() if name in tensors}
    if lacking := sorted(net.state_dict().keys() - wanted.keys()):
        raise UserError(f"{path} lacks {lacking[0]!r} of resnet18: give another with --weights.")
    net.load_state_dict(wanted)
    return net.requires_grad_(False).eval().to(device)

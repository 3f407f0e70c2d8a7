"""Metrics of image pairs: SSIM, PSNR, LPIPS, over whole images or over a region of each.

All of them are means of a map over the image's cells, so a region's value is the same mean over
its cells, and equals the plain one where the region is the whole image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from asbench.nets.pretrained import read, weights_digest
from asbench.quality.feature_extractors import load_resnet, pooled
from asbench.quality.record import Region
from synth_store.types import UserError

PSNR_LIMIT = 100.0
"""In dB: what equal pixels get, which would be infinite."""


class Pairwise(ABC):
    """A metric of pairs. digest: of its weights, None without."""

    digest: str | None = None

    @abstractmethod
    def maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Return one map (B, C, h, w) or several, of pairs of float (B, 3, H, W) in [0, 1]."""

    def combine(self, means: Sequence[Tensor]) -> Tensor:
        """Return the metric (B,) of the means (B,) of its maps."""
        return torch.stack(list(means)).sum(0)

    @torch.inference_mode()
    def __call__(
        self, a: Tensor, b: Tensor, regions: Mapping[Region, Tensor | None]
    ) -> dict[Region, Tensor]:
        """Return float64 (B,) for each region, NaN where that is empty.

        a, b: float (B, 3, H, W) in [0, 1]; regions: bool (B, H, W), None for the whole image.
        """
        maps = [m.double() for m in self.maps(a, b)]
        values: dict[Region, Tensor] = {}
        for name, where in regions.items():
            each = [m.mean((2, 3)) if where is None else pooled(m, where) for m in maps]
            values[name] = self.combine([mean.mean(1) for mean in each]).cpu()
        return values


class Ssim(Pairwise):
    """Structural similarity, torchmetrics' map: Gaussian window of sigma 1.5, per channel."""

    def maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        from torchmetrics.functional.image import structural_similarity_index_measure

        similarity = structural_similarity_index_measure(
            a, b, data_range=1.0, reduction="none", return_full_image=True
        )
        assert isinstance(similarity, tuple)
        return [similarity[1]]


class Psnr(Pairwise):
    """Peak signal-to-noise ratio in dB of each pair, at most `PSNR_LIMIT`."""

    def maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        return [(a.double() - b.double()).square()]

    def combine(self, means: Sequence[Tensor]) -> Tensor:
        return (-10 * means[0].log10()).clamp(max=PSNR_LIMIT)


class Lpips(Pairwise):
    """LPIPS with its authors' linear heads, which torchmetrics ships, over torchvision's network.

    net: `alex` or `vgg`; path: torchvision's file of it. Source: Zhang et al., The unreasonable
    effectiveness of deep features as a perceptual metric, CVPR 2018.
    """

    def __init__(self, net: str, path: Path, device: torch.device) -> None:
        from torchmetrics.functional.image.lpips import _LPIPS

        # Its public class downloads the network; this one takes a random one, filled here.
        model = _LPIPS(net=net, pnet_rand=True)  # type: ignore[arg-type]
        given = read(path)
        state = model.net.state_dict()
        for name, held in state.items():
            source = f"features.{name.partition('.')[2]}"
            if source not in given or given[source].shape != held.shape:
                raise UserError(f"{path} is not torchvision's {net} network: no fit for {source}.")
            state[name] = given[source]
        model.net.load_state_dict(state)
        self.model = model.eval().to(device)
        self.digest = weights_digest(self.model.state_dict())

    def maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        activations = [self.model.net(self.model.scaling_layer(2 * x - 1)) for x in (a, b)]
        return [
            head((_unit(one) - _unit(two)).square())
            for head, one, two in zip(self.model.lins, *activations, strict=True)
        ]


class Resnet(Pairwise):
    """Like LPIPS without learned heads, over ResNet-18's stem and layers 1 to 3. A stand-in.

    The squared difference of unit-length features, summed over channels and levels.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.net = load_resnet(path, device)
        self.digest = weights_digest(self.net.state_dict())

    def maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        one, two = self.net(a), self.net(b)
        return [(_unit(one[name]) - _unit(two[name])).square().sum(1, keepdim=True) for name in one]


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()

"""What methods on a latent diffusion model share: its networks, and how a fresh one is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from asbench.parameters import parameter
from asbench.types import LearnedSynthesizer
from synth_store.types import UserError

PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "coder_widths": (128, 256, 512, 512),
        "coder_layers": 2,
        "coder_attention": True,
        "widths": (320, 640, 1280, 1280),
        "layers": 2,
        "attention": (1, 2, 4),
        "heads": 8,
        "groups": 32,
    }
)
"""The networks of Stable Diffusion 1.5 and of CompVis's text-to-image model alike."""


@dataclass(frozen=True)
class LatentMethod(LearnedSynthesizer):
    """Autoencoder and U-Net, published or fitted from nothing on normals and drawn shapes.

    Source: Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022.
    """

    side: int = parameter(256, "Side of the networks' images, in pixels.")
    coder_widths: tuple[int, ...] = parameter(
        (128, 256, 512, 512),
        "Channels of the autoencoder's levels, each half the side of the last.",
    )
    coder_layers: int = parameter(2, "Residual blocks of each level of the autoencoder.")
    coder_attention: bool = parameter(
        True, "Self-attention in the middle of the autoencoder's halves."
    )
    coder_steps: int = parameter(
        100_000, "From scratch: steps that train the autoencoder, before it is frozen."
    )
    coder_lr: float = parameter(1e-4, "From scratch: Adam's learning rate for the autoencoder.")
    widths: tuple[int, ...] = parameter(
        (320, 640, 1280, 1280), "Channels of the U-Net's levels, each half the side of the last."
    )
    layers: int = parameter(2, "Residual blocks of each level of the U-Net.")
    attention: tuple[int, ...] = parameter(
        (1, 2, 4), "Levels of the U-Net that read the words, as divisors of the latent's side."
    )
    heads: int = parameter(8, "Attention heads of those levels.")
    words: int = parameter(768, "Length of a word's vector.")
    groups: int = parameter(32, "Groups of the group norms.")
    prior_images: int = parameter(
        16, "From scratch: images of a step that trains the autoencoder or the U-Net."
    )
    prior_steps: int = parameter(
        100_000, "From scratch: steps that train the U-Net, before it is frozen."
    )
    prior_lr: float = parameter(1e-4, "From scratch: Adam's learning rate for the U-Net.")

    def _check_fresh(self) -> None:
        """Raise UserError for a network that cannot be built."""
        called = type(self).__name__.lower()
        halvings = len(self.coder_widths) + len(self.widths) - 2
        if not self.coder_widths or not self.widths or self.side % (1 << halvings):
            raise UserError(
                f"{called}: side={self.side} cannot be halved {halvings} times, once for each "
                f"further level in coder_widths={self.coder_widths!r} and widths={self.widths!r}."
            )
        for name in ("coder_widths", "widths"):
            for channels in getattr(self, name):
                if channels < 1 or channels % self.groups:
                    raise UserError(
                        f"{called}: {name}={getattr(self, name)!r} must be multiples of "
                        f"groups={self.groups}."
                    )
        levels = {1 << level: channels for level, channels in enumerate(self.widths)}
        if not self.attention or not set(self.attention) <= set(levels):
            raise UserError(
                f"{called}: attention={self.attention!r} must name levels of the U-Net, one or "
                f"more: choose from {', '.join(map(str, levels))}."
            )
        if any(levels[level] % self.heads for level in self.attention):
            raise UserError(
                f"{called}: widths={self.widths!r} must be multiples of heads={self.heads} where "
                "there is attention."
            )

    def _check_at_least_one(self, *names: str) -> None:
        """Raise UserError for a count of the networks, of the prior or of `names` below 1."""
        shared = ("coder_layers", "layers", "words", "prior_images", "coder_steps", "prior_steps")
        for name in (*shared, *names, "batch"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"{type(self).__name__.lower()}: {name}={getattr(self, name)} must be 1 or "
                    "more."
                )

    def _check_positive(self, *names: str) -> None:
        """Raise UserError for a learning rate, the prior's or one of `names`, of 0 or less."""
        for name in ("coder_lr", "prior_lr", *names):
            if getattr(self, name) <= 0:
                raise UserError(
                    f"{type(self).__name__.lower()}: {name}={getattr(self, name)} must be above 0."
                )

"""A latent diffusion model where no published one is at hand: fresh, of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from diffusers import AutoencoderKL, UNet2DConditionModel

from asbench.nets.latent import CHANNELS, LatentDiffusion
from asbench.nets.prompt import SlotPrompt


class Sizes(Protocol):
    """Parameters of a method with such a model, by the names its plugin gives them."""

    @property
    def side(self) -> int: ...
    @property
    def coder_widths(self) -> tuple[int, ...]: ...
    @property
    def coder_layers(self) -> int: ...
    @property
    def coder_attention(self) -> bool: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def layers(self) -> int: ...
    @property
    def attention(self) -> tuple[int, ...]: ...
    @property
    def heads(self) -> int: ...
    @property
    def words(self) -> int: ...
    @property
    def groups(self) -> int: ...


def fresh_latent(sizes: Sizes, vocabulary: Sequence[str], slots: int) -> LatentDiffusion:
    """Return fresh networks with a vocabulary of words, `slots` of which make a sentence."""
    coder: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
        down_block_types=["DownEncoderBlock2D"] * len(sizes.coder_widths),
        up_block_types=["UpDecoderBlock2D"] * len(sizes.coder_widths),
        block_out_channels=sizes.coder_widths,
        layers_per_block=sizes.coder_layers,
        latent_channels=CHANNELS,
        norm_num_groups=sizes.groups,
        sample_size=sizes.side,
        mid_block_add_attention=sizes.coder_attention,
    )
    levels = [1 << level in sizes.attention for level in range(len(sizes.widths))]
    unet: Any = UNet2DConditionModel(  # type: ignore[no-untyped-call]
        sample_size=sizes.side >> (len(sizes.coder_widths) - 1),
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in levels],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(levels)],
        block_out_channels=sizes.widths,
        layers_per_block=sizes.layers,
        cross_attention_dim=sizes.words,
        attention_head_dim=sizes.heads,  # diffusers reads it as the number of heads
        norm_num_groups=sizes.groups,
    )
    return LatentDiffusion(coder, unet, SlotPrompt(vocabulary, sizes.words, slots))

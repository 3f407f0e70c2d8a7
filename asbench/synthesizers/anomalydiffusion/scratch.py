"""AnomalyDiffusion's latent diffusion model where CompVis's is not at hand: fresh and small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffusers import AutoencoderKL, UNet2DConditionModel

from asbench.nets.latent import ANOMALY, CHANNELS, MASK, LatentDiffusion
from asbench.nets.prompt import SlotPrompt

if TYPE_CHECKING:
    from asbench.synthesizers.anomalydiffusion import Anomalydiffusion


def from_scratch(method: Anomalydiffusion, categories: Sequence[str]) -> LatentDiffusion:
    """Return fresh networks with a vocabulary of the categories, "anomaly" and "crack"."""
    coder: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
        down_block_types=["DownEncoderBlock2D"] * len(method.coder_widths),
        up_block_types=["UpDecoderBlock2D"] * len(method.coder_widths),
        block_out_channels=method.coder_widths,
        layers_per_block=method.coder_layers,
        latent_channels=CHANNELS,
        norm_num_groups=method.groups,
        sample_size=method.side,
        mid_block_add_attention=method.coder_attention,
    )
    levels = [1 << level in method.attention for level in range(len(method.widths))]
    unet: Any = UNet2DConditionModel(  # type: ignore[no-untyped-call]
        sample_size=method.side >> (len(method.coder_widths) - 1),
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in levels],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(levels)],
        block_out_channels=method.widths,
        layers_per_block=method.layers,
        cross_attention_dim=method.words,
        attention_head_dim=method.heads,  # diffusers reads it as the number of heads
        norm_num_groups=method.groups,
    )
    slots = max(method.look_words + method.place_words, method.mask_words)
    prompt = SlotPrompt((*categories, ANOMALY, MASK), method.words, slots)
    return LatentDiffusion(coder, unet, prompt)

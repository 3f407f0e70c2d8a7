"""AnomalyDiffusion's adaptive attention re-weighting: the defect's words weigh more where needed.

Where the mask's inside still looks like the normal, the logits of the inserted words are raised in
every cross-attention. Source: Hu et al., AnomalyDiffusion, AAAI 2024, section 3.4, in the form of
the authors' code: by the distance of the noisy latent to the normal's, and at most 1.5.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor, nn

LARGEST = 1.5
REACH = 8 / 32
"""Of the dilation at the chain's end, in sides of the latent, for 200 sampling steps."""
REACH_SHORT = 16 / 32
"""The same for 50 steps."""
FEW = 100
"""Walks of up to so many steps dilate as one of 50."""
TINY = 1e-12


class Reweighting(NamedTuple):
    """Factors, float (N, 1, h, w), and the places of the words whose logits they multiply."""

    factors: Tensor
    columns: tuple[int, ...]


class ReweightedAttention:
    """An attention processor: diffusers' own, unless it is given `reweighting`."""

    def __init__(self) -> None:
        self.plain: Any = AttnProcessor2_0()  # type: ignore[no-untyped-call]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        reweighting: Reweighting | None = None,
    ) -> Tensor:
        if reweighting is None or encoder_hidden_states is None:
            attention: Tensor = self.plain(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return attention
        query, key, value = (
            layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, x in (
                (attn.to_q, hidden_states),
                (attn.to_k, encoder_hidden_states),
                (attn.to_v, encoder_hidden_states),
            )
        )
        logits = query @ key.transpose(-1, -2) * attn.scale
        side = math.isqrt(logits.shape[2])
        factors = F.interpolate(
            reweighting.factors, (side, side), mode="bilinear", align_corners=False
        )
        columns = list(reweighting.columns)
        scaled = logits.clone()
        scaled[..., columns] = logits[..., columns] * factors.flatten(2).unsqueeze(-1)
        attended = (scaled.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        drop, out = attn.to_out[1], attn.to_out[0]
        result: Tensor = drop(out(attended)) / attn.rescale_output_factor
        return result


def install(unet: nn.Module) -> None:
    """Give a `UNet2DConditionModel` attention that can be re-weighted."""
    processors = dict.fromkeys(unet.attn_processors, ReweightedAttention())  # type: ignore[arg-type]
    unet.set_attn_processor(processors)  # type: ignore[operator]


def dilated(masks: Tensor, time: int, walk: int) -> Tensor:
    """Return masks of the latent, float (N, 1, h, w), grown by a square that shrinks to none.

    time: 0..999; walk: sampling steps in all.
    """
    share = REACH_SHORT if walk <= FEW else REACH
    radius = math.floor((time + 100) * share * masks.shape[-1] / 1000)
    return F.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius)


def factors(x: Tensor, clean: Tensor, masks: Tensor) -> Tensor:
    """Return by how much logits are multiplied: float (N, 1, h, w) in 1..1.5, 1 outside the mask.

    x, clean: the noisy latent and the normal's, float (N, c, h, w); masks: 0 and 1, (N, 1, h, w).
    """
    distance = (masks * (x - clean)).square().mean(dim=1, keepdim=True).clamp_min(TINY)
    nearness = masks / distance
    share = nearness / nearness.sum(dim=(2, 3), keepdim=True).clamp_min(TINY)
    multipliers = (masks.sum(dim=(2, 3), keepdim=True) * share).clamp(1, LARGEST)
    return multipliers.where(masks > 0, torch.ones_like(multipliers))

"""AnomalyDiffusion's latent diffusion model where CompVis's is not at hand: fresh and small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asbench.nets.fresh import fresh_latent
from asbench.nets.latent import ANOMALY, MASK, LatentDiffusion

if TYPE_CHECKING:
    from asbench.synthesizers.anomalydiffusion import Anomalydiffusion


def from_scratch(method: Anomalydiffusion, categories: Sequence[str]) -> LatentDiffusion:
    """Return fresh networks with a vocabulary of the categories, "anomaly" and "crack"."""
    slots = max(method.look_words + method.place_words, method.mask_words)
    return fresh_latent(method, (*categories, ANOMALY, MASK), slots)

"""A latent diffusion model: autoencoder, U-Net, and what it is told; fresh or CompVis's.

Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from asbench.nets.prompt import Prompt

TIMES = 1000
"""Steps of the chain that the U-Net learns to walk back."""
CHANNELS = 4
"""Of a latent."""
SCALE = 0.18215
"""What CompVis's latents are multiplied by, so that their variance is about 1."""
ANOMALY, MASK = "anomaly", "crack"
"""The words that the vectors of parts A and B begin as."""


class LatentDiffusion(nn.Module):
    """Images in [-1, 1] to latents and back, and the noise seen in latents under a sentence.

    Latents are float (N, 4, side / factor, side / factor) of variance about 1; `scale` is a buffer,
    since a model from scratch measures it.
    """

    def __init__(self, coder: Any, unet: Any, prompt: Prompt) -> None:
        super().__init__()
        self.coder, self.unet, self.prompt = coder, unet, prompt
        self.register_buffer("scale", torch.tensor(SCALE))
        self.scale: Tensor

    @property
    def factor(self) -> int:
        """Pixels of an image to one of its latent, along a side."""
        return int(2 ** (len(self.coder.config.block_out_channels) - 1))

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.scale.device

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the images' latents, drawn from the autoencoder's posterior by `noise`."""
        posterior = self.coder.encode(images).latent_dist
        latents: Tensor = (posterior.mean + posterior.std * noise) * self.scale
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, float (N, 3, side, side) in about [-1, 1]."""
        images: Tensor = self.coder.decode(latents / self.scale).sample
        return images

    def seen(
        self, x: Tensor, times: Tensor, said: Tensor, attention: Mapping[str, Any] | None = None
    ) -> Tensor:
        """Return the noise that the U-Net sees in x: float (N, 4, h, w).

        times: int64 (N,); said: what sentences say, float (N, length, dim); attention: what the
        U-Net's attention processors take beside, where they are not diffusers' own.
        """
        given = None if attention is None else dict(attention)
        noise: Tensor = self.unet(x, times, said, cross_attention_kwargs=given).sample
        return noise


def schedule(steps: int = TIMES // 2) -> Any:
    """Return DDIM's tables and steps for a walk: 1, 1 + d, ... with d = floor(1000 / steps).

    betas: 0.00085..0.012, linear in their roots. steps: 1..500.
    """
    scheduler: Any = DDIMScheduler(  # type: ignore[no-untyped-call]
        TIMES,
        0.00085,
        0.012,
        "scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )
    scheduler.set_timesteps(steps)
    return scheduler


def noised(latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return x_t of latents: sqrt(abar) z + sqrt(1 - abar) noise; times: int64 (N,), 0..999."""
    x: Tensor = schedule().add_noise(latents, noise, times)
    return x


def walk_back(
    x: Tensor,
    steps: int,
    seen: Callable[[Tensor, int], tuple[Tensor, Tensor]],
    draw: Callable[[], Tensor],
) -> Tensor:
    """Return the latents that noise x becomes, by DDIM with eta = 1.

    seen: given x_t and t, returns x_t, perhaps changed, and the noise in it; draw: returns fresh
    noise of x's shape, called once for each step after `seen`.
    """
    tables = schedule(steps)
    for time in _times(tables):
        x, noise = seen(x, time)
        x = tables.step(noise, time, x, eta=1.0, variance_noise=draw()).prev_sample
    return x


def _times(tables: Any) -> Iterator[int]:
    return iter(int(time) for time in tables.timesteps)

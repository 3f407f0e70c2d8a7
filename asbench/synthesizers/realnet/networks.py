"""RealNet's diffusion model: fitted on normals, sampled at a strength."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import large, noise, small
from asbench.imaging.overlay import blend
from asbench.nets.diffusion import TIMES, back_step, chain, noised, variance_bound
from asbench.nets.pretrained import read
from asbench.nets.schedules import warm_up_and_cosine
from asbench.synthesizers.realnet.adm import adm_unet, load_adm
from asbench.types import Canvas, Subject
from synth_store import Sample

if TYPE_CHECKING:
    from asbench.synthesizers.realnet import Realnet

CLIP = 1.0
"""Largest norm of the gradients."""


class RealnetModel(LearnedModel):
    """One U-Net for all categories.

    `network` holds the running average of the weights, which renders and is all that is kept; the
    weights that Adam moves, `moving`, stand beside it once fitting begins.
    """

    method: Realnet
    moving: nn.Module

    def __init__(
        self, method: Realnet, categories: Sequence[str], weights: Path | None = None
    ) -> None:
        super().__init__()
        self.method = method
        self.labels = {category: label for label, category in enumerate(categories)}
        self.network = adm_unet(
            method.side,
            method.width,
            method.multipliers,
            method.attention,
            layers=method.layers,
            groups=method.groups,
            head_channels=method.head_channels,
            classes=len(categories),
        )
        if weights is not None:
            load_adm(self.network, read(weights), weights)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def kept(self) -> Mapping[str, Tensor]:
        return {f"network.{name}": t for name, t in self.network.state_dict().items()}

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        self.moving = copy.deepcopy(self.network).train()
        adam = torch.optim.Adam(self.moving.parameters(), lr=method.lr)
        schedules = (warm_up_and_cosine(adam, method.steps, 0, 0),) if method.cosine else ()
        update = get_ema_multi_avg_fn(method.average)  # type: ignore[no-untyped-call]
        places = [(subject, i) for subject in subjects for i in range(len(subject.normals))]

        def step(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            adam.zero_grad(set_to_none=True)
            losses = [self._backward(places, generator) for _ in range(method.accumulate)]
            adam.step()
            for schedule in schedules:
                schedule.step()
            averaged, moved = list(self.network.parameters()), list(self.moving.parameters())
            update(averaged, moved, 0)
            return {name: torch.stack([x[name] for x in losses]).mean() for name in losses[0]}

        return (FitStage("denoise", method.steps, step, (adam,), schedules),)

    def _backward(
        self, places: Sequence[tuple[Subject, int]], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Add the gradients of one pass, clip what has gathered, and return the losses."""
        method = self.method
        drawn = torch.randint(len(places), (method.images,), generator=generator).tolist()
        at = torch.randint(TIMES, (method.images,), generator=generator)
        fresh = torch.randn(method.images, 3, method.side, method.side, generator=generator)
        sums = dict.fromkeys(("noise", "variance"), torch.zeros((), device=self.device))
        for first in range(0, method.images, method.at_once):
            part = slice(first, first + method.at_once)
            chosen = [places[i] for i in drawn[part]]
            images = small([subject.normals[i] for subject, i in chosen], method.side)
            labels = torch.tensor([self.labels[subject.category] for subject, _ in chosen])
            losses = self.losses(
                images.to(self.device),
                labels.to(self.device),
                at[part].to(self.device),
                fresh[part].to(self.device),
            )
            shares = {name: loss.sum() / method.images for name, loss in losses.items()}
            torch.stack(list(shares.values())).sum().backward()  # type: ignore[no-untyped-call]
            sums = {name: sums[name] + share.detach() for name, share in shares.items()}
        nn.utils.clip_grad_norm_(self.moving.parameters(), CLIP)
        return sums

    def losses(
        self, images: Tensor, labels: Tensor, at: Tensor, fresh: Tensor
    ) -> dict[str, Tensor]:
        """Return the hybrid loss of each image in its two parts, float (N,).

        noise: the squared error of the noise; variance: L_vb, through which only the variance
        learns. images: in [-1, 1]; at: steps 0..999; fresh: the noise that is added.
        """
        steps = chain(device=images.device)
        x = noised(images, fresh, steps.kept[at])
        with torch.autocast(
            images.device.type, torch.bfloat16, enabled=self.method.precision == "bfloat16"
        ):
            output = self.moving(x, at, labels).sample
        seen, v = output.float().chunk(2, dim=1)
        bound = variance_bound(images, x, seen.detach(), v, steps, at)
        return {"noise": ((fresh - seen) ** 2).mean(dim=(1, 2, 3)), "variance": bound}

    def sample(
        self, labels: Tensor, strengths: Tensor, rngs: Sequence[np.random.Generator]
    ) -> Tensor:
        """Return one image for each generator: float32 (N, 3, side, side) in about [-1, 1].

        labels: int64 (N,); strengths: float (N,), s of every image. All noise of an image comes
        from its own generator.
        """
        shape = (3, self.method.side, self.method.side)
        steps = chain(self.method.walk, self.device)

        def draw() -> Tensor:
            return torch.stack([noise(shape, rng) for rng in rngs]).to(self.device)

        x, labels, strengths = draw(), labels.to(self.device), strengths.to(self.device)
        for k in reversed(range(len(steps))):
            at = steps.times[k].expand(len(x))
            seen, v = self.network(x, at, labels).sample.chunk(2, dim=1)
            if self.method.variance == "posterior":
                v = torch.full_like(v, -1)
            fresh = draw() if k else torch.zeros_like(x)
            x = back_step(x, seen, v, steps, k, fresh, strengths)
        return x

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        method = self.method
        placed = [method.place(c, rng) for c, rng in zip(canvases, rngs, strict=True)]
        strengths = [rng.uniform(method.strength_low, method.strength_high) for rng in rngs]
        labels = torch.tensor([self.labels[c.material.category] for c in canvases])
        drawn = self.sample(labels, torch.tensor(strengths, dtype=torch.float32), rngs)
        height, width = canvases[0].normal.shape[:2]
        sources = large(drawn, height, width)
        samples: list[Sample | None] = []
        for canvas, where, source in zip(canvases, placed, sources, strict=True):
            sample: Sample | None = None
            if where is not None:
                image = blend(canvas.normal, source, where.mask, 1 - where.opacity)
                sample = None if image is None else Sample(image, where.mask)
            samples.append(sample)
        return samples

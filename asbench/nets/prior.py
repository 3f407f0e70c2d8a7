"""The latent diffusion model of `-scratch` variants: what it is fitted on before it is frozen.

A large text-image model knows spots, cracks and black-and-white drawings; one from nothing has to
be shown some. So besides the normals it sees drawn shapes, for the word "crack", and normals with
such a shape filled by a colour, a change of light or another place, for the word "anomaly".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asbench.fitting.contract import FitStage
from asbench.fitting.images import small, small_masks
from asbench.imaging.perlin import draw_mask
from asbench.nets.latent import ANOMALY, CHANNELS, MASK, TIMES, LatentDiffusion, noised
from asbench.types import Subject
from synth_store.types import Image, Mask

ANOMALOUS, DRAWN, REAL = 0.3, 0.25, 0.15
"""Shares of a step: filled shapes, shapes alone, and, for the autoencoder, few-shot defects."""
UNTOLD = 0.1
"""Share of images whose word is withheld, for guidance against the empty sentence."""
DIVERGENCE = 1e-6
"""Weight of the autoencoder's divergence from a normal distribution."""
MEASURED = 64
"""Images from which the latents' deviation is measured."""
MOST = 0.25
"""Of the image: the largest shape."""
ELSEWHERE = 0.15
"""Share of shapes filled from another place, which on a texture hardly shows."""


class Prior:
    """The two stages: `coder` and `words`."""

    def __init__(self, model: LatentDiffusion, subjects: Sequence[Subject], side: int) -> None:
        self.model, self.subjects, self.side = model, subjects, side
        self.places = [(s, i) for s in subjects for i in range(len(s.normals))]
        self.defects = [(s, d) for s in subjects for d in s.defects]

    def coder_stage(self, steps: int, images: int, lr: float) -> FitStage:
        """Return the stage that fits the autoencoder: L1, and a little divergence."""
        coder = self.model.coder
        adam = torch.optim.Adam(coder.parameters(), lr=lr)

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            _train_only(self.model, coder)
            for group in adam.param_groups:
                group["lr"] = lr * _cooling(at, steps)
            adam.zero_grad(set_to_none=True)
            shown, _ = self._batch(images, generator, real=REAL)
            shown = shown.to(self.model.device)
            posterior = coder.encode(shown).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(shown)
            restored = coder.decode(posterior.mean + posterior.std * noise).sample
            error, divergence = F.l1_loss(restored, shown), posterior.kl().mean()
            (error + DIVERGENCE * divergence).backward()
            adam.step()
            return {"error": error.detach(), "divergence": divergence.detach()}

        return FitStage("coder", steps, step, (adam,))

    def words_stage(self, steps: int, images: int, lr: float) -> FitStage:
        """Return the stage that fits the U-Net and the vocabulary, on the latents of normals."""
        model = self.model
        adam = torch.optim.Adam([*model.unet.parameters(), *model.prompt.parameters()], lr=lr)

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            _train_only(model, model.unet, model.prompt)
            for group in adam.param_groups:
                group["lr"] = lr * _cooling(at, steps)
            adam.zero_grad(set_to_none=True)
            shown, words = self._batch(images, generator, real=0.0)
            told = torch.rand(images, generator=generator) >= UNTOLD
            size = self.side // model.factor
            noises = torch.randn(2, images, CHANNELS, size, size, generator=generator)
            times = torch.randint(TIMES, (images,), generator=generator).to(model.device)
            inner, noise = noises.to(model.device)
            with torch.no_grad():
                latents = model.encode(shown.to(model.device), inner)
            count = model.prompt.length - 1
            said = model.prompt(
                torch.stack([model.prompt.word(w).expand(count, -1) for w in words]), [0] * images
            )
            said = torch.where(
                told.view(-1, 1, 1).to(said.device), said, model.prompt.empty(images)
            )
            seen = model.seen(noised(latents, noise, times), times, said)
            loss = F.mse_loss(seen, noise)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            return {"noise": loss.detach()}

        return FitStage("words", steps, step, (adam,), begin=self._measure)

    @torch.no_grad()
    def _measure(self) -> None:
        """Set the scale so that the normals' latents deviate by 1 on average."""
        some = self.places[:: max(1, len(self.places) // MEASURED)]
        images = small([s.normals[i] for s, i in some], self.side).to(self.model.device)
        means = [self.model.coder.encode(part).latent_dist.mean for part in torch.split(images, 8)]
        self.model.scale.fill_(1 / torch.cat(means).std().clamp_min(1e-6))

    def _batch(
        self, count: int, generator: torch.Generator, *, real: float
    ) -> tuple[Tensor, list[str]]:
        """Return images, float (count, 3, side, side), and the word for each."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        shown, words = [], []
        for _ in range(count):
            kind = rng.random()
            subject, place = self.places[int(rng.integers(len(self.places)))]
            if kind < DRAWN:
                image, word = small_masks([draw_shape(self.side, rng)], self.side), MASK
                image = image.expand(-1, 3, -1, -1) * 2 - 1
            elif kind < DRAWN + ANOMALOUS:
                other = self.places[int(rng.integers(len(self.places)))]
                pair = small([subject.normals[place], other[0].normals[other[1]]], self.side)
                image, word = draw_anomaly(pair[:1], pair[1:], rng), ANOMALY
            elif kind < DRAWN + ANOMALOUS + real and self.defects:
                owner, defect = self.defects[int(rng.integers(len(self.defects)))]
                image, word = small([defect.image], self.side), owner.category
            else:
                image, word = small([subject.normals[place]], self.side), subject.category
            shown.append(image)
            words.append(word)
        return torch.cat(shown), words


def draw_shape(side: int, rng: np.random.Generator) -> Mask:
    """Return a random shape, bool (side, side): an ellipse, a stroke, or one island of noise."""
    while True:
        kind = rng.integers(3)
        drawn = np.zeros((side, side), np.uint8)
        if kind == 0:
            x, y = (int(c) for c in rng.integers(0, side, 2))
            axes = tuple(int(a) for a in rng.integers(max(1, side // 32), side // 5, 2))
            cv2.ellipse(drawn, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        elif kind == 1:
            turns = rng.normal(0, 0.35, 8).cumsum() + rng.uniform(0, 2 * np.pi)
            lengths = rng.uniform(0.02, 0.12) * side
            along = np.stack((np.cos(turns), np.sin(turns)), axis=1).cumsum(axis=0) * lengths
            points = (along - along.mean(axis=0) + rng.uniform(0, side, 2)).astype(np.int32)
            thickness = int(rng.integers(max(1, side // 64), max(2, side // 20) + 1))
            cv2.polylines(drawn, [points], False, 1, thickness)
        else:
            noise = draw_mask(side, side, rng, exponents=(1, 4)).astype(np.uint8)
            islands, labels = cv2.connectedComponents(noise)
            drawn = (labels == int(rng.integers(1, max(2, islands)))).astype(np.uint8)
        if 0 < drawn.mean() <= MOST:
            return drawn.astype(np.bool_)


def draw_anomaly(normal: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a normal, float (1, 3, s, s) in [-1, 1], with a soft shape filled by something else.

    other: a normal to take another place from.
    """
    side = normal.shape[-1]
    shape: Image = draw_shape(side, rng).astype(np.uint8) * 255
    soft = cv2.GaussianBlur(shape, (0, 0), float(rng.uniform(0.3, max(0.4, side / 64))))
    opacity = float(rng.uniform(0.6, 1))
    mask = torch.from_numpy(soft).float()[None, None] / 255 * opacity
    kind = rng.random()
    if kind < ELSEWHERE:
        filling = other.roll([int(r) for r in rng.integers(0, side, 2)], dims=(2, 3)).flip(3)
    elif kind < (1 + ELSEWHERE) / 2:
        colour = rng.uniform(-1, 1) + rng.normal(0, 0.2, 3)
        filling = torch.from_numpy(colour).float().view(1, 3, 1, 1).expand_as(normal)
    else:
        change = float(rng.choice((-1, 1)) * rng.uniform(0.3, 1))
        filling = normal * float(rng.uniform(0.3, 1.5)) + change
    return (normal + mask * (filling - normal)).clamp(-1, 1)


def _cooling(at: int, steps: int) -> float:
    """Return the share of the learning rate: 1, and over the last third down to a twentieth."""
    return max(0.05, min(1.0, 3 * (1 - at / steps)))


def _train_only(model: torch.nn.Module, *parts: torch.nn.Module) -> None:
    model.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)

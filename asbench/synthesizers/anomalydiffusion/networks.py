"""AnomalyDiffusion's model: words for defects and for masks, and repainting inside a mask.

Hu et al., AnomalyDiffusion: Few-Shot Anomaly Image Generation with Diffusion Model, AAAI 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import large, large_masks, noise, small, small_masks
from asbench.imaging.geometry import fit_mask
from asbench.imaging.masks import visible
from asbench.imaging.overlay import believed
from asbench.imaging.placement import lies_on
from asbench.nets.latent import (
    ANOMALY,
    CHANNELS,
    MASK,
    TIMES,
    LatentDiffusion,
    noised,
    walk_back,
)
from asbench.nets.prior import Prior
from asbench.synthesizers.anomalydiffusion.composing import change_laid, pasted
from asbench.synthesizers.anomalydiffusion.defects import augmented, sound_masks, unpacked
from asbench.synthesizers.anomalydiffusion.reweighting import (
    Reweighting,
    dilated,
    factors,
    install,
)
from asbench.synthesizers.anomalydiffusion.scratch import from_scratch
from asbench.synthesizers.anomalydiffusion.spatial import SpatialEncoder
from asbench.types import Canvas, Defect, Subject
from synth_store import Geometry, Sample
from synth_store.types import Mask, UserError

if TYPE_CHECKING:
    from asbench.synthesizers.anomalydiffusion import Anomalydiffusion

Pair = tuple[str, str]
"""A category and a defect type."""
TOGETHER = 16
"""Masks that are sampled together."""


class AnomalydiffusionModel(LearnedModel):
    """One model for all pairs of category and defect type.

    looks: e_a, the vectors of every pair; places: E, the spatial encoder; mask_words: the vectors
    of part B. The latent diffusion model is a part of it where it is fitted here; a published one
    stays outside of what is saved.
    """

    method: Anomalydiffusion

    def __init__(
        self,
        method: Anomalydiffusion,
        kinds: Mapping[str, tuple[str, ...]],
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.method = method
        self.pairs: tuple[Pair, ...] = tuple((c, k) for c in kinds for k in kinds[c])
        self.published: tuple[LatentDiffusion, ...] = ()
        if weights is not None:
            from asbench.nets.ldm import load_ldm

            self.published = (load_ldm(weights, method.side).requires_grad_(False),)
        else:
            self.trained = from_scratch(method, tuple(kinds))
        install(self.latent.unet)
        dim = self.latent.prompt.dim
        self.looks = self._vectors(method.look_words, ANOMALY)
        self.mask_words = self._vectors(method.mask_words, MASK)
        self.places = SpatialEncoder(
            method.side, method.locator_width, method.locator_units, method.place_words, dim
        )
        packed = method.side**2 // 8
        self.register_buffer(
            "masks", torch.zeros(len(self.pairs), method.masks, packed, dtype=torch.uint8)
        )
        self.register_buffer("accepted", torch.zeros(len(self.pairs), dtype=torch.int64))
        self.masks: Tensor
        self.accepted: Tensor

    @property
    def latent(self) -> LatentDiffusion:
        """The latent diffusion model, published or trained here."""
        return self.published[0] if self.published else self.trained

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AnomalydiffusionModel:
        """Move the published model too, which no list of parameters holds."""
        for net in self.published:
            net._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _vectors(self, count: int, word: str) -> nn.ParameterList:
        """Return the vectors of every pair, each a copy of one word's."""
        first = self.latent.prompt.word(word).detach()
        return nn.ParameterList(first.repeat(count, 1) for _ in self.pairs)

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        stages: list[FitStage] = []
        if not self.published:
            prior = Prior(self.trained, subjects, method.side)
            coder = prior.coder_stage(method.coder_steps, method.prior_images, method.coder_lr)
            words = prior.words_stage(method.prior_steps, method.prior_images, method.prior_lr)
            stages += [coder, words]
        defects = [(self.pairs.index((s.category, d.kind)), d) for s in subjects for d in s.defects]
        return (*stages, self._looks_stage(defects), self._masks_stage(defects), self._bank_stage())

    def _looks_stage(self, defects: Sequence[tuple[int, Defect]]) -> FitStage:
        """Return part A: the looks of all pairs, and the spatial encoder."""
        method = self.method
        adam = torch.optim.Adam([*self.looks, *self.places.parameters()], lr=method.lr)

        def begin() -> None:
            self._start_from(self.looks, ANOMALY)

        def step(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            self.requires_grad_(False)
            self.looks.requires_grad_(True)
            self.places.requires_grad_(True).train()
            adam.zero_grad(set_to_none=True)
            drawn = torch.randint(len(defects), (method.images,), generator=generator).tolist()
            chosen = [defects[i] for i in drawn]
            images = small([d.image for _, d in chosen], method.side)
            masks = small_masks([d.mask for _, d in chosen], method.side)
            if float(torch.rand((), generator=generator)) < method.augment:
                images, masks = augmented(images, masks, generator)
            loss = self._look_loss(images, masks, [pair for pair, _ in chosen], generator)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            return {"noise": loss.detach()}

        return FitStage("looks", method.steps, step, (adam,), begin=begin)

    def _look_loss(
        self, images: Tensor, masks: Tensor, pairs: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        device, templates = self.latent.device, self.latent.prompt.templates
        chosen = torch.randint(templates, (len(pairs),), generator=generator).tolist()
        latents, fresh, times = self._latents(images.to(device), generator)
        masks = masks.to(device)
        with self._precision():
            said = self.latent.prompt(self._words(pairs, masks), chosen)
            seen = self.latent.seen(noised(latents, fresh, times), times, said)
        return masked_error(seen.float(), fresh, self.cells(masks))

    def _words(self, pairs: Sequence[int], masks: Tensor) -> Tensor:
        """Return [e_a; e_s]: float (N, look_words + place_words, dim)."""
        return torch.cat((torch.stack([self.looks[p] for p in pairs]), self.places(masks)), dim=1)

    def _masks_stage(self, defects: Sequence[tuple[int, Defect]]) -> FitStage:
        """Return part B: the words of every pair's masks, pair after pair."""
        method, device = self.method, self.latent.device
        adam = torch.optim.AdamW(self.mask_words, lr=method.mask_lr)
        own = [[d.mask for pair, d in defects if pair == p] for p in range(len(self.pairs))]

        def begin() -> None:
            self._start_from(self.mask_words, MASK)

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            self.requires_grad_(False)
            self.mask_words.requires_grad_(True)
            adam.zero_grad(set_to_none=True)
            pair, templates = at // method.mask_steps, self.latent.prompt.templates
            drawn = torch.randint(len(own[pair]), (method.mask_images,), generator=generator)
            chosen = torch.randint(templates, (method.mask_images,), generator=generator).tolist()
            masks = small_masks([own[pair][i] for i in drawn.tolist()], method.side).to(device)
            pictures = masks.expand(-1, 3, -1, -1) * 2 - 1
            latents, fresh, times = self._latents(pictures, generator)
            with self._precision():
                vectors = self.mask_words[pair].expand(len(masks), -1, -1)
                said = self.latent.prompt(vectors, chosen)
                seen = self.latent.seen(noised(latents, fresh, times), times, said)
            loss = F.mse_loss(seen.float(), fresh)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            return {"noise": loss.detach()}

        return FitStage("masks", method.mask_steps * len(self.pairs), step, (adam,), begin=begin)

    def _bank_stage(self) -> FitStage:
        """Return the stage that samples masks, and keeps those that are sound."""
        method = self.method
        rounds = -(-method.masks // TOGETHER) * method.mask_tries

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            self.requires_grad_(False)
            pair, done = at // rounds, int(self.accepted[at // rounds])
            refused = torch.zeros(())
            if done < method.masks:
                drawn = self.sample_masks(pair, generator)
                sound = sound_masks(drawn, method) & self.cells(drawn).flatten(1).any(dim=1).cpu()
                kept = drawn[:, 0][sound.to(drawn.device)][: method.masks - done].cpu().numpy()
                packed = np.packbits(kept.reshape(len(kept), method.side**2) > 0, axis=1)
                self.masks[pair, done : done + len(kept)] = torch.from_numpy(packed).to(self.masks)
                self.accepted[pair] += len(kept)
                refused = 1 - sound.float().mean()
            if at + 1 == rounds * len(self.pairs):
                self._refuse_without_masks()
            return {"refused": refused}

        return FitStage("bank", rounds * len(self.pairs), step, ())

    def _refuse_without_masks(self) -> None:
        for category in dict.fromkeys(category for category, _ in self.pairs):
            if not self._drawable(category):
                raise UserError(
                    f"none of the masks sampled for {category} could be "
                    "used: they touch the border widely, or cover almost nothing or almost all. "
                    "Fit the masks for longer (--set mask_steps=...), or lower mask_threshold."
                )

    def _start_from(self, vectors: nn.ParameterList, word: str) -> None:
        """Set the vectors to a word's, which a vocabulary from scratch has only now."""
        with torch.no_grad():
            for each in vectors:
                each.copy_(self.latent.prompt.word(word).expand_as(each))

    def _latents(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return latents of images, noise to be added to them, and the times of that."""
        size, device = self.method.side // self.latent.factor, self.latent.device
        shape = (2, len(images), CHANNELS, size, size)
        inner, fresh = torch.randn(shape, generator=generator).to(device)
        times = torch.randint(TIMES, (len(images),), generator=generator).to(device)
        with torch.no_grad(), self._precision():
            latents = self.latent.encode(images, inner).float()
        return latents, fresh, times

    def _precision(self) -> Any:
        low = self.method.precision == "bfloat16"
        return torch.autocast(self.latent.device.type, torch.bfloat16, enabled=low)

    def cells(self, masks: Tensor) -> Tensor:
        """Return the latent's cells that masks cover: float (N, 1, h, w) of 0 and 1."""
        size = self.method.side // self.latent.factor
        coverage = F.interpolate(masks, (size, size), mode="bilinear", align_corners=False)
        return (coverage > 0.5).float()

    @torch.no_grad()
    def sample_masks(self, pair: int, generator: torch.Generator) -> Tensor:
        """Return masks sampled from a pair's words, sound or not: float (16, 1, side, side)."""
        method, latent = self.method, self.latent
        size = method.side // latent.factor
        shape = (TOGETHER, CHANNELS, size, size)
        told = latent.prompt(self.mask_words[pair].expand(TOGETHER, -1, -1), [0] * TOGETHER)
        said = torch.cat((latent.prompt.empty(TOGETHER), told))

        def draw() -> Tensor:
            return torch.randn(shape, generator=generator).to(latent.device)

        def seen(x: Tensor, time: int) -> tuple[Tensor, Tensor]:
            at = torch.full((2 * TOGETHER,), time, device=latent.device)
            empty, full = latent.seen(torch.cat((x, x)), at, said).chunk(2)
            return x, empty + method.guidance * (full - empty)

        pictures = latent.decode(walk_back(draw(), method.mask_walk, seen, draw))
        masks: Tensor = pictures.mean(dim=1, keepdim=True) > method.mask_threshold
        return masks.float()

    @torch.no_grad()
    def repaint(
        self, clean: Tensor, masks: Tensor, pairs: Sequence[int], draw: Callable[[], Tensor]
    ) -> Tensor:
        """Return latents of defects on normals: float (N, 4, h, w).

        clean: the normals' latents; masks: float (N, 1, side, side); draw: returns fresh noise.
        """
        method, latent = self.method, self.latent
        said = latent.prompt(self._words(pairs, masks), [0] * len(pairs))
        columns = (0, *latent.prompt.columns(method.look_words + method.place_words))
        cells = self.cells(masks)

        def seen(x: Tensor, time: int) -> tuple[Tensor, Tensor]:
            inside = dilated(cells, time, method.walk)
            times = torch.full((len(x),), time, device=x.device)
            x = inside * x + (1 - inside) * noised(clean, draw(), times)
            given = None
            if method.reweighting:
                given = {"reweighting": Reweighting(factors(x, clean, inside), columns)}
            return x, latent.seen(x, times, said, given)

        return walk_back(draw(), method.walk, seen, draw)

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        method, latent = self.method, self.latent
        drawn = [
            self._draw(c.material.category, rng, self._within(c))
            for c, rng in zip(canvases, rngs, strict=True)
        ]
        pairs = [pair for pair, _ in drawn]
        masks = torch.stack([mask for _, mask in drawn]).to(latent.device)
        size = method.side // latent.factor

        def draw() -> Tensor:
            fresh = [noise((CHANNELS, size, size), rng) for rng in rngs]
            return torch.stack(fresh).to(latent.device)

        normals = small([c.normal for c in canvases], method.side).to(latent.device)
        latents = latent.encode(normals, draw())
        painted = latent.decode(self.repaint(latents, masks, pairs, draw))
        plain = latent.decode(latents)
        height, width = canvases[0].normal.shape[:2]
        wholes = large_masks(masks, height, width)
        if method.laid == "change":
            return [
                change_laid(canvas, each, mask, method.least)
                for canvas, each, mask in zip(
                    canvases, (painted.clamp(-1, 1) - plain.clamp(-1, 1)).cpu(), wholes, strict=True
                )
            ]
        cleans, images = large(plain, height, width), large(painted, height, width)
        samples: list[Sample | None] = []
        for canvas, image, clean, mask in zip(canvases, images, cleans, wholes, strict=True):
            if method.paste_background:
                image, clean = (pasted(canvas.normal, each, mask) for each in (image, clean))
            shown = visible(image, clean, mask)
            samples.append(Sample(image, mask, clean) if shown else None)
        return samples

    def _drawable(self, category: str) -> list[int]:
        """Return the pairs of a category that have masks."""
        return [
            pair
            for pair, (owner, _) in enumerate(self.pairs)
            if owner == category and int(self.accepted[pair])
        ]

    def _within(self, canvas: Canvas) -> Mask | None:
        """Return where masks must lie, at the network's size; None for anywhere, as published."""
        if self.method.laid == "decoded":
            return None
        return believed(fit_mask(canvas.foreground, Geometry(self.method.side, self.method.side)))

    def _draw(
        self, category: str, rng: np.random.Generator, within: Mask | None = None
    ) -> tuple[int, Tensor]:
        """Draw a defect type of the category, uniformly, and one of its masks: (1, side, side).

        Of the masks those alone that lie within; where none does, one without any pixel.
        """
        choices, side = self._drawable(category), self.method.side
        pair = choices[int(rng.integers(len(choices)))]
        packed = self.masks[pair, : int(self.accepted[pair])].cpu().numpy()
        if within is not None:
            lying = [lies_on(unpacked(bits, side), within) for bits in packed]
            packed = packed[np.array(lying, np.bool_)]
        if not len(packed):
            return pair, torch.zeros(1, side, side)
        mask = unpacked(packed[int(rng.integers(len(packed)))], side)
        return pair, torch.from_numpy(mask)[None].float()


def masked_error(seen: Tensor, noise: Tensor, cells: Tensor) -> Tensor:
    """Return the mean over all entries of (m noise - m seen)^2; outside the mask it is 0.

    Not divided by the mask's area (section 3.3 and the authors' code). cells: m, (N, 1, h, w).
    """
    return F.mse_loss(cells * seen, cells * noise)

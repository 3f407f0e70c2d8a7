"""DefectDiffu fitted on normals and few-shot defects, and asked for images with masks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import large, large_masks, noise, small, small_masks
from asbench.imaging.foreign import changed
from asbench.imaging.laying import laid, reach
from asbench.imaging.masks import LEVELS, visible
from asbench.nets.diffusion import TIMES, back_step, chain, noised, variance_bound
from asbench.nets.latent import CHANNELS, SCALE
from asbench.nets.pretrained import read
from asbench.nets.schedules import warm_up_and_cosine
from asbench.synthesizers.defectdiffu.transformer import Seen, Transformer, load_dit
from asbench.types import Canvas, Defect, Subject
from synth_store import Sample
from synth_store.types import Image, Mask

if TYPE_CHECKING:
    from asbench.synthesizers.defectdiffu import Defectdiffu

FACTOR = 8
"""Pixels to a latent, along a side."""
GUIDED = 3
"""Planes that guidance acts on: the first three of a latent's four, as DiT's code does."""
CLOSE = 1e-4
"""Of two thresholds: where iterated means end."""
DECAY = 1e-8
Example = tuple[Image, Mask | None, str, str]
"""An image, its mask, its category and its type; None and "good" for normals."""
GOOD = "good"


class DefectdiffuModel(LearnedModel):
    """One transformer for all categories and types.

    `network` holds the running average of the weights, which renders; `moving` are those that are
    fitted. A published autoencoder stays outside of what is saved.
    """

    method: Defectdiffu
    moving: Net

    def __init__(
        self,
        method: Defectdiffu,
        kinds: Mapping[str, tuple[str, ...]],
        weights: Mapping[str, Path],
    ) -> None:
        super().__init__()
        self.method, self.kinds = method, kinds
        self.categories = {category: place for place, category in enumerate(kinds)}
        names = sorted({kind for own in kinds.values() for kind in own})
        self.types = {name: place for place, name in enumerate((GOOD, *names))}
        self.published: tuple[Any, ...] = ()
        pixels = method.weights == "none"
        self.network = Net(method, len(self.categories), len(self.types), pixels)
        if "vae" in weights:
            from diffusers import AutoencoderKL

            from asbench.nets.ldm import part, renamed

            path = weights["vae"]
            kind, build = "AutoencoderKL", AutoencoderKL.from_config
            coder = part(path.parent, path.name, kind, build, renamed).eval()
            self.published = (coder.requires_grad_(False),)
        if "dit" in weights:
            load_dit(self.network.body, read(weights["dit"]), weights["dit"])

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DefectdiffuModel:
        """Move the autoencoder too, which no list of parameters holds."""
        for net in self.published:
            net._apply(fn, recurse)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def kept(self) -> Mapping[str, Tensor]:
        return {f"network.{name}": t for name, t in self.network.state_dict().items()}

    # -- images and what the network sees of them --------------------------------------------------

    def hidden(self, images: Tensor, fresh: Tensor) -> Tensor:
        """Return images as the network works on them: themselves, or latents drawn by noise."""
        if not self.published:
            return images
        posterior = self.published[0].encode(images).latent_dist
        latents: Tensor = (posterior.mean + posterior.std * fresh) * SCALE
        return latents

    def shown(self, x: Tensor) -> Tensor:
        """Return the images of what the network works on."""
        if not self.published:
            return x
        images: Tensor = self.published[0].decode(x / SCALE).sample
        return images

    def hidden_masks(self, masks: Tensor) -> Tensor:
        """Return what the mask head is to give: masks of -1 and 1, or their latents' means."""
        pictures = masks * 2 - 1
        if not self.published:
            return pictures
        latents = self.published[0].encode(pictures.expand(-1, 3, -1, -1)).latent_dist.mean
        result: Tensor = latents * SCALE
        return result

    # -- fitting -----------------------------------------------------------------------------------

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        self.moving = copy.deepcopy(self.network).train()
        adam = torch.optim.AdamW(self.moving.parameters(), method.lr, weight_decay=DECAY)
        slower: tuple[LRScheduler, ...] = ()
        if method.cosine:
            slower = (warm_up_and_cosine(adam, method.steps, 0, 0),)
        update = get_ema_multi_avg_fn(method.average)  # type: ignore[no-untyped-call]
        normals = [(s, i) for s in subjects for i in range(len(s.normals))]
        defects = [(s.category, d) for s in subjects for d in s.defects]

        def step(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            examples = self._drawn(normals, defects, generator)
            losses = self.losses(examples, generator)
            adam.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            adam.step()
            for schedule in slower:
                schedule.step()
            update(list(self.network.parameters()), list(self.moving.parameters()), 0)
            return {name: loss.detach() for name, loss in losses.items()}

        return (FitStage("denoise", method.steps, step, (adam,), slower),)

    def _drawn(
        self,
        normals: Sequence[tuple[Subject, int]],
        defects: Sequence[tuple[str, Defect]],
        generator: torch.Generator,
    ) -> list[Example]:
        """Draw a step's images, defects and normals in turn, from the first of which it begins."""
        examples: list[Example] = []
        first = int(torch.randint(2, (), generator=generator))
        for place in range(self.method.images):
            number = int(torch.randint(2**31, (), generator=generator))
            if (place + first) % 2:
                category, defect = defects[number % len(defects)]
                examples.append((defect.image, defect.mask, category, defect.kind))
            else:
                subject, at = normals[number % len(normals)]
                examples.append((subject.normals[at], None, subject.category, GOOD))
        return examples

    def losses(self, examples: Sequence[Example], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted parts of the loss: noise, variance, mask, and noise inside it."""
        method, device = self.method, self.device
        images = small([image for image, *_ in examples], method.side).to(device)
        empty = np.zeros(examples[0][0].shape[:2], np.bool_)
        given = [empty if mask is None else mask for _, mask, *_ in examples]
        masks = small_masks(given, method.side).to(device)
        told = torch.rand(len(examples), generator=generator) >= method.untold
        types = [kind if t else GOOD for (*_, kind), t in zip(examples, told.tolist(), strict=True)]
        shape = (len(examples), *self.network.shape)
        inner, fresh = torch.randn(2, *shape, generator=generator).to(device)
        at = torch.randint(TIMES, (len(examples),), generator=generator).to(device)
        with torch.no_grad():
            clean, wanted = self.hidden(images, inner), self.hidden_masks(masks)
        steps = chain(device=device)
        x = noised(clean, fresh, steps.kept[at])
        seen: Seen = self.moving(x, at, *self.numbers([c for _, _, c, _ in examples], types))
        bound = variance_bound(clean, x, seen.noise.detach(), seen.v, steps, at)
        cells = F.adaptive_max_pool2d(masks, x.shape[-2:])
        patches = F.adaptive_max_pool2d(masks, (x.shape[-1] // method.patch,) * 2).flatten(1)
        within = (seen.maps * patches).sum(dim=1)
        outside = (seen.maps * (1 - patches)).sum(dim=1)
        ratio = (outside / (within + CLOSE)).clamp(*method.inside)
        inside = (cells * (fresh - seen.noise)).square().mean(dim=(1, 2, 3))
        return {
            "noise": F.mse_loss(seen.noise, fresh),
            "variance": bound.mean(),
            "mask": method.mask_weight * F.mse_loss(seen.mask, wanted),
            "inside": (ratio * inside).mean(),
        }

    def numbers(self, categories: Sequence[str], types: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the numbers of categories and types."""
        return (
            torch.tensor([self.categories[c] for c in categories], device=self.device),
            torch.tensor([self.types[t] for t in types], device=self.device),
        )

    # -- rendering ---------------------------------------------------------------------------------

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        categories = [canvas.material.category for canvas in canvases]
        own = [self.kinds[category] for category in categories]
        types = [k[int(rng.integers(len(k)))] for k, rng in zip(own, rngs, strict=True)]
        x, plain, mask = self.walk(categories, types, rngs)
        height, width = canvases[0].normal.shape[:2]
        pictures = self.shown(mask).mean(dim=1, keepdim=True)
        masks = torch.stack([picture > middle(picture) for picture in pictures])
        return [
            self._sample(canvas, image, clean, whole)
            for canvas, image, clean, whole in zip(
                canvases,
                large(self.shown(x), height, width),
                large(self.shown(plain), height, width),
                large_masks(masks, height, width),
                strict=True,
            )
        ]

    def walk(
        self,
        categories: Sequence[str],
        types: Sequence[str],
        rngs: Sequence[np.random.Generator],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the network makes with a defect, of the same noise without, and masks.

        (N, c, s, s) twice, and the mask head's mean over the last steps.
        """
        method, count = self.method, len(rngs)
        steps = chain(method.walk, self.device)
        shape = self.network.shape
        place, kinds = self.numbers(categories, types)
        good = torch.zeros_like(kinds)
        still = torch.zeros(count, device=self.device)

        def draw() -> Tensor:
            return torch.stack([noise(shape, rng) for rng in rngs]).to(self.device)

        x = plain = draw()
        masks = []
        for k in reversed(range(len(steps))):
            at = steps.times[k].expand(3 * count)
            seen: Seen = self.network(
                torch.cat((x, x, plain)), at, place.repeat(3), torch.cat((kinds, good, good))
            )
            defect, without, alone = seen.noise.chunk(3)
            planes = GUIDED if self.published else shape[0]
            guided = without[:, :planes] + method.guidance * (defect - without)[:, :planes]
            defect = torch.cat((guided, defect[:, planes:]), dim=1)
            v = seen.v if method.variance == "learned" else torch.full_like(seen.v, -1)
            fresh = draw() if k else torch.zeros_like(x)
            pixels = not self.published
            x = back_step(x, defect, v[:count], steps, k, fresh, still, clamped=pixels)
            plain = back_step(plain, alone, v[2 * count :], steps, k, fresh, still, clamped=pixels)
            if k < method.last:
                masks.append(seen.mask[:count])
        return x, plain, torch.stack(masks).mean(dim=0)

    def _sample(self, canvas: Canvas, image: Image, clean: Image, mask: Mask) -> Sample | None:
        """Return what the network made, or the canvas with what it made of its defect."""
        method = self.method
        if not 0 < mask.mean() <= method.area_high:
            return None
        differs = changed(image, clean, LEVELS)
        union = np.count_nonzero(mask | differs)
        if np.count_nonzero(mask & differs) < method.agree * union and method.laid == "decoded":
            return None
        if method.laid == "decoded":
            return Sample(image, mask, clean) if visible(image, clean, mask) else None
        within = reach(mask, canvas.foreground)
        if within is None:
            return None
        normal, change = canvas.normal, image.astype(np.float32) - clean
        # What the twins differ by as a whole, in brightness above all, is not the defect.
        change -= change[~mask].mean(axis=0)
        # What is left of that outside of the mask is the networks' noise: a defect is louder.
        if loudness(change[mask]) < method.louder * loudness(change[~mask]):
            return None
        sample = laid(normal, change, within, method.least)
        if sample is None:
            return None
        both = np.count_nonzero(sample.mask & mask)
        if both < method.agree * np.count_nonzero(sample.mask | mask):
            return None
        return Sample(sample.image, sample.mask, normal.copy())


def loudness(change: npt.NDArray[np.float32]) -> float:
    """Return the root mean square of a change, float32 (n, 3)."""
    return float(np.sqrt(np.square(change).mean()))


class Net(nn.Module):
    """The transformer, and the vectors that stand for its texts."""

    def __init__(self, method: Defectdiffu, categories: int, types: int, pixels: bool) -> None:
        super().__init__()
        self.shape = (
            (3, method.side, method.side)
            if pixels
            else (CHANNELS, method.side // FACTOR, method.side // FACTOR)
        )
        self.body = Transformer(
            self.shape[1],
            self.shape[0],
            1 if pixels else CHANNELS,
            method.patch,
            method.width,
            method.heads,
            method.blocks,
            method.words,
        )
        self.categories = nn.Embedding(categories, method.words)
        self.types = nn.Embedding(types, method.words)

    def forward(self, x: Tensor, times: Tensor, categories: Tensor, types: Tensor) -> Seen:
        """Return what is seen in x under categories and types, by number."""
        category, kind = self.categories(categories), self.types(types)
        seen: Seen = self.body(x, times, (category, kind, category + kind))
        return seen


def middle(picture: Tensor) -> Tensor:
    """Return the threshold of a picture by iterated means: half between those of its two sides."""
    threshold = picture.mean()
    for _ in range(100):
        above, below = picture[picture > threshold], picture[picture <= threshold]
        if not len(above) or not len(below):
            return threshold
        onward = (above.mean() + below.mean()) / 2
        if float((onward - threshold).abs()) < CLOSE:
            return onward
        threshold = onward
    return threshold

"""DSR fitted on normals, and asked for images whose codes are wrong inside a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import small, small_masks
from asbench.imaging.laying import laid
from asbench.imaging.overlay import believed, draw_region
from asbench.nets.pretrained import read
from asbench.nets.schedules import warm_up_and_cosine
from asbench.synthesizers.dsr.networks import Autoencoder, Codebook, flat, load_published
from asbench.types import Canvas, Subject
from synth_store import Sample
from synth_store.types import Mask

if TYPE_CHECKING:
    from asbench.synthesizers.dsr import Dsr

RESEED = 20
"""Steps between two looks for codes that nothing uses; none in the last third of a fit."""
FINE, COARSE = 4, 8
"""Pixels of the network to a cell of either grid."""


class DsrModel(LearnedModel):
    """One autoencoder for all categories."""

    method: Dsr

    def __init__(self, method: Dsr, weights: Path | None = None) -> None:
        super().__init__()
        self.method = method
        self.network = Autoencoder(
            method.width, method.block_width, method.blocks, method.codes, method.length
        )
        if weights is not None:
            load_published(self.network, read(weights), weights)

    @property
    def device(self) -> torch.device:
        return self.network.fine_book.codes.device

    # -- fitting -----------------------------------------------------------------------------------

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method, net = self.method, self.network
        places = [(subject, i) for subject in subjects for i in range(len(subject.normals))]
        fitted = method.weights == "none"
        adam = torch.optim.Adam(net.parameters(), method.lr)
        slower = warm_up_and_cosine(adam, method.steps, 0, 0)

        def drawn(generator: torch.Generator) -> Tensor:
            numbers = torch.randint(len(places), (method.images,), generator=generator).tolist()
            chosen = [places[i] for i in numbers]
            return self.levels(small([s.normals[i] for s, i in chosen], method.side))

        @torch.no_grad()
        def measure(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            images = drawn(generator)
            fine, coarse = net.seen(images)
            coarse = net.coarse_book.nearest(coarse)
            made = net.decode(net.fine_book.nearest(net.told(fine, coarse)), coarse)
            return {"error": F.mse_loss(made, images)}

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            images = drawn(generator)
            fresh = torch.randint(2**31, (2, method.codes), generator=generator)
            seek = at % RESEED == 0 and 3 * at <= 2 * method.steps
            losses = self._descend(adam, images, fresh if seek else None)
            slower.step()
            return losses

        if not fitted:
            return (FitStage("measured", method.steps, measure, ()),)
        return (FitStage("codes", method.steps, step, (adam,), (slower,)),)

    def _descend(
        self, adam: torch.optim.Adam, images: Tensor, fresh: Tensor | None
    ) -> dict[str, Tensor]:
        method, net = self.method, self.network
        fine, coarse = net.seen(images)
        parts: list[tuple[Tensor, Tensor]] = []
        for book, place in ((net.coarse_book, 1), (net.fine_book, 0)):
            features = coarse if place else net.told(fine, parts[0][0])
            book.learn(features.detach(), method.decay, None if fresh is None else fresh[place])
            codes = book.nearest(features)
            apart = F.mse_loss(features, codes)
            parts.append((features + (codes - features).detach(), apart))
        made = net.decode(parts[1][0], parts[0][0])
        error, apart = F.mse_loss(made, images), parts[0][1] + parts[1][1]
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(error + method.commitment * apart)
        adam.step()
        used = (net.fine_book.uses > 0.1 * net.fine_book.uses.mean()).float().mean()
        return {"error": error.detach(), "apart": apart.detach(), "used": used}

    def levels(self, images: Tensor) -> Tensor:
        """Return images of -1..1, red first, as the network takes them: 0..1, blue first."""
        return ((images + 1) / 2).flip(1).to(self.device)

    # -- rendering ---------------------------------------------------------------------------------

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        method, net = self.method, self.network
        regions = [self._region(canvas, rng) for canvas, rng in zip(canvases, rngs, strict=True)]
        cells = small_masks(regions, method.side)
        grids = [F.max_pool2d(cells, size)[:, 0].bool() for size in (FINE, COARSE)]
        fine, coarse = net.seen(self.levels(small([c.normal for c in canvases], method.side)))
        right_coarse = net.coarse_book.nearest(coarse)
        right_fine = net.fine_book.nearest(net.told(fine, right_coarse))
        choices = [self._choose(rng) for rng in rngs]
        wrong_coarse = self._exchanged(
            net.coarse_book,
            coarse,
            right_coarse,
            grids[1] & torch.tensor([c for _, c in choices]).view(-1, 1, 1),
            rngs,
        )
        told = net.told(fine, wrong_coarse)
        either = torch.tensor([f for f, _ in choices]).view(-1, 1, 1)
        # As published: where the coarse codes alone are exchanged, the fine ones stay as they were.
        kept = torch.where(either[:, None].to(self.device), net.fine_book.nearest(told), right_fine)
        wrong_fine = self._exchanged(net.fine_book, told, kept, grids[0] & either, rngs)
        change = net.decode(wrong_fine, wrong_coarse) - net.decode(right_fine, right_coarse)
        return [
            self._laid(canvas, each) if region.any() else None
            for canvas, region, each in zip(canvases, regions, change.flip(1).cpu(), strict=True)
        ]

    def _region(self, canvas: Canvas, rng: np.random.Generator) -> Mask:
        """Return a Perlin mask on the object: bool (H, W); empty where none meets it."""
        method = self.method
        height, width = canvas.normal.shape[:2]
        mask = draw_region(
            height,
            width,
            rng,
            within=canvas.foreground,
            exponents=(method.exponent_low, method.exponent_high),
            threshold=method.threshold,
            max_degrees=method.max_degrees,
        )
        return np.zeros((height, width), np.bool_) if mask is None else mask

    def _choose(self, rng: np.random.Generator) -> tuple[bool, bool]:
        """Draw whose codes are exchanged: of the fine grid, of the coarse one, or of both."""
        both, fine = rng.random() < self.method.both, rng.random() < 0.5
        return bool(both or fine), bool(both or not fine)

    def _exchanged(
        self,
        book: Codebook,
        features: Tensor,
        right: Tensor,
        where: Tensor,
        rngs: Sequence[np.random.Generator],
    ) -> Tensor:
        """Return codes, (N, length, h, w), those where the mask is being drawn from farther ones.

        features: what the encoder saw; right: its codes; where: bool (N, h, w). All of a sample's
        draws are made, whatever its mask.
        """
        method, size = self.method, right[0, 0].numel()
        result = right.clone()
        first = int(method.drop * method.codes)
        for place, rng in enumerate(rngs):
            share = rng.uniform(method.strength_low, method.strength_high)
            last = min(int(share * method.codes) + 1, method.codes)
            ranks = torch.from_numpy(rng.integers(first, max(last, first + 1), size))
            inside = where[place].flatten()
            if not bool(inside.any()):
                continue
            rows = flat(features[place : place + 1])[inside.to(self.device)]
            order = book.distances(rows).argsort(dim=1, stable=True)
            taken = order.gather(1, ranks[inside].to(self.device)[:, None])[:, 0]
            result[place].flatten(1)[:, inside.to(self.device)] = book.codes[taken].T
        return result

    def _laid(self, canvas: Canvas, change: Tensor) -> Sample | None:
        """Lay a change of 0..1, float (3, s, s), onto the object."""
        levels = change.permute(1, 2, 0).numpy().astype(np.float32) * 255
        return laid(canvas.normal, levels, believed(canvas.foreground), self.method.least)

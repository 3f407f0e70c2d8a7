"""Con-GAN's likeness fitted on crops of defects, and asked for new ones to paste."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import noise
from asbench.imaging.geometry import scaled
from asbench.imaging.laying import around, laid
from asbench.imaging.moving import put
from asbench.imaging.overlay import believed
from asbench.imaging.poisson import blend_within, mixed_gradients, source_gradients
from asbench.synthesizers.congan.losses import View, apart_on_sphere, matched
from asbench.synthesizers.congan.networks import Discriminator, Generator
from asbench.types import Canvas, Defect, Subject
from synth_store import Sample
from synth_store.types import Mask

if TYPE_CHECKING:
    from asbench.synthesizers.congan import Congan

BETAS = (0.0, 0.9)
INSIDE = 0.9
"""Share of a mask that must lie on the object."""
RULES = {"poisson": source_gradients, "mixed": mixed_gradients}
SOFT = 2
"""Pixels over which a soft edge fades."""


class ConganModel(LearnedModel):
    """A generator and a discriminator for the defect types of one category."""

    method: Congan

    def __init__(self, method: Congan, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.method, self.kinds = method, kinds
        self.generator = Generator(method.latent, method.widths, len(kinds))
        self.critic: Discriminator | None = None
        self.register_buffer("sides", torch.zeros(len(kinds), method.masks))
        self.register_buffer("counts", torch.zeros(len(kinds), dtype=torch.int64))
        self.sides: Tensor
        self.counts: Tensor

    @property
    def device(self) -> torch.device:
        return self.sides.device

    def kept(self) -> Mapping[str, Tensor]:
        return {k: v for k, v in self.state_dict().items() if not k.startswith("critic.")}

    # -- fitting -----------------------------------------------------------------------------------

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        (subject,) = subjects
        if self.critic is None:
            self.critic = Discriminator(method.widths, len(self.kinds)).to(self.device)
        crops = [[self.crop(d) for d in subject.defects if d.kind == kind] for kind in self.kinds]
        for number, own in enumerate(crops):
            some = own[: method.masks]
            self.sides[number, : len(some)] = torch.tensor([side for _, side in some])
            self.counts[number] = len(some)
        real = [torch.stack([crop for crop, _ in own]) for own in crops]
        adams = (
            torch.optim.Adam(self.generator.parameters(), method.lr, betas=BETAS),
            torch.optim.Adam(self.critic.parameters(), method.critic_lr, betas=BETAS),
        )

        def step(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            self.train()
            return self._criticise(real, adams[1], generator) | self._generate(
                real, adams[0], generator
            )

        return (FitStage("crops", method.steps, step, adams),)

    def crop(self, defect: Defect) -> tuple[Tensor, float]:
        """Return a defect's surroundings, float (4, side, side), and their side as a share.

        A square around the mask's box; where it leaves the image, that is mirrored.
        """
        image, mask = defect.image, defect.mask
        height, width = mask.shape
        left, top, wide, tall = cv2.boundingRect(mask.view(np.uint8))
        least = self.method.smallest * min(height, width)
        side = max(4, math.ceil(max(self.method.margin * max(wide, tall), least)))
        shift = (side - 1) / 2
        warp = np.array(
            [[1.0, 0, shift - (left + (wide - 1) / 2)], [0, 1.0, shift - (top + (tall - 1) / 2)]]
        )
        both = np.dstack((image, mask.view(np.uint8) * np.uint8(255)))
        seen = cv2.warpAffine(both, warp, (side, side), borderMode=cv2.BORDER_REFLECT_101)
        small = scaled(seen, self.method.side, self.method.side)
        levels = torch.from_numpy(small).permute(2, 0, 1).float() / 127.5 - 1
        return levels, side / min(height, width)

    def _drawn(
        self, real: Sequence[Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw real crops, their types, and numbers to generate as many from."""
        count = self.method.images
        types = torch.randint(len(real), (count,), generator=generator)
        places = torch.randint(2**31, (count,), generator=generator).tolist()
        chosen = [real[t][p % len(real[t])] for t, p in zip(types.tolist(), places, strict=True)]
        numbers = torch.randn(count, self.method.latent, generator=generator)
        device = self.device
        return torch.stack(chosen).to(device), types.to(device), numbers.to(device)

    def _criticise(
        self, real: Sequence[Tensor], adam: torch.optim.Adam, generator: torch.Generator
    ) -> dict[str, Tensor]:
        assert self.critic is not None
        self.critic.requires_grad_(True)
        crops, types, numbers = self._drawn(real, generator)
        view = View(len(crops), generator)
        with torch.no_grad():
            made = self.generator(numbers, types)
        found = self.critic(view(crops), types).real
        false = self.critic(view(made), types).real
        loss = F.relu(1 - found).mean() + F.relu(1 + false).mean()
        _descend(adam, loss)
        return {"critic": loss.detach()}

    def _generate(
        self, real: Sequence[Tensor], adam: torch.optim.Adam, generator: torch.Generator
    ) -> dict[str, Tensor]:
        assert self.critic is not None
        method = self.method
        self.critic.requires_grad_(False)
        crops, types, numbers = self._drawn(real, generator)
        first, second = (View(len(crops), generator) for _ in range(2))
        made = self.generator(numbers, types)
        found = self.critic(first(crops), types)
        false, again = (self.critic(view(made), types) for view in (first, second))
        alike = matched(found.features, false.features)
        apart = apart_on_sphere(false.place, again.place, found.place, method.temperature)
        fooled = -false.real.mean()
        _descend(adam, fooled + method.matching * alike + method.contrast * apart)
        return {"fooled": fooled.detach(), "matched": alike.detach(), "apart": apart.detach()}

    # -- rendering ---------------------------------------------------------------------------------

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        types = [int(rng.integers(len(self.kinds))) for rng in rngs]
        numbers = torch.stack([noise((self.method.latent,), rng) for rng in rngs])
        made = self.generator(
            numbers.to(self.device), torch.tensor(types, device=self.device)
        ).cpu()
        return [
            self._pasted(canvas, crop, kind, rng)
            for canvas, crop, kind, rng in zip(canvases, made, types, rngs, strict=True)
        ]

    def _pasted(
        self, canvas: Canvas, crop: Tensor, kind: int, rng: np.random.Generator
    ) -> Sample | None:
        """Put a crop, float (4, s, s), on the object, as large as a real defect of its type."""
        normal = canvas.normal
        height, width = normal.shape[:2]
        share = float(self.sides[kind, int(rng.integers(int(self.counts[kind])))])
        side = min(max(4, round(share * min(height, width))), height, width)
        levels = scaled(
            (crop.permute(1, 2, 0).numpy() * 127.5 + 127.5).astype(np.float32), side, side
        )
        mask: Mask = np.ascontiguousarray(levels[..., 3] > 127.5)
        mask[[0, -1]] = mask[:, [0, -1]] = False
        at = put(rng, mask, (height, width), believed(canvas.foreground), INSIDE)
        if at is None or not mask.any():
            return None
        # The object's place may let a crop's empty border leave the image.
        tall, wide = min(side, height - at[0]), min(side, width - at[1])
        mask, source = mask[:tall, :wide].copy(), levels[:tall, :wide, :3]
        mask[[0, -1]] = mask[:, [0, -1]] = False
        rows, columns = slice(at[0], at[0] + tall), slice(at[1], at[1] + wide)
        under = normal[rows, columns].astype(np.float32)
        if not mask.any():
            return None
        change = np.zeros(normal.shape, np.float32)
        rule = RULES.get(self.method.blend)
        if rule is not None:
            change[rows, columns] = blend_within(under, source, mask, rule) - under
        else:
            weights = around(mask, SOFT)[..., None]
            change[rows, columns] = weights * (source - under)
        return laid(normal, change, believed(canvas.foreground), self.method.least)


def _descend(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    adam.step()

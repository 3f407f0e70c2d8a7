"""Defect-GAN fitted in both directions, and asked to deface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import noise, small, small_masks
from asbench.imaging.geometry import fit_mask, scaled
from asbench.imaging.masks import visible
from asbench.imaging.moving import put
from asbench.imaging.overlay import believed
from asbench.synthesizers.defectgan.networks import Critic, Generator, Painted, noise_shapes
from asbench.types import Canvas, Defect, Subject
from synth_store import Geometry, Sample
from synth_store.types import Mask

if TYPE_CHECKING:
    from asbench.synthesizers.defectgan import Defectgan

BETAS = (0.5, 0.999)
REACH = 3
"""Pixels of the network around a control map that a gated map may open."""
INSIDE = 0.9
"""Share of a control map that must lie on the object."""


class DefectganModel(LearnedModel):
    """A generator and a critic for the defect types of one category, and masks to render by."""

    method: Defectgan

    def __init__(self, method: Defectgan, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.method, self.kinds = method, kinds
        planes = len(kinds) + 1
        self.generator = Generator(
            method.width, method.blocks, planes, method.hidden, near=method.near
        )
        self.critic: Critic | None = None
        self.bank: Tensor
        self.counts: Tensor
        bits = -(-(method.side**2) // 8)
        self.register_buffer("bank", torch.zeros(len(kinds), method.masks, bits, dtype=torch.uint8))
        self.register_buffer("counts", torch.zeros(len(kinds), dtype=torch.int64))

    @property
    def device(self) -> torch.device:
        return self.bank.device

    def kept(self) -> Mapping[str, Tensor]:
        return {k: v for k, v in self.state_dict().items() if not k.startswith("critic.")}

    def controls(self, masks: Tensor, types: Tensor) -> Tensor:
        """Return control maps: float (N, planes, s, s).

        masks: (N, 1, s, s) of 0 and 1; types: (N,). The plane of a type is its mask, that of normal
        the rest; of normals, whose type is the last, it is all.
        """
        planes = len(self.kinds) + 1
        defective = (types < planes - 1).view(-1, 1, 1, 1).float()
        inside = masks * defective
        shown = F.one_hot(types, planes)[..., None, None].float() * inside
        normal = torch.cat((torch.zeros_like(shown[:, :-1]), 1 - inside), dim=1)
        return shown + normal

    def gate(self, masks: Tensor) -> Tensor | None:
        """Return where maps may open, for control maps' masks (N, 1, s, s); None for anywhere."""
        if not self.method.gated:
            return None
        return F.max_pool2d(masks, 2 * REACH + 1, stride=1, padding=REACH)

    # -- fitting -----------------------------------------------------------------------------------

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        (subject,) = subjects
        planes = len(self.kinds) + 1
        if self.critic is None:
            critic = Critic(method.side, method.critic_width, method.critic_levels, planes)
            self.critic = critic.to(self.device)
        self._keep_masks(subject.defects)
        by_kind = [[d for d in subject.defects if d.kind == kind] for kind in self.kinds]
        adams = [
            torch.optim.Adam(net.parameters(), method.lr, betas=BETAS)
            for net in (self.generator, self.critic)
        ]
        share = method.lr_end / method.lr
        slower = tuple(LinearLR(adam, 1.0, share, method.steps) for adam in adams)
        steps = Steps(self, subject, by_kind, *adams)

        def step(at: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            losses = steps(generator)
            for schedule in slower:
                schedule.step()
            return losses

        return (FitStage("both ways", method.steps, step, tuple(adams), slower),)

    def _keep_masks(self, defects: Sequence[Defect]) -> None:
        """Keep the few-shot masks at the network's size, packed."""
        side, most = self.method.side, self.method.masks
        for number, kind in enumerate(self.kinds):
            own = [d.mask for d in defects if d.kind == kind][:most]
            packed = np.stack([np.packbits(fit_mask(m, Geometry(side, side))) for m in own])
            self.bank[number, : len(own)] = torch.from_numpy(packed).to(self.device)
            self.counts[number] = len(own)

    def noises(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """Return noise for a batch, drawn on the CPU."""
        return [
            torch.randn(count, *shape, generator=generator).to(self.device)
            for shape in noise_shapes(self.method.side)
        ]

    # -- rendering ---------------------------------------------------------------------------------

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        method = self.method
        kinds, masks, drawn = [], [], []
        for canvas, rng in zip(canvases, rngs, strict=True):
            kind = int(rng.integers(len(self.kinds)))
            kinds.append(kind)
            masks.append(self._control(canvas, kind, rng))
            drawn.append([noise(shape, rng) for shape in noise_shapes(method.side)])
        inside = torch.from_numpy(np.stack(masks))[:, None].float().to(self.device)
        images = small([canvas.normal for canvas in canvases], method.side).to(self.device)
        types = torch.tensor(kinds, device=self.device)
        noises = [torch.stack(layer).to(self.device) for layer in zip(*drawn, strict=True)]
        control = self.controls(inside, types)
        painted: Painted = self.generator(images, control, noises, self.gate(inside))
        return [
            self._composed(canvas, paint, opened) if mask.any() else None
            for canvas, mask, paint, opened in zip(
                canvases, masks, painted.paint.cpu(), painted.map.cpu(), strict=True
            )
        ]

    def _control(self, canvas: Canvas, kind: int, rng: np.random.Generator) -> Mask:
        """Draw a mask of a type, mirrored and put elsewhere on the object; empty if it fits not."""
        side = self.method.side
        packed = self.bank[kind, int(rng.integers(int(self.counts[kind])))].cpu().numpy()
        mask = np.unpackbits(packed)[: side * side].reshape(side, side).astype(np.bool_)
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        down, across = rng.random(2) < 0.5
        part = mask[top : top + height, left : left + width]
        part = part[:: -1 if down else 1, :: -1 if across else 1]
        within = believed(fit_mask(canvas.foreground, Geometry(side, side)))
        at = put(rng, part, (side, side), within, INSIDE)
        placed: Mask = np.zeros((side, side), np.bool_)
        if at is not None:
            placed[at[0] : at[0] + height, at[1] : at[1] + width] = part
        return placed

    def _composed(self, canvas: Canvas, paint: Tensor, opened: Tensor) -> Sample | None:
        """Enlarge paint and map, and compose them with the canvas's own pixels."""
        normal = canvas.normal
        height, width = normal.shape[:2]
        levels = (paint.permute(1, 2, 0).numpy() * 127.5 + 127.5).astype(np.float32)
        weights = scaled(opened[0].numpy() * np.float32(self.method.strength), height, width)
        weights = np.where(weights < self.method.open, 0, weights)[..., None]
        mask = np.ascontiguousarray(weights[..., 0] > 0)
        mixed = normal + weights * (scaled(levels, height, width) - normal)
        image = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        return Sample(image, mask) if visible(image, normal, mask) else None


class Steps:
    """One step of the generator, after several of the critic."""

    def __init__(
        self,
        model: DefectganModel,
        subject: Subject,
        by_kind: Sequence[Sequence[Defect]],
        adam: torch.optim.Adam,
        critic_adam: torch.optim.Adam,
    ) -> None:
        assert model.critic is not None
        self.model, self.method, self.critic = model, model.method, model.critic
        self.subject, self.by_kind = subject, by_kind
        self.adam, self.critic_adam = adam, critic_adam

    def __call__(self, generator: torch.Generator) -> Mapping[str, Tensor]:
        self.critic.requires_grad_(True)
        self.model.generator.requires_grad_(False)
        for _ in range(self.method.critics):
            losses = self._criticise(generator)
        self.critic.requires_grad_(False)
        self.model.generator.requires_grad_(True)
        return losses | self._generate(generator)

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return normals, defects, their masks and types: half as many images as masks.

        normals, defects: (n, 3, s, s); masks: (2 n, 1, s, s), for the normals those of other
        defects; types: (2 n,), of what the normals are to become and of the defects.
        """
        count, side, device = self.method.images, self.method.side, self.model.device

        def drawn(most: int, number: int) -> list[int]:
            found: list[int] = torch.randint(most, (number,), generator=generator).tolist()
            return found

        normals = [self.subject.normals[i] for i in drawn(len(self.subject.normals), count)]
        types = drawn(len(self.by_kind), 2 * count)
        chosen = [self.by_kind[t][drawn(len(self.by_kind[t]), 1)[0]] for t in types]
        return (
            small(normals, side).to(device),
            small([d.image for d in chosen[count:]], side).to(device),
            small_masks([d.mask for d in chosen], side).to(device),
            torch.tensor(types, device=device),
        )

    def _turned(
        self, images: Tensor, masks: Tensor, types: Tensor, generator: torch.Generator
    ) -> Painted:
        """Deface or restore: by types, of which the last is normal."""
        model = self.model
        made: Painted = model.generator(
            images,
            model.controls(masks, types),
            model.noises(len(images), generator),
            model.gate(masks),
        )
        return made

    def _criticise(self, generator: torch.Generator) -> dict[str, Tensor]:
        method, count = self.method, self.method.images
        normals, defects, masks, types = self._draw(generator)
        plain = torch.full_like(types[:count], len(self.by_kind))
        with torch.no_grad():
            wanted = torch.cat((types[:count], plain))
            fakes = self._turned(torch.cat((normals, defects)), masks, wanted, generator).image
        reals = torch.cat((defects, normals))
        real, told = self.critic(reals)
        fake, _ = self.critic(fakes)
        between = torch.rand(len(reals), 1, 1, 1, generator=generator).to(reals)
        mixed = torch.lerp(reals, fakes, between).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critic(mixed)[0].sum(), mixed, create_graph=True)
        steep = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        kind = F.cross_entropy(told, torch.cat((types[count:], plain)))
        loss = fake.mean() - real.mean() + method.penalty * steep + method.classes[0] * kind
        self._descend(self.critic_adam, loss)
        return {"critic": (fake.mean() - real.mean()).detach(), "types": kind.detach()}

    def _generate(self, generator: torch.Generator) -> dict[str, Tensor]:
        method, count = self.method, self.method.images
        normals, defects, masks, types = self._draw(generator)
        plain = torch.full_like(types[:count], len(self.by_kind))
        images = torch.cat((normals, defects))
        there, back = torch.cat((types[:count], plain)), torch.cat((plain, types[count:]))
        first = self._turned(images, masks, there, generator)
        second = self._turned(first.image, masks, back, generator)
        real, told = self.critic(first.image)
        parts = {
            "fooled": (-real.mean(), 1.0),
            "types made": (F.cross_entropy(told, there), method.classes[1]),
            "restored": (F.l1_loss(second.image, images), method.restore),
            "cycle": (F.l1_loss(second.map, first.map), method.cycle),
            "sparse": (first.map.mean() + second.map.mean(), method.sparse),
            "control": (F.l1_loss(first.map[:count], masks[:count]), method.control),
        }
        self._descend(self.adam, torch.stack([part * w for part, w in parts.values()]).sum())
        inside = (first.map[:count] * masks[:count]).sum() / masks[:count].sum().clamp(min=1)
        return {name: part.detach() for name, (part, _) in parts.items()} | {
            "open": inside.detach()
        }

    def _descend(self, adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        adam.step()

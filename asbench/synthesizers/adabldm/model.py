"""AdaBLDM's model: a frozen latent diffusion model, a control branch, and an editing walk.

Li et al., A Novel Approach to Industrial Defect Generation through Blended Latent Diffusion Model
with Online Adaptation, 2024.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel
from torch import Tensor, nn

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import large, large_masks, noise, small, small_masks
from asbench.imaging.geometry import fit_mask
from asbench.imaging.laying import laid, reach
from asbench.imaging.masks import visible
from asbench.imaging.overlay import believed
from asbench.nets.diffusion import clean_estimate
from asbench.nets.fresh import fresh_latent
from asbench.nets.latent import ANOMALY, CHANNELS, MASK, TIMES, LatentDiffusion, noised, schedule
from asbench.nets.prior import Prior
from asbench.nets.prompt import SlotPrompt
from asbench.synthesizers.adabldm.pairs import pasted, placed_mask
from asbench.types import Canvas, Defect, Subject
from synth_store import Geometry, Sample
from synth_store.types import Mask

if TYPE_CHECKING:
    from asbench.synthesizers.adabldm import Adabldm

OBJECT = 0.5
"""Of the trimap; the background is 0 and a defect 1."""
GROWN = 2
"""Cells of a latent of 32 x 32 by which the mask grows where latents are blended."""
OUTSIDE = 100.0
"""Weight of the outside while the decoder is adapted."""
COPIED = ("conv_in", "time_embedding", "down_blocks", "mid_block")
"""Parts of the U-Net that the control branch begins as."""


class AdabldmModel(LearnedModel):
    """The control branch of one category, with masks to render by.

    The latent diffusion model is a part of it where it is fitted here; a published one stays
    outside of what is saved. looks: a word for each type, where there is no text encoder.
    """

    method: Adabldm

    def __init__(
        self,
        method: Adabldm,
        category: str,
        kinds: tuple[str, ...],
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.method, self.category, self.kinds = method, category, kinds
        self.published: tuple[LatentDiffusion, ...] = ()
        if weights is not None:
            from asbench.nets.sd import load_sd

            self.published = (load_sd(weights, method.side).requires_grad_(False),)
        else:
            self.trained = fresh_latent(method, (category, ANOMALY, MASK), 2)
            self.looks = nn.Parameter(torch.zeros(len(kinds), method.words))
        self.control: Any = ControlNetModel.from_unet(
            self.latent.unet, conditioning_embedding_out_channels=method.hint
        )
        packed = -(-(method.side**2) // 8)
        self.register_buffer(
            "bank", torch.zeros(len(kinds), method.masks, packed, dtype=torch.uint8)
        )
        self.register_buffer("counts", torch.zeros(len(kinds), dtype=torch.int64))
        self.bank: Tensor
        self.counts: Tensor

    @property
    def latent(self) -> LatentDiffusion:
        return self.published[0] if self.published else self.trained

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdabldmModel:
        """Move the published model too, which no list of parameters holds."""
        for net in self.published:
            net._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    # -- fitting -----------------------------------------------------------------------------------

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        method = self.method
        (subject,) = subjects
        self._keep_masks(subject.defects)
        stages: list[FitStage] = []
        if not self.published:
            prior = Prior(self.trained, subjects, method.side)
            stages.append(
                prior.coder_stage(method.coder_steps, method.prior_images, method.coder_lr)
            )
            stages.append(
                prior.words_stage(method.prior_steps, method.prior_images, method.prior_lr)
            )
        return (*stages, self._control_stage(subject))

    def _keep_masks(self, defects: Sequence[Defect]) -> None:
        side, most = self.method.side, self.method.masks
        for number, kind in enumerate(self.kinds):
            own = [d.mask for d in defects if d.kind == kind][:most]
            packed = np.stack([np.packbits(fit_mask(m, Geometry(side, side))) for m in own])
            self.bank[number, : len(own)] = torch.from_numpy(packed).to(self.bank)
            self.counts[number] = len(own)

    def _control_stage(self, subject: Subject) -> FitStage:
        """Return the stage that fits the control branch, and the types' words."""
        method = self.method
        by_kind = [[d for d in subject.defects if d.kind == kind] for kind in self.kinds]
        learned = list(self.control.parameters())
        if not self.published:
            learned.append(self.looks)
        adam = torch.optim.AdamW(learned, lr=method.lr)

        def begin() -> None:
            """The branch begins as the U-Net's encoder, which is fitted by now."""
            for name in COPIED:
                part: nn.Module = getattr(self.latent.unet, name)
                getattr(self.control, name).load_state_dict(part.state_dict())
            if isinstance(self.latent.prompt, SlotPrompt):
                with torch.no_grad():
                    self.looks.copy_(self.latent.prompt.word(ANOMALY).expand_as(self.looks))

        def step(_: int, generator: torch.Generator) -> Mapping[str, Tensor]:
            self.requires_grad_(False)
            for parameter in learned:
                parameter.requires_grad_(True)
            adam.zero_grad(set_to_none=True)
            rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
            kinds = rng.integers(len(self.kinds), size=method.images).tolist()
            made = [pasted(subject, by_kind[kind], rng) for kind in kinds]
            size, device = method.side // self.latent.factor, self.latent.device
            images = small([image for image, _, _ in made], method.side).to(device)
            masks = small_masks([mask for _, mask, _ in made], method.side).to(device)
            objects = small_masks([where for _, _, where in made], method.side).to(device)
            told = torch.rand(method.images, generator=generator) >= method.untold
            noises = torch.randn(2, method.images, CHANNELS, size, size, generator=generator)
            times = torch.randint(TIMES, (method.images,), generator=generator).to(device)
            inner, fresh = noises.to(device)
            with torch.no_grad():
                latents = self.latent.encode(images, inner)
            empty = self.latent.prompt.empty(method.images)
            said = torch.where(told.view(-1, 1, 1).to(device), self._said(kinds), empty)
            seen = self.seen(noised(latents, fresh, times), times, said, trimap(masks, objects))
            loss = F.mse_loss(seen, fresh)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            return {"noise": loss.detach()}

        return FitStage("control", method.steps, step, (adam,), begin=begin)

    def _said(self, kinds: Sequence[int]) -> Tensor:
        """Return what the sentences of defect types say: float (N, length, dim)."""
        prompt: Any = self.latent.prompt
        if isinstance(prompt, SlotPrompt):
            word = prompt.word(self.category)
            vectors = torch.stack([torch.stack((word, self.looks[kind])) for kind in kinds])
            told: Tensor = prompt(vectors, [0] * len(kinds))
            return told
        said: Tensor = prompt.said(
            [f"a {self.category} with a {self.kinds[kind]}".replace("_", " ") for kind in kinds]
        )
        return said

    def seen(self, x: Tensor, times: Tensor, said: Tensor, hints: Tensor) -> Tensor:
        """Return the noise that U-Net and branch see in x: float (N, 4, h, w).

        The branch reads the empty sentence, whatever is said.
        """
        latent = self.latent
        down, middle = self.control(x, times, latent.prompt.empty(len(x)), hints, return_dict=False)
        found: Tensor = latent.unet(
            x, times, said, down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        return found

    # -- rendering ---------------------------------------------------------------------------------

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        method, latent = self.method, self.latent
        kinds, masks, objects = [], [], []
        frame = Geometry(method.side, method.side)
        for canvas, rng in zip(canvases, rngs, strict=True):
            within = believed(fit_mask(canvas.foreground, frame))
            kind = int(rng.integers(len(self.kinds)))
            kinds.append(kind)
            masks.append(placed_mask(self._mask(kind, rng), within, rng))
            objects.append(np.ones((method.side,) * 2, np.bool_) if within is None else within)
        inside, where = (
            torch.from_numpy(np.stack(each))[:, None].float().to(latent.device)
            for each in (masks, objects)
        )
        normals = small([c.normal for c in canvases], method.side).to(latent.device)
        size = method.side // latent.factor

        def draw() -> Tensor:
            fresh = [noise((CHANNELS, size, size), rng) for rng in rngs]
            return torch.stack(fresh).to(latent.device)

        clean = latent.encode(normals, torch.zeros((), device=latent.device))
        painted = self.walk(clean, normals, inside, where, kinds, draw)
        made, plain = latent.decode(painted), latent.decode(clean)
        if method.adapt_steps:
            made = torch.cat(
                [
                    self.adapted(*(each[k : k + 1] for each in (painted, normals, inside)))
                    for k in range(len(canvases))
                ]
            )
        return self._samples(canvases, masks, made, plain)

    def _mask(self, kind: int, rng: np.random.Generator) -> Mask:
        side = self.method.side
        packed = self.bank[kind, int(rng.integers(int(self.counts[kind])))].cpu().numpy()
        mask: Mask = np.unpackbits(packed)[: side * side].reshape(side, side).astype(np.bool_)
        return mask

    def walk(
        self,
        clean: Tensor,
        normals: Tensor,
        masks: Tensor,
        objects: Tensor,
        kinds: Sequence[int],
        draw: Callable[[], Tensor],
    ) -> Tensor:
        """Return latents of defects on normals: float (N, 4, h, w).

        clean: the normals' latents; normals: (N, 3, side, side); masks, objects: (N, 1, side,
        side) of 0 and 1; draw: returns fresh noise.
        """
        method, latent = self.method, self.latent
        said = torch.cat((latent.prompt.empty(len(clean)), self._said(kinds)))
        hints = trimap(masks, objects).repeat(2, 1, 1, 1)
        reach = max(1, round(GROWN * clean.shape[-1] / 32))
        cells = F.adaptive_max_pool2d(masks, clean.shape[-2:])
        cells = F.max_pool2d(cells, 2 * reach + 1, stride=1, padding=reach)
        tables = schedule(method.walk)
        kept = tables.alphas_cumprod.to(clean)
        times, x = [int(t) for t in tables.timesteps], draw()
        first = x
        for place, time in enumerate(times):
            at = torch.full((len(x),), time, device=x.device)
            edits = place >= method.walk - method.edited
            if place >= method.free and not edits:
                x = cells * x + (1 - cells) * noised(clean, draw(), at)
            empty, full = self.seen(torch.cat((x, x)), torch.cat((at, at)), said, hints).chunk(2)
            seen = empty + method.guidance * (full - empty)
            first = clean_estimate(x, seen, kept[time])
            if edits:
                shown = latent.decode(first).clamp(-1, 1)
                mixed = masks * shown + (1 - masks) * normals
                first = latent.encode(mixed, torch.zeros((), device=x.device))
                seen = draw()
            if place + 1 < len(times):
                onward = kept[times[place + 1]]
                x = onward.sqrt() * first + (1 - onward).sqrt() * seen
        return first

    def adapted(self, latents: Tensor, normal: Tensor, mask: Tensor) -> Tensor:
        """Return one latent's image by a decoder that was adapted to its normal.

        latents: float (1, 4, h, w); normal: (1, 3, side, side); mask: (1, 1, side, side).
        """
        coder = self.latent.coder
        with torch.inference_mode(False), torch.enable_grad():
            latents, normal, mask = latents.clone(), normal.clone(), mask.clone()
            decoder = copy.deepcopy(coder.decoder).requires_grad_(True)
            with torch.no_grad():
                given = coder.post_quant_conv(latents / self.latent.scale)
                first = decoder(given)
            adam = torch.optim.AdamW(decoder.parameters(), lr=self.method.adapt_lr)
            for _ in range(self.method.adapt_steps):
                made = decoder(given)
                kept = F.mse_loss(mask * made, mask * first)
                lost = F.mse_loss((1 - mask) * made, (1 - mask) * normal)
                adam.zero_grad(set_to_none=True)
                torch.autograd.backward(kept + OUTSIDE * lost)
                adam.step()
            with torch.no_grad():
                result: Tensor = decoder(given)
        return result

    def _samples(
        self, canvases: Sequence[Canvas], masks: Sequence[Mask], made: Tensor, plain: Tensor
    ) -> list[Sample | None]:
        method = self.method
        height, width = canvases[0].normal.shape[:2]
        wholes = large_masks(torch.from_numpy(np.stack(masks))[:, None], height, width)
        samples: list[Sample | None] = []
        if method.laid == "decoded":
            for canvas, image, mask in zip(
                canvases, large(made, height, width), wholes, strict=True
            ):
                shown = mask.any() and visible(image, canvas.normal, mask)
                samples.append(Sample(image, mask) if shown else None)
            return samples
        changes = (made.clamp(-1, 1) - plain.clamp(-1, 1)).permute(0, 2, 3, 1).cpu() * 127.5
        for canvas, change, mask in zip(canvases, changes, wholes, strict=True):
            within = reach(mask, canvas.foreground) if mask.any() else None
            levels = change.float().numpy()
            samples.append(
                None if within is None else laid(canvas.normal, levels, within, method.least)
            )
        return samples


def trimap(masks: Tensor, objects: Tensor) -> Tensor:
    """Return hints for the branch, float (N, 3, s, s): 0 background, 0.5 object, 1 defect."""
    return torch.maximum(masks, OBJECT * objects).expand(-1, 3, -1, -1)

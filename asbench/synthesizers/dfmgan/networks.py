"""DFMGAN's networks: StyleGAN2 on normals, then a gated branch for each defect type."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asbench.fitting.contract import FitStage, LearnedModel
from asbench.fitting.images import large, large_masks, noise
from asbench.synthesizers.dfmgan.steps import DefectSteps, NormalSteps
from asbench.synthesizers.dfmgan.stylegan2 import (
    Backbone,
    CodeMapping,
    Discriminator,
    Pair,
    ToPlanes,
    channels_at,
    enlarge,
    levels_of,
)
from asbench.types import Canvas, Subject
from synth_store import Sample

if TYPE_CHECKING:
    from asbench.synthesizers.dfmgan import Dfmgan

REACH = 3
"""Pixels of the next level that a level's change reaches: 2 by enlarging, 1 by convolving."""


class Branch(nn.Module):
    """A defect type: noise z_d to a code w_d, which its blocks turn into features and a mask.

    A block stands beside each of the backbone's from `gate` pixels on; the first also gives the
    values M, whose sign is the mask.
    """

    def __init__(self, side: int, gate: int, base: int, most: int, latent: int) -> None:
        super().__init__()
        self.sides = [s for s in levels_of(side) if s >= gate]
        self.mapping = CodeMapping(latent)
        self.pairs = nn.ModuleList(
            Pair(channels_at(s // 2, base, most), channels_at(s, base, most), latent)
            for s in self.sides
        )
        self.values = ToPlanes(channels_at(gate, base, most), 1, latent)

    @property
    def noise_sides(self) -> list[int]:
        """The sides of the noise that the convolutions add, in their order."""
        return [side for side in self.sides for _ in range(2)]


class Gated:
    """A branch at work on one batch: what it adds to the backbone, and M at full size."""

    values: Tensor

    def __init__(self, branch: Branch, codes: Tensor, noises: Sequence[Tensor]) -> None:
        self.branch, self.codes, self.noises = branch, codes, noises
        self.done = 0

    def __call__(self, level: int, x: Tensor) -> Tensor:
        """Return F_res where the gate is open, for the features that come into a level."""
        both, noises = (self.codes, self.codes), self.noises[2 * self.done : 2 * self.done + 2]
        own: Tensor = self.branch.pairs[self.done](x, both, noises)
        if self.done == 0:
            self.values = self.branch.values(own, self.codes)
            for _ in self.branch.sides[1:]:
                self.values = enlarge(self.values)
        self.done += 1
        return own * self.open(own.shape[-1])

    def open(self, side: int) -> Tensor:
        """Return the gate of a level: 1 where the mask, M >= 0, has a pixel in the cell.

        (N, 1, side, side). Not M >= 0 at the level: enlarging smooths, and a lone cell that M loses
        on the way would show in the image and not in the mask.
        """
        return F.max_pool2d((self.values >= 0).float(), self.values.shape[-1] // side)

    def reached(self) -> Tensor:
        """Return where the image may differ from the one without: bool (N, 1, side, side)."""
        first, *rest = self.branch.sides
        touched = self.open(first)
        for side in rest:
            wider = F.interpolate(touched, scale_factor=2.0, mode="nearest")
            wider = F.max_pool2d(wider, 2 * REACH + 1, 1, REACH)
            touched = torch.maximum(wider, self.open(side))
        return touched > 0


class DfmganModel(LearnedModel):
    """One category: a backbone, and a branch for each defect type.

    Both are running averages, which render and are all that is kept. What the optimisers move, and
    the discriminators, stand beside them once fitting begins.
    """

    method: Dfmgan
    moving: Backbone
    moving_branch: Branch
    critic: Discriminator
    defect_critic: Discriminator
    matcher: Discriminator
    p: Tensor
    signs: Tensor
    path_mean: Tensor

    def __init__(self, method: Dfmgan, kinds: Sequence[str]) -> None:
        super().__init__()
        self.method, self.kinds = method, tuple(kinds)
        sizes = (method.side, method.base, method.most, method.latent)
        self.backbone = Backbone(*sizes)
        gate = (method.side, method.gate, *sizes[1:])
        self.branches = nn.ModuleList(Branch(*gate) for _ in self.kinds)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.backbone.parameters()).device

    @property
    def below(self) -> int:
        """How many levels of the backbone are smaller than the gate."""
        return self.backbone.synthesis.sides.index(self.method.gate)

    def kept(self) -> Mapping[str, Tensor]:
        parts = ("backbone.", "branches.")
        return {name: t for name, t in self.state_dict().items() if name.startswith(parts)}

    def critics(self) -> None:
        """Make what fitting needs beside the networks that render."""
        method = self.method
        self.backbone.requires_grad_(False)
        self.branches.requires_grad_(False)
        self.moving = copy.deepcopy(self.backbone).requires_grad_(True)
        self.moving_branch = copy.deepcopy(self.branch(0)).requires_grad_(True)
        self.critic = Discriminator(method.side, method.base, method.most).to(self.device)
        self.defect_critic = copy.deepcopy(self.critic)
        self.matcher = self.fresh_matcher()
        for name in ("p", "signs", "path_mean"):
            self.register_buffer(name, torch.zeros((), device=self.device))

    def fresh_matcher(self) -> Discriminator:
        """Return a new discriminator of images with their masks."""
        method = self.method
        quarter = (method.base // 4, method.most // 4)
        return Discriminator(method.side, *quarter, planes=4).to(self.device)

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        (subject,) = subjects
        self.critics()
        method = self.method
        normals = NormalSteps(self, subject)
        stages = [FitStage("normals", method.steps, normals.step, normals.optimizers)]
        for number, kind in enumerate(self.kinds):
            steps = DefectSteps(self, subject, number)
            stages.append(
                FitStage(
                    f"{kind} defects",
                    method.defect_steps,
                    steps.step,
                    steps.optimizers,
                    begin=steps.begin,
                )
            )
        return tuple(stages)

    def noises(self, count: int, sides: Sequence[int]) -> list[Tensor]:
        """Return noise maps for fitting, from torch's global generator of the device."""
        return [torch.randn(count, 1, s, s, device=self.device) for s in sides]

    def defects(
        self, backbone: Backbone, branch: Branch, z: Tensor, w_d: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return defective images and M for fitting: (N, 3, side, side) and (N, 1, side, side)."""
        synthesis = backbone.synthesis
        gated = Gated(branch, w_d, self.noises(len(z), branch.noise_sides))
        codes, noises = backbone.codes(z), self.noises(len(z), synthesis.noise_sides)
        x, image = synthesis.through(range(self.below), None, None, codes, noises)
        rest = range(self.below, len(synthesis.sides))
        _, image = synthesis.through(rest, x, image, codes, noises, gated)
        return image, gated.values

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        kinds = [int(rng.integers(len(self.kinds))) for rng in rngs]
        images, cleans, masks = self.sample(kinds, rngs)
        height, width = canvases[0].normal.shape[:2]
        drawn = large(images, height, width)
        normals, marked = large(cleans, height, width), large_masks(masks, height, width)
        samples: list[Sample | None] = []
        for image, mask, clean in zip(drawn, marked, normals, strict=True):
            samples.append(Sample(image, mask, clean) if mask.any() else None)
        return samples

    def sample(
        self, kinds: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, their cleans, float (N, 3, side, side), and masks, bool (N, 1, ...).

        kinds: the number of each sample's defect type. A clean is the image without its branch,
        from the same noise; the two are equal beyond the reach of the gate.
        """
        synthesis, latent = self.backbone.synthesis, self.method.latent

        def draw(*shape: int) -> Tensor:
            return torch.stack([noise(shape, rng) for rng in rngs]).to(self.device)

        codes, z_d = self.backbone.codes(draw(latent)), draw(latent)
        noises = [draw(1, s, s) for s in synthesis.noise_sides]
        own_noises = [draw(1, s, s) for s in self.branch(0).noise_sides]
        x, image = synthesis.through(range(self.below), None, None, codes, noises)
        rest = range(self.below, len(synthesis.sides))
        _, cleans = synthesis.through(rest, x, image, codes, noises)
        images, masks = cleans.clone(), torch.zeros_like(cleans[:, :1], dtype=torch.bool)
        for number in sorted(set(kinds)):
            branch = self.branch(number)
            # All of the batch goes through each branch: bytes depend on how many do.
            gated = Gated(branch, branch.mapping(z_d), own_noises)
            _, defective = synthesis.through(rest, x, image, codes, noises, gated)
            mine = torch.tensor([kind == number for kind in kinds], device=self.device)
            mine = mine[:, None, None, None]
            images = torch.where(mine & gated.reached(), defective, images)
            masks = torch.where(mine, gated.values >= 0, masks)
        return images, cleans, masks

    def branch(self, number: int) -> Branch:
        """Return the branch of a defect type, by the type's number."""
        branch = self.branches[number]
        assert isinstance(branch, Branch)
        return branch

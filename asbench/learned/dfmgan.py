"""DFMGAN's networks: StyleGAN2 on normals, then a gated branch for each defect type."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asbench.learned.ada import EVERY, adjusted, augment
from asbench.learned.images import large, large_masks, noise, small, small_masks
from asbench.learned.model import FitStage, LearnedModel
from asbench.learned.stylegan2 import (
    Backbone,
    CodeMapping,
    Discriminator,
    Pair,
    ToPlanes,
    channels_at,
    enlarge,
    gradient_penalty,
    levels_of,
    path_lengths,
)
from asbench.types import Canvas, Subject
from synth_store import Sample

if TYPE_CHECKING:
    from asbench.synthesizers.dfmgan import Dfmgan

PENALTY_EVERY = 16
"""Steps between two gradient penalties, which weigh as much more."""
PATH_EVERY = 4
PATH_DECAY = 0.01
MIXING = 0.9
"""How often an image of the first stage takes codes of two."""
AVERAGE_KIMG = 10 / 32
"""Half-life of the running average in thousand images, for each image of a step."""
AVERAGE_RAMP = 0.05
"""It is at most this share of the images seen."""
SHARPNESS = 10.0
"""The matching discriminator sees tanh(10 M)."""
SEEKING_FLOOR = 1e-5
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
    """A branch at work on one batch: what it adds to the backbone, and M level by level."""

    def __init__(self, branch: Branch, codes: Tensor, noises: Sequence[Tensor]) -> None:
        self.branch, self.codes, self.noises = branch, codes, noises
        self.values: list[Tensor] = []

    def __call__(self, level: int, x: Tensor) -> Tensor:
        """Return F_res [M >= 0] for the features that come into a level of the backbone."""
        at = len(self.values)
        both, noises = (self.codes, self.codes), self.noises[2 * at : 2 * at + 2]
        own: Tensor = self.branch.pairs[at](x, both, noises)
        values = enlarge(self.values[-1]) if at else self.branch.values(own, self.codes)
        self.values.append(values)
        return own * (values >= 0)

    def reached(self) -> Tensor:
        """Return where the image may differ from the one without: bool (N, 1, side, side)."""
        touched = (self.values[0] >= 0).float()
        for values in self.values[1:]:
            wider = F.interpolate(touched, scale_factor=2.0, mode="nearest")
            wider = F.max_pool2d(wider, 2 * REACH + 1, 1, REACH)
            touched = torch.maximum(wider, (values >= 0).float())
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
        self.matcher = self._fresh_matcher()
        for name in ("p", "signs", "path_mean"):
            self.register_buffer(name, torch.zeros((), device=self.device))

    def _fresh_matcher(self) -> Discriminator:
        method = self.method
        quarter = (method.base // 4, method.most // 4)
        return Discriminator(method.side, *quarter, planes=4).to(self.device)

    def stages(self, subjects: Sequence[Subject]) -> tuple[FitStage, ...]:
        (subject,) = subjects
        self.critics()
        method = self.method
        normals = NormalSteps(self, subject)
        found = [FitStage("normals", method.steps, normals.step, normals.optimizers)]
        for number, kind in enumerate(self.kinds):
            steps = DefectSteps(self, subject, number)
            found.append(
                FitStage(
                    f"{kind} defects",
                    method.defect_steps,
                    steps.step,
                    steps.optimizers,
                    begin=steps.begin,
                )
            )
        return tuple(found)

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
        return image, gated.values[-1]

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
            _, found = synthesis.through(rest, x, image, codes, noises, gated)
            mine = torch.tensor([kind == number for kind in kinds], device=self.device)
            mine = mine[:, None, None, None]
            images = torch.where(mine & gated.reached(), found, images)
            masks = torch.where(mine, gated.values[-1] >= 0, masks)
        return images, cleans, masks

    def branch(self, number: int) -> Branch:
        """Return the branch of a defect type, by the type's number."""
        branch = self.branches[number]
        assert isinstance(branch, Branch)
        return branch


def adam(net: nn.Module, lr: float, every: int | None) -> torch.optim.Adam:
    """Return Adam as StyleGAN2 sets it; every: steps between a regulariser's, of `net`'s own."""
    share = 1.0 if every is None else every / (every + 1)
    return torch.optim.Adam(net.parameters(), lr * share, betas=(0.0, 0.99**share), eps=1e-8)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one step down a loss, and return it detached."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach()


def average(kept: nn.Module, moving: nn.Module, step: int, images: int) -> None:
    """Move the running average towards the weights, after step `step` of a stage."""
    half_life = min(AVERAGE_KIMG * 1000, (step + 1) * AVERAGE_RAMP) * images
    share = 1 - 0.5 ** (images / half_life)
    with torch.no_grad():
        for one, other in zip(kept.parameters(), moving.parameters(), strict=True):
            one.lerp_(other, share)


def seeking(codes: Tensor, masks: Tensor) -> Tensor:
    """Return L_ms = mean |w_d1 - w_d2| / mean |m'_1 - m'_2|, of the halves of a batch.

    codes: (N, latent); masks: m', (N, 1, H, W) in [-1, 1]. Finite where the masks are equal.
    """
    (one, other), (first, second) = codes.chunk(2), masks.chunk(2)
    return (one - other).abs().mean() / ((first - second).abs().mean() + SEEKING_FLOOR)


class Steps:
    """What the steps of both stages share."""

    def __init__(self, model: DfmganModel, critic: Discriminator, kimg: float) -> None:
        self.model, self.method, self.critic, self.kimg = model, model.method, critic, kimg
        self.critic_adam = adam(critic, self.method.lr, PENALTY_EVERY)

    def normal(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise (count, latent), drawn on the CPU."""
        drawn = torch.randn(count, self.method.latent, generator=generator)
        return drawn.to(self.model.device)

    def seen(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images as the discriminator sees them."""
        return augment(images, float(self.model.p), generator)

    def criticise(
        self, step: int, fakes: Tensor, reals: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Take the discriminator's step, and its penalty's where it is due; adjust p."""
        model, method = self.model, self.method
        fooled = self.critic(self.seen(fakes, generator))
        logits = self.critic(self.seen(reals, generator))
        loss = F.softplus(fooled).mean() + F.softplus(-logits).mean()
        losses = {"critic": descend(self.critic_adam, loss)}
        if step % PENALTY_EVERY == 0:
            augmented = self.seen(reals, generator)
            losses["penalty"] = self.penalise(self.critic, self.critic_adam, augmented)
        if method.augment == "ada":
            model.signs += logits.detach().sign().mean() / EVERY
            if (step + 1) % EVERY == 0:
                model.p.copy_(adjusted(model.p, model.signs, EVERY * len(reals), self.kimg))
                model.signs.zero_()
        return losses

    def penalise(
        self, critic: Discriminator, optimizer: torch.optim.Optimizer, reals: Tensor
    ) -> Tensor:
        """Take a step down the gradient penalty of a discriminator; return its mean."""
        reals = reals.detach().requires_grad_(True)
        penalty = gradient_penalty(critic(reals), reals).mean()
        descend(optimizer, penalty * (self.method.penalty / 2 * PENALTY_EVERY))
        return penalty.detach()


class NormalSteps(Steps):
    """The first stage: the backbone learns the normals."""

    def __init__(self, model: DfmganModel, subject: Subject) -> None:
        super().__init__(model, model.critic, model.method.ada_kimg)
        self.subject = subject
        regular = PATH_EVERY if self.method.path_weight > 0 else None
        self.adam = adam(model.moving, self.method.lr, regular)
        self.optimizers = (self.adam, self.critic_adam)

    def images(self, codes: Tensor) -> Tensor:
        """Return the moving backbone's images of codes."""
        synthesis = self.model.moving.synthesis
        images: Tensor = synthesis(codes, self.model.noises(len(codes), synthesis.noise_sides))
        return images

    def codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Return codes, of which those from some layer on may be of another z."""
        one, other = (self.model.moving.codes(self.normal(count, generator)) for _ in range(2))
        layers = one.shape[1]
        drawn = int(torch.randint(1, layers, (), generator=generator))
        mixes = float(torch.rand((), generator=generator)) < MIXING
        start = drawn if mixes else layers
        return torch.cat([one[:, :start], other[:, start:]], dim=1)

    def step(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        model, method = self.model, self.method
        self.critic.requires_grad_(False)
        fakes = self.images(self.codes(method.images, generator))
        loss = F.softplus(-self.critic(self.seen(fakes, generator))).mean()
        losses = {"generator": descend(self.adam, loss)}
        self.critic.requires_grad_(True)
        if method.path_weight > 0 and step % PATH_EVERY == 0:
            losses["path"] = self._straighten(generator)
        with torch.no_grad():
            fakes = self.images(self.codes(method.images, generator))
        drawn = torch.randint(len(self.subject.normals), (method.images,), generator=generator)
        reals = small([self.subject.normals[i] for i in drawn.tolist()], method.side)
        losses |= self.criticise(step, fakes, reals.to(model.device), generator)
        average(model.backbone, model.moving, step, method.images)
        return losses

    def _straighten(self, generator: torch.Generator) -> Tensor:
        """Take a step down the path length penalty, on half a batch; return the penalty."""
        model, method = self.model, self.method
        codes = self.codes(max(1, method.images // 2), generator)
        images = self.images(codes)
        lengths = path_lengths(images, codes, torch.randn_like(images))
        model.path_mean.lerp_(lengths.detach().mean(), PATH_DECAY)
        penalty = (lengths - model.path_mean).square().mean()
        descend(self.adam, penalty * (method.path_weight * PATH_EVERY))
        return penalty.detach()


class DefectSteps(Steps):
    """The second stage, of one defect type: its branch learns beside the backbone, which stays."""

    def __init__(self, model: DfmganModel, subject: Subject, number: int) -> None:
        super().__init__(model, model.defect_critic, model.method.defect_ada_kimg)
        self.number = number
        self.defects = [d for d in subject.defects if d.kind == model.kinds[number]]
        self.adam = adam(model.moving_branch, self.method.lr, None)
        self.matcher_adam = adam(model.matcher, self.method.lr, PENALTY_EVERY)
        self.optimizers = (self.adam, self.critic_adam, self.matcher_adam)

    def begin(self) -> None:
        """Take over the first stage's discriminator, and begin with a fresh branch and matcher."""
        model = self.model
        model.defect_critic.load_state_dict(model.critic.state_dict())
        model.matcher.load_state_dict(model._fresh_matcher().state_dict())
        model.moving_branch.load_state_dict(model.branches[self.number].state_dict())
        model.p.zero_()
        model.signs.zero_()

    def images(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, masks m' and codes w_d, of which the halves share their backgrounds."""
        model, count = self.model, self.method.images
        w_d = model.moving_branch.mapping(self.normal(count, generator))
        z = self.normal(count // 2, generator).repeat(2, 1)
        images, values = model.defects(model.backbone, model.moving_branch, z, w_d)
        return images, torch.tanh(SHARPNESS * values), w_d

    def step(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        model, method = self.model, self.method
        losses = {"generator": self._generate(generator)}
        with torch.no_grad():
            fakes, masks, _ = self.images(generator)
        drawn = torch.randint(len(self.defects), (method.images,), generator=generator).tolist()
        reals = small([self.defects[i].image for i in drawn], method.side).to(model.device)
        marked = small_masks([self.defects[i].mask for i in drawn], method.side).to(model.device)
        losses |= self.criticise(step, fakes, reals, generator)
        pairs = torch.cat([reals, 2 * marked - 1], dim=1)
        fooled = model.matcher(torch.cat([fakes, masks], dim=1))
        loss = F.softplus(fooled).mean() + F.softplus(-model.matcher(pairs)).mean()
        losses["matcher"] = descend(self.matcher_adam, loss)
        if step % PENALTY_EVERY == 0:
            losses["match penalty"] = self.penalise(model.matcher, self.matcher_adam, pairs)
        losses["open"] = (masks >= 0).float().mean()
        average(model.branches[self.number], model.moving_branch, step, method.images)
        return losses

    def _generate(self, generator: torch.Generator) -> Tensor:
        """Take the branch's step, and return its loss."""
        model, method = self.model, self.method
        critics = (self.critic, model.matcher)
        for critic in critics:
            critic.requires_grad_(False)
        images, masks, w_d = self.images(generator)
        loss = F.softplus(-self.critic(self.seen(images, generator))).mean()
        matched = model.matcher(torch.cat([images, masks], dim=1))
        loss = loss + F.softplus(-matched).mean() + method.seeking * seeking(w_d, masks)
        found = descend(self.adam, loss)
        for critic in critics:
            critic.requires_grad_(True)
        return found

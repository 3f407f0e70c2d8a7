"""DFMGAN's two stages of fitting, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asbench.fitting.images import small, small_masks
from asbench.synthesizers.dfmgan.ada import EVERY, adjusted, augment
from asbench.synthesizers.dfmgan.stylegan2 import Discriminator, gradient_penalty, path_lengths
from asbench.types import Subject

if TYPE_CHECKING:
    from asbench.synthesizers.dfmgan.networks import DfmganModel

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
        model.matcher.load_state_dict(model.fresh_matcher().state_dict())
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
        loss = descend(self.adam, loss)
        for critic in critics:
            critic.requires_grad_(True)
        return loss

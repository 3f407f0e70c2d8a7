"""DFMGAN: the contract, and what its gate, branches and discriminators do."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.fitting.loop import Fitting
from asbench.nets.seeds import private_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.dfmgan import VARIANTS, Dfmgan
from asbench.synthesizers.dfmgan.networks import DfmganModel, Gated
from asbench.synthesizers.dfmgan.steps import SEEKING_FLOOR, DefectSteps, average, seeking
from asbench.testing import digest, material
from asbench.testing.learned import LearnedContract, defects, draw_learned, fit_model, subjects_of
from asbench.types import Subject
from synth_store import Sample, UserError, address_rng

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "side": 16,
    "gate": 8,
    "base": 128,
    "most": 8,
    "latent": 8,
    "images": 4,
    "steps": 2,
    "defect_steps": 2,
    "penalty": 0.01,
    "batch": 4,
}


class TestContract(LearnedContract):
    synthesizer = Dfmgan(**TOY)


Learned = tuple[DfmganModel, Fitting, DfmganModel]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """A model that has learned a little, of discs; and one that stopped before the defects."""
    method = Dfmgan(**TOY | {"steps": 24, "defect_steps": 16, "images": 8})
    given = material(32, 32, "object", normals=12)
    subjects = (Subject("object", given.normals, given.foregrounds, defects(given, 8)),)
    folder = tmp_path_factory.mktemp("learned")
    left = iter(range(24))
    first, _ = fit_model(method, subjects, folder, stop=lambda: next(left, None) is None)
    first = copy.deepcopy(first)
    model, fitting = fit_model(method, subjects, folder)
    assert isinstance(model, DfmganModel)
    assert isinstance(first, DfmganModel)
    return model, fitting, first


def chances(count: int) -> list[np.random.Generator]:
    return [address_rng("test", i) for i in range(count)]


def sampled(model: DfmganModel, kinds: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    with torch.inference_mode():
        return model.sample(kinds, chances(len(kinds)))


def fresh(method: Dfmgan, kinds: tuple[str, ...] = ("bright", "dark")) -> DfmganModel:
    with private_rng():
        torch.manual_seed(0)
        model = DfmganModel(method, kinds)
        model.critics()
    return model


def test_what_was_generated_comes_nearer_to_the_normals(learned: Learned) -> None:
    """The discriminator's first mistakes, too, are soon mended."""
    model, fitting, _ = learned
    losses = [loss for _, loss in fitting.curves["normals/critic"]]
    assert np.mean(losses[-8:]) < losses[0]
    normals = material(32, 32, "object", normals=12).normals
    mean = np.mean([normals[i].mean() for i in range(12)]) / 127.5 - 1
    untrained = fresh(model.method)
    distances = [
        abs(float(sampled(net, [0] * 8)[1].clamp(-1, 1).mean()) - mean)
        for net in (model, untrained)
    ]
    assert distances[0] < distances[1]


@pytest.mark.parametrize("kind", ["bright", "dark"])
@pytest.mark.parametrize("loss", ["critic", "matcher"])
def test_defects_and_their_masks_are_learned_to_be_told(
    learned: Learned, kind: str, loss: str
) -> None:
    """A generator's own loss need not fall: what it is judged by gets better too."""
    losses = [value for _, value in learned[1].curves[f"{kind} defects/{loss}"]]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_every_stage_has_its_losses(learned: Learned) -> None:
    _, fitting, _ = learned
    assert {name for name in fitting.curves if name.startswith("normals/")} == {
        f"normals/{name}" for name in ("generator", "critic", "penalty", "path")
    }
    names = ("generator", "critic", "penalty", "matcher", "match penalty", "open")
    for kind in ("bright", "dark"):
        found = {name for name in fitting.curves if name.startswith(f"{kind} defects/")}
        assert found == {f"{kind} defects/{name}" for name in names}


def test_the_backbone_stays_while_defects_are_learned(learned: Learned) -> None:
    """Bit for bit; branches do not stay, and differ."""
    model, _, first = learned
    before, after = first.kept(), model.kept()
    for name, tensor in after.items():
        same = torch.equal(tensor, before[name])
        if name.startswith("backbone."):
            assert same, name
    moved = [n for n in after if not torch.equal(after[n], before[n])]
    assert {name.split(".")[1] for name in moved} == {"0", "1"}
    assert any("mapping" in name for name in moved)
    assert any("values" in name for name in moved)


def test_defects_begin_with_the_discriminator_of_the_normals(tmp_path: Path) -> None:
    method = Dfmgan(**TOY)
    model = fresh(method)
    (subject,) = subjects_of(method)
    with private_rng():
        steps = DefectSteps(model, subject, 1)
        with torch.no_grad():
            for parameter in model.critic.parameters():
                parameter.add_(1)
        model.p.fill_(0.5)
        matcher = copy.deepcopy(model.matcher)
        steps.begin()
    for one, other in zip(model.critic.parameters(), model.defect_critic.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(matcher.output.weight, model.matcher.output.weight)
    for one, other in zip(
        model.branches[1].parameters(), model.moving_branch.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert model.p == 0
    assert {d.kind for d in steps.defects} == {"dark"}


def test_a_closed_gate_leaves_the_normal_image(learned: Learned) -> None:
    model = copy.deepcopy(learned[0])
    for branch in model.branches:
        branch.values.bias.data.fill_(-1e6)
    images, cleans, masks = sampled(model, [0, 1, 0, 1])
    assert torch.equal(images, cleans)
    assert not masks.any()
    given = material(32, 32, "object")
    assert draw_learned(model, 4, list(range(4)), given) == [None] * 4


@pytest.mark.parametrize("around", [-0.1, -20.0])
def test_an_open_gate_changes_the_image_within_its_reach_alone(around: float) -> None:
    """One pixel of M above 0, by hand at 8 of 32 pixels, which enlarging keeps or loses.

    None of the image is pasted. Where no pixel of the mask is left, none of the image changes.
    """
    model = fresh(Dfmgan(**TOY | {"side": 32, "gate": 8}), ("bright",))
    branch, synthesis = model.branches[0], model.backbone.synthesis
    with torch.inference_mode():
        codes = model.backbone.codes(torch.randn(1, 8))
        noises = [torch.randn(1, 1, s, s) for s in synthesis.noise_sides]
        own = [torch.randn(1, 1, s, s) for s in branch.noise_sides]
        x, image = synthesis.through(range(model.below), None, None, codes, noises)
        rest = range(model.below, len(synthesis.sides))
        _, clean = synthesis.through(rest, x, image, codes, noises)
        lone = torch.full((1, 1, 8, 8), around)
        lone[0, 0, 4, 3] = 1

        class Opened(Gated):
            def __call__(self, level: int, x: Tensor) -> Tensor:
                return 1000 * super().__call__(level, x)

        branch.values.forward = lambda own, codes: lone
        gated = Opened(branch, torch.randn(1, 8), own)
        _, changed = synthesis.through(rest, x, image, codes, noises, gated)
        mask, reached = gated.values >= 0, gated.reached()
    if around < -1:
        assert not mask.any()
        assert torch.equal(changed, clean)
        return
    assert mask[0, 0, 16:20, 12:16].all()
    differs = (changed - clean).abs().amax(dim=1, keepdim=True) > 1e-3
    assert differs.any()
    assert not (differs & ~reached).any()
    for axis in (0, 1):  # no wider than it must be
        found, bound = (m[0, 0].any(dim=axis).nonzero().flatten() for m in (differs, reached))
        assert torch.equal(found, bound)


def test_samples_equal_their_normals_beyond_the_reach(
    learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes nothing from them but rounding; inside the mask they differ."""
    kinds = [0, 1] * 8
    images, cleans, masks = sampled(learned[0], kinds)
    assert masks.dtype == torch.bool
    assert 0 < masks.float().mean() < 1
    assert (images != cleans).any(dim=1, keepdim=True)[masks].float().mean() > 0.9
    monkeypatch.setattr(Gated, "reached", lambda self: torch.ones_like(self.values) > 0)
    torch.testing.assert_close(images, sampled(learned[0], kinds)[0], rtol=0, atol=1e-5)
    monkeypatch.setattr(Gated, "reached", lambda self: torch.zeros_like(self.values) > 0)
    assert torch.equal(sampled(learned[0], kinds)[0], cleans)


def test_a_samples_type_is_drawn_from_its_generator(learned: Learned) -> None:
    model, batch = learned[0], learned[0].method.batch
    asked: list[list[int]] = []
    original = model.sample

    def sample(kinds: list[int], rngs: Any) -> Any:
        asked.append(kinds)
        return original(kinds, rngs)

    model.sample = sample  # type: ignore[method-assign,assignment]
    try:
        given = material(32, 32, "object")
        draw_learned(model, batch, list(range(10 * batch)), given)
    finally:
        del model.sample
    drawn = np.bincount(np.ravel(asked))
    assert len(drawn) == 2
    assert drawn.min() > 10


def test_each_type_has_its_branch(learned: Learned) -> None:
    """The same noise gives the same normals, and other defects; others' types play no part."""
    first, second, mixed = (sampled(learned[0], k) for k in ([0] * 4, [1] * 4, [0, 1, 0, 1]))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])
    for i, alone in enumerate((first, second, first, second)):
        for found, expected in zip(mixed, alone, strict=True):
            assert torch.equal(found[i], expected[i])


def test_samples_bring_their_clean_and_masks_at_the_stores_geometry(learned: Learned) -> None:
    model = learned[0]
    given = material(64, 48, "object")
    found = draw_learned(model, 4, list(range(16)), given)
    shown = [s for s in found if s is not None]
    assert len({digest([Sample(s.clean, s.mask)]) for s in shown if s.clean is not None}) > 4
    for sample in shown:
        assert sample.clean is not None
        assert sample.image.shape == sample.clean.shape == (64, 48, 3)


def test_only_matching_and_seeking_move_the_mask() -> None:
    """The gate is hard: the first discriminator does not see M."""
    model = fresh(Dfmgan(**TOY), ("bright",))
    branch = model.moving_branch
    z, z_d = torch.randn(2, 4, 8)
    images, values = model.defects(model.backbone, branch, z, branch.mapping(z_d))
    (none,) = torch.autograd.grad(
        model.critic(images).sum(), branch.values.conv.weight, retain_graph=True, allow_unused=True
    )
    assert none is None
    masks = torch.tanh(10 * values)
    loss = model.matcher(torch.cat([images, masks], dim=1)).sum()
    (some,) = torch.autograd.grad(loss, branch.values.conv.weight, retain_graph=True)
    assert some.abs().max() > 0
    (seeks,) = torch.autograd.grad(seeking(branch.mapping(z_d), masks), branch.values.conv.weight)
    assert seeks.abs().max() > 0
    assert all(not p.requires_grad for p in model.backbone.parameters())


def test_seeking_is_a_ratio_that_stays_finite() -> None:
    codes, masks = torch.randn(4, 8), torch.rand(4, 1, 16, 16) * 2 - 1
    expected = float(
        np.abs(codes[:2].numpy() - codes[2:].numpy()).mean()
        / (np.abs(masks[:2].numpy() - masks[2:].numpy()).mean() + SEEKING_FLOOR)
    )
    assert seeking(codes, masks).item() == pytest.approx(expected, rel=1e-5)
    same = torch.ones(4, 1, 16, 16, requires_grad=True)
    loss = seeking(codes, same)
    loss.backward()
    assert torch.isfinite(loss)
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_halves_of_a_batch_share_their_backgrounds() -> None:
    method = Dfmgan(**TOY)
    model = fresh(method)
    (subject,) = subjects_of(method)
    with private_rng():
        model.noises = lambda n, sides: [torch.zeros(n, 1, s, s) for s in sides]  # type: ignore[method-assign]
        model.moving_branch.values.bias.data.fill_(-1e6)
        images, masks, codes = DefectSteps(model, subject, 0).images(torch.Generator())
    assert torch.allclose(images[:2], images[2:], atol=1e-5)
    assert not torch.allclose(images[0], images[1])
    assert not torch.allclose(codes[:2], codes[2:])
    assert (masks == -1).all()


def test_the_average_halves_its_distance_in_its_half_life() -> None:
    """5 thousand images at 16 a step; at first a twentieth of the images seen."""
    kept, moving = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        for parameter in (*kept.parameters(), *moving.parameters()):
            parameter.zero_()
        moving.weight.fill_(1)
    for step in range(10_000, 10_000 + 5000 // 16):
        average(kept, moving, step, 16)
    assert kept.weight.item() == pytest.approx(0.5, abs=0.002)
    average(kept, moving, 0, 16)
    assert kept.weight.item() == pytest.approx(1, abs=1e-5)


def test_augmentation_follows_the_discriminator(learned: Learned) -> None:
    assert 0 <= float(learned[0].p) < 1
    model = fresh(Dfmgan(**TOY | {"ada_kimg": 0.1}))
    (subject,) = subjects_of(model.method)
    steps = DefectSteps(model, subject, 0)
    steps.kimg = 0.1
    model.defect_critic.output.bias.data.fill_(100.0)
    reals = torch.randn(4, 3, 16, 16)
    with private_rng():
        for step in range(4):
            steps.criticise(step, reals, reals, torch.Generator())
    assert float(model.p) == pytest.approx(16 / 100)


@pytest.mark.parametrize(
    ("name", "generator", "branch", "critic"),
    [
        ("dfmgan", 23.19, 3.67, 24.0),
        ("dfmgan@mid", 7.06, 2.95, 5.97),
        ("dfmgan@tiny-scratch", 0.28, 0.14, 0.3),
    ],
)
def test_configurations_build_at_true_size(
    name: str, generator: float, branch: float, critic: float
) -> None:
    """On the meta device, with a step's forward and backward; millions of parameters."""
    method = resolve(name, dataset="mvtec", category="hazelnut")
    assert isinstance(method, Dfmgan)
    rule = 0.0002 * method.side**2 / method.images
    assert method.penalty == pytest.approx(10 if "tiny" in name else rule)
    with torch.device("meta"), private_rng():
        model = DfmganModel(method, ("hole",))
        model.critics()
        parts = (model.backbone, model.moving_branch, model.critic)
        millions = [sum(p.numel() for p in net.parameters()) / 1e6 for net in parts]
        w_d = model.moving_branch.mapping(torch.randn(4, method.latent))
        z = torch.randn(4, method.latent)
        images, values = model.defects(model.moving, model.moving_branch, z, w_d)
        assert images.shape == (4, 3, method.side, method.side)
        assert values.shape == (4, 1, method.side, method.side)
        loss = model.defect_critic(images).sum()
        loss = loss + model.matcher(torch.cat([images, values], dim=1)).sum()
        loss.backward()
    assert [round(m, 2) for m in millions] == [generator, branch, critic]
    assert all(p.grad is not None for p in model.moving_branch.parameters())


@pytest.mark.parametrize(
    "smaller",
    [
        pytest.param({"side": 16, "gate": 8}, id="on fewer pixels"),
        pytest.param(
            {},
            id="at the published size",
            marks=[
                pytest.mark.slow,
                pytest.mark.timeout(1800),
                pytest.mark.skipif(
                    "ASBENCH_FULL_SIZE" not in os.environ, reason="set ASBENCH_FULL_SIZE: 70 s"
                ),
            ],
        ),
    ],
)
def test_a_step_of_each_stage_with_the_published_channels(
    smaller: dict[str, Any], tmp_path: Path
) -> None:
    """All but the number of images: 2 rather than 16; levels that are there are as published."""
    method = Dfmgan(images=2, steps=1, defect_steps=1, **smaller)
    model, fitting = fit_model(method, subjects_of(method), tmp_path)
    assert fitting.done
    assert isinstance(model, DfmganModel)
    images, _, masks = sampled(model, [0, 1])
    assert images.shape == (2, 3, method.side, method.side)
    assert masks.shape == (2, 1, method.side, method.side)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"side": 48}, "side=48"),
        ({"gate": 24}, "gate=24"),
        ({"gate": 128, "side": 64}, "gate=128"),
        ({"images": 3}, "images=3"),
        ({"base": 64}, "base=64"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"seeking": -1.0}, "seeking=-1.0"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Dfmgan(**wrong)


def test_names_of_variants() -> None:
    assert set(VARIANTS) == {"coloured", "mid", "tiny-scratch"}

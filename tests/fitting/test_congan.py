"""The likeness of Con-GAN: the contract, its crops, views, losses, and what is pasted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from asbench.nets.seeds import address_generator, private_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.congan import VARIANTS, Congan
from asbench.synthesizers.congan.losses import View, apart_on_sphere, matched
from asbench.synthesizers.congan.model import ConganModel
from asbench.testing import material
from asbench.testing.learned import LearnedContract, draw_learned, subjects_of
from synth_store import UserError

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "side": 16,
    "widths": (8, 8),
    "latent": 4,
    "images": 2,
    "steps": 3,
    "masks": 4,
    "least": 1,
    "batch": 4,
}


class TestContract(LearnedContract):
    synthesizer = Congan(**TOY)


def fresh(**changes: Any) -> tuple[ConganModel, Any]:
    with private_rng():
        torch.manual_seed(0)
        model = ConganModel(Congan(**TOY | changes), ("bright", "dark"))
        (stage,) = model.stages(subjects_of(model.method))
    return model, stage


def test_crops_hold_their_defect_and_its_surroundings() -> None:
    model, _ = fresh()
    for defect in subjects_of(model.method)[0].defects:
        crop, share = model.crop(defect)
        assert crop.shape == (4, 16, 16)
        inside = crop[3] > 0
        covered = float(inside.float().mean()) * (share * 32) ** 2
        assert covered == pytest.approx(float(defect.mask.sum()), rel=0.2)
        assert not inside[0].any()
        assert not inside[:, -1].any()
        bright = float(crop[:3, inside].mean()) > float(crop[:3, ~inside].mean())
        assert bright == (defect.kind == "bright")
    assert model.counts.tolist() == [2, 2]
    assert float(model.sides[0, 1]) > 0.1


def test_a_view_is_one_transform_for_both_and_leaves_the_masks_colour() -> None:
    crops = torch.rand(3, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    crops[:, 3] = crops[:, 3].sign()
    view = View(3, torch.Generator().manual_seed(1))
    assert torch.equal(view(crops), view(crops.clone()))
    assert not torch.equal(view(crops), View(3, torch.Generator().manual_seed(2))(crops))
    flat = torch.full((3, 4, 16, 16), 1.0)
    torch.testing.assert_close(view(flat)[:, 3], flat[:, 3])
    assert not torch.allclose(view(flat)[:, :3], flat[:, :3])


def test_the_losses_are_least_where_they_should_be() -> None:
    chance = torch.Generator().manual_seed(0)
    features = torch.rand(4, 3, 8, 8, generator=chance)
    assert float(matched([features], [features])) == 0
    assert float(matched([features], [features + 1])) == pytest.approx(1.0)
    first, real = torch.eye(4)[:2], torch.eye(4)[2:]
    near = apart_on_sphere(first, first, real, 0.1)
    assert float(near) < 0.01
    assert float(apart_on_sphere(first, first.flip(0), real, 0.1)) > 10 * float(near)
    assert float(apart_on_sphere(first, first, first, 0.1)) > 10 * float(near)


def test_a_step_moves_both_and_the_type_decides() -> None:
    model, stage = fresh()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    losses = stage.step(0, address_generator("test"))
    assert set(losses) == {"critic", "fooled", "matched", "apart"}
    moved = {k.partition(".")[0] for k, v in model.state_dict().items() if not v.equal(before[k])}
    assert moved == {"generator", "critic"}
    model.eval()
    numbers = torch.ones(2, 4)
    both = model.generator(numbers, torch.tensor([0, 1]))
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("blend", ["poisson", "mixed", "soft"])
def test_what_is_pasted_is_a_defects_size_and_its_mask_is_what_changed(blend: str) -> None:
    model, _ = fresh(blend=blend)
    given = material(64, 64, "texture")
    shown = 0
    for index, sample in enumerate(draw_learned(model.eval(), 4, list(range(8)), given)):
        if sample is not None:
            shown += 1
            normal = given.normals[index % len(given.normals)]
            assert np.array_equal((sample.image != normal).any(axis=2), sample.mask)
            rows, columns = (np.flatnonzero(sample.mask.any(axis=a)) for a in (1, 0))
            most = float(model.sides.max()) * 64 + 8
            assert max(np.ptp(rows), np.ptp(columns)) < most
    assert shown


def test_the_plain_size_builds_steps_and_renders() -> None:
    """Ours: 3.6 million numbers of the generator, 4.9 of the discriminator."""
    with private_rng():
        torch.manual_seed(0)
        method = Congan(images=2, batch=1)
        model = ConganModel(method, ("bright", "dark"))
        (stage,) = model.stages(subjects_of(method))
        losses = stage.step(0, address_generator("test"))
    assert all(torch.isfinite(loss) for loss in losses.values())
    nets = (model.generator, model.critic)
    counts = [sum(p.numel() for p in net.parameters()) / 1e6 for net in nets if net]
    assert counts == pytest.approx([3.6, 4.9], abs=0.05)
    assert len(draw_learned(model.eval(), 1, [0], material(64, 64, "texture"))) == 1


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_variants_resolve_and_say_that_it_is_a_likeness(variant: str) -> None:
    name = f"congan@{variant}" if variant else "congan"
    method = resolve(name, dataset="demo", category="weave")
    assert "likeness" in method.title


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"side": 20}, "side=20 must be 4 doubled"),
        ({"widths": (8, 4)}, "8 or more each"),
        ({"images": 1}, "images=1 must be 2"),
        ({"lr": 0}, "lr=0"),
        ({"margin": 0.5}, "margin=0.5"),
        ({"contrast": -1}, "contrast=-1"),
        ({"least": 0}, "least=0"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"congan: .*{told}"):
        Congan(**TOY | wrong)

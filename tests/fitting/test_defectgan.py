"""Defect-GAN: the contract, and what its map, gate, control maps and losses do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from asbench.nets.seeds import private_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.defectgan import VARIANTS, Defectgan
from asbench.synthesizers.defectgan.model import REACH, DefectganModel, Steps
from asbench.synthesizers.defectgan.networks import Critic, noise_shapes
from asbench.testing import material
from asbench.testing.learned import LearnedContract, draw_learned, fit_model, subjects_of
from synth_store import UserError

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "side": 16,
    "width": 4,
    "blocks": 1,
    "hidden": 4,
    "critic_width": 4,
    "critic_levels": 2,
    "images": 2,
    "steps": 3,
    "critics": 2,
    "gated": True,
    "control": 10.0,
    "masks": 4,
    "batch": 4,
}


class TestContract(LearnedContract):
    synthesizer = Defectgan(**TOY)


def fresh(**changes: Any) -> DefectganModel:
    with private_rng():
        torch.manual_seed(0)
        model = DefectganModel(Defectgan(**TOY | changes), ("bright", "dark"))
        model.stages(subjects_of(model.method))
    return model.eval()


def inputs(model: DefectganModel) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, 3, 16, 16, generator=generator) * 2 - 1
    masks = torch.zeros(3, 1, 16, 16)
    masks[:, :, 6:9, 6:9] = 1
    return images, masks, model.noises(3, generator)


def test_a_closed_map_leaves_the_image_and_a_gate_closes_it_beside_the_control_map() -> None:
    model = fresh()
    images, masks, noise = inputs(model)
    control = model.controls(masks, torch.tensor([0, 1, 1]))
    made = model.generator(images, control, noise, torch.zeros_like(masks))
    assert torch.equal(made.image, images)
    gate = model.gate(masks)
    assert gate is not None
    assert int(gate[0].sum()) == (3 + 2 * REACH) ** 2
    made = model.generator(images, control, noise, gate)
    beside = (gate == 0).expand_as(images)
    assert torch.equal(made.image[beside], images[beside])
    assert not torch.equal(made.image, images)
    assert fresh(gated=False).gate(masks) is None


def test_a_change_to_the_surface_begins_near_it() -> None:
    """With the last layer's weights at zero what is painted is the image itself."""
    model = fresh(near=True)
    images, masks, noise = inputs(model)
    with torch.no_grad():
        for weight in model.generator.paint.parameters():
            weight.zero_()
    made = model.generator(images, model.controls(masks, torch.tensor([0, 1, 1])), noise)
    assert torch.equal(made.paint, images)
    assert torch.equal(made.image, images)


def test_control_maps_say_what_is_where() -> None:
    """Of a type its mask and the rest normal; to restore, all is normal."""
    model = fresh()
    _, masks, _ = inputs(model)
    planes = model.controls(masks, torch.tensor([0, 1, 2]))
    assert planes.shape == (3, 3, 16, 16)
    assert torch.equal(planes.sum(dim=1), torch.ones(3, 16, 16))
    assert torch.equal(planes[0, 0], masks[0, 0])
    assert torch.equal(planes[1, 1], masks[1, 0])
    assert bool((planes[2, 2] == 1).all())


def test_the_control_map_and_the_noise_decide_what_is_drawn() -> None:
    model = fresh()
    images, masks, noise = inputs(model)
    first = model.generator(images, model.controls(masks, torch.tensor([0] * 3)), noise)
    other = model.generator(images, model.controls(masks, torch.tensor([1] * 3)), noise)
    again = model.generator(
        images, model.controls(masks, torch.tensor([0] * 3)), [2 * n for n in noise]
    )
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.image, again.image)
    assert noise_shapes(16) == [(1, s, s) for s in (8, 4, 2, 4, 8, 16)]
    first.image.sum().backward()
    for name, weight in model.generator.named_parameters():
        assert weight.grad is not None, name


def test_masks_lie_by_the_control_map_and_the_rest_is_the_store_s_own(tmp_path: Any) -> None:
    model, _ = fit_model(Defectgan(**TOY | {"steps": 30}), subjects_of(Defectgan(**TOY)), tmp_path)
    given = material(64, 48, "texture")
    shown = 0
    for index, sample in enumerate(draw_learned(model, 4, list(range(8)), given)):
        if sample is None:
            continue
        shown += 1
        normal = given.normals[index % 4]
        assert np.array_equal(sample.image[~sample.mask], normal[~sample.mask])
        assert sample.mask.mean() < 0.9
    assert shown


def test_what_is_restored_comes_nearer_to_what_it_was(tmp_path: Any) -> None:
    """With maps open anywhere (gated ones touch little at first), and by that weight above all."""
    free = {"gated": False, "control": 0.0, "classes": (5.0, 0.0), "restore": 100.0}
    method = Defectgan(**TOY | free | {"steps": 60, "lr": 2e-3, "lr_end": 1e-3})
    _, fitting = fit_model(method, subjects_of(method), tmp_path)
    losses = [value for _, value in fitting.curves["both ways/restored"]]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_a_step_moves_both_and_each_in_its_turn() -> None:
    model = fresh()
    subject = subjects_of(model.method)[0]
    by_kind = [[d for d in subject.defects if d.kind == kind] for kind in model.kinds]
    adams = [
        torch.optim.Adam(net.parameters(), 1e-3)
        for net in (model.generator, model.critic)  # type: ignore[union-attr]
    ]
    steps = Steps(model, subject, by_kind, *adams)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    losses = steps(torch.Generator().manual_seed(0))
    moved = {k.partition(".")[0] for k, v in model.state_dict().items() if not v.equal(before[k])}
    assert moved == {"generator", "critic"}
    assert set(losses) == {
        *("critic", "types", "fooled", "types made", "restored", "cycle", "sparse"),
        *("control", "open"),
    }


def test_the_published_size_builds() -> None:
    """Counted on a re-implementation of the same layout: 41.2 million."""
    with torch.device("meta"):
        model = DefectganModel(Defectgan(), ("crack",) * 5)
        critic = Critic(128, 64, 6, 6)
    count = sum(p.numel() for p in model.generator.parameters()) / 1e6
    assert 38 < count < 46
    assert 40 < sum(p.numel() for p in critic.parameters()) / 1e6 < 50


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_variants_resolve(variant: str) -> None:
    name = f"defectgan@{variant}" if variant else "defectgan"
    assert resolve(name, dataset="demo", category="weave").family == "GAN-based"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"side": 20}, "power of 2"),
        ({"images": 0}, "images=0 must be 1"),
        ({"lr_end": 1.0}, "lr_end <= lr"),
        ({"cycle": -1}, "cycle=-1"),
        ({"open": 0}, "open=0"),
        ({"strength": 2}, "strength=2"),
        ({"classes": (-1, 0)}, "classes="),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"defectgan: .*{told}"):
        Defectgan(**wrong)

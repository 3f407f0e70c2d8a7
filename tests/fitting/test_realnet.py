"""RealNet: the contract, and what strength does to a fitted model."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from asbench.fitting.images import noise, small
from asbench.generation.fitted import fit_parameters
from asbench.nets.seeds import private_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.realnet import VARIANTS, Realnet
from asbench.synthesizers.realnet.networks import RealnetModel
from asbench.testing import material
from asbench.testing.generated import Kind
from asbench.testing.learned import LearnedContract, draw_learned, fit_model, subjects_of
from asbench.types import Subject
from synth_store import address_rng
from tests.toynets import REALNET as TOY

pytestmark = pytest.mark.slow


class TestContract(LearnedContract):
    synthesizer = Realnet(**TOY)


LEARNED = {"accumulate": 1, "images": 8, "at_once": 8, "lr": 3e-3, "steps": 60, "walk": 10}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[RealnetModel, Any]:
    """A model that has learned a little: of discs on black."""
    method = Realnet(**TOY | LEARNED)
    given = material(32, 32, "object", normals=12)
    subjects = (Subject("object", given.normals, given.foregrounds),)
    model, fitting = fit_model(method, subjects, tmp_path_factory.mktemp("learned"))
    assert isinstance(model, RealnetModel)
    return model, fitting


def sampled(model: RealnetModel, strength: float, count: int = 8) -> Tensor:
    rngs = [address_rng("test", i) for i in range(count)]
    labels = torch.zeros(count, dtype=torch.int64)
    with torch.inference_mode():
        return model.sample(labels, torch.full((count,), strength), rngs)


def test_losses_fall(learned: tuple[RealnetModel, Any]) -> None:
    _, fitting = learned
    losses = [loss for _, loss in fitting.curves["denoise/noise"]]
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:5])
    bound = [loss for _, loss in fitting.curves["denoise/variance"]]
    assert np.mean(bound[-30:]) < np.mean(bound[:30])


def test_deviation_rises_with_strength(learned: tuple[RealnetModel, Any]) -> None:
    """From the sample without strength, and from the mean normal; all strengths share noise."""
    model, _ = learned
    normals = small(list(material(32, 32, "object", normals=12).normals), model.method.side)
    strengths = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    drawn = [sampled(model, s) for s in strengths]
    plain, mean = (
        [float((images - kept).abs().mean()) for images in drawn]
        for kept in (sampled(model, 0.0), normals.mean(dim=0))
    )
    assert plain == sorted(plain)
    assert plain[0] > 0
    assert plain[-1] > 3 * plain[0]
    assert mean == sorted(mean)


@pytest.mark.parametrize(
    ("variance", "theirs_is"), [("learned", "learned_range"), ("posterior", "fixed_small")]
)
def test_without_strength_sampling_is_plain_ddpm(
    learned: tuple[RealnetModel, Any],
    monkeypatch: pytest.MonkeyPatch,
    variance: str,
    theirs_is: str,
) -> None:
    """The whole walk by diffusers' own steps, which are given the same noise."""
    model, _ = learned
    monkeypatch.setattr(model, "method", Realnet(**TOY | LEARNED | {"variance": variance}))
    labels = torch.zeros(2, dtype=torch.int64)
    rngs = [address_rng("test", i) for i in range(2)]

    def draw(*_: object, **__: object) -> Tensor:
        shape = (3, model.method.side, model.method.side)
        return torch.stack([noise(shape, rng) for rng in rngs])

    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", draw)
    theirs = DDPMScheduler(
        1000, 1e-4, 0.02, "linear", variance_type=theirs_is, timestep_spacing="leading"
    )
    theirs.set_timesteps(model.method.walk)
    x = draw()
    for t in theirs.timesteps:
        with torch.inference_mode():
            output = model.network(x, t, labels).sample
            seen = output if variance == "learned" else output[:, :3]
            x = theirs.step(seen, t, x).prev_sample
    torch.testing.assert_close(sampled(model, 0.0, 2), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["grey", "background", "texture"])
def test_on_grey_normals_it_draws_grey_unless_published(
    learned: tuple[RealnetModel, Any], monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    model, _ = learned
    given, coloured = material(32, 32, kind), {}
    monkeypatch.setattr(model, "labels", {kind: 0})
    for colour in ("as-normals", "as-published"):
        own = Realnet(**TOY | LEARNED | {"colour": colour, "object_rule": "whole image"})
        monkeypatch.setattr(model, "method", own)
        drawn = draw_learned(model, own.batch, list(range(8)), given)
        coloured[colour] = sum(np.ptp(s.image, axis=2).any() for s in drawn if s is not None)
    assert (coloured["as-normals"] == 0) == given.grey
    assert coloured["as-published"] > 0


def test_the_network_is_told_its_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every category moves its own embedding, and asks for it when it renders."""
    method = Realnet(**TOY | {"images": 16, "at_once": 16})
    subjects = subjects_of(method)
    model, _ = fit_model(method, subjects, tmp_path)
    assert isinstance(model, RealnetModel)
    moved = model.moving.class_embedding.weight - model.network.class_embedding.weight
    assert (moved.abs().amax(dim=1) > 0).all()
    asked: list[Tensor] = []

    def sample(labels: Tensor, *_: object) -> Tensor:
        asked.append(labels)
        return torch.zeros(len(labels), 3, 16, 16)

    monkeypatch.setattr(model, "sample", sample)
    for subject in subjects:
        draw_learned(model, method.batch, [0], material(32, 32, subject.category))  # type: ignore[arg-type]
    assert [set(labels.tolist()) for labels in asked] == [{0}, {1}]
    embedded = model.network.class_embedding(torch.tensor([0, 1]))
    assert not torch.equal(embedded[0], embedded[1])


def test_how_many_go_through_the_network_at_once_changes_nothing(tmp_path: Path) -> None:
    """But for the last bits: the authors' four GPUs of five images are one pass of twenty."""
    whole, parts = (Realnet(**TOY | {"at_once": n, "steps": 2}) for n in (4, 1))
    models = [
        fit_model(method, subjects_of(method), tmp_path / str(method.at_once))[0]
        for method in (whole, parts)
    ]
    for one, other in zip(*(m.kept().values() for m in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_half_precision_changes_the_arithmetic_and_keeps_the_weights(tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        method = Realnet(**TOY | {"precision": precision, "steps": 2})
        model, fitting = fit_model(method, subjects_of(method), tmp_path / precision)
        assert all(t.dtype == torch.float32 for t in model.kept().values())
        found[precision] = [loss for _, loss in fitting.curves["denoise/noise"]]
    assert found["float32"] != found["bfloat16"]
    assert found["float32"] == pytest.approx(found["bfloat16"], rel=0.05)


def test_what_renders_is_the_running_average(tmp_path: Path) -> None:
    """average = 0 is the last weights; else the average lags behind them."""
    moved = {}
    for average in (0.0, 0.9):
        method = Realnet(**TOY | {"average": average})
        model, _ = fit_model(method, subjects_of(method), tmp_path / str(average))
        assert isinstance(model, RealnetModel)
        moved[average] = [
            float((a - b).detach().abs().max())
            for a, b in zip(model.network.parameters(), model.moving.parameters(), strict=True)
        ]
    assert max(moved[0.0]) < 1e-6
    assert max(moved[0.9]) > 1e-4


@pytest.mark.parametrize(
    ("name", "parameters"), [("realnet@mid-scratch", 33), ("realnet@full-scratch", 553)]
)
def test_configurations_build_at_true_size(name: str, parameters: int) -> None:
    """On the meta device, with one training step's forward and one of sampling."""
    method = resolve(name, dataset="mvtec", category="bottle")
    assert isinstance(method, Realnet)
    with torch.device("meta"), private_rng():
        model = RealnetModel(method, ("bottle",))
        model.moving = copy.deepcopy(model.network)
        millions = sum(p.numel() for p in model.network.parameters()) / 1e6
        image = torch.zeros(1, 3, method.side, method.side)
        output = model.moving(image, torch.tensor([3]), torch.tensor([0])).sample
        output.mean().backward()
    assert output.shape == (1, 6, method.side, method.side)
    assert round(millions) == parameters
    assert all(p.grad is not None for p in model.moving.parameters())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("ASBENCH_FULL_SIZE" not in os.environ, reason="set ASBENCH_FULL_SIZE: 13 GB")
def test_a_step_at_the_published_size() -> None:
    """Of fitting, one image rather than 3 passes of 20, and of sampling: about 13 GB."""
    method = Realnet(weights="none", images=1, at_once=1, accumulate=1, steps=1, walk=2)
    with private_rng():
        torch.manual_seed(0)
        model = RealnetModel(method, ("texture",))
        (stage,) = model.stages(subjects_of(method)[:1])
        # The last layer begins at zero: in the first step nothing learns but it.
        before = model.moving.conv_out.weight.detach().clone()
        losses = stage.step(0, torch.Generator().manual_seed(0))
        assert all(bool(torch.isfinite(loss)) for loss in losses.values())
        assert not torch.equal(before, model.moving.conv_out.weight)
    image = sampled(model, 0.2, count=1)
    assert image.shape == (1, 3, 256, 256)
    assert torch.isfinite(image).all()


def test_rendering_sees_what_fitting_does_not() -> None:
    """Strength, opacity and the object's rule may change without a new fit; the network may not."""
    fits = fit_parameters(Realnet())
    assert "strength_high" not in fits
    assert "object_rule" not in fits
    assert "batch" not in fits
    assert {"weights", "side", "multipliers", "steps", "lr"} <= set(fits)
    plain, asbench = (
        resolve(name, dataset="mvtec", category="bottle") for name in ("realnet", "realnet@asbench")
    )
    assert isinstance(plain, Realnet)
    assert isinstance(asbench, Realnet)
    assert fit_parameters(plain) == fit_parameters(asbench)
    assert set(VARIANTS) == {"asbench", "coloured", "full-scratch", "mid-scratch", "tiny-scratch"}

"""DSR: the contract, the authors' weights by their names, and what exchanged codes change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench.nets.seeds import private_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.dsr import VARIANTS, VQVAE_NETWORK, Dsr
from asbench.synthesizers.dsr.model import DsrModel
from asbench.synthesizers.dsr.networks import Autoencoder, Codebook, _names
from asbench.testing import material
from asbench.testing.learned import LearnedContract, draw_learned, fit_model, subjects_of
from synth_store import UserError

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "weights": "none",
    "side": 32,
    "width": 8,
    "blocks": 1,
    "block_width": 4,
    "codes": 16,
    "length": 8,
    "images": 2,
    "steps": 6,
    "lr": 0.1,  # at first the decoder hardly listens to its codes
    "decay": 0.5,
    "least": 4,
    "batch": 4,
}


class TestContract(LearnedContract):
    synthesizer = Dsr(**TOY)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DsrModel:
    method = Dsr(**TOY | {"steps": 40, "lr": 1e-2})
    made, fitting = fit_model(method, subjects_of(method), tmp_path_factory.mktemp("fit"))
    errors = [value for _, value in fitting.curves["codes/error"]]
    assert np.mean(errors[-5:]) < np.mean(errors[:5])
    assert isinstance(made, DsrModel)
    return made


def test_masks_hold_all_that_changed_and_no_more(model: DsrModel) -> None:
    given = material(64, 48, "texture")
    samples = draw_learned(model, 4, list(range(16)), given)
    shown = [(i, s) for i, s in enumerate(samples) if s is not None]
    assert shown
    for index, sample in shown:
        changed = (sample.image != given.normals[index % len(given.normals)]).any(axis=2)
        assert np.array_equal(sample.mask, changed)


def test_on_an_object_masks_keep_to_it(model: DsrModel) -> None:
    given = material(64, 64, "object")
    for index, sample in enumerate(draw_learned(model, 4, list(range(12)), given)):
        if sample is not None:
            assert not (sample.mask & ~given.foregrounds[index % len(given.normals)]).any()


def test_drawn_codes_are_neither_the_nearest_nor_beyond_the_strength() -> None:
    model = DsrModel(Dsr(**TOY | {"drop": 0.25, "strength_low": 0.5, "strength_high": 0.5}))
    book = model.network.fine_book
    chance = torch.Generator().manual_seed(0)
    features = torch.randn(1, 8, 8, 8, generator=chance)
    right = book.nearest(features)
    where = torch.zeros(1, 8, 8, dtype=torch.bool)
    where[:, 2:7] = True
    wrong = model._exchanged(book, features, right, where, [np.random.default_rng(0)])
    assert torch.equal(wrong[:, :, ~where[0]], right[:, :, ~where[0]])
    rows = wrong[0].flatten(1).T[where.flatten()]
    nearness = book.distances(features[0].flatten(1).T[where.flatten()]).argsort(dim=1)
    numbers = torch.cdist(rows, book.codes).argmin(dim=1, keepdim=True)
    ranks = (nearness == numbers).int().argmax(dim=1)
    assert int(ranks.min()) == 4
    assert int(ranks.max()) == 8


def test_codes_are_the_means_of_what_they_stand_for_and_unused_ones_move() -> None:
    with private_rng():
        torch.manual_seed(0)
        book = Codebook(8, 2)
        features = torch.cat((torch.full((1, 2, 4, 4), 3.0), torch.full((1, 2, 4, 4), -3.0)))
    for _ in range(200):
        book.learn(features, 0.9, None)
    used = book.uses > 1
    assert int(used.sum()) == 2
    assert torch.allclose(book.codes[used].abs(), torch.full((2, 2), 3.0), atol=0.05)
    book.learn(features, 0.9, torch.arange(8))
    assert torch.allclose(book.codes.abs(), torch.full((8, 2), 3.0), atol=0.1)


def test_the_authors_weights_load_by_their_names_and_others_are_refused(tmp_path: Path) -> None:
    """At true size: 4096 codes of 128, by the tensors' names in the published file."""
    with private_rng():
        torch.manual_seed(0)
        net = Autoencoder(128, 64, 2, 4096, 128)
    state = net.state_dict()
    published = {theirs: state[ours] for theirs, ours in _names(net)}
    assert len(published) == len(state)
    assert published["_decoder_b._residual_stack._layers.1._block.3.weight"].shape == (
        128,
        64,
        1,
        1,
    )
    path = tmp_path / "vq_model_pretrained_128_4096.pckl"
    torch.save(published, path)
    model = Dsr(batch=1, images=1).build({"tile": ()}, {"vqvae": path})
    assert isinstance(model, DsrModel)
    assert all(torch.equal(t, state[name]) for name, t in model.network.state_dict().items())
    (stage,) = model.stages(subjects_of(Dsr()))
    assert set(stage.step(0, torch.Generator().manual_seed(0))) == {"error"}
    given = material(64, 48, "texture")
    drawn = draw_learned(model.eval(), 1, [0, 1, 2], given)  # one sampling step at 256 pixels
    assert len(drawn) == 3
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert 1.7 < count < 2.2  # and two codebooks of half a million
    torch.save({k: v for k, v in published.items() if "upsample" not in k}, path)
    with pytest.raises(UserError, match=r"is not DSR's autoencoder: 'upsample_t.bias' is missing"):
        Dsr().build({"tile": ()}, {"vqvae": path})


def test_a_step_of_the_true_size() -> None:
    method = Dsr(weights="none", steps=2, images=1)
    with private_rng():
        torch.manual_seed(0)
        model = DsrModel(method)
        (stage,) = model.stages(subjects_of(method))
        losses = stage.step(0, torch.Generator().manual_seed(0))
    assert torch.isfinite(losses["error"])


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_variants_resolve(variant: str) -> None:
    name = f"dsr@{variant}" if variant else "dsr"
    method = resolve(name, dataset="demo", category="weave")
    assert isinstance(method, Dsr)
    assert bool(method.pretrained) == (variant in ("", "coloured"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"side": 20}, "side=20 must be a multiple of 8"),
        ({"steps": 1}, "weights=none learn nothing"),
        ({"weights": "vqvae"}, "weights=vqvae are of another network"),
        ({"drop": 0.5}, "drop=0.5"),
        ({"least": 0}, "least=0"),
        ({"images": 0}, "images=0 must be 1"),
        ({"exponent_low": 6}, "exponent_low=6"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], told: str) -> None:
    assert set(VQVAE_NETWORK) <= set(TOY)
    with pytest.raises(UserError, match=f"dsr: .*{told}"):
        Dsr(**TOY | wrong)

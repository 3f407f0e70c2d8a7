"""DefectDiffu: the contract, its maps and texts, DiT's weights, and when a sample is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench.nets.seeds import address_generator, private_rng, seed_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.defectdiffu import VARIANTS, Defectdiffu
from asbench.synthesizers.defectdiffu.model import DefectdiffuModel, middle
from asbench.synthesizers.defectdiffu.transformer import Transformer, _names, load_dit
from asbench.testing import material
from asbench.testing.learned import LearnedContract, fit_model, subjects_of
from asbench.types import Canvas
from synth_store import UserError

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "weights": "none",
    "side": 16,
    "patch": 4,
    "width": 8,
    "heads": 2,
    "blocks": (1, 1, 1),
    "words": 4,
    "images": 2,
    "steps": 3,
    "lr": 1e-2,
    "average": 0.5,
    "walk": 3,
    "last": 2,
    "guidance": 4.0,
    "variance": "posterior",
    "area_high": 1.0,
    "agree": 0.0,
    "batch": 4,
}


class TestContract(LearnedContract):
    synthesizer = Defectdiffu(**TOY)


def built(**changes: Any) -> DefectdiffuModel:
    method = Defectdiffu(**TOY | changes)
    with private_rng():
        seed_rng(0)
        model = method.build({"texture": ("bright", "dark"), "object": ("bright",)}, {})
    assert isinstance(model, DefectdiffuModel)
    return model


def opened(net: torch.nn.Module) -> None:
    """Open the gates that begin closed."""
    with private_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def test_maps_are_shares_of_the_image_and_each_text_tells_its_third() -> None:
    model = built()
    opened(model.network)
    x, at = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
    first = model.network(x, at, *model.numbers(["texture"] * 2, ["bright"] * 2))
    assert first.noise.shape == first.v.shape == x.shape
    assert first.mask.shape == (2, 1, 16, 16)
    torch.testing.assert_close(first.maps.sum(dim=1), torch.ones(2))  # of one layer
    other = model.network(x, at, *model.numbers(["texture"] * 2, ["dark"] * 2))
    assert not torch.equal(first.maps, other.maps)
    assert not torch.equal(first.noise, other.noise)
    elsewhere = model.network(x, at, *model.numbers(["object"] * 2, ["bright"] * 2))
    assert not torch.equal(first.noise, elsewhere.noise)
    later = model.network(x, at.flip(0), *model.numbers(["texture"] * 2, ["bright"] * 2))
    assert not torch.equal(first.maps, later.maps)


def test_a_fresh_network_sees_no_noise_and_all_of_it_learns() -> None:
    model = built()
    subjects = subjects_of(model.method)
    (stage,) = model.stages(subjects)
    x, at = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
    assert not model.network(x, at, *model.numbers(["texture"] * 2, ["dark"] * 2)).noise.any()
    before = {k: v.clone() for k, v in model.moving.state_dict().items()}
    for step in range(6):
        losses = stage.step(step, address_generator("test", step))
    assert set(losses) == {"noise", "variance", "mask", "inside"}
    still = {k for k, v in model.moving.state_dict().items() if v.equal(before[k])}
    assert still == set()


def test_normals_bear_no_loss_inside_a_mask_and_defects_weigh_more_beside_it() -> None:
    model = built()
    subject = subjects_of(model.method)[0]
    model.stages([subject])
    good = [(subject.normals[0], None, "texture", "good")] * 2
    assert float(model.losses(good, address_generator("a"))["inside"].detach()) == 0
    defect = subject.defects[0]
    bad = [(defect.image, defect.mask, "texture", defect.kind)] * 2
    assert float(model.losses(bad, address_generator("a"))["inside"].detach()) > 0


def test_the_clean_image_is_the_same_noise_told_good(tmp_path: Path) -> None:
    """Without guidance's pull both are one image; the larger it is, the more they differ."""
    method = Defectdiffu(**TOY | {"steps": 30})
    model, _ = fit_model(method, subjects_of(method), tmp_path)
    assert isinstance(model, DefectdiffuModel)
    apart = []
    for guidance in (0.0, 2.0, 8.0):
        model.method = Defectdiffu(**TOY | {"guidance": guidance})
        rngs = [np.random.default_rng(i) for i in range(2)]
        with torch.no_grad():
            x, plain, mask = model.walk(["texture"] * 2, ["bright"] * 2, rngs)
        assert mask.shape == (2, 1, 16, 16)
        apart.append(float((x - plain).abs().mean()))
    assert apart[0] < 1e-5 < apart[1] < apart[2]


def test_samples_whose_mask_and_change_disagree_are_refused() -> None:
    """A change is laid onto the store's normal, on its object; else the network's image is it."""
    model = built(laid="change", agree=0.1, area_high=0.4, least=6)
    canvas = Canvas(material(64, 64, "object"), 0)
    clean = np.full((64, 64, 3), 100, np.uint8)
    image, mask = clean.copy(), np.zeros((64, 64), np.bool_)
    image[30:40, 30:40] += 40
    mask[32:42, 32:42] = True
    sample = model._sample(canvas, image, clean, mask)
    assert sample is not None
    assert np.array_equal(sample.clean, canvas.normal)
    assert np.array_equal((sample.image != canvas.normal).any(axis=2), sample.mask)
    assert not (sample.mask & ~canvas.foreground).any()
    assert model.method.needs == {"foreground"}
    assert model._sample(canvas, image, clean, np.roll(mask, 30, axis=0)) is None
    assert model._sample(canvas, image, clean, ~mask) is None
    assert model._sample(canvas, clean, clean, mask) is None
    plain = built(agree=0.1, area_high=0.4)
    assert plain._sample(canvas, image, clean, np.roll(mask, 30, axis=0)) is None
    shown = plain._sample(canvas, image, clean, mask)
    assert shown is not None
    assert np.array_equal(shown.mask, mask)


@pytest.mark.parametrize(("inside", "shown"), [(0, False), (6, False), (40, True)])
def test_a_laid_change_is_louder_than_the_networks_noise(inside: int, shown: bool) -> None:
    """What the two images differ by outside of the mask is no defect; inside it is no better."""
    model = built(laid="change", agree=0.1, area_high=0.4, least=6, louder=1.5)
    canvas = Canvas(material(64, 64, "texture"), 0)
    rng = np.random.default_rng(0)
    clean = np.full((64, 64, 3), 100, np.uint8)
    # A mosaic of the network's patches, of which all are brighter, as a type's photographs may be.
    noisy = 130 + rng.normal(0, 12, (16, 16, 1)).repeat(4, 0).repeat(4, 1).repeat(3, 2)
    mask = np.zeros((64, 64), np.bool_)
    mask[20:40, 20:40] = True
    noisy[mask] += inside
    image = noisy.round().clip(0, 255).astype(np.uint8)
    assert (model._sample(canvas, image, clean, mask) is not None) is shown
    model.method = Defectdiffu(**TOY | {"laid": "change", "agree": 0.1, "louder": 0.0})
    assert model._sample(canvas, image, clean, mask) is not None


def test_the_threshold_lies_between_the_two_sides() -> None:
    picture = torch.cat((torch.full((90,), -0.9), torch.full((10,), 0.7)))
    assert float(middle(picture)) == pytest.approx(-0.1, abs=1e-3)
    assert float(middle(torch.zeros(4))) == 0


def test_dit_loads_by_its_names_and_others_are_refused(tmp_path: Path) -> None:
    with private_rng():
        torch.manual_seed(0)
        nets = [Transformer(8, 4, 4, 2, 8, 2, (1, 1, 1), 4) for _ in range(2)]
    for net in nets:
        opened(net)
    state = nets[0].state_dict()
    published = {theirs: state[ours] for theirs, ours in _names(nets[0])}
    published["y_embedder.embedding_table.weight"] = torch.zeros(1001, 8)
    published["pos_embed"] = nets[0].places
    load_dit(nets[1], published, tmp_path)
    assert all(torch.equal(nets[1].state_dict()[ours], state[ours]) for _, ours in _names(nets[0]))
    assert not torch.equal(nets[1].text.weight, nets[0].text.weight)
    del published["blocks.1.mlp.fc2.bias"]
    with pytest.raises(UserError, match=r"'blocks.1.mlp.fc2.bias' is missing there and \(8,\)"):
        load_dit(nets[1], published, tmp_path)


def test_the_published_parts_are_read_and_one_step_and_sample_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import AutoencoderKL

    from asbench.synthesizers import defectdiffu
    from asbench.testing.learned import draw_learned

    small = {"side": 32, "patch": 2}
    for name in defectdiffu.DIT_NETWORK:
        monkeypatch.setitem(defectdiffu.DIT_NETWORK, name, (TOY | small)[name])
    method = Defectdiffu(**TOY | small | {"weights": "dit"})
    with private_rng():
        torch.manual_seed(0)
        coder: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(4,) * 4,
            norm_num_groups=4,
        )
        coder.save_pretrained(tmp_path / "sd-vae-ft-mse")
        net = Transformer(4, 4, 4, 2, 8, 2, (1, 1, 1), 4)
    state = net.state_dict()
    dit = tmp_path / "DiT-XL-2-256x256.pt"
    torch.save({theirs: state[ours] for theirs, ours in _names(net)}, dit)
    weights = {"dit": dit, "vae": tmp_path / "sd-vae-ft-mse"}
    model = method.build({"texture": ("bright", "dark")}, weights)
    assert isinstance(model, DefectdiffuModel)
    (stage,) = model.stages(subjects_of(method)[:1])
    assert torch.isfinite(stage.step(0, address_generator("test"))["noise"])
    assert not any(name.startswith("published") for name in model.kept())
    assert len(draw_learned(model.eval(), 4, [0], material(32, 32, "texture"))) == 1


def test_the_published_size_builds() -> None:
    """714.8 million: DiT-XL/2's 674.9 without its classes, ten attentions and the mask head."""
    with torch.device("meta"):
        model = DefectdiffuModel(Defectdiffu(), {"tile": ("crack",)}, {})
    body = model.network.body
    head = sum(p.numel() for m in (body.mask, body.mask_out) for p in m.parameters()) / 1e6
    assert head == pytest.approx(0.105, abs=0.002)
    attended = [p for n, p in body.named_parameters() if ".asked." in n or ".keys." in n]
    assert sum(p.numel() for p in attended) / 1e6 == pytest.approx(39.9, abs=0.1)
    count = sum(p.numel() for p in body.parameters()) / 1e6
    assert count == pytest.approx(714.8, abs=1.5)


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_variants_resolve(variant: str) -> None:
    name = f"defectdiffu@{variant}" if variant else "defectdiffu"
    method = resolve(name, dataset="demo", category="weave")
    assert isinstance(method, Defectdiffu)
    assert len(method.pretrained) == (2 if variant in ("", "coloured") else 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"weights": "dit"}, "weights=dit are of another network"),
        ({"side": 18}, "side=18 must be a multiple of patch=4"),
        ({"width": 9}, "width=9 of heads=2"),
        ({"blocks": (1, 0, 1)}, "blocks="),
        ({"last": 4}, "last=4 be no"),
        ({"average": 1.0}, "average=1.0"),
        ({"inside": (8, 2)}, "two weights in order"),
        ({"area_high": 0}, "area_high=0"),
        ({"images": 0}, "images=0"),
        ({"louder": -1}, "louder=-1"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"defectdiffu: .*{told}"):
        Defectdiffu(**TOY | wrong)

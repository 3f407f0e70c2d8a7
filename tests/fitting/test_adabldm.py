"""AdaBLDM: the contract, its pairs, its three stages, its decoder, Stable Diffusion's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.nets.latent import ANOMALY
from asbench.nets.seeds import address_generator, private_rng, seed_rng
from asbench.synthesizers import resolve
from asbench.synthesizers.adabldm import SD_NETWORKS, VARIANTS, Adabldm
from asbench.synthesizers.adabldm.model import COPIED, AdabldmModel, trimap
from asbench.synthesizers.adabldm.pairs import pasted, placed_mask
from asbench.testing import material
from asbench.testing.learned import LearnedContract, draw_learned, subjects_of
from synth_store import UserError

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "weights": "none",
    "side": 16,
    "coder_widths": (4, 4),
    "coder_layers": 1,
    "coder_attention": False,
    "coder_steps": 1,
    "widths": (8, 8),
    "layers": 1,
    "attention": (2,),
    "heads": 2,
    "words": 8,
    "groups": 4,
    "hint": (4, 4),
    "prior_images": 2,
    "prior_steps": 1,
    "images": 2,
    "steps": 2,
    "masks": 4,
    "walk": 3,
    "free": 1,
    "edited": 1,
    "adapt_steps": 1,
    "batch": 2,
}


class TestContract(LearnedContract):
    synthesizer = Adabldm(**TOY)


def built(**changes: Any) -> tuple[AdabldmModel, dict[str, Any]]:
    method = Adabldm(**TOY | changes)
    with private_rng():
        seed_rng(0)
        model = method.build({"object": ("bright", "dark")}, {})
        stages = {stage.name: stage for stage in model.stages(subjects())}  # type: ignore[operator]
    assert isinstance(model, AdabldmModel)
    return model, stages


def subjects() -> Any:
    """One category with an object."""
    joint = type("Joint", (Adabldm,), {"joint": True})(**TOY)
    return subjects_of(joint)[1:]


def test_pairs_show_a_real_defect_whole_on_the_object() -> None:
    (subject,) = subjects()
    bright = [d for d in subject.defects if d.kind == "bright"]
    moved = 0
    for seed in range(12):
        image, mask, where = pasted(subject, bright, np.random.default_rng(seed))
        assert mask.any()
        assert image[mask].mean() > 180  # what the disc is filled with, resampled at its edge
        moved += not any(image is d.image for d in bright)
        assert not (mask & ~where).any()
    assert moved
    mask = placed_mask(bright[0].mask, subject.foregrounds[0], np.random.default_rng(0))
    assert mask.any()
    assert not (mask & ~subject.foregrounds[0]).any()
    nowhere = np.zeros_like(mask)
    assert not placed_mask(bright[0].mask, nowhere, np.random.default_rng(0)).any()


def test_only_the_branch_and_the_types_words_learn_from_the_encoder_on() -> None:
    model, stages = built(coder_steps=1, prior_steps=1, steps=2)
    run = stages["control"]
    run.begin()
    for name in COPIED:
        unet, control = (
            dict(getattr(net, name).state_dict()) for net in (model.latent.unet, model.control)
        )
        assert all(torch.equal(unet[key], control[key]) for key in unet)
    word = model.latent.prompt.word(ANOMALY)  # type: ignore[union-attr]
    assert torch.equal(model.looks, word.expand_as(model.looks))
    before = {k: v.detach().clone() for k, v in model.state_dict().items()}
    for step in range(3):  # at first its way out is closed by zeros
        run.step(step, address_generator("test", step))
    moved = {k.partition(".")[0] for k, v in model.state_dict().items() if not v.equal(before[k])}
    assert moved == {"control", "looks"}


def test_hints_are_three_levels_and_a_fresh_branch_says_nothing() -> None:
    model, _ = built()
    masks, objects = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)
    objects[:, :, 4:12], masks[:, :, 6:9, 6:9] = 1, 1
    hints = trimap(masks, objects)
    assert hints.unique().tolist() == [0, 0.5, 1]
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    said, times = model._said([0, 1]), torch.tensor([3, 500])
    seen = model.seen(x, times, said, hints)
    torch.testing.assert_close(seen, model.latent.seen(x, times, said))


def inputs(model: AdabldmModel) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(1)
    normals = torch.rand(2, 3, 16, 16, generator=chance) * 2 - 1
    masks = torch.zeros(2, 1, 16, 16)
    masks[:, :, 2:4, 2:4] = 1
    return model.latent.encode(normals, torch.zeros(())).detach(), normals, masks


@torch.no_grad()
def test_latents_far_from_the_mask_end_at_the_normals() -> None:
    """The last step of the first sort leaves them with the noise of a step; edits take it away."""
    model, _ = built()
    clean, normals, masks = inputs(model)

    def walk(**changes: Any) -> Tensor:
        model.method = Adabldm(**TOY | changes)
        chance = torch.Generator().manual_seed(2)
        return model.walk(
            clean, normals, masks, masks, [0, 1], lambda: torch.randn(clean.shape, generator=chance)
        )

    free, edited = (
        (walk(walk=4, free=f, edited=e) - clean)[:, :, 6:, 6:].abs().mean()
        for f, e in ((4, 0), (0, 2))
    )
    assert edited < 0.5 * free


def test_an_adapted_decoder_meets_the_normal_outside_and_is_thrown_away() -> None:
    model, _ = built(adapt_steps=60, adapt_lr=1e-2)
    clean, normals, masks = inputs(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.inference_mode():
        plain, made = model.latent.decode(clean[:1]), model.adapted(clean[:1], normals[:1], masks)
    outside = (1 - masks[:1]).expand_as(made).bool()
    errors = [(each - normals[:1])[outside].square().mean() for each in (plain, made)]
    assert errors[1] < 0.8 * errors[0]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_laid_change_stays_by_its_mask_and_on_the_object() -> None:
    model, _ = built(laid="change", least=1)
    given = material(64, 64, "object")
    for index, sample in enumerate(draw_learned(model, 2, list(range(8)), given)):
        if sample is not None:
            normal = given.normals[index % len(given.normals)]
            assert np.array_equal((sample.image != normal).any(axis=2), sample.mask)
            assert not (sample.mask & ~given.foregrounds[index % len(given.normals)]).any()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of Stable Diffusion 1.5, of small networks."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("weights") / "stable-diffusion-v1-5"
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {c: i for i, c in enumerate([*letters, *(f"{c}</w>" for c in letters)])}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    files = folder / "tokenizer"
    files.mkdir(parents=True)
    (files / "vocab.json").write_text(json.dumps(vocabulary))
    (files / "merges.txt").write_text("#version: 0.2\n")
    (files / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 12})
    )
    CLIPTokenizer.from_pretrained(str(files), local_files_only=True)
    with private_rng():
        torch.manual_seed(0)
        coder: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            block_out_channels=(4, 4),
            norm_num_groups=4,
        )
        unet: Any = UNet2DConditionModel(  # type: ignore[no-untyped-call]
            sample_size=8,
            down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
            block_out_channels=(8, 8),
            layers_per_block=1,
            cross_attention_dim=8,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=12,
                bos_token_id=len(vocabulary) - 2,
                eos_token_id=len(vocabulary) - 1,
            )
        )
    for part, name in ((coder, "vae"), (unet, "unet"), (text, "text_encoder")):
        part.save_pretrained(folder / name)
    return folder


def test_the_published_folder_is_read_and_stays_frozen(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step and one sample of the plain method, on small networks in the published layout."""
    from transformers import CLIPTextModel

    for name, value in SD_NETWORKS.items():
        monkeypatch.setitem(SD_NETWORKS, name, TOY.get(name, value))
    method = Adabldm(**TOY | {"weights": "sd15"})
    assert [file.published for file in method.pretrained] == [published.name]
    subject = subjects_of(method)[0]
    model = method.build({"texture": ("bright", "dark")}, {"sd15": published})
    assert isinstance(model, AdabldmModel)
    (stage,) = model.stages([subject])
    before = {k: v.clone() for k, v in model.latent.state_dict().items()}
    stage.begin()
    assert float(stage.step(0, address_generator("test"))["noise"]) > 0
    assert all(torch.equal(v, before[k]) for k, v in model.latent.state_dict().items())
    assert not any(name.startswith("published") for name in model.kept())
    prompt: Any = model.latent.prompt
    tokens = prompt.tokenizer("a tile", padding="max_length", max_length=12, return_tensors="pt")
    text = CLIPTextModel.from_pretrained(published / "text_encoder")
    told = text(tokens["input_ids"]).last_hidden_state
    torch.testing.assert_close(prompt.said(["a tile"]), told)
    assert len(draw_learned(model.eval(), 2, [0, 1], material(32, 32, "texture"))) == 2


def test_another_folder_is_refused(published: Path, tmp_path: Path) -> None:
    from asbench.nets.sd import load_sd

    with pytest.raises(UserError, match="is not a folder"):
        load_sd(tmp_path / "none", 16)
    with pytest.raises(UserError, match="pixels left over of a side of 18: 2, not 0"):
        load_sd(published, 18)


def test_the_published_size_builds() -> None:
    """Counted on the published networks: 859.5, 83.7 and 361.3 million parameters."""
    with torch.device("meta"):
        model = AdabldmModel(Adabldm(), "tile", ("crack",))
    for net, millions in (
        (model.latent.unet, 859.5), (model.latent.coder, 83.7), (model.control, 361.3)
    ):  # fmt: skip
        count = sum(p.numel() for p in net.parameters()) / 1e6
        assert count == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_variants_resolve(variant: str) -> None:
    name = f"adabldm@{variant}" if variant else "adabldm"
    method = resolve(name, dataset="demo", category="weave")
    assert isinstance(method, Adabldm)
    assert bool(method.pretrained) == (variant in ("", "coloured"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"weights": "sd15"}, "weights=sd15 are of another network"),
        ({"hint": (4,)}, "hint=\\(4,\\) must have as many levels"),
        ({"side": 17}, "side=17"),
        ({"widths": (8, 9)}, "multiples of groups=4"),
        ({"heads": 3}, "multiples of heads=3"),
        ({"attention": (8,)}, "attention=\\(8,\\)"),
        ({"images": 0}, "images=0"),
        ({"lr": 0}, "lr=0"),
        ({"free": 3}, "free=3 and edited=1 are more than walk=3"),
        ({"untold": 1}, "untold=1"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"adabldm: .*{told}"):
        Adabldm(**TOY | wrong)

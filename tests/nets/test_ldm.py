"""CompVis's folder: read back as diffusers wrote it, and refused where it is another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LDMTextToImagePipeline, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
    LDMBertConfig,
    LDMBertModel,
)
from safetensors.torch import load_file
from transformers import BertTokenizer

from asbench.fitting.weights import find_weights
from asbench.nets.ldm import load_ldm
from asbench.nets.prompt import TEMPLATES, TextPrompt
from asbench.nets.seeds import private_rng
from asbench.synthesizers.anomalydiffusion import LDM, Anomalydiffusion
from asbench.synthesizers.anomalydiffusion.networks import AnomalydiffusionModel
from asbench.testing import material
from asbench.testing.learned import draw_learned, fit_model, subjects_of
from synth_store import UserError

pytestmark = pytest.mark.slow

LENGTH, DIM = 12, 16
PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] * a of the photo close - up cropped bright dark good one "
PIECES += "clean rendition ano ##ma ##ly crack"


def networks() -> tuple[Any, Any, Any]:
    """A tiny autoencoder, U-Net and text encoder of CompVis's kinds."""
    coder = AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=DIM,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    text = LDMBertModel(
        LDMBertConfig(
            vocab_size=len(PIECES.split()),
            max_position_embeddings=LENGTH,
            encoder_layers=2,
            encoder_ffn_dim=16,
            encoder_attention_heads=2,
            head_dim=8,
            d_model=DIM,
        )
    )
    return coder, unet, text.eval()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Any, Any, Any]]:
    """A folder as diffusers saves its own pipeline, and the networks that went into it."""
    base = tmp_path_factory.mktemp("ldm")
    vocabulary = base / "vocab.txt"
    vocabulary.write_text("\n".join(PIECES.split()))
    with private_rng():
        torch.manual_seed(0)
        nets = networks()
    tokenizer = BertTokenizer(str(vocabulary))
    pipeline = LDMTextToImagePipeline(nets[0], nets[2], tokenizer, nets[1], DDIMScheduler())
    pipeline.save_pretrained(base / LDM.published)
    return base / LDM.published, nets


def test_the_folder_is_read_back(published: tuple[Path, tuple[Any, Any, Any]]) -> None:
    folder, (coder, unet, text) = published
    model = load_ldm(folder, 16)
    chance = torch.Generator().manual_seed(0)
    x, image = (torch.randn(2, c, s, s, generator=chance) for c, s in ((4, 8), (3, 16)))
    said, times = torch.randn(2, LENGTH, DIM, generator=chance), torch.tensor([3, 900])
    with torch.no_grad():
        torch.testing.assert_close(model.seen(x, times, said), unet(x, times, said).sample)
        mean = coder.encode(image).latent_dist.mean * 0.18215
        torch.testing.assert_close(model.encode(image, torch.zeros(())), mean)
        torch.testing.assert_close(model.decode(x), coder.decode(x / 0.18215).sample)
        assert isinstance(model.prompt, TextPrompt)
        tokens = model.prompt._tokens("a photo of the crack")
        told = text(torch.tensor([tokens])).last_hidden_state
        found = model.prompt(model.prompt.word("crack")[None, None], [1])
        torch.testing.assert_close(found, told)
    assert not model.training


def test_vectors_take_the_slots_place(published: tuple[Path, tuple[Any, Any, Any]]) -> None:
    """What stands behind moves on, and the sentence stays as long as the encoder's."""
    folder, (_, _, text) = published
    prompt = load_ldm(folder, 16).prompt
    assert isinstance(prompt, TextPrompt)
    vectors = torch.randn(1, 3, DIM, generator=torch.Generator().manual_seed(0))
    table = text.model.embed_tokens.weight
    pieces = ["[CLS]", "a", "photo", "of", "a", "*", "[SEP]"] + ["[PAD]"] * LENGTH
    rows = [table[PIECES.split().index(piece)] for piece in pieces]
    expected = torch.stack([*rows[:5], *vectors[0], *rows[6:]])[:LENGTH]
    with torch.no_grad():
        told = text(inputs_embeds=expected[None]).last_hidden_state
        torch.testing.assert_close(prompt(vectors, [0]), told)
        long = torch.randn(1, 20, DIM)
        assert prompt(long, [0]).shape == (1, LENGTH, DIM)
    assert prompt.columns(3) == [5, 6, 7]
    assert prompt.columns(20) == list(range(5, LENGTH))
    pieces = [PIECES.split().index(p) for p in ("ano", "##ma", "##ly")]
    torch.testing.assert_close(prompt.word("anomaly"), table[pieces].mean(dim=0))
    for template in TEMPLATES:
        assert prompt._tokens(template).count(prompt.slot) == 1


def with_bin(folder: Path, to: Path) -> Path:
    """The folder with weights as older versions wrote them: pickled, attention under old names."""
    shutil.copytree(folder, to)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for part in ("vqvae", "unet", "bert"):
        (file,) = (to / part).glob("*.safetensors")
        tensors = load_file(file)
        if part == "vqvae":
            for name in [n for n in tensors if "attentions" in n]:
                for new, before in old.items():
                    if f".{new}." in name:
                        tensors[name.replace(f".{new}.", f".{before}.")] = tensors.pop(name)
        file.unlink()
        name = "pytorch_model.bin" if part == "bert" else "diffusion_pytorch_model.bin"
        torch.save(tensors, to / part / name)
    return to


def test_older_files_are_read_alike(
    published: tuple[Path, tuple[Any, Any, Any]], tmp_path: Path
) -> None:
    one, other = load_ldm(published[0], 16), load_ldm(with_bin(published[0], tmp_path / "a"), 16)
    there = other.state_dict()
    assert there.keys() == one.state_dict().keys()
    assert all(torch.equal(t, there[name]) for name, t in one.state_dict().items())


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: shutil.rmtree(f / "bert"), "bert/config.json cannot be read"),
        (lambda f: (f / "unet/config.json").write_text("{"), "unet/config.json cannot be read"),
        (lambda f: next((f / "unet").glob("*.safetensors")).unlink(), "unet holds no weights"),
        (
            lambda f: _edit(f / "vqvae/config.json", _class_name="VQModel"),
            "is of a VQModel, not of a AutoencoderKL",
        ),
        (
            lambda f: _edit(f / "unet/config.json", cross_attention_dim=8),
            r"does not fit the config.json beside it: '.*to_k.weight' is \(8, 16\) there and",
        ),
        (lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer cannot be read"),
        (
            lambda f: next((f / "unet").glob("*.safetensors")).write_bytes(b"no weights"),
            "not a readable safetensors file",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused(
    published: tuple[Path, tuple[Any, Any, Any]], tmp_path: Path, harm: Any, told: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(published[0], folder)
    harm(folder)
    with pytest.raises(UserError, match=told):
        load_ldm(folder, 16)


def test_a_side_that_does_not_fit_is_refused(
    published: tuple[Path, tuple[Any, Any, Any]],
) -> None:
    with pytest.raises(UserError, match="pixels left over of a side of 18: 2, not 0"):
        load_ldm(published[0], 18)


def test_a_file_that_would_run_code_is_not_loaded(
    published: tuple[Path, tuple[Any, Any, Any]], tmp_path: Path
) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    folder = with_bin(published[0], tmp_path / "copy")
    torch.save({"conv_in.weight": Harmful()}, folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="is not a readable file of weights"):
        load_ldm(folder, 16)
    assert not (tmp_path / "harm").exists()


def test_without_the_folder_nothing_begins(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    method = Anomalydiffusion()
    with pytest.raises(UserError, match=r"large-256.*--weights ldm=PATH.*tiny-scratch"):
        find_weights(method.title, method.pretrained, {})
    assert find_weights("it", Anomalydiffusion(weights="none", words=8).pretrained, {}) == {}


def test_a_fit_on_the_folder_keeps_none_of_it(
    published: tuple[Path, tuple[Any, Any, Any]], tmp_path: Path, monkeypatch: Any
) -> None:
    """Words, spatial encoder and masks are all that is saved; the folder's networks stay."""
    folder, (_, unet, _) = published
    method = Anomalydiffusion(
        side=16,
        locator_width=4,
        locator_units=(1, 1, 1, 1),
        images=2,
        steps=2,
        mask_images=2,
        mask_steps=2,
        masks=3,
        mask_tries=1,
        mask_walk=2,
        walk=2,
        mask_threshold=-0.1,
        mask_border=1.0,
        area_high=1.0,
        batch=4,
    )
    plain = Anomalydiffusion.build
    monkeypatch.setattr(
        Anomalydiffusion, "build", lambda self, kinds, _: plain(self, kinds, {"ldm": folder})
    )
    model, fitting = fit_model(method, subjects_of(method), tmp_path)
    assert isinstance(model, AnomalydiffusionModel)
    assert [name.partition("/")[0] for name in fitting.curves] == ["looks", "masks", "bank"]
    assert {n.partition(".")[0] for n in model.kept()} == {
        "looks",
        "mask_words",
        "places",
        "masks",
        "accepted",
    }
    after = model.latent.unet.state_dict()
    assert all(torch.equal(t, after[name]) for name, t in unet.state_dict().items())
    assert not torch.equal(model.looks[0], model.latent.prompt.word("anomaly").expand(4, -1))
    samples = draw_learned(model, 4, [0, 1, 2, 3], material(32, 32, "texture"))
    assert any(sample is not None for sample in samples)
    assert model.to(torch.float64).latent.unet.conv_in.weight.dtype == torch.float64

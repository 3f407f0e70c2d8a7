"""CompVis's text-to-image latent diffusion model, from the folder its authors publish.

The folder is diffusers' own: `vqvae`, `unet` and `bert` with a `config.json` and weights each, and
`tokenizer`. Nothing is looked for elsewhere, and no code of the files is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
    LDMBertConfig,
    LDMBertModel,
)
from torch import Tensor, nn
from transformers import BertTokenizer

from asbench.nets.latent import CHANNELS, LatentDiffusion
from asbench.nets.pretrained import read
from asbench.nets.prompt import SLOT, TextPrompt
from asbench.nets.shapes import without_values
from synth_store.types import UserError

WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")
SUFFIXES = (".safetensors", ".bin")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""An autoencoder's attention as older versions of diffusers named it."""
UNUSED = ("to_logits.", "model.embed_positions.position_ids")
"""Tensors of the text encoder that say nothing: its output layer, and a count."""


def load_ldm(folder: Path, side: int) -> LatentDiffusion:
    """Return the published model, in eval mode, ready to be frozen.

    side: of the images it is to make. Raises UserError for a folder that lacks a part or holds
    another model, naming the first misfit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the whole folder of the published model.")
    coder = part(folder, "vqvae", "AutoencoderKL", AutoencoderKL.from_config, renamed)
    unet = part(folder, "unet", "UNet2DConditionModel", UNet2DConditionModel.from_config, dict)
    text = part(folder, "bert", "LDMBertModel", _bert, _without_logits)
    refuse_unlike(folder, side, coder, unet, int(text.config.d_model))
    return LatentDiffusion(coder, unet, TextPrompt(text, _tokenizer(folder, text))).eval()


def part(
    folder: Path,
    name: str,
    kind: str,
    build: Callable[[dict[str, Any]], Any],
    named: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
) -> Any:
    """Return one network with its weights; no memory is spent on values that they replace."""
    config = _config(folder / name / "config.json", kind)
    path = _weights(folder / name)
    tensors = named(read(path))
    with without_values():
        net = build(config)
    _fill(net, {k: t.float() for k, t in tensors.items()}, path)
    return net


def _config(path: Path, kind: str) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_whole(path.parent.parent)}") from error
    told = config.get("_class_name") or (config.get("architectures") or ["nothing"])[0]
    if told != kind:
        raise UserError(f"{path} is of a {told}, not of a {kind}: {_whole(path.parent.parent)}")
    return config


def _weights(folder: Path) -> Path:
    for suffix in SUFFIXES:
        for stem in WEIGHTS:
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    names = ", ".join(f"{stem}{suffix}" for stem in WEIGHTS for suffix in SUFFIXES)
    raise UserError(f"{folder} holds no weights ({names}): {_whole(folder.parent)}")


def _fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    held = net.state_dict()
    for name in sorted(held.keys() | tensors.keys()):
        there, here = tensors.get(name), held.get(name)
        if there is None or here is None or there.shape != here.shape:
            raise UserError(
                f"{path} does not fit the config.json beside it: {name!r} is {_shape(there)} there "
                f"and {_shape(here)} by the configuration. {_whole(path.parent.parent)}"
            )
    net.load_state_dict(dict(tensors), assign=True)


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        owner, _, end = name.rpartition(".")
        before, _, layer = owner.rpartition(".")
        if "attentions" in before and layer in OLD_NAMES:
            name = f"{before}.{OLD_NAMES[layer]}.{end}"
            tensor = tensor.reshape(tensor.shape[:2]) if end == "weight" else tensor
        renamed[name] = tensor
    return renamed


def _bert(config: dict[str, Any]) -> Any:
    """Return the text encoder without its output layer, which nothing asks."""
    known: Any = LDMBertConfig(**config)  # type: ignore[no-untyped-call]
    encoder = LDMBertModel(known)
    del encoder.to_logits
    return encoder


def _without_logits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if not name.startswith(UNUSED)}


def _tokenizer(folder: Path, encoder: Any) -> Any:
    try:
        tokenizer = BertTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}/tokenizer cannot be read ({error}): {_whole(folder)}") from error
    slot = tokenizer.convert_tokens_to_ids(SLOT)
    if slot == tokenizer.unk_token_id or len(tokenizer) > encoder.config.vocab_size:
        raise UserError(
            f"{folder}/tokenizer is not the text encoder's: it has {len(tokenizer)} tokens, and "
            f"the encoder {encoder.config.vocab_size}; {SLOT!r} must be one of them."
        )
    return tokenizer


def refuse_unlike(folder: Path, side: int, coder: Any, unet: Any, words: int) -> None:
    """Raise UserError where parts that are sound by themselves do not belong together."""
    factor = 2 ** (len(coder.config.block_out_channels) - 1)
    levels = len(unet.config.block_out_channels) - 1
    facts = (
        ("latent channels of the autoencoder", coder.config.latent_channels, CHANNELS),
        ("channels into the U-Net", unet.config.in_channels, CHANNELS),
        ("channels out of the U-Net", unet.config.out_channels, CHANNELS),
        ("words' length of the U-Net", unet.config.cross_attention_dim, words),
        (f"pixels left over of a side of {side}", side % (factor << levels), 0),
    )
    for what, actual, wanted in facts:
        if actual != wanted:
            raise UserError(f"{folder}: {what}: {actual}, not {wanted}. {_whole(folder)}")


def _whole(folder: Path) -> str:
    return f"get the folder {folder.name} anew, as it is published."


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(tuple(tensor.shape))

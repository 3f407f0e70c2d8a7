"""Stable Diffusion 1.5, from the folder it is published as: `vae`, `unet`, `text_encoder`,
`tokenizer`. Nothing is looked for elsewhere, and no code of the files is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from asbench.nets.latent import LatentDiffusion
from asbench.nets.ldm import part, refuse_unlike, renamed
from synth_store.types import UserError


class ClipPrompt(nn.Module):
    """Sentences of CLIP's text encoder, frozen, padded to its length."""

    def __init__(self, encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.encoder, self.tokenizer = encoder, tokenizer
        self.length = int(encoder.config.max_position_embeddings)
        self.dim = int(encoder.config.hidden_size)

    def said(self, sentences: Sequence[str]) -> Tensor:
        """Return what sentences say: float (N, length, dim)."""
        tokens = self.tokenizer(
            list(sentences),
            padding="max_length",
            truncation=True,
            max_length=self.length,
            return_tensors="pt",
        )["input_ids"]
        device = next(self.encoder.parameters()).device
        hidden: Tensor = self.encoder(tokens.to(device)).last_hidden_state
        return hidden

    def empty(self, count: int) -> Tensor:
        """Return what the empty sentence says: float (count, length, dim)."""
        return self.said([""]).expand(count, -1, -1)


def load_sd(folder: Path, side: int) -> LatentDiffusion:
    """Return the published model, in eval mode, ready to be frozen.

    side: of the images it is to make. Raises UserError for a folder that lacks a part or holds
    another model, naming the first misfit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the whole folder of the published model.")
    coder = part(folder, "vae", "AutoencoderKL", AutoencoderKL.from_config, renamed)
    unet = part(folder, "unet", "UNet2DConditionModel", UNet2DConditionModel.from_config, dict)
    text = part(folder, "text_encoder", "CLIPTextModel", _clip, _tensors)
    _count(text)
    refuse_unlike(folder, side, coder, unet, int(text.config.hidden_size))
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder}/tokenizer cannot be read ({error}): get the folder {folder.name} anew, as "
            "it is published."
        ) from error
    prompt: Any = ClipPrompt(text, tokenizer)
    return LatentDiffusion(coder, unet, prompt).eval()


def _clip(config: dict[str, Any]) -> Any:
    return CLIPTextModel(CLIPTextConfig(**config))


def _tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the text encoder's tensors, without a count that older files hold."""
    return {name: t for name, t in tensors.items() if not name.endswith("position_ids")}


def _count(text: nn.Module) -> None:
    """Give places their numbers, which are in no file: a buffer that is not saved."""
    for module in text.modules():
        places = module._buffers.get("position_ids")
        if places is not None and places.is_meta:
            module._buffers["position_ids"] = torch.arange(places.shape[-1])[None]

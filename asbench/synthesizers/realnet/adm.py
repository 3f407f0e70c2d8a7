"""OpenAI's ADM U-Net as diffusers' `UNet2DModel`, and its published weights under its names.

Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021. The two differ in
names, in how queries, keys and values are stored (one convolution, head after head, in each head
queries, then keys, then values), and in the attention's 1x1 convolutions, which are linear layers
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from synth_store.types import UserError

RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
LABELS = "label_emb.weight"
"""One row for each of ImageNet's classes, of no use for others."""


def adm_unet(
    side: int,
    width: int,
    multipliers: Sequence[int],
    attention: Sequence[int],
    *,
    layers: int,
    groups: int,
    head_channels: int,
    classes: int,
) -> nn.Module:
    """Return a fresh ADM U-Net with noise and variance channels.

    multipliers: of the width, level by level; attention: sides in pixels of the levels that have
    self-attention, as the middle has then too. As in ADM the last convolution of every residual
    block, of every attention and of the network starts at zero.
    """
    has = [side >> level in attention for level in range(len(multipliers))]
    net: nn.Module = UNet2DModel(  # type: ignore[no-untyped-call, assignment]
        sample_size=side,
        out_channels=6,
        block_out_channels=[width * m for m in multipliers],
        layers_per_block=layers,
        down_block_types=["AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in has],
        up_block_types=["AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in reversed(has)],
        add_attention=any(has),
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=groups,
        attn_norm_num_groups=groups,
        attention_head_dim=head_channels,
        num_class_embeds=classes,
        flip_sin_to_cos=True,
        freq_shift=0,
    )
    for name, module in net.named_modules():
        if name.endswith((".conv2", ".to_out.0", "conv_out")):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
    return net


def load_adm(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a network with ADM's weights, but for the embedding of its classes.

    tensors: as read from `path`, under ADM's names; net: with attention in its middle, as all of
    ADM's have. Raises UserError for the first name or shape that is not this network's.
    """
    state = dict(net.state_dict())
    expected = dict(_published(net))
    for name, shape in expected.items():
        there = tensors.get(name)
        if there is None or tuple(there.shape) != shape:
            actual = "missing" if there is None else str(tuple(there.shape))
            raise UserError(
                f"{path} is not the ADM U-Net that is asked for: {name!r} is {actual}, not {shape}."
            )
    for name in tensors:
        if name not in expected and name != LABELS:
            raise UserError(f"{path} is not the ADM U-Net that is asked for: it has {name!r}.")
    for theirs, ours, kind in _modules(net):
        for name in ("weight", "bias"):
            if f"{theirs}.{name}" in tensors:
                state |= _converted(tensors[f"{theirs}.{name}"], ours, name, kind, net)
    net.load_state_dict(state)


def _modules(net: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (ADM's name, diffusers' name, kind) of every module with weights.

    Kinds: `as is`, `qkv` (diffusers' name is the attention's), `linear` (a 1x1 convolution there).
    """
    yield from ((theirs, ours, "as is") for theirs, ours in ENDS.items())
    place = 1
    for level, block in enumerate(net.down_blocks):
        ours = f"down_blocks.{level}"
        for layer in range(len(block.resnets)):
            yield from _layer(f"input_blocks.{place}", ours, layer, block)
            place += 1
        if block.downsamplers is not None:
            yield from _residual(f"input_blocks.{place}.0", f"{ours}.downsamplers.0")
            place += 1
    yield from _residual("middle_block.0", "mid_block.resnets.0")
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _residual("middle_block.2", "mid_block.resnets.1")
    place = 0
    for level, block in enumerate(net.up_blocks):
        ours = f"up_blocks.{level}"
        for layer in range(len(block.resnets)):
            yield from _layer(f"output_blocks.{place}", ours, layer, block)
            place += 1
        if block.upsamplers is not None:
            last = 2 if hasattr(block, "attentions") else 1
            yield from _residual(f"output_blocks.{place - 1}.{last}", f"{ours}.upsamplers.0")


def _layer(theirs: str, ours: str, layer: int, block: Any) -> Iterator[tuple[str, str, str]]:
    yield from _residual(f"{theirs}.0", f"{ours}.resnets.{layer}")
    if hasattr(block, "attentions"):
        yield from _attention(f"{theirs}.1", f"{ours}.attentions.{layer}")


def _residual(theirs: str, ours: str) -> Iterator[tuple[str, str, str]]:
    yield from ((f"{theirs}.{t}", f"{ours}.{o}", "as is") for t, o in RESIDUAL.items())


def _attention(theirs: str, ours: str) -> Iterator[tuple[str, str, str]]:
    yield f"{theirs}.norm", f"{ours}.group_norm", "as is"
    yield f"{theirs}.qkv", ours, "qkv"
    yield f"{theirs}.proj_out", f"{ours}.to_out.0", "linear"


def _published(net: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of ADM's file for this network."""
    state = net.state_dict()
    for theirs, ours, kind in _modules(net):
        for name in ("weight", "bias"):
            held = state.get(f"{ours}.to_q.{name}" if kind == "qkv" else f"{ours}.{name}")
            if held is None:  # a residual block whose shortcut is the identity
                continue
            shape = tuple(held.shape)
            if kind == "qkv":
                shape = (3 * shape[0], *shape[1:])
            convolution = kind in ("qkv", "linear") and name == "weight"
            yield f"{theirs}.{name}", (*shape, 1) if convolution else shape


def _converted(
    tensor: Tensor, ours: str, name: str, kind: str, net: nn.Module
) -> dict[str, Tensor]:
    """Return a tensor of ADM's under diffusers' names."""
    tensor = tensor.to(torch.float32)
    if kind == "as is":
        return {f"{ours}.{name}": tensor}
    if name == "weight":
        tensor = tensor.squeeze(-1)
    if kind == "linear":
        return {f"{ours}.{name}": tensor}
    heads: Any = net.get_submodule(ours).heads
    by_head = tensor.reshape(heads, 3, -1, *tensor.shape[1:])
    return {
        f"{ours}.{part}.{name}": by_head[:, i].flatten(0, 1)
        for i, part in enumerate(("to_q", "to_k", "to_v"))
    }

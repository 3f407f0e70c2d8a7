"""DefectDiffu's transformer: DiT with a text for each third, maps of the defect, and a mask head.

Peebles and Xie, Scalable Diffusion Models with Transformers, ICCV 2023 (adaLN-Zero blocks); Shi et
al., Few-shot Defect Image Generation based on Consistency Modeling, ECCV 2024.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth_store.types import UserError

FREQUENCIES = 256
"""Numbers that a time is told by."""
PUBLISHED = {
    "x_embedder.proj": "patches",
    "t_embedder.mlp.0": "time.0",
    "t_embedder.mlp.2": "time.2",
    "final_layer.linear": "out",
    "final_layer.adaLN_modulation.1": "out_shifts",
}
BLOCK = {
    "attn.qkv": "qkv",
    "attn.proj": "joined",
    "mlp.fc1": "first",
    "mlp.fc2": "second",
    "adaLN_modulation.1": "shifts",
}
UNUSED = ("y_embedder.", "pos_embed")
"""ImageNet's classes, and places, which are computed."""


class Seen(NamedTuple):
    """noise, v: (N, c, s, s); mask: (N, planes, s, s); maps: (N, tokens), summing to the layers."""

    noise: Tensor
    v: Tensor
    mask: Tensor
    maps: Tensor


class Block(nn.Module):
    """Attention and two layers, shifted, scaled and gated by what is told; gates begin closed."""

    def __init__(self, width: int, heads: int, *, defect: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.first = nn.Linear(width, 4 * width)
        self.second = nn.Linear(4 * width, width)
        self.shifts = nn.Linear(width, 6 * width)
        self.asked = nn.Linear(width, width) if defect else None
        self.keys = nn.Linear(width, 2 * width) if defect else None

    def forward(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (N, tokens, width), and maps (N, tokens, heads) of a defect's block."""
        shifts = self.shifts(F.silu(told))[:, None].chunk(6, dim=-1)
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in self.qkv(_moved(x, shifts[0], shifts[1])).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + shifts[2] * self.joined(attended)
        maps = None
        if self.asked is not None and self.keys is not None:
            key, value = self.keys(told)[:, None].chunk(2, dim=-1)
            asked = self.asked(F.layer_norm(x, x.shape[-1:]))
            by_head = (asked * key).unflatten(-1, (self.heads, -1)).sum(dim=-1)
            maps = (by_head / math.sqrt(x.shape[-1] / self.heads)).softmax(dim=1)
            x = x + maps.repeat_interleave(x.shape[-1] // self.heads, dim=-1) * value
        within = F.gelu(self.first(_moved(x, shifts[3], shifts[4])), approximate="tanh")
        return x + shifts[5] * self.second(within), maps


class Transformer(nn.Module):
    """Images or latents, (N, channels, size, size), to the noise in them and the defect's mask."""

    def __init__(
        self,
        size: int,
        channels: int,
        mask_planes: int,
        patch: int,
        width: int,
        heads: int,
        blocks: Sequence[int],
        words: int,
    ) -> None:
        super().__init__()
        self.patch, self.channels, self.planes = patch, channels, mask_planes
        self.thirds = [third for third, count in enumerate(blocks) for _ in range(count)]
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.text = nn.Linear(words, width)
        self.blocks = nn.ModuleList(Block(width, heads, defect=t == 1) for t in self.thirds)
        self.out_shifts = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, 2 * channels * patch**2)
        maps = blocks[1] * heads
        self.mask = nn.Sequential(nn.Linear(maps, 2 * maps), nn.SiLU(), nn.Linear(2 * maps, maps))
        self.mask_out = nn.Linear(maps, mask_planes * patch**2)
        self.register_buffer("places", _places(size // patch, width), persistent=False)
        self.places: Tensor
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            if name.endswith(("shifts", "out")) and name != "mask_out":
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    def forward(self, x: Tensor, times: Tensor, texts: Sequence[Tensor]) -> Seen:
        """times: (N,), 0..999; texts: of the category, the defect and both, (N, words) each."""
        size = x.shape[-1] // self.patch
        at = self.time(_waves(times))
        told = [at + self.text(text) for text in texts]
        y, found = self.patches(x).flatten(2).transpose(1, 2) + self.places, []
        for third, block in zip(self.thirds, self.blocks, strict=True):
            y, maps = block(y, told[third])
            if maps is not None:
                found.append(maps)
        shift, scale = self.out_shifts(F.silu(told[2]))[:, None].chunk(2, dim=-1)
        both = self._whole(self.out(_moved(y, shift, scale)), 2 * self.channels, size)
        maps = torch.cat(found, dim=-1)
        mask = self.mask_out(self.mask(F.layer_norm(maps, maps.shape[-1:])))
        noise, v = both.chunk(2, dim=1)
        heads = maps.shape[-1] // len(found)
        return Seen(noise, v, self._whole(mask, self.planes, size), maps.sum(dim=-1) / heads)

    def _whole(self, tokens: Tensor, channels: int, size: int) -> Tensor:
        """Return (N, size^2, patch^2 channels) as (N, channels, size patch, size patch)."""
        p = self.patch
        parts = tokens.view(len(tokens), size, size, p, p, channels)
        return parts.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), channels, size * p, size * p)


def _moved(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def _waves(times: Tensor) -> Tensor:
    half = FREQUENCIES // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, device=times.device) / half)
    angles = times[:, None].float() * rates
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def _places(size: int, width: int) -> Tensor:
    """Return sines and cosines of every patch's column, then row: (1, size^2, width)."""
    quarter = width // 4
    rates = 1 / 10_000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(size, dtype=torch.float64)[:, None] * rates
    waves = torch.cat((angles.sin(), angles.cos()), dim=1)
    columns = waves[None].expand(size, -1, -1)
    return torch.cat((columns, columns.transpose(0, 1)), dim=2).reshape(1, size**2, -1).float()


def load_dit(net: Transformer, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill what a transformer has of DiT's; the rest stays fresh.

    tensors: as read from `path`, under DiT's names. Raises UserError for the first misfit.
    """
    state, names = dict(net.state_dict()), dict(_names(net))
    given = {name: t for name, t in tensors.items() if not name.startswith(UNUSED)}
    for name in sorted(names.keys() | given.keys()):
        there, here = given.get(name), state.get(names.get(name, ""))
        if there is None or here is None or there.shape != here.shape:
            told = ["missing" if each is None else str(tuple(each.shape)) for each in (there, here)]
            raise UserError(
                f"{path} is not the DiT that is asked for: {name!r} is {told[0]} there and "
                f"{told[1]} here."
            )
        state[names[name]] = there.to(torch.float32)
    net.load_state_dict(state)


def _names(net: Transformer) -> Iterator[tuple[str, str]]:
    """Yield DiT's name and ours of every tensor that both have."""
    for end in ("weight", "bias"):
        for theirs, ours in PUBLISHED.items():
            yield f"{theirs}.{end}", f"{ours}.{end}"
        for place in range(len(net.blocks)):
            for theirs, ours in BLOCK.items():
                yield f"blocks.{place}.{theirs}.{end}", f"blocks.{place}.{ours}.{end}"

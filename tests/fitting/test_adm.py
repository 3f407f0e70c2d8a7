"""ADM's weights under diffusers' names: the same function, whatever the weights."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asbench.nets.pretrained import read
from asbench.synthesizers.realnet import ADM_UNET
from asbench.synthesizers.realnet.adm import adm_unet, load_adm
from synth_store import UserError

WIDTH, MULTIPLIERS, LAYERS, HEAD, GROUPS, SIDE = 8, (1, 2, 2), 2, 4, 4, 16
ATTENTION = (8, 4)
PATH = Path("given.pt")


def plan(
    side: int, width: int, multipliers: tuple[int, ...], layers: int, attention: tuple[int, ...]
) -> tuple[dict[str, tuple[int, ...]], list[list[str]], list[list[str]]]:
    """Write down ADM's architecture once more, as its paper has it.

    Returns the shape of every tensor under its published name, and for every input and output
    block the kinds of its modules: conv, res, attn, down, up.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    embed = 4 * width

    def pair(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    def res(name: str, into: int, out: int) -> None:
        pair(f"{name}.in_layers.0", into)
        pair(f"{name}.in_layers.2", out, into, 3, 3)
        pair(f"{name}.emb_layers.1", 2 * out, embed)
        pair(f"{name}.out_layers.0", out)
        pair(f"{name}.out_layers.3", out, out, 3, 3)
        if into != out:
            pair(f"{name}.skip_connection", out, into, 1, 1)

    def attn(name: str, channels: int) -> None:
        pair(f"{name}.norm", channels)
        pair(f"{name}.qkv", 3 * channels, channels, 1)
        pair(f"{name}.proj_out", channels, channels, 1)

    pair("time_embed.0", embed, width)
    pair("time_embed.2", embed, embed)
    shapes["label_emb.weight"] = (1000, embed)
    pair("input_blocks.0.0", width, 3, 3, 3)
    inputs, channels, skips = [["conv"]], width, [width]
    for level, multiplier in enumerate(multipliers):
        for _ in range(layers):
            block = f"input_blocks.{len(inputs)}"
            res(f"{block}.0", channels, width * multiplier)
            channels, kinds = width * multiplier, ["res"]
            if side >> level in attention:
                attn(f"{block}.1", channels)
                kinds.append("attn")
            inputs.append(kinds)
            skips.append(channels)
        if level + 1 < len(multipliers):
            res(f"input_blocks.{len(inputs)}.0", channels, channels)
            inputs.append(["down"])
            skips.append(channels)
    res("middle_block.0", channels, channels)
    attn("middle_block.1", channels)
    res("middle_block.2", channels, channels)
    outputs: list[list[str]] = []
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for layer in range(layers + 1):
            block, kinds = f"output_blocks.{len(outputs)}", ["res"]
            res(f"{block}.0", channels + skips.pop(), width * multiplier)
            channels = width * multiplier
            if side >> level in attention:
                attn(f"{block}.1", channels)
                kinds.append("attn")
            if level and layer == layers:
                res(f"{block}.{len(kinds)}", channels, channels)
                kinds.append("up")
            outputs.append(kinds)
    pair("out.0", channels)
    pair("out.2", 6, channels, 3, 3)
    return shapes, inputs, outputs


def forward(
    w: Mapping[str, Tensor],
    inputs: list[list[str]],
    outputs: list[list[str]],
    x: Tensor,
    times: Tensor,
    classes: Tensor,
) -> Tensor:
    """Compute ADM's function from its tensors, by the paper's description."""
    half = WIDTH // 2
    angles = times[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
    emb = torch.cat((angles.cos(), angles.sin()), dim=1)
    emb = F.linear(emb, w["time_embed.0.weight"], w["time_embed.0.bias"])
    emb = F.linear(F.silu(emb), w["time_embed.2.weight"], w["time_embed.2.bias"])
    emb = emb + classes

    def norm(name: str, h: Tensor) -> Tensor:
        return F.group_norm(h, GROUPS, w[f"{name}.weight"], w[f"{name}.bias"])

    def conv(name: str, h: Tensor) -> Tensor:
        kernel = w[f"{name}.weight"]
        return F.conv2d(h, kernel, w[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def res(name: str, h: Tensor, kind: str) -> Tensor:
        inner = F.silu(norm(f"{name}.in_layers.0", h))
        if kind == "down":
            h, inner = F.avg_pool2d(h, 2), F.avg_pool2d(inner, 2)
        if kind == "up":
            h, inner = (t.repeat_interleave(2, 2).repeat_interleave(2, 3) for t in (h, inner))
        inner = conv(f"{name}.in_layers.2", inner)
        out = F.linear(
            F.silu(emb), w[f"{name}.emb_layers.1.weight"], w[f"{name}.emb_layers.1.bias"]
        )
        scale, shift = out[:, :, None, None].chunk(2, dim=1)
        inner = norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        inner = conv(f"{name}.out_layers.3", F.silu(inner))
        if f"{name}.skip_connection.weight" in w:
            h = conv(f"{name}.skip_connection", h)
        return h + inner

    def attn(name: str, h: Tensor) -> Tensor:
        count, channels, height, width = h.shape
        flat = norm(f"{name}.norm", h).flatten(2)
        qkv = F.conv1d(flat, w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"])
        attended = []
        for head in qkv.split(3 * HEAD, dim=1):
            q, k, v = head.split(HEAD, dim=1)
            weight = torch.softmax(torch.einsum("nct,ncs->nts", q, k) / HEAD**0.5, dim=2)
            attended.append(torch.einsum("nts,ncs->nct", weight, v))
        out = F.conv1d(
            torch.cat(attended, 1), w[f"{name}.proj_out.weight"], w[f"{name}.proj_out.bias"]
        )
        return h + out.view(count, channels, height, width)

    def run(block: str, kinds: list[str], h: Tensor) -> Tensor:
        for place, kind in enumerate(kinds):
            name = f"{block}.{place}"
            if kind == "conv":
                h = conv(name, h)
            else:
                h = attn(name, h) if kind == "attn" else res(name, h, kind)
        return h

    h, skips = x, []
    for number, kinds in enumerate(inputs):
        h = run(f"input_blocks.{number}", kinds, h)
        skips.append(h)
    h = run("middle_block", ["res", "attn", "res"], h)
    for number, kinds in enumerate(outputs):
        h = run(f"output_blocks.{number}", kinds, torch.cat((h, skips.pop()), dim=1))
    return conv("out.2", F.silu(norm("out.0", h)))


def small() -> torch.nn.Module:
    return adm_unet(
        SIDE,
        WIDTH,
        MULTIPLIERS,
        ATTENTION,
        layers=LAYERS,
        groups=GROUPS,
        head_channels=HEAD,
        classes=3,
    )


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes, _, _ = plan(SIDE, WIDTH, MULTIPLIERS, LAYERS, ATTENTION)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def test_the_loaded_network_computes_what_adm_does() -> None:
    """Queries, keys and values, scale and shift, time's sines: any mix-up would show."""
    given = weights()
    _, inputs, outputs = plan(SIDE, WIDTH, MULTIPLIERS, LAYERS, ATTENTION)
    net = small().eval()
    embedding = net.class_embedding.weight.detach().clone()
    load_adm(net, given, PATH)
    assert torch.equal(net.class_embedding.weight, embedding)
    x = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    times, labels = torch.tensor([0, 17, 950]), torch.tensor([2, 0, 1])
    with torch.no_grad():
        found = net(x, times, labels).sample
        expected = forward(given, inputs, outputs, x, times, embedding[labels])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_published_file_has_a_place_for_every_tensor_and_none_is_left() -> None:
    """At full size, on the meta device: 554 million parameters."""
    shapes, _, _ = plan(256, 256, ADM_UNET["multipliers"], 2, ADM_UNET["attention"])
    with torch.device("meta"):
        net = adm_unet(256, **ADM_UNET, classes=1000)
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
        load_adm(net, tensors, PATH)
    assert sum(p.numel() for p in net.parameters()) == 553_838_086
    assert sum(math.prod(s) for s in shapes.values()) == 553_838_086


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"out.2.bias": None}, "'out.2.bias' is missing"),
        ({"out.2.weight": torch.zeros(3, 8, 3, 3)}, r"'out.2.weight' is \(3, 8, 3, 3\), not \(6"),
        ({"middle_block.1.qkv.weight": torch.zeros(48, 16)}, "middle_block.1.qkv.weight"),
        ({"encoder.pos": torch.zeros(3)}, "it has 'encoder.pos'"),
    ],
)
def test_weights_of_another_network_are_refused(
    change: dict[str, Tensor | None], told: str
) -> None:
    given = {name: t for name, t in (weights() | change).items() if t is not None}
    with pytest.raises(UserError, match=rf"given.pt is not the ADM U-Net .*{told}"):
        load_adm(small(), given, PATH)


def test_a_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"out.2.bias": Harmful()}, tmp_path / "256x256_diffusion.pt")
    with pytest.raises(UserError, match="is not a readable file of weights"):
        read(tmp_path / "256x256_diffusion.pt")
    assert not (tmp_path / "harm").exists()


def test_half_precision_and_a_file_are_read(tmp_path: Path) -> None:
    given = {name: t.half() for name, t in weights().items()}
    torch.save(given, tmp_path / "weights.pt")
    net = small()
    load_adm(net, read(tmp_path / "weights.pt"), tmp_path / "weights.pt")
    assert net.conv_in.weight.dtype == torch.float32
    assert torch.equal(net.conv_in.weight, given["input_blocks.0.0.weight"].float())

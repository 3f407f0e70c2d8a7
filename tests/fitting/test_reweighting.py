"""Adaptive attention re-weighting: its factors, and attention with and without it."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.synthesizers.anomalydiffusion.reweighting import (
    ReweightedAttention,
    Reweighting,
    dilated,
    factors,
)


def attention() -> tuple[Attention, torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Attention(query_dim=16, cross_attention_dim=8, heads=2, dim_head=8)
    queries = torch.randn(3, 36, 16, generator=chance)
    return layer, queries, torch.randn(3, 7, 8, generator=chance)


def test_factors_of_one_are_plain_attention() -> None:
    layer, queries, words = attention()
    layer.set_processor(AttnProcessor2_0())
    expected = layer(queries, words)
    layer.set_processor(ReweightedAttention())
    torch.testing.assert_close(layer(queries, words), expected)
    ones = Reweighting(torch.ones(3, 1, 12, 12), (0, 2, 3))
    torch.testing.assert_close(layer(queries, words, reweighting=ones), expected)


def test_self_attention_is_left_alone() -> None:
    chance = torch.Generator().manual_seed(0)
    layer = Attention(query_dim=16, heads=2, dim_head=8, processor=ReweightedAttention())
    queries = torch.randn(2, 16, 16, generator=chance)
    strong = Reweighting(torch.full((2, 1, 4, 4), 1.5), (0, 1))
    assert torch.equal(layer(queries, reweighting=strong), layer(queries))


def test_the_logits_of_the_named_words_are_multiplied() -> None:
    """Against attention written out query by query."""
    layer, queries, words = attention()
    layer.set_processor(ReweightedAttention())
    chance = torch.Generator().manual_seed(2)
    w = 1 + 0.5 * torch.rand(3, 1, 6, 6, generator=chance)
    found = layer(queries, words, reweighting=Reweighting(w, (0, 4, 5)))
    expected = torch.zeros(3, 36, 16)
    for n in range(3):
        for head in range(2):
            part = slice(8 * head, 8 * head + 8)
            q, k, v = (
                net(x)[n, :, part]
                for net, x in (
                    (layer.to_q, queries),
                    (layer.to_k, words),
                    (layer.to_v, words),
                )
            )
            for place in range(36):
                logits = (k @ q[place]) / 8**0.5
                logits[[0, 4, 5]] = logits[[0, 4, 5]] * w[n, 0, place // 6, place % 6]
                expected[n, place, part] = torch.softmax(logits, 0) @ v
    torch.testing.assert_close(found, layer.to_out[0](expected), rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 7), st.floats(0, 3))
def test_factors_lie_in_their_range_and_are_one_outside(
    seed: int, size: int, spread: float
) -> None:
    chance = torch.Generator().manual_seed(seed)
    clean = torch.randn(2, 4, 8, 8, generator=chance)
    x = clean + spread * torch.randn(2, 4, 8, 8, generator=chance)
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, :size, :size] = 1
    found = factors(x, clean, masks)
    assert found.min() >= 1
    assert found.max() <= 1.5
    assert (found[masks == 0] == 1).all()


def test_words_weigh_more_where_the_normal_still_shows() -> None:
    """Equation: |m| g / sum g with g = 1 / d, clipped."""
    clean, masks = torch.zeros(1, 4, 2, 2), torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    x = torch.tensor([[1.0, 1.2], [2.0, 9.0]]).expand(1, 4, 2, 2)
    found = factors(x, clean, masks)[0, 0]
    g = torch.tensor([1 / 1.0, 1 / 1.44, 1 / 4])
    expected = (3 * g / g.sum()).clamp(1, 1.5)
    torch.testing.assert_close(found.flatten()[:3], expected)
    assert found[1, 1] == 1


@pytest.mark.parametrize(
    ("time", "walk", "side"), [(981, 200, 17), (481, 200, 9), (1, 200, 1), (481, 50, 19)]
)
def test_the_mask_shrinks_to_itself(time: int, walk: int, side: int) -> None:
    """At 32 x 32 the square's radius is floor((t + 100) 8 / 1000), 16 for a walk of 50."""
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 16, 16] = 1
    assert dilated(mask, time, walk).sum() == side**2

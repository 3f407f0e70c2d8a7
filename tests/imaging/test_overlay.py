"""Where Perlin masks fall, and what is blended in through them."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.imaging import overlay
from asbench.imaging.overlay import blend, check_parameters, draw_region, on_object
from asbench.imaging.perlin import draw_mask
from synth_store.rng import address_rng
from synth_store.types import Mask, UserError

WITHIN = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""


def square(side: int, top: int, left: int, length: int) -> Mask:
    mask = np.zeros((side, side), np.bool_)
    mask[top : top + length, left : left + length] = True
    return mask


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_rule_for_all_samples_draws_nothing(share: float) -> None:
    rng = address_rng("overlay")
    before = rng.bit_generator.state
    assert on_object(share, rng) is bool(share)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_rule_for_some_samples_holds_for_their_share(share: float) -> None:
    rng = address_rng("overlay", "share")
    held = np.mean([on_object(share, rng) for _ in range(4000)])
    assert abs(held - share) < WITHIN * (share * (1 - share) / 4000) ** 0.5


def test_without_a_rule_the_mask_is_the_first_that_is_not_empty() -> None:
    redrawn = 0
    for index in range(100):
        rng, again = (address_rng("overlay", index) for _ in range(2))
        mask = draw_region(48, 32, rng)
        expected = draw_mask(48, 32, again)
        while not expected.any():
            expected = draw_mask(48, 32, again)
            redrawn += 1
        assert mask is not None
        assert np.array_equal(mask, expected)
        assert rng.bit_generator.state == again.bit_generator.state
    assert redrawn > 0


def test_a_mask_within_is_the_perlin_mask_cut_down() -> None:
    within = square(64, 20, 24, 24)
    found = 0
    for index in range(200):
        mask = draw_region(64, 64, address_rng("cut", index), within=within)
        assert mask is not None
        assert not (mask & ~within).any()
        first = draw_mask(64, 64, address_rng("cut", index)) & within
        if first.any():
            assert np.array_equal(mask, first)
            found += 1
    # 88 % of plain masks meet a square this large in the middle.
    assert 150 < found < 200
    assert within.sum() == 24 * 24, "the foreground was written into"


def test_a_foreground_of_less_than_a_hundredth_restricts_nothing() -> None:
    below, above = square(100, 40, 40, 9), square(100, 40, 40, 10)
    assert below.mean() < 0.01 <= above.mean()
    anywhere = [draw_region(100, 100, address_rng("s", i)) for i in range(20)]
    for expected, index in zip(anywhere, range(20), strict=True):
        mask = draw_region(100, 100, address_rng("s", index), within=below)
        assert np.array_equal(mask, expected)
        nothing = draw_region(100, 100, address_rng("s", index), within=np.zeros_like(below))
        assert np.array_equal(nothing, expected)
        kept = draw_region(100, 100, address_rng("s", index), within=above)
        assert kept is not None
        assert not (kept & ~above).any()


def test_a_mask_that_stays_empty_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def outside(height: int, width: int, rng: np.random.Generator, **_: object) -> Mask:
        calls.append(1)
        return square(64, 0, 0, 10)

    monkeypatch.setattr(overlay, "draw_mask", outside)
    assert draw_region(64, 64, address_rng("o"), within=square(64, 30, 30, 20)) is None
    assert len(calls) == overlay.MASK_DRAWS
    assert draw_region(64, 64, address_rng("o")) is not None


def test_masks_reach_a_hundredth_of_the_image_in_the_middle() -> None:
    """The figure that `MASK_DRAWS` rests on: 39 % of masks meet 1 % of the image at its centre."""
    rng, within = address_rng("reach"), square(128, 58, 58, 13)
    met = np.mean([(draw_mask(128, 128, rng) & within).any() for _ in range(1000)])
    assert 0.32 < met < 0.44


@pytest.mark.parametrize("beta", [0.0, 0.35, 0.8])
def test_blend_against_the_formula(beta: float) -> None:
    rng = address_rng("blend")
    normal, source = rng.integers(0, 256, (2, 24, 40, 3), dtype=np.uint8)
    mask = rng.random((24, 40)) < 0.3
    before = normal.copy()
    image = blend(normal, source, mask, beta)
    assert image is not None
    exact = np.where(mask[..., None], beta * normal + (1 - beta) * source.astype(float), normal)
    assert np.abs(image - exact).max() <= 0.5 + 1e-4
    assert np.array_equal(image[~mask], normal[~mask])
    assert np.array_equal(normal, before)
    assert not np.shares_memory(image, normal)


def test_a_blend_that_shows_nothing_is_none() -> None:
    grey = np.full((16, 16, 3), 90, np.uint8)
    everywhere = np.ones((16, 16), np.bool_)
    assert blend(grey, grey, everywhere, 0.2) is None
    assert blend(grey, np.full_like(grey, 100), everywhere, 0.9) is None
    assert blend(grey, np.full_like(grey, 255), ~everywhere, 0.2) is None
    assert blend(grey, np.full_like(grey, 100), everywhere, 0.2) is not None


@pytest.mark.parametrize(
    ("exponents", "threshold", "foreground", "match"),
    [
        ((-1, 5), 0.5, 0.0, "exponent_low=-1"),
        ((4, 3), 0.5, 0.0, "exponent_low <= exponent_high"),
        ((0, 11), 0.5, 0.0, "exponent_high=11"),
        ((0, 5), 1.0, 0.0, "threshold=1.0"),
        ((0, 5), 0.5, -0.1, "foreground=-0.1"),
        ((0, 5), 0.5, 2.0, "foreground=2.0"),
    ],
)
def test_parameters_out_of_range_are_named(
    exponents: tuple[int, int], threshold: float, foreground: float, match: str
) -> None:
    with pytest.raises(UserError, match=f"mine: .*{match}"):
        check_parameters("mine", exponents, threshold, foreground)

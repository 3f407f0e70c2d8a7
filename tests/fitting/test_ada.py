"""Adaptive augmentation: how often, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asbench.synthesizers.dfmgan.ada import adjusted, augment, colour, geometry


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_never_augmented_is_untouched() -> None:
    images = torch.randn(4, 3, 16, 16, generator=generator())
    assert augment(images, 0.0, generator()) is images


def test_each_transform_happens_with_its_probability() -> None:
    """A flip in half of its draws, a turn in three quarters; two rotations together in p."""
    p, count = 0.2, 20_000
    moves = geometry(count, p, generator())
    still = (moves - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-6
    expected = (1 - p / 2) * (1 - 0.75 * p) * (1 - p) ** 5
    assert still.float().mean().item() == pytest.approx(expected, abs=0.015)
    matrix, offset = colour(count, p, generator())
    same = ((matrix - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-6) & (offset == 0).all(dim=1)
    assert same.float().mean().item() == pytest.approx((1 - p) ** 3, abs=0.015)


def test_geometry_keeps_a_constant_and_colour_keeps_grey_grey() -> None:
    flat = torch.linspace(-0.5, 0.5, 8).reshape(8, 1, 1, 1).expand(8, 3, 16, 16).contiguous()
    seen = augment(flat, 1.0, generator())
    assert seen.shape == flat.shape
    assert (seen.amax(dim=(1, 2, 3)) - seen.amin(dim=(1, 2, 3))).max() < 1e-5
    assert not torch.allclose(seen, flat)


def test_flips_and_turns_are_exact_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(4, 3, 8, 8, generator=generator())
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    monkeypatch.setattr(
        "asbench.synthesizers.dfmgan.ada.colour",
        lambda n, *_: (torch.eye(3).expand(n, 3, 3), torch.zeros(n, 3)),
    )
    for matrix, expected in ((turn, images.rot90(1, (2, 3))), (mirror, images.flip(3))):
        monkeypatch.setattr(
            "asbench.synthesizers.dfmgan.ada.geometry", lambda n, *_, m=matrix: m.expand(n, 3, 3)
        )
        torch.testing.assert_close(
            augment(images, 1.0, generator()), expected, rtol=1e-4, atol=1e-4
        )


def test_a_generator_decides_all_of_it() -> None:
    images = torch.randn(4, 3, 16, 16, generator=generator())
    first, again, other = (augment(images, 0.8, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients_pass_through() -> None:
    images = torch.randn(4, 3, 16, 16, generator=generator()).requires_grad_(True)
    augment(images, 1.0, generator()).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0


def test_probability_moves_by_one_in_so_many_images() -> None:
    p = torch.tensor(0.25)
    rising, falling = torch.tensor(0.9), torch.tensor(0.1)
    assert adjusted(p, rising, 64, 100).item() == pytest.approx(0.25 + 64 / 100_000)
    assert adjusted(p, falling, 64, 100).item() == pytest.approx(0.25 - 64 / 100_000)
    for _ in range(500):
        p = adjusted(p, falling, 64, 100)
    assert p.item() == 0
    steps = int(np.ceil(100_000 / 64))
    for _ in range(steps):
        p = adjusted(p, rising, 64, 100)
    assert p.item() == pytest.approx(1, abs=0.01)

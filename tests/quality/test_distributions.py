"""FID, KID and IS of given features equal torchmetrics and sums written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from asbench.quality import distributions
from asbench.quality.distributions import (
    directions,
    effective_number,
    frechet_distance,
    inception_score,
    kernel_distance,
    mean_distance,
    nearest_distances,
)

RNG = np.random.default_rng(5)
A, B = RNG.normal(0, 1, (90, 6)), RNG.normal(0.3, 1.4, (70, 6))


def test_fid_is_the_distance_of_two_normal_distributions() -> None:
    one, two = np.cov(A.T), np.cov(B.T)
    root = linalg.sqrtm(one @ two).real
    expected = ((A.mean(0) - B.mean(0)) ** 2).sum() + np.trace(one + two - 2 * root)
    assert frechet_distance(A, B) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(A, A) == pytest.approx(0, abs=1e-9)


def test_fid_of_a_network_is_torchmetrics() -> None:
    class Net(nn.Module):
        num_features = 5

        def forward(self, images: Tensor) -> Tensor:
            return images.double().mean((2, 3)) @ torch.arange(15.0).double().sin().view(3, 5)

    images = torch.randint(0, 255, (2, 12, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    metric = FrechetInceptionDistance(Net())
    metric.update(images[0].byte(), real=True)
    metric.update(images[1].byte(), real=False)
    features = [Net()(some).numpy() for some in images]
    assert frechet_distance(*features) == pytest.approx(float(metric.compute()), rel=1e-6)


def unbiased_mmd(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    m = len(x)
    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


def test_kid_is_the_unbiased_mmd() -> None:
    mean, spread, size = kernel_distance(A[:40], B[:40])  # every subset is the whole set
    assert size == 40
    assert mean == pytest.approx(unbiased_mmd(A[:40], B[:40]), rel=1e-9)
    assert spread == pytest.approx(0, abs=1e-9)


def test_kid_of_subsets_repeats_with_its_seed_and_leaves_chance_alone() -> None:
    before = torch.get_rng_state()
    one, again, other = (kernel_distance(A, B, seed) for seed in (1, 1, 2))
    assert one == again
    assert one[0] != other[0]
    assert one[2] == distributions.KID_SUBSET
    assert torch.equal(torch.get_rng_state(), before)
    # The mean over subsets is unbiased for the mean over all pairs of points.
    xx, yy, xy = ((a @ b.T / 6 + 1) ** 3 for a, b in ((A, A), (B, B), (A, B)))
    n, m = len(A), len(B)
    whole = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    assert one[0] == pytest.approx(whole - 2 * xy.mean(), abs=4 * one[1] / 10)


def test_is_is_the_exponential_of_mean_information() -> None:
    p = np.exp(A) / np.exp(A).sum(1, keepdims=True)
    expected = np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    mean, spread, parts = inception_score(A)
    assert parts == 1
    assert mean == pytest.approx(expected, rel=1e-9)
    assert np.isnan(spread)


def test_is_of_many_has_ten_parts() -> None:
    logits = np.log(np.eye(5)[np.arange(500) % 5] + 1e-9)
    mean, spread, parts = inception_score(logits)
    assert parts == 10
    assert mean == pytest.approx(5, rel=0.1)
    assert spread > 0


def test_the_effective_number_counts_what_differs() -> None:
    assert effective_number(np.eye(7)) == pytest.approx(7)
    assert effective_number(np.tile([[0.6, 0.8]], (9, 1))) == pytest.approx(1)
    assert effective_number(np.repeat(np.eye(4), 5, axis=0)) == pytest.approx(4)


def test_distances_are_those_of_every_pair() -> None:
    vectors = directions(A, B.mean(0))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    pairs = [1 - a @ b for i, a in enumerate(vectors) for b in vectors[:i]]
    assert mean_distance(vectors) == pytest.approx(np.mean(pairs))
    assert (directions(A[:1], A[0]) == 0).all()


def test_the_nearest_is_the_nearest() -> None:
    expected = [min(np.linalg.norm(a - b) for b in B) for a in A]
    np.testing.assert_allclose(nearest_distances(A, B), expected, rtol=1e-9)
    np.testing.assert_allclose(nearest_distances(A, A), 0, atol=1e-6)

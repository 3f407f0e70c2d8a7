"""Metrics of sets: FID, KID and IS through torchmetrics; how many, how varied, how near.

All take features, float64 (n, C), so that images go through a network once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asbench.nets.seeds import private_rng, seed_rng

Floats = npt.NDArray[np.float64]

KID_SUBSETS = 100
KID_SUBSET = 50
"""Images in one of KID's subsets, or all of the smaller set where it has fewer."""
IS_SPLIT_FROM = 500
"""Samples from which the inception score is the mean of ten parts, as published; else of one."""


def frechet_distance(a: Floats, b: Floats) -> float:
    """Return the squared Fréchet distance of two sets, each fitted by a normal distribution.

    At least 2 of each. Fewer samples than channels leave the covariances rank-deficient; the value
    is biased upwards, the more the fewer there are: compare at equal n only.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_Given(a.shape[1]))
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    return float(metric.compute())


def kernel_distance(a: Floats, b: Floats, seed: int = 0) -> tuple[float, float, int]:
    """Return mean and deviation over random subsets of the unbiased MMD^2, and the subsets' size.

    Kernel (x.y / C + 1)^3. Source: Binkowski et al., Demystifying MMD GANs, 2018.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KID_SUBSET, len(a), len(b))
    with _own_chance(seed):
        metric = KernelInceptionDistance(_Given(a.shape[1]), subsets=KID_SUBSETS, subset_size=size)
        metric.update(torch.from_numpy(a), real=True)
        metric.update(torch.from_numpy(b), real=False)
        mean, spread = metric.compute()
    return float(mean), float(spread), size


def inception_score(logits: Floats, seed: int = 0) -> tuple[float, float, int]:
    """Return mean and deviation over parts of exp(mean KL(p(y|x) || p(y))), and how many parts.

    logits: (n, K). One part has no deviation: NaN. Source: Salimans et al., Improved techniques
    for training GANs, 2016.
    """
    from torchmetrics.image.inception import InceptionScore

    splits = 10 if len(logits) >= IS_SPLIT_FROM else 1
    with _own_chance(seed):
        metric = InceptionScore(_Given(logits.shape[1]), splits=splits)
        metric.update(torch.from_numpy(logits))
        mean, spread = metric.compute()
    return float(mean), float(spread), splits


def directions(features: Floats, origin: Floats) -> Floats:
    """Return unit vectors (n, C) from `origin` (C,) to the features: what is new, not how much."""
    away = features - origin
    length = np.linalg.norm(away, axis=1, keepdims=True)
    vectors: Floats = away / np.where(length > 0, length, 1)
    return vectors


def effective_number(vectors: Floats) -> float:
    """Return the Vendi score of unit vectors (n, C): how many different ones they amount to, 1..n.

    exp of the entropy of the eigenvalues of their cosine similarities divided by n. Source:
    Friedman and Dieng, The Vendi score, TMLR 2023.
    """
    n = len(vectors)
    gram = vectors @ vectors.T if n <= vectors.shape[1] else vectors.T @ vectors
    values = np.linalg.eigvalsh(gram / n)
    values = values[values > 1e-12]
    values = values / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def mean_distance(vectors: Floats) -> float:
    """Return the mean cosine distance of two of n >= 2 unit vectors, 0..2."""
    n = len(vectors)
    total = float(np.square(vectors.sum(axis=0)).sum() - np.square(vectors).sum())
    return 1 - total / (n * (n - 1))


def nearest_distances(features: Floats, references: Floats) -> Floats:
    """Return the Euclidean distance (n,) of every feature to the nearest of the references."""
    squares = (features**2).sum(1)[:, None] + (references**2).sum(1) - 2 * features @ references.T
    distances: Floats = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return distances


class _Given(nn.Module):
    """Lets torchmetrics take features that were computed before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = channels

    def forward(self, features: Tensor) -> Tensor:
        return features


@contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """Seed the global generator that torchmetrics draws from, and give it back."""
    with private_rng(), warnings.catch_warnings():
        # That features are kept in memory, and that one part has no deviation: both known.
        warnings.filterwarnings("ignore", "Metric `", UserWarning)
        warnings.filterwarnings("ignore", "std.*: degrees of freedom", UserWarning)
        seed_rng(seed)
        yield

"""A trial trains what a training would, from distances that were measured once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from asbench.advising.trial import Bench, Shown, Trial, judged, single, try_all
from asbench.detectors import build
from asbench.detectors.memory import Memory
from asbench.nets.features import FeatureBatch, Features
from asbench.progress import quiet
from asbench.types import Interrupted
from synth_store import Mix


def shown(count: int, marked: bool, seed: int) -> Shown:
    """Return random features of 64 px images; where marked, a corner of each is far from usual."""
    rng = torch.Generator().manual_seed(seed)
    fine = torch.randn((count, 8, 8, 40), generator=rng).half()
    coarse = torch.randn((count, 4, 4, 112), generator=rng).half()
    share = torch.zeros((count, 8, 8))
    if marked:
        share[:, :4, :4] = 1
        fine[:, :4, :4] += 4
        coarse[:, :2, :2] += 4
    source = torch.arange(count) if not marked else torch.arange(count) % 5
    return Shown(Features(fine, coarse), share, source)


@pytest.fixture(scope="module")
def trial() -> Trial:
    samples = {
        name: (shown(6, True, seed), shown(4, True, seed + 1))
        for name, seed in (("a", 10), ("b", 20), ("c", 30))
    }
    return Trial(shown(8, False, 1), shown(5, False, 2), samples, None)


def test_every_method_finds_the_others_and_all_repeats(trial: Trial) -> None:
    evidence = try_all([Bench.of(trial, seed, 8) for seed in (0, 1)], quiet)
    assert evidence.methods == ("a", "b", "c")
    assert evidence.of.tolist() == [-1] * 5 + [0] * 4 + [1] * 4 + [2] * 4
    assert evidence.memory.shape == (2, 17)
    assert evidence.head.shape == evidence.both.shape == (2, 3, 17)
    assert (evidence.cross > 0.9).all()
    assert (evidence.by_memory > 0.9).all()
    assert (evidence.unusual > 3).all()
    again = try_all([Bench.of(trial, seed, 8) for seed in (0, 1)], quiet)
    assert (again.both == evidence.both).all()


def test_given_distances_teach_what_measured_ones_do(trial: Trial) -> None:
    memory = Bench.of(trial, 0, 1).memory
    normals = trial.normals
    bench = Bench.of(trial, 0, 1)
    at = torch.tensor([0, 3, 5])
    batches = [
        FeatureBatch(normals.features.chosen(at), torch.full((3, 8, 8), 0.9), at, distance)
        for distance in (None, bench.near[at])
    ]
    memory.head.eval()
    measured, given = (memory.learn(batch) for batch in batches)
    assert float(given.detach()) == pytest.approx(float(measured.detach()), rel=1e-5)


def test_what_is_judged_at_once_is_what_the_detector_says(trial: Trial) -> None:
    bench = Bench.of(trial, 3, 4)
    head = bench.head(Mix((("a", Fraction(1, 2)), ("b", Fraction(1, 2)))))
    some = trial.samples["c"][1]
    said = judged(bench.memory, [head, bench.head(single("a"))], some)
    with torch.inference_mode():
        maps, scores = head.maps_and_scores_of(some.features)
        cells = head.judge(some.features)
    np.testing.assert_allclose(said.both[0], scores.numpy(), rtol=1e-4)
    np.testing.assert_allclose(said.cells[0], cells.numpy(), rtol=1e-3, atol=1e-3)
    assert maps.shape == (4, 64, 64)


def test_a_head_leaves_the_bench_as_it_is(trial: Trial) -> None:
    bench = Bench.of(trial, 0, 3)
    before = {name: value.clone() for name, value in bench.memory.state_dict().items()}
    bench.head(single("b"))
    assert all(torch.equal(before[k], v) for k, v in bench.memory.state_dict().items())
    fresh = build("memory", 0, {"backbone_name": "random"})
    assert isinstance(fresh, Memory)
    assert torch.equal(fresh.head[0].weight, bench.memory.head[0].weight)


def test_it_can_be_stopped_between_two_heads(trial: Trial) -> None:
    with pytest.raises(Interrupted, match="the same command"):
        try_all([Bench.of(trial, 0, 1)], quiet, lambda: True)

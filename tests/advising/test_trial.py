"""A trial trains what a training would, from distances that were measured once."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from asbench.advising.kept import Kept
from asbench.advising.trial import Bench, Shown, Trial, judged, single, try_all
from asbench.detectors import build
from asbench.detectors.memory import Memory
from asbench.nets.coreset import Nearest
from asbench.nets.features import FeatureBatch, Features
from asbench.progress import quiet
from asbench.types import Interrupted
from synth_store import Mix, UserError


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


def test_what_is_known_to_be_nearest_teaches_what_is_found_to_be(trial: Trial) -> None:
    memory = Bench.of(trial, 0, 1).memory
    normals = trial.normals
    bench = Bench.of(trial, 0, 1)
    at = torch.tensor([0, 3, 5])
    batches = [
        FeatureBatch(normals.features.chosen(at), torch.full((3, 8, 8), 0.9), at, nearest)
        for nearest in (None, Nearest(*(of[at] for of in bench.near)))
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


def test_what_was_learned_is_not_learned_again(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = try_all([Bench.of(trial, seed, 8) for seed in (0, 1)], quiet)
    asked = iter([False] * 4 + [True])
    benches = [Bench.of(trial, seed, 8, Kept(tmp_path)) for seed in (0, 1)]
    with pytest.raises(Interrupted, match="the same command continues"):
        try_all(benches, quiet, lambda: next(asked))
    learned = []
    plain = Bench._learned
    monkeypatch.setattr(Bench, "_learned", lambda *a: (learned.append(a[1]), plain(*a))[1])
    monkeypatch.setattr(Memory, "remember", None)
    monkeypatch.setattr(Memory, "nearest", None)
    benches = [Bench.of(trial, seed, 8, Kept(tmp_path)) for seed in (0, 1)]
    monkeypatch.undo()
    monkeypatch.setattr(Bench, "_learned", lambda *a: (learned.append(a[1]), plain(*a))[1])
    went_on = try_all(benches, quiet)
    assert learned == [single("b"), single("c")]  # of the second seed
    monkeypatch.setattr(Memory, "nearest", None)  # what was judged is not judged again
    again = try_all([Bench.of(trial, seed, 8, Kept(tmp_path)) for seed in (0, 1)], quiet)
    assert (again.both == whole.both).all()
    for part in ("memory", "head", "both", "pixel", "unusual"):
        assert (getattr(went_on, part) == getattr(whole, part)).all(), part


def test_what_follows_from_something_else_is_learned_anew(trial: Trial, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    Bench.of(trial, 0, 2, kept).head(single("a"))
    before = set(tmp_path.iterdir())
    Bench.of(trial, 0, 2, Kept(tmp_path)).head(single("a"))
    assert set(tmp_path.iterdir()) == before
    others = dict(trial.samples) | {"a": trial.samples["b"]}
    other = Trial(trial.normals, trial.kept, others, None)
    for bench in (Bench.of(trial, 0, 3, kept), Bench.of(other, 0, 2, kept)):
        bench.head(single("a"))
        assert len(set(tmp_path.iterdir()) - before) == 1
        before = set(tmp_path.iterdir())
    later = Kept(tmp_path)
    Bench.of(trial, 0, 3, later).head(single("a"))
    later.tidy()
    assert len(list(tmp_path.iterdir())) == len(later.used) == len(before) - 2


def test_what_is_damaged_is_refused(trial: Trial, tmp_path: Path) -> None:
    Bench.of(trial, 0, 2, Kept(tmp_path))
    path = sorted(tmp_path.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="it does not hold what was written"):
        Bench.of(trial, 0, 2, Kept(tmp_path))
    path.write_bytes(content[:40])
    with pytest.raises(UserError, match="delete it and run `asbench advise` again"):
        Bench.of(trial, 0, 2, Kept(tmp_path))


def test_it_can_be_stopped_between_two_heads(trial: Trial) -> None:
    with pytest.raises(Interrupted, match="the same command"):
        try_all([Bench.of(trial, 0, 1)], quiet, lambda: True)

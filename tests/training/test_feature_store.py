"""Trainings on kept features: computed once, and the same run as from those computed afresh."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench import results
from asbench.detectors import build, pretrained_of
from asbench.evaluation.predict import predict, predict_features
from asbench.evaluation.testset import TestSet
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.nets.features import TOGETHER, FeatureDetector
from asbench.training import feature_sampler, feature_store, sampler
from asbench.training import plan as planning
from asbench.training.feature_sampler import Streamed
from asbench.training.feature_store import FeatureStore, looked_at
from asbench.training.train import train
from asbench.types import Interrupted
from synth_store import StoredSet, StoreError, StoreKey, SynthStore, UserError
from synth_store.features import SHARD, entries
from synth_store.selection import FEATURES
from tests.synth_store.making import tree
from tests.synth_store.test_read_only import mounted_so
from tests.toyset import Toys

MIX = "cutout:0.5,cutpaste@asbench:0.5"
CUTOUT = StoreKey("toys", "cutout", 0)
SAMPLES = SHARD + 6


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both stages find the toy data set under its name."""
    for module in (generation, planning):
        monkeypatch.setattr(module, "open_dataset", lambda dataset, **_: Toys())


def make(root: Path, n: int = SAMPLES, seed: int = 0, replace: bool = False) -> None:
    generate(
        "toys",
        ["cutout", "cutpaste@asbench"],
        category="a",
        n=n,
        seed=seed,
        store=root,
        size=32,
        workers=1,
        replace=replace,
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two sets of some more than a shard of features, at 32x32."""
    root = tmp_path_factory.mktemp("toys") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
        make(root)
    return root


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


@pytest.fixture
def detector() -> FeatureDetector:
    torch.manual_seed(1)
    built = build("memory@random", 0, None)
    assert isinstance(built, FeatureDetector)
    return built


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images passed through a backbone, a number for each group."""
    counts: list[int] = []

    def counted(detector: FeatureDetector, images: Any) -> Any:
        counts.append(len(images))
        return looked_at(detector, images)

    monkeypatch.setattr(feature_store, "looked_at", counted)
    return counts


def cutout(root: Path) -> StoredSet:
    return SynthStore.open(root).read(CUTOUT, "a")


def digest(root: Path) -> str:
    """Of every file of features: what they hold, and where."""
    whole = hashlib.sha256()
    for path, data in tree(root).items():
        if FEATURES in Path(path).parts and "c" in Path(path).parts:
            whole.update(path.encode() + data)
    return whole.hexdigest()


def trained(root: Path, runs: Path, **changes: Any) -> Trained:
    told: dict[str, Any] = {
        "detector": "memory@random",
        "settings": {"remembered": 20, "width": 8},
        "steps": 40,
        "batch": 8,
        "device": "cpu",
        "kept_out": 0.2,
    }
    return train("toys", MIX, store=root, runs=runs, **told | changes)


def outcome(run: Trained) -> tuple[Any, ...]:
    """Everything of a run but its times."""
    said = results.read(run.folder)
    weights = run.folder / "model.safetensors"
    return said.decides, said.metrics, said.losses, said.threshold, weights.read_bytes()


def test_features_are_the_same_on_any_number_of_threads(
    detector: FeatureDetector, made: Path, tmp_path: Path
) -> None:
    digests, before = set(), torch.get_num_threads()
    for threads in (1, 3):
        root = Path(shutil.copytree(made, tmp_path / str(threads)))
        torch.set_num_threads(threads)
        try:
            FeatureStore(SynthStore.open(root), detector).of(cutout(root), range(SAMPLES))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        digests.add(digest(root))
    assert len(digests) == 1


def test_features_are_the_same_whatever_was_asked_first_and_wherever_it_was_killed(
    detector: FeatureDetector, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Path(shutil.copytree(made, tmp_path / "killed"))
    whole = FeatureStore(SynthStore.open(made), detector).of(cutout(made), range(SAMPLES))
    features = FeatureStore(SynthStore.open(killed), detector)
    last = features.of(cutout(killed), [SAMPLES - 1])
    assert torch.equal(last.fine, whole.fine[-1:])
    assert torch.equal(last.coarse, whole.coarse[-1:])

    def die(detector: FeatureDetector, images: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(feature_store, "looked_at", die)
        with pytest.raises(KeyboardInterrupt):
            features.of(cutout(killed), range(SAMPLES))
    order = [5, 0, SAMPLES - 1, 5]
    chosen = features.of(cutout(killed), order)
    assert torch.equal(chosen.fine, whole.fine[order])
    assert digest(made) == digest(killed)


def test_two_at_once_write_the_same(detector: FeatureDetector, made: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(made, tmp_path / "alone"))
    FeatureStore(SynthStore.open(alone), detector).of(cutout(alone), range(SAMPLES))
    failed = []

    def work() -> None:
        try:
            FeatureStore(SynthStore.open(made), detector).of(cutout(made), range(SAMPLES))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert digest(made) == digest(alone)


def test_only_what_is_missing_is_looked_at(
    detector: FeatureDetector, made: Path, looked: list[int]
) -> None:
    heard: list[tuple[str, int, int]] = []
    features = FeatureStore(SynthStore.open(made), detector, lambda *said: heard.append(said))
    features.of(cutout(made), [3])
    assert sum(looked) == SHARD
    assert set(looked) == {TOGETHER}
    assert heard[-1] == ("features of toys/cutout/0/a", SHARD, SHARD)
    looked.clear()
    features.of(cutout(made), range(SHARD))
    assert looked == []
    make(made, SAMPLES + SHARD)
    features.of(cutout(made), range(SAMPLES + SHARD))
    assert sum(looked) == SAMPLES  # the full shard stays
    looked.clear()
    make(made, SAMPLES, replace=True)
    features.of(cutout(made), range(SAMPLES))
    assert sum(looked) == SAMPLES


def test_damage_is_said(detector: FeatureDetector, made: Path) -> None:
    features = FeatureStore(SynthStore.open(made), detector)
    features.of(cutout(made), [3])
    (path,) = cutout(made).folder.glob(f"{FEATURES}/*/fine/c/0/0/0/0")
    data = bytearray(Path(str(path)).read_bytes())
    data[100] ^= 1
    Path(str(path)).write_bytes(data)
    with pytest.raises(StoreError, match=r"fine/c/0.*is damaged"):
        features.of(cutout(made), range(SHARD))


def test_it_stops_between_shards_and_goes_on(
    detector: FeatureDetector, made: Path, looked: list[int]
) -> None:
    asked = iter([False, True])
    store = SynthStore.open(made)
    with pytest.raises(Interrupted, match="toys/cutout/0/a"):
        FeatureStore(store, detector, stop=lambda: next(asked)).of(cutout(made), range(SAMPLES))
    before = sum(looked)
    assert before in (SHARD, SAMPLES - SHARD)
    FeatureStore(store, detector).of(cutout(made), range(SAMPLES))
    assert sum(looked) == SAMPLES


@pytest.mark.parametrize("count", [16, 23])
def test_maps_from_features_are_those_from_pixels(
    detector: FeatureDetector, made: Path, count: int
) -> None:
    stored = cutout(made)
    features = FeatureStore(SynthStore.open(made), detector)
    detector.remember(features.of(stored.normals, range(9)), torch.Generator().manual_seed(0))
    maps, scores = predict(detector, (stored[i].image for i in range(count)), "cpu")
    from_features = predict_features(detector, features.of(stored, range(count)), "cpu")
    # Of whole groups to the bit; of fewer, kernels for another batch may round otherwise.
    np.testing.assert_array_equal(from_features[0][:16], maps[:16])
    np.testing.assert_allclose(from_features[0], maps, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(from_features[1], scores, rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="no image"):
        predict_features(detector, features.of(stored, range(4))[:0], "cpu")


@contextmanager
def unkept() -> Iterator[None]:
    """Let a store be one of a disk that is mounted to be read."""
    with pytest.MonkeyPatch.context() as patch, mounted_so(patch):
        yield


@pytest.mark.slow
def test_a_run_is_the_same_from_kept_and_from_fresh_features(
    made: Path, tmp_path: Path, looked: list[int]
) -> None:
    first = trained(made, tmp_path / "first")
    # 7 normals of one shard of 9, two sets and the test images, all of them.
    assert sum(looked) == 9 + 2 * SAMPLES + 10
    stores = digest(made)
    looked.clear()
    second = trained(made, tmp_path / "second")
    assert looked == []
    assert digest(made) == stores
    heard: list[str] = []
    for path in made.rglob(FEATURES):
        shutil.rmtree(path)
    with unkept():
        fresh = trained(made, tmp_path / "fresh", notify=heard.append)
    assert sum(looked) > 0
    assert not list(made.rglob(FEATURES))
    assert any("is only read" in sentence for sentence in heard)
    assert outcome(first) == outcome(second) == outcome(fresh)
    for read in (results.read_table, results.read_kept_out):
        first_rows, *others = (str(read(run.folder)) for run in (first, second, fresh))
        assert others == [first_rows] * 2  # as text, for nan is not nan


@pytest.mark.parametrize("keeps", [True, False])
def test_a_run_is_the_same_from_features_that_do_not_fit_in_memory(
    made: Path, tmp_path: Path, looked: list[int], monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    held = trained(made, tmp_path / "held", steps=6)
    streams: list[Streamed] = []

    class Watched(Streamed):
        def __init__(self, *told: Any) -> None:
            super().__init__(*told)
            streams.append(self)

    monkeypatch.setattr(sampler, "_memory", lambda _: 0)
    monkeypatch.setattr(feature_sampler, "Streamed", Watched)
    looked.clear()
    if keeps:
        streamed = trained(made, tmp_path / "streamed", steps=6)
        assert looked == []
    else:
        for path in made.rglob(FEATURES):
            shutil.rmtree(path)
        with unkept():
            streamed = trained(made, tmp_path / "streamed", steps=6)
    assert len(streams) == 1
    assert outcome(held) == outcome(streamed)


@pytest.mark.slow
def test_a_training_that_is_stopped_while_it_looks_goes_on(made: Path, tmp_path: Path) -> None:
    whole = trained(made, tmp_path / "whole", ratio=1.0)
    for path in made.rglob(FEATURES):
        shutil.rmtree(path)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="the same command continues"):
        trained(made, tmp_path / "runs", ratio=1.0, stop=lambda: next(asked))
    assert outcome(trained(made, tmp_path / "runs", ratio=1.0)) == outcome(whole)


@pytest.mark.slow
def test_changed_test_images_are_looked_at_anew(
    made: Path, tmp_path: Path, looked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(made, tmp_path / "runs")
    looked.clear()
    monkeypatch.setattr(TestSet, "digest", lambda self: "f" * 64)
    trained(made, tmp_path / "runs")
    assert sum(looked) == 10


def test_the_key_names_the_weights_that_were_given(made: Path) -> None:
    given = pretrained_of("memory", None, None)
    assert given is not None
    detector = build("memory", 0, None)
    assert isinstance(detector, FeatureDetector)
    detector.load_backbone(given.tensors)
    FeatureStore(SynthStore.open(made), detector).of(cutout(made), [0])
    (entry,) = entries(SynthStore.open(made), cutout(made).folder)
    assert entry.name == f"lite0-{given.digest[:12]}"


@pytest.mark.skipif(
    find_spec("timm") is None, reason="needs the extra timm: pip install 'asbench[timm]'"
)
def test_a_run_on_a_network_of_timms_needs_its_weights_once(made: Path, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    path = tmp_path / "any.pth"
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    runs = {}
    for name in ("timm:test_resnet", "timm:test_resnet/8"):
        told = {"remembered": 20, "width": 8, "backbone_name": name}
        runs[name] = trained(
            made,
            tmp_path / "runs",
            detector="memory",
            settings=told,
            weights={"timm:test_resnet": path},
            steps=2,
        )
    path.unlink()
    whole, fewer = runs.values()
    assert whole.run.environment["pretrained"]["timm"] == timm.__version__
    assert whole.run.decides["weights"] == fewer.run.decides["weights"]
    assert whole.run.decides != fewer.run.decides
    names = [entry.name for entry in entries(SynthStore.open(made), cutout(made).folder)]
    assert {name.rpartition("-")[0] for name in names} == {
        "timm-test_resnet",
        "timm-test_resnet-8",
    }
    stored = cutout(made)
    for run in runs.values():
        assert run.predict(stored[0].image).map.shape == (32, 32)

"""A whole run on toys: what it records, what decides it, that it stands and continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench import results
from asbench.evaluation.predict import predict
from asbench.evaluation.trained import Trained
from asbench.training import environment, sampler, threshold
from asbench.training import plan as planning
from asbench.training import train as stage
from asbench.training.sources import Sources
from asbench.types import Interrupted
from synth_store import Geometry, Mix, StoreKey, SynthStore, UserError
from tests.toyset import Toys
from tests.training.workplace import MIX, Workplace, refuse

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toys")]


@pytest.fixture(scope="module")
def one(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run with its untrained scores, for the tests that only look."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "open_dataset", lambda dataset, **_: Toys())
        return Workplace(made, runs).train(untrained=True)


def weights(run: Trained) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


def test_the_record_is_complete_and_reads_back(one: Trained) -> None:
    record = results.read(one.folder)
    assert record == one.run
    assert record.id == one.folder.name
    assert sorted(p.name for p in one.folder.iterdir()) == [
        "SHA256SUMS",
        "gallery.npz",
        "kept_out.csv",
        "model.safetensors",
        "run.json",
        "test.csv",
    ]
    decides = record.decides
    assert decides["mix"] == {"cutout": 0.25, "cutpaste@asbench": 0.75}
    assert (decides["ratio"], decides["steps"], decides["batch"]) == (0.5, 6, 4)
    assert decides["geometry"] == "32x32 (stretch)"
    own = {"width": 2, "seg_width": 2, "lr": 1e-3}
    assert decides["parameters"] == {"joint": True, "window": 21} | own
    assert [step for step, _ in record.losses] == list(range(6))
    assert record.saw_defects == 0
    assert record.environment["torch"] == torch.__version__
    assert record.environment["threads"] == torch.get_num_threads()
    assert set(record.seconds) == {"train", "score"}


def test_digests_of_the_store_stand_in_the_record_and_training_leaves_them(
    one: Trained, made: Path
) -> None:
    store = SynthStore.open(made)
    for method in ("cutout", "cutpaste@asbench"):
        stored = store.read(StoreKey("toys", method, 0), "a")
        assert one.run.decides["sets"][method] == stored.digest
    assert one.run.decides["normals"] == store.normals("toys", "a").digest


def test_both_test_sets_are_scored_from_the_same_maps(one: Trained) -> None:
    full, held_out = one.run.counts["full"], one.run.counts["held_out"]
    assert (full["normal"], full["anomalous"], full["with_mask"]) == (4, 6, 6)
    assert (held_out["normal"], held_out["anomalous"]) == (4, 4)  # without a third of six
    rows = results.read_table(one.folder)
    assert [r.id for r in rows if r.few_shot] == ["test/disc/0", "test/disc/1"]
    assert [r.label for r in rows] == [1] * 6 + [0] * 4
    assert one.run.reasons == {"full": {}, "held_out": {}}


def test_the_table_holds_what_the_kept_weights_say(one: Trained) -> None:
    data = Toys()
    for item, row in zip(data.test("a"), results.read_table(one.folder), strict=True):
        assert (row.id, row.label, row.defect) == (item.id, item.label, item.defect)
        assert one.predict(data.image(item)).score == pytest.approx(row.score, rel=1e-4)
        assert np.isnan(row.pixel_ap) == (not item.label)


def test_the_untrained_detector_is_scored_as_well(one: Trained, here: Workplace) -> None:
    assert one.run.untrained is not None
    assert set(one.run.untrained["full"]) == set(results.METRICS)
    assert one.run.untrained != one.run.metrics
    plain = here.train()
    assert plain.run.untrained is None
    assert plain.id == one.id
    assert plain.run.metrics == one.run.metrics
    assert weights(plain) == weights(one)


def test_counts_are_those_of_the_schedule(one: Trained, made: Path) -> None:
    sets = [
        SynthStore.open(made).read(StoreKey("toys", m, 0), "a")
        for m in ("cutout", "cutpaste@asbench")
    ]
    found = Sources(Mix.parse(MIX), tuple(sets), (18, 18))
    counts = found.schedule(Fraction(1, 2), 9, seed=0).counts(6 * 4)
    assert list(one.run.realised.items()) == list(
        zip(("normal", "cutout", "cutpaste@asbench"), counts, strict=True)
    )
    assert sum(counts) == 24


def test_the_gallery_is_kept_in_half_precision(one: Trained) -> None:
    gallery = results.read_gallery(one.folder)
    assert len(gallery.ids) == 6 + 3  # all defects there are, three of the four normals
    assert gallery.maps.dtype == np.float16
    assert [bool(m.any()) for m in gallery.masks] == [True] * 6 + [False] * 3
    maps, _ = predict(one.detector, gallery.images, "cpu")
    np.testing.assert_allclose(gallery.maps, maps, atol=1e-3)


def test_the_threshold_separates_normals_from_kept_back_anomalies(one: Trained, made: Path) -> None:
    threshold = one.run.threshold
    assert threshold is not None
    assert threshold.rule == (
        "best F1 between 9 training normals and 4 anomalies kept out of training"
    )
    store = SynthStore.open(made)
    normals = list(store.normals("toys", "a"))
    sets = [store.read(StoreKey("toys", m, 0), "a") for m in ("cutout", "cutpaste@asbench")]
    kept = [s[i].image for s in sets for i in (18, 19)]
    _, scores = predict(one.detector, np.stack([*normals, *kept]), "cpu")
    labels = np.repeat([0, 1], [9, 4])

    def f1(value: float) -> float:
        called = scores >= value * (1 - 1e-5)
        return float(2 * (called & (labels == 1)).sum() / (called.sum() + 4))

    assert f1(threshold.value) == max(f1(s) for s in scores)


def test_at_most_so_many_normals_serve_the_threshold(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold, "MOST_TRAINED", 5)
    scored: list[list[np.ndarray]] = []

    def counted(model: Any, images: Any, device: Any) -> Any:
        scored.append(list(images))
        return predict(model, scored[-1], device)

    monkeypatch.setattr(threshold, "predict", counted)
    run = here.train().run
    assert run.threshold is not None
    assert run.threshold.rule.startswith("best F1 between 5 of 9 training normals, chosen by hash,")
    assert [len(images) for images in scored] == [5, 4]
    normals = list(SynthStore.open(here.store).normals("toys", "a"))
    places = [[np.array_equal(n, s) for n in normals].index(True) for s in scored[0]]
    assert len(set(places)) == 5
    assert places != list(range(5))


def test_a_finished_run_is_returned_without_training(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = here.train()
    monkeypatch.setattr(stage, "fit_detector", refuse)
    monkeypatch.setattr(stage, "build", refuse)
    again = here.train()
    assert again.folder == first.folder
    assert again.run == first.run
    with pytest.raises(AssertionError):
        here.train(seed=1)


def test_every_setting_that_decides_is_part_of_the_id(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(root: Path, decides: results.Decides) -> None:
        asked.append(results.run_id(decides))
        raise Interrupted("seen")

    monkeypatch.setattr(results, "finished", noted)
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"ratio": 0.25},
        {"pool": 5},
        {"steps": 7},
        {"batch": 5},
        {"precision": "bf16"},
        {"settings": {"width": 2, "seg_width": 3}},
        {"ratio_mode": "bernoulli"},
        {"mix": "cutout"},
        {"mix": "cutout:0.5,cutpaste@asbench:0.5"},
        {"ratio": 0},
    ]
    same: list[dict[str, Any]] = [
        {"ratio": 0.5},
        {"mix": "cutpaste@asbench:3,cutout"},
        {"mix": "cutout:1,cutpaste:3"},
        {"untrained": True},
        {"settings": {"seg_width": 2, "width": 2, "lr": 1e-3}},
    ]
    for change in [*changes, *same]:
        with pytest.raises(Interrupted):
            here.train(**change)
    ids, others = asked[: len(changes)], asked[len(changes) :]
    assert len(set(ids)) == len(ids)
    assert set(others) == {ids[0]}


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(10**6))
    return lambda: next(asked) >= steps


def test_interrupted_and_continued_is_uninterrupted(here: Workplace, tmp_path: Path) -> None:
    whole = Workplace(here.store, tmp_path / "whole").train(untrained=True)
    for steps in (2, 1):
        with pytest.raises(Interrupted, match="same command continues") as stopped:
            here.train(untrained=True, stop=stop_after(steps))
    assert "step 3 of 6" in str(stopped.value)
    assert results.unfinished(here.runs) == [whole.id]
    run = here.train(untrained=True)
    assert weights(run) == weights(whole)
    assert run.run.metrics == whole.run.metrics
    assert run.run.untrained == whole.run.untrained
    assert run.run.losses == whole.run.losses
    assert run.run.threshold == whole.run.threshold
    assert (run.folder / "test.csv").read_bytes() == (whole.folder / "test.csv").read_bytes()
    assert (run.folder / "gallery.npz").read_bytes() == (whole.folder / "gallery.npz").read_bytes()


def test_independent_draws_are_recorded_and_resumed(here: Workplace, tmp_path: Path) -> None:
    whole = Workplace(here.store, tmp_path / "whole").train(ratio_mode="bernoulli")
    with pytest.raises(Interrupted):
        here.train(ratio_mode="bernoulli", stop=stop_after(3))
    run = here.train(ratio_mode="bernoulli")
    assert run.id == whole.id
    assert run.run.decides["ratio_mode"] == "bernoulli"
    assert weights(run) == weights(whole)
    assert sum(run.run.realised.values()) == 6 * 4
    assert weights(run) != weights(here.train())


def test_a_streamed_training_gives_the_same_weights(
    one: Trained, here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "_memory", lambda _: 0)
    assert weights(here.train()) == weights(one)


def test_ratio_0_trains_from_a_store_without_sets(tmp_path: Path) -> None:
    here = Workplace(tmp_path / "store", tmp_path / "runs")
    SynthStore.create(here.store, Geometry(32, 32))
    run = here.train(None, ratio=0).run
    assert run.realised == {"normal": 24}
    assert (run.decides["mix"], run.decides["sets"]) == ({}, {})
    assert run.threshold is not None
    assert run.threshold.rule == (
        "99.5 % quantile of 9 training normals: no synthetic anomaly was kept out of training"
    )
    # what would be read of sets plays no part where none is read
    assert here.train("cutout", ratio=0, pool=3, synth_seed=4).id == run.id


def test_a_detector_that_trains_nothing_is_scored_and_recorded(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = {"coreset": 0.1}
    quiet = {"detector": "patchcore@random", "settings": memory, "steps": None, "batch": None}
    monkeypatch.setattr(stage, "fit_detector", refuse)
    told: list[str] = []
    done = here.train(None, **quiet, notify=told.append)
    run = done.run
    assert told == ["toys/a, seed 0: 9 normal (nothing is trained)"]
    assert run.realised == {"normal": 9}
    assert (run.decides["steps"], run.decides["ratio"], run.losses) == (0, 0.0, ())
    assert run.seconds["train"] > 0  # the memory was filled
    assert (len(done.detector.bank), run.metrics["full"]["image_auroc"] > 0.5) == (14, True)
    assert here.train(None, **quiet).run == run
    assert here.train(None, **quiet | {"ratio": 0, "steps": 0}).run == run  # as a study asks
    for wrong in ({"ratio": 0.5}, {"steps": 5}):
        with pytest.raises(UserError, match=r"trains nothing.*leave out --ratio and --steps"):
            here.train("cutout", **quiet | wrong)


def test_ratio_1_trains_on_anomalies_alone(here: Workplace) -> None:
    assert here.train("cutout", ratio=1).run.realised == {"normal": 0, "cutout": 24}


def test_the_commit_is_that_of_the_working_copy_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # installed into a folder below somebody else's repository
    (tmp_path / ".git").mkdir()
    installed = tmp_path / "lib" / "asbench" / "training" / "environment.py"
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert environment._commit() is None
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert environment._commit() is None


def test_the_record_is_json_that_anyone_reads(one: Trained) -> None:
    record = json.loads((one.folder / "run.json").read_text())
    assert record["id"] == one.id
    assert record["metrics"]["full"].keys() == set(results.METRICS)

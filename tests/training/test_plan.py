"""What a run is, settled beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asbench import results, train
from asbench.detectors.draem import Draem
from asbench.evaluation.trained import Trained
from asbench.generation.generate import generate
from asbench.settings import TrainSettings
from asbench.training import compiling
from asbench.training.joint import plan_all
from asbench.training.plan import Plan, plan_run
from synth_store import StoreError, UserError
from tests.toyset import Toys

pytestmark = pytest.mark.slow

QUICK = {
    "detector": "draem@tiny",
    "settings": {"width": 4, "seg_width": 4},
    "batch": 3,
    "device": "cpu",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stages = ("generation.generate", "training.plan", "training.joint")
    for place in (f"asbench.{stage}" for stage in stages):
        monkeypatch.setattr(f"{place}.open_dataset", lambda text, **_: Toys())
    methods = ["cutout", "cutpaste@asbench"]
    generate("toys", methods, category="a", n=10, store=tmp_path / "s", size=32, workers=1)
    return tmp_path / "s"


def test_training_tells_beforehand_what_it_will_see(store: Path, tmp_path: Path) -> None:
    told: list[str] = []
    settled = {"ratio": 0.3, "steps": 4, "store": store, "runs": tmp_path / "runs", **QUICK}
    run = train("toys", "cutout:1,cutpaste:2", notify=told.append, **settled)
    assert told[0].startswith("cutpaste means cutpaste@asbench: the only variant of it stored")
    counts = ", ".join(f"{count} {name}" for name, count in run.run.realised.items())
    kept = "3 normals kept out for the threshold"
    assert told[1] == f"toys/a, seed 0: {counts} (4 steps of 3 items); {kept}"
    assert sum(run.run.realised.values()) == 12
    assert run.run.realised["cutpaste@asbench"] >= run.run.realised["cutout"] >= 1
    told.clear()
    assert train("toys", "cutout:1,cutpaste:2", notify=told.append, **settled).id == run.id
    assert told[-1] == f"run {run.id} stands already: it is not trained again"


def test_a_detector_that_scores_otherwise_now_is_another_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run of before would stand for it, and its weights be read by other arithmetic."""
    asked = {"ratio": 0.3, "steps": 1, "store": store, "runs": tmp_path / "runs", **QUICK}
    before = train("toys", "cutout", **asked)
    assert "version" not in before.run.decides  # ids of versions 1 stay as they are
    monkeypatch.setattr(Draem, "version", 2)
    now = plan_run(TrainSettings("toys", "cutout", **asked))
    assert (now.decides["version"], now.id != before.id) == (2, True)
    with pytest.raises(UserError, match=r"trained by version 1 of draem@tiny.*version 2.*again"):
        _ = Trained(before.folder, "cpu").detector
    assert results.read(before.folder).metrics == before.run.metrics  # results stand


def test_a_plan_is_the_same_run_but_for_its_seed(store: Path, tmp_path: Path) -> None:
    first = plan_run(TrainSettings("toys", "cutout", store=store, runs=tmp_path, **QUICK))
    other = first.with_seed(1)
    assert (
        other.id
        == plan_run(TrainSettings("toys", "cutout", store=store, runs=tmp_path, seed=1, **QUICK)).id
    )
    assert other.id != first.id
    assert first.with_seed(0) == first
    with pytest.raises(UserError, match="training seed -1 is negative"):
        first.with_seed(-1)


def test_a_device_has_its_usual_precision_and_the_id_names_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def planned(**more: object) -> Plan:
        told.clear()
        asked = QUICK | {"notify": told.append} | more
        return plan_run(TrainSettings("toys", "cutout", store=store, runs=tmp_path, **asked))

    plain = planned()
    assert (plain.decides["precision"], told) == ("fp32", [])
    monkeypatch.setattr("asbench.training.plan.usual_precision", lambda _: "bf16")
    usual = planned()
    assert (usual.decides["precision"], usual.id) == ("bf16", planned(precision="bf16").id)
    assert planned(precision="fp32").id == plain.id
    planned()
    assert told == ["trains in bf16, as is usual on cpu: else --precision fp32"]


def test_a_long_training_is_offered_bf16_where_the_processor_is_quick_in_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def planned(**more: object) -> list[str]:
        told.clear()
        asked = QUICK | {"notify": told.append, "settings": {}} | more
        plan_run(TrainSettings("toys", "cutout", store=store, runs=tmp_path, **asked))
        return told

    monkeypatch.setattr("asbench.training.plan.bf16_gain", lambda: 7.04)
    offer = ["this processor multiplies 7 times as fast in bf16: --precision bf16 is another run"]
    said = planned(steps=10_000, detector="unet@tiny", batch=8)
    assert [line.partition(",")[0] for line in said] == offer
    assert planned(steps=10_000, detector="unet@tiny", batch=8, precision="fp32") == []
    assert planned(steps=10, detector="unet@tiny", batch=8) == []
    assert planned(steps=10_000_000, detector="memory@random", batch=8) == []
    monkeypatch.setattr("asbench.training.plan.bf16_gain", lambda: 2.0)
    assert planned(steps=10_000, detector="unet@tiny", batch=8) == []


def test_a_compiled_run_is_the_same_run_and_says_so(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")  # traced, which takes no compiler
    settled = {"store": store, "runs": tmp_path / "runs", "steps": 1, **QUICK}
    run = train("toys", "cutout", compile=True, **settled)
    assert run.id == plan_run(TrainSettings("toys", "cutout", **settled)).id
    assert run.run.environment["compiled"] is True


def test_steps_per_component_are_those_of_one_times_their_number(
    store: Path, tmp_path: Path
) -> None:
    both = "cutout:1,cutpaste:2"

    def planned(mix: str | None, **more: object) -> object:
        return plan_run(TrainSettings("toys", mix, store=store, runs=tmp_path, **(QUICK | more)))

    for steps, expected in ((None, 600), (5, 10)):
        mixed = planned(both, steps=steps, steps_mode="per-component")
        assert mixed.decides["steps"] == expected
        assert sum(mixed.realised.values()) == 3 * expected
        # the record says how it came to its steps, and the steps alone decide
        assert mixed.training.steps_mode == "per-component"
        assert mixed.id == planned(both, steps=expected).id
    single = planned("cutout", steps_mode="per-component")
    assert single.id == planned("cutout").id
    none = planned(None, ratio=0, steps=5, steps_mode="per-component")
    assert none.decides["steps"] == 5
    with pytest.raises(UserError, match="steps mode 'more' is unknown: choose same or per-comp"):
        planned(both, steps_mode="more")


def test_the_steps_mode_is_recorded(store: Path, tmp_path: Path) -> None:
    settled = {"store": store, "runs": tmp_path / "runs", **QUICK}
    run = train("toys", "cutout,cutpaste", steps=1, steps_mode="per-component", **settled)
    assert run.run.steps_mode == results.read(run.folder).steps_mode == "per-component"
    assert [step for step, _ in run.run.losses] == [0, 1]
    record = json.loads((run.folder / "run.json").read_text())
    del record["steps_mode"], record["sha256"]  # as older versions wrote it
    (run.folder / "run.json").write_text(json.dumps(record))
    assert results.read(run.folder).steps_mode == "same"


def test_a_refused_plan_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asbench.training.plan.open_dataset", lambda text, **_: Toys())
    refusals = (
        {"mix": None},
        {"mix": "cutout"},
        {"mix": "cutout:x"},
        {"mix": "cutout", "ratio": 2},
        {"ratio": 0, "seed": -1},
        {"ratio": 0, "steps": 0},
        {"ratio": 0, "precision": "fp8"},
    )
    where = {"store": tmp_path / "s", "runs": tmp_path / "r"}
    for refused in refusals:
        with pytest.raises(UserError):
            plan_run(TrainSettings("toys", **where, **(QUICK | refused)))
    with pytest.raises(UserError, match="a batch of 0 items"):
        plan_run(TrainSettings("toys", ratio=0, batch=0, store=tmp_path / "s", device="cpu"))
    assert list(tmp_path.iterdir()) == []


def test_all_runs_are_settled_before_the_first(store: Path, tmp_path: Path) -> None:
    told: list[str] = []
    more = {"store": store, "runs": tmp_path / "runs", "steps": 4, **QUICK}
    training = TrainSettings("toys", "cutout", notify=told.append, **more)
    plans = plan_all(training, None, [0, 2])
    singly = [plan_run(replace(training, category="a", seed=seed)).id for seed in (0, 2)]
    assert [plan.id for plan in plans] == singly
    assert told == [
        "category a of a, b (--category all trains every one)",
        "draem@tiny is a reduced or changed network: not to be held against papers",
        *map(str, plans),
    ]
    assert [plan.id for plan in plan_all(training, ["a"], [2])] == singly[1:]
    for categories in (["all"], ["a", "b"]):  # there is no set of b
        with pytest.raises(StoreError, match="toys/b"):
            plan_all(training, categories, [0])
    assert not (tmp_path / "runs").exists()

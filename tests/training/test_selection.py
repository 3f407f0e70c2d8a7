"""Best on test: exactly the best look is kept, beside the last; resumed it is the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from asbench import results
from asbench.detectors import build, protocol_of
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.nets.detector import Protocol, Selection
from asbench.settings import TrainSettings
from asbench.training import plan as planning
from asbench.training import train as stage
from asbench.training.selection import BestOnTest
from asbench.training.train import train
from asbench.types import Interrupted, Item
from synth_store import UserError
from synth_store.types import Mask
from tests.toyset import Toys

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "detector": "unet@tiny",
    "settings": {"width": 2},
    "steps": 7,
    "batch": 4,
    "device": "cpu",
}
BEST = {"select": "best-on-test", "select_every": 2}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (generation, planning):
        monkeypatch.setattr(module, "open_dataset", lambda dataset, **_: Toys())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toys") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
        generate("toys", "cutout", category="a", n=10, store=root, size=32, workers=1)
    return root


@dataclass(frozen=True)
class Workplace:
    store: Path
    runs: Path

    def train(self, **changes: Any) -> Trained:
        settled = {**SMALL, "store": self.store, "runs": self.runs, **changes}
        return train("toys", "cutout", **settled)


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Workplace:
    return Workplace(made, tmp_path / "runs")


@dataclass
class Looks:
    """What every look saw: the weights, by their number."""

    values: list[float]
    weights: list[dict[str, Tensor]]

    def __call__(self, plan: Any, model: Any, *_: Any) -> float:
        self.weights.append({k: v.clone() for k, v in model.state_dict().items()})
        return self.values[len(self.weights) - 1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def weights(run: Trained) -> dict[str, Tensor]:
    return load_file(run.folder / "model.safetensors")


def last_of(run: Trained) -> Trained:
    return Trained(run.folder.parent / results.run_id(results.last_of(run.run.decides)), "cpu")


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(10**6))
    return lambda: next(asked) >= steps


@pytest.mark.parametrize(
    ("values", "kept", "step"),
    [([1, 3, 2, 2], 1, 4), ([3, 3, 1, 1], 0, 2), ([1, 2, 3, 4], 3, 7), ([2, 1, 1, 2], 0, 2)],
)
def test_exactly_the_best_look_is_kept_the_first_of_equals(
    here: Workplace, monkeypatch: pytest.MonkeyPatch, values: list[float], kept: int, step: int
) -> None:
    looks = Looks(values, [])
    monkeypatch.setattr(stage, "_sum_on_test", looks)
    run = here.train(**BEST)
    assert len(looks.weights) == 4  # after steps 2, 4, 6 and the last, 7
    assert same(weights(run), looks.weights[kept])
    assert same(weights(last_of(run)), looks.weights[3])
    assert not same(looks.weights[0], looks.weights[3])
    assert run.run.selected is not None
    assert (run.run.selected.step, run.run.selected.value) == (step, values[kept])


def test_both_runs_are_written_and_only_one_is_marked(here: Workplace) -> None:
    plain = Workplace(here.store, here.runs.parent / "plain").train()
    run = here.train(**BEST)
    last = last_of(run)
    assert {p.name for p in here.runs.iterdir()} == {run.id, last.id}
    assert last.id == plain.id
    assert same(weights(last), weights(plain))  # looking changes nothing
    assert last.run.metrics == plain.run.metrics
    assert last.run.losses == plain.run.losses
    assert (last.run.selected, last.run.decides.get("select_every")) == (None, None)
    assert (run.run.decides["select"], run.run.decides["select_every"]) == ("best-on-test", 2)
    chosen = run.run.selected
    assert chosen is not None
    assert chosen.metrics == protocol_of("unet").select.metrics
    assert chosen.value == pytest.approx(sum(run.run.metrics["full"][m] for m in chosen.metrics))
    assert chosen.value >= sum(last.run.metrics["full"][m] for m in chosen.metrics)
    assert results.read(run.folder) == run.run
    assert sorted(p.name for p in run.folder.iterdir()) == sorted(
        p.name for p in last.folder.iterdir()
    )
    assert len(results.runs(here.runs)) == 2


def test_interrupted_and_continued_keeps_the_same_best(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CHECKPOINT_EVERY", 3)
    whole = Workplace(here.store, here.runs.parent / "whole").train(**BEST)
    for steps in (3, 1, 2):
        with pytest.raises(Interrupted):
            here.train(**BEST, stop=stop_after(steps))
    run = here.train(**BEST)
    assert run.id == whole.id
    for one, other in ((run, whole), (last_of(run), last_of(whole))):
        assert same(weights(one), weights(other))
        assert one.run.metrics == other.run.metrics
        assert one.run.selected == other.run.selected
        assert (one.folder / "test.csv").read_bytes() == (other.folder / "test.csv").read_bytes()


def test_a_kill_between_a_look_and_its_checkpoint_changes_nothing(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at step 4 finds a better one, and is lost with the steps since the checkpoint."""
    monkeypatch.setattr(stage, "CHECKPOINT_EVERY", 3)
    looks = Looks([1, 3, 2, 2], [])
    monkeypatch.setattr(stage, "_sum_on_test", looks)
    whole = Workplace(here.store, here.runs.parent / "whole").train(**BEST)

    class Killed(BaseException):
        pass

    def killed() -> bool:
        if len(found.weights) == 2:
            raise Killed
        return False

    found = Looks([1, 3], [])
    monkeypatch.setattr(stage, "_sum_on_test", found)
    with pytest.raises(Killed):
        here.train(**BEST, stop=killed)
    folder = here.runs / whole.id / "checkpoint"
    kept = json.loads((folder / "checkpoint.json").read_text())["best"]
    assert (kept["step"], kept["value"]) == (2, 1)
    assert sorted(p.name for p in folder.glob("best-*")) == [
        "best-00000002.safetensors",
        "best-00000004.safetensors",
    ]
    again = Looks([3, 2, 2], [])
    monkeypatch.setattr(stage, "_sum_on_test", again)
    run = here.train(**BEST)
    assert same(weights(run), weights(whole))
    assert run.run.selected == whole.run.selected


def test_a_kill_before_the_best_is_recorded_leaves_it_to_the_next_call(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Workplace(here.store, here.runs.parent / "whole").train(**BEST)
    record, told = stage.record, list[str]()

    def until_the_best(plan: Any, *given: Any, **more: Any) -> None:
        if plan.decides["select"] != "last":
            raise KeyboardInterrupt
        record(plan, *given, **more)

    monkeypatch.setattr(stage, "record", until_the_best)
    with pytest.raises(KeyboardInterrupt):
        here.train(**BEST)
    assert results.unfinished(here.runs) == [whole.id]
    monkeypatch.setattr(stage, "record", record)
    run = here.train(**BEST, notify=told.append)
    assert run.run.metrics == whole.run.metrics
    assert same(weights(run), weights(whole))
    assert f"run {last_of(run).id}, whose last checkpoint counts, stands already" in told[-1]


def test_only_what_the_checkpoint_names_is_kept(tmp_path: Path) -> None:
    model, values = build("unet@tiny", 0, {"width": 2}), iter([1.0, 2.0, 2.0, 1.0])
    best = BestOnTest(lambda: next(values), every=10, steps=35, folder=tmp_path)
    best.look(model, 9)
    assert (best.facts, list(tmp_path.iterdir())) == ({}, [])
    for step in (10, 20):
        best.look(model, step)
    assert len(list(tmp_path.iterdir())) == 2
    best.committed()
    assert [p.name for p in tmp_path.iterdir()] == ["best-00000020.safetensors"]
    for step in (30, 35):
        best.look(model, step)
    assert {k: best.facts[k] for k in ("step", "value")} == {"step": 20, "value": 2.0}


def test_the_published_numbers_of_looks() -> None:
    assert protocol_of("draem").select_every(209) == 10 * 27
    for name in ("destseg", "memseg"):
        assert protocol_of(name).select == Selection(("image_auroc", "pixel_ap"), steps=100)
    assert protocol_of("unet").select_every(1) == protocol_of("unet").select_every(900) == 63
    assert Protocol(batch=4, ratio=0.5, steps=9).select_every(10) == 3  # an epoch, unless told
    with pytest.raises(ValueError, match="exactly one"):
        Selection()
    with pytest.raises(ValueError, match="metrics must be some of"):
        Selection(("auroc",), steps=3)


def test_what_select_decides(here: Workplace) -> None:
    ids = [
        planning.plan_run(
            TrainSettings(
                "toys", "cutout", store=here.store, runs=here.runs, **SMALL, **(BEST | more)
            )
        ).id
        for more in ({}, {"select_every": 3}, {"select": "last", "select_every": None})
    ]
    assert len(set(ids)) == 3


class Maskless(Toys):
    def mask(self, item: Item) -> Mask | None:
        return None if item.label else super().mask(item)

    def image(self, item: Item) -> Any:
        return Toys().image(item)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"select": "best"}, "select 'best' is unknown: choose last or best-on-test"),
        ({"select_every": 2}, "which only `--select best-on-test` does"),
        (BEST | {"select_every": 0}, "every 0 of 7 steps .* --select-every 1 to 6"),
        (BEST | {"select_every": 7}, "every 7 of 7 steps .* --select-every 1 to 6"),
        (BEST | {"select_every": None}, "every 100 of 7 steps"),
    ],
)
def test_what_cannot_be_selected_is_refused(
    here: Workplace, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        here.train(**change)
    assert not here.runs.exists()


def test_without_masks_there_is_nothing_to_add_up(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: Maskless())
    with pytest.raises(UserError, match=r"toys has no masks here.*use `--select last`"):
        here.train(**BEST)
    assert math.isnan(here.train(steps=1).run.metrics["full"]["pixel_ap"])


def test_an_older_record_has_nothing_selected(here: Workplace) -> None:
    run = here.train(steps=1)
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    del record["selected"], record["sha256"]
    path.write_text(json.dumps(record))
    assert results.read(run.folder) == run.run

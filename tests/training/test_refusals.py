"""What cannot be trained: said before the first step, and nothing is left behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from asbench.training import plan as planning
from asbench.training import train as stage
from asbench.types import Item
from synth_store import Geometry, StoreError, SynthStore, UserError
from synth_store.types import Mask
from tests.toyset import Toys
from tests.training.workplace import Workplace, refuse

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toys")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"category": "c"}, "category 'c' is not in toys: choose from a, b"),
        ({"mix": None}, "needs a mix of stored methods"),
        ({"ratio": 1.5}, "ratio 1.5 is impossible"),
        ({"ratio": float("nan")}, "ratio nan is impossible"),
        ({"steps": 0}, "0 training steps are too few"),
        ({"batch": 0}, "a batch of 0 items"),
        ({"precision": "fp8"}, "precision 'fp8' is unknown"),
        ({"ratio_mode": "random"}, "ratio mode 'random' is unknown: choose exact or bernoulli"),
        ({"device": "gpu"}, "device 'gpu' is not in this machine: choose cpu"),
        ({"detector": "dream"}, "did you mean draem"),
        ({"mix": "fractal"}, "asbench generate --store .* --method fractal"),
        ({"pool": 19}, "pool 19 is more than toys/cutout/0/a can give"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    here: Workplace, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        here.train(**change)
    assert not here.runs.exists()


def test_a_refusal_leaves_no_store_behind(tmp_path: Path) -> None:
    here = Workplace(tmp_path / "store", tmp_path / "runs")
    with pytest.raises(StoreError, match="Make what is missing with"):
        here.train("cutout")
    assert not here.store.exists()


def test_a_store_whose_sides_do_not_fit_the_detector_is_refused(tmp_path: Path) -> None:
    SynthStore.create(tmp_path, Geometry(40, 32))
    with pytest.raises(UserError, match=r"multiples of 32.*40x32.*--size 256"):
        Workplace(tmp_path, tmp_path / "runs").train(None, ratio=0)


class Unreadable(Toys):
    def mask(self, item: Item) -> Mask | None:
        if item.id == "test/disc/3":
            raise UserError("mask 3 is truncated")
        return super().mask(item)


def test_a_mask_that_cannot_be_read_is_found_before_the_training(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: Unreadable())
    monkeypatch.setattr(stage, "fit_detector", refuse)
    with pytest.raises(UserError, match="mask 3 is truncated"):
        here.train()


class Faultless(Toys):
    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(i for i in super().items(category) if not i.label)


class GoodAlone(Toys):
    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(i for i in super().items(category) if i.split == "train")


@pytest.mark.parametrize("toys", [Faultless, GoodAlone])
def test_without_anomalies_a_run_has_a_threshold_and_no_score(
    here: Workplace, monkeypatch: pytest.MonkeyPatch, toys: type[Toys]
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: toys())
    told: list[str] = []
    trained = here.train(notify=told.append)
    assert any("no score will say how good it is" in line for line in told)
    assert all(math.isnan(v) for of in trained.run.metrics.values() for v in of.values())
    assert trained.threshold is not None
    assert trained.run.counts["full"]["anomalous"] == 0
    assert trained.predict(Toys().image(Toys().train("a")[0])).anomalous in (True, False)


@pytest.mark.parametrize("asked", [{"select": "best-on-test", "select_every": 1}, {"parity": True}])
def test_without_anomalies_nothing_is_chosen_or_scored_by_them(
    here: Workplace, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: Faultless())
    with pytest.raises(UserError, match="no anomalous test images"):
        here.train(**asked)


class WithoutGood(Toys):
    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(i for i in super().items(category) if i.label or i.split == "train")


class WithoutMasks(Toys):
    def mask(self, item: Item) -> None:
        return None


@pytest.mark.parametrize(
    ("toys", "said"),
    [(WithoutGood, "no good test images here: image AUROC"), (WithoutMasks, "no masks here")],
)
def test_metrics_that_will_have_no_value_are_said_before_the_first_step(
    here: Workplace, monkeypatch: pytest.MonkeyPatch, toys: type[Toys], said: str
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: toys())
    told: list[str] = []
    monkeypatch.setattr(stage, "fit_detector", refuse)
    with pytest.raises(AssertionError, match="nothing was to be trained"):
        here.train(notify=told.append)
    assert any(said in line for line in told)

"""What a tracker is told of a training, in which order, and that none is imported unasked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench.plugins import names
from asbench.results import METRICS, SUBSETS
from asbench.trackers import PACKAGE, Loggers, RunLogger, Status, flat, opened
from asbench.training import train as stage
from asbench.types import Interrupted
from synth_store.types import Image, UserError
from tests.training.conftest import here as here
from tests.training.conftest import made as made
from tests.training.conftest import toys as toys
from tests.training.workplace import Workplace

ROOT = Path(__file__).parents[2]


class Listener(RunLogger):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.told: list[tuple[Any, ...]] = []

    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        self.told.append(("start", run, settings))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.told.append(("metrics", step, values))

    def images(self, step: int, images: Mapping[str, Image]) -> None:
        self.told.append(("images", step, images))

    def end(self, status: Status) -> None:
        self.told.append(("end", status))

    @property
    def words(self) -> list[str]:
        return [one[0] for one in self.told]


@pytest.mark.usefixtures("toys")
def test_a_training_is_told_once_and_whole(here: Workplace) -> None:
    heard = Listener()
    run = here.train(log=[heard], untrained=True).run
    assert heard.words == ["start", *["metrics"] * (1 + 6 + 1), "images", "end"]
    _, started, settings = heard.told[0]
    assert (started, settings) == (run.id, flat(run.decides))
    assert settings["mix.cutout"] == 0.25
    _, step, before = heard.told[1]
    assert step == 0
    assert set(before) == {f"{s}/{m}" for s in SUBSETS for m in METRICS}
    losses = [(step, values["loss"]) for _, step, values in heard.told[2:8]]
    assert losses == [(done + 1, loss) for done, loss in run.losses]
    _, step, after = heard.told[8]
    assert (step, after["full/image_auroc"]) == (6, run.metrics["full"]["image_auroc"])
    _, step, images = heard.told[9]
    assert {image.shape for image in images.values()} == {(32, 64, 3)}
    assert {image.dtype for image in images.values()} == {np.dtype(np.uint8)}
    assert heard.told[-1] == ("end", "done")
    # A run that stands is told nothing of, and listening changes no run.
    assert here.train(log=[again := Listener()]).run.id == run.id
    assert again.told == []


@pytest.mark.usefixtures("toys")
def test_how_it_ended_is_said(here: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        here.train(log=[stopped := Listener()], stop=lambda: next(asked))
    assert stopped.words == ["start", "metrics", "metrics", "end"]
    assert stopped.told[-1] == ("end", "stopped")
    here.train(log=[going_on := Listener()])
    assert going_on.told[0][1] == stopped.told[0][1]
    assert [one[1] for one in going_on.told[1:5]] == [3, 4, 5, 6]

    def fail(*_: object) -> None:
        raise UserError("no")

    monkeypatch.setattr(stage, "evaluate", fail)
    with pytest.raises(UserError, match="no"):
        here.train(log=[failed := Listener()], seed=1)
    assert failed.told[-1] == ("end", "failed")


def test_several_are_one_and_none_is_none(tmp_path: Path) -> None:
    first, second = Listener(), Listener()
    both = Loggers([first, second])
    both.metrics(1, {"before": 1.0})  # nothing was started
    both.start("run", {})
    both.metrics(2, {"loss": 1.0})
    both.end("done")
    both.end("done")
    assert first.told == second.told
    assert first.words == ["start", "metrics", "end"]
    with opened(None, tmp_path) as nobody:
        nobody.start("run", {})
        assert not nobody.any


def test_settings_are_told_flat() -> None:
    said = flat({"a": 1, "b": {"c": None, "d": {"e": "x"}}, "f": (1, 2), "g": True})
    assert said == {"a": 1, "b.c": "None", "b.d.e": "x", "f": "(1, 2)", "g": True}


def test_names_are_checked(tmp_path: Path) -> None:
    assert names(PACKAGE) == ["mlflow", "tensorboard", "wandb"]
    with (
        pytest.raises(UserError, match="tracker 'tensorbord' is unknown: did you mean tensorboard"),
        opened(["tensorbord"], tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("tracker", "module"),
    [("mlflow", "mlflow"), ("wandb", "wandb"), ("tensorboard", "torch.utils.tensorboard")],
)
def test_a_package_that_is_missing_is_named(
    tracker: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = rf"--log {tracker} needs {tracker}: pip install 'asbench\[{tracker}\]'"
    with pytest.raises(UserError, match=said), opened(tracker, tmp_path):
        pass


def test_nothing_of_ours_imports_a_tracker_that_was_not_asked_for() -> None:
    word = re.compile(r"^( *)(?:import|from) (?:mlflow|wandb|tensorboard|torch\.utils\.tens)", re.M)
    for package in ("asbench", "cli", "synth_store"):
        for path in (ROOT / package).rglob("*.py"):
            found = [len(indent) for indent in word.findall(path.read_text())]
            inside = path.parent.name == "trackers" and all(found)
            assert inside or not found, path

"""Trained detectors on each other's kept-back samples."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench import results
from asbench.evaluation.metrics import image_metrics
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.quality import cross_matrix
from asbench.quality.cross_evaluation import cross
from asbench.training import plan as planning
from asbench.training.train import train
from synth_store import StoreKey, SynthStore, UserError
from tests.toyset import Toys

pytestmark = pytest.mark.slow

Cross = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run on cutout, one on cutpaste, one on both."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        for module in (generation, planning):
            patch.setattr(module, "open_dataset", lambda dataset, **_: Toys())
        for mix in ("cutout", "cutpaste", "cutout:0.5,cutpaste:0.5"):
            train(
                "toys",
                mix,
                detector="draem@tiny",
                settings={"width": 2, "seg_width": 2},
                steps=2,
                batch=2,
                device="cpu",
                store=made,
                runs=root,
            )
    return root


@pytest.fixture
def crossing_here(made: Path, runs: Path, tmp_path: Path) -> Cross:
    here: dict[str, Any] = {"store": made, "runs": runs, "out": tmp_path / "q", "device": "cpu"}
    return lambda **more: cross(**{**here, **more})


def test_every_single_run_is_scored_on_every_set(
    crossing_here: Cross, runs: Path, made: Path
) -> None:
    rows = crossing_here(negatives=5)
    assert sorted(row.method for row in rows) == ["cutout", "cutpaste"]
    assert all(set(row.values) == {"cutout", "cutpaste"} for row in rows)
    assert rows[0].counts == {"cutout": 2, "cutpaste": 2}  # a tenth of 21 and of 20
    (matrix,) = cross_matrix.matrices(rows, results.runs(runs))
    assert matrix.methods == ("cutout", "cutpaste")
    one = next(r for r in rows if r.method == "cutout")
    assert matrix["cutout"]["cutpaste"] == one.values["cutpaste"]["image_auroc"]
    assert matrix.predictor[0] == matrix["cutout"]["cutpaste"]


def test_a_cell_is_the_detectors_auroc_on_what_no_training_saw(
    crossing_here: Cross, runs: Path, made: Path
) -> None:
    row = next(r for r in crossing_here(negatives=100) if r.method == "cutpaste")
    store, trained = SynthStore.open(made), Trained(runs / row.decides["run"], "cpu")
    stored = store.read(StoreKey("toys", "cutout", 0), "a")
    normals = store.normals("toys", "a")
    scores = [trained.predict(np.array(image)).score for image in normals]
    scores += [trained.predict(stored[i].image).score for i in (19, 20)]
    expected = image_metrics(scores, [0] * len(normals) + [1, 1]).auroc
    assert row.values["cutout"]["image_auroc"] == pytest.approx(expected)


def test_rows_are_read_as_written_and_not_scored_again(
    crossing_here: Cross, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = crossing_here()
    assert {r.id: r for r in cross_matrix.rows(tmp_path / "q")} == {r.id: r for r in rows}
    monkeypatch.setattr(Trained, "detector", None)
    assert crossing_here() == rows
    path = tmp_path / "q" / rows[0].id / "cross.json"
    path.write_text(path.read_text().replace('"negatives": 50', '"negatives": 51'))
    with pytest.raises(UserError, match=r"cross\.json cannot be read.*asbench cross"):
        cross_matrix.rows(tmp_path / "q")


def test_a_set_that_has_changed_since_is_left_out(
    crossing_here: Cross, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = tmp_path / "grown"
    shutil.copytree(made, grown)
    monkeypatch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
    generation.generate("toys", "cutout", category="a", n=30, store=grown, workers=1)
    told: list[str] = []
    with pytest.raises(UserError, match="two methods or more"):
        crossing_here(store=grown, notify=told.append)
    assert any("toys/cutout/0/a has changed since it was trained" in line for line in told)
    assert any("two methods are needed" in line for line in told)


@pytest.mark.parametrize(
    "given", [{"detectors": ["unet"]}, {"datasets": ["demo"]}, {"categories": ["b"]}]
)
def test_no_runs_no_matrix(crossing_here: Cross, given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="asbench train --mix draem"):
        crossing_here(**given)
    with pytest.raises(UserError, match="give 1 or more"):
        crossing_here(negatives=0)

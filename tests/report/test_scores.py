"""Scores: means over categories, equation 1, one score per training, what is missing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asbench.report.paper import scores
from asbench.report.paper.grid import SETTING, score_grid
from asbench.report.paper.scores import Expected
from asbench.results import METRICS
from asbench.results.frame import from_records, means


def score(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "dataset": "mpdd",
        "category": "tubes",
        "detector": "draem",
        "mix": {"fractal": 1.0},
        "ratio": 0.5,
        "image_auroc": 0.9,
        "source": "made-up",
    }
    return {**base, **changes}


def test_a_mean_stands_only_where_every_category_does() -> None:
    grid = from_records(
        [
            score(category="tubes", image_auroc=0.9),
            score(category="connector", image_auroc=0.7),
            score(mix={"draem": 1.0}),
        ]
    )
    found = means(scores.whole(grid), SETTING)
    assert [methods for _, _, methods, _ in found.index] == ["fractal"]
    assert found["image_auroc"].item() == pytest.approx(0.8)
    assert scores.whole(grid, {"mpdd": ["tubes", "connector", "bracket"]}).empty
    assert len(scores.whole(grid, {"mpdd": ["tubes"]})) == 2


def test_cells_are_means_over_seeds_of_even_mixes() -> None:
    values = (0.9, 0.8, 0.75)
    grid = from_records(
        [
            *(score(category="", seed=n, image_auroc=v) for n, v in enumerate(values)),
            score(category="", mix={"a": 0.2, "b": 0.8}),
        ]
    )
    cells = score_grid(grid).cells
    assert list(cells.index) == [("mpdd", "draem", "fractal", 0.5)]
    assert cells["image_auroc"].item() == pytest.approx(sum(values) / 3)
    assert cells[[m for m in METRICS if m != "image_auroc"]].isna().all(axis=None)


def test_equation_1_weighs_by_table_3_or_by_what_is_there() -> None:
    own = [score(dataset="own", category=c) for c in "ab"]
    assert scores.class_counts(from_records([score(), *own])) == {"mpdd": 6, "own": 2}


def test_one_score_per_training() -> None:
    usual = [score(category=c, settings="steps 300", run=c) for c in ("tubes", "connector")]
    odd = score(settings="steps 900", image_auroc=0.99)
    again = score(settings="steps 300", image_auroc=0.5, run="again")
    chosen = score(selected_on_test=True, run="chosen")
    grid = from_records([odd, *usual, chosen, again])
    found = scores.settle(grid)
    assert list(found.scores["run"]) == ["connector", "again"]
    assert len(found.notes) == 3
    assert "selected on the test set" in found.notes[0]
    other = scores.settle(grid, selected=True)
    assert list(other.scores["run"]) == ["chosen"]
    assert "upper bounds" in other.notes[0]
    unlike = from_records([score(), score(category="connector", settings="steps 900")])
    assert any("not trained alike" in note for note in scores.settle(unlike).notes)


def test_missing_trainings_in_the_order_given() -> None:
    have = from_records([score(), score(synth_seed=3, seed=1)])
    wanted = [
        Expected("mpdd", "tubes", "draem", "draem", 0.5, 0),
        Expected("mpdd", "tubes", "draem", "fractal", 0.5, 1),
        Expected("mpdd", "tubes", "draem", "fractal", 0.5, 1, 3),
        Expected("mpdd", "tubes", "draem", "fractal", 0.5, 0),
    ]
    assert scores.missing(have, wanted) == wanted[:2]
    assert scores.missing(have.assign(ratio=1.0), wanted[3:]) == wanted[3:]


def test_nothing_is_a_grid_of_nothing() -> None:
    empty = score_grid(from_records([]))
    assert (empty.datasets, empty.methods, empty.missing, empty.notes) == ((), (), (), ())
    assert empty.best_of_detectors("pro") == {}
    assert empty.mean_of_detectors("pro") == {}
    assert math.isnan(empty.cells["pro"].mean())

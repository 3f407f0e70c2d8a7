"""Scores: means over categories, equation 1, one score per place, what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asbench.data import published
from asbench.report.paper import scores
from asbench.report.paper.scores import Place, Score, Setting
from asbench.results import Run

Make = Callable[..., Run]


def score(**changes: Any) -> Score:
    base: dict[str, Any] = {
        "dataset": "mpdd",
        "category": "tubes",
        "detector": "draem",
        "mix": ("fractal",),
        "ratio": 0.5,
        "seed": 0,
        "synth_seed": 0,
        "metrics": {"image_auroc": 0.9},
        "subset": "full",
        "source": "made-up",
    }
    return Score(**{**base, **changes})


def test_a_run_becomes_a_score(made_up: Make) -> None:
    run = made_up(mix={"fractal": 1.0, "draem": 3.0}, detector="draem@tiny")
    found = scores.from_runs([run], "held_out")[0]
    assert found.place == ("demo", "weave", "draem@tiny", ("draem", "fractal"), 0.5, 0, 0)
    assert found.shares == (0.75, 0.25)
    assert found.metrics == run.metrics["held_out"]
    assert found.reduced
    assert "a reduced network" in found.unlike
    assert found.runs == (run.id,)
    even = scores.from_runs([made_up(mix={"fractal": 0.5, "draem": 0.5})], "full")[0]
    assert even.shares == ()


@pytest.mark.parametrize(
    ("settings", "unlike"),
    [
        ({"detector": "draem", "steps": 700 * 27, "batch": 8}, ()),
        (
            {"detector": "draem", "steps": 700 * 27, "geometry": "48x48 (stretch)", "pool": 50},
            ("images of 48x48 (stretch)", "a pool of 50 samples"),
        ),
        (
            {"detector": "draem", "steps": 300, "batch": 8},
            ("300 steps, published 18900",),
        ),
        (
            {"detector": "memseg", "steps": 5000, "batch": 4},
            ("batch 4, published 8",),
        ),
        ({"detector": "unet@mine", "steps": 12600, "batch": 8}, ("other parameters",)),
    ],
)
def test_what_must_not_stand_beside_printed_numbers_says_why(
    made_up: Make, settings: Any, unlike: tuple[str, ...]
) -> None:
    place = {"dataset": "mvtec", "category": "bottle", "geometry": "256x256 (stretch)"}
    run = made_up(**{**place, **settings})  # 209 normals: 27 batches of 8
    assert scores.from_runs([run], "full")[0].unlike == unlike


def test_published_trainings_are_the_detectors_own() -> None:
    from asbench.detectors import protocol_of

    for name in published.default_ratios():
        own = protocol_of(name)
        theirs = published.training(name, "mvtec", "bottle")
        assert theirs == (own.steps_for(209), own.batch, own.ratio)


def test_a_mean_stands_only_where_every_category_does() -> None:
    values = {"tubes": 0.9, "connector": 0.7}
    grid = [score(category=c, metrics={"image_auroc": v}) for c, v in values.items()]
    alone = score(mix=("draem",))
    found = scores.dataset_means([*grid, alone])
    assert [(s.mix, s.category) for s in found] == [(("fractal",), "")]
    assert found[0].metrics["image_auroc"] == pytest.approx(0.8)
    assert scores.dataset_means([*grid, alone], {"mpdd": ["tubes", "connector", "bracket"]}) == []
    assert len(scores.dataset_means([*grid, alone], {"mpdd": ["tubes"]})) == 2


def test_estimates_are_numpys_over_seeds() -> None:
    values = (0.9, 0.8, 0.75)
    grid = [
        score(category="", seed=n, metrics={"image_auroc": v, "pixel_ap": math.nan})
        for n, v in enumerate(values)
    ]
    grid.append(score(category="", shares=(0.2, 0.8), mix=("a", "b")))
    found = scores.estimates(grid, "image_auroc")
    assert found == {
        Setting("mpdd", "draem", ("fractal",), 0.5): (
            pytest.approx(np.mean(values)),
            pytest.approx(np.std(values, ddof=1)),
            3,
        )
    }
    undefined = scores.estimates(grid, "pixel_ap")
    assert [math.isnan(e.mean) for e in undefined.values()] == [True]
    with pytest.raises(ValueError, match="dataset_means first"):
        scores.estimates([score()], "image_auroc")


def test_averages_have_gaps_where_a_member_lacks() -> None:
    cells = {
        Setting(d, "draem", (m,), 0.5): v
        for d, m, v in [("mvtec", "a", 0.9), ("mtd", "a", 0.5), ("mvtec", "b", 0.8)]
    }
    weighted = scores.average(cells, "dataset", {"mvtec": 15, "mtd": 1})
    assert weighted[Setting("", "draem", ("a",), 0.5)] == pytest.approx((15 * 0.9 + 0.5) / 16)
    assert math.isnan(weighted[Setting("", "draem", ("b",), 0.5)])
    over_methods = scores.average(cells, "mix")
    assert over_methods[Setting("mvtec", "draem", (), 0.5)] == pytest.approx(0.85)
    default = scores.at_default(cells, {"draem": 0.5})
    assert {s.ratio for s in default} == {None}
    assert scores.at_default(cells, {"draem": 1.0}) == {}


def test_equation_1_weighs_by_table_3_or_by_what_is_there() -> None:
    grid = [score(), score(dataset="own", category="a"), score(dataset="own", category="b")]
    assert scores.class_counts(grid) == {"mpdd": 6, "own": 2}


def test_one_score_per_place() -> None:
    usual = [score(category=c, settings="steps 300") for c in ("tubes", "connector")]
    odd = score(settings="steps 900", metrics={"image_auroc": 0.99})
    again = score(settings="steps 300", metrics={"image_auroc": 0.5})
    chosen = score(selected_on_test=True)
    found = scores.settle([odd, *usual, chosen, again])
    assert sorted(map(id, found.scores)) == sorted(map(id, (again, usual[1])))
    assert len(found.notes) == 3
    assert "selected on the test set" in found.notes[0]
    other = scores.settle([odd, *usual, chosen, again], selected=True)
    assert other.scores == [chosen]
    assert "upper bounds" in other.notes[0]
    alone = scores.settle([score(), score(category="connector", settings="steps 900")])
    assert any("not trained alike" in note for note in alone.notes)


def test_missing_places_in_the_order_given() -> None:
    have = [score(), score(synth_seed=3, seed=1)]
    wanted: list[tuple[Any, ...]] = [
        ("mpdd", "tubes", "draem", ("draem",), 0.5, 0),
        ("mpdd", "tubes", "draem", ("fractal",), 0.5, 1),
        ("mpdd", "tubes", "draem", ("fractal",), 0.5, 1, 0),
        Place("mpdd", "tubes", "draem", ("fractal",), 0.5, 0),
    ]
    assert scores.missing(have, wanted) == [Place(*wanted[0]), wanted[2]]
    assert scores.missing([replace(have[0], ratio=1.0)], wanted[3:]) == wanted[3:]

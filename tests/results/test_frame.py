"""The table of results: a row per run, the settings beside the scores, and the means over it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asbench import results
from asbench.data import published
from asbench.results import METRICS, Run
from asbench.results.frame import across, complete, from_records, means
from tests.report.conftest import dozen, made_up

Make = Callable[..., Run]


def test_a_run_becomes_a_row() -> None:
    run = made_up(mix={"fractal": 1.0, "draem": 3.0}, detector="draem@tiny", pool=50)
    table = results.frame([run], "held_out")
    row = table.iloc[0]
    assert (row["run"], row["dataset"], row["category"]) == (run.id, "demo", "weave")
    assert (row["mix"], row["methods"], row["parts"]) == (
        "draem:0.75,fractal:0.25",
        "draem + fractal",
        2,
    )
    assert row["shares"] == "0.75 0.25"
    assert {m: row[m] for m in METRICS} == run.metrics["held_out"]
    assert row["reduced"]
    assert "a reduced network" in row["caveats"]
    assert (row["pool"], row["parameters.width"], row["seconds.train"]) == (50, 16, 71.25)
    assert row["sets.draem"] == run.decides["sets"]["draem"]
    even = results.frame([made_up(mix={"fractal": 0.5, "draem": 0.5})])
    assert even["shares"].item() == ""


def test_columns_have_their_kinds_and_rows_their_order() -> None:
    runs = [*dozen(), made_up(select="best-on-test", select_every=5, pool=9)]
    table = results.frame(runs)
    assert list(table["run"]) == [run.id for run in runs]
    kinds = {name: table[name].dtype.kind for name in ("seed", "ratio", "reduced", "created")}
    assert kinds == {"seed": "i", "ratio": "f", "reduced": "b", "created": "M"}
    assert all(table[metric].dtype == np.float64 for metric in METRICS)
    assert str(table["pool"].dtype) == str(table["select_every"].dtype) == "Int64"
    assert table["pool"].isna().sum() == len(runs) - 1
    assert list(table["selected_on_test"]) == [False] * len(dozen()) + [True]
    # Of a set that a run did not read, nothing.
    assert table.loc[table["methods"] == "fractal", "sets.draem"].isna().all()
    nothing = results.frame([])
    assert nothing.empty
    assert set(METRICS) < set(nothing.columns)


def test_one_run_that_saw_defects_turns_every_row_to_held_out() -> None:
    runs = [made_up(), replace(made_up(seed=1), saw_defects=7)]
    table = results.frame(runs)
    assert set(table["subset"]) == {"held_out"}
    assert list(table["pro"]) == [run.metrics["held_out"]["pro"] for run in runs]
    assert list(results.frame(runs, "full")["pro"]) == [r.metrics["full"]["pro"] for r in runs]


@pytest.mark.parametrize(
    ("settings", "caveats"),
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
    settings: Any, caveats: tuple[str, ...]
) -> None:
    place = {"dataset": "mvtec", "category": "bottle", "geometry": "256x256 (stretch)"}
    run = made_up(**{**place, **settings})  # 209 normals: 27 batches of 8
    assert results.frame([run], "full")["caveats"].item() == caveats


def test_published_trainings_are_the_detectors_own() -> None:
    from asbench.detectors import protocol_of

    for name in published.default_ratios():
        own = protocol_of(name)
        theirs = published.training(name, "mvtec", "bottle")
        assert theirs == (own.steps_for(209), own.batch, own.ratio)


def test_means_are_numpys_and_gaps_pass_through_them() -> None:
    table = results.frame(dozen())
    found = means(table, ["methods", "ratio"])
    for (methods, ratio), row in found.iterrows():  # type: ignore[misc]
        of = table[(table["methods"] == methods) & (table["ratio"] == ratio)]
        for metric in METRICS:
            assert row[metric] == pytest.approx(np.mean(of[metric]), rel=1e-15)
    holed = table.assign(pro=table["pro"].where(table["seed"] != 1))
    gaps = means(holed, ["methods", "ratio"])["pro"]
    assert {at for at, value in gaps.items() if math.isnan(value)} == {
        (m, 0.5) for m in ("draem", "fractal", "draem + fractal")
    }


def test_complete_groups_have_every_category() -> None:
    records = [{"category": c, "seed": s} for c, s in (("a", 0), ("b", 0), ("a", 1))]
    table = from_records(records)
    needed = table.groupby("dataset")["category"].transform("nunique")
    assert list(complete(table, ["seed"], needed).index) == [0, 1]


def test_averages_have_gaps_where_a_member_lacks() -> None:
    values = {("mvtec", "a"): 0.9, ("mtd", "a"): 0.5, ("mvtec", "b"): 0.8}
    cells = pd.Series(values).rename_axis(["dataset", "methods"])
    weighted = across(cells, "dataset", {"mvtec": 15, "mtd": 1})
    assert weighted["a"] == pytest.approx((15 * 0.9 + 0.5) / 16)
    assert math.isnan(weighted["b"])
    assert across(cells, "methods")["mvtec"] == pytest.approx(0.85)


def test_who_reads_runs_does_not_wait_for_pandas() -> None:
    code = (
        "import sys, asbench.results; sys.exit('pandas' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

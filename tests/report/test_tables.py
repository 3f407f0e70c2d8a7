"""Group-bys, held against numbers worked out apart."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asbench.report import tables
from asbench.report.page import figures
from asbench.report.tables import ResultRow, ResultTable
from asbench.results import METRICS, Run
from synth_store import Mix

Make = Callable[..., Run]


def row_of(table: ResultTable, **wanted: Any) -> ResultRow:
    found = [r for r in table.rows if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(found) == 1, [(r.dataset, r.category, r.mix, r.ratio) for r in found]
    return found[0]


def test_mean_and_spread_are_numpys(plain: list[Run]) -> None:
    row = row_of(tables.results_table(plain), mix=Mix.of({"fractal": 1.0}), ratio=0.5)
    runs = [r for r in plain if r.decides["mix"] == {"fractal": 1.0} and r.decides["ratio"] == 0.5]
    for metric in METRICS:
        values = [run.metrics["full"][metric] for run in runs]
        assert row.cells[metric].mean == pytest.approx(np.mean(values), rel=1e-12)
        assert row.cells[metric].sd == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert row.seeds == (0, 1, 2)
    assert row.spread == "3 training seeds at synth seed 0"


def test_every_run_is_in_one_row_in_any_order(plain: list[Run]) -> None:
    table = tables.results_table(plain)
    assert sorted(run.id for row in table.rows for run in row.runs) == sorted(r.id for r in plain)
    assert len(table.rows) == 3 + 6 + 1
    shuffled = random.Random(0).sample(plain, len(plain))
    assert tables.markdown(tables.results_table(shuffled)) == tables.markdown(table)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 301},
        {"synth_seed": 1},
        {"pool": 50},
        {"sets": {"draem": "other"}},
        {"parameters": {"width": 32}},
        {"precision": "bf16"},
        {"weights": "ff"},
        {"geometry": "64x64 (pad)"},
        {"select": "best-on-test"},
    ],
)
def test_only_the_training_seed_is_averaged_over(made_up: Make, change: dict[str, Any]) -> None:
    table = tables.results_table([made_up(), made_up(seed=1), made_up(seed=2, **change)])
    assert sorted(len(row.seeds) for row in table.rows) == [1, 2]
    text = tables.markdown(table)
    lines = [line.split("|")[4] for line in text.splitlines() if line.startswith("| demo")]
    assert len(set(lines)) == 2, "two rows that differ must not bear one name"


def test_one_run_that_saw_defects_turns_every_row_to_held_out(
    plain: list[Run], made_up: Make
) -> None:
    few = dataclasses.replace(made_up(mix={"real": 1.0}), saw_defects=7)
    table = tables.results_table([*plain, few])
    assert table.subset == "held_out"
    row = row_of(table, mix=Mix.of({"draem": 1.0}), ratio=0.5)
    runs = [r for r in plain if r.decides["mix"] == {"draem": 1.0} and r.decides["ratio"] == 0.5]
    assert row.cells["pro"].values == tuple(r.metrics["held_out"]["pro"] for r in runs)
    assert "saw 7 defects" in tables.markdown(table)
    assert "real saw real defects" in tables.markdown(table)
    assert tables.results_table(plain).subset == "full"


def _without_pro(run: Run) -> Run:
    metrics: Any = {s: {**scores, "pro": math.nan} for s, scores in run.metrics.items()}
    reasons: Any = {s: {"pro": "no masks"} for s in run.metrics}
    return dataclasses.replace(run, metrics=metrics, reasons=reasons)


def test_a_mean_over_some_seeds_is_no_mean(made_up: Make) -> None:
    runs = [made_up(seed=0), _without_pro(made_up(seed=1)), made_up(seed=2)]
    table = tables.results_table(runs)
    cell = table.rows[0].cells["pro"]
    assert math.isnan(cell.mean)
    assert math.isnan(cell.sd)
    assert cell.reason == "seed 1: no masks"
    assert not math.isnan(table.rows[0].cells["image_auroc"].mean)
    text = tables.markdown(table)
    assert "A dash under PRO: seed 1: no masks." in text
    assert text.splitlines()[2].endswith("| – |")
    assert next(csv.DictReader(io.StringIO(tables.csv_text(table))))["pro_mean"] == ""
    assert tables.latex(table).splitlines()[-3].endswith(r"& -- \\")


def test_one_seed_has_no_spread(made_up: Make) -> None:
    table = tables.results_table([made_up()])
    assert math.isnan(table.rows[0].cells["pro"].sd)
    assert "±" not in tables.markdown(table).splitlines()[2]
    assert "one seed, no spread" in tables.markdown(table)
    assert table.rows[0].spread == "one training seed at synth seed 0, no spread"


def test_means_over_categories_spread_over_shared_seeds(made_up: Make) -> None:
    runs = [made_up(category=c, seed=s) for c in ("a", "b", "c") for s in (0, 1, 2)]
    runs.append(made_up(category="a", seed=3))
    runs.append(made_up(category="a", steps=99))
    table = tables.results_table(runs)
    means = [row for row in table.rows if row.categories > 1]
    assert [(row.category, row.seeds) for row in means] == [("mean of 3 categories", (0, 1, 2))]
    wanted = [
        np.mean([made_up(category=c, seed=s).metrics["full"]["pixel_ap"] for c in "abc"])
        for s in (0, 1, 2)
    ]
    assert means[0].cells["pixel_ap"].values == pytest.approx(wanted)
    assert table.rows[-1] is means[0]


def test_best_spares_rows_selected_on_test_and_blocks_of_one(made_up: Make) -> None:
    runs = [made_up(mix={m: 1.0}) for m in ("draem", "fractal", "nsa")]
    high: Any = {s: dict.fromkeys(METRICS, 1.0) for s in ("full", "held_out")}
    picked = dataclasses.replace(made_up(select="best-on-test"), metrics=high)
    table = tables.results_table([*runs, picked, made_up(category="alone", mix={"cutout": 1.0})])
    for metric in METRICS:
        (place,) = table.best(metric)
        assert table.rows[place].cells[metric].mean == max(
            run.metrics["full"][metric] for run in runs
        )
    assert "selected on test" in tables.markdown(table)


def test_rows_selected_on_test_stand_beside_the_last_ones_under_their_mark(made_up: Make) -> None:
    last = [made_up(seed=s) for s in (0, 1)]
    best = [made_up(seed=s, select="best-on-test", select_every=100) for s in (0, 1)]
    table = tables.results_table([*last, *best])
    assert [(row.selected_on_test, row.seeds) for row in table.rows] == [
        (False, (0, 1)),
        (True, (0, 1)),
    ]
    assert [row.settings for row in table.rows] == [{}, {}]  # the mark is enough
    other = made_up(select="best-on-test", select_every=7)
    told = [row.settings for row in tables.results_table([*last, *best, other]).rows]
    assert sorted(map(str, told)) == ["{'select_every': '100'}", "{'select_every': '7'}", "{}"]


def test_longer_trainings_of_mixtures_are_told(made_up: Make) -> None:
    run = made_up(mix={"draem": 0.5, "fractal": 0.5}, steps=600)
    longer = dataclasses.replace(run, steps_mode="per-component")
    assert not any("longer training" in n for n in tables.notes(tables.results_table([run])))
    assert any("longer training" in n for n in tables.notes(tables.results_table([longer])))


def test_csv_holds_every_digit(plain: list[Run]) -> None:
    table = tables.results_table(plain)
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(table))))
    assert len(lines) == len(table.rows)
    for line, row in zip(lines, table.rows, strict=True):
        assert float(line["image_ap_mean"]) == row.cells["image_ap"].mean
        assert line["runs"].split() == [run.id for run in row.runs]
        assert line["mix"] == str(row.mix)
        assert (line["image_ap_sd"] == "") == (len(row.seeds) == 1)


def test_latex_escapes_and_balances(made_up: Make) -> None:
    text = tables.latex(tables.results_table([made_up(dataset="my_set", detector="net_1@tiny")]))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert r"my\_set & weave & net\_1@tiny" in text
    assert len({line.count("&") for line in body if "&" in line}) == 1
    assert body[0].count("r") - "\\begin{tabular}".count("r") == 7


@pytest.mark.parametrize(
    ("mix", "title", "text"),
    [
        ({}, "normals only", ""),
        ({"nsa@asbench": 1.0}, "nsa@asbench", "nsa@asbench:1"),
        ({"b": 0.5, "a": 0.5}, "a + b", "a:0.5,b:0.5"),
        ({"b": 0.25, "a": 0.75}, "0.75 a + 0.25 b", "a:0.75,b:0.25"),
    ],
)
def test_mixes_in_words(mix: dict[str, float], title: str, text: str) -> None:
    assert Mix.of(mix).title == title
    assert str(Mix.of(mix)) == text


def test_curves_join_rows_that_differ_in_the_ratio_alone(plain: list[Run], made_up: Make) -> None:
    table = tables.results_table([*plain, made_up(ratio=0.9, steps=77)])
    curves = figures.with_ratios(table.rows)
    assert [tuple(row.ratio for row in curve) for curve in curves] == [(0.0, 0.25, 0.5, 0.75)] * 3
    assert {row.runs[0].decides["steps"] for curve in curves for row in curve} == {300}
    assert figures.with_ratios([row_of(table, mix=Mix.of({}), ratio=0.0)]) == []


def test_a_mixture_needs_its_singles_at_equal_settings_and_sets(made_up: Make) -> None:
    both = {"draem": 0.5, "fractal": 0.5}
    draem, fractal, mixed = made_up(), made_up(mix={"fractal": 1.0}), made_up(mix=both)

    def found(*runs: Run) -> list[figures.Mixture]:
        return figures.mixtures(tables.results_table(runs).rows)

    (mixture,) = found(draem, fractal, mixed)
    assert [str(row.mix) for row in mixture.singles] == ["draem:1", "fractal:1"]
    assert found(draem, mixed) == []
    assert found(draem, made_up(mix={"fractal": 1.0}, ratio=0.25), mixed) == []
    assert found(draem, made_up(mix={"fractal": 1.0}, steps=1), mixed) == []
    assert found(draem, made_up(mix={"fractal": 1.0}, sets={"fractal": "other"}), mixed) == []


def test_curves_of_one_mix_bear_different_names(made_up: Make) -> None:
    runs = [made_up(ratio=r, **more) for r in (0.2, 0.4) for more in ({}, {"steps": 9})]
    runs += [made_up(ratio=r, select="best-on-test") for r in (0.2, 0.4)]
    svg = figures.ratio_curve(
        figures.with_ratios(tables.results_table(runs).rows), "pixel_ap", "one"
    )
    for name in ("draem, steps 300", "draem, steps 9", "draem, steps 300, selected on test"):
        assert f">{name}</text>" in svg

"""The page of a study: answers, tables, figures, images by a rule, and where numbers come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asbench import results
from asbench.report import tables
from asbench.report.page import galleries, html, qualitative, sections
from asbench.report.paper.grid import score_grid
from asbench.report.paper.tables import table4_best, table6
from asbench.results import METRICS, Run
from tests.report.full_grid import full_grid

pytestmark = pytest.mark.slow

Make = Callable[..., Run]
Put = Callable[[Path, Run], Path]


def runs_of(make: Make, categories: range = range(3)) -> list[Run]:
    found = [
        make(dataset="d", category=f"c{c}", detector=t, mix={m: 1.0}, test=f"t{c}")
        for c in categories
        for t in ("draem", "unet")
        for m in ("draem", "memseg", "nsa")
    ]
    return [
        *found,
        *(
            make(dataset="d", category=f"c{c}", detector="unet", mix={}, ratio=0.0)
            for c in categories
        ),
    ]


def page_of(runs: list[Run], root: Path, **given: Any) -> str:
    for run in runs:
        results.save(replace(run, losses=()), root / run.id)
    return html.page(results.runs(root), root, {}, **given)


def test_it_opens_with_four_answers(made_up: Make, tmp_path: Path) -> None:
    text = page_of(runs_of(made_up, range(6)), tmp_path)
    assert text.index('id="questions"') < text.index('id="results"')
    asked = re.findall(r"<h3>(\d[ab]?)\. ", text[: text.index('id="results"')])
    assert asked == ["1", "2", "3", "4a", "4b"]
    assert re.search(r'class="verdict (holds|does-not-hold)"', text)
    assert "Friedman χ²(2)" in text


def test_a_handful_of_runs_is_not_drowned_in_gaps(made_up: Make, tmp_path: Path) -> None:
    text = page_of([made_up(mix={m: 1.0}) for m in ("draem", "fractal")], tmp_path)
    assert "Too few runs to answer any of them." in text
    ids = set(re.findall(r'<section id="(\w+)"', text))
    assert ids == {"questions", "results", "runs"}
    assert "for want of runs" not in text


def test_means_over_categories_whose_test_images_differ(made_up: Make) -> None:
    found = tables.results_table(runs_of(made_up))
    assert sum(row.categories == 3 for row in found.rows) == 7


def test_each_number_names_its_runs(made_up: Make) -> None:
    runs = runs_of(made_up)
    grid = score_grid(results.frame(runs, "full"))
    shown = sections.shown([table4_best(grid), table6(grid)], grid)
    best, none = shown
    by_name = {row[0].entry.text: row for row in best.rows}
    cell = by_name["nsa"][1]
    ids = {
        r.id
        for r in runs
        if r.decides["mix"] == {"nsa": 1.0} and r.decides["detector"] == cell.entry.mark
    }
    assert set(cell.runs) == ids
    assert cell.of.startswith("3 runs: ")
    assert cell.at == f"from-d-{cell.entry.mark}"
    assert ("nsa, d Image AUROC", cell) in best.origins
    numbers = [c for c in none.rows[0][1:] if c.of]
    assert numbers
    assert all(c.of.startswith("3 runs: ") for c in numbers)


def test_the_whole_grid_on_one_page(made_up: Make, tmp_path: Path) -> None:
    base = made_up()
    runs = []
    grid = full_grid()
    some = grid["dataset"].isin(["btad", "mtd"]) & grid["detector"].isin(["draem", "unet"])
    for s in grid[some].to_dict("records"):
        names = s["methods"].split(" + ") if s["methods"] else []
        mix = {m: 1 / len(names) for m in names}
        changed = {k: s[k] for k in ("dataset", "category", "detector", "ratio")}
        changed |= {"mix": mix, "test": s["category"], "sets": {m: m for m in mix}}
        decides: Any = {**base.decides, **changed}
        scores = {m: s[m] for m in METRICS}
        metrics: Any = {"full": scores, "held_out": scores}
        runs.append(replace(base, decides=decides, metrics=metrics))
    lost = runs.pop()
    text = html.page(runs, tmp_path, {})
    assert len(text) < 1_200_000
    ledger = text[text.index('id="runs"') :]
    assert sorted(re.findall(r"<code>([0-9a-f]{12})</code>", ledger)) == sorted(r.id for r in runs)
    assert set(re.findall(r'href="#(from-[\w-]+)"', text)) <= set(
        re.findall(r'id="([\w-]+)"', text)
    )
    assert lost.id not in text
    where = f"with {lost.decides['detector']} on {lost.decides['dataset']}"
    assert re.search(rf"gaps?, for want of runs</summary><p>[^<]*{where}", text)


def test_missing_runs_are_listed(made_up: Make, tmp_path: Path) -> None:
    runs = runs_of(made_up)[1:]
    text = page_of(runs, tmp_path)
    assert "1 run is expected and not there" in text
    assert "draem with draem on d at ratio 0.5, seed 0: c0" in text


def test_rules_choose_by_outcome_and_count_both_ways(
    made_up: Make, put: Put, tmp_path: Path
) -> None:
    aps = {"draem": (0.9, 0.2, 0.5), "memseg": (0.6, 0.5, 0.45)}
    for method, values in aps.items():
        folder = put(tmp_path, made_up(mix={method: 1.0}))
        lines = results.read_table(folder)
        by_id = dict(zip([r.id for r in lines if r.label], values, strict=True))
        results.write_table(folder, [replace(r, pixel_ap=by_id.get(r.id, 0.0)) for r in lines])
    table = tables.results_table(results.runs(tmp_path))
    scenes = galleries.scenes(table, tmp_path, galleries.places(table, 10))
    (choice,) = qualitative.choices(table, scenes, tmp_path)
    assert choice.paper == "7"
    assert (choice.holds, choice.reverse, choice.of) == (1, 1, 3)
    assert [picked.aps for picked in choice.by_rule] == [(0.9, 0.6)]
    assert len(choice.by_hash) == 3
    text = html.page(results.runs(tmp_path), tmp_path, {})
    assert "chosen by outcome" in text
    assert "the reverse for <strong>1</strong>" in text


@pytest.mark.parametrize(
    ("mixture", "singles", "holds", "reverse"),
    [(0.66, (0.6, 0.5), 3, 0), (0.64, (0.6, 0.5), 0, 0), (0.4, (0.6, 0.5), 0, 3)],
)
def test_figure_12_weighs_the_weakest_mixture_against_the_best_single(
    made_up: Make,
    put: Put,
    tmp_path: Path,
    mixture: float,
    singles: tuple[float, float],
    holds: int,
    reverse: int,
) -> None:
    mixes: list[dict[str, float]] = [{"a": 0.5, "b": 0.5}, {"a": 1.0}, {"b": 1.0}]
    for mix, ap in zip(mixes, (mixture, *singles), strict=True):
        folder = put(tmp_path, made_up(mix=mix))
        lines = results.read_table(folder)
        results.write_table(folder, [replace(r, pixel_ap=ap) for r in lines])
    table = tables.results_table(results.runs(tmp_path))
    scenes = galleries.scenes(table, tmp_path, galleries.places(table, 10))
    (choice,) = qualitative.choices(table, scenes, tmp_path)
    assert (choice.paper, choice.holds, choice.reverse) == ("12", holds, reverse)


def test_no_image_where_none_is_wanted(made_up: Make, put: Put, tmp_path: Path) -> None:
    put(tmp_path, made_up())
    runs = results.runs(tmp_path)
    assert "data:image/png" in html.page(runs, tmp_path, {})
    assert "data:image/png" not in html.page(runs, tmp_path, {}, images=False)


def test_places_are_chosen_by_name_alone(made_up: Make) -> None:
    runs = [made_up(category=f"c{c}", seed=s) for c in range(6) for s in range(2)]
    table = tables.results_table(runs)
    few = galleries.places(table, 5)
    assert len(few) == 2
    assert few == galleries.places(tables.results_table(runs[::-1]), 5)
    assert len(galleries.places(table, 1)) == 1
    assert len(galleries.places(table, 12)) == 6

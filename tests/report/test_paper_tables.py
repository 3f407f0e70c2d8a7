"""Tables 3 to 9 of a made-up full grid, held against numbers worked out by plain loops."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asbench.data import published
from asbench.report.paper import as_printed, hybrids, relations, sheet, tables
from asbench.report.paper.grid import ScoreGrid, default_ratios, score_grid
from asbench.report.paper.scores import PLACE, Expected
from asbench.report.paper.sheet import Sheet
from asbench.results import METRICS, Run, frame
from tests.report.full_grid import full_grid, quality

pytestmark = pytest.mark.slow

DEFAULT = {"destseg": 1.0, "draem": 0.5, "memseg": 0.5, "unet": 0.5}
CLASSES = {"mvtec": 15, "btad": 3, "visa": 12, "mpdd": 6, "mtd": 1}


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return full_grid()


@pytest.fixture(scope="module")
def grid(raw: pd.DataFrame) -> ScoreGrid:
    return score_grid(raw)


@pytest.fixture(scope="module")
def mean_of(raw: pd.DataFrame) -> Callable[..., float]:
    """Return a data set's mean over categories, by a loop over the raw scores."""
    table: dict[tuple[object, ...], list[dict[str, float]]] = {}
    for s in raw.to_dict("records"):
        key = (s["dataset"], s["detector"], s["methods"], s["ratio"])
        table.setdefault(key, []).append({m: s[m] for m in METRICS})

    def mean(dataset: str, detector: str, mix: tuple[str, ...], ratio: float, metric: str) -> float:
        values = [metrics[metric] for metrics in table[dataset, detector, " + ".join(mix), ratio]]
        assert len(values) == CLASSES[dataset]
        return sum(values) / len(values)

    return mean


def expected_of(scores: pd.DataFrame) -> list[Expected]:
    return [Expected(*place) for place in scores[PLACE].itertuples(index=False)]


def read(of: Sheet) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(sheet.csv_text(of))))


def test_the_grid_is_the_papers(raw: pd.DataFrame, grid: ScoreGrid) -> None:
    assert len(raw) == 6144
    assert grid.missing == ()
    assert grid.notes == ()
    assert grid.weights == CLASSES
    assert dict(grid.ratios) == DEFAULT
    assert (grid.datasets, grid.detectors) == (as_printed.DATASETS, as_printed.DETECTORS)
    assert grid.methods == as_printed.METHODS
    assert sorted(grid.mixtures.values()) == sorted(as_printed.mixtures())


def test_table_3() -> None:
    here = {"mtd": {"tile": published.Measured(published.Counts(902, 50, 390), (103, 632))}}
    table = tables.table3(here)
    assert [e.value for e in table.rows[0][1:5]] == [3629, 467, 1258, 15]
    assert table.rows[4][3].beside == "here 390"
    assert any("390 test anomalies here, 392 printed" in note for note in table.notes)


def test_table_4(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    best, mean = map(read, (tables.table4_best(grid), tables.table4_mean(grid)))
    titles = {"image_auroc": "Image AUROC", "pixel_ap": "Pixel AP"}
    weighted: dict[tuple[str, str], float] = {}
    for row, average in zip(best, mean, strict=True):
        method = row["Method"]
        for metric, title in titles.items():
            total = 0.0
            for dataset in as_printed.DATASETS:
                values = {
                    d: mean_of(dataset, d, (method,), DEFAULT[d], metric)
                    for d in as_printed.DETECTORS
                }
                top = max(values, key=lambda d: values[d])
                column = f"{dataset} {title}"
                assert float(row[column]) == pytest.approx(values[top], rel=1e-12)
                assert row[f"{column} of"] == top
                assert float(average[column]) == pytest.approx(sum(values.values()) / 4, rel=1e-12)
                total += CLASSES[dataset] * values[top] / 37
            weighted[method, metric] = total
            assert float(row[f"Eq. 1 {title}"]) == pytest.approx(total, rel=1e-12)
    shown = tables.table4_best(grid)
    for column, name in enumerate(shown.head[1:], start=1):
        bold = [row[0].text for row in shown.rows if row[column].best]
        assert bold == [max(best, key=lambda r, n=name: float(r[n]))["Method"]]


def test_table_4_of_one_detector(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    for row in read(tables.table4_of(grid, "destseg")):
        expected = mean_of("visa", "destseg", (row["Method"],), 1.0, "pixel_ap")
        assert float(row["visa Pixel AP"]) == pytest.approx(expected, rel=1e-12)


def test_table_5(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    for row in read(tables.table5(grid)):
        detector = row["Detector"]
        for dataset in as_printed.DATASETS:
            values = {
                m: mean_of(dataset, detector, (m,), DEFAULT[detector], "image_auroc")
                for m in as_printed.METHODS
            }
            assert row[dataset] == max(values, key=lambda m: values[m])


def test_table_6(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    titles = {"image_auroc": "Image AUROC", "pixel_ap": "Pixel AP", "pro": "PRO"}
    for row in read(tables.table6(grid)):
        for detector, (metric, title) in itertools.product(as_printed.DETECTORS, titles.items()):
            expected = mean_of(row["Data set"], detector, (), 0.0, metric)
            assert float(row[f"{detector} {title}"]) == pytest.approx(expected, rel=1e-12)


def test_tables_7_and_8(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    studies = relations.ratio_studies(grid)
    assert [s.dataset for s in studies] == ["mvtec", "btad"]
    for study in studies:
        assert study.ratios == as_printed.RATIOS
        table = relations.ratio_table(grid, study)
        assert table.name == {"mvtec": "table7", "btad": "table8"}[study.dataset]
        centres, widths = [], []
        for row in read(table):
            values = []
            for ratio in as_printed.RATIOS:
                of = [
                    mean_of(study.dataset, d, (row["Method"],), ratio, "image_auroc")
                    for d in as_printed.DETECTORS
                ]
                values.append(sum(of) / 4)
            told = [float(row[c]) for c in ("Mean", "Variance", "Maximum", "Minimum", "Range")]
            expected = (np.mean(values), np.var(values, ddof=1), max(values), min(values))
            assert told == pytest.approx([*expected, max(values) - min(values)], rel=1e-9)
            centres.append(told[0])
            widths.append(told[4])
        assert study.r is not None
        expected_r = stats.pearsonr(centres, widths)
        assert study.r[:2] == pytest.approx((expected_r.statistic, expected_r.pvalue), rel=1e-9)


def test_table_9(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    given = quality()
    rows = read(relations.table9(grid, given))
    assert [row["Quality metric"] for row in rows] == list(as_printed.QUALITIES)
    for row, dataset in itertools.product(rows, as_printed.DATASETS):
        x, y = [], []
        for method in as_printed.METHODS:
            x.append(given[dataset, row["Quality metric"]][method])
            of = [
                mean_of(dataset, d, (method,), DEFAULT[d], "image_auroc")
                for d in as_printed.DETECTORS
            ]
            y.append(sum(of) / 4)
        expected = stats.pearsonr(x, y)
        told = (float(row[f"{dataset} r"]), float(row[f"{dataset} p"]))
        assert told == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
        assert float(row[f"{dataset} n"]) == 12
        assert float(row[f"{dataset} Holm p"]) >= told[1]


def test_quality_meets_the_detectors_that_have_the_most_methods(raw: pd.DataFrame) -> None:
    few = ("draem", "nsa", "fpi")
    mpdd = raw[raw["dataset"] == "mpdd"]
    kept = mpdd[(mpdd["detector"] == "unet") | (mpdd["methods"] == "nsa")]
    pairs = relations.pairings(score_grid(kept), quality())
    pair = next(p for p in pairs if (p.dataset, p.metric) == ("mpdd", "fid"))
    assert (pair.detectors, pair.methods) == (("unet",), as_printed.METHODS)
    same = mpdd[mpdd["methods"].str.split(" + ", regex=False).str[0].isin(few)]
    pairs = relations.pairings(score_grid(same), quality())
    pair = next(p for p in pairs if (p.dataset, p.metric) == ("mpdd", "fid"))
    assert (pair.detectors, pair.methods) == (as_printed.DETECTORS, tuple(sorted(few)))
    assert pair.x == tuple(quality()["mpdd", "fid"][m] for m in sorted(few))


def test_mixtures_beside_their_parts(grid: ScoreGrid, mean_of: Callable[..., float]) -> None:
    found = hybrids.hybrids(grid, "pixel_ap")
    assert len(found) == 44
    for h in found:

        def weighted(mix: tuple[str, ...], detector: str = h.detector) -> float:
            of = {d: mean_of(d, detector, mix, DEFAULT[detector], "pixel_ap") for d in CLASSES}
            return sum(CLASSES[d] * v for d, v in of.items()) / 37

        singles = [weighted((m,)) for m in h.mix]
        assert h.value == pytest.approx(weighted(h.mix), rel=1e-12)
        assert h.theoretical == pytest.approx(sum(singles) / len(singles), rel=1e-12)
        assert h.best == pytest.approx(max(singles), rel=1e-12)
        assert h.best_single == h.mix[singles.index(max(singles))]
    assert len(hybrids.hybrid_table(grid, "pixel_ap").rows) == 44


def test_seeds_are_averaged(raw: pd.DataFrame, mean_of: Callable[..., float]) -> None:
    base = raw[(raw["dataset"] == "btad") & (raw["ratio"] == raw["detector"].map(DEFAULT))]
    again = base.assign(seed=1, image_auroc=0.25, pixel_ap=0.25)
    both = score_grid(pd.concat([base, again])).mean_of_detectors("image_auroc")
    of = [mean_of("btad", d, ("fpi",), DEFAULT[d], "image_auroc") for d in as_printed.DETECTORS]
    assert both["btad", "fpi"] == pytest.approx((sum(of) / 4 + 0.25) / 2)


def test_an_incomplete_grid_has_gaps_and_lists_what_lacks(raw: pd.DataFrame) -> None:
    one = (raw["category"] == "01") & (raw["detector"] == "draem")
    gone = one & (raw["methods"] == "nsa")
    gone |= (raw["dataset"] == "visa") & (raw["methods"] == "fpi")
    kept, expected = raw[~gone], expected_of(raw)
    grid = score_grid(kept, expected)
    assert sorted(grid.missing) == sorted(expected_of(raw[gone]))
    best, mean = tables.table4_best(grid), tables.table4_mean(grid)
    by_name = {row[0].text: dict(zip(best.head, row, strict=True)) for row in best.rows}
    assert by_name["fpi"]["visa Image AUROC"].text == "–"
    assert by_name["nsa"]["btad Image AUROC"].mark.endswith(", of 3")
    assert by_name["nsa"]["Eq. 1 Image AUROC"].text == "–"
    assert not by_name["nsa"]["btad Image AUROC"].best
    alone = read(tables.table4_of(grid, "draem"))
    assert [row["btad Image AUROC"] == "" for row in alone] == [
        row["Method"] == "nsa" for row in alone
    ]
    means = {row[0].text: dict(zip(mean.head, row, strict=True)) for row in mean.rows}
    assert means["nsa"]["btad Image AUROC"].text == "–"
    assert means["nsa"]["Eq. 1 Image AUROC"].text == "–"
    assert means["nsa"]["mvtec Image AUROC"].text != "–"
    study = relations.ratio_studies(grid)[1]
    assert math.isnan(study.spreads.at["nsa", "mean"])
    assert study.r is not None
    assert study.r.n == 11
    lacks = tables.tables(grid)[-1]
    assert (lacks.name, len(lacks.rows)) == ("missing", len(grid.missing))
    # Nothing of a data set: only what is expected can tell.
    without = score_grid(raw[raw["dataset"] != "mtd"], expected)
    assert without.datasets == as_printed.DATASETS
    assert len(without.missing) == (raw["dataset"] == "mtd").sum()
    # Without expectations the categories of a data set are what is implied.
    implied = score_grid(raw[~one])
    lacking = {(p.category, p.detector) for p in implied.missing}
    assert lacking == {("01", "draem")}


def test_printed_numbers_stand_only_beside_what_is_like_them(raw: pd.DataFrame) -> None:
    base = raw[raw["dataset"] == "mtd"]
    like = tables.table4_best(score_grid(base), compare=True)
    assert {e.beside.split()[0] for row in like.rows for e in row[1:3]} == {"printed"}
    near = relations.table9(score_grid(base), quality(), compare=True)
    assert near.head[1] == "mtd r"
    assert [row[1].beside for row in near.rows] == [
        f"printed {as_printed.table9()['mtd', q].r:.4f}" for q in as_printed.QUALITIES
    ]
    changes: tuple[dict[str, Any], ...] = (
        {"reduced": True},
        {"caveats": [("300 steps, published 5000",)] * len(base)},
        {"subset": "held_out"},
        {"dataset": "mtd@grouped"},
    )
    for change in changes:
        other = base.assign(**change)
        seen = []
        for table in tables.tables(score_grid(other), compare=True):
            told = {e.beside for row in table.rows for e in row} - {""}
            if told:
                seen.append(table.name)
                assert told == {"not comparable"}, (change, table.name)
                assert any("not comparable" in note for note in table.notes)
        assert seen == ["table4-best", "table5", "table6"]
    three = base[base["detector"] != "unet"]
    fewer = tables.table4_best(score_grid(three), compare=True)
    assert {e.beside for row in fewer.rows for e in row[1:3]} == {"not comparable"}
    plain = tables.tables(score_grid(base))
    assert not any(e.beside for table in plain for row in table.rows for e in row)


def test_the_default_ratio_is_where_most_methods_stand(raw: pd.DataFrame) -> None:
    one = raw[(raw["dataset"] == "mtd") & (raw["parts"] == 1)]
    few = one[one["methods"].isin(["nsa", "fpi"])].assign(ratio=0.25)
    assert default_ratios(pd.concat([one, few])) == DEFAULT
    usual = one[one["detector"] == "destseg"].assign(ratio=0.5)
    assert default_ratios(pd.concat([usual, few]))["destseg"] == 0.5
    theirs = one[(one["detector"] == "destseg") & (one["methods"] == "nsa")]
    assert default_ratios(pd.concat([usual, theirs]))["destseg"] == 0.5
    assert default_ratios(pd.concat([usual[:1], theirs]))["destseg"] == 1.0


def test_one_grid_has_one_subset(raw: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="do not compare"):
        score_grid(raw[:2].assign(subset=["full", "held_out"]))


def test_three_forms_say_the_same(grid: ScoreGrid) -> None:
    for table in tables.tables(grid, quality=quality(), compare=True):
        lines = sheet.markdown(table).splitlines()
        body = [line for line in lines if line.startswith("| ")][2:]
        assert len(body) == len(table.rows)
        assert all(line.count(" | ") == len(table.head) - 1 for line in body)
        tex = sheet.latex(table)
        assert tex.count(r"\\") == len(table.rows) + 1
        assert len(read(table)) == len(table.rows)
        for row, line in zip(read(table), table.rows, strict=True):
            for name, entry in zip(table.head, line, strict=True):
                if entry.value is not None and not math.isnan(entry.value):
                    assert float(row[name]) == entry.value


def test_a_sheet_escapes_what_latex_and_markdown_read() -> None:
    one = sheet.Entry("cutpaste_scar | 50 %", best=True, mark="a_b", beside="printed 1")
    table = Sheet("t", "T", ("A", "B"), ((one, sheet.number(-0.5)),), ("n",))
    assert r"| **cutpaste_scar \| 50 %** a_b [printed 1] | −0.5000 |" in sheet.markdown(table)
    assert r"\textbf{cutpaste\_scar | 50 \%} {\scriptsize a\_b} [printed 1] & $-$0.5000" in (
        sheet.latex(table)
    )
    with pytest.raises(ValueError, match="1 cells under 2"):
        Sheet("t", "T", ("A", "B"), ((one,),))


def test_runs_become_tables(made_up: Callable[..., Run]) -> None:
    runs = [
        made_up(mix={m: 1.0}, detector=d, category=c)
        for m in ("nsa", "fpi")
        for d in ("draem@tiny", "unet@tiny")
        for c in ("weave", "board")
    ]
    table = tables.table4_best(score_grid(frame(runs, "full")), compare=True)
    assert len(table.rows) == 2
    mean = {
        d: np.mean(
            [
                r.metrics["full"]["image_auroc"]
                for r in runs
                if (r.decides["detector"], r.decides["mix"]) == (d, {"nsa": 1.0})
            ]
        )
        for d in ("draem@tiny", "unet@tiny")
    }
    assert table.rows[1][1].value == pytest.approx(max(mean.values()))

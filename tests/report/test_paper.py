"""The printed tables: whole, consistent, and our code gives their derived numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from asbench.data import published
from asbench.quality import statistics
from asbench.quality.statistics import p_of_r
from asbench.report.paper import as_printed, relations, tables
from asbench.report.paper.grid import ScoreGrid, score_grid


@pytest.fixture(scope="module")
def grid() -> ScoreGrid:
    return score_grid(as_printed.table4())


def printed() -> dict[tuple[str, str, str], tuple[float, str]]:
    return {
        (s.dataset, s.methods, metric): (getattr(s, metric), s.detector)
        for s in as_printed.table4().itertuples()
        for metric in ("image_auroc", "pixel_ap")
        if not math.isnan(getattr(s, metric))
    }


def without_anomalies() -> dict[tuple[str, str], dict[str, float]]:
    metrics = ["image_auroc", "pixel_ap", "pro"]
    return as_printed.table6().set_index(["dataset", "detector"])[metrics].to_dict("index")


def test_the_tables_are_whole() -> None:
    cells = printed()
    assert set(cells) == set(
        itertools.product(as_printed.DATASETS, as_printed.METHODS, ("image_auroc", "pixel_ap"))
    )
    assert set(as_printed.table5()) == set(
        itertools.product(as_printed.DETECTORS, as_printed.DATASETS)
    )
    assert len(as_printed.table6()) == 20
    assert set(as_printed.table9()) == set(
        itertools.product(as_printed.DATASETS, as_printed.QUALITIES)
    )
    for dataset in ("mvtec", "btad"):
        assert tuple(as_printed.ratio_table(dataset)) == as_printed.METHODS
    assert len(as_printed.mixtures()) == 11
    assert set(as_printed.DATASETS) == set(published.table3())
    assert set(as_printed.DETECTORS) == set(published.default_ratios())


def test_cells_read_by_eye() -> None:
    cells = printed()
    assert cells["mvtec", "destseg", "image_auroc"] == (0.9892, "destseg")  # red
    assert cells["btad", "cutpaste", "image_auroc"] == (0.9643, "draem")  # blue
    assert cells["visa", "cutout", "image_auroc"] == (0.7959, "unet")  # yellow
    assert cells["mtd", "dfmgan", "image_auroc"] == (0.6902, "memseg")  # green
    assert cells["mtd", "dfmgan", "pixel_ap"] == (0.0807, "unet")
    without = without_anomalies()
    assert without["mpdd", "destseg"] == {"image_auroc": 0.3735, "pixel_ap": 0.0345, "pro": 0.1874}
    assert as_printed.table9()["visa", "is"] == (0.6882, 0.8817)
    assert as_printed.ratio_table("btad")["realnet"] == (0.8526, 6.36e-4, 0.8874, 0.8270, 0.0604)


def test_colours_agree_with_table_5() -> None:
    """Were a colour another detector, some cell of it would exceed Table 5's best method."""
    cells, equal, seen = printed(), 0, 0
    for (detector, dataset), method in as_printed.table5().items():
        own = {
            m: v
            for (d, m, metric), (v, by) in cells.items()
            if (d, metric, by) == (dataset, "image_auroc", detector)
        }
        ceiling = cells[dataset, method, "image_auroc"][0]
        assert all(value <= ceiling for value in own.values()), (detector, dataset)
        seen += bool(own)
        equal += bool(own) and max(own, key=lambda m: own[m]) == method
    assert (equal, seen) == (12, 16)


def test_equation_1_on_table_4(grid: ScoreGrid) -> None:
    best = {key: b.value for key, b in grid.best_of_detectors("image_auroc").items()}
    weighted = grid.weighted(best)
    by_hand = {"destseg": 0.9697, "draem": 0.9664, "fractal": 0.9596, "anomalydiffusion": 0.9464}
    assert {m: round(weighted[m], 4) for m in by_hand} == by_hand
    assert grid.weights == {"mvtec": 15, "btad": 3, "visa": 12, "mpdd": 6, "mtd": 1}
    for method, value in weighted.items():
        cells = [printed()[d, method, "image_auroc"][0] for d in as_printed.DATASETS]
        assert value == pytest.approx(np.average(cells, weights=(15, 3, 12, 6, 1)), rel=1e-12)


def test_ranks_of_table_4_are_scipys(grid: ScoreGrid) -> None:
    from asbench.report.paper.questions import method_blocks

    found = method_blocks(grid, "image_auroc")
    assert found is not None
    assert found.unit == "data sets"
    cells = printed()
    matrix = np.array(
        [
            [cells[d, m, "image_auroc"][0] for m in as_printed.METHODS]
            for d in sorted(as_printed.DATASETS)
        ]
    )
    assert found.columns == as_printed.METHODS
    np.testing.assert_array_equal(found.values, matrix)
    ours = statistics.friedman(matrix)
    theirs = stats.friedmanchisquare(*matrix.T)
    assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


def test_a_table_of_printed_scores_prints_them(grid: ScoreGrid) -> None:
    sheet = tables.table4_best(grid, compare=True)
    cells = printed()
    for row in sheet.rows:
        columns = itertools.product(as_printed.DATASETS, ("image_auroc", "pixel_ap"))
        for (dataset, metric), entry in zip(columns, row[1:11], strict=True):
            value, detector = cells[dataset, row[0].text, metric]
            told = (entry.text, entry.mark, entry.beside)
            assert told == (f"{value:.4f}", detector, f"printed {value:.4f}")


@pytest.mark.parametrize("dataset", ["mvtec", "btad"])
def test_tables_7_and_8_hold_together(dataset: str) -> None:
    """Four values with the printed mean, maximum and minimum can have the printed variance with
    n - 1 in the divisor, and for some methods with n they cannot."""
    impossible = 0
    for row in as_printed.ratio_table(dataset).values():
        assert row.range == pytest.approx(row.maximum - row.minimum, abs=1.01e-4)
        assert row.minimum <= row.mean <= row.maximum
        rest = 4 * row.mean - row.maximum - row.minimum
        corner = min(row.maximum, rest - row.minimum)
        least = np.var([row.maximum, row.minimum, rest / 2, rest / 2], ddof=1)
        most = np.var([row.maximum, row.minimum, corner, rest - corner], ddof=1)
        rounding = 4 * row.range * 1e-4  # of the printed mean, maximum and minimum
        assert least - rounding <= row.variance <= most + rounding
        impossible += row.variance > 0.75 * most + rounding / 4
    assert impossible > 0


def test_the_correlations_of_section_4_3() -> None:
    for dataset, told in as_printed.section_4_3().items():
        rows = as_printed.ratio_table(dataset).values()
        found = statistics.pearson([r.mean for r in rows], [r.range for r in rows])
        # The tables' four digits move the BTAD value in the fifth.
        assert found.r == pytest.approx(told.r, abs=1e-4)
        assert found.p == pytest.approx(told.p, rel=2e-3)


def test_p_values_of_table_9_follow_from_r_but_for_visas() -> None:
    table = as_printed.table9()
    for (dataset, _), told in table.items():
        if dataset != "visa":
            assert p_of_r(told.r, 12) == pytest.approx(told.p, abs=1.5e-4)
    corrected = {"ssim": 0.5419, "psnr": 0.9174, "lpips": 0.4764, "is": 0.0134, "fid": 0.9599}
    for quality in as_printed.QUALITIES:
        assert table["visa", quality].p == table["btad", quality].p
        ours = p_of_r(table["visa", quality].r, 12)
        assert abs(ours - table["visa", quality].p) > 0.01
        assert ours == pytest.approx({**corrected, "kid": 0.2082}[quality], abs=5e-5)
    sheet = relations.table9_printed()
    visa_is = next(r for r in sheet.rows if (r[0].text, r[1].text) == ("visa", "is"))
    assert [e.text for e in visa_is[2:5]] == ["0.6882", "0.8817", "0.0134"]
    assert visa_is[5].value == pytest.approx(30 * 0.01335, abs=2e-3)


def test_table_6_through_our_table_6() -> None:
    grid = score_grid(as_printed.table6())
    sheet = tables.table6(grid, compare=True)
    without = without_anomalies()
    for row in sheet.rows:
        told = [e.value for e in row[1:]]
        assert told == [v for d in as_printed.DETECTORS for v in without[row[0].text, d].values()]
    flavour = sheet.head.index("memseg PRO")
    assert {row[flavour].beside for row in sheet.rows} == {"not comparable"}
    assert not any(math.isnan(e.value or 0) for row in sheet.rows for e in row)

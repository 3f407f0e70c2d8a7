"""What the figures draw, read back from their axes, against numbers worked out by plain loops."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from scipy import stats

from asbench.data import published
from asbench.report.drawing import Drawing
from asbench.report.paper import as_printed
from asbench.report.paper.files import write_figures
from asbench.report.paper.grid import ScoreGrid, score_grid
from asbench.report.paper.plots import (
    everything,
    heatmaps,
    mixtures,
    radars,
    ranks,
    ratios,
    robustness,
    scatters,
)
from asbench.report.paper.relations import Pairing, ratio_studies
from asbench.results import METRICS
from synth_store.types import UserError
from tests.report.full_grid import full_grid, quality

pytestmark = pytest.mark.slow

DEFAULTS = published.default_ratios()
DATASETS = tuple(as_printed.DATASETS)
DETECTORS = tuple(sorted(as_printed.DETECTORS))
METHODS = tuple(sorted(as_printed.METHODS))
SIZES = {name: len(published.categories(name)) for name in DATASETS}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return full_grid()


@pytest.fixture(scope="module")
def grid(scores: pd.DataFrame) -> ScoreGrid:
    return score_grid(scores)


@pytest.fixture(scope="module")
def plain(scores: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """The mean over categories, by (metric, data set, detector, mix, ratio), by plain loops."""
    sums: dict[tuple[Any, ...], list[float]] = {}
    for s in scores.to_dict("records"):
        mix = tuple(s["methods"].split(" + ")) if s["methods"] else ()
        for metric in METRICS:
            key = (metric, s["dataset"], s["detector"], mix, s["ratio"])
            sums.setdefault(key, []).append(s[metric])
    return {key: sum(values) / len(values) for key, values in sums.items()}


def single(plain: Any, metric: str, dataset: str, detector: str, method: str) -> float:
    return float(plain[metric, dataset, detector, (method,), DEFAULTS[detector]])


def weighted(values: dict[str, float]) -> float:
    return sum(SIZES[d] * v for d, v in values.items()) / sum(SIZES[d] for d in values)


def lines(drawing: Drawing, axes: int = 0) -> list[Any]:
    return drawing.figure.axes[axes].get_lines()


def ticks(drawing: Drawing, axis: str, axes: int = 0) -> list[str]:
    found = getattr(drawing.figure.axes[axes], f"get_{axis}ticklabels")()
    return [label.get_text() for label in found]


def without(scores: pd.DataFrame, **what: Any) -> ScoreGrid:
    kept = scores[~np.logical_and.reduce([scores[k] == v for k, v in what.items()])]
    assert len(kept) < len(scores)
    return score_grid(kept)


@pytest.mark.parametrize("metric", ["image_auroc", "pixel_ap"])
def test_figures_2_to_4_one_polygon_a_detector(grid: ScoreGrid, plain: Any, metric: str) -> None:
    whole = radars.overall(grid, metric)
    assert ticks(whole, "x") == list(METHODS)
    for detector, line in zip(DETECTORS, lines(whole), strict=True):
        assert line.get_label() == detector
        wanted = [
            weighted({d: single(plain, metric, d, detector, m) for d in DATASETS}) for m in METHODS
        ]
        np.testing.assert_allclose(line.get_ydata(), [100 * v for v in [*wanted, wanted[0]]])
    for dataset in DATASETS:
        one = radars.of_dataset(grid, dataset, metric)
        assert one.paper == ("3" if metric == "image_auroc" else "4")
        for detector, line in zip(DETECTORS, lines(one), strict=True):
            wanted = [100 * single(plain, metric, dataset, detector, m) for m in METHODS]
            np.testing.assert_allclose(line.get_ydata()[:-1], wanted)
            low, high = one.figure.axes[0].get_ylim()
            assert low <= min(wanted)
            assert high >= max(wanted), "no corner lies off the paper"
        assert one.missing == ()


def test_figure_5_cells(grid: ScoreGrid, plain: Any) -> None:
    by_dataset = heatmaps.over_datasets(grid, "pixel_ap")
    wanted = [
        [np.mean([single(plain, "pixel_ap", d, t, m) for t in DETECTORS]) for d in DATASETS]
        for m in METHODS
    ]
    mesh = by_dataset.figure.axes[0].collections[0]
    np.testing.assert_allclose(mesh.get_array(), 100 * np.array(wanted))
    assert ticks(by_dataset, "x") == list(DATASETS)
    assert ticks(by_dataset, "y") == list(METHODS)
    written = [text.get_text() for text in by_dataset.figure.axes[0].texts]
    assert written == [f"{100 * v:.1f}" for row in wanted for v in row]
    by_detector = heatmaps.over_detectors(grid, "pixel_ap")
    wanted = [
        [np.mean([single(plain, "pixel_ap", d, t, m) for d in DATASETS]) for t in DETECTORS]
        for m in METHODS
    ]
    mesh = by_detector.figure.axes[0].collections[0]
    np.testing.assert_allclose(mesh.get_array(), 100 * np.array(wanted))


@pytest.mark.parametrize("over", ["datasets", "detectors"])
def test_figure_6_mean_and_sample_variance(grid: ScoreGrid, plain: Any, over: Any) -> None:
    drawing = robustness.draw(grid, "image_auroc", over)
    left, right = drawing.figure.axes
    names = ticks(drawing, "y")
    means = dict(zip(names, left.get_lines()[0].get_xdata(), strict=True))
    variances = dict(zip(names, [bar.get_width() for bar in right.patches], strict=True))
    for m in METHODS:
        table = [[single(plain, "image_auroc", d, t, m) for t in DETECTORS] for d in DATASETS]
        values = np.mean(table, axis=1 if over == "datasets" else 0)
        assert means[m] == pytest.approx(100 * values.mean())
        assert variances[m] == pytest.approx(1e4 * values.var(ddof=1))
    assert list(means.values()) == sorted(means.values(), reverse=True)


def test_figure_8_without_and_with(grid: ScoreGrid, plain: Any) -> None:
    drawing = ratios.draw_without(grid, "image_auroc")
    pairs = [line.get_xdata() for line in lines(drawing) if len(line.get_xdata()) == 2]
    for (d, t), drawn in zip(itertools.product(DATASETS, DETECTORS), pairs, strict=True):
        with_them = np.mean([single(plain, "image_auroc", d, t, m) for m in METHODS])
        np.testing.assert_allclose(
            drawn, [100 * plain["image_auroc", d, t, (), 0.0], 100 * with_them]
        )


def test_figure_10_and_the_scatter_of_section_4_3(grid: ScoreGrid, plain: Any) -> None:
    studies = ratio_studies(grid)
    assert [s.dataset for s in studies] == ["mvtec", "btad"]
    for study in studies:
        cells = {
            (m, t, r): plain["image_auroc", study.dataset, t, (m,), r]
            for m in METHODS
            for t in DETECTORS
            for r in as_printed.RATIOS
        }
        by_method = ratios.draw_curves(grid, study, "method")
        for line in lines(by_method):
            name = line.get_label()
            wanted = [
                100 * np.mean([cells[name, t, r] for t in DETECTORS]) for r in as_printed.RATIOS
            ]
            np.testing.assert_allclose(line.get_ydata(), wanted)
            assert tuple(line.get_xdata()) == as_printed.RATIOS
        for line in lines(ratios.draw_curves(grid, study, "detector")):
            name = line.get_label()
            wanted = [
                100 * np.mean([cells[m, name, r] for m in METHODS]) for r in as_printed.RATIOS
            ]
            np.testing.assert_allclose(line.get_ydata(), wanted)
        table = [
            [np.mean([cells[m, t, r] for t in DETECTORS]) for r in as_printed.RATIOS]
            for m in METHODS
        ]
        mean, spread = np.mean(table, axis=1), np.ptp(table, axis=1)
        drawing = ratios.draw_stability(grid, study)
        dots = dict(zip(*lines(drawing)[0].get_data(), strict=True))
        wanted_dots = dict(zip(100 * mean, 100 * spread, strict=True))
        np.testing.assert_allclose(sorted(dots.items()), sorted(wanted_dots.items()))
        r, p = stats.pearsonr(mean, spread)
        assert f"r = {r:.2f}, p = {p:.2g}, n = 12".replace("= -", "= −") in drawing.caption
        styles = {(x.get_color(), x.get_linestyle(), x.get_marker()) for x in lines(by_method)}
        assert len(styles) == len(METHODS)
        assert len({x.get_marker() for x in lines(by_method)}) == len(METHODS), (
            "not by colour alone"
        )


def test_figure_11_pairs(grid: ScoreGrid, plain: Any) -> None:
    made = quality()
    drawn = everything.of_quality(grid, made)
    assert len(drawn) == len(DATASETS) * len(as_printed.QUALITIES)
    for (dataset, metric), drawing in zip(made, drawn, strict=True):
        x, y = lines(drawing)[0].get_data()
        means = [
            100 * np.mean([single(plain, "image_auroc", dataset, t, m) for t in DETECTORS])
            for m in METHODS
        ]
        np.testing.assert_allclose(x, [made[dataset, metric][m] for m in METHODS])
        np.testing.assert_allclose(y, means)
        r, p = stats.pearsonr(x, y)
        assert f"r = {r:.2f}, p = {p:.2g}, n = 12".replace("= -", "= −") in drawing.caption


def test_figure_13_bars_run_from_the_mean_of_the_parts(grid: ScoreGrid, plain: Any) -> None:
    for detector in DETECTORS:
        drawing = mixtures.draw(grid, detector, "pixel_ap")
        bars = drawing.figure.axes[0].patches
        marks = [line.get_xdata()[0] for line in lines(drawing)]
        for place, mix in enumerate(sorted(as_printed.mixtures(), key=lambda m: (len(m), m))):
            at = DEFAULTS[detector]
            own = weighted({d: plain["pixel_ap", d, detector, mix, at] for d in DATASETS})
            parts = [
                weighted({d: single(plain, "pixel_ap", d, detector, m) for d in DATASETS})
                for m in mix
            ]
            bar = bars[place]
            assert bar.get_x() == pytest.approx(100 * np.mean(parts))
            assert bar.get_x() + bar.get_width() == pytest.approx(100 * own)
            np.testing.assert_allclose(
                marks[3 * place : 3 * place + 3],
                [100 * np.mean(parts), 100 * own, 100 * max(parts)],
            )


def test_ranks_and_what_nemenyi_does_not_tell_apart(grid: ScoreGrid, scores: pd.DataFrame) -> None:
    drawing = ranks.draw(grid, "image_auroc")
    assert drawing is not None
    sums: dict[tuple[str, str, str], list[float]] = {}
    for s in scores.itertuples():
        if s.parts == 1 and s.ratio == DEFAULTS[s.detector]:
            sums.setdefault((s.dataset, s.category, s.methods), []).append(s.image_auroc)
    blocks = sorted({key[:2] for key in sums})
    table = [[np.mean(sums[(*block, m)]) for m in METHODS] for block in blocks]
    wanted = stats.rankdata(-np.array(table), axis=1).mean(axis=0)
    for method, rank in zip(METHODS, wanted, strict=True):
        assert f"{method} {rank:.2f}" in drawing.told
    gap = stats.studentized_range.ppf(0.95, 12, np.inf) / math.sqrt(2)
    gap *= math.sqrt(12 * 13 / (6 * len(blocks)))
    assert f"Critical difference {gap:.2f}" in drawing.told
    thick = [line.get_xdata() for line in lines(drawing) if line.get_linewidth() == 3]
    assert thick
    for left, right in thick:
        assert right - left - 0.12 <= gap + 1e-9
        assert min(abs(wanted - left - 0.06)) < 1e-9, "a bar begins at a method"


def test_no_method_on_the_front_is_beaten(grid: ScoreGrid) -> None:
    found = scatters.pareto(grid, "image_auroc", "pixel_ap")
    assert set(found) == set(METHODS)
    for name, (x, y, front) in found.items():
        beaten = any(a >= x and b >= y and (a, b) != (x, y) for a, b, _ in found.values())
        assert front is not beaten, name
    line = lines(scatters.draw_pareto(grid))[0]
    assert (np.diff(line.get_xdata()) >= 0).all()
    assert (np.diff(line.get_ydata()) <= 0).all()


def test_gaps_are_drawn_as_gaps_and_named(scores: pd.DataFrame) -> None:
    holed = without(scores, dataset="mtd", detector="memseg", methods="nsa")
    drawing = radars.of_dataset(holed, "mtd", "image_auroc")
    assert drawing.missing == ("nsa with memseg on mtd",)
    drawn = dict(zip(DETECTORS, lines(drawing), strict=True))
    assert [math.isnan(v) for v in drawn["memseg"].get_ydata()[:-1]] == [
        m == "nsa" for m in METHODS
    ]
    assert not np.isnan(drawn["draem"].get_ydata()).any()
    heat = heatmaps.over_datasets(holed, "image_auroc")
    cells = heat.figure.axes[0].collections[0].get_array()
    assert [tuple(at) for at in np.argwhere(cells.mask)] == [(METHODS.index("nsa"), 4)]
    assert "nsa: mvtec" in heat.told
    assert "mtd –" in heat.told
    whole = robustness.draw(holed, "image_auroc", "datasets")
    assert ticks(whole, "y")[-1] == "nsa"
    low, high = sorted(whole.figure.axes[0].get_ylim())
    assert low < 0
    assert high > len(METHODS) - 1, "the row of the gap is on the paper"


def test_a_missing_category_is_named_with_its_share(scores: pd.DataFrame) -> None:
    holed = without(scores, category="bottle", detector="unet", methods="fpi", ratio=0.5)
    missing = radars.overall(holed, "image_auroc").missing
    assert missing == ("fpi with unet on mvtec (1 of 15 categories)",)
    at = ratios.draw_curves(holed, ratio_studies(holed)[0], "method").missing
    assert at == ("fpi with unet on mvtec at ratio 0.5 (1 of 15 categories)",)


def test_an_undefined_value_is_a_gap_too(scores: pd.DataFrame) -> None:
    one = (scores["category"] == "01") & (scores["detector"] == "draem")
    broken = scores.copy()
    broken.loc[one & (scores["methods"] == "nsa"), "image_auroc"] = math.nan
    drawing = radars.of_dataset(score_grid(broken), "btad", "image_auroc")
    assert drawing.missing == ("nsa with draem on btad (undefined)",)


def test_figures_as_files(scores: pd.DataFrame, tmp_path: Any) -> None:
    few = scores[(scores["dataset"] == "btad") & scores["detector"].isin(["draem", "unet"])]
    small = score_grid(
        few[
            [
                {*methods.split(" + ")} <= {"draem", "memseg", "fractal"}
                for methods in few["methods"]
            ]
        ]
    )
    paths = write_figures(small, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    text = (tmp_path / "figures.md").read_text()
    assert set(re.findall(r"Figure (\d+):", text)) == {"3", "4", "5", "6", "10", "13"}
    seen: set[str] = set()
    for path in tmp_path.glob("*.svg"):
        tree = ET.fromstring(path.read_text())
        own = {e.attrib["id"] for e in tree.iter() if "id" in e.attrib}
        assert not own & seen, "several figures can stand in one page"
        seen |= own
        title = tree.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert len(title.text or "") > 40
        assert "@media(prefers-color-scheme:dark)" in path.read_text()
        with Pillow.open(BytesIO(path.with_suffix(".png").read_bytes())) as picture:
            assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    again = {d.name: d for d in everything.of_mixtures(small)}
    for name, drawing in again.items():
        assert drawing.svg_file() == (tmp_path / f"{name}.svg").read_text()
        assert drawing.png() == (tmp_path / f"{name}.png").read_bytes()


def test_the_full_grid_gives_rise_to_every_figure(grid: ScoreGrid) -> None:
    drawn = everything.figures(grid, quality())
    assert {d.paper for d in drawn} == {"", "2", "3", "4", "5", "6", "8", "10", "11", "13"}
    names = [d.name for d in drawn]
    assert len(set(names)) == len(names)
    assert all(d.missing == () for d in drawn)


def test_a_handful_of_runs_draws_nothing(scores: pd.DataFrame, tmp_path: Any) -> None:
    mtd = scores[(scores["dataset"] == "mtd") & (scores["detector"] == "draem")]
    one = mtd[mtd["methods"] == "nsa"]
    assert everything.figures(score_grid(one)) == []
    with pytest.raises(UserError, match="three methods"):
        write_figures(score_grid(one), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def _pairing(methods: str, x: tuple[float, ...]) -> Pairing:
    y = tuple(0.1 * place for place, _ in enumerate(methods))
    given = {"dataset": "d", "metric": "ssim", "methods": tuple(methods), "x": x, "y": y}
    return Pairing(**{"detectors": ("draem",), **given})  # type: ignore[arg-type]


def test_too_few_points_have_no_correlation() -> None:
    alike = scatters.draw_quality(_pairing("abc", (1, 1, 1)))
    assert "all values are alike (n = 3)" in alike.caption
    two = scatters.draw_quality(_pairing("ab", (1, 2)))
    assert "too few points for a correlation (n = 2)" in two.caption


def test_names_do_not_cover_one_another(grid: ScoreGrid) -> None:
    axes = scatters.draw_pareto(grid).figure.axes[0]
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    overlaps = sum(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert overlaps <= 2, "boxes have a margin of their own: names may touch, not hide"

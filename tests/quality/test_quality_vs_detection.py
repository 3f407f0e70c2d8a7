"""Quality rows beside runs: which methods become points, of what, and the table's numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from asbench.quality import cross_matrix
from asbench.quality.cross_matrix import Crossed
from asbench.quality.quality_vs_detection import by_method, correlate_runs, csv_text, latest
from asbench.quality.record import Quality, Score
from asbench.results import METRICS, SUBSETS, Run
from synth_store import UserError

METHODS = tuple("abcdefghij")


def a_quality(method: str, value: float, category: str = "x", **changes: Any) -> Quality:
    scores = (
        Score("fid", "real", "whole", value, 20, 30, weights="w"),
        Score("fid", "real", "inside", 1 / (value + 1), 20, 30, weights="w"),
        Score("mask_area", "self", "whole", value**2, 20),
    )
    decides: Any = {
        "version": 1,
        "dataset": "demo",
        "category": category,
        "method": method,
        "seed": 0,
        "geometry": "32x32 (stretch)",
        "set": f"{method}{category}",
        "normals": "n",
        "test": "t",
        "n": 20,
        "real": "held_out",
        "metrics": ["fid"],
        "weights": {"inception": "w"},
    }
    fields: dict[str, Any] = {
        "decides": {**decides, **{k: v for k, v in changes.items() if k in decides}},
        "scores": scores,
        "saw_defects": 0,
        "environment": {},
        "seconds": 1.0,
        "created": "2026-01-01",
    }
    return Quality(**{**fields, **{k: v for k, v in changes.items() if k in fields}})


def a_run(method: str, value: float, category: str = "x", saw: int = 0, **changes: Any) -> Run:
    decides: Any = {
        "dataset": "demo",
        "category": category,
        "geometry": "32x32 (stretch)",
        "normals": "n",
        "test": "t",
        "mix": {method: 1.0},
        "sets": {method: "s"},
        "ratio": 0.5,
        "ratio_mode": "exact",
        "pool": None,
        "detector": "draem@tiny",
        "parameters": {},
        "steps": 1,
        "batch": 1,
        "precision": "fp32",
        "weights": None,
        "seed": 0,
        "synth_seed": 0,
        "select": "last",
        **changes,
    }
    scores: Any = {s: dict.fromkeys(METRICS, value if s == "full" else value / 2) for s in SUBSETS}
    return Run(
        decides=decides,
        metrics=scores,
        counts={},
        reasons={},
        untrained=None,
        saw_defects=saw,
        realised={},
        losses=(),
        threshold=None,
        environment={},
        seconds={},
        created="2026-01-01",
    )


RNG = np.random.default_rng(0)
X, Y = RNG.random(10), RNG.random(10)
QUALITIES = [a_quality(m, x) for m, x in zip(METHODS, X, strict=True)]
RUNS = [a_run(m, y) for m, y in zip(METHODS, Y, strict=True)]


def test_a_row_for_every_score_corrected_for_all() -> None:
    rows = correlate_runs(QUALITIES, RUNS, resamples=50)
    assert [r.score for r in rows] == ["fid:real:whole", "fid:real:inside", "mask_area:self:whole"]
    first = rows[0]
    assert first.methods == METHODS
    assert (first.n, first.subset, first.family) == (20, "full", 3)
    expected = stats.pearsonr(X, Y)
    assert first.result.pearson.value == pytest.approx(expected.statistic)
    assert first.result.pearson.p == pytest.approx(expected.pvalue)
    p = sorted(r.result.pearson.p for r in rows)
    assert min(r.result.pearson.holm for r in rows) == pytest.approx(min(1, 3 * p[0]))
    (alone,) = correlate_runs(QUALITIES, RUNS, scores=["mask_area"], resamples=50)
    assert (alone.family, alone.result.pearson.holm) == (1, alone.result.pearson.p)


def test_y_is_the_mean_over_seeds_then_detectors_then_categories() -> None:
    qualities = [a_quality(m, 1.0 + i, c) for i, m in enumerate("ab") for c in "xy"]
    values = {
        ("x", "draem", 0): 0.1,
        ("x", "draem", 1): 0.3,
        ("x", "unet", 0): 0.6,
        ("y", "draem", 0): 0.8,
    }
    runs = [
        a_run(m, v + 0.1 * i, category, detector=detector, seed=seed)
        for i, m in enumerate("ab")
        for (category, detector, seed), v in values.items()
    ]
    row = correlate_runs(qualities, runs)[0]
    assert row.y == pytest.approx(((0.2 + 0.6) / 2 * 0.5 + 0.8 * 0.5, 0.7))
    assert (row.detectors, row.categories, row.seeds) == (("draem", "unet"), ("x", "y"), (0, 1))


def test_settings_that_one_method_lacks_count_for_none() -> None:
    runs = [*RUNS, a_run("a", 0.0, detector="memseg"), a_run("b", 0.0, steps=9)]
    assert correlate_runs(QUALITIES, runs, resamples=5)[0].y == pytest.approx(tuple(Y))


def test_mixtures_and_runs_chosen_on_the_test_set_play_no_part() -> None:
    runs = [
        *RUNS,
        a_run("a", 0.0, mix={"a": 0.5, "b": 0.5}),
        a_run("a", 0.0, select="best-on-test"),
        a_run("a", 0.0, mix={}, ratio=0.0),
    ]
    assert correlate_runs(QUALITIES, runs, resamples=5)[0].y == pytest.approx(tuple(Y))


def test_all_rows_use_the_held_out_images_once_one_run_saw_defects() -> None:
    runs = [*RUNS[:-1], a_run("j", Y[-1], saw=3)]
    row = correlate_runs(QUALITIES, runs, resamples=5)[0]
    assert row.subset == "held_out"
    assert row.y == pytest.approx(tuple(Y / 2))


def test_who_is_left_out_is_named() -> None:
    none = dataclasses.replace(QUALITIES[0].scores[0], value=math.nan, reason="none")
    qualities = [
        dataclasses.replace(QUALITIES[0], scores=(none, *QUALITIES[0].scores[1:])),
        *QUALITIES[1:],
        a_quality("untrained", 1.0),
    ]
    whole, inside, _ = correlate_runs(qualities, [*RUNS, a_run("unmeasured", 0.5)], resamples=5)
    assert whole.methods == METHODS[1:]
    assert dict(whole.left_out) == {
        "a": "no fid:real:whole",
        "unmeasured": "no fid:real:whole",
        "untrained": "not trained on",
    }
    assert inside.methods == METHODS


def test_what_differs_in_how_it_was_measured_is_not_mixed() -> None:
    more = [a_quality(m, 100 * x, n=50) for m, x in zip(METHODS[:4], X, strict=False)]
    rows = correlate_runs([*QUALITIES, *more], RUNS, scores=["fid:real:whole"], resamples=5)
    assert {(r.n, r.result.n) for r in rows} == {(20, 10), (50, 4)}
    again = [a_quality(m, 7.0 + i, created="2027") for i, m in enumerate(METHODS)]
    row = correlate_runs([*again, *QUALITIES], RUNS, resamples=5)[0]
    assert row.x == pytest.approx([7.0 + i for i in range(10)])


def test_other_weights_are_another_score() -> None:
    scores = (dataclasses.replace(QUALITIES[0].scores[0], weights="v"),)
    other = [dataclasses.replace(q, scores=scores) for q in QUALITIES[:2]]
    rows = correlate_runs([*QUALITIES[2:], *other], RUNS, scores=["fid:real:whole"], resamples=5)
    assert [r.result.n for r in rows] == [8, 2]


def test_too_few_methods_are_said_and_not_tested() -> None:
    rows = correlate_runs(QUALITIES[:5], RUNS)
    assert {r.result.verdict() for r in rows} == {"too few: 5 points, 8 are needed"}
    assert rows[0].family == 0


def test_csv_holds_the_points() -> None:
    rows = correlate_runs(QUALITIES, RUNS, resamples=50)
    lines = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(v) for v in lines[0]["x"].split()] == pytest.approx(list(X))
    assert float(lines[0]["pearson_holm"]) == rows[0].result.pearson.holm
    assert lines[0]["methods"].split() == list(METHODS)


@pytest.mark.parametrize(
    ("qualities", "runs", "given", "complaint"),
    [
        (QUALITIES, RUNS, {"target": "auc"}, "choose image_auroc"),
        (QUALITIES, [], {}, "no run on a single method"),
        (QUALITIES, RUNS, {"ratio": 0.25}, "no run on a single method"),
        ([], RUNS, {}, "asbench quality --method"),
        (QUALITIES, RUNS, {"scores": ["lpips"]}, "no score lpips of a measured set"),
    ],
)
def test_nothing_to_correlate_is_an_error(
    qualities: list[Quality], runs: list[Run], given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        correlate_runs(qualities, runs, **given)


def crossed(run: Run, values: dict[str, float]) -> Crossed:
    return Crossed(
        decides={"version": 1, "run": run.id, "sets": {}, "normals": "n", "negatives": 5},
        method=next(iter(run.decides["mix"])),
        values={b: {"image_auroc": v, "pixel_ap": v / 2} for b, v in values.items()},
        counts=dict.fromkeys(values, 5),
        created="2026-01-01",
    )


def test_a_matrix_is_the_mean_over_seeds_and_settings() -> None:
    runs = [a_run(m, 0.1 * i, seed=s) for i, m in enumerate("abcd") for s in (0, 1)]
    cells = RNG.random((8, 4))
    rows = [crossed(r, dict(zip("abcd", c, strict=True))) for r, c in zip(runs, cells, strict=True)]
    (found,) = cross_matrix.matrices(rows, runs)
    expected = cells.reshape(4, 2, 4).mean(1)
    np.testing.assert_allclose(found.cells, expected)
    assert found["b"]["c"] == pytest.approx(expected[1, 2])
    others = [np.mean([expected[i, j] for j in range(4) if j != i]) for i in range(4)]
    assert found.predictor == pytest.approx(others)
    assert found.truth == pytest.approx([0, 0.1, 0.2, 0.3])
    rho = stats.spearmanr(others, range(4)).statistic
    assert found.result.spearman.value == pytest.approx(rho)
    assert found.result.reason == "too few: 4 points, 8 are needed"
    assert len(found.without) == 4
    (half,) = cross_matrix.matrices(rows, runs, metric="pixel_ap")
    np.testing.assert_allclose(half.cells, expected / 2)


def test_a_matrix_needs_two_methods_with_the_same_settings() -> None:
    runs = [a_run("a", 0.1), a_run("b", 0.2, steps=2)]
    assert cross_matrix.matrices([crossed(r, {"a": 0.5, "b": 0.6}) for r in runs], runs) == []
    assert cross_matrix.matrices([], runs) == []
    with pytest.raises(UserError, match="choose image_auroc or pixel_ap"):
        cross_matrix.matrices([], runs, metric="pro")


def test_a_report_gets_global_and_local_means_over_seeds_then_categories() -> None:
    found = by_method(
        [
            a_quality("a", 1.0),
            a_quality("a", 3.0, seed=1),
            a_quality("a", 6.0, "y"),
            a_quality("b", 1.0),  # not measured on y
            a_quality("c", 4.0),
            a_quality("c", 8.0, "y"),
        ]
    )
    assert found == {
        ("demo", "fid"): {"a": pytest.approx((2 + 6) / 2), "c": pytest.approx(6)},
        ("demo", "fid, inside"): {
            "a": pytest.approx((np.mean([1 / 2, 1 / 4]) + 1 / 7) / 2),
            "c": pytest.approx((1 / 5 + 1 / 9) / 2),
        },
    }


def test_a_report_gets_what_was_measured_as_the_latest_of_its_data_set() -> None:
    older = [a_quality("a", 1.0), a_quality("b", 2.0), a_quality("a", 5.0, dataset="mtd")]
    newer = [a_quality("a", 3.0, n=50, created="2026-02-01")]
    kept = latest([*older, *newer])
    assert sorted((q.decides["dataset"], q.decides["n"]) for q in kept) == [
        ("demo", 50),
        ("mtd", 20),
    ]
    assert by_method([*older, *newer])["demo", "fid"] == {"a": 3.0}

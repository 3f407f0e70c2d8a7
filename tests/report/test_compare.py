"""Two mixtures over made-up runs: which runs make pairs, what is a block, what the test says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from scipy import stats

from asbench.report.compare import compare
from asbench.results import METRICS, SUBSETS, Run
from synth_store import UserError
from tests.report.conftest import made_up

BOTH = "draem:0.5,fractal:0.5"
MIXES: dict[str, dict[str, float]] = {
    "draem": {"draem": 1.0},
    BOTH: {"draem": 0.5, "fractal": 0.5},
}


def scored(value: float, mix: str, **settings: Any) -> Run:
    """Return a made-up run all of whose metrics have one value."""
    metrics: Any = {subset: dict.fromkeys(METRICS, value) for subset in SUBSETS}
    return replace(made_up(mix=MIXES[mix], **settings), metrics=metrics)


def test_categories_are_blocks_where_there_are_enough() -> None:
    first = [0.9, 0.8, 0.85, 0.7, 0.95, 0.6]
    second = [0.7, 0.75, 0.8, 0.72, 0.9, 0.5]
    runs = [
        scored(value + 0.01 * seed, mix, category=f"c{place}", seed=seed)
        for mix, values in ((BOTH, first), ("draem", second))
        for place, value in enumerate(values)
        for seed in (0, 1)
    ]
    found = compare(BOTH, "draem", runs=runs)
    assert found.pairs == 12
    assert [block.name for block in found.blocks] == [f"demo/c{place}" for place in range(6)]
    assert [b.first for b in found.blocks] == pytest.approx([v + 0.005 for v in first])
    differences = [a - b for a, b in zip(first, second, strict=True)]
    assert found.difference == pytest.approx(fmean(differences))
    assert found.p == pytest.approx(stats.wilcoxon(differences, zero_method="zsplit").pvalue)
    assert found.interval.low < found.difference < found.interval.high
    assert found.notes == ()
    again = compare("draem", BOTH, runs=runs[::-1])
    assert again.difference == pytest.approx(-found.difference)
    assert again.p == pytest.approx(found.p)


def test_of_few_categories_every_pair_is_a_block_and_that_is_said() -> None:
    runs = [scored(0.8 + 0.01 * seed, BOTH, seed=seed) for seed in range(3)]
    runs += [scored(0.7, "draem", seed=seed) for seed in range(3)]
    found = compare(BOTH, "draem", runs=runs, metric="pro")
    assert [block.name for block in found.blocks] == [
        f"demo/weave, draem@tiny at ratio 0.5, seed {seed}" for seed in range(3)
    ]
    assert found.difference == pytest.approx(0.11)
    assert "p is optimistic" in found.notes[0]
    assert str(found) == (
        f"pro of {BOTH} minus draem: +0.1100, 95 % +0.1000 to +0.1200, Wilcoxon p = 0.25, n = 3"
    )


def test_a_pair_differs_in_nothing_but_the_mixture() -> None:
    one = scored(0.9, BOTH)
    assert compare(BOTH, "draem", runs=[one, scored(0.7, "draem")]).pairs == 1
    for other in (
        {"seed": 1},
        {"synth_seed": 1},
        {"ratio": 0.25},
        {"steps": 600},
        {"detector": "unet@tiny"},
        {"category": "board"},
        {"select": "best-on-test", "select_every": 10},
    ):
        with pytest.raises(UserError, match=r"no two finished runs differ in nothing but draem:0"):
            compare(BOTH, "draem", runs=[one, scored(0.7, "draem", **other)])


def test_held_out_images_count_for_both_as_soon_as_one_saw_defects() -> None:
    one, other = scored(0.9, BOTH), scored(0.7, "draem")
    metrics: Any = {"full": dict.fromkeys(METRICS, 0.1), "held_out": dict.fromkeys(METRICS, 0.8)}
    seen = replace(one, saw_defects=3, metrics=metrics)
    found = compare(BOTH, "draem", runs=[seen, other])
    assert found.subset == "held_out"
    assert found.difference == pytest.approx(0.1)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    runs = [scored(0.9, BOTH), scored(math.nan, "draem")]
    with pytest.raises(UserError, match=rf"There are runs on: {BOTH}; draem:1\."):
        compare(BOTH, "draem", runs=runs)
    with pytest.raises(UserError, match="metric 'f1' is unknown: choose from image_auroc"):
        compare(BOTH, "draem", runs=runs, metric="f1")
    with pytest.raises(UserError, match="There are runs on: none"):
        compare(BOTH, "draem", runs=tmp_path)

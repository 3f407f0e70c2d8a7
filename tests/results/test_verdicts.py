"""What scores mean: what is flagged, chance, and the baseline beside a run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from asbench.evaluation.metrics import image_auroc
from asbench.results import ImageRow, KeptOut
from asbench.results.verdicts import Flagged, against_chance, baselines, flagged, unlike
from tests.report.conftest import made_up


def rows(good: list[float], bad: list[float], few_shot: int = 0) -> list[ImageRow]:
    return [ImageRow(f"g{i}", 0, "good", False, s, math.nan) for i, s in enumerate(good)] + [
        ImageRow(f"d{i}", 1, "dent", i < few_shot, s, 0.5) for i, s in enumerate(bad)
    ]


def test_what_reaches_the_threshold_is_flagged() -> None:
    table = rows([0.1, 0.5, 0.2], [0.4, 0.5, 0.6, 0.9], few_shot=1)
    assert flagged(table, 0.5) == Flagged(1, 3, 3, 4)
    assert flagged(table, 0.5, "held_out") == Flagged(1, 3, 3, 3)
    assert str(flagged(table, 0.5)) == "good 1 of 3, defective 3 of 4"


@pytest.mark.parametrize(
    ("auroc", "normal", "anomalous", "told"),
    [
        (0.5, 41, 119, "no better than chance"),
        (0.433, 41, 119, "no better than chance"),
        (0.3, 41, 119, "worse than chance"),
        (0.621, 25, 87, "no better than chance"),
        (0.685, 25, 87, ""),
        (0.56, 400, 400, "hardly better than chance"),
        (1.0, 2, 2, "no better than chance"),  # a coin does as well one time in six
        (1.0, 20, 20, ""),
        (math.nan, 3, 3, ""),
        (0.5, 0, 3, ""),
    ],
)
def test_how_a_result_stands_to_chance(
    auroc: float, normal: int, anomalous: int, told: str
) -> None:
    assert against_chance(auroc, normal, anomalous) == told


def test_a_guess_is_called_better_than_chance_once_in_forty() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [20, 30])
    called = [against_chance(image_auroc(rng.random(50), labels), 20, 30) for _ in range(2000)]
    assert np.mean([told == "no better than chance" for told in called]) == pytest.approx(
        0.95, abs=0.015
    )


def test_good_test_images_unlike_the_kept_out_normals_are_noticed() -> None:
    normals = KeptOut(np.arange(20) / 100, np.empty(0), trained=False)
    strange = rows([0.5] * 10 + [0.1] * 8, [0.9])
    assert unlike(normals, strange, 0.3) == Flagged(10, 18, 0, 20)
    assert unlike(normals, rows([0.5, *[0.1] * 17], [0.9]), 0.3) is None  # one may be chance
    assert unlike(None, strange, 0.3) is None
    seen = KeptOut(normals.normals, normals.anomalies, trained=True)
    assert unlike(seen, strange, 0.3) is None


def test_a_baseline_trained_nothing_on_the_same_photographs() -> None:
    mine = made_up()
    memory = replace(mine, decides={**mine.decides, "detector": "patchcore", "steps": 0})
    newer = replace(
        memory, decides={**memory.decides, "seed": 7}, created="2030-01-01T00:00:00+00:00"
    )
    other = replace(memory, decides={**memory.decides, "test": "others"})
    assert baselines(mine, [mine, memory, other]) == [memory]
    assert baselines(mine, [newer, memory]) == [newer]
    assert baselines(mine, [mine, other]) == []

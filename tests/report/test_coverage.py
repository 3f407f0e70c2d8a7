"""What a study lacks is said in few words that come to the same runs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asbench.report.coverage import boxes
from asbench.settings import TrainSettings
from asbench.study.record import Cell

TRAINING = TrainSettings("demo", category="weave", detector="unet", steps=1, batch=2)


def cell(**changed: Any) -> Cell:
    training = replace(TRAINING, **{"mix": "draem", "ratio": 0.5} | changed)
    return Cell(training, "32x32 (stretch)", parameters=(), part="base", keep=True)


CELLS = st.builds(
    cell,
    dataset=st.sampled_from(["demo", "mtd"]),
    category=st.sampled_from(["a", "b", "c"]),
    mix=st.sampled_from(["draem:1", "fractal:1", "draem:0.5,fractal:0.5"]),
    detector=st.sampled_from(["unet", "draem"]),
    ratio=st.sampled_from([0.25, 0.5]),
    pool=st.sampled_from([None, 50]),
    seed=st.integers(0, 2),
)


@given(st.sets(CELLS, max_size=40))
def test_boxes_hold_every_cell_once_and_no_other(cells: set[Cell]) -> None:
    told: list[tuple[object, ...]] = []
    found = boxes(cells)
    for box in found:
        axes = (box.datasets, box.categories, box.detectors, box.mixes, box.ratios, box.pools)
        held = list(itertools.product(*axes, box.seeds))
        assert len(held) == box.runs
        told += held
    names = {"draem:1": "draem", "fractal:1": "fractal", "draem:0.5,fractal:0.5": "draem + fractal"}
    asked = [
        (t.dataset, t.category, t.detector, names[str(t.mix)], t.ratio, t.pool, t.seed)
        for t in (c.training for c in cells)
    ]
    assert sorted(told, key=str) == sorted(asked, key=str)


def test_a_whole_grid_is_one_box_a_data_set() -> None:
    grid = itertools.product(("demo", "mtd"), "abc", ("draem", "unet"), range(3))
    cells = [cell(dataset=d, category=c, detector=t, seed=s) for d, c, t, s in grid]
    assert [box.runs for box in boxes(cells)] == [18, 18]


def test_trainings_of_two_lengths_or_shares_are_all_counted() -> None:
    cells = [cell(), cell(steps=2), cell(mix="draem:0.75,fractal:0.25")]
    one, other = sorted(boxes(cells), key=lambda box: -box.runs)[0], boxes(cells)
    assert sum(box.runs for box in other) == 3
    assert one.mixes == ("draem", "0.75 draem + 0.25 fractal")

"""What is found of each defect type."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from asbench import results
from asbench.report import defect_types, tables
from asbench.report.page import html
from asbench.results import ImageRow, Run

Make = Callable[..., Run]
Put = Callable[[Path, Run], Path]


@pytest.fixture
def runs(tmp_path: Path, made_up: Make, put: Put) -> list[Run]:
    """Two seeds and another method; the second seed's images score otherwise."""
    found = [made_up(seed=0), made_up(seed=1), made_up(mix={"fractal": 1.0})]
    for number, run in enumerate(found):
        folder = put(tmp_path, run)
        lines = [ImageRow(f"good/{i}.png", 0, "good", False, i / 10, math.nan) for i in range(4)]
        for i in range(3):
            ap = math.nan if i == 2 else 0.2 * i
            lines.append(ImageRow(f"hole/{i}.png", 1, "hole", i == 0, 0.1 * i + number, ap, 0.5))
        lines.append(ImageRow("dent/0.png", 1, "dent", False, 0.15, 0.3))
        results.write_table(folder, lines)
    return found


def test_each_type_stands_against_all_good_images(tmp_path: Path, runs: list[Run]) -> None:
    table = tables.results_table(runs)
    dent, hole = defect_types.by_type(table, tmp_path)[:2]
    assert (dent.defect, dent.images, hole.defect, hole.images) == ("dent", 1, "hole", 3)
    good = [0.0, 0.1, 0.2, 0.3]
    wanted = [
        roc_auc_score([0] * 4 + [1] * 3, [*good, number, 0.1 + number, 0.2 + number])
        for number in (0, 1)
    ]
    assert hole.cells["image_auroc"].values == pytest.approx(wanted)
    assert hole.cells["image_auroc"].mean == pytest.approx(sum(wanted) / 2)
    assert dent.cells["image_auroc"].values == (0.5, 0.5)
    assert hole.cells["pixel_ap"].mean == pytest.approx(0.1)  # the image without a mask is left out
    assert hole.cells["aupimo"].mean == 0.5
    assert math.isnan(dent.cells["aupimo"].mean)


def test_the_held_out_set_leaves_out_few_shot_images(
    tmp_path: Path, runs: list[Run], made_up: Make
) -> None:
    from dataclasses import replace

    table = tables.results_table([replace(run, saw_defects=1) for run in runs])
    assert table.subset == "held_out"
    hole = next(row for row in defect_types.by_type(table, tmp_path) if row.defect == "hole")
    assert hole.images == 2


def test_the_csv_has_a_line_for_each_row_and_type(tmp_path: Path, runs: list[Run]) -> None:
    table = tables.results_table(runs)
    rows = defect_types.by_type(table, tmp_path)
    lines = list(csv.DictReader(io.StringIO(defect_types.csv_text(rows, table.subset))))
    assert [(line["mix"], line["defect"]) for line in lines] == [
        ("draem:1", "dent"), ("draem:1", "hole"), ("fractal:1", "dent"), ("fractal:1", "hole"),
    ]  # fmt: skip
    assert float(lines[1]["image_auroc_mean"]) == rows[1].cells["image_auroc"].mean
    assert lines[0]["aupimo_mean"] == ""


def test_the_page_has_a_table_for_each_category_and_detector(
    tmp_path: Path, runs: list[Run]
) -> None:
    text = html.page(results.runs(tmp_path), tmp_path, {}, images=False)
    assert "By defect type" in text
    assert '<th scope="row">hole</th>' in text
    (block,) = defect_types.blocks(defect_types.by_type(tables.results_table(runs), tmp_path))
    assert [row.mix.title for row in block.rows] == ["draem", "fractal"]
    # one type alone says no more than the results do
    rows = defect_types.by_type(tables.results_table(runs), tmp_path)
    assert defect_types.blocks([row for row in rows if row.defect == "hole"]) == []

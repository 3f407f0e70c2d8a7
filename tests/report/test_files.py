"""`asbench report --tables`: what lies in the folder, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asbench.report.paper import files
from asbench.report.paper.grid import score_grid
from asbench.report.paper.plots import everything
from asbench.report.paper.scores import Expected
from asbench.results import Run
from asbench.results.frame import from_records
from cli.report import command
from tests.report.full_grid import full_grid, quality

pytestmark = pytest.mark.slow


def test_every_table_in_three_forms(tmp_path: Path) -> None:
    grid = score_grid(full_grid())
    written = files.write(grid, tmp_path, quality=quality(), compare=True)
    tables = [f"table{n}" for n in (3, "4-best", "4-mean", 5, 6, 7, 8, 9, "9-printed")]
    for name in (*tables, "hybrids-image_auroc", "question1", "question4-best-single"):
        for end in ("md", "tex", "csv"):
            assert tmp_path / f"{name}.{end}" in written
    assert (tmp_path / "questions.md").read_text(encoding="utf-8").count("## ") > 5
    assert sorted(tmp_path.iterdir()) == sorted(written)
    again = {path.name: path.read_bytes() for path in written}
    files.write(score_grid(full_grid()[::-1]), tmp_path, quality=quality(), compare=True)
    assert {path.name: path.read_bytes() for path in written} == again


def test_the_command_writes_them(
    made_up: Callable[..., Run], put: Callable[[Path, Run], Path], tmp_path: Path
) -> None:
    root, tables = tmp_path / "runs", tmp_path / "tables"
    for method in ("nsa", "fpi"):
        put(root, made_up(mix={method: 1.0}))
    page = str(tmp_path / "report.html")
    options = ["--runs", str(root), "--out", page, "--tables", str(tables), "--compare", "paper"]
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    assert str(tables / "table4-best.md") in result.output
    text = (tables / "table4-best.md").read_text(encoding="utf-8")
    assert "draem@tiny" in text
    assert "too few runs" in (tables / "questions.md").read_text(encoding="utf-8")


ONE: dict[str, Any] = {"dataset": "d", "category": "c", "detector": "t", "ratio": 0.5}


@pytest.mark.parametrize("record", [
    {},
    {**ONE, "mix": {"a": 1.0}, "selected_on_test": True},
    {**ONE, "mix": {}, "ratio": 0.0},
    {**ONE, "mix": {"a": 0.3, "b": 0.7}, "image_auroc": 0.5},
    {**ONE, "mix": {"a": 0.5, "b": 0.5}, "image_auroc": 0.5},
    {**ONE, "mix": {"a": 1.0}, "image_auroc": 0.5},
])  # fmt: skip
@pytest.mark.parametrize("methods", ["", "a", "a + b"])
def test_a_grid_of_almost_nothing_has_tables_all_the_same(
    tmp_path: Path, record: dict[str, Any], methods: str
) -> None:
    expected = [Expected("mtd", c, "u", methods, 0.5, 0) for c in "xy"] if methods else []
    grid = score_grid(from_records([record] if record else []), expected)
    points = {("d", "fid"): {"a": 1.0, "b": 2.0}}
    assert files.write(grid, tmp_path, quality=points, compare=True)
    assert all(drawing.figure for drawing in everything.figures(grid, points))
    assert len(grid.missing) == len(expected)

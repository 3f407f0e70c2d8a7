"""`asbench report --tables`: what lies in the folder, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from asbench.report.paper import files
from asbench.report.paper.grid import score_grid
from asbench.results import Run
from cli.report import command
from tests.report.full_grid import full_grid, quality


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

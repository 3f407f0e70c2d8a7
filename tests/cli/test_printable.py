"""Control characters never reach a terminal, and spreadsheets run no name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asbench import results
from asbench.files.csv_cells import cell, uncell
from asbench.results import ImageRow
from cli import console
from cli.main import main
from cli.printable import printable

NASTY = "a\x1b[31m\x07\r\x9b2J\u202ebad\x00"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable(NASTY) == r"a\x1b[31m\x07\r\x9b2J\u202ebad\x00"
    assert printable("two\nlines\tand Größe 漢字") == "two\nlines\tand Größe 漢字"


def test_every_way_to_the_terminal_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(NASTY)
    table = console.table("name")
    table.add_row(NASTY)
    console.out.print(table)
    for line in (["study", "plan", NASTY[:-1]], [NASTY], ["store", "ls", "--store", NASTY[:-1]]):
        with pytest.raises(SystemExit):
            main(line)
    said = "".join(capsys.readouterr())
    assert said.count(r"\x1b[31m") >= 4
    assert not set(said) & set("\x1b\x07\x9b\u202e\0\r")


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "\ta", "'=a", "''", "a", "", "'a"])
def test_a_name_comes_back_from_a_cell_that_is_not_run(name: str, tmp_path: Path) -> None:
    assert uncell(cell(name)) == name
    assert not cell(name).startswith(("=", "+", "-", "@", "\t", "\r"))
    results.write_table(tmp_path, [ImageRow(name, 1, name, False, -0.5, math.nan)])
    (row,) = results.read_table(tmp_path)
    assert (row.id, row.defect, row.score) == (name, name, -0.5)

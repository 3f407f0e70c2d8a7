"""A moment of the campaign that `make faults` runs: nothing silent, no traceback, no hang."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.faults import damage, inputs
from tests.faults.tally import Hang, Tally, alarm

pytestmark = pytest.mark.slow


def test_damage_of_a_store(tmp_path: Path) -> None:
    tally = Tally()
    damage.run(tally, 120, 7, tmp_path)
    assert (tally.cases, tally.bad) == (120, [])


def test_fuzzed_files_and_names(tmp_path: Path) -> None:
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow and torch, for what is odd and still read
        inputs.run(tally, 200, 7, tmp_path)
    assert (tally.cases, tally.bad) == (220, [])


def test_what_must_not_be_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def hang() -> None:
        with alarm(0.01):
            while True:
                pass

    tally = Tally()
    tally.attempt("a", "b", lambda: 1, 2, "other")
    tally.attempt("a", "b", lambda: 1 / 0, 2, "raised")
    tally.attempt("a", "b", hang, 2, "slow")
    with pytest.raises(Hang):
        hang()
    assert [line.split(":")[0] for line in tally.bad] == ["silent", "traceback", "hang"]
    assert tally.table().splitlines()[-1].split() == ["all", "0", "0", "1", "1", "1", "0", "3"]
    assert "silent: a / b: other" in capsys.readouterr().err

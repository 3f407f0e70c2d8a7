"""Of many processes that want one folder, one at a time has it."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from asbench.files.alone import alone
from synth_store import UserError
from tests.cli.conftest import ROOT

RACER = """
import sys
from pathlib import Path
from asbench.files.alone import alone
from synth_store import UserError
folder, had = Path(sys.argv[1]), 0
while had < 100:
    try:
        with alone(folder / "lock", str):
            (folder / "inside").touch(exist_ok=False)
            (folder / "inside").unlink()
            had += 1
    except UserError:
        pass
"""


def test_the_second_hears_who_is_there(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with (
        alone(lock, str),
        pytest.raises(UserError, match=rf"process {os.getpid()} on {socket.gethostname()} since "),
        alone(lock, str),
    ):
        pass
    assert not lock.exists()
    with alone(lock, str):
        assert lock.exists()


def test_an_error_inside_frees_it_and_passes(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone(tmp_path / "lock", str):
        raise KeyError
    assert not (tmp_path / "lock").exists()


def test_who_has_not_said_so_yet_is_another_process(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"^another process$"), alone(tmp_path / "lock", str):
            pass
    (tmp_path / "lock").write_text("left by one that was killed")
    with alone(tmp_path / "lock", str):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write .*file/lock"),
        alone(tmp_path / "file" / "lock", str),
    ):
        pass


@pytest.mark.slow
def test_processes_that_race_for_it_are_never_two_inside(tmp_path: Path) -> None:
    """Removing the file as it is let go would let in two, were the file not looked at again."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, tmp_path],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        _, said = racer.communicate(timeout=120)
        assert racer.returncode == 0, said

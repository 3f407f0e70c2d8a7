"""`asbench store rm` killed between two sets, and within one: the same command ends it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from synth_store import StoreKey, SynthStore
from tests.cli.conftest import Run, complete, start
from tests.synth_store.making import SMALL, generate

pytestmark = pytest.mark.slow

KEYS = [StoreKey("toy", "boxes", seed) for seed in range(3)]
LINE = "store rm toy/boxes/0 toy/boxes/1 --store store"
BETWEEN = """
import os, signal
from synth_store import removal
remove_set = removal.remove_set
def remove(store, key, category):
    if key.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    remove_set(store, key, category)
removal.remove_set = remove
"""
"""What kills a process as it comes to the second set."""
WITHIN = """
import os, shutil, signal
rmtree = shutil.rmtree
def remove(path):
    if "/boxes/1" in str(path):
        os.kill(os.getpid(), signal.SIGKILL)
    rmtree(path)
shutil.rmtree = remove
"""
"""What kills it between that set's metadata and its samples."""


@pytest.mark.parametrize(("kill", "left"), [(BETWEEN, ""), (WITHIN, "what an interrupted")])
def test_a_killed_removal_is_ended_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, kill: str, left: str
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SynthStore.create(tmp_path / "store", SMALL)
    for key in KEYS:
        generate(store, 3, key=key)
    killed = complete(start(LINE, tmp_path, before=kill))
    assert killed.status == -signal.SIGKILL
    assert not (tmp_path / "store/toy/boxes/0").exists()
    assert (tmp_path / "store/toy/boxes/1").exists()
    again = run(LINE)
    assert again.status == 0
    first, second, *_ = again.out.splitlines()
    assert first == "toy/boxes/0 is not in the store: removed before, or never there"
    assert second.startswith("removed toy/boxes/1/tile")
    assert left in second
    assert [key for key, _ in SynthStore.open(tmp_path / "store").sets()] == KEYS[2:]
    third = run(LINE)
    assert third.status == 1
    assert "toy/boxes/0 is not in the store at" in third.err
    assert run("store verify --store store").status == 0

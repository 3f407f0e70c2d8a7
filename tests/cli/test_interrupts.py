"""Killed, stopped, gone on: the same result as if nothing had happened, and no process left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli.main import INTERRUPTED
from tests.cli.conftest import Run, complete, start, tree

pytestmark = pytest.mark.slow

STEPS = "--detector draem@tiny --batch 2 --set width=4 --set seg_width=4 --device cpu"


def wait_for(process: subprocess.Popen[str], pattern: str, folder: Path, count: int = 1) -> None:
    """Wait until a process has written so many files."""
    end = time.monotonic() + 120
    while len(list(folder.glob(pattern))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a process has started."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in listed.split()]


def working(number: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_generate_goes_on_where_it_was(run: Run, place: Path) -> None:
    """Its workers end with it, and what they stored stays."""
    line = "generate --dataset photos --method cutpaste --seed 3 --workers 2 --category bolt --n"
    process = start(f"{line} 5000", place)
    shards = "asbench-store/photos/cutpaste/3/bolt/image/c/*/0/0/0"
    wait_for(process, shards, place)
    workers = children(process)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while any(working(worker) for worker in workers):
        assert time.monotonic() < end, "the workers of a killed command are still there"
        time.sleep(0.05)

    stood = len(list(place.glob(shards)))
    assert stood >= 1
    resumed = run(f"{line} 5000 --workers 1")
    assert resumed.status == 0
    (row,) = [row.split() for row in resumed.out.splitlines() if row.startswith("photos/")]
    before = int(row[2])
    assert 256 <= before < 5000
    assert f"{5000 - before} samples rendered" in resumed.out
    assert run("store verify photos/cutpaste/3").status == 0
    at_once = run(f"{line} 5000 --workers 1 --store other --size 32")
    assert at_once.status == 0
    pixels = {k: v for k, v in tree(place / "other/photos/cutpaste").items() if "/c/" in k}
    stored = tree(place / "asbench-store/photos/cutpaste")
    assert all(stored[name] == data for name, data in pixels.items())


def test_ctrl_c_saves_a_training_that_goes_on_to_the_same_result(run: Run, place: Path) -> None:
    line = f"train --dataset photos --mix draem --steps 80 {STEPS}"
    often = "import asbench.training.train as train; train.CHECKPOINT_EVERY = 10\n"
    process = start(line, place, before=often)
    wait_for(process, "runs/*/checkpoint/checkpoint.json", place)
    process.send_signal(signal.SIGINT)
    stopped = complete(process)
    assert stopped.status == INTERRUPTED == 130
    assert "stopping after this step" in stopped.err
    assert "the same command continues from there" in stopped.err
    assert "Traceback" not in stopped.err
    (folder,) = Path("runs").iterdir()
    step = json.loads((folder / "checkpoint/checkpoint.json").read_text())["step"]
    assert 10 <= step < 80
    assert not (folder / "run.json").exists()

    resumed = run(line)
    assert resumed.status == 0
    assert f"run {folder.name} continues from step {step} of 80" in resumed.out
    assert run(f"{line} --runs other").status == 0
    (other,) = Path("other").iterdir()
    assert other.name == folder.name
    assert (other / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    records = [json.loads((f / "run.json").read_text()) for f in (folder, other)]
    for key in ("decides", "metrics", "losses", "threshold", "realised"):
        assert records[0][key] == records[1][key]


def test_ctrl_c_during_generate(place: Path) -> None:
    line = "generate --dataset photos --method cutpaste --seed 3 --workers 2 --n 20000"
    process = start(line, place)
    wait_for(process, "asbench-store/photos/cutpaste/3/*/image/c/*/0/0/0", place)
    process.send_signal(signal.SIGINT)
    stopped = complete(process)
    assert stopped.status == INTERRUPTED
    assert "the same command continues" in stopped.err
    assert "Traceback" not in stopped.err
    assert [name for name in tree(place / "asbench-store") if name.endswith(".partial")] == []


def test_a_reader_that_has_seen_enough(place: Path) -> None:
    """As in `asbench store info | head -1`."""
    process = start("store info", place)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1)

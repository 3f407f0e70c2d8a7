"""Killed, stopped, gone on: the same result as if nothing had happened, and no process left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from cli.main import INTERRUPTED
from tests.cli.conftest import QUICK, Run, complete, start, tree, write

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
    (row,) = [row.split() for row in resumed.out.splitlines() if row.startswith("photos/cutpaste")]
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


def test_a_predict_that_was_interrupted_and_killed_goes_on(run: Run, place: Path) -> None:
    """Its table is the uninterrupted one; what was scored is not scored again."""
    assert run(f"train --dataset photos --ratio 0 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    rng = np.random.default_rng(0)
    for i in range(60):
        write(place / f"many/{i % 3}/{i:03}.png", rng.integers(0, 255, (64, 64, 3), np.uint8))
    (place / "many/0/broken.png").write_text("no image")
    line = f"predict {folder} many --device cpu --out"
    slow = "from asbench.evaluation.trained import Trained\nimport time\nold = Trained.predict\n"
    slow += "Trained.predict = lambda *a: (time.sleep(0.1), old(*a))[1]\n"
    for number, least in ((signal.SIGINT, 5), (signal.SIGKILL, 15)):
        process = start(f"{line} out", place, before=slow)
        wait_for(process, "out/*/*.png", place, least)
        process.send_signal(number)
        stopped = complete(process)
        assert "Traceback" not in stopped.err
        rows = (place / "out/predictions.csv").read_text().splitlines()
        assert least <= len(rows) < 61
        if number == signal.SIGINT:
            assert stopped.status == INTERRUPTED
            assert "the rows until now are kept in the folder of --out" in stopped.err
    resumed = run(f"{line} out")
    assert resumed.status == 1
    assert "of 60 stood there from an earlier call" in resumed.out
    assert "1 of 61 files could not be used: out/errors.csv" in resumed.err
    assert run(f"{line} other").status == 1
    for name in ("predictions.csv", "predictions.json", "predictions.jsonl", "errors.csv"):
        assert Path("out", name).read_text() == Path("other", name).read_text().replace(
            "other/", "out/"
        )


def test_ctrl_c_during_evaluate(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --ratio 0 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    before = tree(place)
    slow = "import asbench.evaluation.testset as t, time\n"
    slow += "t.TestSet.scores = lambda *a, **k: (print('here', flush=True), time.sleep(60))\n"
    process = start(f"evaluate {folder} --csv scores.csv", place, before=slow)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    stopped = complete(process)
    assert stopped.status == INTERRUPTED
    assert stopped.err.strip() == (
        "interrupted: nothing was written; the same command begins anew."
    )
    assert tree(place) == before


def test_a_reader_that_has_seen_enough(place: Path) -> None:
    """As in `asbench store info | head -1`."""
    process = start("store info", place)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1)

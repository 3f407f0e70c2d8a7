"""Two calls of `predict` into one folder, as processes of their own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from asbench import results
from asbench.detectors import build
from asbench.evaluation.predict_files import predict
from asbench.files.images import write_png
from asbench.nets.weights import save_weights
from tests.cli.conftest import complete, start
from tests.evaluation.test_trained import SETTINGS, record

pytestmark = pytest.mark.slow

COUNT = 6
LINE = "predict run photos --device cpu --out"
SLOWLY = """
import time
from asbench.evaluation import predict_files
score = predict_files._scored
predict_files._scored = lambda *one: (time.sleep(0.5), score(*one))[1]
"""
"""What makes each photograph take half a second at least."""


@pytest.fixture(autouse=True)
def _run_and_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run and photographs, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    save_weights(build("draem@tiny", 4, SETTINGS), Path("run/model.safetensors"))
    results.save(record(), Path("run"))
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 255, (24, 20, 3), np.uint8)
        write_png(Path("photos") / f"{i:03d}.png", pixels)


def begun(out: str) -> subprocess.Popen[str]:
    """Start a slow call, and return once it has written its first line."""
    process = start(f"{LINE} {out}", Path(), before=SLOWLY)
    while process.poll() is None and not Path(out, "predictions.csv").exists():
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process


def test_the_second_is_refused_and_the_first_ends_as_if_alone() -> None:
    first = begun("out")
    second = complete(start(f"{LINE} out", Path()))
    beside = complete(start(f"{LINE} other", Path()))
    assert second.status == 1
    assert f"error: process {first.pid} on {socket.gethostname()} since 2" in second.err
    assert "is predicting into out: wait for it and repeat the command" in second.err
    assert "name another folder with --out" in second.err
    assert beside.status == complete(first).status == 0
    assert len(Path("out/predictions.csv").read_text().splitlines()) == 1 + COUNT
    assert not Path("out/.predicting").exists()
    assert predict("run", "photos", "out", device="cpu").kept == COUNT


def test_a_killed_call_locks_nobody_out() -> None:
    first = begun("out")
    first.kill()
    complete(first)
    assert Path("out/.predicting").exists()
    assert len(predict("run", "photos", "out", device="cpu").rows) == COUNT
    assert not Path("out/.predicting").exists()

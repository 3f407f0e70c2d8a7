"""A disk that fills: the file is named, nothing half-written stays, the same command goes on."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import safetensors

from tests.cli.conftest import QUICK, Run, tree

pytestmark = pytest.mark.slow

TRAIN = f"train --dataset photos {QUICK}"
GENERATE = "generate --dataset photos --workers 1"


class FullDisk:
    """Writes of more than some bytes fail, as on a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.name = name
        self.write_bytes, self.write_text = Path.write_bytes, Path.write_text
        monkeypatch.setattr(
            Path, "write_bytes", lambda p, data: self.write(p, data, self.write_bytes)
        )
        monkeypatch.setattr(
            Path, "write_text", lambda p, data, **kw: self.write(p, data, self.write_text, **kw)
        )

    def write(self, path: Path, data, write, **keywords: object) -> int:
        if self.name in str(path):
            path.open("wb").close()  # what a full disk leaves behind
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data, **keywords)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f"{GENERATE} --method cutout --n 3", "cutout/0/bolt/image/c"),
        (f"{GENERATE} --method cutout --n 3 --name other", "normal/bolt/.zarr.json"),
        (f"{TRAIN} --mix draem", "run.json"),
        (f"{TRAIN} --mix draem", "checkpoint.json"),
        ("preview --dataset photos --method draem --n 2", "preview.png"),
    ],
)
def test_a_full_disk(
    line: str, name: str, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        FullDisk(patched, name)
        refused = run(line)
    assert refused.status == 1
    assert "No space left on device" in refused.err
    assert Path(name).name.removeprefix(".") in refused.err
    partial = re.compile(r"\.part|\.partial|\.tmp")
    assert [p for p in tree(place) if partial.search(p)] == []
    assert list(place.glob("runs/*/run.json")) == []
    assert run(line).status == 0  # and with room again, the same command goes on
    assert run("store verify").status == 0


def test_a_disk_that_fills_under_the_weights(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr("asbench.nets.weights.save_file", full)
        refused = run(f"{TRAIN} --mix draem")
    assert refused.status == 1
    assert "cannot write" in refused.err
    assert "No space left on device" in refused.err
    assert [p for p in tree(place / "runs")] == []
    assert run(f"{TRAIN} --mix draem").status == 0


def test_an_output_that_cannot_be_written(run: Run, place: Path) -> None:
    assert run(f"{TRAIN} --mix draem").status == 0
    Path("taken").write_text("a file")
    for option in ("--out", "--csv", "--markdown", "--latex"):
        refused = run(f"report {option} taken/x")
        assert refused.status == 1
        assert "taken" in refused.err
        assert "Traceback" not in refused.err
    (folder,) = Path("runs").iterdir()
    assert run(f"predict {folder} photos/bolt/test/disc --out taken").status == 1

"""A folder of photographs, a store made of it, and the command line in and out of this process."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli.main import main

ROOT = Path(__file__).parents[2]
CATEGORIES = ("bolt", "nut")
PROGRAM = "import sys; sys.argv[0] = 'asbench'; from cli.main import main; main()"
QUICK = "--detector draem@tiny --steps 2 --batch 2 --set width=4 --set seg_width=4 --device cpu"
"""A training of an instant."""


@dataclass(frozen=True)
class Result:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def next(self) -> list[str]:
        """The commands named at the end."""
        lines = self.out.split("\nnext: ")[1].splitlines()
        return [line.strip() for line in lines if line.strip()]


Run = Callable[[str], Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line, without its `asbench`, in this process."""
    monkeypatch.delenv("ASBENCH_DATA", raising=False)

    def run(line: str) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line))
        captured = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Result(stopped.value.code, captured.out, captured.err)

    return run


def start(
    line: str, folder: Path, *, before: str = "", **environment: str
) -> subprocess.Popen[str]:
    """Start a command line as a process of its own in a folder; `before` it, run a program."""
    kept = {k: v for k, v in os.environ.items() if k not in ("ASBENCH_DATA", "COLUMNS")}
    return subprocess.Popen(
        [sys.executable, "-c", before + PROGRAM, *shlex.split(line)],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def complete(process: subprocess.Popen[str]) -> Result:
    """Wait for a process and return what it left."""
    out, err = process.communicate(timeout=200)
    return Result(process.returncode, out, err)


def write(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as a PNG file, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def photograph(folder: Path, categories: tuple[str, ...] = CATEGORIES, seed: int = 0) -> None:
    """Fill a folder as MVTec AD is laid out: clouds of grey, and bright discs as defects."""
    rng = np.random.default_rng(seed)
    for category in categories:
        for split, defect, count in (
            ("train", "good", 9),
            ("test", "good", 4),
            ("test", "disc", 6),
        ):
            for i in range(count):
                coarse = rng.integers(90, 150, (4, 5, 3), dtype=np.uint8)
                image = cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC)
                if defect == "disc":
                    mask = np.zeros((48, 40), np.uint8)
                    x, y = (int(c) for c in rng.integers(10, 30, 2))
                    cv2.circle(mask, (x, y), 6, 255, -1)
                    image[mask > 0] = 230
                    write(folder / category / "ground_truth" / defect / f"{i:03}_mask.png", mask)
                write(folder / category / split / defect / f"{i:03}.png", image)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its bytes."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a store of 32x32 with 12 draem and 12 cutpaste of each category."""
    from asbench import generate

    folder = tmp_path_factory.mktemp("made")
    photograph(folder / "photos")
    generate(
        str(folder / "photos"),
        ["draem", "cutpaste"],
        n=12,
        size=32,
        store=folder / "asbench-store",
        workers=1,
    )
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was made, as the current folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"

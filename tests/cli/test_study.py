"""`asbench study` at the command line: what it shows, refuses and leaves."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, photograph

pytestmark = pytest.mark.slow

MINE = """
about: bolts at 32 pixels
size: 32
samples: 10
folders: {photos: ./photos}
datasets: {photos: [bolt]}
detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
mixes: [cutout, realnet]
parts:
  base:
  without: {ratios: 0}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    photograph(tmp_path / "photos")
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # Whatever methods of the paper there are by now, one of these is not.
    monkeypatch.setattr("asbench.plugins.names", lambda _: ["cutout", "unet"])
    return tmp_path


def test_shipped_studies_are_listed_with_those_begun_here(run: Run, here: Path) -> None:
    listed = run("study ls")
    assert listed.status == 0
    for name in ("beyond", "demo", "mtd-small", "paper", "paper-parity"):
        assert f"\n{name} " in "\n" + listed.out
    assert "folder" not in listed.out
    assert run("study run mine.yaml --available --workers 1").status == 0
    assert run("study ls").out.split("folder")[1].splitlines()[1].split()[:2] == ["mine", "mine"]


def test_the_plan_of_the_paper_counts_its_runs(run: Run) -> None:
    shown = run("study plan paper")
    assert shown.status == 0
    rows = {line.split()[0]: line.split()[1] for line in shown.out.splitlines()[2:7]}
    assert rows == {
        "base": "1776",
        "ratios": "2592",
        "without_anomalies": "148",
        "hybrids": "1628",
        "all": "6144",
    }
    assert "guessed" in shown.out
    assert "not here, and needed by" in shown.out
    assert shown.next == ["asbench study run paper --available"]


def test_what_is_absent_is_refused_or_left_out_and_the_record_says_so(run: Run, here: Path) -> None:
    refused = run("study run mine.yaml --workers 1")
    assert refused.status == 1
    assert "not here: method realnet" in refused.err
    assert "--available leaves them out" in refused.err
    assert not (here / "mine").exists()
    ran = run("study run mine.yaml --workers 1 --available")
    assert ran.status == 0
    assert "left out, for want of:" in ran.out
    assert ran.next == ["asbench report --study mine"]
    record = json.loads((here / "mine" / "study.json").read_text())
    assert [bool(cell["run"]) for cell in record["cells"]] == [True, False, True]
    assert record["cells"][1]["left_out"][0].startswith("method realnet: ")
    assert record["study"] == MINE
    planned = run("study plan mine.yaml")
    assert "measured on 2 runs" in planned.out
    assert run("report --study mine").status == 0


def test_all_faults_are_told_at_once_and_nothing_is_begun(run: Run, here: Path) -> None:
    (here / "bad.yaml").write_text(
        "size: 32\nsead: 1\nfolders: {photos: ./photos}\ndatasets: {photos: [bolts]}\n"
        "detectors: [unet@tny]\nmixes: [cutoot]\n"
    )
    for command in ("plan", "run"):
        refused = run(f"study {command} bad.yaml")
        assert refused.status == 1
        assert "sead: nothing has this name: did you mean seeds?" in refused.err
        assert "category 'bolts' is unknown: did you mean bolt?" in refused.err
    assert not (here / "bad").exists()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("study run nothing", "is neither a file nor one that ships"),
        ("study run demo --scheduler tcp://127.0.0.1:9 --workers 2", "leave out --workers"),
        ("study run demo --slurm queue=gpu", "--slurm needs dask-jobqueue"),
        ("study run demo --gpus 99 --folder x", "99 GPUs are more than this machine has"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run, here: Path, line: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dask_jobqueue", "dask_jobqueue.slurm"):  # another test may have brought it in
        monkeypatch.setitem(sys.modules, name, None)
    refused = run(line)
    assert refused.status == 1
    assert re.search(what, refused.err), refused.err

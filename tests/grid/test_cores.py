"""How many cores there are: those of the process, no more than its container gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench.grid import processes

GIVEN = [("max", None), ("200000", 2.0), ("150000", 1.5), ("50000", 0.5)]


def version_2(folder: Path, quota: str) -> None:
    (folder / "cpu.max").write_text(f"{quota} 100000\n")


def version_1(folder: Path, quota: str) -> None:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota.replace('max', '-1')}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize("write", [version_1, version_2])
@pytest.mark.parametrize(("quota", "given"), GIVEN)
def test_a_container_gives_a_share(
    tmp_path: Path, write: object, quota: str, given: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert processes.cpus_given(tmp_path) is None
    assert callable(write)
    write(tmp_path, quota)
    assert processes.cpus_given(tmp_path) == given
    monkeypatch.setattr(processes, "CGROUP", tmp_path)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)))
    assert processes.cores() == {None: 8, 2.0: 2, 1.5: 2, 0.5: 1}[given]
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: {3})
    assert processes.cores() == 1

"""Where work runs plays no part in what comes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import active_children
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from asbench.files.images import FileError, write_png
from asbench.grid import engines, processes
from synth_store import StoreKey, SynthStore, UserError
from tests import jobs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_comes_back_with_its_result(workers: int) -> None:
    assert sorted(engines.run(jobs.square, range(9), workers)) == [(i, i * i) for i in range(9)]


def test_jobs_run_here_or_in_workers() -> None:
    assert {pid for _, pid in engines.run(jobs.process, [1, 2], 1)} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in engines.run(jobs.process, [1, 2], 2)}
    assert {pid for _, pid in engines.run(jobs.process, [1], 8)} == {os.getpid()}
    assert list(engines.run(jobs.process, [], 2)) == []


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(workers: int) -> None:
    with pytest.raises(UserError, match=f"{workers} workers cannot do anything"):
        list(engines.run(jobs.square, [1], workers))


def pools() -> dict[str, int]:
    return {p["filepath"]: p["num_threads"] for p in threadpool_info()}


def test_a_job_in_this_process_runs_on_one_thread_and_gives_them_back() -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        cv2.setNumThreads(3)
        torch.set_num_threads(3)
        with threadpool_limits(3):
            loaded = pools()
            ((_, found),) = engines.run(jobs.threads, [0], 1)
            assert len(found) >= 4
            assert set(found.values()) == {1}
            assert (cv2.getNumThreads(), torch.get_num_threads()) == (3, 3)
            after = pools()
            assert {path: after[path] for path in loaded} == loaded
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def test_workers_run_on_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in processes.THREADS:
        monkeypatch.setenv(name, "3")  # what a worker would inherit
    for _, found in engines.run(jobs.threads, [0, 1], 2):
        assert len(found) >= 4
        assert set(found.values()) == {1}, found


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through_with_its_text_and_ends_the_rest(
    tmp_path: Path, workers: int
) -> None:
    with pytest.raises(UserError, match=r"^job 2 cannot be done: try another\.$"):
        list(engines.run(jobs.fail_at_two, [(tmp_path, i) for i in range(60)], workers))
    done = {int(p.name) for p in tmp_path.iterdir()}
    assert {0, 1} <= done
    assert len(done) < 30


def test_an_error_with_a_place_of_its_own_crosses_processes(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"photo\.png is truncated") as refused:
        list(engines.run(jobs.unreadable, [tmp_path / "photo.png"] * 2, 2))
    assert refused.value.path == tmp_path / "photo.png"


def test_a_killed_worker_is_told_in_plain_words() -> None:
    with pytest.raises(UserError, match=r"its worker process was killed, twice"):
        list(engines.run(jobs.die, [1, 2, 3], 2))


def started(script: str, place: Path, way: str = "a file") -> subprocess.Popen[str]:
    """Run a script of a user's, as a file of its own or otherwise, in a session of its own."""
    script = textwrap.dedent(script)
    if way == "a package":
        place = place.with_suffix("") / "__main__.py"
        place.parent.mkdir()
    place.write_text(script, encoding="utf-8")
    words = {
        "a file": [str(place)],
        "a package": [str(place.parent)],
        "-c": ["-c", script],
        "typed in": ["-c", f"exec(open({str(place)!r}).read())"],
    }
    return subprocess.Popen(
        [sys.executable, *words[way]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("way", ["a file", "a package", "-c", "typed in"])
def test_a_script_needs_no_main_guard(way: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        write_png(tmp_path / "photos" / f"{i}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    child = started(
        f"""
        import asbench
        print("here")
        sets = asbench.generate({str(tmp_path / "photos")!r}, "cutout", n=600, size=32,
                                store={str(tmp_path / "store")!r}, workers=2)
        print(len(sets[0]))
        import __main__
        print(__main__.sets is sets)
        """,
        tmp_path / "script.py",
        way,
    )
    told, complained = child.communicate(timeout=120)
    assert child.returncode == 0, complained
    assert told.split() == ["here", "600", "True"]
    store = SynthStore.open(tmp_path / "store")
    assert store.read(StoreKey("photos", "cutout", 0), "photos").count == 600


def test_interrupted_it_lets_the_jobs_at_hand_end(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    child = started(
        f"""
        from pathlib import Path
        from asbench.grid import engines
        from tests.jobs import slow
        try:
            list(engines.run(slow, [(Path({str(folder)!r}), i) for i in range(12)], 2))
        except KeyboardInterrupt:
            print("interrupted")
        """,
        tmp_path / "script.py",
    )
    until = time.monotonic() + 60
    while not list(folder.glob("ended-*")):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)  # as Ctrl-C in a terminal does: parent and workers alike
    told, complained = child.communicate(timeout=60)
    assert (told, complained) == ("interrupted\n", "")
    begun = {p.name.partition("-")[2] for p in folder.glob("begun-*")}
    ended = {p.name.partition("-")[2] for p in folder.glob("ended-*")}
    assert begun == ended
    assert len(ended) < 12


def test_jobs_that_take_a_gpu_have_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,9")
    taken = [
        card for _, card in engines.Pool(workers=1, gpus=2).outcomes(jobs.card, range(6), gpu=True)
    ]
    assert set(taken) == {"5", "7"}
    assert {c for _, c in engines.Pool(1, gpus=2).outcomes(jobs.card, [0])} == {"5,7,9"}


def test_a_killed_job_alone_fails_and_those_beside_it_do_not() -> None:
    outcomes = dict(engines.Pool(2).outcomes(jobs.die_at_two, range(6)))
    killed = outcomes.pop(2)
    assert isinstance(killed, engines.Failure)
    assert "its worker process was killed, twice" in str(killed.error)
    assert outcomes == {i: i for i in (0, 1, 3, 4, 5)}


def begun() -> set[int | None]:
    return {child.pid for child in active_children()}


@pytest.mark.parametrize("asked", [2, engines.Pool(2)])
def test_processes_begun_ahead_run_the_jobs_and_end_with_them(asked: int | engines.Pool) -> None:
    with engines.ahead(jobs.process, 9, asked) as on:
        waiting = begun()
        assert len(waiting) == 2
        assert {pid for _, pid in engines.run(jobs.process, range(9), on)} <= waiting
        assert begun() == set()
        later = {pid for _, pid in engines.run(jobs.process, range(9), on)}
        assert not later & (waiting | {os.getpid()})
    assert begun() == set()


@pytest.mark.parametrize(("workers", "count"), [(1, 9), (4, 1), (4, 0), (engines.Pool(1), 9)])
def test_none_is_begun_where_none_would_wait_for_it(
    workers: int | engines.Engine, count: int
) -> None:
    with engines.ahead(jobs.square, count, workers) as on:
        assert begun() == set()
        assert sorted(engines.run(jobs.square, range(3), on)) == [(0, 0), (1, 1), (2, 4)]


def test_what_is_refused_meanwhile_ends_them() -> None:
    def refused() -> None:
        with engines.ahead(jobs.square, 9, 3):
            assert len(begun()) == 3
            raise UserError("no such thing")

    with pytest.raises(UserError, match="no such thing"):
        refused()
    assert begun() == set()


def test_one_that_is_killed_while_it_waits_costs_nothing() -> None:
    with engines.ahead(jobs.square, 9, 2) as on:
        for child in active_children():
            child.kill()
            child.join(60)
        assert sorted(engines.run(jobs.square, range(9), on)) == [(i, i * i) for i in range(9)]

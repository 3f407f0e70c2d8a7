"""Several at once on one store: two that generate one set, a reader beside, two studies, dask."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

from tests.cli.conftest import photograph
from tests.clusters import below, two_workers_apart
from tests.faults.kills import GENERATE, LIMIT, STUDY, _end, _start, _stored, _studied, _wait
from tests.faults.tally import Tally

LINE = f"{GENERATE} --method cutpaste -n 900"
GROWN = f"{GENERATE} --method cutpaste -n 1200"


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Try so many of each."""
    rng = random.Random(seed)
    base, place = work / "base", work / "place"
    base.mkdir()
    photograph(base / "photos", ("bolt",))
    (base / "mine.yaml").write_text(STUDY.replace("PHOTOS", str(base / "photos")))
    shutil.copytree(base, place)
    _done(_start(LINE, place))
    wanted = _stored(place)
    _done(_start(GROWN, place))
    grown = _stored(place)
    shutil.rmtree(place)
    shutil.copytree(base, place)
    _done(_start("study run mine.yaml --workers 1", place))
    studied = _studied(place)
    for number in range(cases):
        for name, act in (
            ("two that generate", _two), ("one stopped, one on", _stopped),
            ("verify while it grows", _growing),
        ):  # fmt: skip
            shutil.rmtree(place)
            shutil.copytree(base, place)
            held = act(place, rng)
            want = grown if act is _growing else wanted
            outcome = "lost" if held else "equal" if _stored(place) == want else "silent"
            tally.note("concurrency", name, outcome, f"{number}: {held}")
        if number % 4 == 0:
            shutil.rmtree(place)
            shutil.copytree(base, place)
            held = _together(place, "study run mine.yaml --workers 1", rng)
            outcome = "equal" if _studied(place) == studied else "silent"
            # One of two may be told that the other is at it.
            tally.note("concurrency", "two studies", outcome, f"{number}: {held}")
    for number in range(max(len(DASK), cases // 3)):
        shutil.rmtree(place)
        shutil.copytree(base, place)
        _dask(tally, place, wanted, number)


def _done(process: int) -> None:
    if _wait(process, LIMIT) != 0:
        raise RuntimeError("a command failed without any fault")


def _two(place: Path, rng: random.Random) -> str:
    return _together(place, LINE, rng)


def _together(place: Path, line: str, rng: random.Random) -> str:
    one = _start(line, place)
    time.sleep(rng.random() * 0.3)
    two = _start(line, place)
    ended = [_wait(p, LIMIT) for p in (one, two)]
    return "" if ended == [0, 0] else f"{ended} {(place / 'said.txt').read_text()[-300:]!r}"


def _stopped(place: Path, rng: random.Random) -> str:
    """One is stopped halfway, another does all, then the first goes on: or is killed."""
    one = _start(LINE, place)
    time.sleep(rng.random() * 0.5)
    os.kill(one, signal.SIGSTOP)
    two = _start(LINE, place)
    # Stopped while it holds the store's lock, it holds the other up until it goes on.
    ended = _wait_for(two, 3.0)
    os.kill(one, signal.SIGCONT)
    if ended is None:
        ended = _wait(two, LIMIT)
    if rng.random() < 0.5:
        _end(one)
        return "" if ended == 0 else f"{ended}"
    last = _wait(one, LIMIT)
    return "" if (ended, last) == (0, 0) else f"{ended} {last}"


def _wait_for(process: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def _growing(place: Path, rng: random.Random) -> str:
    """Verify reads while the set grows: it may find it unfinished, never damaged."""
    _done(_start(LINE, place))
    growing = _start(GROWN, place)
    said = ""
    for _ in range(3):
        time.sleep(rng.random() * 0.2)
        reading = place / "reading"
        shutil.rmtree(reading, ignore_errors=True)
        reading.mkdir()
        process = _start(f"store verify --store {place / 'asbench-store'}", reading)
        _wait(process, LIMIT)
        text = (reading / "said.txt").read_text()
        faults = [line for line in text.splitlines() if line.startswith("fault:")]
        said += "".join(f for f in faults if "was begun but not finished" not in f)
    ended = _wait(growing, LIMIT)
    shutil.rmtree(place / "reading")
    return said or ("" if ended == 0 else f"{ended}")


def _kill_worker(scheduler: int) -> None:
    os.kill(below(scheduler)[-1], signal.SIGKILL)


def _stop_worker(scheduler: int) -> None:
    _stop(below(scheduler)[-1])


def _kill_scheduler(scheduler: int) -> None:
    os.kill(scheduler, signal.SIGKILL)


def _stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    time.sleep(1)
    os.kill(process, signal.SIGCONT)


DASK = (
    ("worker stopped", _stop_worker),
    ("worker killed", _kill_worker),
    ("scheduler killed", _kill_scheduler),
    ("scheduler stopped", _stop),
)
"""Scheduler and client of the cluster live in the process that is started, its workers below it."""


def _dask(tally: Tally, place: Path, wanted: object, number: int) -> None:
    """Kill, or stop for a while, a part of a dask cluster that renders."""
    with two_workers_apart() as (address, scheduler):
        process = _start(LINE.replace("--workers 1", f"--scheduler {address}"), place)
        time.sleep(2.5)
        what, act = DASK[number % len(DASK)]
        act(scheduler)
        ended = status = _wait(process, LIMIT)
        said = (place / "said.txt").read_text()
        if status != 0:
            status = _wait(_start(LINE, place), LIMIT)  # the same, here
        equal = status == 0 and _stored(place) == wanted
        outcome = "hang" if ended is None else "equal" if equal else "lost"
        outcome = "traceback" if "Traceback" in said else outcome
        note = f"{number}: {ended}, {status}, {said[-300:]!r}"
        tally.note("concurrency", f"dask {what}", outcome, note)

"""Processes of this machine that run jobs, each on one thread."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import cv2
from threadpoolctl import threadpool_limits

from asbench.grid.memory import freed_memory_kept, keep_freed_memory

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries ask when they are loaded: a worker loads some (scipy, torch) after it is prepared,
and would find here what a cluster's profile set for the whole node."""

CGROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own limits."""

Begun = deque[ProcessPoolExecutor]
"""Where processes wait that `begin` has begun."""
J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """What came of a job instead of its result."""

    error: Exception


def cores() -> int:
    """Return how many cores this process may use, or a container's `--cpus` gives, rounded up."""
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cpus_given(CGROUP)
    return may if share is None else min(may, math.ceil(share))


def cpus_given(cgroup: Path) -> float | None:
    """Return the cores' worth of time that a control group of version 2 or 1 allows; None for all.

    cgroup: where the kernel shows the group, `/sys/fs/cgroup` inside a container.
    """
    v2, v1 = cgroup / "cpu.max", cgroup / "cpu"
    if v2.is_file():
        quota, period = v2.read_text().split()
    elif (v1 / "cpu.cfs_quota_us").is_file():
        quota = (v1 / "cpu.cfs_quota_us").read_text().strip()
        period = (v1 / "cpu.cfs_period_us").read_text()
    else:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)


def pooled(
    function: Callable[[J], R],
    waiting: deque[J],
    count: int,
    gpus: int,
    begun: Begun | None = None,
) -> Generator[tuple[J, R | Failure]]:
    """Run what waits in `count` processes, until one is killed: held jobs then fail, others wait.

    No more jobs are handed out than there are processes, so that those held are those begun.
    Processes that wait in `begun` are taken from there.
    """
    pool = begun.popleft() if begun and not gpus else _pool(count, gpus)
    held: dict[Future[R | Failure], J] = {}
    broken = False
    try:
        while held or (waiting and not broken):
            while waiting and len(held) < count and not broken:
                try:
                    with _without_main():
                        held[pool.submit(caught, function, waiting[0])] = waiting[0]
                    waiting.popleft()
                except BrokenProcessPool:
                    broken = True
            for future in wait(held, return_when=FIRST_COMPLETED).done:
                job = held.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    outcome, broken = Failure(error), True
                yield job, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(count: int, gpus: int = 0) -> ProcessPoolExecutor:
    # Spawned, not forked: a forked copy of a process with threads (torch, progress bars) can hang.
    context = get_context("spawn")
    cards = context.SimpleQueue() if gpus else None
    for card in _cards(gpus):
        assert cards is not None
        cards.put(card)
    return ProcessPoolExecutor(count, context, initializer=_prepare, initargs=(cards,))


@contextmanager
def begin(function: Callable[[Any], Any], count: int) -> Iterator[Begun]:
    """Begin `count` processes that import what a function needs, and keep them for its jobs.

    They wait in what is given; those that are not taken from there end at the end.
    """
    pool = _pool(count)
    begun = deque([pool])
    try:
        with _without_main():
            for _ in range(count):
                pool.submit(_came, function)
        yield begun
    finally:
        for left in begun:
            left.shutdown(wait=True, cancel_futures=True)


def _came(function: Callable[[Any], Any]) -> None:
    """Do nothing: a function that has come to a process has its module imported there."""


def was_killed(outcome: object) -> bool:
    """Say whether an outcome is that of a job whose worker process was killed."""
    return isinstance(outcome, Failure) and isinstance(outcome.error, BrokenProcessPool)


def caught(function: Callable[[J], R], job: J) -> R | Failure:
    """Return what comes of a job, an exception as a failure."""
    try:
        return function(job)
    except Exception as error:
        return Failure(error)


def _cards(gpus: int) -> list[str]:
    """Return the names under which this process knows its first GPUs."""
    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = known.split(",") if known else [str(number) for number in range(gpus)]
    return names[:gpus]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread of OpenCV, BLAS and (if it is loaded) torch; restore the numbers after.

    Memory that is freed is kept meanwhile.
    """
    before = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    torch_before = torch.get_num_threads() if torch else 0
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1), freed_memory_kept():
            yield
    finally:
        cv2.setNumThreads(before)
        if torch:
            torch.set_num_threads(torch_before)


def keep_to_one_thread() -> None:
    """Make this process run on one thread from now on, libraries that are loaded later too.

    It is a worker's, and keeps what it frees for its next job.
    """
    keep_freed_memory()
    for name in THREADS:
        os.environ[name] = "1"
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


_ALONE = threading.Lock()


def alone(function: Callable[[J], R], job: J) -> R:
    """Run a job in a dask worker, on one thread, never two at once."""
    with _ALONE:
        _prepare_dask_worker()
        return function(job)


@cache
def _prepare_dask_worker() -> None:
    """Once for all jobs: looking for the libraries that use threads takes half a millisecond."""
    keep_to_one_thread()


def _prepare(cards: Any) -> None:
    """Make a worker run on one thread, and on one of the GPUs in a queue, if there is one.

    Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cards is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = cards.get()
    keep_to_one_thread()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End this worker when its parent is gone: one that was killed could not tell it to stop.

    Without this, workers of a killed process wait for jobs for ever. Files are renamed into place
    whole, so a worker may end anywhere.
    """
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep spawned workers from importing the user's script: jobs never refer to it.

    Without this, a script that calls `asbench.generate` outside of `if __name__ == "__main__"`
    would start itself again in every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

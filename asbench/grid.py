"""Where work runs: this process or a local pool. A grid is a list of independent jobs.

Whatever the engine, a job runs on one thread (OpenCV, BLAS, torch): its result is then the same
everywhere, and as many jobs as there are cores do not fight over them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from types import ModuleType
from typing import TypeVar

import cv2
from threadpoolctl import threadpool_limits

from synth_store.types import UserError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries ask when they are loaded: a worker loads some (scipy, torch) after it is prepared,
and would find here what a cluster's profile set for the whole node."""

J = TypeVar("J")
R = TypeVar("R")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(workers: int | None) -> None:
    """Raise UserError for less than one worker."""
    if workers is not None and workers < 1:
        raise UserError(f"{workers} workers cannot do anything: give 1 or more with --workers.")


def run(
    function: Callable[[J], R], jobs: Sequence[J], workers: int | None = None
) -> Iterator[tuple[J, R]]:
    """Yield every job with its result as it ends; the first exception ends the rest.

    `workers` processes (default: one per core, no more than jobs); 1 works in this process.
    Interrupted, it lets the jobs that workers hold end, hands out no other, and raises
    KeyboardInterrupt. Killed, it takes its workers with it. Raises UserError for less than one
    worker and for a worker that was killed.
    """
    check(workers)
    count = min(workers or cores(), len(jobs))
    if count <= 1:
        with one_thread():
            for job in jobs:
                yield job, function(job)
        return
    # Spawned, not forked: a forked copy of a process with threads (torch, progress bars) can hang.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare)
    try:
        with _without_main():
            futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"one of {count} worker processes was killed, perhaps for want of memory: run the same "
            "again with fewer --workers. What was stored until then stays."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread of OpenCV, BLAS and (if it is loaded) torch; restore the numbers after."""
    before = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    torch_before = torch.get_num_threads() if torch else 0
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
        if torch:
            torch.set_num_threads(torch_before)


def _prepare() -> None:
    """Make a worker run on one thread and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in THREADS:
        os.environ[name] = "1"
    cv2.setNumThreads(1)
    threadpool_limits(1)
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

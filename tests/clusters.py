"""A dask scheduler with two worker processes on this machine, at ports that are free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
from distributed import LocalCluster


@contextmanager
def two_workers() -> Iterator[str]:
    """Give the scheduler's address. A worker that is killed is started again by its nanny."""
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster.scheduler_address


@contextmanager
def two_workers_apart() -> Iterator[tuple[str, int]]:
    """Give the address of a scheduler and its process, that can be killed; workers are below it."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.clusters"], cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert started.stdin is not None
    assert started.stdout is not None
    with started.stdin, started.stdout:
        address = started.stdout.readline().strip()
        workers = below(started.pid)
        yield address, started.pid
    try:
        started.wait(30)  # its input has ended
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    for worker in workers:  # where the scheduler was killed, nobody else ends them
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def below(process: int) -> list[int]:
    """Return the processes that a process and its own have started, by any of their threads."""
    listed = [
        int(child)
        for children in Path(f"/proc/{process}/task").glob("*/children")
        for child in children.read_text().split()
    ]
    return [one for child in listed for one in (child, *below(child))]


if __name__ == "__main__":
    with two_workers() as its_address:
        sys.stdout.write(f"{its_address}\n")
        sys.stdout.flush()
        sys.stdin.read()

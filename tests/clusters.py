"""A dask scheduler with two worker processes on this machine, at ports that are free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

"""Where work runs: here, in a local pool, on a dask cluster. A grid is a list of independent jobs.

Whatever the engine, a job runs on one thread (OpenCV, BLAS, torch) and alone in its process: its
result is then the same everywhere, and as many jobs as there are cores do not fight over them.
"""

from __future__ import annotations

import logging
import os
import shutil
from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from asbench.grid.processes import Failure as Failure
from asbench.grid.processes import alone, begin, caught, cores, one_thread, pooled, was_killed
from synth_store.types import UserError

if TYPE_CHECKING:
    from distributed import Client

ALIKE = ("asbench", "numpy", "opencv-python-headless", "scipy", "torch")
"""What must be of one version on every worker: another may change a pixel or a weight."""
SECONDS_TO_CONNECT = 30

J = TypeVar("J")
R = TypeVar("R")


class Engine(ABC):
    """Runs independent jobs. Jobs, functions and results cross processes, so they pickle."""

    gpus: int
    """GPUs at hand for jobs that take one; on a cluster, whether there are any."""

    @abstractmethod
    def outcomes(
        self, function: Callable[[J], R], jobs: Sequence[J], *, gpu: bool = False
    ) -> Generator[tuple[J, R | Failure]]:
        """Yield every job with its result or its failure as it ends; no failure ends the rest.

        gpu: each job takes a GPU of its own, where the engine has any. Closed or interrupted, it
        lets the jobs that workers hold end, and hands out no other.
        """

    @abstractmethod
    def check_sees(self, folder: Path) -> None:
        """Raise UserError naming the workers that do not find a folder of this process."""


@dataclass(frozen=True)
class Pool(Engine):
    """Processes of this machine: one per core by default, one per GPU for jobs that take one.

    One worker is this process itself.
    """

    workers: int | None = None
    gpus: int = 0
    begun: deque[Any] = field(default_factory=deque, repr=False, compare=False)
    """Executors whose processes were begun before there were jobs for them: see `ahead`."""

    def __post_init__(self) -> None:
        check(self.workers)
        if self.gpus < 0:
            raise UserError(f"{self.gpus} GPUs are less than none: give 0 or more with --gpus.")

    def processes(self, jobs: int) -> int:
        """Return how many run so many jobs that take no GPU."""
        return min(self.workers or cores(), jobs)

    def outcomes(
        self, function: Callable[[J], R], jobs: Sequence[J], *, gpu: bool = False
    ) -> Generator[tuple[J, R | Failure]]:
        """Yield every job with its outcome.

        A worker that is killed, for want of memory perhaps, takes down the jobs held with it: each
        is then run again alone, and is a failure only if its worker is killed once more.
        """
        gpus = self.gpus if gpu else 0
        count = min(gpus, len(jobs)) if gpus else self.processes(len(jobs))
        if count <= 1 and not gpus:
            with one_thread():
                for job in jobs:
                    yield job, caught(function, job)
            return
        waiting = deque(jobs)
        while waiting:
            suspects = []
            for job, outcome in pooled(function, waiting, count, gpus, self.begun):
                if was_killed(outcome):
                    suspects.append(job)
                else:
                    yield job, outcome
            for job in suspects:
                ((_, outcome),) = pooled(function, deque([job]), 1, gpus)
                yield job, Failure(UserError(KILLED)) if was_killed(outcome) else outcome

    def check_sees(self, folder: Path) -> None:
        """Do nothing: workers of this machine see what it sees."""

    def __str__(self) -> str:
        where = f", {self.gpus} GPUs" if self.gpus else ""
        return f"{self.workers or cores()} processes of this machine{where}"


MOST_WORKERS = 4096
KILLED = (
    "its worker process was killed, twice, the second time with no other beside it; perhaps for "
    "want of memory. What was stored until then stays."
)


@dataclass(frozen=True)
class Cluster(Engine):
    """The workers of a dask scheduler; folders are shared, nothing else is."""

    client: Client
    address: str
    gpus: int = 0

    def outcomes(
        self, function: Callable[[J], R], jobs: Sequence[J], *, gpu: bool = False
    ) -> Generator[tuple[J, R | Failure]]:
        """Yield every job with its outcome. Jobs of a worker that died run again on another.

        Those that take a GPU run where a worker was started with `--resources GPU=1`.
        """
        from distributed import as_completed

        # All jobs in one graph, results fetched as they come: half the cost of one by one.
        call, batch = function.__name__, uuid4().hex[:8]
        submitted = self.client.map(
            partial(alone, function),
            jobs,
            key=[f"{call}-{batch}-{number}" for number in range(len(jobs))],
            pure=False,
            resources={"GPU": 1} if gpu and self.gpus else None,
        )
        futures = dict(zip(submitted, jobs, strict=True))
        del submitted
        try:
            for future, result in as_completed(
                list(futures), with_results=True, raise_errors=False
            ):
                outcome = _failure(future.status, result)
                yield futures.pop(future), result if outcome is None else outcome
        finally:
            self._let_end(list(futures))

    def _let_end(self, futures: Sequence[Any]) -> None:
        """Take back the jobs that no worker has begun, and wait for those that one has."""
        from distributed import wait as wait_for

        # A scheduler that is gone has nothing to be taken back from.
        with suppress(OSError, TimeoutError):
            held = {key for keys in self.client.processing().values() for key in keys}
            self.client.cancel([f for f in futures if f.key not in held])
            wait_for([f for f in futures if f.key in held])

    def check_sees(self, folder: Path) -> None:
        """Raise UserError naming the workers that do not find the folder."""
        blind = [w for w, sees in self.client.run(os.path.isdir, str(folder)).items() if not sees]
        if blind:
            raise UserError(
                f"{', '.join(blind)} do not see {folder}: driver and workers share the store and "
                "the runs through a folder that all of them mount at one path."
            )

    def __str__(self) -> str:
        return f"the dask cluster at {self.address}"


@contextmanager
def engine(
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
    gpus: int = 0,
) -> Iterator[Engine]:
    """Give the engine that is asked for, and let go of it at the end.

    workers: processes of this machine, or with `slurm` jobs of one worker each; scheduler: the
    address of a dask scheduler; slurm: options of dask-jobqueue's SLURMCluster; gpus: those of this
    machine to use, one job each; on a cluster any number but 0 sends such jobs to workers that have
    the resource GPU. Raises UserError for a scheduler that cannot be reached, that has no worker
    or one that runs another version or several threads.
    """
    if scheduler is None and slurm is None:
        pool = Pool(workers, gpus)
        _check_gpus(gpus)
        yield pool
        return
    if scheduler is not None and (slurm is not None or workers is not None):
        raise UserError(
            "--scheduler names workers that run already: leave out --workers and --slurm."
        )
    check(workers)
    from distributed import Client

    with _scheduler(scheduler, slurm, workers, gpus) as address:
        try:
            client = Client(address, timeout=SECONDS_TO_CONNECT)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no dask scheduler answers at {address}: start one with `dask scheduler`, which "
                "prints its address, or leave out --scheduler to run on this machine."
            ) from error
        with _told_by_us(), _closing(client):
            if scheduler is not None:  # Slurm starts its own, from this very installation
                _check_workers(client, scheduler, gpus)
            yield Cluster(client, scheduler or "Slurm", gpus)


@contextmanager
def _closing(client: Client) -> Iterator[None]:
    """Close a client at the end. Where its scheduler is gone, dask may raise anything on the way.

    Nothing is lost by that: every job has come back by then, or is a failure.
    """
    try:
        yield
    finally:
        if client.status == "running":
            client.close()
        else:
            with suppress(Exception, CancelledError):
                client.close(timeout=1)


@contextmanager
def _told_by_us() -> Iterator[None]:
    """Keep dask from printing tracebacks of a lost scheduler: the jobs' failures tell of it."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _scheduler(
    scheduler: str | None, slurm: Mapping[str, Any] | None, workers: int | None, gpus: int
) -> Iterator[Any]:
    """Give a scheduler's address, or a cluster that Slurm is asked for."""
    if slurm is None:
        yield scheduler
        return
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise UserError(
            "--slurm needs dask-jobqueue: `pip install 'asbench[hpc]'`, or start workers yourself "
            "and name their scheduler with --scheduler."
        ) from error
    if shutil.which("sbatch") is None:
        raise UserError(
            "--slurm needs Slurm's `sbatch`, which is not on this machine: run this where jobs are "
            "submitted, or start workers yourself and name their scheduler with --scheduler."
        )
    # One process of one thread a job: a job of ours is alone in its process.
    options: dict[str, Any] = {"memory": "8GB", "walltime": "24:00:00", **slurm}
    options |= {"cores": 1, "processes": 1, "scheduler_options": {"dashboard_address": ":0"}}
    if gpus:
        given = options.get("job_extra_directives", [])
        more = [given] if isinstance(given, str) else list(given)
        options["job_extra_directives"] = ["--gres=gpu:1", *more]
        options["worker_extra_args"] = ["--resources", "GPU=1"]
    with SLURMCluster(**options) as cluster:
        cluster.scale(jobs=workers or 1)
        yield cluster


def _check_gpus(gpus: int) -> None:
    """Raise UserError if this machine has fewer."""
    if gpus:
        import torch

        if gpus > (there := torch.cuda.device_count()):
            raise UserError(f"{gpus} GPUs are more than this machine has: {there} can be used.")


def _check_workers(client: Client, address: str, gpus: int) -> None:
    """Raise UserError for what would make results differ between workers, or never come."""
    line = f"dask worker {address} --nworkers 4 --nthreads 1"
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
    except TimeoutError as error:
        raise UserError(
            f"the scheduler at {address} has no worker: start some, `{line}`."
        ) from error
    many = [name for name, threads in client.nthreads().items() if threads != 1]
    if many:
        raise UserError(
            f"{', '.join(many)} run several threads, where a job must be alone in its process: "
            f"start them as `{line}`."
        )
    here = _versions()
    for name, there in client.run(_versions).items():
        for library in ALIKE:
            if there[library] != here[library]:
                raise UserError(
                    f"worker {name} has {library} {there[library]}, and this process "
                    f"{here[library]}: results could differ. Install the same on both."
                )
    if gpus and not any(client.run(_has_gpu).values()):
        raise UserError(
            f"no worker at {address} has a GPU to give: start one for each GPU, as "
            f"`CUDA_VISIBLE_DEVICES=0 dask worker {address} --nthreads 1 --resources GPU=1`, "
            "or leave out --gpus."
        )


def _versions() -> dict[str, str]:
    return {library: version(library) for library in ALIKE}


def _has_gpu(dask_worker: Any) -> bool:
    return bool(dask_worker.state.total_resources.get("GPU"))


def check(workers: int | None) -> None:
    """Raise UserError for less than one worker, and for more than any machine has."""
    if workers is not None and workers < 1:
        raise UserError(f"{workers} workers cannot do anything: give 1 or more with --workers.")
    if workers is not None and workers > MOST_WORKERS:
        raise UserError(f"{workers} workers are too many: give 1 to {MOST_WORKERS}.")


def run(
    function: Callable[[J], R], jobs: Sequence[J], on: Engine | int | None = None
) -> Iterator[tuple[J, R]]:
    """Yield every job with its result as it ends; the first exception ends the rest.

    `on` an engine, or on so many processes of this machine (default: one per core). Interrupted,
    it lets the jobs that workers hold end, hands out no other, and raises KeyboardInterrupt.
    Killed, it takes the workers of this machine with it. Raises UserError for less than one worker
    and for a job whose worker was killed.
    """
    chosen = on if isinstance(on, Engine) else Pool(on)
    with closing(chosen.outcomes(function, jobs)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Failure):
                raise outcome.error
            yield job, outcome


@contextmanager
def ahead(function: Callable[..., Any], jobs: int, on: Engine | int | None) -> Iterator[Engine]:
    """Give the engine of which `run` would run so many jobs, its processes begun already.

    They import what the function needs while this one prepares its jobs. None is begun where the
    jobs would run in this process, or on a cluster. `on` as for `run`.
    """
    chosen = on if isinstance(on, Engine) else Pool(on)
    if isinstance(chosen, Pool) and (count := chosen.processes(jobs)) > 1:
        with begin(function, count) as begun:
            yield replace(chosen, begun=begun)
    else:
        yield chosen


def _failure(status: str, result: Any) -> Failure | None:
    """Return the failure that a dask future ended with, if it did."""
    from distributed import KilledWorker

    if status == "finished":
        return None
    if status != "error":
        return Failure(
            UserError(
                "the dask scheduler let go of it, or is gone. What was stored until then stays: "
                "start `dask scheduler` and its workers again, and the same command continues; or "
                "leave out --scheduler to go on on this machine."
            )
        )
    _, error, _ = result
    if isinstance(error, KilledWorker):
        return Failure(
            UserError(
                f"every worker that took it died ({error}), perhaps for want of memory: see "
                "their logs. What was stored until then stays."
            )
        )
    return Failure(error)

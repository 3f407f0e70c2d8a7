"""The engines: what handing out a job costs, and what two dask workers make of two cores."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from asbench.data.ingest import ensure_normals
from asbench.datasets import open_dataset
from asbench.generation.plan import identity
from asbench.generation.render import RenderJob, render_job
from asbench.grid import engines
from asbench.grid.processes import one_thread
from asbench.synthesizers import resolve
from synth_store import StoreKey, SynthStore
from tests import clusters, jobs

JOBS = 200
SAMPLES = 32
"""Of one job: short ones, of less than a tenth of a second."""
ROUNDS = 2
METHOD, CATEGORY = "draem", "weave"
TEXTURES = "procedural/all"


def rows() -> list[dict[str, Any]]:
    """Hand out 200 jobs that do nothing, then 200 that render, on two workers each."""
    with tempfile.TemporaryDirectory() as folder, clusters.two_workers() as address:
        store = SynthStore.create(Path(folder))
        ensure_normals(store, open_dataset("demo"), CATEGORY)
        ensure_normals(store, open_dataset("procedural"), "all")
        with engines.engine(scheduler=address) as cluster:
            list(engines.run(jobs.square, range(10), cluster))
            return [*_overheads(cluster), *_throughput(store, cluster)]


def _overheads(cluster: engines.Engine) -> list[dict[str, Any]]:
    found = []
    for name, engine in (("local pool", engines.Pool(2)), ("dask cluster", cluster)):
        list(engines.run(jobs.square, range(10), engine))
        start = time.perf_counter()
        number = len(list(engines.run(jobs.square, range(JOBS), engine)))
        taken = time.perf_counter() - start
        begun = " (starting two processes counted)" if engine is not cluster else ""
        found.append(
            {"what": f"{name}, a job that does nothing{begun}", "ms": 1e3 * taken / number}
        )
    return found


def _throughput(store: SynthStore, cluster: engines.Engine) -> list[dict[str, Any]]:
    """Render equal sets in turn by two processes that share nothing, and on the cluster."""
    alone: list[float] = []
    dask: list[float] = []
    for number in range(ROUNDS):
        alone.append(_independent(_set(store, 2 * number)))
        dask.append(_timed(_set(store, 2 * number + 1), cluster))
    ratio = statistics.median(a / d for a, d in zip(alone, dask, strict=True))
    each = 1e3 / JOBS
    return [
        {"what": "two independent processes, a job", "ms": each * statistics.median(alone)},
        {"what": "two dask workers, a job", "ms": each * statistics.median(dask), "ratio": ratio},
    ]


def _set(store: SynthStore, seed: int) -> list[RenderJob]:
    """Create a set of 200 short jobs, and return them."""
    key, synthesizer = (
        StoreKey("demo", METHOD, seed),
        resolve(METHOD, dataset="demo", category=CATEGORY),
    )
    decides = identity(store, key, CATEGORY, synthesizer, TEXTURES)
    shards = store.create_set(
        key, CATEGORY, JOBS * SAMPLES, identity=decides, versions={}, shard=SAMPLES
    )
    return [RenderJob(store.root, key, CATEGORY, shard, synthesizer, TEXTURES) for shard in shards]


def _timed(work: Sequence[RenderJob], engine: engines.Engine) -> float:
    start = time.perf_counter()
    list(engines.run(render_job, work, engine))
    return time.perf_counter() - start


def _independent(work: Sequence[RenderJob]) -> float:
    """Return the seconds until both of two processes have done their half."""
    context = get_context("spawn")
    ends: list[Connection] = []
    processes = []
    for half in (work[::2], work[1::2]):
        ours, theirs = context.Pipe()
        process = context.Process(target=_half, args=(theirs, render_job, half))
        process.start()
        processes.append(process)
        ends.append(ours)
    for end in ends:
        end.recv()  # ready: imports are not counted, as they are not for workers that stand
    start = time.perf_counter()
    for end in ends:
        end.send("go")
    for end in ends:
        end.recv()
    taken = time.perf_counter() - start
    for process in processes:
        process.join()
    return taken


def _half(pipe: Connection, function: Callable[[RenderJob], object], work: list[RenderJob]) -> None:
    with one_thread():
        pipe.send("ready")
        pipe.recv()
        for job in work:
            function(job)
        pipe.send("done")

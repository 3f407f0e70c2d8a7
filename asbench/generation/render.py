"""One job is one shard: canvases in, samples stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from asbench.imaging.masks import visible
from asbench.types import Canvas, Material, Synthesizer
from synth_store import Job, Sample, StoreKey, SynthStore, UserError, sample_rng
from synth_store.reader import Foregrounds
from synth_store.rng import source_index

ATTEMPTS = 20
"""How often a sample that shows nothing is drawn again, each time on another normal."""


@dataclass(frozen=True)
class RenderJob:
    """What a worker needs to render one shard: places and parameters, no pixels."""

    root: Path
    key: StoreKey
    category: str
    job: Job
    synthesizer: Synthesizer
    textures: str | None = None
    """`dataset/category` of the texture bank in the store."""

    def __len__(self) -> int:
        return self.job.stop - self.job.start

    def __str__(self) -> str:
        return f"{self.key}/{self.category}, samples {self.job.start} to {self.job.stop - 1}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a job did: samples stored, draws that showed nothing, seconds of CPU and of the clock.

    `rendering` is the synthesizer's share of `cpu`, `writing` the store's.
    """

    samples: int
    redrawn: int
    rendering: float
    writing: float
    seconds: float


def material(store: SynthStore, dataset: str, category: str, textures: str | None) -> Material:
    """Return a category's material, read from the store as it is needed."""
    normals = store.normals(dataset, category)
    bank = store.normals(*textures.split("/")) if textures is not None else ()
    return Material(dataset, category, normals, Foregrounds(normals), bank)


def render_job(job: RenderJob) -> Rendered:
    """Render one shard and store it.

    Raises UserError, naming category and method, when a sample shows nothing on 20 canvases.
    """
    start = perf_counter()
    store = SynthStore.open(job.root)
    offered = material(store, job.key.dataset, job.category, job.textures)
    cpu = process_time()
    indices = range(job.job.start, job.job.stop)
    samples, sources, redrawn = render_samples(
        job.synthesizer, offered, job.key, job.category, indices
    )
    rendering = process_time() - cpu
    cpu = process_time()
    store.write(job.key, job.category, job.job, samples, sources)
    writing = process_time() - cpu
    return Rendered(len(samples), redrawn, rendering, writing, perf_counter() - start)


def render_samples(
    synthesizer: Synthesizer,
    offered: Material,
    key: StoreKey,
    category: str,
    indices: range,
    *,
    same_normals: bool = False,
) -> tuple[list[Sample], list[int], int]:
    """Return the samples at these indices of a set, their sources, and how many were redrawn.

    A sample is a function of its own address: which others are rendered with it plays no part.
    `same_normals` puts sample i on normal i, whatever the method: for looking at methods side by
    side, and never for storing.
    """
    normals = len(offered.normals)
    samples: dict[int, Sample] = {}
    sources: dict[int, int] = {}
    left, redrawn = list(indices), 0
    for attempt in range(ATTEMPTS):
        if same_normals:
            places = [index % normals for index in left]
        else:
            places = [source_index(key, category, i, attempt, normals) for i in left]
        canvases = [Canvas(offered, place) for place in places]
        rngs = [sample_rng(key, category, index, attempt) for index in left]
        drawn = synthesizer.render(canvases, rngs)
        for index, canvas, sample in zip(left, canvases, drawn, strict=True):
            if sample is None:
                continue
            clean = canvas.normal if sample.clean is None else sample.clean
            if visible(sample.image, clean, sample.mask):
                samples[index] = sample
                sources[index] = canvas.source if sample.clean is None else -1
        left = [index for index in left if index not in samples]
        redrawn += len(left)
        if not left:
            break
    if left:
        raise UserError(
            f"{key.method} shows nothing on {key.dataset}/{category}: sample {left[0]} was drawn "
            f"{ATTEMPTS} times, and no change could be seen. Look at the "
            f"normals with `asbench preview --dataset {key.dataset} --category {category}`, or "
            "try another method: constant or empty images leave nothing to change."
        )
    return [samples[i] for i in indices], [sources[i] for i in indices], redrawn

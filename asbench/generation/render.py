"""One job is one shard: canvases in, samples stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from asbench.data import tiling
from asbench.data.objects import object_found
from asbench.data.stored_defects import StoredDefects
from asbench.generation.fitted import Loading, load
from asbench.imaging.placement import OVERLAP, kept_to, usual_place
from asbench.imaging.visibility import PUBLISHED, Change, Visibility, change
from asbench.types import (
    REAL,
    Canvas,
    LearnedSynthesizer,
    Material,
    PerSample,
    Renderer,
    Synthesizer,
)
from synth_store import Job, Normals, Sample, StoreKey, SynthStore, UserError, sample_rng
from synth_store.reader import Foregrounds, Masks
from synth_store.rng import source_index
from synth_store.types import Mask

ATTEMPTS = 200
"""Draws in a row that show nothing before a method is given up on a category.

A sample that shows nothing is drawn again, each time on another normal. Squares of other normals on
a dark part on dark ground show in one draw of fifteen: twenty draws would give up on most sets.
"""


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
    grey: bool = False
    """The method keeps to grey, since all normals are."""
    loading: Loading | None = None
    """The fitted weights of a learned method."""
    visibility: Visibility = PUBLISHED
    """What every sample must show."""
    overlap: float = 0.0
    """How much of an anomaly must lie on the object, as `kept_to` has it; 0: it lies anywhere."""

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


def material(
    store: SynthStore,
    dataset: str,
    category: str,
    textures: str | None,
    *,
    defects: bool = False,
    grey: bool = False,
) -> Material:
    """Return a category's material, read from the store as it is needed.

    `defects`: with its stored real defects; `grey`: as `stays_grey` says.
    """
    normals = store.normals(dataset, category)
    bank = store.normals(*textures.split("/")) if textures is not None else ()
    real = store.read(StoreKey(dataset, REAL, 0), category) if defects else None
    return Material(
        dataset,
        category,
        normals,
        Foregrounds(normals),
        bank,
        Masks(real) if real is not None else (),
        grey,
        tiling.sources(normals),
        StoredDefects(real) if real is not None else (),
    )


def stays_grey(synthesizer: Synthesizer, normals: Normals) -> bool:
    """Return whether a method that keeps to grey where all normals are does so on these."""
    return synthesizer.keeps_grey and normals.grey


def goes_by_object(synthesizer: Synthesizer) -> bool:
    """Return whether a method asks where the object is that the store has found."""
    return synthesizer.keeps_to_object and "foreground" in synthesizer.needs


def overlap_of(where: str, synthesizer: Synthesizer, normals: Normals) -> float:
    """Return how much of a method's anomalies must lie on the object: 0 where they lie anywhere.

    where: as in `GenerateSettings`. So do those of methods that see to it themselves, of those
    whose change on a normal goes beyond their masks, and of all where no object was found. Methods
    that make their own background are held to where the object usually is, which tiles do not tell.
    """
    if where != "object" or synthesizer.keeps_to_object or not object_found(normals):
        return 0.0
    cut = "tiles" not in normals.attributes if synthesizer.generates else synthesizer.local
    return OVERLAP if cut else 0.0


def render_job(job: RenderJob) -> Rendered:
    """Render one shard and store it.

    Raises UserError, naming category and method, when 200 draws in a row show nothing.
    """
    start = perf_counter()
    store = SynthStore.open(job.root)
    offered = material(
        store,
        job.key.dataset,
        job.category,
        job.textures,
        defects=job.synthesizer.from_defects,
        grey=job.grey,
    )
    cpu = process_time()
    indices = range(job.job.start, job.job.stop)
    renderer, batch = renderer_of(job.synthesizer, job.loading)
    samples, sources, redrawn = render_samples(
        renderer,
        offered,
        job.key,
        job.category,
        indices,
        batch=batch,
        visibility=job.visibility,
        overlap=job.overlap,
    )
    rendering = process_time() - cpu
    cpu = process_time()
    store.write(job.key, job.category, job.job, samples, sources)
    writing = process_time() - cpu
    return Rendered(len(samples), redrawn, rendering, writing, perf_counter() - start)


def renderer_of(synthesizer: Synthesizer, loading: Loading | None) -> tuple[Renderer, int]:
    """Return what draws a method's samples, and how many it draws together.

    Raises UserError where the weights of a learned method cannot be loaded, TypeError for a method
    that is neither hand-crafted nor learned.
    """
    if isinstance(synthesizer, PerSample):
        return synthesizer, 1
    if isinstance(synthesizer, LearnedSynthesizer) and loading is not None:
        return load(synthesizer, loading), synthesizer.batch
    raise TypeError(f"{type(synthesizer).__name__} cannot render: it has no weights")


def render_samples(
    renderer: Renderer,
    offered: Material,
    key: StoreKey,
    category: str,
    indices: range,
    *,
    batch: int = 1,
    visibility: Visibility = PUBLISHED,
    overlap: float = 0.0,
    same_normals: bool = False,
) -> tuple[list[Sample], list[int], int]:
    """Return the samples at these indices of a set, their sources, and how many were redrawn.

    A sample is a function of its own address, of `batch`, `visibility` and `overlap`: which others
    are rendered with it plays no part.
    `same_normals` puts sample i on normal i, whatever the method: for looking at methods side by
    side, and never for storing.
    """
    normals = offered.sources or range(len(offered.normals))
    samples: dict[int, Sample] = {}
    sources: dict[int, int] = {}
    left, redrawn, barren, beside = list(indices), 0, 0, 0
    hidden: list[Change] = []
    usual: Mask | None = None
    for attempt in count():
        if same_normals:
            places = [normals[index % len(normals)] for index in left]
        else:
            of = len(normals)
            places = [normals[source_index(key, category, i, attempt, of)] for i in left]
        canvases = [Canvas(offered, place) for place in places]
        rngs = [sample_rng(key, category, index, attempt) for index in left]
        drawn = in_batches(renderer, batch, left, canvases, rngs)
        for index, canvas, sample in zip(left, canvases, drawn, strict=True):
            barren += 1
            if sample is None:
                continue
            clean = canvas.normal if sample.clean is None else sample.clean
            if overlap:
                found = canvas.foreground
                if sample.clean is not None:
                    found = usual = usual_place(offered.foregrounds) if usual is None else usual
                sample = kept_to(found, sample, clean, overlap)
                if sample is None:
                    beside += 1
                    continue
            if visibility.shows(sample.image, clean, sample.mask):
                samples[index] = sample
                sources[index] = canvas.source if sample.clean is None else -1
                barren, beside, hidden = 0, 0, []
            else:
                hidden.append(change(sample.image, clean, sample.mask))
        left = [index for index in left if index not in samples]
        redrawn += len(left)
        if not left:
            break
        if barren >= ATTEMPTS:
            raise UserError(_hidden(key, category, barren, visibility, hidden, beside))
    return [samples[i] for i in indices], [sources[i] for i in indices], redrawn


def _hidden(
    key: StoreKey,
    category: str,
    draws: int,
    rule: Visibility,
    seen: Sequence[Change],
    beside: int,
) -> str:
    """Say that a method shows nothing on a category: how much it changes, and what would do."""
    place = f"--dataset {key.dataset} --category {category}"
    shown = f"{key.method} shows nothing on {key.dataset}/{category}: {draws} draws in a row"
    seen = [one for one in seen if one.levels]
    if beside and not seen:
        return (
            f"{shown}, {beside} of them beside the object. Look where it is with `asbench preview "
            f"--foreground {place}`, say it with --object, or let this method draw anywhere with "
            "--where as-published."
        )
    if not seen or not rule.times:
        return (
            f"{shown} changed nothing that could be seen. Look at the normals with `asbench "
            f"preview --foreground {place}`, or try another method: constant or empty images leave "
            "nothing to change."
        )
    narrow = [one for one in seen if one.unchanged <= rule.unchanged]
    clearest = max(narrow or seen)
    what = (
        f"changed too little. The clearest changed its mask by {clearest.levels:.0f} grey levels; "
        f"it takes {rule.levels:.1f}, {rule.times:g} times the noise of the normals (measured: "
        f"{rule.noise:.1f}; counted: {rule.counted:.1f})"
        if narrow
        else f"left too much of their masks as it was: {min(one.unchanged for one in seen):.0%} at "
        f"best, where {rule.unchanged:.0%} may be"
    )
    if rule.held and any(one.levels >= rule.levels for one in narrow):
        what = (
            "changed as much beside their masks as inside: less than "
            f"{rule.held:.0%} of what changed lay on them"
        )
    return (
        f"{shown} {what}. Leave this method out here, let it change more with --set and --variant, "
        f"or store fainter ones: a lower --visible, down to 0 for any change, as published. Look "
        f"at them with `asbench preview {place} --method {key.method} --visible 0`."
    )


def in_batches(
    renderer: Renderer,
    batch: int,
    indices: Sequence[int],
    canvases: Sequence[Canvas],
    rngs: Sequence[np.random.Generator],
) -> list[Sample | None]:
    """Return one sample per index, networks seeing `batch` at a time, sample i at place i % batch.

    What a network computes for an image depends, in its last bits, on how many it gets and on the
    image's place among them. So every batch is full, and everything stands where its index says;
    places left over show any canvas and are thrown away.
    """
    if batch == 1:
        return renderer.render(canvases, rngs)
    drawn: dict[int, Sample | None] = {}
    for _, members in groupby(range(len(indices)), lambda k: indices[k] // batch):
        placed = {indices[k] % batch: k for k in members}
        some = next(iter(placed.values()))
        samples = renderer.render(
            [canvases[placed.get(place, some)] for place in range(batch)],
            [
                rngs[placed[place]] if place in placed else np.random.default_rng(place)
                for place in range(batch)
            ],
        )
        drawn.update({k: samples[place] for place, k in placed.items()})
    return [drawn[k] for k in range(len(indices))]

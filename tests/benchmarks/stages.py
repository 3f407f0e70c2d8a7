"""The stages as a whole: what storing adds to rendering, and reading to a training step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asbench.data.ingest import ensure_normals
from asbench.datasets import open_dataset
from asbench.detectors import build, protocol_of
from asbench.generation import render
from asbench.generation.plan import plan_set
from asbench.generation.render import Rendered
from asbench.grid.processes import one_thread
from asbench.nets.detector import Stage
from asbench.synthesizers import resolve
from asbench.training.sampler import ResidentSampler
from asbench.training.sources import find_sources
from synth_store import Geometry, Mix, StoreKey, SynthStore
from synth_store.shards import encode_chunk

METHODS = ("cutout", "cutpaste", "draem", "fractal")
CATEGORY = "weave"
SAMPLES = 256
NARROWEST = ("draem@tiny", "destseg@tiny-scratch", "memseg@tiny-scratch", "unet@tiny")
"""The narrowest variant of every detector: the quickest steps, so the sampler's largest share."""


def rows() -> list[dict[str, Any]]:
    """Render four sets of the demo data at 256x256 on one core, then train from them."""
    torch.set_num_threads(1)
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        store = SynthStore.create(Path(folder), Geometry())
        data = open_dataset("demo")
        ensure_normals(store, data, CATEGORY)
        ensure_normals(store, open_dataset("procedural"), "all")
        list(store.normals("demo", CATEGORY))  # inflated before the clock starts
        list(store.normals("procedural", "all"))
        return [*_rendering(store), *_training(store)]


def _rendering(store: SynthStore) -> list[dict[str, Any]]:
    found = []
    every: list[Rendered] = []
    for method in METHODS:
        synthesizer = resolve(method, dataset="demo", category=CATEGORY)
        key = StoreKey("demo", method, 0)
        plan = plan_set(store, key, CATEGORY, synthesizer, SAMPLES, textures="procedural/all")
        done = [render.render_job(job) for job in plan.jobs]
        clock = time.process_time()
        store.finish(key, CATEGORY, SAMPLES)
        finishing = 1e3 * (time.process_time() - clock) / SAMPLES
        every += done
        found.append(_stored(f"store {method}", done, f"reading back {finishing:.3f} ms"))
        if method == "draem":
            found.append(_image_alone(store, key, found[-1]["reference_ms"]))
    found.append(_stored("store all four", every, ""))
    return found


def _image_alone(store: SynthStore, key: StoreKey, rendering: float) -> dict[str, Any]:
    """Time the subtraction and the encoding of a set's images: what `writing` costs at least."""
    stored = store.read(key, CATEGORY)
    pairs = [(sample.image, sample.clean) for sample in (stored[i] for i in range(SAMPLES))]
    clock = time.process_time()
    for image, clean in pairs:
        assert clean is not None
        encode_chunk(image - clean)
    writing = 1e3 * (time.process_time() - clock) / SAMPLES
    return {
        "what": f"store {key.method}, images alone",
        "ms": writing,
        "reference": "rendering it",
        "reference_ms": rendering,
        "ratio": writing / rendering,
        "goal": "<= 0.1 of rendering",
    }


def _stored(what: str, done: list[Rendered], note: str) -> dict[str, Any]:
    samples = sum(d.samples for d in done)
    writing = 1e3 * sum(d.writing for d in done) / samples
    rendering = 1e3 * sum(d.rendering for d in done) / samples
    return {
        "what": what,
        "ms": writing,
        "reference": "rendering it",
        "reference_ms": rendering,
        "ratio": writing / rendering,
        "goal": note,
    }


def _training(store: SynthStore) -> list[dict[str, Any]]:
    return [_data_side(store, detector) for detector in NARROWEST]


def _data_side(store: SynthStore, detector: str) -> dict[str, Any]:
    """What the sampler adds to the quickest leg of a detector's training step."""
    protocol = protocol_of(detector)
    sources = find_sources(store, "demo", CATEGORY, Mix.parse("draem:0.5,fractal:0.5"), 0, None)
    normals = store.normals("demo", CATEGORY)
    schedule = sources.schedule(Fraction(str(protocol.ratio)), len(normals), 0)
    drawn_from = [normals, *sources.sets]
    sampler = ResidentSampler(drawn_from, schedule, protocol.batch, torch.device("cpu"))
    model = build(detector, 0)
    pixels = torch.from_numpy(np.stack(list(normals))).permute(0, 3, 1, 2)
    model.prepare(pixels, torch.Generator().manual_seed(0))
    model.to(memory_format=torch.channels_last)

    def leg(stage: Stage) -> float:
        model.eval()
        for part in stage.trains:
            part.train()

        def step(number: int) -> None:
            model.zero_grad()
            stage.loss(sampler.batch_at(number)).backward()
            stage.optimizers[0].step()

        return _median(step, 5)

    reading = _median(lambda i: sampler.batch_at(i), 50)
    whole = min(leg(stage) for stage in model.stages(100))
    return {
        "what": f"sampler, a batch of {protocol.batch}",
        "ms": reading,
        "reference": f"training step of {detector}",
        "reference_ms": whole,
        "ratio": reading / whole,
        "goal": "<= 2 % of the step",
    }


def _median(call: Callable[[int], object], repeats: int) -> float:
    """Return the median CPU time of a call in milliseconds."""
    call(0)
    taken = []
    for number in range(repeats):
        clock = time.process_time()
        call(number)
        taken.append(time.process_time() - clock)
    return 1e3 * sorted(taken)[repeats // 2]

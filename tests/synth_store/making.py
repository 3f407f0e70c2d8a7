"""Small sets for the store's tests: samples that are functions of their address alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synth_store import Geometry, Job, Sample, StoredSet, StoreKey, SynthStore, sample_rng
from synth_store.normals import write_normals
from synth_store.reader import Normals
from synth_store.rng import address_rng, source_index
from synth_store.types import Image, Mask
from synth_store.verify import Fault, verify_normals, verify_set, verify_store

SMALL = Geometry(32, 32)
CATEGORY = "tile"
KEY = StoreKey("toy", "boxes", 0)
VERSIONS = {"numpy": "2", "opencv": "4"}


def normal(dataset: str, index: int, geometry: Geometry = SMALL) -> tuple[Image, Mask]:
    """A colour gradient with grain, and a foreground that leaves its border out."""
    rng = address_rng("test normal", dataset, index)
    down = np.linspace(0, 1, geometry.height)[:, None, None]
    across = np.linspace(0, 1, geometry.width)[:, None]
    corners = rng.uniform(40, 215, (3, 3))
    image = corners[0] + down * (corners[1] - corners[0]) + across * (corners[2] - corners[0]) / 2
    grain = rng.integers(0, 8, image.shape)
    foreground = np.zeros(image.shape[:2], np.bool_)
    foreground[2:-2, 3:-1] = True
    return (image + grain).clip(0, 255).astype(np.uint8), foreground


def add_normals(
    store: SynthStore, count: int = 6, dataset: str = KEY.dataset, category: str = CATEGORY
) -> Normals:
    ids = [f"good/{i:03}" for i in range(count)]
    pairs = (normal(dataset, i, store.geometry) for i in range(count))
    return write_normals(store, dataset, category, ids, pairs, {"license": "made"})


def sample(
    key: StoreKey, category: str, index: int, normals: Sequence[Image], *, generated: bool
) -> tuple[Sample, int]:
    """One noisy box, on the sample's source normal or on a background of its own."""
    rng = sample_rng(key, category, index)
    source = source_index(key, category, index, 0, len(normals))
    clean = normals[source]
    if generated:
        clean, source = rng.integers(0, 256, clean.shape, dtype=np.uint8), -1
    height, width = clean.shape[:2]
    top, left = int(rng.integers(height - 4)), int(rng.integers(width - 4))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + int(rng.integers(2, 9)), left : left + int(rng.integers(2, 9))] = True
    image = clean.copy()
    image[mask] = rng.integers(0, 256, (int(mask.sum()), 3), dtype=np.uint8)
    return Sample(image, mask, clean if generated else None), source


def identity(
    normals: Normals, *, encoding: str = "residual", generated: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "encoding": encoding,
        "generated": generated,
        "normals": normals.digest,
        "pixel_version": 1,
        "parameters": {"boxes": (1, 1)},
        **more,
    }


def render(
    store: SynthStore, key: StoreKey, category: str, job: Job, *, generated: bool = False
) -> None:
    normals = store.normals(key.dataset, category)
    made = [
        sample(key, category, index, normals, generated=generated)
        for index in range(job.start, job.stop)
    ]
    store.write(key, category, job, [s for s, _ in made], [source for _, source in made])


def generate(
    store: SynthStore,
    count: int,
    *,
    key: StoreKey = KEY,
    category: str = CATEGORY,
    shard: int = 8,
    encoding: str = "residual",
    generated: bool = False,
    backwards: bool = False,
) -> StoredSet:
    """Create, render what is missing, finish: what `asbench generate` does with a set."""
    if not store.has_normals(key.dataset, category):
        add_normals(store, dataset=key.dataset, category=category)
    made = identity(store.normals(key.dataset, category), encoding=encoding, generated=generated)
    jobs = store.create_set(key, category, count, identity=made, versions=VERSIONS, shard=shard)
    for job in reversed(jobs) if backwards else jobs:
        render(store, key, category, job, generated=generated)
    return store.finish(key, category, count)


def expected(
    store: SynthStore, count: int, *, key: StoreKey = KEY, generated: bool = False
) -> list[tuple[Sample, int]]:
    """The samples as made, not as stored; each with its clean image."""
    normals = [normal(key.dataset, i, store.geometry)[0] for i in range(6)]
    made = [sample(key, CATEGORY, i, normals, generated=generated) for i in range(count)]
    return [
        (Sample(s.image, s.mask, normals[source] if s.clean is None else s.clean), source)
        for s, source in made
    ]


def faults(store: SynthStore) -> list[Fault]:
    """Everything that is wrong with a store."""
    found = verify_store(store)
    for dataset, category in store.stored_normals():
        found += verify_normals(store, dataset, category)
    for key, category in store.sets():
        found += verify_set(store, key, category)
    return found


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its bytes."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in files}

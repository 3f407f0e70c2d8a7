"""What is to be rendered: sets into shards, each a job; metadata is written before any of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from asbench.generation.render import RenderJob
from asbench.types import Synthesizer
from synth_store import StoreKey, SynthStore

LIBRARIES = ("numpy", "opencv-python-headless", "scipy")
"""The libraries whose version may change a pixel."""


@dataclass(frozen=True)
class SetPlan:
    """One category of one set: how many samples it is to have, and the jobs that are left."""

    key: StoreKey
    category: str
    count: int
    jobs: tuple[RenderJob, ...]

    @property
    def left(self) -> int:
        """Samples still to be rendered."""
        return sum(len(job) for job in self.jobs)


def plan_set(
    store: SynthStore,
    key: StoreKey,
    category: str,
    synthesizer: Synthesizer,
    count: int,
    *,
    textures: str | None = None,
    record: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> SetPlan:
    """Create the set in the store, or find it there, and return what is left to render.

    `textures` is `dataset/category` of the texture bank in the store; `record`, how the set was
    asked for, is kept beside it. Raises StoreError if another set stands under the key.
    """
    textures = textures if "textures" in synthesizer.needs else None
    jobs = store.create_set(
        key,
        category,
        count,
        identity=identity(store, key, category, synthesizer, textures),
        versions={library: version(library) for library in LIBRARIES},
        record={
            "cpu": platform.processor() or platform.machine(),
            "asbench": version("asbench"),
            **(record or {}),
        },
        shard=synthesizer.shard,
        replace=replace,
    )
    return SetPlan(
        key,
        category,
        count,
        # Workers may stand elsewhere: a place that all of them can find.
        tuple(
            RenderJob(store.root.absolute(), key, category, j, synthesizer, textures) for j in jobs
        ),
    )


def identity(
    store: SynthStore, key: StoreKey, category: str, synthesizer: Synthesizer, textures: str | None
) -> Mapping[str, Any]:
    """Return everything that decides a set's pixels, beside its key and category."""
    normals = store.normals(key.dataset, category)
    found: dict[str, Any] = {
        "method": key.method,
        "parameters": asdict(synthesizer),
        "pixel_version": synthesizer.pixel_version,
        "encoding": synthesizer.encoding,
        "generated": synthesizer.generates,
        "normals": normals.digest,
    }
    if "foreground" in synthesizer.needs:
        found["foreground"] = normals.attributes["foreground_digest"]
    if textures is not None:
        bank = store.normals(*textures.split("/"))
        found["textures"] = {"name": textures, "digest": bank.digest}
    return found

"""What is to be rendered: sets into shards, each a job; metadata is written before any of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asbench.data.set_record import record_of
from asbench.data.stored_defects import StoredDefects
from asbench.generation.fitted import Fitted, Loading
from asbench.generation.fitted import versions as fitted_versions
from asbench.generation.render import RenderJob, overlap_of, stays_grey
from asbench.imaging.visibility import HELD, PUBLISHED, Visibility
from asbench.types import REAL, Defect, Indexed, Synthesizer
from synth_store import StoreKey, SynthStore
from synth_store.digest import combine, image_digest
from synth_store.places import writable
from synth_store.reader import Masks
from synth_store.types import Mask

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
    fitted: Fitted | None = None,
    loading: Loading | None = None,
    visibility: Visibility = PUBLISHED,
    where: str = "as-published",
    record: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> SetPlan:
    """Create the set in the store, or find it there, and return what is left to render.

    `textures` is `dataset/category` of the texture bank in the store; `fitted` and `loading` are a
    learned method's weights and how workers load them; `visibility`, what a sample must show;
    `where`, where anomalies lie;
    `record`, how the set was asked for, is kept beside it, and so are the ids of the real defects
    that it was fitted on or draws masks from.
    Raises StoreError if another set stands under the key.
    """
    seen = list(fitted.defects_seen(category)) if fitted is not None else []
    if synthesizer.from_defects:
        real = store.read(StoreKey(key.dataset, REAL, 0), category)
        seen += record_of(real).saw_defects
    textures = textures if "textures" in synthesizer.needs else None
    normals = store.normals(key.dataset, category)
    grey, overlap = stays_grey(synthesizer, normals), overlap_of(where, synthesizer, normals)
    visibility = allowing(visibility, synthesizer)
    jobs = store.create_set(
        key,
        category,
        count,
        identity=identity(store, key, category, synthesizer, textures, fitted, visibility, overlap),
        versions=library_versions(loading),
        record={
            "cpu": platform.processor() or platform.machine(),
            "asbench": version("asbench"),
            **(record or {}),
            **({"saw_defects": list(dict.fromkeys(seen))} if seen else {}),
        },
        shard=synthesizer.shard,
        replace=replace,
    )
    # Workers may stand elsewhere, and all must find it. On an object store there are no jobs.
    root = writable(store.root).absolute() if jobs else Path()
    return SetPlan(
        key,
        category,
        count,
        tuple(
            RenderJob(
                root, key, category, job, synthesizer, textures, grey, loading, visibility, overlap
            )
            for job in jobs
        ),
    )


def library_versions(loading: Loading | None) -> dict[str, str]:
    """Return the versions under which pixels are made; for learned ones the kind of device too."""
    versions = {library: version(library) for library in LIBRARIES}
    if loading is not None:
        versions |= fitted_versions() | {"device": loading.device.partition(":")[0]}
    return versions


def identity(
    store: SynthStore,
    key: StoreKey,
    category: str,
    synthesizer: Synthesizer,
    textures: str | None,
    fitted: Fitted | None = None,
    visibility: Visibility = PUBLISHED,
    overlap: float = 0.0,
) -> Mapping[str, Any]:
    """Return everything that decides a set's pixels, beside its key and category.

    Of parameters `colour` stands there only where it made samples grey: elsewhere the pixels are
    those of sets that were stored before it was one; so with the rules of what is visible, and of
    where anomalies lie.
    """
    normals = store.normals(key.dataset, category)
    parameters = asdict(synthesizer)
    if not stays_grey(synthesizer, normals):
        parameters.pop("colour", None)
    facts: dict[str, Any] = {
        "method": key.method,
        "parameters": parameters,
        "pixel_version": synthesizer.pixel_version,
        "encoding": synthesizer.encoding,
        "generated": synthesizer.generates,
        "normals": normals.digest,
    }
    # tiles without the object are not drawn on, whatever the method
    if "foreground" in synthesizer.needs or overlap or store.geometry.tiled:
        facts["foreground"] = normals.attributes["foreground_digest"]
    if textures is not None:
        bank = store.normals(*textures.split("/"))
        facts["textures"] = {"name": textures, "digest": bank.digest}
    if visibility.times:
        facts["visible"] = {k: v for k, v in asdict(visibility).items() if k != "held" or v}
    if overlap:
        facts["on_object"] = {"overlap": overlap}
    if fitted is not None:
        facts["fit"] = {"digest": fitted.digest, "seed": fitted.record.identity["seed"]}
    if synthesizer.from_defects:
        real = store.read(StoreKey(key.dataset, REAL, 0), category)
        facts |= defects_identity(synthesizer, Masks(real), StoredDefects(real))
    return facts


def allowing(visibility: Visibility, synthesizer: Synthesizer) -> Visibility:
    """Return the rule for a method.

    One with published masks keeps them, however wide; of one that may change more than its mask,
    the mask must hold what changed.
    """
    if synthesizer.wide_masks:
        visibility = replace(visibility, unchanged=1.0)
    return visibility if synthesizer.local else replace(visibility, held=HELD)


def defects_identity(
    synthesizer: Synthesizer, masks: Indexed[Mask], images: Indexed[Defect]
) -> dict[str, Any]:
    """Return what identifies the real defects that a method draws from: masks, or pixels too.

    Empty for a method that draws from none.
    """
    facts: dict[str, Any] = {}
    if "defects" in synthesizer.needs:
        digests = (image_digest(masks[i]) for i in range(len(masks)))
        facts["defects"] = {"count": len(masks), "digest": combine(digests)}
    if "defect images" in synthesizer.needs:
        digests = (
            image_digest(pixels)
            for defect in (images[i] for i in range(len(images)))
            for pixels in (defect.image, defect.mask)
        )
        facts["defect_images"] = {"count": len(images), "digest": combine(digests)}
    return facts

"""A data set's few-shot defects as a stored set: a source in a mix, and a bank of real masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from asbench.generation.plan import LIBRARIES
from asbench.grid import processes
from asbench.imaging.geometry import fit_mask, resize
from asbench.imaging.restoring import RESTORED_VERSION, likest, restored, thumbnails
from asbench.imaging.tiles import around
from asbench.mend import regenerate_command
from asbench.progress import Progress, quiet
from asbench.types import REAL, Dataset, Item
from synth_store import Geometry, Normals, Sample, StoredSet, StoreError, StoreKey, SynthStore
from synth_store.types import Image, Mask, UserError


@dataclass(frozen=True)
class FewShot:
    """The few-shot defects of one category that have a mask, and those that have none.

    In the order of their ids' SHA-256, so that the first and the last hold defects of every type.
    """

    data: Dataset
    category: str
    items: tuple[Item, ...]
    without_mask: tuple[str, ...] = ()

    def read(self, item: Item, geometry: Geometry) -> tuple[Image, Mask]:
        """Return image and mask of one of them at a store's geometry.

        Of a photograph for tiles, the window around its largest defect.
        """
        mask = self.data.mask(item)
        if mask is None:
            raise ValueError(f"{item.id} has no mask")
        if geometry.tiled:
            return around(self.data.image(item), mask, geometry)
        return resize(self.data.image(item), geometry), fit_mask(mask, geometry)

    def samples(self, normals: Normals) -> Iterator[Sample]:
        """Yield them as samples, each with the clean image it might have had."""
        small = thumbnails(normals)
        for item in self.items:
            image, mask = self.read(item, normals.geometry)
            clean = restored(image, mask, normals[likest(image, mask, small)])
            yield Sample(image, mask, clean)

    def digest(self) -> str:
        """Return a digest of their names, types and files; of their pixels where they are drawn."""
        whole = hashlib.sha256()
        for item in self.items:
            whole.update(f"{item.id}\x1f{item.defect}\x1e".encode())
            masks = self.data.mask_paths(item) or (None,)
            for path, drawn in (
                (self.data.image_path(item), self.data.image),
                *((mask, self.data.mask) for mask in masks),
            ):
                content = path.read_bytes() if path is not None else _bytes(drawn(item))
                whole.update(hashlib.sha256(content).digest())
        return whole.hexdigest()


def _bytes(pixels: Image | Mask | None) -> bytes:
    return b"" if pixels is None else pixels.tobytes()


def few_shot(data: Dataset, category: str) -> FewShot:
    """Return the real defects of a category that may be learned from.

    Raises UserError where there is none, or none with a mask.
    """
    items = [item for item in data.test(category) if item.few_shot]
    if not items:
        raise UserError(
            f"{data.name}/{category} has no few-shot defects: they are the lowest third of each "
            "defect type, so a type needs three test images. See what was recognised with "
            "`asbench data check PATH`, or use a method that needs none: `asbench methods list`."
        )
    items.sort(key=lambda item: hashlib.sha256(item.id.encode()).digest())
    with_mask, without = [], []
    for item in items:
        mask = data.mask(item)
        if mask is not None and mask.any():
            with_mask.append(item)
        else:
            without.append(item.id)
    if not with_mask:
        raise UserError(
            f"none of the {len(items)} few-shot defects of {data.name}/{category} has a mask "
            f"(the first is {items[0].id}): add ground_truth/{items[0].defect}/STEM.png, white "
            "where defective, and look with `asbench data check PATH`; or use a method that needs "
            "none: `asbench methods list`."
        )
    return FewShot(data, category, tuple(with_mask), tuple(sorted(without)))


def ensure_real(
    store: SynthStore,
    defects: FewShot,
    *,
    origin: Sequence[str] | None = None,
    replace: bool = False,
    progress: Progress = quiet,
) -> StoredSet:
    """Return the stored set of a category's few-shot defects, writing it if it is not there.

    The category's normals must be stored. `origin` names the data set on the command line. Raises
    StoreError if the store holds other defects under this key and `replace` is not given.
    """
    name, category = defects.data.name, defects.category
    key, normals = StoreKey(name, REAL, 0), store.normals(name, category)
    identity: dict[str, Any] = {
        "method": REAL,
        "encoding": "residual",
        "generated": True,
        "normals": normals.digest,
        "defects": defects.digest(),
        "restored": RESTORED_VERSION,
    }
    if store.has(key, category) and not replace:
        there = store.attributes(key, category)
        if any(there.get(part) != value for part, value in identity.items()):
            raise StoreError(
                f"{key}/{category} in the store at {store.root} holds other defects than the "
                f"few-shot third of {name} now. Write it anew with\n"
                f"  {regenerate_command(store, key, category, origin)} --replace\n"
                "and with --replace the sets that used its masks."
            )
    what, count = f"{key}/{category}", len(defects.items)
    jobs = store.create_set(
        key,
        category,
        count,
        identity=identity,
        versions={library: version(library) for library in LIBRARIES},
        record={
            "asbench": version("asbench"),
            "saw_defects": [item.id for item in defects.items],
            "types": [item.defect for item in defects.items],
            "without_mask": list(defects.without_mask),
            **({} if origin is None else {"origin": list(origin)}),
        },
        replace=replace,
    )
    progress(what, 0 if jobs else count, count)
    samples = []
    with processes.one_thread():
        for sample in defects.samples(normals) if jobs else ():
            samples.append(sample)
            progress(what, len(samples), count)
    for job in jobs:
        part = samples[job.start : job.stop]
        store.write(key, category, job, part, [-1] * len(part))
    return store.finish(key, category, count)


def refuse_parameters(methods: Sequence[str], given: bool) -> None:
    """Raise UserError where real defects are asked for with a variant or parameters."""
    for method in methods:
        plain, _, variant = method.partition("@")
        if plain == REAL and (variant or given):
            raise UserError(
                f"{method}: real defects are what they are, without variants or parameters: ask "
                "for --method real by itself."
            )

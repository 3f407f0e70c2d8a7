"""Normals into a store: written whole, once, with their foregrounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from synth_store.arrays import image_array, mask_array, write_array
from synth_store.digest import combine, image_digest
from synth_store.errors import OtherNormals
from synth_store.labels import Owner
from synth_store.metadata import (
    encode,
    group,
    write_if_other,
    write_parents,
)
from synth_store.places import writable
from synth_store.reader import Normals, is_grey
from synth_store.shards import encode_chunk
from synth_store.store import SynthStore
from synth_store.threads import in_order
from synth_store.types import Image, Mask

SHARD = 256


def write_normals(
    store: SynthStore,
    dataset: str,
    category: str,
    ids: Sequence[str],
    images: Iterable[tuple[Image, Mask]],
    attributes: Mapping[str, Any],
    *,
    foregrounds: bool = False,
    threads: int = 1,
) -> Normals:
    """Store a category's normals with their foregrounds; `attributes` are kept beside them.

    The group's metadata comes last: without it there are no normals. Raises OtherNormals if
    others stand there already (their digest differs), and leaves those as they are.

    foregrounds: where the same normals stand already, put these foregrounds in place of theirs.
    threads: how many hash and compress; the bytes are the same.
    """
    folder = store.normals_folder(dataset, category)
    if store.has_normals(dataset, category):
        stored = store.normals(dataset, category)
        digests, foreground_digests, masks = [], [], []
        for image, foreground in images:
            digests.append(image_digest(image))
            if foregrounds:
                foreground_digests.append(image_digest(foreground))
                masks.append(encode_chunk(foreground))
        digest = combine(digests)
        if digest != stored.digest:
            there, given = (len(stored), stored.digest), (len(digests), digest)
            raise OtherNormals(store.root, dataset, category, there, given)
        if (
            store.root.read_only and not foregrounds
        ):  # its stamp is that of the files it was made from
            return stored
        kept = {**stored.attributes, **attributes}
        with store.root.locked():
            if foregrounds:
                kept["foreground_digest"] = combine(foreground_digests)
                for number, part in enumerate(batched(masks, stored.foreground.capacity)):
                    path = writable(stored.foreground.path(number))
                    path.write(stored.foreground.encode(number, part))
            write_if_other(folder / "zarr.json", encode(group(kept)))
        return store.normals(dataset, category)
    folder = writable(folder)
    capacity, grey, digests, foreground_digests = SHARD, True, [], []
    address = f"{dataset}/normal/{category}"
    owner = Owner(address)
    image_out = image_array(folder, "image", capacity, store.geometry, owner)
    mask_out = mask_array(folder, "foreground", capacity, store.geometry, owner)
    folder.remove_abandoned()

    def made(pair: tuple[Image, Mask]) -> tuple[bool, bytes, bytes, bytes, bytes]:
        image, foreground = pair
        if image.shape != image_out.shape or foreground.shape != mask_out.shape:
            raise ValueError(f"a {image.shape} normal of {category} for {store.geometry}")
        digest, masked = image_digest(image), image_digest(foreground)
        return is_grey(image), digest, masked, encode_chunk(image), encode_chunk(foreground)

    for number, part in enumerate(batched(in_order(made, images, threads), capacity)):
        greys, own, theirs, chunks, masked = zip(*part, strict=True)
        grey = grey and all(greys)
        digests += own
        foreground_digests += theirs
        writable(mask_out.path(number)).write(mask_out.encode(number, masked))
        writable(image_out.path(number)).write(image_out.encode(number, chunks))
    if len(digests) != len(ids):
        raise ValueError(f"{len(ids)} ids for {len(digests)} images of {dataset}/{category}")
    with store.root.locked():
        write_parents(store.root, folder)
        for array in (image_out, mask_out):
            write_array(array, len(ids))
        kept = {
            **attributes,
            "kind": "normals",
            "address": address,
            "ids": list(ids),
            "shard": capacity,
            "grey": grey,
            "digest": combine(digests),
            "foreground_digest": combine(foreground_digests),
        }
        (folder / "zarr.json").write(encode(group(kept)))
    return store.normals(dataset, category)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of `size`, the last one shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

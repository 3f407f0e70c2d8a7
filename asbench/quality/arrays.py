"""A stored set as dask arrays of absolute pixels: read block by block, whatever its encoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import base
from dask.delayed import delayed

from synth_store import StoreKey, SynthStore
from synth_store.digest import combine, sample_digests
from synth_store.types import Image

BLOCK = 64
"""Samples in a block: 25 MB of image and clean at 256x256."""

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Arrays:
    """The first n samples of one category of a stored set, lazily.

    image, clean: dask uint8 (n, H, W, 3), where image = (clean + residual) mod 256; mask: dask bool
    (n, H, W). All three share their chunks along the first axis, and computed together they are
    read once.
    """

    image: Any
    mask: Any
    clean: Any

    def __len__(self) -> int:
        return int(self.image.shape[0])

    def blocks(self) -> Iterator[tuple[Pixels, Masks, Pixels]]:
        """Yield (image, mask, clean) of one block after the other, in this thread.

        Memory is that of one block, however long the set.
        """
        start = 0
        for size in self.image.chunks[0]:
            rows = slice(start, start + size)
            yield base.compute(
                self.image[rows], self.mask[rows], self.clean[rows], scheduler="synchronous"
            )
            start += size


def as_arrays(
    store: SynthStore, key: StoreKey, category: str, n: int | None = None, block: int = BLOCK
) -> Arrays:
    """Return the first `n` samples of a set (None: all) as dask arrays.

    They pickle as the set's address, so that any scheduler that sees the store's folder can compute
    them. Raises StoreError where the set is missing or unfinished, ValueError for more samples than
    it has; computing raises StoreError for damaged bytes.
    """
    stored = store.read(key, category)
    count = stored.count if n is None else n
    if not 0 < count <= stored.count:
        raise ValueError(f"{key}/{category} has {stored.count} samples, not {count}")
    shape, digest = stored.image.shape, stored.digest
    read = delayed(_read, pure=True)
    parts: list[list[Any]] = [[], [], []]
    for start in range(0, count, block):
        size = min(block, count - start)
        # Named by the set's digest too: a cache must not mistake a replaced set for this one.
        address = (store, key, category, start, size)
        name = f"read-{base.tokenize(str(store.root), *map(str, address[1:]), digest)}"
        arrays = read(*address, dask_key_name=name)
        for i, (form, kind) in enumerate(((shape, "u1"), (shape[:2], "?"), (shape, "u1"))):
            parts[i].append(da.from_delayed(arrays[i], (size, *form), np.dtype(kind)))
    return Arrays(*(da.concatenate(some) for some in parts))


def digest_of(store: SynthStore, key: StoreKey, category: str, n: int) -> str:
    """Return the digest of a set's first `n` samples: that of the set itself where it has no more.

    So a set that grew is still the same in what it had before.
    """
    stored = store.read(key, category)
    if n == stored.count and stored.digest is not None:
        return stored.digest
    return combine(sample_digests(stored, n))


def _read(
    store: SynthStore, key: StoreKey, category: str, start: int, size: int
) -> tuple[Pixels, Masks, Pixels]:
    stored = store.read(key, category)
    image = np.empty((size, *stored.image.shape), np.uint8)
    mask = np.empty((size, *stored.mask.shape), np.bool_)
    clean: npt.NDArray[np.uint8] = np.empty_like(image)
    stored.read_batch(range(start, start + size), image, mask, clean)
    return image, mask, clean


def stacked(images: list[Image]) -> Pixels:
    """Return images of one size as uint8 (n, H, W, 3); n may be 0."""
    return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8)

"""Digests of pixels: SHA-256 over what samples hold, whatever shards and codecs hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from synth_store.reader import StoredSet

RUN = 64
"""Samples that a thread takes at once."""


def image_digest(image: npt.NDArray[Any]) -> bytes:
    """Return the SHA-256 of an image's or mask's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def combine(digests: Iterable[bytes]) -> str:
    """Return the hexadecimal SHA-256 over digests, in order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def sample_digests(stored: StoredSet, count: int, threads: int = 1) -> list[bytes]:
    """Return the digests of a set's first `count` samples; the set's own is `combine` of them.

    On several threads, each takes runs of samples: inflating and hashing let go of Python's lock.
    """
    if threads == 1:
        return [sample_digest(stored, index) for index in range(count)]

    def of(start: int) -> list[bytes]:
        stop = min(start + RUN, count)
        return [sample_digest(stored, index) for index in range(start, stop)]

    with ThreadPoolExecutor(threads) as pool:
        return [digest for run in pool.map(of, range(0, count, RUN)) for digest in run]


def sample_digest(stored: StoredSet, index: int) -> bytes:
    """Return the SHA-256 of one stored sample; raises StoreError for a damaged byte.

    It covers the stored image (the residual, where that is the encoding), mask, source and, where
    the sample has its own, its clean image.
    """
    image = np.empty(stored.image.shape, np.uint8)
    mask = np.empty(stored.mask.shape, np.bool_)
    stored.image.read(index, image)
    stored.mask.read(index, mask)
    digest = hashlib.sha256(image.data)
    digest.update(mask.data)
    digest.update(stored.source_of(index).to_bytes(4, "little", signed=True))
    if stored.clean is not None:
        stored.clean.read(index, image)
        digest.update(image.data)
    return digest.digest()

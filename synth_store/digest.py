"""Digests of pixels: SHA-256 over what samples hold, whatever shards and codecs hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from synth_store.reader import StoredSet


def image_digest(image: npt.NDArray[Any]) -> bytes:
    """Return the SHA-256 of an image's or mask's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def combine(digests: Iterable[bytes]) -> str:
    """Return the hexadecimal SHA-256 over digests, in order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def sample_digests(stored: StoredSet, count: int) -> list[bytes]:
    """Return the digests of a set's first `count` samples; the set's own is `combine` of them."""
    return [sample_digest(stored, index) for index in range(count)]


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

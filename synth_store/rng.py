"""Chance: every generator is a function of an address, never of the order of work."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from synth_store.types import StoreKey


def address_rng(*address: str | int) -> np.random.Generator:
    """Return the generator (PCG64) of an address: equal parts give equal draws on any machine.

    Parts are joined by an unprintable separator before hashing (BLAKE2b, 128 bits), so that
    `("a", "bc")` and `("ab", "c")` are different addresses.
    """
    text = "\x1f".join(map(str, address)).encode()
    digest = hashlib.blake2b(text, digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def sample_rng(key: StoreKey, category: str, index: int, attempt: int = 0) -> np.random.Generator:
    """Return the generator of one sample of a set, from its address alone.

    `attempt` counts the redraws of a sample that showed nothing. Shard size, job order, worker
    count and the size of the set play no part.
    """
    return address_rng("sample", str(key), category, index, attempt)


def source_index(key: StoreKey, category: str, index: int, attempt: int, normals: int) -> int:
    """Return which of `normals` images sample `index` is drawn on.

    The first attempts walk a seeded permutation, so each normal serves once before any twice;
    later attempts draw anew.
    """
    if attempt:
        return int(address_rng("source", str(key), category, index, attempt).integers(normals))
    walk, place = divmod(index, normals)
    return int(_order(str(key), category, walk, normals)[place])


@lru_cache(maxsize=8)
def _order(key: str, category: str, walk: int, normals: int) -> npt.NDArray[np.int64]:
    """Return one walk over the normals; kept, since each sample of it asks for it."""
    order = address_rng("sources", key, category, walk).permutation(normals)
    order.setflags(write=False)
    return order

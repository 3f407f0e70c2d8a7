"""Many float32 values sorted in place, the way that is quick on this processor.

numpy sorts with AVX-512 or AVX2 where it can: some 5 ns a value. On processors whose compressing
stores are slow (AMD's Zen 4) the AVX-512 way takes 40. There, values are first spread by the upper
16 bits of their key into buckets, which stand in order; each bucket is then sorted by the lower 16,
for which numpy has a radix sort: some 12 ns a value. A short measurement chooses. Both give the
same values, so nothing that is read off them depends on the choice.

The key of a float32 is its bits as an unsigned integer, all of them flipped where the number is
negative, else the sign alone: keys order as their numbers do (Terdiman, Radix sort revisited,
2000), with -0 before 0.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST = 1 << 22
"""Fewer values are sorted by numpy: what spreads the others takes 0.15 s to import."""
PIECE = 1 << 20
"""Values that are spread at a time, which takes 12 bytes of each."""
FILLED = 256
"""Values that a bucket holds at least, on average: each costs a few microseconds."""
SLOWER = 4.0
"""From so many times the radix sort of 16 bits on, numpy's own sort is the slower way."""


def sort(values: npt.NDArray[Any]) -> None:
    """Sort finite numbers, (n,), ascending and in place. Equal zeros may stand in any order."""
    if values.dtype != np.float32 or values.size < LEAST or not _own_sort_is_slow():
        values.sort()
    else:
        sort_by_radix(values)


def sort_by_radix(values: npt.NDArray[np.float32]) -> None:
    """Sort finite float32 (n,) in place by two digits of 16 bits. Adds 2 bytes a value."""
    keys = values.view(np.uint32)
    signed = bool(keys.size) and keys.view(np.int32).min() < 0
    if signed:
        _flip(keys, (keys.view(np.int32) >> 31).view(np.uint32) | np.uint32(1 << 31))
    _sort_keys(keys)
    if signed:
        _flip(keys, (~keys.view(np.int32) >> 31).view(np.uint32) | np.uint32(1 << 31))


def _flip(keys: npt.NDArray[np.uint32], bits: npt.NDArray[np.uint32]) -> None:
    np.bitwise_xor(keys, bits, out=keys)


def _sort_keys(keys: npt.NDArray[np.uint32]) -> None:
    if not keys.size:
        return
    lowest, highest = int(keys.min()) >> 16, int(keys.max()) >> 16
    lower = np.empty(keys.size, np.uint16)
    bounds = []  # of the buckets in each piece
    for begin in range(0, keys.size, PIECE):
        piece = slice(begin, begin + PIECE)
        lower[piece], ends = _spread(keys[piece], lowest, highest)
        bounds.append(begin + ends)
    filled = np.flatnonzero(sum(np.diff(ends) for ends in bounds))
    if filled.size * FILLED > keys.size:
        keys.sort()
        return
    at = 0
    for bucket in filled.tolist():
        parts = [lower[ends[bucket] : ends[bucket + 1]] for ends in bounds]
        held = np.concatenate(parts) if len(parts) > 1 else parts[0]
        held.sort(kind="stable")  # of 16 bits: a radix sort
        to = keys[at : at + held.size]
        np.bitwise_or(held, np.uint32((bucket + lowest) << 16), out=to, dtype=np.uint32)
        at += held.size


def _spread(
    keys: npt.NDArray[np.uint32], lowest: int, highest: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """Return the lower halves of keys, bucket by bucket, and where each bucket begins and ends.

    A sparse matrix of one row, turned from rows to columns, is a counting sort of its columns.
    """
    from scipy import sparse  # late: see LEAST

    upper = (keys >> 16).view(np.int32)
    upper -= np.int32(lowest)
    row = np.array([0, keys.size], np.int32)
    shape = (1, highest - lowest + 1)
    columns = sparse.csr_matrix((keys.astype(np.uint16), upper, row), shape=shape).tocsc()
    return columns.data, columns.indptr.astype(np.int64)


@cache
def _own_sort_is_slow() -> bool:
    """Measure, for a few milliseconds, whether numpy's sort of float32 is the slow one here."""
    values = np.random.default_rng(0).random(1 << 17, np.float32)
    halves = values.view(np.uint16)[: values.size].copy()
    return _seconds(values, None) > SLOWER * _seconds(halves, "stable")


def _seconds(values: npt.NDArray[Any], kind: Any) -> float:
    """Return the least time of three sorts: whatever else the machine does only adds to one."""
    copies = [values.copy() for _ in range(3)]
    moments = [perf_counter()]
    for copy in copies:
        copy.sort(kind=kind)
        moments.append(perf_counter())
    return min(after - before for before, after in pairwise(moments))

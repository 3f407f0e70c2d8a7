"""Memory that was freed is kept for the next image, where the C library would hand it back at once.

An image of 256x256 is just large enough for glibc to take fresh pages from the system for every
array of it, which the system fills with zeros first: a quarter of what drawing a sample or a
training step costs on a CPU. No result depends on it. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers for what `mallopt` sets."""
LARGEST = 32 << 20
"""Bytes of an array from which it gets pages of its own all the same: glibc's highest value."""
KEPT = 1 << 30
"""Bytes of freed memory that a process keeps at most."""


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        known = hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt")
    except (OSError, TypeError):  # Windows has no library of this name
        return None
    return library if known else None


def keep_freed_memory() -> bool:
    """Make this process keep what it frees, up to `KEPT`; return whether its C library can."""
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(MMAP_THRESHOLD, LARGEST) & library.mallopt(TRIM_THRESHOLD, KEPT))


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep what is freed; the last that leaves hands back what is free then."""
    library = _glibc() if keep_freed_memory() else None
    _inside.enter()
    try:
        yield
    finally:
        if _inside.leave() and library is not None:
            library.malloc_trim(0)


class _Inside:
    """How many keep freed memory now, on any thread."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = Lock()

    def enter(self) -> None:
        with self._lock:
            self._count += 1

    def leave(self) -> bool:
        """Return whether none is left."""
        with self._lock:
            self._count -= 1
            return self._count == 0


_inside = _Inside()

"""Freed memory is kept: an image allocated again takes no fresh pages, and results are the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asbench.grid import memory

LOOP = """
import sys
import resource
import numpy as np
from asbench.grid import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        np.ones(1 << 20, np.uint8)
        np.ones(1 << 22, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with memory.freed_memory_kept():
    faults()
    with memory.freed_memory_kept():
        pass
    print(faults())
"""


@pytest.mark.skipif(memory._glibc() is None, reason="the C library is not glibc")
def test_arrays_take_no_fresh_pages() -> None:
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200  # of the 256,000 pages that were written


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    assert not memory.keep_freed_memory()
    with memory.freed_memory_kept():
        pass

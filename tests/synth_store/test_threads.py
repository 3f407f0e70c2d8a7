"""Threads change neither results nor their order, take little ahead, and raise where it belongs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synth_store import Geometry, SynthStore
from synth_store.normals import write_normals
from synth_store.threads import in_order

SIZE = 16


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_little_is_taken_ahead(threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(60):
            taken.append(number)
            yield number

    def slow(number: int) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    for place, result in enumerate(in_order(slow, items(), threads)):
        assert result == place * place
        assert len(taken) <= place + 1 + 2 * threads + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_what_an_item_raises_is_raised_in_its_place(threads: int) -> None:
    def broken(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    found = in_order(broken, iter(range(1000)), threads)
    assert [next(found) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="seven"):
        next(found)


def test_normals_are_stored_to_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        (rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), rng.random((SIZE, SIZE)) < 0.5)
        for _ in range(300)
    ]
    ids = [str(number) for number in range(len(pairs))]
    written = []
    for threads in (1, 3):
        store = SynthStore.create(tmp_path / str(threads), Geometry(SIZE, SIZE))
        write_normals(store, "toy", "a", ids, pairs, {}, threads=threads)
        files = sorted(p for p in (tmp_path / str(threads)).rglob("*") if p.is_file())
        root = tmp_path / str(threads)
        written.append({str(p.relative_to(root)): p.read_bytes() for p in files})
    assert written[0] == written[1]

"""A stored set as dask arrays: the reader's pixels, any scheduler, any block."""

from __future__ import annotations

import dask
import numpy as np
import pytest

from asbench.quality.arrays import as_arrays, digest_of
from synth_store import StoreError, StoreKey, SynthStore

CUTOUT = StoreKey("toys", "cutout", 0)


@pytest.mark.parametrize("method", ["cutout", "real"])  # a residual on a normal, on its own clean
@pytest.mark.parametrize("block", [1, 4, 64])
def test_arrays_hold_what_the_reader_reads(store: SynthStore, method: str, block: int) -> None:
    key = StoreKey("toys", method, 0)
    found, stored = as_arrays(store, key, "a", block=block), store.read(key, "a")
    assert found.image.shape == (stored.count, 32, 32, 3)
    assert found.image.chunks[0] == found.mask.chunks[0] == found.clean.chunks[0]
    assert max(found.image.chunks[0]) <= block
    samples = list(stored)
    for array, name in ((found.image, "image"), (found.mask, "mask"), (found.clean, "clean")):
        there = array.compute(scheduler="synchronous")
        np.testing.assert_array_equal(there, np.stack([getattr(s, name) for s in samples]))
        assert there.dtype == array.dtype


def test_images_are_clean_plus_residual_modulo_256(store: SynthStore) -> None:
    stored, found = store.read(CUTOUT, "a"), as_arrays(store, CUTOUT, "a")
    assert stored.encoding == "residual"
    residual, mask = np.empty((32, 32, 3), np.uint8), np.empty((32, 32), np.bool_)
    stored.read_stored(7, residual, mask)
    clean = found.clean[7].compute(scheduler="threads").astype(int)
    image = found.image[7].compute(scheduler="threads")
    np.testing.assert_array_equal((clean + residual) % 256, image)
    assert (residual[~mask] == 0).all()


def test_blocks_come_in_order_and_end_where_asked(store: SynthStore) -> None:
    found = as_arrays(store, CUTOUT, "a", 10, block=4)
    blocks = list(found.blocks())
    assert [len(image) for image, _, _ in blocks] == [4, 4, 2]
    assert len(found) == 10
    whole = dask.compute(found.image, scheduler="synchronous")[0]
    np.testing.assert_array_equal(np.concatenate([image for image, _, _ in blocks]), whole)


def test_too_many_samples_and_no_set_are_refused(store: SynthStore) -> None:
    with pytest.raises(ValueError, match="has 21 samples, not 22"):
        as_arrays(store, CUTOUT, "a", 22)
    with pytest.raises(StoreError, match="asbench generate"):
        as_arrays(store, StoreKey("toys", "nsa", 0), "a")


def test_a_set_keeps_its_digest_in_what_it_had(store: SynthStore) -> None:
    stored = store.read(CUTOUT, "a")
    assert digest_of(store, CUTOUT, "a", stored.count) == stored.digest
    assert digest_of(store, CUTOUT, "a", 5) != stored.digest

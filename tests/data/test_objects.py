"""Objects of a data set: the same whether they are stored or looked at, and in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asbench.data.ingest import ensure_normals
from asbench.data.objects import objects
from asbench.datasets import open_dataset
from asbench.imaging.foreground import foreground
from synth_store import Geometry, SynthStore
from tests.toyset import Toys


def test_foregrounds_are_estimated_as_they_would_be_stored(tmp_path: Path) -> None:
    data, root = open_dataset("demo"), tmp_path / "store"
    fresh, stored = objects(root, data, "capsule", 2)
    assert not stored
    assert not root.exists(), "looking made a store"
    assert fresh[0].mask.shape == (256, 256)
    assert [s.mask.all() for s in fresh] == [False, False]
    assert all(np.array_equal(s.mask, foreground(s.image).mask) for s in fresh)


def test_stored_foregrounds_are_shown_as_they_are(tmp_path: Path) -> None:
    store, data = SynthStore.create(tmp_path / "store", Geometry(40, 48)), Toys()
    estimated, stored = objects(tmp_path / "store", data, "a", 20)
    assert (len(estimated), stored) == (9, False)
    ensure_normals(store, data, "a")
    kept, stored = objects(tmp_path / "store", data, "a", 20)
    assert (len(kept), stored) == (9, True)
    for one, other in zip(estimated, kept, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)

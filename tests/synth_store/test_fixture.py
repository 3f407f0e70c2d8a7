"""The format is frozen: every store that a release wrote, later releases read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from synth_store import StoreKey, SynthStore
from synth_store.metadata import VERSION, read_attributes
from tests.synth_store.make_fixture import FOLDER, GENERATED, GROWN, RESIDUAL, found, main
from tests.synth_store.making import CATEGORY, KEY, SMALL, expected, faults, generate, tree

FIXTURES = sorted(p.name for p in FOLDER.iterdir() if p.is_dir())


def report(version: str) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads((FOLDER / version / "fixture.json").read_text())
    return stated


def test_this_formats_fixture_is_there_and_small() -> None:
    assert f"v{VERSION}" in FIXTURES
    assert sum(len(data) for data in tree(FOLDER).values()) < 200_000


@pytest.mark.parametrize("version", FIXTURES)
def test_a_fixture_reads_as_it_did(version: str) -> None:
    before = tree(FOLDER / version)
    store = SynthStore.open(FOLDER / version / "store")
    assert found(store) == report(version)
    assert faults(store) == []
    assert tree(FOLDER / version) == before


def sha256(values: Any, dtype: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype).tobytes()).hexdigest()


@pytest.mark.parametrize("version", FIXTURES)
def test_zarr_reads_a_fixture_alone(version: str) -> None:
    stated = report(version)
    root = zarr.open_group(FOLDER / version / "store", mode="r")
    normals = np.asarray(root[f"toy/normal/{CATEGORY}/image"]).astype(int)
    assert normals[0][0, 0].tolist() == stated["normals"]["pixels"][0]
    for key in (RESIDUAL, GROWN, GENERATED):
        image, mask, source = (
            np.asarray(root[f"{key}/{CATEGORY}/{name}"]) for name in ("image", "mask", "source")
        )
        own = np.asarray(root[f"{key}/{CATEGORY}/clean"]) if key == GENERATED else None
        clean = normals[source] if own is None else own.astype(int)
        assert source.tolist() == stated[str(key)]["source"]
        assert sha256((image + clean) % 256, np.uint8) == stated[str(key)]["images"]
        assert sha256(mask, np.bool_) == stated[str(key)]["masks"]
        assert sha256(clean, np.uint8) == stated[str(key)]["cleans"]


@pytest.mark.parametrize("version", FIXTURES)
def test_a_fixtures_samples_are_the_ones_made_today(version: str) -> None:
    """So the generators of samples' addresses are frozen as well."""
    store = SynthStore.open(FOLDER / version / "store")
    for key in (RESIDUAL, GROWN, GENERATED):
        stored = store.read(key, CATEGORY)
        made = expected(store, stored.count, key=key, generated=key == GENERATED)
        for index, (sample, source) in enumerate(made):
            np.testing.assert_array_equal(stored[index].image, sample.image)
            np.testing.assert_array_equal(stored[index].mask, sample.mask)
            assert stored.source_of(index) == source


def test_this_formats_fixture_grows(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / f"v{VERSION}" / "store", tmp_path / "store")
    store = SynthStore.open(tmp_path / "store")
    once = SynthStore.create(tmp_path / "once", SMALL)
    for key in (RESIDUAL, GROWN, GENERATED):
        kind = {"generated": key == GENERATED}
        grown = generate(store, 11, key=key, **kind)
        assert grown.digest == generate(once, 11, key=key, **kind).digest
    assert faults(store) == []


def test_a_fixture_is_never_overwritten() -> None:
    before = tree(FOLDER)
    with pytest.raises(SystemExit, match="stands: a fixture is never changed"):
        main(FOLDER / f"v{VERSION}")
    assert tree(FOLDER) == before


def test_equal_keys_have_stood_since_the_first_format() -> None:
    folder = FOLDER / "v1" / "store"
    assert read_attributes(folder)["version"] == 1
    assert read_attributes(folder / str(KEY) / CATEGORY)["kind"] == "set"
    assert StoreKey.parse("toy/boxes@grown/3") == GROWN

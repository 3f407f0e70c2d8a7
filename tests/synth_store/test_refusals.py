"""What the store refuses, and with which words; a refusal leaves every byte as it was."""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import synth_store
from synth_store import Geometry, Sample, StoreError, SynthStore
from synth_store.errors import (
    MissingNormals,
    MissingSamples,
    MissingSet,
    NoStore,
    OtherIdentity,
    OtherNormals,
    UnfinishedSet,
)
from synth_store.metadata import encode, group, read_attributes
from synth_store.normals import write_normals
from tests.synth_store.making import (
    CATEGORY,
    KEY,
    SMALL,
    VERSIONS,
    add_normals,
    expected,
    generate,
    identity,
    normal,
    tree,
)


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    return SynthStore.create(tmp_path / "store", SMALL)


def refused(text: str) -> pytest.RaisesExc[StoreError]:
    return pytest.raises(StoreError, match="^" + re.escape(text))


def data(refusal: StoreError) -> tuple[object, ...]:
    """The kind of a refusal and its fields, in order."""
    return type(refusal), *vars(refusal).values()


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with refused(f"there is no store at {tmp_path}") as raised:
        SynthStore.open(tmp_path)
    assert isinstance(raised.value, NoStore)
    assert raised.value.root == tmp_path
    (tmp_path / "file").write_text("")
    with refused(f"cannot make a store at {tmp_path / 'file'}"):
        SynthStore.create(tmp_path / "file")


def test_another_geometry(store: SynthStore) -> None:
    text = f"the store at {store.root} holds 32x32 (stretch) images, not 32x32 (pad): one store"
    for opening in (SynthStore.open, SynthStore.create):
        with refused(text):
            opening(store.root, Geometry(32, 32, "pad"))
    assert SynthStore.create(store.root).geometry == SMALL


def test_another_format_version(store: SynthStore) -> None:
    attributes = {**read_attributes(store.root), "version": 2}
    (store.root / "zarr.json").write_bytes(encode(group(attributes)))
    with refused(f"the store at {store.root} has format version 2; this release reads version 1."):
        SynthStore.open(store.root)


def test_another_zarr_group_is_no_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path)
    with refused(f"{tmp_path / 'zarr.json'} is damaged: it is not a group of this store."):
        SynthStore.open(tmp_path)


def test_another_identity(store: SynthStore) -> None:
    generate(store, 5)
    before = tree(store.root)
    normals = store.normals(KEY.dataset, CATEGORY)
    for change, text in (
        ({"pixel_version": 2}, "pixel_version: stored 1, here 2"),
        ({"parameters": {"boxes": (1, 2)}}, "parameters: stored {'boxes': [1, 1]}, here {'boxes':"),
        ({"encoding": "plain"}, "encoding: stored residual, here plain"),
        ({"textures": "ab"}, "textures: stored None, here ab"),
    ):
        with refused(f"{KEY}/{CATEGORY} is stored with another identity ({text}") as raised:
            store.create_set(
                KEY, CATEGORY, 5, identity=identity(normals, **change), versions=VERSIONS
            )
        (name,) = change
        assert isinstance(raised.value, OtherIdentity)
        assert list(raised.value.differences) == [name]
    less = {k: v for k, v in identity(normals).items() if k != "pixel_version"}
    with refused(f"{KEY}/{CATEGORY} is stored with another identity (pixel_version: stored 1, he"):
        store.create_set(KEY, CATEGORY, 5, identity=less, versions=VERSIONS)
    assert tree(store.root) == before


def test_other_library_versions_may_read_but_not_grow(store: SynthStore) -> None:
    generate(store, 5)
    made = identity(store.normals(KEY.dataset, CATEGORY))
    other = {"numpy": "3", "opencv": "4"}
    assert store.create_set(KEY, CATEGORY, 5, identity=made, versions=other) == []
    with refused(
        f"{KEY}/{CATEGORY} was begun under other library versions (numpy 2 then, 3 now), so new"
    ):
        store.create_set(KEY, CATEGORY, 6, identity=made, versions=other)
    assert store.read(KEY, CATEGORY)[4].mask.any()


def test_other_normals_under_the_same_name(store: SynthStore) -> None:
    generate(store, 5)
    before = tree(store.root)
    pairs = [normal("others", i) for i in range(6)]
    with refused(f"toy/tile in the store at {store.root} has other normals (6, digest ") as raised:
        write_normals(store, "toy", CATEGORY, ["x"] * 6, pairs, {})
    assert isinstance(raised.value, OtherNormals)
    assert raised.value.stored == (6, store.normals("toy", CATEGORY).digest)
    assert raised.value.given[0] == 6
    assert tree(store.root) == before
    assert len(add_normals(store)) == 6  # the same ones are welcome
    assert tree(store.root) == before


def test_a_set_drawn_on_other_normals(store: SynthStore) -> None:
    generate(store, 5)
    for path in sorted((store.root / "toy" / "normal").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    pairs = [normal("others", i) for i in range(6)]
    write_normals(store, "toy", CATEGORY, ["x"] * 6, pairs, {})
    with refused(f"{KEY}/{CATEGORY} was drawn on other normals ("):
        store.read(KEY, CATEGORY)


def test_what_is_not_there_is_named_by_the_error_s_fields(store: SynthStore) -> None:
    with refused(f"the store at {store.root} holds no normals of toy/tile") as normals:
        store.normals("toy", CATEGORY)
    assert data(normals.value) == (MissingNormals, store.root, "toy", CATEGORY)
    with refused(f"{KEY}/{CATEGORY} is not in the store at {store.root}") as absent:
        store.read(KEY, CATEGORY)
    assert data(absent.value) == (MissingSet, store, KEY, CATEGORY)
    made = identity(add_normals(store))
    store.create_set(KEY, CATEGORY, 9, identity=made, versions=VERSIONS)
    with refused(f"{KEY}/{CATEGORY} was begun but not finished (0 of 9 samples)") as begun:
        store.read(KEY, CATEGORY)
    assert data(begun.value) == (UnfinishedSet, store, KEY, CATEGORY, 0, 9)
    with refused(f"{KEY}/{CATEGORY} lacks 9 of 9 samples") as lacking:
        store.finish(KEY, CATEGORY, 9)
    assert data(lacking.value) == (MissingSamples, f"{KEY}/{CATEGORY}", 9, 9)


def test_a_refusal_travels_between_processes(store: SynthStore) -> None:
    refusal = UnfinishedSet(store, KEY, CATEGORY, count=0, target=9)
    again = pickle.loads(pickle.dumps(refusal))
    assert data(again) == data(refusal)
    assert again.what == refusal.what


def test_the_store_by_itself_types_nobody_s_commands(tmp_path: Path) -> None:
    """Neither in what it raises where no other program stands on it, nor anywhere in its source."""
    program = f"import synth_store; synth_store.SynthStore.open({str(tmp_path / 'none')!r})"
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert alone.stderr.rstrip().endswith(f"there is no store at {tmp_path / 'none'}.")
    for path in Path(synth_store.__file__).parent.glob("*.py"):
        texts = [
            n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)
        ]
        typed = [t for t in texts if isinstance(t, str) and re.search(r"asbench \w| --\w", t)]
        # A mixture is written as `--mix` takes it, wherever it is refused.
        assert typed == [] or path.name == "mix.py", path


def test_samples_that_do_not_fit_the_set(store: SynthStore) -> None:
    made = identity(add_normals(store))
    (job,) = store.create_set(KEY, CATEGORY, 1, identity=made, versions=VERSIONS)
    ((fit, source),) = expected(store, 1)
    own = Sample(fit.image, fit.mask)
    large = Sample(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.bool_))
    for samples, sources, text in (
        ([], [], "got 0 samples and 0 sources"),
        ([own], [], "got 1 samples and 0 sources"),
        ([fit], [-1], "a sample's source is -1 exactly where it has its clean"),
        ([own], [-1], "a sample's source is -1 exactly where it has its clean"),
        ([large], [0], r"made a \(40, 40\) sample for 32x32"),
    ):
        with pytest.raises(ValueError, match=text):
            store.write(KEY, CATEGORY, job, samples, sources)
    with pytest.raises(IndexError, match="normal 6 of 6"):
        store.write(KEY, CATEGORY, job, [own], [6])
    assert store.missing(KEY, CATEGORY) == [job]
    store.write(KEY, CATEGORY, job, [own], [source])
    assert store.missing(KEY, CATEGORY) == []


def test_normals_that_do_not_fit_the_store(store: SynthStore) -> None:
    large = (np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.bool_))
    with pytest.raises(ValueError, match=r"a \(40, 40, 3\) normal of tile for 32x32 \(stretch\)"):
        write_normals(store, "toy", CATEGORY, ["a"], [large], {})
    with pytest.raises(ValueError, match="2 ids for 1 images of toy/tile"):
        write_normals(store, "toy", CATEGORY, ["a", "b"], [normal("toy", 0)], {})
    assert not store.has_normals("toy", CATEGORY)

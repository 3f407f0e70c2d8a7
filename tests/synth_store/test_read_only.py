"""A complete store on a disk that may be read alone serves all that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synth_store import StoreError, StoreKey, SynthStore
from synth_store.errors import OtherIdentity, OtherNormals
from synth_store.local import LocalPath
from synth_store.normals import write_normals
from tests.synth_store.making import CATEGORY, KEY, SMALL, VERSIONS, generate, identity, tree


def refuse(path: LocalPath, *_: object) -> None:
    raise StoreError(f"cannot write {path}: Read-only file system.")


@contextmanager
def mounted_so(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every folder be one of a disk that is mounted to be read."""
    with patch.context() as now:
        now.setattr(LocalPath, "read_only", True)
        for name in ("write", "create", "remove", "locked", "remove_abandoned"):
            now.setattr(LocalPath, name, refuse)
        yield


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SynthStore]:
    store = SynthStore.create(tmp_path, SMALL)
    generate(store, 11)
    before = tree(tmp_path)
    with mounted_so(monkeypatch):
        yield store
    assert tree(tmp_path) == before


def asked(store: SynthStore, count: int, **more: object) -> list[object]:
    made = identity(store.normals(KEY.dataset, CATEGORY), **more)
    return [*store.create_set(KEY, CATEGORY, count, identity=made, versions=VERSIONS)]


@pytest.mark.parametrize("count", [1, 8, 11])
def test_what_stands_whole_is_found_and_finished(whole: SynthStore, count: int) -> None:
    assert asked(whole, count) == []
    assert whole.finish(KEY, CATEGORY, count).count == 11
    assert SynthStore.create(str(whole.root)).geometry == SMALL


def test_what_would_be_written_is_refused(whole: SynthStore) -> None:
    with pytest.raises(StoreError, match="Read-only"):
        asked(whole, 12)
    made, other = identity(whole.normals(KEY.dataset, CATEGORY)), StoreKey("toy", "other", 0)
    with pytest.raises(StoreError, match="Read-only"):
        whole.create_set(other, CATEGORY, 3, identity=made, versions=VERSIONS)
    with pytest.raises(OtherIdentity, match="pixel_version"):
        asked(whole, 11, pixel_version=2)


def test_its_normals_serve_photographs_with_other_dates(whole: SynthStore) -> None:
    stored = whole.normals(KEY.dataset, CATEGORY)
    images = [(stored[i], stored[i].any(axis=2)) for i in range(len(stored))]
    again = write_normals(whole, KEY.dataset, CATEGORY, stored.ids, images, {"stamp": "new"})
    assert again.digest == stored.digest
    with pytest.raises(OtherNormals):
        write_normals(whole, KEY.dataset, CATEGORY, stored.ids[1:], images[1:], {})


def test_a_folder_that_may_be_written_is_none_of_these(tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path, SMALL)
    assert not store.root.read_only

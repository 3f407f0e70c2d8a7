"""Interrupted, resumed, shared, full: whatever happens, a set ends as the set made at once."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from synth_store import Job, StoreError, SynthStore
from tests.synth_store.making import (
    CATEGORY,
    KEY,
    SMALL,
    VERSIONS,
    add_normals,
    faults,
    generate,
    identity,
    render,
    tree,
)

pytestmark = pytest.mark.slow

SPAWN = get_context("spawn")


def digest_at_once(folder: Path, count: int, **kind: Any) -> str | None:
    return generate(SynthStore.create(folder, SMALL), count, shard=64, **kind).digest


def partials(store: SynthStore) -> list[Path]:
    return list(store.root.rglob("*.partial"))


# --- killed ---


def _kill_at(moment: int) -> None:
    """Arrange for this process to die at its n-th change of the disk, before it or halfway."""
    changes = iter(range(10**9))

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        def until_then(*args: Any, **more: Any) -> Any:
            if next(changes) == moment:
                if change is write:
                    write(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **more)

        return until_then

    write = Path.write_bytes
    for owner, name in ((Path, "write_bytes"), (Path, "replace"), (os, "link"), (os, "rmdir")):
        setattr(owner, name, watched(getattr(owner, name)))
    os.unlink = watched(os.unlink)  # type: ignore[assignment]


def _forked(work: Callable[[], Any]) -> int:
    """Run `work` in a fork of this process, which must have no threads; return how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _kill_at_every_moment(root: Path, scenario: str, kind: dict[str, Any]) -> int:
    """Kill at each change of the disk in turn, resume, compare; return how many there were."""
    target = digest_at_once(root / "once", 7, **kind)
    begun = SynthStore.create(root / "begun", SMALL)
    if scenario != "new":
        generate(begun, 3, shard=4, **kind)
    status, moment = -1, 0
    while status:
        store = SynthStore(root / f"{moment}", SMALL)
        shutil.copytree(begun.root, store.root)
        status = _forked(partial(_doomed, moment, scenario, store, kind))
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        if scenario == "grown":
            stored = store.read(KEY, CATEGORY)
            assert stored.count in (3, 7)
            assert all(sample.mask.any() for sample in stored)
        WORK[scenario](store, kind)
        assert store.read(KEY, CATEGORY).digest == target, f"killed at change {moment}"
        # Above the set a temporary file may stay; verify names it.
        assert [f for f in faults(store) if f.path.suffix != ".partial"] == []
        assert list(store.folder(KEY, CATEGORY).rglob("*.partial")) == []
        moment += 1
    return moment


def _doomed(moment: int, scenario: str, store: SynthStore, kind: dict[str, Any]) -> None:
    _kill_at(moment)
    WORK[scenario](store, kind)


def _grow(store: SynthStore, kind: dict[str, Any]) -> None:
    generate(SynthStore.create(store.root, SMALL), 7, shard=4, **kind)


def _replace(store: SynthStore, kind: dict[str, Any]) -> None:
    made = identity(store.normals(KEY.dataset, CATEGORY), **kind, pixel_version=2)
    jobs = store.create_set(
        KEY, CATEGORY, 7, identity=made, versions=VERSIONS, shard=4, replace=True
    )
    for job in jobs:
        render(store, KEY, CATEGORY, job, generated=kind["generated"])
    store.finish(KEY, CATEGORY, 7)


WORK = {"new": _grow, "grown": _grow, "replaced": _replace}


@pytest.mark.parametrize(
    ("scenario", "encoding", "generated"),
    [("new", "residual", False), ("grown", "plain", True), ("replaced", "residual", False)],
)
def test_a_kill_at_any_moment_is_resumed_to_the_same_set(
    tmp_path: Path, scenario: str, encoding: str, generated: bool
) -> None:
    kind = {"encoding": encoding, "generated": generated}
    with SPAWN.Pool(1) as pool:  # has no threads, so that it may fork
        moments = pool.apply(_kill_at_every_moment, (tmp_path, scenario, kind))
    assert moments > 40


def _write_for_ever(root: Path) -> None:
    store = SynthStore.open(root)
    made = identity(store.normals(KEY.dataset, CATEGORY))
    for count in range(1, 10**6):
        for job in store.create_set(KEY, CATEGORY, count, identity=made, versions=VERSIONS):
            render(store, KEY, CATEGORY, job)
        store.finish(KEY, CATEGORY, count)


def test_kills_from_outside_leave_every_finished_sample(tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path / "store", SMALL)
    generate(store, 1, shard=64)
    finished = [1]
    for _ in range(3):
        process = SPAWN.Process(target=_write_for_ever, args=(store.root,))
        process.start()
        until = time.monotonic() + 60
        while store.read(KEY, CATEGORY).count < finished[-1] + 5:
            assert time.monotonic() < until
            assert process.is_alive()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        stored = store.read(KEY, CATEGORY)
        finished.append(stored.count)
        assert all(sample.mask.any() for sample in stored)
    count = store.read(KEY, CATEGORY).attributes["target"]
    assert generate(store, count).digest == digest_at_once(tmp_path / "once", count)
    assert faults(store) == []


# --- shared ---


def _generate_in_child(root: Path, count: int, backwards: bool) -> tuple[int, str | None]:
    stored = generate(SynthStore.create(root, SMALL), count, shard=4, backwards=backwards)
    return stored.count, stored.digest


def test_processes_may_make_the_same_set_at_once(tmp_path: Path) -> None:
    counts = [20, 20, 13, 30, 5, 30]
    at_once = {n: digest_at_once(tmp_path / f"{n}", n) for n in {20, 13, 30, 5}}
    with SPAWN.Pool(3) as pool:
        for attempt in range(4):
            root = tmp_path / f"shared{attempt}"
            made = pool.starmap(
                _generate_in_child,
                [(root, count, bool(i % 2)) for i, count in enumerate(counts)],
                chunksize=1,
            )
            for asked, (count, digest) in zip(counts, made, strict=True):
                assert count >= asked
                assert digest == at_once[count]
            store = SynthStore.open(root)
            assert store.read(KEY, CATEGORY).count == 30
            assert store.read(KEY, CATEGORY).digest == at_once[30]
            assert faults(store) == []


def test_a_late_writer_of_fewer_samples_takes_none_away(tmp_path: Path) -> None:
    """Two are asked for 3 and 7 samples of one shard; the one asked for fewer writes last."""
    store = SynthStore.create(tmp_path, SMALL)
    made = identity(add_normals(store))
    few = store.create_set(KEY, CATEGORY, 3, identity=made, versions=VERSIONS)
    assert few == [Job(0, 0, 3)]
    stored = generate(store, 7)
    before = tree(store.root)
    render(store, KEY, CATEGORY, few[0])
    assert tree(store.root) == before
    assert store.finish(KEY, CATEGORY, 3).count == 7
    assert store.read(KEY, CATEGORY).digest == stored.digest


def test_an_early_finish_of_fewer_samples_lowers_nothing(tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path, SMALL)
    stored = generate(store, 20)
    before = tree(store.root)
    assert store.finish(KEY, CATEGORY, 5).digest == stored.digest
    assert tree(store.root) == before


# --- full ---


def _fill_halfway(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SynthStore.create(tmp_path / "store", SMALL)
    generate(store, 5)
    before, made = tree(store.root), identity(store.normals(KEY.dataset, CATEGORY))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", _fill_halfway)
        with pytest.raises(StoreError, match=r"^cannot write .*zarr.json: No space left on device"):
            store.create_set(KEY, CATEGORY, 13, identity=made, versions=VERSIONS)
        with pytest.raises(StoreError, match=r"^cannot write .*foreground.*: No space left on dev"):
            add_normals(store, category="other")
        with pytest.raises(StoreError, match=r"^cannot write .*zarr.json: No space left on device"):
            SynthStore.create(tmp_path / "new", SMALL)
    assert tree(store.root) == before
    jobs = store.create_set(KEY, CATEGORY, 13, identity=made, versions=VERSIONS)
    before = tree(store.root)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", _fill_halfway)
        for job in jobs:
            with pytest.raises(StoreError, match=r"^cannot write .*source.*: No space left on dev"):
                render(store, KEY, CATEGORY, job)
    assert tree(store.root) == before
    assert generate(store, 13).digest == digest_at_once(tmp_path / "once", 13)
    assert faults(store) == []


def test_a_write_that_the_system_cuts_short(tmp_path: Path) -> None:
    """A real short write: the system refuses bytes beyond the largest file size allowed."""
    store = SynthStore.create(tmp_path / "store", SMALL)
    made = identity(add_normals(store))
    jobs = store.create_set(KEY, CATEGORY, 20, identity=made, versions=VERSIONS, shard=20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"^cannot write .*/image/c/0/0/0/0: File too large"):
            render(store, KEY, CATEGORY, jobs[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert partials(store) == []
    assert not (store.folder(KEY, CATEGORY) / "image" / "c" / "0" / "0" / "0" / "0").exists()
    assert store.missing(KEY, CATEGORY) == jobs
    assert generate(store, 20).digest == digest_at_once(tmp_path / "once", 20)

"""Damage of a store, of every kind, against everything that reads one."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from asbench.generation.export_set import export_folder, export_zarr
from asbench.quality.arrays import as_arrays
from asbench.training.sampler import ResidentSampler, StreamingSampler
from synth_store import Mix, Schedule, StoredSet, StoreKey, SynthStore, UserError, fetching
from synth_store import store as stores
from synth_store.copying import copy_store
from synth_store.metadata import encode, group, read_attributes
from synth_store.reader import Foregrounds
from synth_store.verify import verify_normals, verify_set, verify_store
from tests.faults.tally import Tally
from tests.synth_store.making import CATEGORY, KEY, SMALL, add_normals, generate
from tests.synth_store.object_server import serving

SEED, OWN = StoreKey("toy", "boxes", 1), StoreKey("toy", "dreams", 0)
KEYS = (KEY, SEED, OWN)
COUNT, SHARD = 10, 4
CPU = torch.device("cpu")
Read = Callable[[Path, Path], object]
"""Reads the store at a place, with a folder to write into, and returns what it read."""


def make(root: Path) -> None:
    """Make the store that is damaged: two seeds of a method, a generated set, two categories."""
    store = SynthStore.create(root, SMALL)
    for key in KEYS:
        generate(store, COUNT, shard=SHARD, key=key, generated=key == OWN)
    add_normals(store, category="other")
    generate(store, COUNT, shard=SHARD, category="other")


# --- what reads ---


def _sets(root: Path | str) -> list[StoredSet]:
    store = SynthStore.open(root)
    return [store.read(key, CATEGORY) for key in KEYS]


def _digest(arrays: object) -> str:
    digest = hashlib.sha256()
    for array in arrays:  # type: ignore[attr-defined]
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def read_samples(root: Path | str, _: Path) -> object:
    """Read every sample, its clean image, mask and source; and the normals with foregrounds."""
    return _digest(_pixels(_sets(root)))


def _pixels(sets: list[StoredSet]) -> Iterator[np.ndarray]:
    for stored in sets:
        for sample in stored:
            assert sample.clean is not None
            yield from (sample.image, sample.clean, sample.mask)
        yield stored.source
    yield from Foregrounds(sets[0].normals)


def read_by_verify(root: Path, _: Path) -> object:
    """Verify all; a fault is a refusal."""
    store = SynthStore.open(root)
    faults = verify_store(store)
    for dataset, category in store.stored_normals():
        faults += verify_normals(store, dataset, category)
    for key, category in store.sets():
        faults += verify_set(store, key, category)
    if faults:
        raise UserError(str(faults[0]))
    return len(store.sets()), len(store.stored_normals())


def read_resident(root: Path, _: Path) -> object:
    """Train's batches, all of a category in memory."""
    return _batches(ResidentSampler, root)


def read_streaming(root: Path, _: Path) -> object:
    """Train's batches, read one step ahead."""
    return _batches(StreamingSampler, root)


def _batches(kind: type, root: Path) -> object:
    sets = _sets(root)
    counts = tuple(len(s) for s in sets)
    mix = Mix.parse("a,b,c")
    schedule = Schedule(mix, Fraction(3, 4), len(sets[0].normals), counts, seed=5)
    sampler = kind([sets[0].normals, *sets], schedule, 8, CPU)
    steps = range(8)  # every sample and every normal comes
    if kind is StreamingSampler:
        with sampler:
            made = [sampler.batch_at(step) for step in steps]
    else:
        made = [sampler.batch_at(step) for step in steps]
    return _digest(t.numpy() for b in made for t in (b.image, b.clean, b.mask))


def read_for_quality(root: Path, _: Path) -> object:
    """The blocks of pixels that quality metrics are computed of."""
    store = SynthStore.open(root)
    arrays = [as_arrays(store, key, CATEGORY, block=4) for key in KEYS]
    return _digest(part for one in arrays for block in one.blocks() for part in block)


def read_by_export(root: Path, out: Path) -> object:
    """Export as PNG files and as a plain Zarr."""
    for number, stored in enumerate(_sets(root)):
        export_folder(stored, out / f"{number}")
    export_zarr(_sets(root)[0], out / "plain.zarr")
    return _tree(out)


def read_by_copy(root: Path, out: Path) -> object:
    """Copy the sets to another folder."""
    copy_store(SynthStore.open(root), out / "copy", [str(key) for key in KEYS])
    return _tree(out)


def _tree(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root)}".encode() + path.read_bytes())
    return digest.hexdigest()


READERS: dict[str, tuple[Read, int]] = {
    "reader": (read_samples, 8),
    "verify": (read_by_verify, 8),
    "train, resident": (read_resident, 4),
    "train, streaming": (read_streaming, 4),
    "quality": (read_for_quality, 3),
    "export": (read_by_export, 1),
    "copy": (read_by_copy, 2),
    "object store": (read_samples, 1),
}
"""What reads, and how often it is tried against the others."""


# --- what is done to a file ---


def flip(rng: random.Random, path: Path, root: Path) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(rng: random.Random, path: Path, root: Path) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def zero(rng: random.Random, path: Path, root: Path) -> None:
    data = path.read_bytes()
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 16, 512, len(data))))
    path.write_bytes(data[:start] + bytes(stop - start) + data[stop:])


def grow(rng: random.Random, path: Path, root: Path) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice((1, 20, 4096))))


def lose(rng: random.Random, path: Path, root: Path) -> None:
    path.unlink()


def replace(rng: random.Random, path: Path, root: Path) -> None:
    """Put another file of the store in its place: of another seed, method, category or number."""
    others = [p for p in files(root) if p.name == path.name or "c" in p.parts]
    path.write_bytes(rng.choice([p for p in others if p != path]).read_bytes())


def scramble(rng: random.Random, path: Path, root: Path) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


def pipe(rng: random.Random, path: Path, root: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(rng: random.Random, path: Path, root: Path) -> None:
    path.unlink()
    path.mkdir()


def dangle(rng: random.Random, path: Path, root: Path) -> None:
    path.unlink()
    path.symlink_to(rng.choice(["nothing", str(path), "/dev/zero", "/dev/null", "/proc/self/mem"]))


VALUES = (None, True, -1, 0, 3, 10**9, 10**30, 1.5, "", "a", "a" * 64, [], [1], ["a"], {}, {"a": 1})


def forge(rng: random.Random, path: Path, root: Path) -> None:
    """Write other attributes under a true checksum."""
    attributes = read_attributes(path.parent)
    name = rng.choice(sorted(attributes))
    attributes[name] = rng.choice([v for v in VALUES if v != attributes[name]])
    if rng.random() < 0.2:
        del attributes[name]
    path.write_bytes(encode(group(attributes)))


def _has_attributes(path: Path) -> bool:
    return b'"sha256"' in path.read_bytes()


DAMAGES = (flip, flip, flip, flip, cut, zero, grow, lose, replace, scramble, pipe, folder, dangle)


def files(root: Path) -> list[Path]:
    """Every file of a store."""
    return sorted(p for p in root.rglob("*") if p.is_file())


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Try so many cases: one damage, one reader each."""
    sound, root = work / "sound", work / "store"
    make(sound)
    shutil.copytree(sound, root)
    patch = pytest.MonkeyPatch()
    with serving() as server:
        server.name_in(patch)
        try:
            _run(tally, cases, random.Random(seed), sound, root, work, server)
        finally:
            patch.undo()


def _run(tally, cases, rng, sound, root, work, server) -> None:  # type: ignore[no-untyped-def]
    names = [name for name, (_, weight) in READERS.items() for _ in range(weight)]
    wanted = {}
    for name, (read, _) in READERS.items():
        with _fresh(work) as out:
            server.upload(sound, "shelf/some/store")
            wanted[name] = read(_place(name, root), out)
    every = files(sound)
    with_attributes = [p for p in every if p.name == "zarr.json" and _has_attributes(p)]
    for _ in range(cases):
        name = rng.choice(names)
        damage = forge if rng.random() < 0.08 else rng.choice(DAMAGES)
        if name == "object store" and damage in (pipe, folder, dangle):
            damage = flip
        whole = rng.choice(with_attributes if damage is forge else every)
        path = root / whole.relative_to(sound)
        damage(rng, path, root)
        kind = damage.__name__ if damage is not replace else "wrong place"
        what = f"{damage.__name__} of {whole.relative_to(sound)}"
        equal = not path.is_symlink() and path.is_file() and path.read_bytes() == whole.read_bytes()
        want = wanted[name] if equal or name != "verify" else _Refused
        lost = whole.name == "zarr.json" and damage in (lose, pipe, folder, dangle)
        if damage is forge or (name == "copy" and lost):
            # What is forged under a true checksum is held to a schema, and to the digest by verify
            # alone: a smaller count is believed. What has lost its metadata is no set to copy.
            want = None
        with _fresh(work) as out:
            if name == "object store":
                server.objects.clear()
                server.upload(root, "shelf/some/store")
            act = partial(READERS[name][0], _place(name, root), out)
            tally.attempt(kind, name, act, want, what)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        shutil.copy2(whole, path)


class _Refused:
    """What no read gives: it must be refused."""


def _place(name: str, root: Path) -> Path:
    return "s3://shelf/some/store" if name == "object store" else root  # type: ignore[return-value]


@contextmanager
def _fresh(work: Path) -> Iterator[Path]:
    """Give an empty folder; nothing that was mapped or inflated before is remembered."""
    stores._normals.cache_clear()
    fetching.held.forget()
    out = work / "out"
    out.mkdir()
    try:
        yield out
    finally:
        shutil.rmtree(out)

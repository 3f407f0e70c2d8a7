"""Batches: the same from memory and from the store, and exactly the samples of their addresses."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
import torch

from asbench.training import sampler
from asbench.training.sampler import ResidentSampler, StreamingSampler, open_sampler, to_batch
from synth_store import Mix, Schedule, StoreError, StoreKey, SynthStore
from tests.synth_store.making import CATEGORY, SMALL, generate

CPU = torch.device("cpu")
KINDS = {
    "generated": {"generated": True},
    "generated_plain": {"generated": True, "encoding": "plain"},
    "plain": {"encoding": "plain"},
    "residual": {},
}
BATCH = 5
"""Divides neither the 6 normals nor the sets."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Normals, one set per kind, and a schedule over all of them."""
    store = SynthStore.create(tmp_path_factory.mktemp("store"), SMALL)
    sets = [
        generate(store, 11, key=StoreKey("toy", name, 0), shard=4, **kind)
        for name, kind in KINDS.items()
    ]
    mix = Mix.parse(",".join(KINDS))
    schedule = Schedule(mix, Fraction(3, 4), 6, (11, 7, 11, 9), seed=5)
    return [store.normals("toy", CATEGORY), *sets], schedule


def expected(sources, schedule, step):
    """Image, clean and mask of every item of a step, read one by one."""
    items = schedule.batch_at(step, BATCH)
    for source, index in zip(items.source, items.index, strict=True):
        if source:
            sample = sources[source][int(index)]
            yield sample.image, sample.clean, sample.mask
        else:
            normal = sources[0][int(index)]
            yield normal, normal, np.zeros(normal.shape[:2], bool)


@pytest.mark.parametrize("kind", [ResidentSampler, StreamingSampler])
def test_a_batch_is_the_samples_of_its_addresses(stored, kind):
    given, schedule = stored
    made = kind(given, schedule, BATCH, CPU)
    sources = set()
    for step in [*range(12), 3, 40]:  # onwards, back, and far ahead
        batch = made.batch_at(step)
        assert batch.image.shape == batch.clean.shape == (BATCH, 3, 32, 32)
        assert batch.mask.shape == (BATCH, 1, 32, 32)
        assert {t.dtype for t in (batch.image, batch.clean, batch.mask)} == {torch.float32}
        rows = zip(batch.image, batch.clean, batch.mask, strict=True)
        truth = expected(given, schedule, step)
        for (image, clean, mask), (pixels, background, marked) in zip(rows, truth, strict=True):
            assert np.array_equal(image.permute(1, 2, 0), pixels / np.float32(255))
            assert np.array_equal(clean.permute(1, 2, 0), background / np.float32(255))
            assert np.array_equal(mask[0], marked)
        sources |= set(schedule.batch_at(step, BATCH).source.tolist())
    assert sources == {0, 1, 2, 3, 4}
    if kind is StreamingSampler:
        made.__exit__()


def test_resident_and_streaming_give_the_same(stored):
    resident = ResidentSampler(*stored, BATCH, CPU)
    with StreamingSampler(*stored, BATCH, CPU) as streaming:
        for step in range(20):
            one, other = resident.batch_at(step), streaming.batch_at(step)
            for a, b in ((one.image, other.image), (one.clean, other.clean)):
                assert torch.equal(a, b)
                assert a.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(one.mask, other.mask)


def test_every_level_of_grey_is_divided_exactly():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)
    batch = to_batch(levels, levels, torch.zeros(1, 16, 16, dtype=torch.bool))
    exact = (np.arange(256) / np.float32(255)).astype(np.float32).reshape(16, 16)
    assert np.array_equal(batch.image[0, 1], exact)
    assert np.array_equal(batch.clean[0, 2], exact)


def test_without_sets_all_is_normal(stored):
    (normals, *_), _ = stored
    schedule = Schedule(Mix(), Fraction(0), 6, (), seed=0)
    resident = ResidentSampler([normals], schedule, 13, CPU)
    with StreamingSampler([normals], schedule, 13, CPU) as streaming:
        for batch in (resident.batch_at(0), streaming.batch_at(0)):
            assert len(batch.image) == 13
            assert torch.equal(batch.image, batch.clean)
            assert not batch.mask.any()


def test_the_memory_needed_is_the_bytes_of_the_tensors(stored):
    made = ResidentSampler(*stored, BATCH, CPU)
    held = sum(t.numel() * t.element_size() for t in (made.pool, made.masks, made.clean))
    assert ResidentSampler.bytes_needed(*stored) == held
    # 6 normals, 38 samples, 18 of them with cleans of their own
    assert made.pool.shape == (6 + 38 + 18, 32, 32, 3)


def test_what_does_not_fit_is_streamed(stored, monkeypatch):
    needed = ResidentSampler.bytes_needed(*stored)
    for memory, kind in ((2 * needed, ResidentSampler), (2 * needed - 1, StreamingSampler)):
        monkeypatch.setattr(sampler, "_memory", lambda _, memory=memory: memory)
        with open_sampler(*stored, BATCH, CPU) as made:
            assert type(made) is kind


def reading() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_leaving_ends_the_thread_whatever_happened(stored, monkeypatch):
    monkeypatch.setattr(sampler, "_memory", lambda _: 0)
    with pytest.raises(KeyError), open_sampler(*stored, BATCH, CPU) as made:  # noqa: PT012
        made.batch_at(0)
        assert reading()
        raise KeyError
    assert not reading()


def test_damage_found_while_reading_ahead_surfaces(tmp_path):
    store = SynthStore.create(tmp_path, SMALL)
    found = generate(store, 4, shard=1)
    schedule = Schedule(Mix.parse("boxes"), Fraction(1), 6, (4,), seed=0)
    normals = store.normals("toy", CATEGORY)
    assert schedule.batch_at(1, 1).index != schedule.batch_at(0, 1).index
    shard = found.image.path(int(schedule.batch_at(1, 1).index[0]))
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with StreamingSampler([normals, found], schedule, 1, CPU) as made:
        made.batch_at(0)  # starts to read step 1 in the thread
        for _ in range(2):  # asked again, it does not go on as if nothing had been
            with pytest.raises(StoreError, match="is damaged"):
                made.batch_at(1)
    assert not reading()
    with pytest.raises(StoreError, match="is damaged"):
        ResidentSampler([normals, found], schedule, 1, CPU)

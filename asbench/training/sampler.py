"""From the store to batches on the training device: the same stream, resident or read ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asbench.nets.detector import Batch
from asbench.nets.device import uploaded
from synth_store import ItemStream, Normals, StoredSet
from synth_store.reader import fetch, stretches
from synth_store.selection import refuse_refetching

RESIDENT_SHARE = 0.5
"""A category is held on the device if it takes at most this share of its memory."""


Sources = Sequence[Normals | StoredSet]
"""What a stream draws from, in its order: normals, then the sets that were drawn on them; of
several categories, one after the other."""
Indices = Sequence[Sequence[int]] | None
"""For each source, where in the store what the schedule counts 0, 1, 2, ... lies; None where the
schedule counts from the first stored one on."""


class Sampler(Protocol):
    """Gives the batch of any training step, as a function of the step alone."""

    def batch_at(self, step: int) -> Batch:
        """Return the batch of a step, on the training device."""


@contextmanager
def open_sampler(
    sources: Sources,
    schedule: ItemStream,
    batch: int,
    device: torch.device,
    indices: Indices = None,
) -> Iterator[Sampler]:
    """Give a sampler of `batch` items a step: resident where the category fits, else streaming.

    `sources` are those of the schedule, in its order; indices: as `Indices`. Raises StoreError,
    here or when a batch is asked for, if a stored byte is wrong; here, for more to stream from an
    object store than a process holds of it.
    """
    if fits(ResidentSampler.bytes_needed(sources, schedule), device):
        yield ResidentSampler(sources, schedule, batch, device, indices)
        return
    refuse_refetching(sources)
    with StreamingSampler(sources, schedule, batch, device, indices) as streaming:
        yield streaming


def fits(needed: int, device: torch.device) -> bool:
    """Say whether so many bytes may be held on a device."""
    return needed <= RESIDENT_SHARE * _memory(device)


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def stored_at(schedule: ItemStream, indices: Indices) -> list[npt.NDArray[np.int64]]:
    """Return for each source the stored index of all that the schedule has."""
    counts = schedule.counted
    chosen = [range(n) for n in counts] if indices is None else indices
    return [np.array(of[:n], np.int64) for of, n in zip(chosen, counts, strict=True)]


def drawn_on(sources: Sources) -> list[int]:
    """Return for each source the number of its normals: those that come before it."""
    numbers: list[int] = []
    for number, source in enumerate(sources):
        numbers.append(number if isinstance(source, Normals) else numbers[-1])
    return numbers


def to_batch(image: Tensor, clean: Tensor, mask: Tensor) -> Batch:
    """Turn uint8 (B, H, W, 3) images and bool (B, H, W) masks into what a detector trains on.

    The images become views of channels-last memory: no pixel is moved to change the axes' order.
    """

    def scaled(pixels: Tensor) -> Tensor:
        return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)

    return Batch(scaled(image), scaled(clean), mask.unsqueeze(1).to(torch.float32))


class ResidentSampler:
    """All that a stream draws from, on the device as decoded uint8, gathered there.

    Images of normals and sets lie in one pool, one after the other, so that a batch of any mixture
    is one gather for the images, one for the cleans, one for the masks.
    """

    def __init__(
        self,
        sources: Sources,
        schedule: ItemStream,
        batch: int,
        device: torch.device,
        indices: Indices = None,
    ) -> None:
        self.schedule, self.batch, self.device = schedule, batch, device
        # Only what the schedule draws from is read.
        at = stored_at(schedule, indices)
        counts = [len(of) for of in at]
        self.first = np.cumsum([0, *counts])[:-1]
        """Where each source begins in the pool; own cleans come after all of them."""
        shape = sources[0].image.shape
        spare = sum(counts)
        pool = np.empty((spare + _own_cleans(sources, schedule), *shape), np.uint8)
        masks = np.zeros((spare, *shape[:2]), np.bool_)
        clean = np.arange(spare)
        places = {
            of: dict(zip(stored.tolist(), range(start, start + len(stored)), strict=True))
            for of, stored, start in zip(sources, at, self.first.tolist(), strict=True)
        }
        """By source and stored index, the place in the pool."""
        normals = {of: sources[n] for of, n in zip(sources, drawn_on(sources), strict=True)}
        reach = [(of, max(place) + 1) for of, place in places.items()]
        for stored, stretch in stretches(reach):
            for i in stretch:
                place = places[stored].get(i)
                if place is None:
                    continue
                if isinstance(stored, Normals):
                    pool[place] = stored[i]
                    continue
                own_clean = None if stored.clean is None else pool[spare]
                stored.read_into(i, pool[place], masks[place], own_clean)
                clean[place] = (
                    spare if own_clean is not None else places[normals[stored]][stored.source_of(i)]
                )
                spare += own_clean is not None
        self.pool = torch.from_numpy(pool).to(device)
        self.masks = torch.from_numpy(masks).to(device)
        self.clean = torch.from_numpy(clean).to(device)
        """For every image, the place of its clean image in the pool."""

    @staticmethod
    def bytes_needed(sources: Sources, schedule: ItemStream) -> int:
        """Return the device memory that resident sources take."""
        height, width, channels = sources[0].image.shape
        images = sum(schedule.counted)
        pixels = (images + _own_cleans(sources, schedule)) * channels + images
        return height * width * pixels + 8 * images

    def batch_at(self, step: int) -> Batch:
        """Return the batch of a step, on the training device."""
        items = self.schedule.batch_at(step, self.batch)
        place = uploaded(torch.from_numpy(self.first[items.source] + items.index), self.device)
        # index_select moves a whole image at a time, seven times as fast on a CPU as indexing.
        image = self.pool.index_select(0, place)
        clean = self.pool.index_select(0, self.clean[place])
        return to_batch(image, clean, self.masks.index_select(0, place))


def _own_cleans(sources: Sources, schedule: ItemStream) -> int:
    """Return how many samples bring a clean image of their own; the others' are normals."""
    return sum(
        count
        for count, of in zip(schedule.counted, sources, strict=True)
        if isinstance(of, StoredSet) and of.clean is not None
    )


class StreamingSampler:
    """Reads each batch from the store, one step ahead in a thread, for what does not fit.

    A thread suffices: inflating releases the interpreter lock, and worker processes would cost
    four times the read itself in handing pixels over. Leaving the `with` block ends the thread.
    """

    def __init__(
        self,
        sources: Sources,
        schedule: ItemStream,
        batch: int,
        device: torch.device,
        indices: Indices = None,
    ) -> None:
        self.sources = sources
        self.stored_at = stored_at(schedule, indices)
        self.schedule, self.batch, self.device = schedule, batch, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: tuple[int, Future[tuple[Tensor, Tensor, Tensor]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def batch_at(self, step: int) -> Batch:
        """Return the batch of a step, on the training device; starts to read the next."""
        if self._ahead is not None and self._ahead[0] == step:
            read = self._ahead[1].result()
        else:
            read = self._read(step)
        self._ahead = (step + 1, self._thread.submit(self._read, step + 1))
        image, clean, mask = (t.to(self.device, non_blocking=True) for t in read)
        return to_batch(image, clean, mask)

    def _read(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        items = self.schedule.batch_at(step, self.batch)
        shape = (self.batch, *self.sources[0].image.shape)
        image, clean = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        mask = np.zeros(shape[:3], np.bool_)
        addresses = [
            (self.sources[source], int(self.stored_at[source][index]))
            for source, index in zip(items.source, items.index, strict=True)
        ]
        fetch(addresses)
        for row, (of, index) in enumerate(addresses):
            if isinstance(of, Normals):
                image[row] = clean[row] = of[index]
            else:
                of.read_into(index, image[row], mask[row], clean[row])
        tensors = [torch.from_numpy(array) for array in (image, clean, mask)]
        if self.device.type == "cuda":
            # This thread has no current device of its own choice: without one, pinning for the
            # second GPU would open a context on the first.
            with torch.cuda.device(self.device):
                tensors = [t.pin_memory() for t in tensors]
        return tensors[0], tensors[1], tensors[2]

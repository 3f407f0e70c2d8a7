"""The stream of items as features: every image is looked at once, then gathered or read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asbench.nets.features import CELL, FeatureBatch, FeatureDetector, Features, cell_share
from asbench.training.sampler import Indices, Sources, fits, stored_at
from synth_store import ItemStream, Normals, StoredSet
from synth_store.reader import Masks

SOME = 16
"""Masks that are in float32 at once."""
MANY = 1024
"""Images whose features are read into memory at once, beside those that are there."""
Read = Callable[[Sequence[int]], Features]
"""Gives the features of some samples of one set."""
Reader = Callable[[StoredSet, Sequence[int]], Read]
"""Makes ready the features of some samples of a set, and gives what reads them."""


class FeatureSampler:
    """Gives the batch of any training step as features, on the training device.

    normals: features of the normals that train, those of each source of normals one after the
    other, as the detector remembers them. Of sets `reader` is asked for those samples that `steps`
    steps draw. They are held in memory where pixels of as many bytes would be; else every batch
    reads its own. photograph_of: for each source, the number of the photograph that each of its
    normals is of, or of those that it was drawn on.
    """

    def __init__(
        self,
        detector: FeatureDetector,
        normals: Features,
        reader: Reader,
        photograph_of: Sequence[Mapping[int, int]],
        sources: Sources,
        schedule: ItemStream,
        batch: int,
        steps: int,
        indices: Indices = None,
    ) -> None:
        self.schedule, self.batch = schedule, batch
        device = normals.fine.device
        at = stored_at(schedule, indices)
        drawn = _drawn(schedule, batch, steps)
        squares = (side * CELL // detector.square for side in normals.fine.shape[1:3])
        shares = [torch.zeros((len(normals), *squares))]
        whole: list[int] = []
        self.place: list[dict[int, int]] = [{} for _ in sources]
        """By source of the stream and index there, the place among the normals and all samples."""
        for number, source in enumerate(sources):
            if isinstance(source, Normals):
                self.place[number] = {i: len(whole) + i for i in range(len(at[number]))}
                whole += [photograph_of[number][int(i)] for i in at[number]]
        held = len(whole)
        samples: list[tuple[Read, list[int]]] = []
        for number, source in enumerate(sources):
            if isinstance(source, Normals):
                continue
            chosen = drawn[number]
            self.place[number] = dict(
                zip(chosen.tolist(), range(held, held + len(chosen)), strict=True)
            )
            held += len(chosen)
            numbers = [int(at[number][i]) for i in chosen]
            samples.append((reader(source, numbers), numbers))
            masks = Masks(source)
            for begin in range(0, len(numbers), SOME):
                some = np.stack([masks[i] for i in numbers[begin : begin + SOME]])
                marked = torch.from_numpy(some)[:, None].float()
                shares.append(cell_share(marked, detector.square))
            whole += [photograph_of[number].get(source.source_of(i), -1) for i in numbers]
        resident = fits(held * normals.bytes_each, device)
        self.features = Resident(normals, samples) if resident else Streamed(normals, samples)
        self.share = torch.cat(shares).to(device)
        self.source = torch.tensor(whole, dtype=torch.int64).to(device)

    def batch_at(self, step: int) -> FeatureBatch:
        """Return the batch of a step; steps beyond those that were announced are not known."""
        items = self.schedule.batch_at(step, self.batch)
        pairs = zip(items.source.tolist(), items.index.tolist(), strict=True)
        places = [self.place[source][index] for source, index in pairs]
        at = torch.tensor(places).to(self.share.device)
        return FeatureBatch(
            self.features.chosen(places, at),
            self.share.index_select(0, at),
            self.source[at],
        )


class Resident:
    """The features of the normals and of all samples behind them, on the normals' device."""

    def __init__(self, normals: Features, samples: Sequence[tuple[Read, list[int]]]) -> None:
        count = len(normals) + sum(len(numbers) for _, numbers in samples)
        fine, coarse = (level.new_empty((count, *level.shape[1:])) for level in normals.levels)
        self.pool, begin = Features(fine, coarse), len(normals)
        self.pool.put(torch.arange(begin), normals)
        for read, numbers in samples:
            for first in range(0, len(numbers), MANY):
                part = read(numbers[first : first + MANY])
                self.pool.put(torch.arange(begin, begin + len(part)), part)
                begin += len(part)

    def chosen(self, places: Sequence[int], at: Tensor) -> Features:
        """Return the features at these places; `at` is the same as a tensor, int64 (B,)."""
        return self.pool.chosen(at)


class Streamed:
    """The same, of which the samples are read anew whenever they are asked for."""

    def __init__(self, normals: Features, samples: Sequence[tuple[Read, list[int]]]) -> None:
        self.normals = normals
        self.samples = [(read, number) for read, numbers in samples for number in numbers]

    def chosen(self, places: Sequence[int], at: Tensor) -> Features:
        """Return the features at these places; `at` is the same as a tensor, int64 (B,)."""
        count = len(self.normals)
        out = self.normals.chosen(at.clamp_max(count - 1))
        asked: dict[Read, dict[int, int]] = {}  # by row of the batch, the number in the set
        for row, place in enumerate(places):
            if place >= count:
                read, number = self.samples[place - count]
                asked.setdefault(read, {})[row] = number
        for read, numbers in asked.items():
            out.put(torch.tensor([*numbers]), read([*numbers.values()]))
        return out


def _drawn(schedule: ItemStream, batch: int, steps: int) -> list[npt.NDArray[np.int64]]:
    """Return for each source which of its items `steps` steps draw, sorted."""
    batches = [schedule.batch_at(step, batch) for step in range(steps)]
    many = len(schedule.counted)
    if not batches:  # a detector that remembers and trains nothing
        return [np.empty(0, np.int64)] * many
    source = np.concatenate([items.source for items in batches])
    index = np.concatenate([items.index for items in batches])
    return [np.unique(index[source == of]) for of in range(many)]

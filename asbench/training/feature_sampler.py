"""The stream of items as features: every image is looked at once, then gathered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from asbench.nets.features import CELL, FeatureBatch, FeatureDetector, Features, cell_share
from asbench.training.sampler import Indices, stored_at
from synth_store import StoredSet, Stream
from synth_store.reader import Masks

SOME = 16
"""Masks that are in float32 at once."""
Look = Callable[[StoredSet, Sequence[int]], Features]
"""Gives the features of some samples of a set."""


class FeatureSampler:
    """Gives the batch of any training step as features, on the training device.

    normals: features of the normals that train, as the detector remembers them. Of the sets, whose
    order is the schedule's, `look` is asked for those samples that `steps` steps draw; all are held
    in memory.
    """

    def __init__(
        self,
        detector: FeatureDetector,
        normals: Features,
        look: Look,
        photograph_of: Mapping[int, int],
        sets: Sequence[StoredSet],
        schedule: Stream,
        batch: int,
        steps: int,
        indices: Indices = None,
    ) -> None:
        self.schedule, self.batch = schedule, batch
        device = normals.fine.device
        at = stored_at(schedule, indices)
        drawn = _drawn(schedule, batch, steps)
        squares = (side * CELL // detector.square for side in normals.fine.shape[1:3])
        features, shares = [normals], [torch.zeros((len(normals), *squares))]
        sources = [torch.tensor([photograph_of[int(i)] for i in at[0]])]
        self.place: list[dict[int, int]] = [{i: i for i in range(len(normals))}]
        """By source of the stream and index there, the place in the pool."""
        held = len(normals)
        for stored, of, chosen in zip(sets, at[1:], drawn[1:], strict=True):
            self.place.append(
                dict(zip(chosen.tolist(), range(held, held + len(chosen)), strict=True))
            )
            held += len(chosen)
            numbers = [int(of[i]) for i in chosen]
            features.append(look(stored, numbers))
            masks = Masks(stored)
            for begin in range(0, len(numbers), SOME):
                some = np.stack([masks[i] for i in numbers[begin : begin + SOME]])
                marked = torch.from_numpy(some)[:, None].float()
                shares.append(cell_share(marked, detector.square))
            on = [photograph_of.get(stored.source_of(i), -1) for i in numbers]
            sources.append(torch.tensor(on, dtype=torch.int64))
        self.features = Features.together(features)
        self.share = torch.cat(shares).to(device)
        self.source = torch.cat(sources).to(device)

    def batch_at(self, step: int) -> FeatureBatch:
        """Return the batch of a step; steps beyond those that were announced are not known."""
        items = self.schedule.batch_at(step, self.batch)
        pairs = zip(items.source.tolist(), items.index.tolist(), strict=True)
        at = torch.tensor([self.place[source][index] for source, index in pairs])
        at = at.to(self.share.device)
        return FeatureBatch(
            self.features.chosen(at),
            self.share.index_select(0, at),
            self.source[at],
        )


def _drawn(schedule: Stream, batch: int, steps: int) -> list[npt.NDArray[np.int64]]:
    """Return for each source, the normals first, which of its items `steps` steps draw, sorted."""
    batches = [schedule.batch_at(step, batch) for step in range(steps)]
    if not batches:  # a detector that remembers and trains nothing
        return [np.empty(0, np.int64)] * (len(schedule.sizes) + 1)
    source = np.concatenate([items.source for items in batches])
    index = np.concatenate([items.index for items in batches])
    return [np.unique(index[source == of]) for of in range(len(schedule.sizes) + 1)]

"""The stream of items as features: every image is looked at once, then gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from asbench.nets.features import (
    CELL,
    TOGETHER,
    FeatureBatch,
    FeatureDetector,
    Features,
    cell_share,
)
from asbench.training.sampler import Indices, stored_at
from synth_store import Normals, StoredSet, Stream
from synth_store.types import Image

SOME = 16
"""Images described at once."""
Counted = Callable[[int, int], None]
"""Told how many of how many images have been looked at."""


class FeatureSampler:
    """Gives the batch of any training step as features, on the training device.

    normals: features of the normals that train, as the detector remembers them. Of the sets, whose
    order is the schedule's, those samples are looked at that `steps` steps draw.
    """

    def __init__(
        self,
        detector: FeatureDetector,
        normals: Features,
        sets: Sequence[StoredSet],
        schedule: Stream,
        batch: int,
        steps: int,
        indices: Indices = None,
        seen: Counted | None = None,
    ) -> None:
        self.schedule, self.batch = schedule, batch
        device = normals.fine.device
        at = stored_at(schedule, indices)
        position = {int(stored): place for place, stored in enumerate(at[0])}
        drawn = _drawn(schedule, batch, steps)
        total, done = sum(len(of) for of in drawn[1:]), 0
        squares = (side * CELL // detector.square for side in normals.fine.shape[1:3])
        features, shares = [normals], [torch.zeros((len(normals), *squares))]
        sources = [torch.arange(len(normals))]
        self.place: list[dict[int, int]] = [{i: i for i in range(len(normals))}]
        """By source of the stream and index there, the place in the pool."""
        held = len(normals)
        for stored, of, chosen in zip(sets, at[1:], drawn[1:], strict=True):
            self.place.append(
                dict(zip(chosen.tolist(), range(held, held + len(chosen)), strict=True))
            )
            held += len(chosen)
            for begin in range(0, len(chosen), TOGETHER):
                numbers = [int(of[i]) for i in chosen[begin : begin + TOGETHER]]
                samples = [stored[i] for i in numbers]
                features.append(looked_at(detector, [sample.image for sample in samples]))
                masks = torch.from_numpy(np.stack([sample.mask for sample in samples]))
                shares.append(cell_share(masks[:, None].float(), detector.square))
                on = [position.get(stored.source_of(i), -1) for i in numbers]
                sources.append(torch.tensor(on))
                done += len(numbers)
                if seen is not None:
                    seen(done, total)
        self.features = Features.together(features)
        self.share = torch.cat(shares).to(device)
        self.source = torch.cat(sources).to(device)
        described = [
            detector.describe(self.features[i : i + SOME], self.source[i : i + SOME])
            for i in range(0, len(self.source), SOME)
        ]
        known = [part for part in described if part is not None]
        self.described = torch.cat(known) if known else None

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
            None if self.described is None else self.described.index_select(0, at),
        )


def looked_at(detector: FeatureDetector, images: Sequence[Image]) -> Features:
    """Return the features of up to `TOGETHER` images, uint8 (H, W, 3), on the detector's device.

    Fewer are filled up, so that an image's features are the same whatever stands beside it.
    """
    pixels = np.stack([*images, *[images[-1]] * (TOGETHER - len(images))])
    device = detector.get_buffer("kernel").device
    given = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    return detector.look(given)[: len(images)]


def features_of(
    detector: FeatureDetector,
    images: Normals,
    indices: Sequence[int],
    seen: Counted | None = None,
) -> Features:
    """Return the features of normals at these places, in their order."""
    parts = []
    for begin in range(0, len(indices), TOGETHER):
        some = indices[begin : begin + TOGETHER]
        parts.append(looked_at(detector, [images[i] for i in some]))
        if seen is not None:
            seen(begin + len(some), len(indices))
    return Features.together(parts)


def _drawn(schedule: Stream, batch: int, steps: int) -> list[npt.NDArray[np.int64]]:
    """Return for each source, the normals first, which of its items `steps` steps draw, sorted."""
    batches = [schedule.batch_at(step, batch) for step in range(steps)]
    source = np.concatenate([items.source for items in batches])
    index = np.concatenate([items.index for items in batches])
    return [np.unique(index[source == of]) for of in range(len(schedule.sizes) + 1)]

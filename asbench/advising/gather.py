"""The features that a trial looks at, from the store: some normals, and samples drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asbench.advising.trial import Shown, Trial
from asbench.data.tiling import Photograph, photographs
from asbench.evaluation.kept_normals import kept_photographs
from asbench.evaluation.testset import order_by_hash
from asbench.nets.features import cell_share
from asbench.nets.pretrained import Pretrained
from asbench.training.feature_store import FeatureStore
from synth_store import Normals, StoredSet
from synth_store.reader import Masks

KEPT = 1 / 3
"""The share of the photographs on which methods are judged: the most that may be kept out."""


@dataclass(frozen=True)
class Parts:
    """Which photographs teach, and which judge; all of those that are looked at."""

    taught: tuple[Photograph, ...]
    kept: tuple[Photograph, ...]

    @classmethod
    def of(cls, normals: Normals, most: int) -> Parts:
        """Choose at most so many photographs by a hash of their ids, and a third of them to judge.

        The first ones of the hash's order: those that a training keeps out for its threshold are
        among the first that judge.
        """
        whole = photographs(normals)
        kept = kept_photographs(whole, KEPT)
        order = order_by_hash([one.id for one in kept])
        judging = [kept[i] for i in sorted(order[: max(1, round(most * KEPT))])]
        rest = [one for one in whole if one not in kept]
        order = order_by_hash([one.id for one in rest])
        return cls(tuple(rest[i] for i in sorted(order[: most - len(judging)])), tuple(judging))


def trial_of(
    features: FeatureStore,
    normals: Normals,
    sets: Sequence[StoredSet],
    count: int,
    most: int,
    pretrained: Pretrained | None,
) -> Trial:
    """Return what is tried: at most `most` photographs, and of each set the first `count` samples.

    A sample that was drawn on a photograph that judges does not teach: it carries its pixels.
    """
    parts = Parts.of(normals, most)
    square = features.detector.square
    number = {i: place for place, one in enumerate(parts.taught) for i in one.normals}
    judging = {i for one in kept_photographs(photographs(normals), KEPT) for i in one.normals}

    def of_normals(chosen: Sequence[Photograph]) -> Shown:
        wanted = [i for one in chosen for i in one.normals]
        read = features.of(normals, wanted)
        share = torch.zeros((len(wanted), *(side * 8 // square for side in read.fine.shape[1:3])))
        return Shown(read, share, torch.tensor([number.get(i, -1) for i in wanted]))

    def of_samples(stored: StoredSet, wanted: Sequence[int]) -> Shown:
        masks = Masks(stored)
        marked = torch.from_numpy(np.stack([masks[i] for i in wanted]))[:, None].float()
        source = [number.get(stored.source_of(i), -1) for i in wanted]
        return Shown(features.of(stored, wanted), cell_share(marked, square), torch.tensor(source))

    samples = {}
    for stored in sets:
        some = range(min(count, stored.count))
        kept = [i for i in some if stored.source_of(i) in judging]
        if stored.clean is not None:
            kept = list(some[len(some) - round(len(some) * KEPT) :])
        taught = sorted({*some} - {*kept})
        samples[stored.key.method] = of_samples(stored, taught), of_samples(stored, kept)
    return Trial(of_normals(parts.taught), of_normals(parts.kept), samples, pretrained)

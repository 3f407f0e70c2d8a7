"""Which normals are kept out of training for the threshold: whole photographs, chosen by hash."""

from __future__ import annotations

from collections.abc import Sequence

from asbench.data.tiling import Photograph, photographs
from asbench.data.validation_part import kept_count
from asbench.evaluation.testset import order_by_hash
from synth_store import Normals


def kept_photographs(whole: Sequence[Photograph], share: float) -> list[Photograph]:
    """Return the photographs that are kept out of training, in the order in which they are given.

    whole: all of a category. Chosen by a hash of their ids, so that nobody chooses and every run of
    the same share keeps the same ones; how many, `kept_count` says.
    """
    order = order_by_hash([one.id for one in whole])
    return [whole[i] for i in sorted(order[: kept_count(len(whole), share)])]


def kept_normals(normals: Normals, share: float) -> list[int]:
    """Return the places of the normals that are kept out of training, in ascending order.

    Of tiles, all of a photograph or none: they overlap.
    """
    return [i for one in kept_photographs(photographs(normals), share) for i in one.normals]

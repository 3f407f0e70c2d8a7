"""The test images of several categories, scored by one detector: together and each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar, cast

import numpy as np

from asbench.evaluation.maps import Lazy, Map
from asbench.evaluation.score import TestScores
from asbench.results import Gallery, ImageRow
from asbench.results.joint import within

T = TypeVar("T")


def together(tested: Mapping[str, TestScores]) -> TestScores:
    """Return the scores of several categories as of one test set; those of one as they are.

    An image's id is then its category, a slash, and its own. sPRO is of all where all have it.
    """
    parts = list(tested.values())
    if len(parts) == 1:
        return parts[0]
    regions = [part.regions for part in parts if part.regions is not None]
    whole = len(regions) == len(parts)
    return TestScores(
        ids=[within(category, id) for category, part in tested.items() for id in part.ids],
        labels=[label for part in parts for label in part.labels],
        defects=[defect for part in parts for defect in part.defects],
        few_shot=[few for part in parts for few in part.few_shot],
        scores=np.concatenate([part.scores for part in parts]),
        maps=_chained([cast(Sequence[Map], part.maps) for part in parts]),
        masks=_chained([part.masks for part in parts]),
        regions=list(chain.from_iterable(regions)) if whole else None,
        unknown="; ".join(dict.fromkeys(part.unknown for part in parts if part.unknown)),
    )


def rows_within(category: str, rows: Sequence[ImageRow]) -> list[ImageRow]:
    """Return the rows of a category as a joint run has them."""
    return [replace(row, id=within(category, row.id)) for row in rows]


def galleries(by_category: Mapping[str, Gallery]) -> Gallery:
    """Return the galleries of several categories as one; that of one as it is."""
    parts = list(by_category.values())
    if len(parts) == 1:
        return parts[0]
    return Gallery(
        ids=tuple(within(c, id) for c, part in by_category.items() for id in part.ids),
        images=np.concatenate([part.images for part in parts]),
        masks=np.concatenate([part.masks for part in parts]),
        maps=np.concatenate([part.maps for part in parts]),
    )


def _chained(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """Return things of several sequences as of one; nothing is copied."""
    at = [(part, i) for part in parts for i in range(len(part))]

    def one(place: int) -> T:
        part, i = at[place]
        return part[i]

    return Lazy(len(at), one)

"""What no training ever sees, of stored sets and of normals: one rule each for all who use them."""

from __future__ import annotations

import math
from fractions import Fraction

from synth_store.types import UserError

VALIDATION_SHARE = Fraction(1, 10)
VALIDATION_MOST = 50
"""The last tenth of every set, at most 50 samples, is never trained on."""
KEPT_LEAST = 20
"""Normals kept out at least, where a third of all is as many: a share of false alarms seen on fewer
says next to nothing."""
KEPT_MOST = 0.5


def validation_part(count: int) -> range:
    """Return which of a set's `count` samples are kept back: its last ones."""
    return range(count - min(VALIDATION_MOST, int(count * VALIDATION_SHARE)), count)


def kept_count(normals: int, share: float) -> int:
    """Return how many of a category's normals are kept out of training for the threshold.

    The share, at least `KEPT_LEAST`, and at most a third unless the share is larger; none at share
    0, and none of fewer than three. Raises UserError for a share that is not in 0..`KEPT_MOST`.
    """
    if not 0 <= share <= KEPT_MOST:
        raise UserError(
            f"kept out {share:g} is impossible: give the share of normals that are kept out of "
            f"training for the threshold, from 0 to {KEPT_MOST:g}."
        )
    if not share:
        return 0
    wanted = max(round(share * normals), KEPT_LEAST)
    return min(wanted, math.floor(normals * max(share, 1 / 3)))

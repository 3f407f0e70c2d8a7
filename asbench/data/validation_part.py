"""The samples of a stored set that no training ever sees: one rule for all who use them."""

from __future__ import annotations

from fractions import Fraction

KEPT_BACK = Fraction(1, 10)
KEPT_BACK_AT_MOST = 50
"""The last tenth of every set, at most 50 samples, is never trained on."""


def kept_back(count: int) -> range:
    """Return which of a set's `count` samples are kept back: its last ones."""
    return range(count - min(KEPT_BACK_AT_MOST, int(count * KEPT_BACK)), count)

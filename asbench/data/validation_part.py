"""The samples of a stored set that no training ever sees: one rule for all who use them."""

from __future__ import annotations

from fractions import Fraction

VALIDATION_SHARE = Fraction(1, 10)
VALIDATION_MOST = 50
"""The last tenth of every set, at most 50 samples, is never trained on."""


def validation_part(count: int) -> range:
    """Return which of a set's `count` samples are kept back: its last ones."""
    return range(count - min(VALIDATION_MOST, int(count * VALIDATION_SHARE)), count)

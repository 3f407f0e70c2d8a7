"""Evidence of methods that were never tried, for tests of what is made of it."""

from __future__ import annotations

import numpy as np

from asbench.advising.evidence import Evidence


def made(count: int, seed: int = 0, trials: int = 2, each: int = 6) -> Evidence:
    """Return evidence of `count` methods, drawn at random: scores rise with a method's place."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(-1, count), [2 * each, *[each] * count])
    memory = rng.normal(of >= 0, 1, (trials, len(of)))
    head = rng.normal((of >= 0)[None, None] * np.arange(count)[None, :, None] / 2, 1)
    head = np.broadcast_to(head, (trials, count, len(of))) + rng.normal(
        0, 0.1, (trials, count, len(of))
    )
    return Evidence(
        methods=tuple(f"m{i:02}" for i in range(count)),
        of=of,
        memory=memory,
        head=head,
        both=head + memory[:, None],
        pixel=rng.uniform(0, 1, (trials, count, count)),
        unusual=rng.uniform(0.5, 12, count),
    )

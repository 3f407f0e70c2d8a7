"""What the bank of 512 attractors costs `fractal` in variety, against a new attractor a sample.

`python -m tests.benchmarks.variety`: some 10 CPU s. Two things can be lost. A new attractor may lie
further from the bank than from as many drawn anew: measured as the distance (1 - the share of
cells in common, on 32 x 32) from each of `QUERIES` to its nearest, under the square's eight
symmetries. And stamps repeat: of n samples, how many show one that an earlier sample has shown.
What follows the stamp (side, turn, thickening, colours, places) is drawn anew in either case.
"""

from __future__ import annotations

import numpy as np

from asbench.imaging import ifs

QUERIES = 200
SIDE = 32
SETS = (1_000, 10_000)


def rows() -> list[dict[str, float]]:
    """Return the mean distance to the nearest of the bank and of as many others, and repeats."""
    rng = np.random.default_rng(0)
    packed = ifs.bank()
    stored = [np.unpackbits(one, axis=1).view(np.bool_) for one in packed]
    queries, others = (
        [ifs.attractor(rng, ifs.BANK_SIDE) for _ in range(n)] for n in (QUERIES, len(packed))
    )
    asked = _flat(queries, symmetries=1)
    stamps = 8 * len(packed)
    row = {
        "to the bank": _nearest(asked, _flat(stored)),
        "to as many drawn anew": _nearest(asked, _flat(others)),
    }
    for n in SETS:
        row[f"repeats among {n}"] = 1 - stamps * (1 - (1 - 1 / stamps) ** n) / n
    return [row]


def _flat(stamps: list[np.ndarray], symmetries: int = 8) -> np.ndarray:
    """Return the stamps, turned and mirrored, as rows of 0 and 1: float32 (n, cells)."""
    turned = []
    for stamp in stamps:
        small = ifs.resample(np.ascontiguousarray(stamp), SIDE)
        for k in range(symmetries):
            side = small.T if k & 4 else small
            turned.append(side[:: -1 if k & 2 else 1, :: -1 if k & 1 else 1].ravel())
    return np.array(turned, np.float32)


def _nearest(asked: np.ndarray, offered: np.ndarray) -> float:
    """Return the mean over what is asked of 1 - the largest intersection over union."""
    common = asked @ offered.T
    either = asked.sum(1)[:, None] + offered.sum(1) - common
    return float((1 - (common / either).max(axis=1)).mean())


def main() -> None:
    for row in rows():
        for what, value in row.items():
            print(f"{what:28s} {value:.3f}")


if __name__ == "__main__":
    main()

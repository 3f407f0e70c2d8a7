"""Simplex noise in three dimensions, at given points alone, and its octaves.

Source: Perlin, Noise Hardware, in Real-Time Shading, SIGGRAPH 2002 courses; of its four corners per
point each counts (0.6 - r^2)^4 times its gradient's product with the offset. Written for arrays:
a point costs some sixty array operations, whatever the number of points.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

_GRADIENTS = np.array(
    [e for e in itertools.product((-1, 0, 1), repeat=3) if e.count(0) == 1], np.float32
)
"""The middles of a cube's twelve edges."""
_TABLE = 256
_SCALE = np.float32(32)
"""Brings the noise to about -1..1."""
WIDE, STRONG = np.float32(0.65), np.float32(0.68)
"""Cells per period and strength at which octaves are as wide and as strong as those of OpenSimplex,
the noise of published code: measured, its lattice is another."""


def noise(x: Float, y: Float, z: Float, table: npt.NDArray[np.integer]) -> Float:
    """Return simplex noise at points, float32 arrays of one shape: about -1..1, of that shape.

    table: a permutation of 0..255; the noise repeats after 256 cells along each axis.
    """
    skew = (x + y + z) / 3
    i, j, k = (np.floor(axis + skew) for axis in (x, y, z))
    back = (i + j + k) / 6
    u, v, w = x - i + back, y - j + back, z - k + back
    # The simplex: steps along the axes in the order of the offsets, the largest first.
    uv, uw, vw = u >= v, u >= w, v >= w
    rank = (
        uv.astype(np.int8) + uw,
        (~uv).astype(np.int8) + vw,
        (~uw).astype(np.int8) + ~vw,
    )
    base = [axis.astype(np.int32) for axis in (i, j, k)]
    total = np.zeros_like(x)
    for corner in range(4):
        steps = [(r >= 3 - corner) for r in rank]
        a, b, c = (cell + step & _TABLE - 1 for cell, step in zip(base, steps, strict=True))
        gradient = _GRADIENTS[table[(a + table[(b + table[c]) & 255]) & 255] % len(_GRADIENTS)]
        unskewed = np.float32(corner / 6)
        dx, dy, dz = (o - s + unskewed for o, s in zip((u, v, w), steps, strict=True))
        left = np.maximum(np.float32(0.6) - dx * dx - dy * dy - dz * dz, 0)
        left *= left
        along = gradient[..., 0] * dx + gradient[..., 1] * dy + gradient[..., 2] * dz
        total += left * left * along
    return np.asarray(total * _SCALE, np.float32)


def octaves(
    rows: npt.NDArray[np.integer],
    columns: npt.NDArray[np.integer],
    rng: np.random.Generator,
    *,
    period: float,
    count: int,
    persistence: float,
) -> Float:
    """Return octaves of simplex noise at pixels, in three channels that lie one apart: (n, 3).

    rows, columns: (n,) pixel positions. Octave o, of `count`, has the period `period` / 2^o pixels
    and the weight persistence^o, and its own random origin. At a persistence of 0.6 six of them
    have a standard deviation of 0.36.
    """
    table = rng.permutation(_TABLE)
    origins = rng.uniform(0, _TABLE, (count, 3)).astype(np.float32)
    places = np.broadcast_arrays(rows[:, None], columns[:, None], np.arange(3))
    total = np.zeros(places[0].shape, np.float32)
    for octave, origin in enumerate(origins):
        fine = WIDE * np.float32(2**octave / period)
        x, y, z = (place * fine + start for place, start in zip(places, origin, strict=True))
        total += STRONG * np.float32(persistence**octave) * noise(x, y, z, table)
    return total

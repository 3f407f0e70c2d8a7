"""Random iterated function systems, drawn as boolean stamps.

A system of n affine maps x -> A_k x + t_k, contracting on average, has one attractor: a fractal.
Source: Xia et al., FractalAD, arXiv 2301.12739; the sampling of the maps is that of Anderson and
Farrell, Improving Fractal Pre-training, WACV 2022.
"""

from __future__ import annotations

import functools
import heapq
import math
from dataclasses import dataclass
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.rng import address_rng
from synth_store.types import Mask

Floats = npt.NDArray[np.float64]

BANK_SIDE = 128
BANK_COUNT = 512
BANK_FILE = "ifs_bank.npz"
POINTS = 100_000
"""Points of one chaos game: fewer leave holes in the attractor at 128 x 128."""
PARTS = 50
"""Copies of itself of which an attractor is laid together."""
STEPS = 20
"""Steps of a game by the maps onto so many parts, each of which is many of the system's own."""


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Affine maps x -> A x + t: matrices float64 (n, 2, 2), shifts float64 (n, 2)."""

    matrices: Floats
    shifts: Floats


def singular_values(rng: np.random.Generator, maps: int = 2) -> Floats:
    """Draw the singular values of a system's maps: float64 (maps, 2), each row s1 >= s2 >= 0.

    The sum of s1 + 2 s2 over the maps is a draw from U((5 + n) / 2, (6 + n) / 2), n = maps, and
    no value exceeds 1: systems so drawn neither collapse to dust nor fill their square.
    """
    left = rng.uniform((5 + maps) / 2, (6 + maps) / 2)
    # What must be spent now, since every later map can take at most 3.
    due = left - 3 * maps + 3
    values = np.empty((maps, 2))
    for row in values[:-1]:
        first = rng.uniform(max(0.0, due / 3), min(1.0, left))
        due, left = due - first, left - first
        second = rng.uniform(max(0.0, due / 2), min(first, left / 2))
        due, left = due - 2 * second + 3, left - 2 * second
        row[:] = first, second
    second = rng.uniform(max(0.0, (left - 1) / 2), left / 3)
    values[-1] = left - 2 * second, second
    return values


def system(rng: np.random.Generator, maps: int = 2) -> System:
    """Draw a system: A = R1 diag(s1, s2) R2, t uniform in the square (-1, 1).

    R1 and R2 are rotations by U(-pi, pi) whose rows change sign by fair coins.
    """
    values = singular_values(rng, maps)
    turns = rng.uniform(-np.pi, np.pi, (2, maps))
    signs = rng.choice((-1.0, 1.0), (2, maps, 2, 1))
    cos, sin = np.cos(turns), np.sin(turns)
    rotations = np.stack([cos, -sin, sin, cos], axis=-1).reshape(2, maps, 2, 2) * signs
    matrices = rotations[0] * values[:, None, :] @ rotations[1]
    return System(matrices, rng.uniform(-1, 1, (maps, 2)))


def chaos_game(
    drawn: System, rng: np.random.Generator, points: int = POINTS, chains: int = 400
) -> Floats:
    """Return points of a system's attractor: float64 (2, points), points a multiple of chains.

    Every step sends each chain through a map drawn with probability |det A_k| / sum. All chains
    start at the fixed point of the first map, which lies on the attractor, so no step is wasted.
    Chains run side by side; at 400 by 250 steps they fill as many cells as one long chain does (to
    2 % on average), while chains of 50 steps do not reach all of a slowly contracting system.
    """
    maps, steps = len(drawn.matrices), points // chains
    areas = np.abs(np.linalg.det(drawn.matrices))
    limits = np.cumsum(areas / areas.sum())[:-1]
    drawn_at = rng.random((steps, 1, chains))
    # Of two maps the second, from the one limit on: a tenth of the cost of a search.
    two = len(limits) == 1
    choices = drawn_at >= limits if two else np.searchsorted(limits, drawn_at, side="right")
    # Where, among the images under all maps, each step finds those of the maps chosen.
    chosen = choices * (2 * chains) + np.arange(2 * chains).reshape(2, chains)
    start = np.linalg.solve(np.eye(2) - drawn.matrices[0], drawn.shifts[0])
    flat, shifts = drawn.matrices.reshape(2 * maps, 2), drawn.shifts.reshape(2 * maps, 1)
    visited = np.empty((steps, 2, chains))
    now = np.repeat(start[:, None], chains, axis=1)
    images = np.empty((2 * maps, chains))
    for after, places in zip(visited, chosen, strict=True):
        np.matmul(flat, now, out=images)
        images += shifts
        now = images.take(places, out=after, mode="clip")
    return visited.transpose(1, 0, 2).reshape(2, -1)


def refined(drawn: System, maps: int) -> System:
    """Return a system of `maps` maps or a few more that has the same attractor.

    Time and again the map of the largest |det A| gives way to itself after each of the system's
    own: the attractor's copies under all maps cover it, as before, and become alike in area. The
    map that contracts most comes first.
    """
    own = [(*A.ravel(), *t) for A, t in zip(drawn.matrices, drawn.shifts, strict=True)]
    own = [tuple(map(float, one)) for one in own]
    parts = [(-abs(a * d - b * c), (a, b, c, d, s, t)) for a, b, c, d, s, t in own]
    heapq.heapify(parts)
    while len(parts) < maps:
        _, (a, b, c, d, s, t) = heapq.heappop(parts)
        for e, f, g, h, u, v in own:
            p, q, r, w = a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
            both = (p, q, r, w, a * u + b * v + s, c * u + d * v + t)
            heapq.heappush(parts, (-abs(p * w - q * r), both))
    made = np.array([one for _, one in parts])
    made = made[np.argsort((made[:, :4] ** 2).sum(axis=1), kind="stable")]
    return System(made[:, :4].reshape(-1, 2, 2), made[:, 4:])


def laid_together(drawn: System, rng: np.random.Generator, count: int) -> Floats:
    """Return points of a system's attractor: float64 (2, points), `count` or up to 1000 more.

    The attractor is the union of its images under the maps of the system `refined`, of which a
    short chaos game gives points and the maps the rest: a long game is one step after the other.
    """
    fine = refined(drawn, PARTS)
    maps = len(fine.matrices)
    chains = math.ceil(count / (maps * STEPS))
    visited = np.ones((3, chains * STEPS))
    visited[:2] = chaos_game(fine, rng, chains * STEPS, chains)
    # Rows are first all maps' first coordinates, then their second; the third column is the shift.
    affine = np.concatenate([fine.matrices, fine.shifts[:, :, None]], axis=2)
    return (affine.swapaxes(0, 1).reshape(2 * maps, 3) @ visited).reshape(2, -1)


def plot(points: Floats, side: int) -> Mask:
    """Mark the cells of a side x side grid that hold points, the grid laid over their bounding box.

    The first coordinate runs down. Points in one place give one cell.
    """
    low = points.min(axis=1, keepdims=True)
    span = points.max(axis=1, keepdims=True) - low
    cells = points - low
    cells *= (side - 1) / np.where(span > 0, span, 1)
    row, column = cells.astype(np.intp)
    row *= side
    row += column
    marked = np.zeros(side * side, np.bool_)
    marked[row] = True
    return marked.reshape(side, side)


def attractor(rng: np.random.Generator, side: int, maps: int = 2) -> Mask:
    """Draw a system and mark its attractor: bool (side, side).

    Of as many points a cell as 100,000 are on 128 x 128, 25,000 at least.
    """
    count = max(POINTS // 4, round(POINTS * (side / BANK_SIDE) ** 2))
    return plot(laid_together(system(rng, maps), rng, count), side)


def thicken(fractal: Mask, rng: np.random.Generator) -> Mask:
    """Draw every point as one and the same stamp: a random subset of the 3 x 3 neighbourhood.

    Each of the nine places is kept with probability 1/2, so one result in 512 is empty.
    """
    kept = (rng.random((3, 3)) < 0.5).astype(np.uint8)
    if not kept.any():
        return np.zeros_like(fractal)
    return cv2.dilate(
        fractal.astype(np.uint8), kept, borderType=cv2.BORDER_CONSTANT, borderValue=0
    ).astype(np.bool_)


def resample(fractal: Mask, side: int) -> Mask:
    """Return an attractor on a side x side grid.

    Towards a smaller grid a cell is marked if a marked cell's centre falls in it, as if the points
    had been plotted there; towards a larger one cells are repeated.
    """
    old = len(fractal)
    if side > old:
        from_cell = np.arange(side) * old // side
        return fractal[from_cell[:, None], from_cell]
    to_cell = np.arange(old) * side // old
    marked = np.zeros(side * side, np.bool_)
    marked[(to_cell[:, None] * side + to_cell)[fractal]] = True
    return marked.reshape(side, side)


def bank_stamp(index: int) -> Mask:
    """Make stamp `index` of the bank anew: bool (128, 128). The bank is of long games."""
    rng = address_rng("ifs", index)
    return plot(chaos_game(system(rng), rng), BANK_SIDE)


def build_bank() -> npt.NDArray[np.uint8]:
    """Make the whole bank, a few seconds: uint8 (512, 128, 16), the bits of the rows packed.

    The shipped file is `np.savez_compressed(BANK_FILE, packed=build_bank())`.
    """
    stamps = [np.packbits(bank_stamp(index), axis=1) for index in range(BANK_COUNT)]
    return np.stack(stamps)


@functools.cache
def bank() -> npt.NDArray[np.uint8]:
    """Return the bank shipped with the package, as `build_bank` makes it; read once a process."""
    with files("asbench.imaging").joinpath(BANK_FILE).open("rb") as file, np.load(file) as stored:
        packed: npt.NDArray[np.uint8] = stored["packed"]
    packed.setflags(write=False)
    return packed


def from_bank(rng: np.random.Generator, side: int) -> Mask:
    """Draw an attractor from the bank, turned and mirrored at random: bool (side, side).

    The law of the systems does not change under the square's eight symmetries, so 512 stamps serve
    as 4096.
    """
    packed = bank()
    index, symmetry = rng.integers((len(packed), 8))
    fractal = np.unpackbits(packed[index], axis=1).view(np.bool_)
    fractal = fractal.T if symmetry & 4 else fractal
    fractal = fractal[:: -1 if symmetry & 2 else 1, :: -1 if symmetry & 1 else 1]
    return resample(np.ascontiguousarray(fractal), side)

"""Reliefs of many families (weaves, cracks, scales, wood, ...): the shapes of drawn textures.

A family draws a relief (float32 (side, side), 0..1) and, where it has parts of its own colour, a
second field in the same range that tells them apart. `imaging.textures` colours and lights it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Rng = np.random.Generator


class Relief(NamedTuple):
    """height: the relief, which light falls on; tone: what the palette colours. Both 0..1."""

    height: Field
    tone: Field


# -- fields ----------------------------------------------------------------------------------------


def stretch(field: npt.NDArray[np.floating]) -> Field:
    """Scale a field to 0..1; a constant one becomes 0."""
    low, high = float(field.min()), float(field.max())
    return ((field - low) / max(high - low, 1e-12)).astype(np.float32)


def spectrum(rng: Rng, side: int, slope: float, angle: float = 0.0, aspect: float = 1.0) -> Field:
    """Return noise whose amplitude falls as frequency^-slope: 0 is white, 2 is cloudy.

    aspect > 1 draws it out by that factor along `angle` (radians).
    """
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * aspect
    across = fy * np.cos(angle) - fx * np.sin(angle)
    frequency = np.sqrt(along**2 + across**2)
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-slope
    return stretch(np.fft.irfft2(waves, s=(side, side)))


def band(rng: Rng, side: int, period: float, width: float) -> Field:
    """Return noise of one scale: waves of about `period` pixels in all directions."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    gain = np.exp(-(((np.hypot(fy, fx) * period - 1) / width) ** 2))
    waves = np.fft.rfft2(rng.standard_normal((side, side))) * gain
    return stretch(np.fft.irfft2(waves, s=(side, side)))


def plane(rng: Rng, side: int, warp: float, turn: float | None = None) -> tuple[Field, Field]:
    """Return coordinates in pixels, rotated (at random, or by `turn`) and warped by `warp` pixels.

    Every pattern drawn on them inherits the rotation and the waviness.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32) - side / 2
    angle = rng.uniform(0, np.pi) if turn is None else turn
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    shifts = [(spectrum(rng, side, 2.2) - 0.5) * 2 * warp for _ in range(2)]
    return (across + shifts[0]).astype(np.float32), (along + shifts[1]).astype(np.float32)


def wave(phase: npt.NDArray[np.floating], sharpness: float) -> Field:
    """Return a wave of period 1 in 0..1: a sine at sharpness 1, nearly square at 10."""
    sine = np.sin(2 * np.pi * phase)
    return np.asarray(0.5 + 0.5 * np.tanh(sharpness * sine) / np.tanh(sharpness), np.float32)


def cells(
    points: npt.NDArray[np.floating], across: Field, along: Field
) -> tuple[Field, Field, npt.NDArray[np.intp]]:
    """Return the distances to the two nearest of `points` (n, 2), and which is nearest."""
    from scipy.spatial import cKDTree  # late: it takes as long to import as all else here

    query = np.stack((across.ravel(), along.ravel()), axis=1)
    distances, nearest = cKDTree(points).query(query, k=2)
    shape = across.shape
    first, second = (distances[:, i].reshape(shape).astype(np.float32) for i in (0, 1))
    return first, second, nearest[:, 0].reshape(shape)


def lattice(rng: Rng, side: int, period: float, disorder: float) -> npt.NDArray[np.float64]:
    """Return points (n, 2) of a hexagonal lattice, each moved by up to `disorder` periods."""
    reach = int(np.ceil(side / period)) + 2
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    columns += 0.5 * (rows % 2)
    points = np.stack((columns, rows * np.sqrt(0.75)), axis=-1).reshape(-1, 2)
    return (points + rng.uniform(-disorder, disorder, points.shape)) * period


# -- families --------------------------------------------------------------------------------------


def clouds(rng: Rng, side: int) -> Relief:
    field = spectrum(rng, side, rng.uniform(1.1, 2.0))
    return Relief(field, field)


def brushed(rng: Rng, side: int) -> Relief:
    field = spectrum(rng, side, rng.uniform(0.5, 1.1), rng.uniform(0, np.pi), rng.uniform(8, 60))
    return Relief(field, field)


def stripes(rng: Rng, side: int) -> Relief:
    across, _ = plane(rng, side, rng.choice([0, 8, 40]))
    phase = across / rng.uniform(14, 60)
    if rng.random() < 0.5:  # stripes of unequal width
        phase = phase + 0.35 * np.sin(2 * np.pi * phase / rng.uniform(2.3, 5))
    bands = wave(phase, rng.choice([1, 3, 12]))
    tint = rng.random(64).astype(np.float32)[np.floor(phase + 0.25).astype(int) % 64]
    return Relief(bands, stretch(bands + tint * rng.choice([0, 0.6])))


def zigzag(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.choice([0, 4]))
    period = rng.uniform(18, 44)
    teeth = np.abs((along / (period * rng.uniform(0.8, 2))) % 1 - 0.5) * rng.uniform(1, 2.5)
    field = wave(across / period + teeth, rng.choice([1.5, 8]))
    return Relief(field, field)


def checks(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.choice([0, 0, 15]))
    period, sharp = rng.uniform(24, 70), rng.choice([3, 15])
    a, b = wave(across / period, sharp), wave(along / period, sharp)
    if rng.random() < 0.5:
        return Relief(a * b + (1 - a) * (1 - b), stretch(a * b + (1 - a) * (1 - b)))
    fine = wave(across / period * 3, sharp) + wave(along / period * 3, sharp)
    return Relief(stretch(fine), stretch(a + 0.8 * b + 0.25 * fine))  # a tartan


def crystals(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 6))
    points = rng.uniform(-side, side, (int(rng.integers(150, 1500)), 2))
    first, second, nearest = cells(points, across, along)
    slopes = rng.normal(0, 1, (len(points), 2)).astype(np.float32)
    facets = across * slopes[nearest, 0] + along * slopes[nearest, 1]
    facets = facets - (points[nearest] * slopes[nearest]).sum(-1)
    shade = rng.random(len(points)).astype(np.float32)[nearest]
    rim = np.clip((second - first) / rng.uniform(1, 3), 0, 1)
    return Relief(stretch(facets), stretch(shade * rim + 0.01 * facets))


def cracks(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(10, 35))
    points = rng.uniform(-side, side, (int(rng.integers(60, 500)), 2))
    first, second, nearest = cells(points, across, along)
    uneven = 0.3 + spectrum(rng, side, 1.2)
    crack = np.clip((second - first) / (rng.uniform(3, 8) * uneven), 0, 1)
    shade = rng.random(len(points)).astype(np.float32)[nearest]
    surface = spectrum(rng, side, 1.0)
    tone = crack * (0.6 + 0.25 * surface + 0.15 * shade)
    return Relief(stretch(crack + 0.3 * surface), stretch(tone))


def bubbles(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, 0)
    points = rng.uniform(-side, side, (int(rng.integers(200, 1500)), 2))
    first, second, _ = cells(points, across, along)
    radius = np.maximum((first + second) / 2, 1e-3)
    dome = np.sqrt(np.clip(1 - (first / radius) ** 2, 0, 1))
    tone = 0.7 * dome + 0.5 * np.exp(-((first / radius - 0.45) ** 2) / 0.01)
    return Relief(stretch(dome), stretch(tone))


def dots(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.choice([0, 0, 12]))
    period = rng.uniform(16, 55)
    points = lattice(rng, side, period, rng.choice([0, 0, 0.25]))
    first, _, nearest = cells(points, across, along)
    radius = period * rng.uniform(0.2, 0.4) * rng.uniform(0.7, 1.1, len(points))[nearest]
    dot = np.clip(radius - first, 0, 1.5) / 1.5
    tint = rng.uniform(0.3, 1, len(points)).astype(np.float32)[nearest]
    dome = np.sqrt(np.clip(1 - (first / radius) ** 2, 0, 1)) * rng.choice([-1, 1])
    return Relief(stretch(dome), stretch(dot * tint))


def honeycomb(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 10))
    period = rng.uniform(18, 60)
    points = lattice(rng, side, period, rng.uniform(0, 0.15))
    first, second, nearest = cells(points, across, along)
    wall = np.clip((second - first) / (period * rng.uniform(0.1, 0.4)), 0, 1)
    tint = rng.random(len(points)).astype(np.float32)[nearest]
    return Relief(stretch(wall * rng.choice([-1, 1])), stretch(wall * (0.75 + 0.25 * tint)))


def wood(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(5, 20))
    centre, flat = rng.uniform(-150, 150, 2), rng.uniform(6, 20)
    rings = np.hypot(across - centre[0], (along - centre[1]) / flat)
    rings = rings / rng.uniform(8, 22) + 1.2 * spectrum(rng, side, 1.8)
    turn = rng.uniform(0, 0.01)
    fibre = spectrum(rng, side, 0.6, np.pi / 2 + turn, 40)
    grain = (rings % 1) ** rng.uniform(1, 4)
    return Relief(fibre, stretch(grain + 0.5 * fibre))


def marble(rng: Rng, side: int) -> Relief:
    across, _ = plane(rng, side, rng.uniform(10, 40))
    turbulence = spectrum(rng, side, rng.uniform(1.7, 2.1))
    phase = across / rng.uniform(60, 160) + rng.uniform(1.5, 4) * turbulence
    veins = np.abs(np.sin(np.pi * phase)) ** rng.uniform(0.2, 0.7)
    ground = spectrum(rng, side, rng.uniform(1.4, 1.9))
    return Relief(ground, stretch(veins + rng.uniform(0.3, 0.9) * ground))


def weave(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 6))
    period, step = rng.uniform(9, 36), int(rng.choice([1, 1, 2, 3]))
    a, b = across / period, along / period
    over = (
        ((np.floor(a) + np.floor(b) * step) % (step + 1)) < 1
        if step > 1
        else ((np.floor(a) + np.floor(b)) % 2 < 1)
    )
    gap = rng.uniform(0.75, 1.1)
    thread_a = np.sqrt(np.clip(1 - ((2 * (a % 1) - 1) / gap) ** 2, 0, 1))
    thread_b = np.sqrt(np.clip(1 - ((2 * (b % 1) - 1) / gap) ** 2, 0, 1))
    arch_a, arch_b = np.sin(np.pi * (b % 1)), np.sin(np.pi * (a % 1))
    height = np.where(over, thread_a * (0.5 + 0.5 * arch_a), thread_b * (0.5 + 0.5 * arch_b))
    dyed = rng.random(2)
    fibre = spectrum(rng, side, 0.5)
    tone = np.where(over, dyed[0], dyed[1]) * rng.choice([0, 1]) + height + 0.2 * fibre
    return Relief(stretch(height), stretch(tone))


def braid(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 5))
    period = rng.uniform(24, 64)
    column = np.floor(across / period)
    slant = np.abs((across / period) % 1 - 0.5) * rng.uniform(1.2, 3)
    loops = wave(along / period * rng.choice([1, 2]) + slant + 0.5 * (column % 2), 1)
    rope = np.sqrt(np.clip(1 - (2 * ((across / period) % 1) - 1) ** 2, 0, 1))
    field = stretch(rope * (0.4 + 0.6 * loops))
    return Relief(field, stretch(field + 0.25 * spectrum(rng, side, 0.7)))


def scratches(rng: Rng, side: int) -> Relief:
    canvas = np.zeros((side, side), np.float32)
    spread, main = rng.choice([0.1, 0.5, 3.2]), rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(60, 500))):
        start = rng.uniform(-0.2 * side, 1.2 * side, 2)
        angle, length = main + rng.normal(0, spread), rng.uniform(0.05, 0.8) * side
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        line = [tuple(int(v) for v in np.rint(p * 16)) for p in (start, end)]
        layer = float(rng.uniform(0.2, 1))
        cv2.line(canvas, line[0], line[1], layer, int(rng.choice([1, 1, 2, 3])), cv2.LINE_8, 4)
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 0.9)).astype(np.float32)
    return Relief(stretch(canvas), stretch(canvas + 0.4 * spectrum(rng, side, rng.uniform(1, 2))))


def grid(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.choice([0, 0, 10]))
    period, bar = rng.uniform(14, 50), rng.uniform(0.12, 0.4)
    lines = [np.abs(((c / period) % 1) - 0.5) < bar / 2 for c in (across, along)]
    mesh = cv2.GaussianBlur((lines[0] | lines[1]).astype(np.float32), (0, 0), 1.0)
    behind = spectrum(rng, side, rng.uniform(0.8, 2))
    return Relief(stretch(mesh), stretch(mesh + 0.4 * behind * (1 - mesh)))


def scales(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 8))
    period = rng.uniform(26, 60)
    a, b = across / period, along / period
    height, tone = np.zeros_like(a), np.zeros_like(a)
    for down in (2, 1, 0, -1, -2):  # each row of discs lies over the one below it
        row = np.floor(2 * b) + down
        shift = a + 0.5 * (row % 2)
        x, y = shift % 1 - 0.5, b - row / 2
        disc = x**2 + y**2 < 0.58**2
        tint = ((np.floor(shift) * 7 + row * 13) % 11) / 11
        height = np.where(disc, 0.6 + y - 0.6 * x**2, height).astype(np.float32)
        edge = np.clip((0.58 - np.hypot(x, y)) / 0.08, 0, 1)
        tone = np.where(disc, edge * (0.35 + 0.5 * y + 0.3 * tint), tone).astype(np.float32)
    return Relief(stretch(height), stretch(tone))


def spiral(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 50))
    centre = rng.uniform(-0.3, 0.3, 2) * side
    radius = np.hypot(across - centre[0], along - centre[1]) + 1
    angle = np.arctan2(along - centre[1], across - centre[0]) / (2 * np.pi)
    turns = radius / rng.uniform(18, 50) if rng.random() < 0.5 else 2.5 * np.log(radius)
    field = wave(turns + rng.integers(-4, 5) * angle, rng.choice([1, 4]))
    return Relief(field, field)


def labyrinth(rng: Rng, side: int) -> Relief:
    noise = band(rng, side, rng.uniform(9, 34), rng.uniform(0.12, 0.3)) - 0.5
    level = rng.choice([0.0, 0.08])  # at the mean worms, above it spots
    field = stretch(np.tanh(rng.choice([6, 40]) * (noise - level)))
    return Relief(field, field)


def stains(rng: Rng, side: int) -> Relief:
    field = spectrum(rng, side, rng.uniform(1.6, 2.2))
    levels = np.sort(rng.uniform(0.25, 0.75, int(rng.integers(2, 5))))
    steps = sum(1 / (1 + np.exp(-(field - level) * 120)) for level in levels)
    rim = sum(np.exp(-(((field - level) / 0.015) ** 2)) for level in levels)
    return Relief(field, stretch(steps + rng.uniform(0, 0.8) * rim + 0.3 * spectrum(rng, side, 1)))


def gravel(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(3, 10))
    height, tone = np.zeros_like(across), np.zeros_like(across)
    for count in (3000, 900, 250):
        points = rng.uniform(-side, side, (int(count * rng.uniform(0.5, 1.5)), 2))
        first, second, nearest = cells(points, across, along)
        stone = np.clip((second - first) / (second + first) * 1.6, 0, 1)
        kept = (rng.random(len(points)) < 0.55)[nearest] & (stone > 0.12)
        height = np.where(kept, stone, height).astype(np.float32)
        shade = rng.random(len(points)).astype(np.float32)[nearest]
        tone = np.where(kept, 0.3 + 0.7 * shade, tone).astype(np.float32)
    return Relief(stretch(np.sqrt(height)), stretch(tone + 0.2 * spectrum(rng, side, 0.6)))


def wrinkles(rng: Rng, side: int) -> Relief:
    field = np.zeros((side, side), np.float32)
    for octave, weight in enumerate((1.0, 0.5, 0.3)):
        noise = band(rng, side, rng.uniform(60, 120) / 2**octave, 0.5)
        field += weight * (1 - np.abs(2 * noise - 1)) ** rng.choice([3, 6])
    return Relief(stretch(field), stretch(field + 0.4 * spectrum(rng, side, 1.8)))


def bricks(rng: Rng, side: int) -> Relief:
    across, along = plane(rng, side, rng.uniform(0, 4), turn=float(rng.choice([0, np.pi / 4])))
    height, length = rng.uniform(16, 40), rng.uniform(1.6, 3)
    row = np.floor(along / height)
    x = across / (height * length) + 0.5 * (row % 2)
    edge = np.minimum(np.minimum(x % 1, 1 - x % 1) * length, 0.5 - np.abs(along / height % 1 - 0.5))
    stone = np.clip(edge / rng.uniform(0.05, 0.2), 0, 1)
    shade = rng.random(997).astype(np.float32)[(np.floor(x) * 31 + row * 17).astype(int) % 997]
    rough = spectrum(rng, side, 0.9)
    return Relief(stretch(stone + 0.3 * rough), stretch(stone * (0.5 + 0.5 * shade) + 0.2 * rough))


def speckle(rng: Rng, side: int) -> Relief:
    fine = spectrum(rng, side, rng.uniform(0.2, 0.9))
    flecks = cv2.GaussianBlur(
        (rng.random((side, side)) < rng.uniform(0.002, 0.02)).astype(np.float32),
        (0, 0),
        rng.uniform(0.8, 2.5),
    )
    field = stretch(flecks.astype(np.float32)) ** 0.5 + rng.uniform(0.2, 0.7) * fine
    return Relief(fine, stretch(field + 0.5 * spectrum(rng, side, 2.2)))


FAMILIES: tuple[Callable[[Rng, int], Relief], ...] = (
    clouds, brushed, stripes, zigzag, checks, crystals, cracks, bubbles, dots, honeycomb, wood,
    marble, weave, braid, scratches, grid, scales, spiral, labyrinth, stains, gravel, wrinkles,
    bricks, speckle,
)  # fmt: skip
"""Every family, in a fixed order."""

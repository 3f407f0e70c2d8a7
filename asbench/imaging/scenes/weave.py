"""A two-coloured 2/2 twill, seen from above: yarns as bent cylinders, one over the other.

Distances along the cloth are counted in yarns: `u` across the warp (vertical yarns), `v` across
the weft (horizontal ones). Flaws take yarns away, soil them or lay fibres on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from asbench.imaging.scenes.camera import (
    SIZE,
    Camera,
    Field,
    Radiance,
    grain,
    grid,
    lit,
    slopes,
    smooth_noise,
    step,
    tinted,
)
from asbench.imaging.scenes.strands import Path, Strands, lay, wander
from synth_store.types import Image, Mask

DEFECTS = ("broken_thread", "fibre", "hole", "stain")

_WARP = np.array([0.085, 0.135, 0.235], np.float32)
_WEFT = np.array([0.50, 0.46, 0.385], np.float32)
_BACKING = np.array([0.13, 0.12, 0.11], np.float32)
_YARNS = 96
"""Yarns of each direction that have properties of their own: more than an image shows."""
_PITCH = 8.2
_MIDDLE = _YARNS // 2


@dataclass(frozen=True, eq=False)
class _Yarns:
    """One direction of yarns: which one a pixel is on, where across it (-1..1), and its looks."""

    index: npt.NDArray[np.int32]
    number: Field
    across: Field
    width: Field
    tint: Field
    fuzz: Field


@dataclass(frozen=True, eq=False)
class _Cloth:
    u: Field
    v: Field
    warp: _Yarns
    weft: _Yarns
    shade: Field
    camera: Camera


@dataclass(frozen=True, eq=False)
class _Flaw:
    """What is wrong: the share of each yarn's width that is left, a stain, and loose fibres."""

    warp: Field | None = None
    weft: Field | None = None
    stain: Field | None = None
    stain_tint: npt.NDArray[np.float32] | None = None
    strands: tuple[Strands, ...] = ()


def draw(
    rng: np.random.Generator,
    defect: str | None = None,
    defect_rng: np.random.Generator | None = None,
) -> tuple[Image, Mask]:
    """Return a photograph of cloth and its defect's mask: uint8 (SIZE, SIZE, 3), bool (SIZE, SIZE).

    `rng` draws the cloth and the exposure, `defect_rng` the defect alone.
    """
    cloth = _cloth(rng)
    flawless = _render(cloth, _Flaw())
    if defect is None or defect_rng is None:
        return cloth.camera.photograph(flawless)
    flaw = partial(_FLAWS[defect], cloth, defect_rng)
    return cloth.camera.photograph(flawless, lambda: (_render(cloth, flaw()), None))


def _cloth(rng: np.random.Generator) -> _Cloth:
    x, y = grid()
    turn = math.radians(rng.normal(0, 1.5))
    cosine, sine = math.cos(turn), math.sin(turn)
    pitch = _PITCH * float(rng.normal(1, 0.012))
    sway = [smooth_noise(rng, 3) * 0.10 + smooth_noise(rng, 16) * 0.035 for _ in range(2)]
    start = rng.uniform(_MIDDLE, _MIDDLE + 1, 2).astype(np.float32)
    u = np.asarray((cosine * x + sine * y) / pitch + sway[0] + start[0], np.float32)
    v = np.asarray((cosine * y - sine * x) / pitch + sway[1] + start[1], np.float32)
    warp = _yarns(rng, u, grain(rng, 0.45, 2.2))
    weft = _yarns(rng, v, grain(rng, 2.2, 0.45))
    shade = np.asarray(1 + 0.03 * smooth_noise(rng, 4), np.float32)
    return _Cloth(u, v, warp, weft, shade, Camera.draw(rng, slant=0.55))


def _yarns(rng: np.random.Generator, place: Field, fuzz: Field) -> _Yarns:
    index = np.clip(place, 0, _YARNS - 1).astype(np.int32)
    number = index.astype(np.float32)
    dye = float(rng.normal(1, 0.05))
    shift, width, tint = (
        np.take(rng.normal(mean, spread, _YARNS).astype(np.float32), index, mode="clip")
        for mean, spread in ((-1, 0.06), (0.97, 0.06), (dye, 0.07))
    )
    across = (place - number) * 2 + shift
    return _Yarns(index, number, np.asarray(across, np.float32), width, tint, fuzz)


def _bulge(yarns: _Yarns, left: Field | None) -> tuple[Field, Field]:
    """Return the height of a yarn's round back over its middle line, and where the yarn is."""
    width = yarns.width if left is None else np.maximum(yarns.width * left, np.float32(1e-3))
    inside = 1 - np.square(yarns.across / width)
    back = np.sqrt(np.maximum(inside, 0))
    return np.asarray(back, np.float32), np.asarray(inside > 0)


def _twist(yarns: _Yarns, along: Field) -> Field:
    """Return the dark lines between a twisted yarn's plies, and its fuzz: about 0.7..1.3."""
    plies = np.sin(
        (along * np.float32(1.55) + yarns.across * np.float32(0.33)) * np.float32(2 * np.pi)
    )
    return np.asarray(yarns.tint * (1 + 0.10 * plies + 0.13 * yarns.fuzz), np.float32)


def _render(cloth: _Cloth, flaw: _Flaw) -> Radiance:
    """Return the cloth's radiance: the upper yarn at each pixel, shaded by its slope and depth."""
    quarter = np.float32(np.pi / 2)
    # A 2/2 twill floats over two yarns and dives under two: one period of a cosine in four yarns.
    warp_back, warp_there = _bulge(cloth.warp, flaw.warp)
    weft_back, weft_there = _bulge(cloth.weft, flaw.weft)
    warp = 0.62 * np.cos((cloth.warp.number - cloth.v) * quarter) + 0.85 * warp_back
    weft = -0.62 * np.cos((cloth.u - cloth.weft.number - 1) * quarter) + 0.85 * weft_back
    warp = np.where(warp_there, warp, np.float32(-1.3))
    weft = np.where(weft_there, weft, np.float32(-1.3))
    height = np.maximum(warp, weft)
    dx, dy = slopes(height * np.float32(0.36 * _PITCH))
    light = lit(dx, dy, cloth.camera.light)
    depth = step(-1.5, 1.15, height)
    upper = step(-0.12, 0.12, np.asarray(warp - weft, np.float32))
    cloth_there = step(-1.25, -0.9, height)
    colour = tinted(upper * cloth_there * _twist(cloth.warp, cloth.v), _WARP)
    colour += tinted((1 - upper) * cloth_there * _twist(cloth.weft, cloth.u), _WEFT)
    colour += tinted(1 - cloth_there, _BACKING)
    if flaw.stain is not None and flaw.stain_tint is not None:
        colour *= np.exp(tinted(flaw.stain, np.log(flaw.stain_tint)))
    colour *= (0.30 + 0.75 * light) * (0.22 + 0.95 * depth) * cloth.shade
    return lay(colour, flaw.strands, cloth.camera.light, 0.05)


def _centre(rng: np.random.Generator, margin: float) -> tuple[float, float]:
    x, y = rng.uniform(margin, SIZE - margin, 2)
    return float(x), float(y)


def _jagged(rng: np.random.Generator, level: float, spread: float) -> Field:
    """Return one random length per yarn: where each breaks off is its own affair."""
    return np.asarray(rng.normal(level, spread, _YARNS), np.float32)


def _remaining(beyond: Field) -> Field:
    """Return the share of width left `beyond` the break, in yarns (below 0 all is gone)."""
    return np.asarray(step(-0.1, 1.2, beyond) * 0.55 + step(-0.1, 0.1, beyond) * 0.45, np.float32)


def _broken_thread(cloth: _Cloth, rng: np.random.Generator) -> _Flaw:
    """One or two neighbouring yarns missing over a length, with frayed ends."""
    upright = bool(rng.integers(2))
    yarns, along = (cloth.warp, cloth.v) if upright else (cloth.weft, cloth.u)
    x, y = _centre(rng, 50)
    at = int(y), int(x)
    first, middle = int(yarns.index[at]), float(along[at])
    count = int(rng.choice([1, 1, 2]))
    half = float(rng.uniform(1.5, 10))
    reach = _jagged(rng, half, 0.35)[yarns.index]
    broken = (yarns.index >= first) & (yarns.index < first + count)
    left = np.where(broken, _remaining(np.abs(along - middle) - reach), 1)
    ends = []
    for sign in (-1, 1):
        for k in range(count):
            for _ in range(int(rng.integers(3, 6))):
                shift = (half * sign * 0.97 * _PITCH, (k + rng.normal(0, 0.12)) * _PITCH)
                start = (x + shift[1], y + shift[0]) if upright else (x + shift[0], y + shift[1])
                heading = (np.pi / 2 if upright else 0) + (np.pi if sign > 0 else 0)
                heading += rng.normal(0, 0.45)
                path = wander(rng, start, heading, float(rng.uniform(5, 16)), 1.6)
                ends.append(path)
    colour = (_WARP if upright else _WEFT) * np.float32(rng.uniform(0.9, 1.5))
    frayed = (Strands(tuple(ends), 0.7, colour, 1.0),)
    left = np.asarray(left, np.float32)
    return _Flaw(warp=left, strands=frayed) if upright else _Flaw(weft=left, strands=frayed)


def _hole(cloth: _Cloth, rng: np.random.Generator) -> _Flaw:
    """Yarns of both directions torn off around a point; the backing shows between frayed ends."""
    x, y = _centre(rng, 45)
    at = int(y), int(x)
    u0, v0 = float(cloth.u[at]), float(cloth.v[at])
    wide, tall = rng.uniform(0.9, 3.6) * np.exp(rng.normal(0, 0.25, 2))
    slant = rng.normal(0, 0.35)
    du = cloth.warp.number + 0.5 - u0
    dv = cloth.weft.number + 0.5 - v0
    # Per yarn the half length that is torn out: an ellipse's chord, frayed yarn by yarn.
    warp_chord = tall * np.sqrt(np.maximum(1 - np.square(du / wide), 0))
    weft_chord = wide * np.sqrt(np.maximum(1 - np.square(dv / tall), 0))
    warp_cut = warp_chord * _jagged(rng, 1, 0.22)[cloth.warp.index]
    weft_cut = weft_chord * _jagged(rng, 1, 0.22)[cloth.weft.index]
    warp_past = np.abs(cloth.v - v0 - slant * du) - warp_cut
    weft_past = np.abs(cloth.u - u0 - slant * dv) - weft_cut
    warp = np.where(warp_chord > 0, _remaining(np.asarray(warp_past, np.float32)), 1)
    weft = np.where(weft_chord > 0, _remaining(np.asarray(weft_past, np.float32)), 1)
    ends: tuple[list[Path], list[Path]] = ([], [])
    for _ in range(int(8 + 4 * (wide + tall))):
        around = float(rng.uniform(0, 2 * np.pi))
        rim = np.array([wide * np.cos(around), tall * np.sin(around)]) * _PITCH
        start = (float(x + rim[0]), float(y + rim[1]))
        heading = around + np.pi + float(rng.normal(0, 0.7))
        length = float(rng.uniform(0.3, 1.0) * np.hypot(*rim))
        ends[int(rng.integers(2))].append(wander(rng, start, heading, length, 1.8))
    frayed = [
        Strands(tuple(paths), 0.7, yarn * np.float32(rng.uniform(0.7, 1.1)), 1.0)
        for paths, yarn in zip(ends, (_WARP, _WEFT), strict=True)
    ]
    return _Flaw(np.asarray(warp, np.float32), np.asarray(weft, np.float32), strands=tuple(frayed))


def _stain(cloth: _Cloth, rng: np.random.Generator) -> _Flaw:
    """A dried liquid: it crept along the yarns, left a rim, and darkens what it soaked."""
    x, y = grid()
    cx, cy = np.array(_centre(rng, 60)) - SIZE / 2
    radius = float(rng.uniform(10, 46))
    edge = 0.16 * smooth_noise(rng, 9) + 0.07 * smooth_noise(rng, 30)
    # Each yarn drew the liquid a little further or less far than its neighbour.
    creep = rng.normal(0, 0.055, (2, _YARNS)).astype(np.float32)
    edge += creep[0][cloth.warp.index] + creep[1][cloth.weft.index]
    stretch = np.exp(rng.normal(0, 0.2))
    far = np.hypot((x - cx) * stretch, (y - cy) / stretch) / np.float32(radius) + edge
    far = np.asarray(far, np.float32)
    inside = step(1.06, 0.92, far)
    rim = step(0.70, 0.97, far) * inside
    soak = inside * (0.55 + 0.12 * smooth_noise(rng, 7)) + float(rng.uniform(0.1, 0.6)) * rim
    tints = ([0.42, 0.30, 0.16], [0.50, 0.47, 0.36], [0.26, 0.24, 0.24], [0.62, 0.30, 0.28])
    tint = np.array(tints[int(rng.integers(len(tints)))], np.float32)
    strength = float(rng.uniform(0.22, 1.2))
    return _Flaw(stain=np.asarray(soak * strength, np.float32), stain_tint=tint)


def _fibre(cloth: _Cloth, rng: np.random.Generator) -> _Flaw:
    """A hair, a thread end or a tuft of lint lying on the cloth."""
    del cloth
    palette = ([0.012, 0.010, 0.009], [0.75, 0.73, 0.70], [0.42, 0.035, 0.03], [0.30, 0.19, 0.06])
    colour = np.array(palette[int(rng.integers(len(palette)))], np.float32)
    start = _centre(rng, 70)
    heading = float(rng.uniform(0, 2 * np.pi))
    if rng.uniform() < 0.3:
        tuft = tuple(
            wander(rng, start, heading + rng.normal(0, 1.6), rng.uniform(15, 40), 5)
            for _ in range(int(rng.integers(5, 10)))
        )
        return _Flaw(strands=(Strands(tuft, 0.7, colour, 2.0),))
    path = wander(rng, start, heading, float(rng.uniform(45, 170)), float(rng.uniform(1.5, 5)))
    return _Flaw(strands=(Strands((path,), float(rng.uniform(0.6, 2.2)), colour, 2.0),))


_FLAWS = {"broken_thread": _broken_thread, "fibre": _fibre, "hole": _hole, "stain": _stain}

"""A printed two-part gelatin capsule on a belt, under a soft box; it lies at any angle.

The flaws live on the capsule's unrolled skin, a raster of `s` (along the axis) by arc length
(around it), and are wrapped onto the body before it is lit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from asbench.imaging.scenes.camera import (
    SIZE,
    Camera,
    Field,
    Radiance,
    grain,
    grid,
    lit,
    mix,
    slopes,
    smooth_noise,
    step,
    tinted,
)
from asbench.imaging.scenes.lettering import letters
from asbench.imaging.scenes.strands import Path, wander
from synth_store.types import Image, Mask

DEFECTS = ("crack", "dent", "dirt", "print")

_CAP = (0.40, 0.022, 0.020)
_BODY = (0.72, 0.62, 0.43)
_INK = (0.020, 0.020, 0.026)
_BELT = (0.150, 0.185, 0.195)
_RADIUS = 51.0
_HALF = 79.0
"""Half the length of the straight part."""
_SEAM = -5.0
"""Where along the axis the cap ends and the narrower body comes out."""
_FINE = 2
"""Skin pixels per image pixel."""
_SKIN = (2 * 96 * _FINE, 2 * 138 * _FINE)
"""Rows (arc) and columns (s) of the skin raster."""
_TEXTS = (("ASB", 43.0), ("250", -50.0))


@dataclass(frozen=True, eq=False)
class _Pill:
    """Where a capsule lies and how it looks; s, t: each pixel's place along and across its axis."""

    s: Field
    t: Field
    axis: tuple[float, float]
    roll: float
    ink: float
    belt: Field
    mottle: Field
    camera: Camera


@dataclass(frozen=True, eq=False)
class _Flaw:
    """What is wrong on the skin: height (image pixels), dirt and its colour, or another print."""

    height: Field | None = None
    dirt: Field | None = None
    dirt_colour: tuple[float, float, float] = (0, 0, 0)
    ink: Field | None = None
    shape: Field | None = None
    """Where the skin is out of shape, above 0.5; None where the visible change says it."""


def draw(
    rng: np.random.Generator,
    defect: str | None = None,
    defect_rng: np.random.Generator | None = None,
) -> tuple[Image, Mask]:
    """Return a photograph of a capsule and its defect's mask: uint8 (SIZE, SIZE, 3), bool.

    `rng` draws the capsule and the exposure, `defect_rng` the defect alone.
    """
    pill = _pill(rng)
    flawless = _render(pill, _Flaw())
    if defect is None or defect_rng is None:
        return pill.camera.photograph(flawless)
    flaw = partial(_FLAWS[defect], pill, defect_rng)

    def flawed() -> tuple[Radiance, Mask | None]:
        drawn = flaw()
        return _render(pill, drawn), _shape(pill, drawn)

    return pill.camera.photograph(flawless, flawed)


def _pill(rng: np.random.Generator) -> _Pill:
    x, y = grid()
    turn = float(rng.uniform(0, 2 * np.pi))
    axis = math.cos(turn), math.sin(turn)
    dx, dy = (float(v) for v in rng.normal(0, 7, 2))
    scale = 1 / float(rng.normal(1, 0.008))
    s = np.asarray(((x - dx) * axis[0] + (y - dy) * axis[1]) * scale, np.float32)
    t = np.asarray(((y - dy) * axis[0] - (x - dx) * axis[1]) * scale, np.float32)
    belt = np.asarray(0.5 * grain(rng, 0.8, 0.8) + 0.25 * smooth_noise(rng, 40), np.float32)
    mottle = smooth_noise(rng, 12)
    roll = float(rng.normal(0, 0.2))
    ink = float(rng.uniform(0.78, 0.95))
    return _Pill(s, t, axis, roll, ink, belt, mottle, Camera.draw(rng, slant=0.5))


def _render(pill: _Pill, flaw: _Flaw) -> Radiance:
    """Return the radiance: belt with the capsule's shadow, and the capsule over it."""
    on_cap = step(_SEAM - 0.6, _SEAM + 0.6, pill.s)
    radius = (0.955 + 0.045 * on_cap) * np.float32(_RADIUS)
    ns = (pill.s - np.clip(pill.s, -_HALF - 0.02 * _RADIUS, _HALF)) / radius
    nt = pill.t / radius
    across = np.sqrt(ns * ns + nt * nt)
    there = step(1 + 0.7 / _RADIUS, 1 - 0.7 / _RADIUS, across)
    nz = cv2.sqrt(np.maximum(1 - across * across, 1e-4))
    ring = (pill.s - (_SEAM + 17)) / np.float32(2.6)
    ns = ns - 0.20 * ring * cv2.exp(-ring * ring) * on_cap
    columns, rows = _unroll(pill, nt)
    if flaw.height is not None:
        hs, ha = slopes(flaw.height * np.float32(_FINE))
        hs, ha = _wrap(hs, columns, rows), _wrap(ha, columns, rows)
        ns, nt, nz = ns - hs, nt - ha * nz, nz + ha * nt
    size = 1 / cv2.sqrt(ns * ns + nt * nt + nz * nz)
    ns, nt, nz = ns * size, nt * size, nz * size
    skin = _skin(pill, flaw, on_cap, columns, rows)
    body = _gloss(pill, skin, (ns, nt, nz), across)
    # The cap's rim stands proud of the body: it shades it and catches the light.
    under_rim = step(_SEAM - 7, _SEAM, pill.s) * (1 - on_cap)
    body *= 1 - 0.28 * under_rim
    return mix(_ground(pill, there), body, there)


def _unroll(pill: _Pill, nt: Field) -> tuple[Field, Field]:
    """Return each pixel's column and row on the skin raster."""
    arc = np.arcsin(np.clip(nt, -1, 1)) + np.float32(pill.roll)
    columns = pill.s * _FINE + np.float32(_SKIN[1] / 2)
    rows = arc * np.float32(_RADIUS * _FINE) + np.float32(_SKIN[0] / 2)
    return np.asarray(columns, np.float32), np.asarray(rows, np.float32)


def _wrap(skin: Field, columns: Field, rows: Field) -> Field:
    return np.asarray(cv2.remap(skin, columns, rows, cv2.INTER_LINEAR), np.float32)


def _shape(pill: _Pill, flaw: _Flaw) -> Mask | None:
    """Return a flaw's shape as the camera sees it."""
    if flaw.shape is None:
        return None
    nt = np.asarray(pill.t / np.float32(_RADIUS), np.float32)
    shown = _wrap(flaw.shape, *_unroll(pill, nt)) > 0.5
    return np.asarray(shown & (np.abs(nt) < 0.94), np.bool_)


def _skin(pill: _Pill, flaw: _Flaw, on_cap: Field, columns: Field, rows: Field) -> Radiance:
    """Return the skin's own colour at every pixel: gelatin, ink and dirt."""
    tone = 1 + 0.012 * pill.mottle
    # Where the body reaches under the cap the two layers look a little deeper.
    double = 1 - 0.10 * on_cap * step(_HALF - 22, _HALF - 24, pill.s)
    colour = tinted(on_cap * tone * double, _CAP) + tinted((1 - on_cap) * tone, _BODY)
    ink = _print_layer(_TEXTS) if flaw.ink is None else flaw.ink
    inked = _wrap(ink, columns, rows) * np.float32(pill.ink)
    colour = mix(colour * (1 - inked), _INK, inked * (1 - on_cap)) + tinted(
        inked * on_cap, (0.70, 0.66, 0.60)
    )
    if flaw.dirt is not None:
        colour = mix(colour, flaw.dirt_colour, _wrap(flaw.dirt, columns, rows))
    return colour


def _gloss(
    pill: _Pill, skin: Radiance, normal: tuple[Field, Field, Field], across: Field
) -> Radiance:
    """Return glossy gelatin's radiance: soft diffuse light, two soft boxes, a bright rim."""
    ns, nt, nz = normal
    nx = pill.axis[0] * ns - pill.axis[1] * nt
    ny = pill.axis[1] * ns + pill.axis[0] * nt
    lx, ly, lz = pill.camera.light
    facing = nx * lx + ny * ly + nz * lz
    diffuse = 0.26 + 0.10 * nz + 0.72 * np.maximum(0.82 * facing + 0.18, 0)
    # The mirrored view's direction tells which lamp a point of the skin shows.
    rx, ry = 2 * nz * nx, 2 * nz * ny
    norm = math.hypot(lx, ly)
    ax, ay = lx / norm, ly / norm
    along, aside = rx * ax + ry * ay, ry * ax - rx * ay
    up = step(-0.1, 0.3, 2 * nz * nz - 1)
    key = step(0.42, 0.52, along) * step(0.86, 0.76, along) * step(0.62, 0.46, np.abs(aside)) * up
    fill = step(-0.62, -0.82, along) * step(-0.99, -0.86, along) * step(0.5, 0.3, np.abs(aside))
    fresnel = np.power(1 - np.clip(nz, 0, 1), 4)
    glare = 0.62 * key + 0.05 * fill + 0.10 * fresnel * (0.6 + 0.4 * facing)
    edge = 1 - 0.35 * step(0.80, 1.0, across)
    shaded = np.multiply(skin, diffuse * edge)
    shaded += glare
    return shaded


def _ground(pill: _Pill, there: Field) -> Radiance:
    """Return the belt: a pebbled rubber, darker where the capsule keeps the light away."""
    dx, dy = slopes(pill.belt)
    pebbles = lit(dx, dy, pill.camera.light) * (1 + 0.04 * pill.belt)
    lx, ly, lz = pill.camera.light
    small = cv2.resize(there, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    reach = 0.25 * 0.62 * _RADIUS / lz
    move = np.array([[1, 0, -lx * reach], [0, 1, -ly * reach]])
    cast = cv2.warpAffine(small, move, small.shape[::-1], flags=cv2.INTER_LINEAR)
    cast = cv2.GaussianBlur(cast, (0, 0), 2.6)
    contact = cv2.GaussianBlur(small, (0, 0), 1.6)
    dim = cv2.resize(
        (1 - 0.62 * cast) * (1 - 0.45 * contact), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    return tinted(np.asarray(pebbles * dim, np.float32), _BELT)


def _place(s: float, arc: float) -> tuple[float, float]:
    """Return the skin raster's column and row of a point on the skin (image pixels)."""
    return s * _FINE + _SKIN[1] / 2, arc * _FINE + _SKIN[0] / 2


def _lines(paths: Sequence[Path], width: float, soft: float) -> Field:
    """Return lines (in raster pixels) drawn on the skin: float32, 0..1."""
    layer = np.zeros(_SKIN, np.uint8)
    points = [np.round(path * 16).astype(np.int32) for path in paths]
    cv2.polylines(layer, points, False, 255, max(round(width), 1), cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(layer, (0, 0), soft) if soft else layer
    return np.asarray(blurred, np.float32) * np.float32(1 / 255)


def _print_layer(texts: Sequence[tuple[str, float]]) -> Field:
    """Return the ink of both imprints on the skin."""
    strokes = [
        stroke
        for text, s in texts
        for glyph in letters(text, *_place(s, 0), 25.0 * _FINE)
        for stroke in glyph
    ]
    return _lines(strokes, 3.5 * _FINE, 0.8)


def _spot(pill: _Pill, rng: np.random.Generator, spread_s: float = 78) -> tuple[float, float]:
    """Return a place on the visible side of the skin: s and arc length."""
    s = float(rng.uniform(-spread_s, spread_s))
    arc = (float(rng.uniform(-0.85, 0.85)) + pill.roll) * _RADIUS
    return s, arc


def _jagged(rng: np.random.Generator, path: Path) -> Path:
    """Return a path broken into short straight pieces, as brittle things part."""
    corners = path[:: max(min(4, len(path) // 3), 1)]
    return np.asarray(corners + rng.normal(0, 2.2, corners.shape), np.float32)


def _crack(pill: _Pill, rng: np.random.Generator) -> _Flaw:
    """A jagged split with a branch or two; its lips stand up and its ground is dark."""
    column, row = _place(*_spot(pill, rng, 60))
    heading = float(rng.uniform(0, 2 * np.pi))
    length = float(rng.uniform(28, 105)) * _FINE
    main = _jagged(rng, wander(rng, (column, row), heading, length, 1.0))
    paths = [main]
    for _ in range(int(rng.integers(0, 3))):
        root = main[int(rng.integers(len(main) // 4, len(main)))]
        side = heading + float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.1))
        reach = length * float(rng.uniform(0.2, 0.45))
        paths.append(_jagged(rng, wander(rng, (float(root[0]), float(root[1])), side, reach, 0.8)))
    width = float(rng.uniform(2.4, 7.5))
    colour = ((0.045, 0.028, 0.024), (0.78, 0.74, 0.66))[int(rng.integers(2))]
    split = _lines(paths, width, 0.7)
    lips = 0.55 * _lines(paths, width + 5, 2.4) - 0.7 * _lines(paths, width, 1.6)
    dark = 0.9 * np.minimum(split * 1.2, 1)
    return _Flaw(
        height=np.asarray(lips, np.float32),
        dirt=np.asarray(dark, np.float32),
        dirt_colour=colour,
    )


def _skin_grid() -> tuple[Field, Field]:
    rows, columns = np.indices(_SKIN, np.float32)
    return columns, rows


def _dent(pill: _Pill, rng: np.random.Generator) -> _Flaw:
    """The wall pressed in: a flat-bottomed hollow with a crease on its edge."""
    columns, rows = _skin_grid()
    column, row = _place(*_spot(pill, rng, 66))
    radius = float(rng.uniform(12, 32)) * _FINE
    turn, stretch = float(rng.uniform(0, np.pi)), math.exp(float(rng.normal(0, 0.25)))
    a = ((columns - column) * math.cos(turn) + (rows - row) * math.sin(turn)) * stretch
    b = ((rows - row) * math.cos(turn) - (columns - column) * math.sin(turn)) / stretch
    wobble = smooth_noise(rng, 8, max(_SKIN))[: _SKIN[0], : _SKIN[1]]
    far = np.hypot(a, b) / np.float32(radius) + 0.07 * wobble
    depth = float(rng.uniform(0.14, 0.34)) * radius / _FINE
    hollow = -depth * step(1.0, 0.25, far) + 0.12 * depth * np.exp(-np.square((far - 1.02) / 0.10))
    return _Flaw(height=np.asarray(hollow, np.float32), shape=step(0.80, 0.75, far))


def _dirt(pill: _Pill, rng: np.random.Generator) -> _Flaw:
    """Specks of charred gelatin, or a greasy thumb's smear."""
    columns, rows = _skin_grid()
    column, row = _place(*_spot(pill, rng, 70))
    rough = smooth_noise(rng, 40, max(_SKIN))[: _SKIN[0], : _SKIN[1]]
    dirt = np.zeros(_SKIN, np.float32)
    if rng.uniform() < 0.6:
        for _ in range(int(rng.integers(2, 9))):
            at = np.array([column, row]) + rng.normal(0, 13 * _FINE, 2)
            size = float(rng.uniform(1.8, 9.0)) * _FINE
            far = np.hypot(columns - np.float32(at[0]), rows - np.float32(at[1])) / np.float32(size)
            dirt = np.maximum(dirt, step(1.15, 0.75, far + 0.25 * rough))
        colour = ((0.015, 0.012, 0.010), (0.10, 0.045, 0.015))[int(rng.integers(2))]
        return _Flaw(dirt=np.asarray(0.95 * dirt, np.float32), dirt_colour=colour)
    turn = float(rng.uniform(0, np.pi))
    along = (columns - column) * math.cos(turn) + (rows - row) * math.sin(turn)
    aside = (rows - row) * math.cos(turn) - (columns - column) * math.sin(turn)
    long, wide = float(rng.uniform(22, 48)) * _FINE, float(rng.uniform(11, 24)) * _FINE
    far = np.hypot(along / np.float32(long), aside / np.float32(wide))
    streaks = cv2.GaussianBlur(rng.standard_normal(_SKIN, dtype=np.float32), (0, 0), 2.5) * 8
    dirt = step(1.1, 0.3, far + 0.12 * rough) * np.clip(0.6 + 0.3 * streaks, 0, 1)
    strength = float(rng.uniform(0.45, 0.9))
    return _Flaw(dirt=np.asarray(strength * dirt, np.float32), dirt_colour=(0.17, 0.13, 0.09))


def _print(pill: _Pill, rng: np.random.Generator) -> _Flaw:
    """A letter not printed, an imprint that slipped while wet, or one the pad hardly touched."""
    del pill
    which = int(rng.integers(2))
    kind = int(rng.integers(3))
    (text, s), other = _TEXTS[which], _TEXTS[1 - which]
    if kind == 0:
        lost = int(rng.integers(3))
        count = int(rng.integers(1, 3))
        kept = "".join(" " if lost <= k < lost + count else c for k, c in enumerate(text))
        return _Flaw(ink=_print_layer(((kept, s), other)))
    inked, rest = _print_layer(((text, s),)), _print_layer((other,))
    if kind == 1:
        shift = float(rng.choice([-1, 1]) * rng.uniform(3, 9)) * _FINE
        drag = np.zeros_like(inked)
        for part in np.linspace(0.15, 1, 8):
            move = np.array([[1, 0, 0.2 * shift * part], [0, 1, shift * part]])
            moved = cv2.warpAffine(inked, move, _SKIN[::-1], flags=cv2.INTER_LINEAR)
            drag = np.maximum(drag, np.asarray(moved * (0.85 - 0.5 * part), np.float32))
        return _Flaw(ink=np.maximum(np.maximum(inked, drag), rest))
    worn = smooth_noise(rng, 26, max(_SKIN))[: _SKIN[0], : _SKIN[1]]
    columns, _ = _skin_grid()
    edge = (columns - _place(s, 0)[0]) * float(rng.choice([-1, 1]) / (18 * _FINE))
    left = step(-0.5, 0.3, edge + 0.5 * worn)
    return _Flaw(ink=np.maximum(inked * left, rest))


_FLAWS = {"crack": _crack, "dent": _dent, "dirt": _dirt, "print": _print}

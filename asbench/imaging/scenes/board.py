"""A populated circuit board under the inspection camera, nearly but never quite aligned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.scenes import circuit
from asbench.imaging.scenes.camera import (
    SIZE,
    Camera,
    Field,
    Radiance,
    grain,
    lit,
    mix,
    slopes,
    smooth_noise,
    step,
    tinted,
)
from asbench.imaging.scenes.circuit import CHIP, FINE, HEADER, PARTS, PIN_PITCH, SIDE, Part, Raster
from asbench.imaging.scenes.strands import cover, wander
from synth_store.types import Image, Mask

DEFECTS = ("misprint", "missing_part", "scratch", "solder")

_LAMINATE = (0.012, 0.085, 0.040)
_OVER_COPPER = (0.026, 0.170, 0.066)
_COPPER = (0.62, 0.36, 0.19)
_FIBREGLASS = (0.42, 0.42, 0.28)
_TIN = (0.60, 0.60, 0.58)
_GOLD = (0.72, 0.50, 0.17)
_SILK = (0.80, 0.81, 0.78)
_CHIP_BODY = (0.020, 0.021, 0.023)
_BODIES = {"r": (0.016, 0.016, 0.018), "c": (0.36, 0.215, 0.115)}
_CODES = {"R1": "103", "R2": "472", "R3": "103", "R4": "220", "R5": "151", "R6": "472", "R7": "103"}


@dataclass(frozen=True, eq=False)
class _Board:
    """How one board is placed and built; `offsets` (x, y, turn) and tones of every part."""

    pose: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    tones: npt.NDArray[np.float64]
    glass: Field
    rough: Field
    cloud: Field
    camera: Camera


@dataclass(frozen=True, eq=False)
class _Flaw:
    """What is wrong: the parts left out, another silk screen, solder spilt, the mask scratched.

    silk, solder: uint8 rasters; scratch: float32 (SIZE, SIZE), 0 intact .. 1 down to the copper.
    """

    missing: frozenset[int] = frozenset()
    silk: Raster | None = None
    solder: Raster | None = None
    scratch: Field | None = None


@dataclass(frozen=True, eq=False)
class _Seen:
    """All parts: root of their colour (3, SIZE, SIZE); cover, height, bare metal, printed marks."""

    tone: Radiance
    there: Field
    height: Field
    metal: Field
    marks: Field


def draw(
    rng: np.random.Generator,
    defect: str | None = None,
    defect_rng: np.random.Generator | None = None,
) -> tuple[Image, Mask]:
    """Return a photograph of a board and its defect's mask: uint8 (SIZE, SIZE, 3), bool.

    `rng` draws the board and the exposure, `defect_rng` the defect alone.
    """
    board = _board(rng)
    flawless = _render(board, _Flaw())
    if defect is None or defect_rng is None:
        return board.camera.photograph(flawless)
    flaw = partial(_FLAWS[defect], board, defect_rng)
    return board.camera.photograph(flawless, lambda: (_render(board, flaw()), None))


def _board(rng: np.random.Generator) -> _Board:
    turn, scale = math.radians(rng.normal(0, 0.9)), float(rng.normal(1, 0.004)) / FINE
    a, b = scale * math.cos(turn), scale * math.sin(turn)
    shift = rng.normal((SIZE - 1) / 2, 1.8, 2)
    half = SIDE / 2
    pose = np.array([[a, -b, shift[0] - (a - b) * half], [b, a, shift[1] - (a + b) * half]])
    offsets = rng.normal(0, [0.55, 0.55, 0.022], (len(PARTS), 3))
    tones = rng.normal(1, 0.07, len(PARTS))
    glass = grain(rng, 0.9, 0.9)
    rough = grain(rng, 0.7, 0.7)
    return _Board(pose, offsets, tones, glass, rough, smooth_noise(rng, 5), Camera.draw(rng, 0.5))


def _view(board: _Board, raster: Raster) -> Field:
    """Return a raster as the camera sees it: float32 ([channels,] SIZE, SIZE), 0..1."""
    seen = cv2.warpAffine(raster, board.pose, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    planes = np.stack(cv2.split(seen)) if raster.ndim == 3 else seen
    return np.multiply(planes, np.float32(1 / 255), dtype=np.float32)


def _render(board: _Board, flaw: _Flaw) -> Radiance:
    """Return the board's radiance: laminate, then metal, print and parts, each over the last."""
    copper, opening, silk, hole = _view(board, circuit.artwork())
    if flaw.silk is not None:
        silk = _view(board, flaw.silk)
    parts = _parts(board, flaw)
    light = board.camera.light

    relief = 0.9 * cv2.GaussianBlur(copper, (0, 0), 0.8) + 0.05 * board.glass
    dx, dy = slopes(relief)
    flat = lit(dx, dy, light) * (1 + 0.05 * board.cloud)
    resin = 1 + 0.05 * board.glass * (1 - copper)
    radiance = tinted(resin * (1 - copper), _LAMINATE)
    radiance += tinted(copper, _OVER_COPPER)
    radiance *= 0.25 + 0.75 * flat
    radiance += 0.035 * step(1.06, 1.3, flat)
    if flaw.scratch is not None:
        bare = tinted(copper * (0.9 + 0.5 * (flat - 1)), _COPPER) + tinted(1 - copper, _FIBREGLASS)
        radiance = mix(radiance, bare, flaw.scratch)
    worn = silk if flaw.scratch is None else silk * (1 - flaw.scratch)
    radiance = mix(radiance, _SILK, worn * (0.90 + 0.04 * board.cloud))
    domes = _domes(opening)
    domes *= 3 * (1 - parts.there)
    domes += 4 * cv2.GaussianBlur(parts.metal * parts.there, (0, 0), 1.6)
    shine = tinted(_sheen(board, domes), _TIN)
    radiance = mix(radiance, shine, opening)
    if flaw.solder is not None:
        radiance = _spill(board, radiance, _view(board, flaw.solder))
    radiance *= 1 - 0.99 * hole
    return _populate(board, radiance, parts, shine)


def _domes(there: Field) -> Field:
    """Return how molten metal bulges where it wets: steep at the rim, flat on top."""
    bulk = cv2.GaussianBlur(there, (0, 0), 2.3)
    return np.asarray(np.sqrt(np.maximum(bulk - 0.15, 0)) * there, np.float32)


def _spill(board: _Board, radiance: Radiance, solder: Field) -> Radiance:
    """Return the board with solder that ran where it should not, and its shadow."""
    dome = _domes(solder)
    shade = 1 - 0.5 * _shadow(board, solder, 2.0) * (1 - solder)
    shine = tinted(_sheen(board, np.asarray(6.5 * dome, np.float32)), _TIN)
    return mix(np.asarray(radiance * shade, np.float32), shine, solder)


def _sheen(board: _Board, height: Field) -> Field:
    """Return how bright a smooth metal of this height looks: it mirrors a lamp and a dark room."""
    dx, dy = slopes(height + 0.08 * board.rough)
    lx, ly, _ = board.camera.light
    toward = np.asarray((dx * lx + dy * ly) / -math.hypot(lx, ly), np.float32)
    steep = dx * dx + dy * dy
    lamp = step(0.02, 0.30, toward) * step(1.1, 0.5, toward)
    return np.asarray(0.50 + 0.85 * lamp - 0.36 * step(0.05, 0.8, steep) * (1 - lamp), np.float32)


def _shadow(board: _Board, there: Field, height: float) -> Field:
    lx, ly, lz = board.camera.light
    move = np.array([[1, 0, -lx / lz * height], [0, 1, -ly / lz * height]])
    moved = cv2.warpAffine(there, move, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), 0.7 + 0.25 * height), np.float32)


def _parts(board: _Board, flaw: _Flaw) -> _Seen:
    """Return the parts as the camera sees them."""
    controller_colour, controller = _controller()
    colour, layers = controller_colour.copy(), [layer.copy() for layer in controller]
    for k, part in enumerate(PARTS):
        if k not in flaw.missing:
            _chip(colour, layers, part, board.offsets[k], float(board.tones[k]))
    tone = _view(board, colour)
    return _Seen(tone, *_view(board, np.asarray(cv2.merge(layers), np.uint8)))


def _code(colour: tuple[float, float, float], tone: float) -> tuple[int, int, int]:
    """Return a linear colour as raster values (square root, so that dark tones keep steps)."""
    r, g, b = (min(round(255 * math.sqrt(c * tone)), 255) for c in colour)
    return r, g, b


def _chip(
    colour: Raster, layers: list[Raster], part: Part, offset: npt.NDArray[np.float64], tone: float
) -> None:
    there, height, metal, marks = layers
    dx, dy, turn = (float(v) for v in offset)
    x, y = part.x + dx, part.y + dy
    turn += math.pi / 2 if part.upright else 0
    whole, middle = circuit.box(x, y, 28, 14, turn), circuit.box(x, y, 17.5, 14, turn)
    points = circuit.to_raster(whole)
    cv2.fillConvexPoly(colour, points, _code(_TIN, 1), cv2.LINE_AA, 4)
    cv2.fillConvexPoly(
        colour, circuit.to_raster(middle), _code(_BODIES[part.kind], tone), cv2.LINE_AA, 4
    )
    circuit.fill(there, whole)
    circuit.fill(height, whole, 105 if part.kind == "r" else 150)
    circuit.fill(metal, whole)
    circuit.fill(metal, middle, 0)
    if part.kind == "r":
        circuit.write(marks, _CODES[part.name], x, y, 7.2, turn)


@cache
def _controller() -> tuple[Raster, tuple[Raster, Raster, Raster, Raster]]:
    """Return the rasters of colour and of the layers in `_Seen` with the controller alone."""
    colour = np.zeros((SIDE, SIDE, 3), np.uint8)
    there, height, metal, marks = (np.zeros((SIDE, SIDE), np.uint8) for _ in range(4))
    cx, cy, side = CHIP
    for x, y, up in circuit.pins():
        w, h = (3.4, 12) if up else (12, 3.4)
        pin = circuit.box(x, y, w, h)
        cv2.fillConvexPoly(colour, circuit.to_raster(pin), _code(_TIN, 1), cv2.LINE_AA, 4)
        circuit.fill(there, pin)
        circuit.fill(height, pin, 40)
        circuit.fill(metal, pin)
    body = circuit.box(cx, cy, side, side)
    cv2.fillConvexPoly(colour, circuit.to_raster(body), _code(_CHIP_BODY, 1), cv2.LINE_AA, 4)
    circuit.fill(there, body)
    circuit.fill(metal, body, 0)
    circuit.fill(height, body, 150)
    circuit.fill(height, circuit.box(cx, cy, side - 5, side - 5), 190)
    circuit.disc(height, cx - side / 2 + 11, cy - side / 2 + 11, 4.0, 160)
    circuit.write(marks, "ASB 32", cx, cy - 9, 11)
    circuit.write(marks, "2605-B1", cx, cy + 9, 8)
    return colour, (there, height, metal, marks)


def _populate(board: _Board, radiance: Radiance, parts: _Seen, shine: Radiance) -> Radiance:
    """Return the board with its parts on it, their shadows and their print."""
    there, height, metal, marks = parts.there, parts.height, parts.metal, parts.marks
    tall = step(0.2, 0.5, height)
    shade = np.maximum(_shadow(board, tall, 5.0), 0.5 * _shadow(board, there, 1.5))
    radiance *= 1 - 0.62 * shade * (1 - there)
    dx, dy = slopes(9.0 * cv2.GaussianBlur(height, (0, 0), 0.8) + 0.10 * board.rough)
    matt = 0.30 + 0.70 * np.minimum(lit(dx, dy, board.camera.light), 1.8)
    haze = 0.012 * (1 + 0.5 * board.cloud + 0.25 * board.rough)
    body = np.square(parts.tone)
    body *= matt
    body += haze
    body = mix(body, (0.42, 0.42, 0.40), np.asarray(marks * 0.75, np.float32))
    return mix(radiance, mix(body, shine, metal), there)


def _missing_part(board: _Board, rng: np.random.Generator) -> _Flaw:
    """A part was never placed, or the feeder skipped its neighbours too: their pads lie bare."""
    del board
    first, count = int(rng.integers(len(PARTS))), int(rng.choice([1, 1, 2, 3]))
    return _Flaw(missing=frozenset((first + k) % len(PARTS) for k in range(count)))


def _misprint(board: _Board, rng: np.random.Generator) -> _Flaw:
    """A name of the silk screen missing, smeared while wet, printed twice, or drowned in ink."""
    del board
    silk = np.array(circuit.artwork()[..., 2])
    places = [(part.label(), 9.0) for part in PARTS]
    places += [((x, y), height) for _, x, y, height in circuit.TITLES]
    (x, y), tall = places[int(rng.integers(len(places)))]
    wide = tall * float(rng.uniform(1.3, 4.0))
    box = circuit.to_raster([[x - wide, y - tall], [x + wide, y + tall]]) // 16
    (left, top), (right, bottom) = np.clip(box, 32, SIDE - 32).tolist()
    region = silk[top:bottom, left:right].copy()
    kind = int(rng.integers(4))
    if kind == 0:
        silk[top:bottom, left:right] = 0
    elif kind == 1:
        # The squeegee slid on: every point of the wet print drew a fading line.
        along = float(rng.uniform(0, 2 * np.pi))
        length = int(rng.integers(8, 26))
        for k in range(1, length):
            right_by, down_by = round(k * math.cos(along)), round(k * math.sin(along))
            target = silk[top + down_by : bottom + down_by, left + right_by : right + right_by]
            ink = (region * (0.8 - 0.5 * k / length)).astype(np.uint8)
            np.maximum(target, ink, out=target)
    elif kind == 2:
        right_by, down_by = (rng.choice([-1, 1], 2) * rng.integers(6, 16, 2)).tolist()
        target = silk[top + down_by : bottom + down_by, left + right_by : right + right_by]
        np.maximum(target, (region * 0.85).astype(np.uint8), out=target)
    else:
        for _ in range(int(rng.integers(3, 9))):
            u, v = rng.normal((x, y), (wide / 3, tall / 3)).tolist()
            circuit.disc(silk, u, v, float(rng.uniform(2, 6.5)))
    return _Flaw(silk=silk)


def _scratch(board: _Board, rng: np.random.Generator) -> _Flaw:
    """A tool slipped: a bundle of nearly straight scores through the solder mask."""
    middle = rng.uniform(60, SIZE - 60, 2)
    heading = float(rng.uniform(0, 2 * np.pi))
    length = float(rng.uniform(45, 210))
    main = wander(rng, (0, 0), heading, length, 0.25)
    main = np.asarray(main - main[len(main) // 2] + middle, np.float32)
    deep = cover([main], float(rng.uniform(1.0, 3.2)))
    light_paths = []
    for _ in range(int(rng.integers(0, 4))):
        offset = rng.normal(0, 3.0, 2)
        first = int(rng.integers(0, len(main) // 2))
        light_paths.append(np.asarray(main[first : first + len(main) // 2] + offset, np.float32))
    shallow = cover(light_paths, 0.7) if light_paths else np.zeros_like(deep)
    # The blade skips: the depth follows the board's own unevenness and a taper of pressure.
    skip = np.clip(0.75 + 0.35 * smooth_noise(rng, 40) + 0.15 * board.rough, 0, 1)
    depth = np.maximum(float(rng.uniform(0.55, 0.95)) * deep, 0.35 * shallow) * skip
    return _Flaw(scratch=np.asarray(depth, np.float32))


def _solder(board: _Board, rng: np.random.Generator) -> _Flaw:
    """A bridge between neighbouring pins, a blob on a pad, or balls splashed over the board."""
    del board
    solder = np.zeros((SIDE, SIDE), np.uint8)
    kind = int(rng.integers(3))
    if kind == 0:
        x, y, up = circuit.pins()[int(rng.integers(4 * (circuit.PINS - 2)))]
        span = PIN_PITCH * int(rng.integers(1, 3))
        outward = float(rng.uniform(0, 3.5))
        cx, cy, _ = CHIP
        x, y = (
            (x, y + math.copysign(outward, y - cy))
            if up
            else (x + math.copysign(outward, x - cx), y)
        )
        for part in np.linspace(0, 1, 7):
            at = (x + span * part, y) if up else (x, y + span * part)
            radius = float(rng.uniform(3.0, 5.2)) + 1.2 * abs(part - 0.5)
            circuit.disc(solder, at[0], at[1], radius)
    elif kind == 1:
        pads = [p for part in PARTS for p in part.pads()] + list(HEADER)
        x, y = pads[int(rng.integers(len(pads)))]
        size = float(rng.uniform(8, 15))
        for _ in range(5):
            u, v = rng.normal((x, y), size / 3.5).tolist()
            circuit.disc(solder, u, v, size * float(rng.uniform(0.5, 0.9)))
    else:
        x, y = (float(v) for v in rng.uniform(-120, 120, 2))
        for _ in range(int(rng.integers(4, 12))):
            u, v = rng.normal((x, y), 14).tolist()
            circuit.disc(solder, u, v, float(rng.uniform(1.5, 5.5)))
    return _Flaw(solder=solder)


_FLAWS = {
    "missing_part": _missing_part,
    "misprint": _misprint,
    "scratch": _scratch,
    "solder": _solder,
}

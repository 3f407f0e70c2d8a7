"""A stroke font, as marking machines use: the same letters under every version of OpenCV."""

from __future__ import annotations

import numpy as np

from asbench.imaging.scenes.strands import Path

_GLYPHS: dict[str, str] = {
    "A": "0,6 2,0 4,6|0.8,4 3.2,4",
    "B": "0,0 0,6 3,6 4,5 4,4 3,3 0,3|3,3 4,2 4,1 3,0 0,0",
    "C": "4,1 3,0 1,0 0,1 0,5 1,6 3,6 4,5",
    "D": "0,0 0,6 2.6,6 4,4.6 4,1.4 2.6,0 0,0",
    "J": "4,0 4,5 3,6 1,6 0,5",
    "L": "0,0 0,6 4,6",
    "R": "0,6 0,0 3,0 4,1 4,2 3,3 0,3|2,3 4,6",
    "S": "4,1 3,0 1,0 0,1 0,2 1,3 3,3 4,4 4,5 3,6 1,6 0,5",
    "U": "0,0 0,5 1,6 3,6 4,5 4,0",
    "V": "0,0 2,6 4,0",
    "0": "1,0 3,0 4,1 4,5 3,6 1,6 0,5 0,1 1,0",
    "1": "0.8,1.2 2,0 2,6|0.8,6 3.2,6",
    "2": "0,1 1,0 3,0 4,1 4,2 0,6 4,6",
    "3": "0,1 1,0 3,0 4,1 4,2 3,3 1.6,3|3,3 4,4 4,5 3,6 1,6 0,5",
    "4": "3,6 3,0 0,4 4,4",
    "5": "4,0 0,0 0,2.6 3,2.6 4,3.6 4,5 3,6 1,6 0,5",
    "6": "4,1 3,0 1,0 0,1 0,5 1,6 3,6 4,5 4,4 3,3 0,3",
    "7": "0,0 4,0 1.6,6",
    "8": "1,3 0,2 0,1 1,0 3,0 4,1 4,2 3,3 1,3 0,4 0,5 1,6 3,6 4,5 4,4 3,3",
    "9": "4,3 1,3 0,2 0,1 1,0 3,0 4,1 4,5 3,6 1,6 0,5",
    "-": "0.6,3 3.4,3",
    "+": "0.6,3 3.4,3|2,1.6 2,4.4",
    " ": "",
}
_ADVANCE = 5.8


def letters(text: str, x: float, y: float, height: float, turn: float = 0) -> list[list[Path]]:
    """Return each character's strokes, the text centred at (x, y) and turned by `turn` rad."""
    unit = height / 6
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * unit
    left = -(len(text) * _ADVANCE - (_ADVANCE - 4)) / 2
    drawn = []
    for place, character in enumerate(text):
        offset = np.array([left + place * _ADVANCE, -3])
        drawn.append(
            [
                np.asarray((_points(stroke) + offset) @ matrix + (x, y), np.float32)
                for stroke in _GLYPHS[character].split("|")
                if stroke
            ]
        )
    return drawn


def _points(stroke: str) -> Path:
    pairs = [pair.split(",") for pair in stroke.split()]
    return np.array([[float(a), float(b)] for a, b in pairs], np.float32)

"""What the file of a mask marks.

A mask may be coded in several ways, told apart from its pixels, file by file (`CODES`):

- plain: black, with one level above 127 where anomalous, or all of one level;
- dark: black with one level of at most 127 (a class's number, mostly 1);
- classes: a level or a colour (also of a palette) for each kind of defect, black elsewhere;
- inverted: white, with black where anomalous: more than half is white, and so is the border;
- soft: levels that rise from black to white, as smoothing, scaling or JPEG leave them.

All that is not black is anomalous, in an inverted mask all that is not white, and in a soft one
what is above 127.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from asbench.files.images import FileError, read_coded, read_grey
from synth_store.types import Mask

Code = Literal["plain", "dark", "classes", "inverted", "soft"]
CODES: dict[Code, str] = {
    "dark": "marks with one level of at most 127: all above 0 counts as anomalous.",
    "classes": "codes kinds of defects by level or colour: all that is not black counts as "
    "anomalous.",
    "inverted": "is white around black: it is read inverted, black counts as anomalous. "
    "Invert it if the white is meant.",
    "soft": "has soft edges: what is above level 127 counts as anomalous.",
}
"""How each code is read, to be said after a file's name; nothing is said of plain ones."""
_SOFT_LEVELS = 32
"""More levels than this are no classes."""


class Marked(NamedTuple):
    """Where a mask marks something, bool (h, w), and how it is coded."""

    mask: Mask
    code: Code


def two_levels(path: Path) -> bool:
    """Return whether a file holds at most two levels, as no photograph does, and can be read."""
    try:
        return len(np.unique(read_grey(path))) <= 2
    except FileError:
        return False


def read_marked(path: Path) -> Marked:
    """Return what a mask file marks, by the rules at the head of this module.

    Raises FileError for a file that cannot be read, and for a soft one without a level above 127.
    """
    colours, values = read_coded(path)
    level = colours.max(2)
    if values.ndim == 2 and not level.any():
        level = values  # a palette that is black throughout: its numbers are what is left
    present = np.flatnonzero(np.bincount(level.ravel(), minlength=256))
    white = colours.min(2) > present[-1] // 2
    if _around(white):
        return Marked(~white, "inverted")
    if _coloured(colours):
        return Marked(level > 0, "classes")
    if present[present > 0].size <= 1:
        return Marked(level > 0, "dark" if 0 < present[-1] <= 127 else "plain")
    if len(present) > _SOFT_LEVELS or _rising(level):
        if present[-1] <= 127:
            raise FileError(
                path,
                f"marks nothing above level 127 (its highest level is {present[-1]}), and has soft "
                "edges: write anomalous pixels as 255.",
            )
        return Marked(level > 127, "soft")
    return Marked(level > 0, "classes")


def any_marked(path: Path) -> Mask | None:
    """Return what `read_marked` finds: bool (h, w); None where nothing is marked."""
    mask = read_marked(path).mask
    return mask if mask.any() else None


def _around(white: Mask) -> bool:
    """Tell whether all of the border and more than half of a mask is white, and not the whole."""
    edges = (white[0], white[-1], white[:, 0], white[:, -1])
    return bool(0.5 < white.mean() < 1 and all(edge.all() for edge in edges))


def _coloured(colours: npt.NDArray[np.uint8]) -> bool:
    """Tell colours from greys that JPEG has tinted."""
    return bool((np.ptp(colours.astype(np.int16), axis=2) > 64).any())


def _rising(level: npt.NDArray[np.uint8]) -> bool:
    """Tell whether most pixels between black and white have a brighter one beside them.

    Those of a soft edge have, for it rises to the mark; those of a class have their like.
    """
    brightest = cv2.dilate(level, np.ones((3, 3), np.uint8))
    top = int(level.max())
    between = (level > top / 16) & (level < top * 15 / 16)  # JPEG leaves some beside both
    return not between.any() or bool((brightest > level)[between].mean() > 0.5)

"""The geometry of a store, as people ask for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from asbench.mend import SynthStore
from asbench.settings import MOST_SIDE
from synth_store import Geometry, UserError

Size = int | str | tuple[int, int]
"""A side in pixels; `512x384`, the width first, as photographers say it; or (height, width)."""
OVERLAP = 8
"""Neighbouring tiles share this part of their shorter side, unless it is said otherwise."""


def read_size(size: Size) -> tuple[int, int]:
    """Return the (height, width) of a size; raises UserError for what is none."""
    if isinstance(size, int):
        return size, size
    if not isinstance(size, str):
        height, width = size
        return height, width
    match = re.fullmatch(r"(\d{1,99})(?:[xX×](\d{1,99}))?", size.strip())
    if match is None:
        raise UserError(
            f"size {size!r} is not one: give a side in pixels, as in 256, or WIDTHxHEIGHT, as in "
            "512x384."
        )
    width, height = int(match[1]), int(match[2] or match[1])
    return height, width


def geometry_of(
    store: Path | str,
    size: Size | None = None,
    resize: str | None = None,
    scale: float | None = None,
    overlap: int | None = None,
) -> Geometry | None:
    """Return the geometry asked for, or None where nothing was.

    What is left open is as the store has it, if one is there. Raises UserError for what cannot be.
    """
    if size is None and resize is None and scale is None and overlap is None:
        return None
    exists = SynthStore.stands_at(store)
    return settled(
        SynthStore.open(store).geometry if exists else Geometry(), size, resize, scale, overlap
    )


def settled(
    known: Geometry,
    size: Size | None = None,
    resize: Any = None,
    scale: float | None = None,
    overlap: int | None = None,
) -> Geometry:
    """Return a geometry with what was said in place of what is known.

    Raises UserError for what cannot be, and for a side beyond `MOST_SIDE`.
    """
    height, width = (known.height, known.width) if size is None else read_size(size)
    if size is not None and max(height, width) > MOST_SIDE:
        raise UserError(f"size {max(height, width)} is too large: give 8 to {MOST_SIDE}.")
    rule = known.resize if resize is None else resize
    if rule != "tile":
        if scale is not None or overlap is not None:
            raise UserError(
                f"scale and overlap are of tiles, and the rule is {rule}: add --resize tile."
            )
        return Geometry(height, width, rule)
    if overlap is None:
        same = known.tiled and (height, width) == (known.height, known.width)
        overlap = known.overlap if same else min(height, width) // OVERLAP
    return Geometry(height, width, "tile", float(known.scale if scale is None else scale), overlap)

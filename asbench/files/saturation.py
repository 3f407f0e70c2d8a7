"""How much of a defect must be found: the saturation thresholds of MVTec LOCO.

A logical anomaly, as a part that is missing, has no pixels of its own: its mask marks all places
where the part could lie, and finding one of them is finding it. So LOCO's metric, sPRO, counts a
region as found once a part of it is (Bergmann et al., Beyond Dents and Scratches, IJCV 130, 2022):
min(|region and prediction| / s, 1), with s from `defects_config.json` beside `train` and `test`, by
the level that the region's mask file marks with. Here they are read;
`asbench.evaluation.low_rates` computes sPRO of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asbench.files.documents import damaged
from asbench.files.images import FileError, read_grey
from synth_store.types import Mask, UserError

CONFIG = "defects_config.json"
_KEYS = ("defect_name", "pixel_value", "saturation_threshold", "relative_saturation")


@dataclass(frozen=True)
class Saturation:
    """Of a kind of defect: the level its masks mark with, 1..255, and how much must be found.

    threshold: pixels, or where `relative` the share of the region, 0 < share <= 1.
    """

    defect: str
    level: int
    threshold: float
    relative: bool

    def pixels(self, area: int) -> int:
        """Return how many pixels of a region of `area` count as all of it: 1..area."""
        wanted = self.threshold * area if self.relative else self.threshold
        return max(1, min(int(wanted), area))


class Region(NamedTuple):
    """One region of a defect, all of one mask file: bool (h, w), and how much must be found."""

    mask: Mask
    pixels: int


def read_saturations(folder: Path) -> tuple[Saturation, ...]:
    """Return what a category's `defects_config.json` says; empty where there is none.

    Raises UserError naming the file and the entry that is none.
    """
    path = folder / CONFIG
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error, f"mend it, or leave {CONFIG} out") from None
    if not isinstance(entries, list):
        raise UserError(f"{path} is no list of defects.")
    found = tuple(_read(path, number, entry) for number, entry in enumerate(entries))
    levels = [one.level for one in found]
    if twice := sorted({level for level in levels if levels.count(level) > 1}):
        raise UserError(f"{path}: pixel_value {twice[0]} stands for two defects.")
    return found


def _read(path: Path, number: int, entry: Any) -> Saturation:
    if not isinstance(entry, dict) or any(key not in entry for key in _KEYS):
        raise UserError(f"{path}: entry {number} ({entry!r}) lacks one of {', '.join(_KEYS)}.")
    name, level, threshold, relative = (entry[key] for key in _KEYS)
    whole = isinstance(level, int) and not isinstance(level, bool) and 1 <= level <= 255
    number_ = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    most = 1 if relative is True else math.inf
    if not (whole and isinstance(relative, bool) and number_ and 0 < threshold <= most):
        raise UserError(
            f"{path}: entry {number} ({name}) must have pixel_value 1..255 ({level!r}), "
            f"relative_saturation true or false ({relative!r}), and saturation_threshold above 0, "
            f"at most 1 where it is relative ({threshold!r})."
        )
    return Saturation(str(name), level, float(threshold), relative)


def saturation_of(file: Path, known: Sequence[Saturation]) -> Saturation:
    """Return the kind of defect that a mask file marks, by its level.

    Raises FileError for a file that marks with a level that none of them has, or with several.
    """
    by_level = {one.level: one for one in known}
    marks = [level for level in np.unique(read_grey(file)).tolist() if level]
    if len(marks) != 1 or marks[0] not in by_level:
        raise FileError(
            file,
            f"marks with level {', '.join(map(str, marks[:4])) or 'none'}, and is to mark with one "
            f"of {CONFIG}: {', '.join(map(str, sorted(by_level)))}.",
        )
    return by_level[marks[0]]

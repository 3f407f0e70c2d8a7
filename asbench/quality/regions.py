"""Where an image is looked at, and what masks alone say of a set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from asbench.evaluation.metrics import region_count
from asbench.imaging.visibility import change
from asbench.quality.record import Pairing, Region, Score
from synth_store.types import Mask

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BAND = 1 / 64
"""Half the width of the border's band, as a share of the shorter side: 4 pixels of 256."""
GRID = 16
"""Cells per axis in which the masks' places are counted."""
LAGS = 8
"""A mask is compared with that many before it: draws are independent, so no chance is needed."""


def band(mask: Mask) -> Mask:
    """Return the band around a mask's border, bool (H, W): within `BAND` of it on either side.

    Empty where the mask is empty or full: the image's own edge is no border.
    """
    radius = max(1, round(min(mask.shape) * BAND))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    marked = mask.astype(np.uint8)
    border: Mask = cv2.dilate(marked, disc) != cv2.erode(marked, disc)
    return border


def bands(masks: Masks) -> Masks:
    """Return the band of every mask, bool (n, H, W)."""
    return np.stack([band(mask) for mask in masks])


@dataclass
class MaskStatistics:
    """Gathers over blocks of samples what masks and changes say; `scores` tells it.

    mask_area: share of the image. mask_regions: 8-connected regions of a mask. mask_distance:
    1 - intersection over union of two masks, mean over pairs. mask_position: entropy of where
    masked pixels lie, over a 16x16 grid, in units of its maximum: 0 all in one cell, 1 everywhere
    alike. change: mean absolute difference to the clean image, 0..1, over each region, and
    change_outside beyond the mask. change_levels: median change of the pixels that changed inside
    the mask, in grey levels, to be held against the noise of the normals, which its note says;
    mask_unchanged: share of the mask's pixels that did not change. border_gradient: mean gradient
    of the luminance in the band, divided by that of the clean image there: 1 where no edge shows.
    """

    noise: float = float("nan")
    areas: list[float] = field(default_factory=list)
    regions: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    changes: dict[tuple[str, Region], list[float]] = field(default_factory=dict)
    places: Floats = field(default_factory=lambda: np.zeros((GRID, GRID)))
    last: list[Mask] = field(default_factory=list)

    def add(self, image: Pixels, mask: Masks, clean: Pixels) -> None:
        """Take in a block: (n, H, W, 3), (n, H, W) and (n, H, W, 3)."""
        for picture, marked, before in zip(image, mask, clean, strict=True):
            self.areas.append(float(marked.mean()))
            self.regions.append(float(region_count(marked)))
            self._add_change(picture, marked, before)
            small = cv2.resize(
                marked.astype(np.float64), (GRID, GRID), interpolation=cv2.INTER_AREA
            )
            self.places += small / max(small.sum(), 1e-12)
            for other in self.last:
                union = np.count_nonzero(marked | other)
                if union:
                    self.distances.append(1 - np.count_nonzero(marked & other) / union)
            self.last = [*self.last, marked][-LAGS:]

    def scores(self) -> list[Score]:
        """Return the statistics of all that was added."""
        n = len(self.areas)
        scores = [
            _mean("mask_area", "self", "whole", self.areas, n),
            _mean("mask_regions", "self", "whole", self.regions, n),
            _mean("mask_distance", "self", "whole", self.distances, n),
        ]
        entropy = self._entropy()
        reason = "" if np.isfinite(entropy) else "no mask marks anything"
        scores.append(Score("mask_position", "self", "whole", entropy, n, reason=reason))
        for (name, region), values in self.changes.items():
            score = _mean(name, "clean", region, values)
            loud = name == "change_levels" and np.isfinite(self.noise)
            scores.append(replace(score, note=f"noise {self.noise:.2f}") if loud else score)
        return scores

    def _add_change(self, image: Pixels, mask: Mask, clean: Pixels) -> None:
        by = cv2.absdiff(image, clean).mean(axis=2) / 255
        edge = band(mask)
        places: dict[tuple[str, Region], Mask] = {
            ("change", "whole"): np.ones_like(mask),
            ("change", "inside"): mask,
            ("change", "border"): edge,
            ("change_outside", "whole"): ~mask,
        }
        for name, where in places.items():
            value = float(by[where].mean()) if where.any() else np.nan
            self.changes.setdefault(name, []).append(value)
        seen = change(image, clean, mask)
        self.changes.setdefault(("change_levels", "inside"), []).append(seen.levels)
        self.changes.setdefault(("mask_unchanged", "inside"), []).append(seen.unchanged)
        self.changes.setdefault(("border_gradient", "border"), []).append(
            _steepening(image, clean, edge)
        )

    def _entropy(self) -> float:
        shares = self.places.ravel() / max(self.places.sum(), 1e-12)
        shares = shares[shares > 0]
        if not len(shares):
            return float("nan")
        return float(-(shares * np.log(shares)).sum() / np.log(GRID * GRID))


def _mean(
    metric: str, pairing: Pairing, region: Region, values: list[float], n: int | None = None
) -> Score:
    """Return the mean of the values that are defined; n: samples, where not one per value."""
    finite = np.array([v for v in values if np.isfinite(v)])
    count = len(finite) if n is None else n
    against = count if pairing == "clean" else 0
    note = f"{len(finite)} pairs" if n is not None and len(finite) != n else ""
    if not len(finite):
        return Score(metric, pairing, region, np.nan, count, against, reason="no such pixels")
    mean, spread = float(finite.mean()), float(finite.std())
    return Score(metric, pairing, region, mean, count, against, spread, note)


def _steepening(image: Pixels, clean: Pixels, where: Mask) -> float:
    """Return how much steeper the image is than its clean one in a band; NaN where undefined."""
    if not where.any():
        return float("nan")
    steepness = []
    for pixels in (image, clean):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        steepness.append(float(np.hypot(dx, dy)[where].mean()))
    return steepness[0] / steepness[1] if steepness[1] > 0 else float("nan")

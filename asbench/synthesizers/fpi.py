"""FPI: a square of another normal image, blended in at the same place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging.foreign import Box, changed, draw_centre, draw_reach, square
from asbench.imaging.masks import visible
from asbench.parameters import parameter
from asbench.types import Canvas, Need, PerSample
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    # What ASBench calls FPI is one of the toy anomalies of FPI's test set, in two dimensions: no
    # second image, no interpolation, a disc made brighter or darker.
    "asbench": {"patch": "offset", "core": 0.5, "reach_high": 0.1},
    # As it ran: its cast to 8 bits wraps, so that bright discs turn dark and dark ones bright.
    "asbench-wrap": {"patch": "offset", "core": 0.5, "reach_high": 0.1, "overflow": "wrap"},
}


@dataclass(frozen=True)
class Fpi(PerSample):
    """Blend a square of another normal image into the same place: (1 - w) I + w J, w = U(.05, .95).

    The square's centre is uniform over the image's central part, half its side uniform over
    5..20 % of the shorter side, and it is cut off at the border. The original labels each pixel of
    the square with the other image's weight, and 0 where the images agree to a thousandth of the
    range; the mask is that label above 0: where the blend differs by at least `tolerance` levels.
    A thousandth is below one level, so the plain method masks every change. Changes below a higher
    tolerance are taken back. The original makes a second sample of each pair with the images'
    roles exchanged; here each canvas gets one.

    `fpi@asbench` is another method under the same name: a disc of one normal image plus or minus
    20..30 % of the image's range, with saturation where ASBench's own code wraps around
    (`fpi@asbench-wrap`). Its mask, too, is where the image changed: the whole disc unless
    saturation hides a part. None where the blend changes nothing to be seen.
    """

    title = "FPI"
    paper = (
        "Tan, Hou, Batten, Qiu and Kainz, Detecting Outliers with Foreign Patch Interpolation, "
        "MELBA 2022"
    )
    url = "https://arxiv.org/abs/2011.04197"
    family = "patch augmentation"

    patch: Literal["foreign", "offset"] = parameter(
        "foreign", "A square of another normal image, or a disc made brighter or darker."
    )
    core: float = parameter(0.8, "Share of each side, in the middle, where the centre may lie.")
    reach_low: float = parameter(
        0.05, "Smallest half side or radius, as a share of the image's shorter side."
    )
    reach_high: float = parameter(
        0.2, "Largest half side or radius (left out), as a share of the image's shorter side."
    )
    weight_low: float = parameter(0.05, "Foreign patch: its smallest weight.")
    weight_high: float = parameter(0.95, "Foreign patch: its largest weight.")
    offset_low: float = parameter(0.2, "Offset: its smallest size, as a share of the range.")
    offset_high: float = parameter(0.3, "Offset: its largest size, as a share of the range.")
    overflow: Literal["saturate", "wrap"] = parameter(
        "saturate", "Offset: what levels beyond 0..255 become; to wrap is ASBench's accident."
    )
    tolerance: int = parameter(1, "Grey levels by which some channel must differ to be masked.")

    def __post_init__(self) -> None:
        if not 0 < self.core <= 1:
            raise UserError(f"fpi: core={self.core} must satisfy 0 < core <= 1.")
        for name in ("reach", "weight", "offset"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0 < low <= high <= 1:
                raise UserError(
                    f"fpi: {name}_low={low} and {name}_high={high} must satisfy "
                    f"0 < {name}_low <= {name}_high <= 1."
                )
        if not 1 <= self.tolerance <= 255:
            raise UserError(f"fpi: tolerance={self.tolerance} must lie in 1..255.")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"another"} if self.patch == "foreign" else ())

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        shape = normal.shape[0], normal.shape[1]
        centre = draw_centre(rng, shape, self.core)
        reach = draw_reach(rng, shape, self.reach_low, self.reach_high)
        if self.patch == "foreign":
            box = square(centre, reach, shape)
            blended = self._interpolate(normal[box], canvas.another(rng).normal[box], rng)
        else:
            box = square(centre, reach + 1, shape)
            blended = self._offset(normal, box, disc(centre, reach, box), rng)
        image, mask = normal.copy(), np.zeros(shape, np.bool_)
        mask[box] = changed(blended, normal[box], self.tolerance)
        cv2.copyTo(blended, mask[box].view(np.uint8), image[box])
        return Sample(image, mask) if visible(blended, normal[box], mask[box]) else None

    def _interpolate(self, own: Image, foreign: Image, rng: np.random.Generator) -> Image:
        weight = rng.uniform(self.weight_low, self.weight_high)
        return np.asarray(cv2.addWeighted(own, 1 - weight, foreign, weight, 0), np.uint8)

    def _offset(self, normal: Image, box: Box, inside: Mask, rng: np.random.Generator) -> Image:
        span = int(normal.max()) - int(normal.min())
        offset = rng.choice((-1, 1)) * rng.uniform(self.offset_low, self.offset_high) * span
        levels = np.trunc(np.arange(256) + offset)
        levels = np.clip(levels, 0, 255) if self.overflow == "saturate" else levels % 256
        blended = normal[box].copy()
        cv2.copyTo(cv2.LUT(blended, levels.astype(np.uint8)), inside.view(np.uint8), blended)
        return blended


def disc(centre: tuple[int, int], radius: int, box: Box) -> Mask:
    """Return, over a box, which pixels lie closer to the centre than the radius."""
    rows, columns = (np.arange(axis.start, axis.stop) for axis in box)
    return ((rows - centre[0]) ** 2)[:, None] + (columns - centre[1]) ** 2 < radius**2

"""PII: a square of another normal image, interpolated in its gradients."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from asbench.imaging.foreign import changed, draw_centre, draw_reach, square
from asbench.imaging.masks import visible
from asbench.imaging.poisson import blend, to_bytes, weighted_mixed_gradients
from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store.types import Sample, UserError


@dataclass(frozen=True)
class Pii(PerSample):
    """Blend a square of another normal image into the same place through Poisson's equation.

    The square is FPI's: centre uniform over the image's central part, half the side uniform over
    5..20 % of the shorter side; it keeps one pixel off the border. Over every edge inside it the
    result follows the larger of (1 - alpha) grad I and alpha grad J, alpha = U(0.05, 0.95), and it
    meets I all around; it is clipped to the range of the two images. The linear system is solved
    exactly (`imaging.poisson`), which replaces the original's sparse solver.

    The original is defined for grey X-rays: here each channel is solved by itself with a common
    alpha. It labels with alpha where the result differs by a thousandth of the range; the mask is
    that label above 0: where the result differs by at least `tolerance` levels. A thousandth is
    below one level, so the plain method masks every change. Changes below a higher tolerance are
    taken back. Two images that agree in the square still give an anomaly: the larger of
    (1 - alpha) and alpha times the common gradient has less contrast, as published. None where
    nothing is to be seen.
    """

    title = "PII"
    paper = (
        "Tan, Hou, Day, Simpson, Rueckert and Kainz, Detecting Outliers with Poisson Image "
        "Interpolation, MICCAI 2021"
    )
    url = "https://arxiv.org/abs/2107.02622"
    family = "patch augmentation"
    needs = frozenset({"another"})

    core: float = parameter(0.8, "Share of each side, in the middle, where the centre may lie.")
    reach_low: float = parameter(
        0.05, "Smallest half side of the square, as a share of the image's shorter side."
    )
    reach_high: float = parameter(
        0.2, "Largest half side (left out), as a share of the image's shorter side."
    )
    alpha_low: float = parameter(0.05, "Smallest weight of the other image's gradients.")
    alpha_high: float = parameter(0.95, "Largest weight of the other image's gradients.")
    tolerance: int = parameter(1, "Grey levels by which some channel must differ to be masked.")

    def __post_init__(self) -> None:
        if not 0 < self.core <= 1:
            raise UserError(f"pii: core={self.core} must satisfy 0 < core <= 1.")
        for name in ("reach", "alpha"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0 < low <= high <= 1:
                raise UserError(
                    f"pii: {name}_low={low} and {name}_high={high} must satisfy "
                    f"0 < {name}_low <= {name}_high <= 1."
                )
        if not 1 <= self.tolerance <= 255:
            raise UserError(f"pii: tolerance={self.tolerance} must lie in 1..255.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal, foreign = canvas.normal, canvas.another(rng).normal
        shape = normal.shape[0], normal.shape[1]
        centre = draw_centre(rng, shape, self.core)
        reach = draw_reach(rng, shape, self.reach_low, self.reach_high)
        rows, columns = square(centre, reach, shape, frame=1)
        # The square and the ring around it, which the solution meets.
        box = slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1)
        rule = weighted_mixed_gradients(rng.uniform(self.alpha_low, self.alpha_high))
        blended = to_bytes(blend(normal[box], foreign[box], rule))
        low, high = min(normal.min(), foreign.min()), max(normal.max(), foreign.max())
        np.clip(blended, low, high, out=blended)
        image, mask = normal.copy(), np.zeros(shape, np.bool_)
        mask[box] = changed(blended, normal[box], self.tolerance)
        cv2.copyTo(blended, mask[box].view(np.uint8), image[box])
        return Sample(image, mask) if visible(blended, normal[box], mask[box]) else None

"""Simplex noise in a small rectangle: RD++'s pseudo-anomaly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.colour import Colouring
from asbench.imaging.foreign import changed
from asbench.imaging.masks import visible
from asbench.imaging.overlay import believed, check_share, draw_pixel, on_object
from asbench.imaging.patches import place
from asbench.imaging.simplex import octaves
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Sample, UserError

VARIANTS = {
    # With its faint colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Simplex(Colouring):
    """Add octaves of simplex noise to the image in a small rectangle.

    RD++ disturbs its input so while it trains, to learn what a projection must suppress; it keeps
    no mask, so images and mask as a set to detect from are ours. Height and width of the rectangle
    are uniform over 10..31 pixels of 256; inside, I becomes I + 0.2 n, the image's range being 1
    and n six octaves of persistence .6 from a period of 32 pixels on, the channels one pixel apart,
    so that it is almost grey (standard deviation 18 levels). The original draws OpenSimplex noise
    point by point; this is simplex noise as wide and as strong, drawn at once. The original does
    not clip; here values stay within 0..255, and the mask is what changed.

    `foreground` above 0, a rectangle about a pixel of the object and cut down to it, is ours.
    None where nothing is to be seen.
    """

    title = "RD++ simplex noise"
    paper = (
        "Tien, Nguyen, Tran, Huy, Duong, Nguyen and Truong, Revisiting Reverse Distillation for "
        "Anomaly Detection, CVPR 2023"
    )
    url = (
        "https://openaccess.thecvf.com/content/CVPR2023/html/"
        "Tien_Revisiting_Reverse_Distillation_for_Anomaly_Detection_CVPR_2023_paper.html"
    )
    family = "random shape noise"

    strength: float = parameter(0.2, "Weight of the noise; 1 is the image's whole range.")
    side_low: float = parameter(10 / 256, "Smallest side, as a share of the shorter side.")
    side_high: float = parameter(32 / 256, "Largest side (left out), as such a share.")
    period: float = parameter(32 / 256, "Period of the widest octave, as such a share.")
    octaves: int = parameter(6, "Octaves, each of half the period of the one before.")
    persistence: float = parameter(0.6, "Weight of an octave, in that of the one before.")
    foreground: float = parameter(0.0, "Share of samples whose rectangle keeps to the object.")

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise UserError(f"simplex: strength={self.strength} must lie in 0 < strength <= 1.")
        if not 0 < self.side_low <= self.side_high <= 1:
            raise UserError(
                f"simplex: side_low={self.side_low} and side_high={self.side_high} must satisfy "
                "0 < side_low <= side_high <= 1 (shares of the shorter side)."
            )
        if not 0 < self.period <= 1:
            raise UserError(f"simplex: period={self.period} must lie in 0 < period <= 1.")
        if not 1 <= self.octaves <= 10:
            raise UserError(f"simplex: octaves={self.octaves} must lie in 1..10.")
        if not 0 < self.persistence <= 1:
            raise UserError(
                f"simplex: persistence={self.persistence} must lie in 0 < persistence <= 1."
            )
        check_share("simplex", self.foreground)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"foreground"} if self.foreground else ())

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        shape = normal.shape[0], normal.shape[1]
        within = believed(canvas.foreground) if on_object(self.foreground, rng) else None
        size = self._side(shape, rng), self._side(shape, rng)
        top, left = place(rng, size, shape)
        if within is not None:
            middle = draw_pixel(rng, within)
            top, left = (
                min(max(at - side // 2, 0), whole - side)
                for at, side, whole in zip(middle, size, shape, strict=True)
            )
        box = slice(top, top + size[0]), slice(left, left + size[1])
        inside = normal[box].copy()
        rows, columns = (
            np.indices(size).reshape(2, -1) if within is None else np.nonzero(within[box])
        )
        inside[rows, columns] = self._noisy(inside[rows, columns], rows, columns, min(shape), rng)
        image, mask = normal.copy(), np.zeros(shape, np.bool_)
        image[box] = inside
        mask[box] = changed(inside, normal[box], 1)
        return Sample(image, mask) if visible(inside, normal[box], mask[box]) else None

    def _side(self, shape: tuple[int, int], rng: np.random.Generator) -> int:
        low, high = (max(round(s * min(shape)), 1) for s in (self.side_low, self.side_high))
        return int(rng.integers(low, max(high, low + 1)))

    def _noisy(
        self,
        pixels: Image,
        rows: np.ndarray,
        columns: np.ndarray,
        side: int,
        rng: np.random.Generator,
    ) -> Image:
        """Return pixels (n, 3) with the noise at their places added."""
        noise = octaves(
            rows,
            columns,
            rng,
            period=max(self.period * side, 1),
            count=self.octaves,
            persistence=self.persistence,
        )
        noisy: Image = np.clip(np.rint(pixels + 255 * self.strength * noise), 0, 255)
        return noisy.astype(np.uint8)

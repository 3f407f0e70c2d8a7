"""Compose: a mask, a source and a blend, each chosen by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging import overlay, poisson
from asbench.imaging.colour import Colouring
from asbench.imaging.foreign import Box
from asbench.imaging.masks import differs
from asbench.parameters import parameter
from asbench.synthesizers.compose.masks import MASKS
from asbench.synthesizers.compose.sources import IMAGES, patch
from asbench.types import Canvas, Need
from synth_store.types import Image, Mask, Sample, UserError

SHAPES = tuple(MASKS)
UNSEEN: dict[str, tuple[str, ...]] = {
    "paste": (),
    "alpha": (),
    "poisson": ("shade",),
    "poisson-mixed": ("shade", "colour", "black"),
    "poisson-weighted": ("shade",),
}
"""Sources that a blend, which keeps differences between neighbours, cannot show."""

_CUTPASTE = {"source": "self", "blend": "paste", "jitter": 0.1}
_REAL = {"mask": "real", "max_degrees": 180.0}
VARIANTS = {
    # Named mask-source-blend; each has the mask, source and blend of a published method.
    "rectangle-black-paste": {  # ASBench's CutOut
        "mask": "rectangle",
        "source": "black",
        "blend": "paste",
        "area": (0.006, 0.038),
        "aspect": (1.0, 1.0),
    },
    "rectangle-self-paste": {"mask": "rectangle", **_CUTPASTE},  # CutPaste
    "strip-self-paste": {  # CutPaste-Scar
        "mask": "strip",
        **_CUTPASTE,
        "area": (0.0005, 0.0045),
        "aspect": (0.1, 0.8),
        "max_degrees": 45.0,
    },
    "rectangle-another-alpha": {  # FPI
        "mask": "rectangle",
        "source": "another",
        "blend": "alpha",
        "shifted": False,
        "area": (0.01, 0.12),
        "aspect": (1.0, 1.0),
        "opacity": (0.05, 0.95),
    },
    "rectangle-another-poisson": {  # PII
        "mask": "rectangle",
        "source": "another",
        "blend": "poisson-weighted",
        "shifted": False,
        "area": (0.01, 0.12),
        "aspect": (1.0, 1.0),
        "opacity": (0.05, 0.95),
    },
    "disc-shade-paste": {  # ASBench's FPI
        "mask": "disc",
        "source": "shade",
        "blend": "paste",
        "area": (0.008, 0.031),
    },
    "cells-black-paste": {"mask": "cells", "source": "black", "blend": "paste"},  # RIAD's window
    "perlin-texture-alpha": {"mask": "perlin", "source": "texture", "blend": "alpha"},  # DeSTSeg
    "perlin-augmented-alpha": {"source": "texture", "augmented": True},  # DRAEM
    "perlin-shuffled-alpha": {  # MemSeg's structure
        "source": "shuffled",
        "augmented": True,
        "opacity": (0.15, 1.0),
        "foreground": 1.0,
    },
    "fractal-self-paste": {  # FractalAD
        "mask": "fractal",
        "source": "self",
        "blend": "paste",
        "area": (0.01, 0.25),
        "max_degrees": 75.0,
        "jitter": 0.2,
    },
    "shapes-texture-alpha": {"mask": "shapes", "foreground": 1.0},  # AnoStyler's masks
    "rectangles-noise-paste": {"mask": "rectangles", "source": "noise", "blend": "paste"},  # CDO
    "perlin-simplex-paste": {"source": "simplex", "blend": "paste"},  # RD++'s noise; the mask ours
    "crack-shade-paste": {"mask": "crack", "source": "shade", "blend": "paste", "foreground": 1.0},
    "superpixel-self-paste": {"mask": "superpixel", **_CUTPASTE, "foreground": 1.0},
    "real-texture-alpha": {**_REAL},
    "real-another-poisson": {**_REAL, "source": "another", "blend": "poisson"},
    # One real defect's shape, filled with another's inside.
    "real-defect-paste": {**_REAL, "source": "defect", "blend": "paste", "foreground": 1.0},
    # Half of each real mask, broken up by noise.
    "real-perlin-texture-alpha": {**_REAL, "mask": "real*perlin", "threshold": 0.0},
}


@dataclass(frozen=True)
class Compose(Colouring):
    """Draw a mask, draw a source, blend the one into the image through the other.

    The published methods differ in three things at once: where the anomaly is, what is there, and
    how it is joined to the image. Here each is a choice of its own, so that a study can change one
    and leave the others.

    `mask`: Perlin noise above a threshold; an axis-parallel rectangle, or one to four; a disc; a
    turned strip; a third of the cells of a window; an attractor of FractalAD's bank; AnoStyler's
    line, dot or walk, or one to five of them (shapes); a branching crack (ours); a superpixel of
    the image; or the mask of a real defect of the data set's few-shot third, mirrored, turned and
    put elsewhere. `a*b` is where two of them meet, drawn until they do: `real*perlin` breaks up
    real masks.

    `source`: a texture; the image itself or another normal, from elsewhere unless `shifted` is off;
    the image in shuffled cells; the inside of a real defect of the few-shot third, enlarged to fill
    the mask; noise, each pixel and channel uniform; the image plus RD++'s simplex noise; one random
    colour; black; or a shade, the image 20..30 % of its range lighter or darker.

    `blend`: paste replaces the image; alpha weighs the source by the opacity; poisson keeps the
    source's differences between neighbours and meets the image all around (exact, whatever the
    mask's shape); poisson-mixed keeps the larger of both differences, poisson-weighted the larger
    of (1 - opacity) times the image's and opacity times the source's. A Poisson blend keeps one
    pixel off the image's border.

    The mask is the region, also where a blend happens to change a pixel of it little. The shipped
    variants take mask, source, blend, mean area and opacities from published methods; what else
    makes up a method (object modes, noise, the law of its sizes) is the method's own. None where
    20 masks came out empty, or nothing can be seen.
    """

    title = "Compose"
    paper = (
        "ASBench's own: the future work named in ASBench: Image Anomalies Synthesis Benchmark for "
        "Anomaly Detection, 2025"
    )
    url = "https://arxiv.org/abs/2510.07927"
    family = "composition"
    pixel_version = 2

    mask: str = parameter("perlin", f"One of {', '.join(SHAPES)}; or several, as real*perlin.")
    source: Literal[
        "texture",
        "self",
        "another",
        "shuffled",
        "defect",
        "noise",
        "simplex",
        "colour",
        "black",
        "shade",
    ] = parameter(
        "texture",
        "texture, self, another, shuffled, defect, noise, simplex, colour, black or shade.",
    )
    blend: Literal["paste", "alpha", "poisson", "poisson-mixed", "poisson-weighted"] = parameter(
        "alpha", "paste, alpha, poisson, poisson-mixed or poisson-weighted."
    )
    opacity: tuple[float, float] = parameter(
        (0.2, 1.0), "Bounds of the source's weight, for alpha and poisson-weighted."
    )
    area: tuple[float, float] | None = parameter(
        None,
        "Bounds of the share of the image that a rectangle, disc, strip, set of cells, superpixel "
        "or a fractal's square takes; by default 0.02..0.15, for strips 0.002..0.02, superpixels "
        "0.005..0.05, each of several rectangles 0.0025..0.029.",
    )
    aspect: tuple[float, float] | None = parameter(
        None,
        "Bounds of width / height; by default 0.3..3.33 for a rectangle, 0.4..2.5 for several, "
        "0.05..0.2 for strips.",
    )
    max_degrees: float = parameter(
        90.0, "Perlin noise, strips, fractals and real masks are turned by up to this either way."
    )
    exponents: tuple[int, int] = parameter((0, 5), "Perlin cells per axis are 2^k: bounds of k.")
    threshold: float = parameter(0.5, "Perlin noise above this is anomalous.")
    anywhere: bool = parameter(
        True, "Whether a real mask is put anywhere on the image, or stays where the defect was."
    )
    mirrored: bool = parameter(True, "Whether a real mask is mirrored by fair coins.")
    foreground: float = parameter(0.0, "Share of samples whose mask keeps to the object.")
    shifted: bool = parameter(
        True, "Whether self and another come from elsewhere in their image, or the same place."
    )
    augmented: bool = parameter(
        False, f"Whether {', '.join(IMAGES)} go through three of ten operations."
    )
    jitter: float = parameter(0.0, "Strength of a colour jitter of the source, 0 for none.")

    @property
    def shapes(self) -> tuple[str, ...]:
        """The masks that are multiplied."""
        return tuple(self.mask.split("*"))

    def __post_init__(self) -> None:
        for shape in self.shapes:
            if shape not in SHAPES:
                raise UserError(
                    f"compose: mask={self.mask} is unknown: choose from {', '.join(SHAPES)}, or "
                    "multiply several, as in real*perlin."
                )
        self._refuse_unseen()
        self._refuse_bounds()
        overlay.check_parameters("compose", self.exponents, self.threshold, self.foreground)

    def _refuse_unseen(self) -> None:
        """Raise UserError for a source that its blend, or its place, leaves without effect."""
        if self.source in UNSEEN[self.blend]:
            seen = [blend for blend, unseen in UNSEEN.items() if self.source not in unseen]
            raise UserError(
                f"compose: source={self.source} has no differences between neighbours that "
                f"blend={self.blend} could show: choose blend from {', '.join(seen)}."
            )
        changed = self.augmented or self.jitter > 0
        if changed and self.source not in IMAGES:
            raise UserError(
                f"compose: augmented and jitter change the colours of {', '.join(IMAGES)}, not of "
                f"source={self.source}: leave them out."
            )
        if self.source == "self" and not (self.shifted or changed):
            raise UserError(
                "compose: source=self at its own place changes nothing: choose shifted=true, "
                "augmented=true or jitter above 0."
            )

    def _refuse_bounds(self) -> None:
        """Raise UserError naming the first pair of bounds, or number, that is impossible."""
        for name, lowest, highest in (("opacity", 0, 1), ("area", 0, 1), ("aspect", 0, 100)):
            low, high = getattr(self, name) or (1, 1)
            if not lowest < low <= high <= highest:
                raise UserError(
                    f"compose: {name}={(low, high)} must satisfy {lowest} < low <= high <= "
                    f"{highest}."
                )
        if not 0 <= self.max_degrees <= 180:
            raise UserError(f"compose: max_degrees={self.max_degrees} must lie in 0..180.")
        if not 0 <= self.jitter <= 0.5:
            raise UserError(f"compose: jitter={self.jitter} must lie in 0..0.5.")

    @property
    def colours(self) -> bool:
        brought = ("texture", "noise", "colour", "simplex", "defect")
        return self.source in brought or self.augmented

    @property
    def needs(self) -> frozenset[Need]:
        asked: dict[Need, bool] = {
            "textures": self.source == "texture",
            "another": self.source == "another",
            "foreground": self.foreground > 0,
            "defects": "real" in self.shapes,
            "defect images": self.source == "defect",
        }
        return frozenset(need for need, so in asked.items() if so)

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = self._region(canvas, rng)
        if mask is None:
            return None
        opacity = 1.0 if self.blend == "paste" else rng.uniform(*self.opacity)
        # A Poisson blend needs the region's neighbours too.
        seamless = self.blend.startswith("poisson")
        box = _around(mask, margin=int(seamless))
        region = np.ascontiguousarray(mask[box])
        seen = cv2.dilate(region.view(np.uint8), np.ones((3, 3), np.uint8)) if seamless else region
        shown = patch(self, canvas, box, seen.view(np.bool_), rng)
        blended = self._blended(normal[box], shown, region, opacity)
        if blended is None or not differs(blended, normal[box]):
            return None
        image = normal.copy()
        image[box] = blended
        return Sample(image, mask)

    def _region(self, canvas: Canvas, rng: np.random.Generator) -> Mask | None:
        """Draw the mask, bool (H, W); None where it came out empty every time."""
        shape = canvas.normal.shape[0], canvas.normal.shape[1]
        within = canvas.foreground if overlay.on_object(self.foreground, rng) else None

        def draw() -> Mask:
            mask = MASKS[self.shapes[0]](self, canvas, shape, rng)
            for another in self.shapes[1:]:
                mask &= MASKS[another](self, canvas, shape, rng)
            if self.blend.startswith("poisson"):
                mask[[0, -1]] = mask[:, [0, -1]] = False
            return mask

        return overlay.redrawn(draw, within)

    def _blended(self, normal: Image, shown: Image, mask: Mask, opacity: float) -> Image | None:
        """Return a patch blended into the normal through the mask: all (h, w)."""
        if not self.blend.startswith("poisson"):
            return overlay.blend(normal, shown, mask, 1 - opacity)
        rules: dict[str, poisson.Rule] = {
            "poisson": poisson.source_gradients,
            "poisson-mixed": poisson.mixed_gradients,
            "poisson-weighted": poisson.weighted_mixed_gradients(opacity),
        }
        return poisson.to_bytes(poisson.blend_within(normal, shown, mask, rules[self.blend]))


def _around(mask: Mask, margin: int) -> Box:
    """Return the smallest box around a mask that is not empty, `margin` pixels wider all around."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(top - margin, top + height + margin)
    return rows, slice(left - margin, left + width + margin)

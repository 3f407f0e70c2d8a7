"""Grey stays grey: what is drawn on grey photographs shows no colour, unless it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging.masks import visible
from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store.types import Image, Sample

Colour = Literal["as-normals", "as-published"]
MEANING = (
    "as-normals: where all normals of a category are grey, what is drawn on them becomes grey too; "
    "as-published: it keeps its colours."
)


@dataclass(frozen=True, kw_only=True)
class Colouring(PerSample):
    """A hand-crafted method that may put colours on grey normals: by textures, jitter or noise.

    What it returns is made grey, once it is drawn: what is drawn, and where, does not depend on
    colour, and on coloured normals nothing changes.
    """

    colour: Colour = parameter("as-normals", MEANING)

    @property
    def colours(self) -> bool:
        """Whether it may put colours on grey normals at its parameters."""
        return True

    @property
    def keeps_grey(self) -> bool:
        return self.colour == "as-normals" and self.colours

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        samples = super().render(canvases, rngs)
        if not self.keeps_grey:
            return samples
        return [s and as_normals(s, canvas) for s, canvas in zip(samples, canvases, strict=True)]


def as_normals(sample: Sample, canvas: Canvas) -> Sample | None:
    """Return the sample grey where all normals are; None where nothing is left to be seen of it."""
    if not canvas.material.grey:
        return sample
    image = grey(sample.image)
    clean = None if sample.clean is None else grey(sample.clean)
    shown = visible(image, canvas.normal if clean is None else clean, sample.mask)
    return Sample(image, sample.mask, clean) if shown else None


def grey(image: Image) -> Image:
    """Return the brightness of an image (Rec. 601 luma) in all its channels: uint8 (H, W, 3).

    Pixels whose channels are equal keep their level.
    """
    luma = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)

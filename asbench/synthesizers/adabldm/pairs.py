"""What AdaBLDM's control branch learns from: real defects put elsewhere, and trimaps of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asbench.imaging.moving import Part, put, taken
from asbench.imaging.overlay import believed
from asbench.types import Defect, Subject
from synth_store.types import Image, Mask

SCALE = (0.85, 1.15)
TRIES = 5
"""Turns of a defect that is put elsewhere; each is tried at a hundred places."""


def moved(image: Image, mask: Mask, rng: np.random.Generator) -> Part | None:
    """Return a defect cut out, turned by U(0, 360) degrees and scaled by U(0.85, 1.15)."""
    degrees, scale = float(rng.uniform(0, 360)), float(rng.uniform(*SCALE))
    return taken(image, mask, degrees=degrees, scale=scale, mirrored=(False, False))


def pasted(
    subject: Subject, defects: Sequence[Defect], rng: np.random.Generator
) -> tuple[Image, Mask, Mask]:
    """Return an image with a real defect put onto a normal, its mask, and where the object is.

    All of the defect lies on the object. Where it fits nowhere: the defect's own photograph, as
    all object.
    """
    defect = defects[int(rng.integers(len(defects)))]
    number = int(rng.integers(len(subject.normals)))
    normal, foreground = subject.normals[number], subject.foregrounds[number]
    within = believed(foreground)
    for _ in range(TRIES):
        part = moved(defect.image, defect.mask, rng)
        at = part and put(rng, part.mask, normal.shape[:2], within, 1.0)
        if part is None or at is None:
            continue
        image, mask = normal.copy(), np.zeros(normal.shape[:2], np.bool_)
        rows, columns = (slice(a, a + n) for a, n in zip(at, part.mask.shape, strict=True))
        height, width = mask[rows, columns].shape
        inside = part.mask[:height, :width]
        mask[rows, columns] = inside
        np.copyto(image[rows, columns], part.image[:height, :width], where=inside[..., None])
        return image, mask, np.ones_like(mask) if within is None else within
    return defect.image, defect.mask, np.ones_like(defect.mask)


def placed_mask(mask: Mask, within: Mask | None, rng: np.random.Generator) -> Mask:
    """Return a mask turned, scaled and put elsewhere on the object; empty where it fits nowhere."""
    blank = np.zeros((*mask.shape, 3), np.uint8)
    result = np.zeros_like(mask)
    for _ in range(TRIES):
        part = moved(blank, mask, rng)
        at = part and put(rng, part.mask, (mask.shape[0], mask.shape[1]), within, 1.0)
        if part is None or at is None:
            continue
        under = result[at[0] : at[0] + part.mask.shape[0], at[1] : at[1] + part.mask.shape[1]]
        under[:] = part.mask[: under.shape[0], : under.shape[1]]
        break
    return result

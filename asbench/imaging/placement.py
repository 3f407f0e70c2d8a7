"""Where an anomaly lies: on the object, where one was found."""

from __future__ import annotations

import numpy as np

from asbench.types import Indexed
from synth_store.types import Image, Mask, Sample

OVERLAP = 0.25
"""The share of an anomaly, or of the object where that is smaller, that both must have in common.

A patch that only grazes the object leaves a sliver of itself there, noise over the whole image a
crumb: neither is what the method draws. No more is asked, since masks that are several times as
large as the object, as Perlin noise is, cover all of it seldom.
"""


LOOKED = 100
"""Normals that are asked where the object usually is."""
ALIKE = 0.75
"""What an object shares with the usual place at the median, of both together, where there is one.

The demo's board has .86, a tire .94; its capsules, which lie at every angle, .49: there a method
that makes its own background may put the object elsewhere, and only the core would count.
"""


def usual_place(foregrounds: Indexed[Mask]) -> Mask:
    """Return where the object is on at least half of the normals that show it: bool (H, W).

    foregrounds: bool (H, W), one for each normal, all of it where no object was found. All of it,
    too, where objects have no usual place (`ALIKE`), or none was found. It is where a method that
    makes its own background puts the object: where it was on what it learned from.
    """
    some = np.linspace(0, len(foregrounds) - 1, min(len(foregrounds), LOOKED)).astype(int)
    found = [mask for mask in (foregrounds[i] for i in some) if not mask.all()]
    if found:
        usual = np.asarray(np.mean(found, axis=0) >= 0.5)
        shared = [(mask & usual).sum() / (mask | usual).sum() for mask in found]
        if np.median(shared) >= ALIKE:
            return usual
    return np.ones_like(foregrounds[0])


def lies_on(mask: Mask, found: Mask, overlap: float = OVERLAP) -> bool:
    """Return whether a mask lies on the object, by the share that `kept_to` asks for.

    mask, found: bool (H, W).
    """
    least = overlap * min(np.count_nonzero(mask), np.count_nonzero(found))
    return bool(np.count_nonzero(mask & found) >= least)


def kept_to(found: Mask, sample: Sample, clean: Image, overlap: float = OVERLAP) -> Sample | None:
    """Return the sample with what lies beside the object taken back; None where too little is left.

    found: bool (H, W), the object; clean: uint8 (H, W, 3), what the anomaly was drawn on, which a
    sample equals outside its mask wherever anything is taken back. What is left must be the share
    `overlap` of the smaller of mask and object (the coefficient of Szymkiewicz and Simpson). A
    sample that lies on the object is returned as it is.
    """
    mask = sample.mask & found
    if np.count_nonzero(mask) == np.count_nonzero(sample.mask):
        return sample
    if not lies_on(sample.mask, found, overlap):
        return None
    image = clean.copy()
    np.copyto(image, sample.image, where=mask[..., None])
    return Sample(image, mask, sample.clean)

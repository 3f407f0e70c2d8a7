"""What a sample must show to be stored: a change that a camera's noise does not hide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.masks import LEVELS, change_inside, largest_change, noticeable
from asbench.imaging.noise import noise_of
from asbench.types import Indexed
from synth_store.types import Image, Mask, Sample, UserError

LEAST_NOISE = 2.0
"""Grey levels that noise counts as, at least: resizing and JPEG have smoothed what there was."""
MOST_NOISE = 8.0
"""Grey levels that noise counts as, at most: what is louder is a texture finer than two pixels."""
WIDER = 0.2
"""The share of a mask's pixels that may be unchanged."""
WINDOW = 5
"""Pixels along each side of the neighbourhood over which a faint change adds up."""


HELD = 0.8
"""The share of a strong change that must lie by its mask, of methods that may change more."""
NEAR = 3 / 256
"""Of the image: how far from its mask a change still lies by it."""


class Change(NamedTuple):
    """What a sample shows inside its mask.

    levels: the median change of the pixels that changed, the largest of their channels', in grey
    levels; unchanged: the share of the mask's pixels whose levels are those of the clean image.
    """

    levels: float
    unchanged: float


@dataclass(frozen=True, slots=True)
class Visibility:
    """The rule by which a sample is visible, and its mask not much wider than what is to be seen.

    times: K, how many standard deviations of the noise a change must reach; noise: that of the
    category's normals, in grey levels; unchanged: the share of a mask that may be unchanged.

    At K = 0, the published rule, any change counts: `imaging.masks.visible`. Above, both must hold:

    1. Half of the pixels that changed inside the mask did so by K noise grey levels in some
       channel; or else, around half of them, the mean change of the n changed pixels within 5 x 5
       is K noise / sqrt(n), what noise leaves of itself in a mean: a faint patch shows by its area
       where none of its pixels does. Noise counts as 8 levels at most, being texture beyond, and
       as 2 at least, in a mean too.
    2. At most a fifth of the mask's pixels are unchanged; for a method that keeps to published
       masks that are wider (`Synthesizer.wide_masks`) all but one may be.

    3. Of methods that may change more than their mask (`held` above 0): at least the share `held`
       of what changed half as much as the mask's median lies on the mask or by it, so that no
       mask is narrower than its defect.

    K is 3 unless it is given: the median pixel of two photographs of one place differs by 1.8
    standard deviations (the largest of three channels), and 6 levels of 255 are about what an eye
    finds on a photograph without noise when it does not know where to look.
    """

    times: float = 0.0
    noise: float = 0.0
    unchanged: float = WIDER
    held: float = 0.0

    @property
    def counted(self) -> float:
        """What the noise counts as, in grey levels."""
        return min(max(self.noise, LEAST_NOISE), MOST_NOISE)

    @property
    def levels(self) -> float:
        """Grey levels by which half of the changed pixels must differ."""
        return self.times * self.counted

    def shows(self, image: Image, clean: Image, mask: Mask) -> bool:
        """Return whether a sample is visible.

        image, clean: uint8 (H, W, 3); mask: bool (H, W). False for an empty mask.
        """
        inside = change_inside(image, clean, mask)
        if not noticeable(inside):
            return False
        if not self.times:
            return True
        seen = _change(inside)
        if seen.unchanged > self.unchanged:
            return False
        if self.held and share_held(image, clean, mask) < self.held:
            return False
        if seen.levels >= self.levels:
            return True
        loud = self.counted > LEAST_NOISE
        return loud and against_noise(image, clean, mask, self.counted) >= self.times


PUBLISHED = Visibility()
"""Any change counts."""


def visibility(
    times: float, normals: Indexed[Image], *address: str, among: Sequence[int] = ()
) -> Visibility:
    """Return the rule for a category; its normals are looked at only where noise plays a part.

    address, among: see `noise_of`. Raises UserError for `times` that are no number
    from 0 up.
    """
    check_times(times)
    if not times:
        return PUBLISHED
    return Visibility(float(times), noise_of(normals, *address, among=among))


def check_times(times: float) -> None:
    """Raise UserError unless `times` is a number from 0 up."""
    if not (math.isfinite(times) and times >= 0):
        raise UserError(
            f"visible={times} is impossible: give a number from 0 (any change, as published) up; a "
            "change of so many standard deviations of the camera's noise counts."
        )


def change(image: Image, clean: Image, mask: Mask) -> Change:
    """Measure what a sample shows inside its mask.

    image, clean: uint8 (H, W, 3); mask: bool (H, W). Where nothing changed: 0 levels.
    """
    return _change(change_inside(image, clean, mask))


def _change(inside: npt.NDArray[np.uint8]) -> Change:
    """Measure the change at a mask's pixels: uint8 (n,), from `change_inside`."""
    upto = np.bincount(inside, minlength=1).cumsum()
    same = int(upto[0])
    if not (changed := len(inside) - same):
        return Change(0.0, 1.0)
    # The median by counting: of ten thousand levels in a fifth of what sorting them takes.
    middle = np.searchsorted(upto, (same + (changed - 1) // 2, same + changed // 2), "right")
    return Change(float(middle.mean()), 1 - changed / len(inside))


def share_held(image: Image, clean: Image, mask: Mask) -> float:
    """Return the share of a strong change that lies on its mask or within 3 pixels of 256.

    Strong is what changed half as much as the median of the mask's changed pixels, and by 4 levels
    at least. image, clean: uint8 (H, W, 3); mask: bool (H, W). 0 where the mask shows no change.
    """
    largest = largest_change(image, clean)
    inside = largest[mask]
    inside = inside[inside > 0]
    if not len(inside):
        return 0.0
    strong = largest >= max(float(np.median(inside)) / 2, LEVELS)
    total = np.count_nonzero(strong)
    reach = max(1, round(NEAR * max(mask.shape)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    by = cv2.dilate(mask.view(np.uint8), square) > 0
    return float(np.count_nonzero(strong & by) / total) if total else 0.0


def against_noise(image: Image, clean: Image, mask: Mask, noise: float) -> float:
    """Return how much louder a change is than noise once neighbours are averaged: the median.

    Over the pixels that changed inside the mask: the mean difference of the n of them within 5 x 5
    around one, the largest channel's, in units of noise / sqrt(n), or of 2 levels where that is
    more; 0 where nothing changed. image, clean: uint8 (H, W, 3); mask: bool (H, W).
    """
    changed = mask & (largest_change(image, clean) > 0)
    left, top, width, height = cv2.boundingRect(changed.view(np.uint8))
    if not width:
        return 0.0
    box = slice(top, top + height), slice(left, left + width)
    inside = changed[box]
    by = (image[box].astype(np.float32) - clean[box]) * inside[..., None]
    total, count = (
        cv2.boxFilter(
            values, cv2.CV_32F, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT
        )[inside]
        for values in (by, inside.astype(np.float32))
    )
    unit = np.maximum(noise / np.sqrt(count), LEAST_NOISE)
    return float(np.median(np.abs(total).max(axis=1) / count / unit))


def described(samples: Sequence[Sample], noise: float) -> str:
    """Say what samples show against their clean images: means over them.

    What changed, in levels, how much of the masks did not, and how much of it their masks hold.

    noise: that of the category's normals, in grey levels. Empty where no sample has a clean image.
    """
    changes = [
        (*change(*shown), share_held(*shown))
        for sample in samples
        if sample.clean is not None
        for shown in [(sample.image, sample.clean, sample.mask)]
    ]
    if not changes:
        return ""
    levels, unchanged, by = np.mean(changes, axis=0)
    said = f"change {levels:.0f} levels, noise {noise:.1f}; {unchanged:.0%} of the mask unchanged"
    return said if by > 0.995 else f"{said}; it holds {by:.0%} of the change"

"""The pixels of anomaly maps, parted by masks: by region, and in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask, UserError

Scores = npt.NDArray[Any]
"""Real numbers of any precision, higher = more anomalous."""
Maps = Scores | Sequence[Scores]
"""(n, H, W), or one (H, W) array an image."""
Masks = npt.NDArray[np.bool_] | Sequence[Mask]


@dataclass(frozen=True)
class Pairs:
    """The (scores, mask) of every image, checked, and gone through as often as it takes.

    dtype: in which the scores of all images compare; total, largest: pixels, of all and of one.
    """

    maps: Maps
    masks: Masks
    dtype: np.dtype[Any]
    total: int
    largest: int

    def __iter__(self) -> Iterator[tuple[Scores, Mask]]:
        return zip(self.maps, self.masks, strict=True)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[Scores, Mask]]:
        """Go through the chosen images alone: what is left out is not asked for."""
        return ((self.maps[i], self.masks[i]) for i in np.flatnonzero(chosen).tolist())


def pairs(maps: Maps, masks: Masks) -> Pairs:
    """Return the (scores, mask) of every image, checked."""
    if len(maps) != len(masks):
        raise ValueError(f"{len(maps)} maps do not go with {len(masks)} masks")
    kinds, sizes = {np.dtype(np.float16)}, [0]
    for index, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if scores.ndim != 2 or mask.shape != scores.shape or mask.dtype != np.bool_:
            raise ValueError(
                f"image {index}: its mask must be bool and (H, W) like its map {scores.shape}, "
                f"not {mask.dtype} {mask.shape}"
            )
        if not np.isfinite(scores).all():
            raise UserError(
                f"the anomaly map of image {index} is not finite: metrics need finite scores. "
                "Did the training diverge? Look at its losses."
            )
        kinds.add(scores.dtype)
        sizes.append(scores.size)
    return Pairs(maps, masks, np.result_type(*kinds), sum(sizes), max(sizes))


def regions_of(mask: Mask) -> tuple[int, npt.NDArray[Any]]:
    """Return the number R of 8-connected regions, and (H, W) int32: 1..R inside, 0 outside."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(labels)


def anomalous_pixels(
    images: Pairs, left_out: npt.NDArray[np.bool_]
) -> tuple[Scores, npt.NDArray[np.float64], npt.NDArray[np.bool_], tuple[int, int]]:
    """Return the scores of all anomalous pixels, their weights, which of them are not left out.

    And the number of regions, of all images and of those not left out. A pixel weighs 1 / (pixels
    of its region), so every region weighs 1 whatever its size.
    """
    anomalous, weights, held = [np.empty(0, images.dtype)], [np.empty(0)], [np.empty(0, np.bool_)]
    regions = kept = 0
    for (scores, mask), aside in zip(images, left_out, strict=True):
        if mask.any():
            count, labels = regions_of(mask)
            region = labels[mask]
            anomalous.append(scores[mask])
            weights.append(1 / np.bincount(region)[region])
            held.append(np.full(region.size, not aside))
            regions += count
            kept += 0 if aside else count
    whole = np.concatenate(anomalous), np.concatenate(weights), np.concatenate(held)
    return *whole, (regions, kept)


def normal_pixels(images: Pairs, chosen: npt.NDArray[np.bool_], buffer: Scores) -> Iterator[Scores]:
    """Yield the scores of the chosen images' normal pixels in blocks of about the buffer's size.

    Every block is a view of the same buffer, overwritten by the next: memory touched for the first
    time costs more than the copy itself.
    """
    filled = 0
    for scores, mask in images.only(chosen):
        normal = scores[~mask] if mask.any() else scores.ravel()
        if filled + normal.size > buffer.size:
            yield buffer[:filled]
            filled = 0
        buffer[filled : filled + normal.size] = normal
        filled += normal.size
    yield buffer[:filled]

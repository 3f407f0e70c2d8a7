"""What a composed anomaly shows: patches that are drawn, and those cut from images."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from asbench.imaging.augment import jitter
from asbench.imaging.augmenter import augment
from asbench.imaging.cells import shuffle_cells
from asbench.imaging.foreign import Box
from asbench.imaging.patches import elsewhere, place
from asbench.imaging.simplex import octaves
from asbench.types import Canvas, Defect
from synth_store.types import Image, Mask

CUT = ("self", "another")
"""Sources that may be taken from elsewhere in their image."""
IMAGES = ("texture", "self", "another", "shuffled", "defect")
"""Sources that are images, whose colours can be changed."""
CELLS = 8
"""A shuffled image is cut into 8 x 8 cells, as MemSeg's public implementation does."""
SHADES = (0.2, 0.3)
"""A shade is this share of the image's range, up or down, as in ASBench's FPI."""
SIMPLEX_STRENGTH = 0.2
SIMPLEX_PERIOD = 32 / 256
"""Weight of simplex noise, and its widest period as a share of the shorter side: as in RD++."""


class Parameters(Protocol):
    """What sources go by, of the parameters of `Compose`."""

    @property
    def source(self) -> str: ...
    @property
    def shifted(self) -> bool: ...
    @property
    def augmented(self) -> bool: ...
    @property
    def jitter(self) -> float: ...


def patch(
    method: Parameters, canvas: Canvas, box: Box, inside: Mask, rng: np.random.Generator
) -> Image:
    """Draw what the method's source shows in a box: uint8 (h, w, 3).

    inside: bool (h, w), the pixels that will be looked at; of others nothing is promised.
    """
    normal = canvas.normal[box]
    match method.source:
        case "noise":
            return rng.integers(0, 256, normal.shape, dtype=np.uint8)
        case "colour":
            return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), normal.shape).copy()
        case "black":
            return np.zeros_like(normal)
        case "shade":
            span = int(canvas.normal.max()) - int(canvas.normal.min())
            change = rng.uniform(*SHADES) * span * (1 if rng.random() < 0.5 else -1)
            return _clipped(normal + change)
        case "simplex":
            return _noisy(normal, inside, min(canvas.normal.shape[:2]), rng)
        case "defect":
            shown = inner(canvas.defect_image(rng), (normal.shape[0], normal.shape[1]), rng)
            shown = augment(shown, rng) if method.augmented else shown
        case _:
            image = _image(method, canvas, rng)
            cut = method.source in CUT and method.shifted
            size = normal.shape[0], normal.shape[1]
            shown = elsewhere(rng, image, size) if cut else image[box]
    if method.jitter:
        strengths = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), method.jitter)
        shown = jitter(np.ascontiguousarray(shown), rng, **strengths)
    return np.ascontiguousarray(shown)


def inner(defect: Defect, size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return what a real defect shows inside its mask, spread over a patch: uint8 (h, w, 3).

    Its box, where each pixel beside the defect takes the nearest one's of the defect, mirrored by
    fair coins; enlarged until it covers the patch, or a random piece of it.
    """
    from scipy import ndimage  # late: it takes as long to import as all else here

    left, top, width, height = cv2.boundingRect(defect.mask.view(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    rows, columns = ndimage.distance_transform_edt(
        ~defect.mask[box], return_distances=False, return_indices=True
    )
    filled = defect.image[box][rows, columns]
    down, across = rng.random(2) < 0.5
    filled = np.ascontiguousarray(filled[:: -1 if down else 1, :: -1 if across else 1])
    times = max(size[0] / height, size[1] / width, 1)
    if times > 1:
        larger = max(round(width * times), size[1]), max(round(height * times), size[0])
        filled = np.asarray(cv2.resize(filled, larger, interpolation=cv2.INTER_LINEAR), np.uint8)
    row, column = place(rng, size, (filled.shape[0], filled.shape[1]))
    return filled[row : row + size[0], column : column + size[1]]


def _noisy(normal: Image, inside: Mask, side: int, rng: np.random.Generator) -> Image:
    """Add octaves of simplex noise to an image, at the pixels that are looked at."""
    rows, columns = np.nonzero(inside)
    period = max(SIMPLEX_PERIOD * side, 1)
    noise = octaves(rows, columns, rng, period=period, count=6, persistence=0.6)
    noisy = normal.copy()
    noisy[rows, columns] = _clipped(normal[rows, columns] + 255 * SIMPLEX_STRENGTH * noise)
    return noisy


def _clipped(values: np.ndarray) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _image(method: Parameters, canvas: Canvas, rng: np.random.Generator) -> Image:
    """Draw the whole image that a patch is cut from: uint8 (H, W, 3)."""
    if method.source == "texture":
        image = canvas.texture(rng)
    elif method.source == "another":
        image = canvas.another(rng).normal
    else:
        image = canvas.normal
    if method.augmented:
        image = augment(image, rng)
    if method.source == "shuffled":
        image = shuffle_cells(image, rng.permutation(CELLS * CELLS), CELLS)
    return image

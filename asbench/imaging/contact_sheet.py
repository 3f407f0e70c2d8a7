"""Pictures to look at: contact sheets of synthetic sets, heat maps over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from asbench.mend import SynthStore
from asbench.results import Run
from synth_store import Sample, StoreKey
from synth_store.types import Image, Mask

OUTLINE = (255, 64, 48)
INK, PAPER = (40, 40, 40), (250, 250, 248)
GAP = 4
ROWS = 256
"""Rows of a heat map drawn at a time."""
LABEL = 18
"""Height of a line of text, in pixels."""


@dataclass(frozen=True, eq=False)
class Band:
    """One method's samples on a contact sheet, with their clean images, under a title."""

    title: str
    samples: Sequence[Sample]


def outlined(image: Image, mask: Mask, *, width: int = 1) -> Image:
    """Return a copy of an image with the border of its mask drawn just outside of it."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    border = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool) & ~mask
    drawn = image.copy()
    drawn[border] = OUTLINE
    return drawn


def contact_sheet(bands: Sequence[Band], *, side: int = 128, compact: bool = False) -> Image:
    """Lay out samples: per method a row of clean images, one of anomalies, one with outlines.

    side: height of a cell in pixels; compact: only the outlined anomalies, one row per method.
    Returns uint8 (H, W, 3). Raises ValueError when there is nothing to show.
    """
    every = [sample for band in bands for sample in band.samples]
    if not every:
        raise ValueError("a contact sheet of no samples")
    columns = max(len(band.samples) for band in bands)
    height, width = every[0].mask.shape
    cell = (side, max(1, round(side * width / height)))
    rows: list[npt.NDArray[np.uint8]] = []
    for band in bands:
        rows.append(_text(band.title, columns * (cell[1] + GAP) + GAP))
        strips = [[outlined(s.image, s.mask, width=max(1, height // 128)) for s in band.samples]]
        if not compact:
            blank = _paper(height, width)
            cleans = [blank if s.clean is None else s.clean for s in band.samples]
            strips = [cleans, [s.image for s in band.samples], *strips]
        rows += [_strip(strip, cell, columns) for strip in strips]
    return np.concatenate([*rows, _paper(GAP, rows[0].shape[1])])


def foreground_sheet(bands: Sequence[Band], *, side: int = 128, compact: bool = False) -> Image:
    """Lay out normals, and below each the same with its object outlined and the rest darkened.

    Where the foreground is the whole image the cell says so. side, compact: as in `contact_sheet`.
    Returns uint8 (H, W, 3). Raises ValueError when there is nothing to show.
    """
    every = [sample for band in bands for sample in band.samples]
    if not every:
        raise ValueError("a sheet of no foregrounds")
    columns = max(len(band.samples) for band in bands)
    height, width = every[0].mask.shape
    cell = (side, max(1, round(side * width / height)))
    rows: list[npt.NDArray[np.uint8]] = []
    for band in bands:
        rows.append(_text(band.title, columns * (cell[1] + GAP) + GAP))
        objects = _strip([_object(s) for s in band.samples], cell, columns)
        for place, sample in enumerate(band.samples):
            if sample.mask.all():
                left = GAP + place * (cell[1] + GAP)
                objects[GAP : GAP + LABEL, left : left + cell[1]] = _text("whole image", cell[1])[
                    : cell[0]
                ]
        rows += [objects] if compact else [_strip(_images(band), cell, columns), objects]
    return np.concatenate([*rows, _paper(GAP, rows[0].shape[1])])


def _images(band: Band) -> list[Image]:
    return [sample.image for sample in band.samples]


def _object(sample: Sample) -> Image:
    """Return a normal with everything but its object at a third of its brightness."""
    drawn = sample.image.copy()
    drawn[~sample.mask] //= 3
    return outlined(drawn, sample.mask, width=max(1, sample.mask.shape[0] // 128))


def sheets(store: Path | str, runs: Sequence[Run], *, count: int = 8) -> dict[str, bytes]:
    """Return a contact sheet, as WebP, of every stored set that these runs trained on.

    They are reduced to be looked at; lossless, they would be most of a page.
    """
    opened = SynthStore.open(store)
    wanted = {
        (StoreKey(r.decides["dataset"], method, r.decides["synth_seed"]), r.decides["category"])
        for r in runs
        for method in r.decides["sets"]
    }
    present = [pair for pair in opened.sets() if pair in wanted]
    drawn = {}
    for key, category in present:
        stored = opened.read(key, category)
        band = Band(f"{key}/{category}", [stored[i] for i in range(min(count, len(stored)))])
        drawn[band.title] = encoded(contact_sheet([band], side=112), ".webp")
    return drawn


def heat(image: Image, scores: npt.NDArray[np.float32], threshold: float | None = None) -> Image:
    """Return an image with its anomaly map laid over it, hotter and more opaque where higher.

    scores: float32 (h, w), like the image; the scale ends at the larger of the threshold and the
    map's own maximum, so that a normal image does not glow.
    """
    top = max(float(scores.max()), threshold or 0.0, 1e-6)
    drawn = np.empty_like(image)
    for start in range(0, len(image), ROWS):  # whole photographs would take a gigabyte meanwhile
        rows = slice(start, start + ROWS)
        share = np.clip(scores[rows] / top, 0, 1)
        colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        opacity = (0.85 * share)[..., None]
        drawn[rows] = np.rint(image[rows] * (1 - opacity) + colours * opacity)
    return drawn


def png(image: Image) -> bytes:
    """Return an image as PNG."""
    return encoded(image, ".png")


def encoded(image: Image, suffix: str) -> bytes:
    """Return an image as a file with this suffix; WebP loses what eyes do not see."""
    options = [cv2.IMWRITE_WEBP_QUALITY, 90] if suffix == ".webp" else []
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise ValueError(f"cannot encode an image of {image.shape}")
    return data.tobytes()


def _strip(images: Sequence[Image], cell: tuple[int, int], columns: int) -> Image:
    row = _paper(cell[0] + GAP, columns * (cell[1] + GAP) + GAP)
    for i, image in enumerate(images):
        shrinking = image.shape[0] >= cell[0]
        rule = cv2.INTER_AREA if shrinking else cv2.INTER_NEAREST
        left = GAP + i * (cell[1] + GAP)
        row[GAP:, left : left + cell[1]] = cv2.resize(image, cell[::-1], interpolation=rule)
    return row


def _paper(height: int, width: int) -> Image:
    return np.full((height, width, 3), PAPER, np.uint8)


def _text(text: str, width: int) -> Image:
    page = Pillow.fromarray(_paper(LABEL, width))
    ImageDraw.Draw(page).text((GAP, 2), text, INK, ImageFont.load_default(12))
    return np.asarray(page)

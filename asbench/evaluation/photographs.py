"""Whole photographs scored by a detector that knows images of one size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from asbench.evaluation.predict import Floats, predict, predicted
from asbench.imaging.geometry import resize, unfit
from asbench.imaging.tiles import Grid, blend, cut, enlarge
from asbench.nets.detector import Detector
from synth_store.types import Geometry, Image

PIXELS = {"cpu": 2 * 256 * 256, "cuda": 16 * 256 * 256}
"""Tiles go through a detector together up to so many pixels, by device: what bounds the memory."""


def predict_photograph(
    detector: Detector, image: Image, geometry: Geometry, device: torch.device | str
) -> tuple[Floats, float]:
    """Return the anomaly map of a photograph at its own size, float32 (h, w), and its score.

    image: uint8 (h, w, 3). For tiles the map is blended of theirs, and the score is the highest.
    """
    height, width = image.shape[:2]
    if geometry.tiled:
        blended, score = predict_tiles(detector, image, geometry, device)
        return enlarge(blended, height, width), score
    maps, scores = predict(detector, iter([resize(image, geometry)]), device)
    return unfit(maps[0], geometry, height, width), float(scores[0])


def predict_tiles(
    detector: Detector, image: Image, geometry: Geometry, device: torch.device | str
) -> tuple[Floats, float]:
    """Return a photograph's blended map at the scale of the tiles, and its highest score."""
    grid = Grid(image.shape[0], image.shape[1], geometry)
    together = PIXELS[torch.device(device).type]
    batch = max(1, together // (geometry.height * geometry.width))
    highest = -np.inf

    def maps() -> Iterator[Floats]:
        nonlocal highest
        for some, scores in predicted(detector, cut(image, geometry), device, batch):
            # NaN if any is: a comparison would lose it, and no detector may lose it unseen
            highest = np.maximum(highest, scores.max())
            yield from some

    blended = blend(maps(), grid)
    return blended, float(highest)

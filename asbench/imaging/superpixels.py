"""One superpixel of an image: a patch that ends where the image's own colours do.

Simple linear iterative clustering (Achanta et al., SLIC Superpixels, TPAMI 2012), but of the window
around one place only, on a grid whose pixels each choose among the nine centres about them.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.overlay import draw_pixel
from synth_store.types import Image, Mask

CELL = 12
"""Pixels along a cell at which the window is looked at: larger ones are shrunk to it."""
REACH = 2
"""Cells of the window on each side of the middle one."""
ROUNDS = 5
COMPACT = 12.0
"""Levels of colour that weigh as much as a cell's side: higher makes squarer superpixels."""


def superpixel(
    rng: np.random.Generator, image: Image, area: tuple[float, float], among: Mask | None = None
) -> Mask:
    """Draw the superpixel around a random pixel of an image: bool (H, W), never empty.

    image: uint8 (H, W, 3). area: bounds of its share of the image, on average. among: bool (H, W),
    the pixels that may be drawn; by default all.
    """
    height, width = image.shape[:2]
    side = max(math.sqrt(rng.uniform(*area) * height * width), 2.0)
    row, column = draw_pixel(rng, np.ones((height, width), np.bool_) if among is None else among)
    reach = math.ceil((REACH + 0.5) * side)
    top, left = max(row - reach, 0), max(column - reach, 0)
    window = image[top : row + reach + 1, left : column + reach + 1]
    scale = min(CELL / side, 1)
    tall, wide = (max(round(n * scale), 1) for n in window.shape[:2])
    small = cv2.resize(window, (wide, tall), interpolation=cv2.INTER_AREA)
    labels = clusters(np.asarray(small, np.uint8), max(side * scale, 1))
    at = min(int((row - top) * scale), tall - 1), min(int((column - left) * scale), wide - 1)
    chosen = (labels == labels[at]).astype(np.uint8)
    parts = cv2.connectedComponents(chosen, connectivity=4)[1]
    part = (parts == parts[at]).astype(np.float32)
    inside = cv2.resize(part, window.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    mask: Mask = np.zeros((height, width), np.bool_)
    mask[top : top + window.shape[0], left : left + window.shape[1]] = inside
    mask[row, column] = True
    return mask


def clusters(image: Image, side: float) -> npt.NDArray[np.intp]:
    """Return the number of each pixel's superpixel: integers (h, w), not all of 0..max in use.

    image: uint8 (h, w, 3); side: that of a cell of the grid, in pixels.
    """
    height, width = image.shape[:2]
    grid = max(round(height / side), 1), max(round(width / side), 1)
    colours = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB) / COMPACT
    y, x = np.mgrid[:height, :width] / side
    points = np.dstack((colours, y, x)).reshape(-1, 5).astype(np.float32)
    # The grid cell that a pixel starts in, and the nine whose centres it may go to.
    cell_row = (np.arange(height) * grid[0] // height)[:, None]
    cell_column = (np.arange(width) * grid[1] // width)[None, :]
    around = np.stack(
        [
            np.clip(cell_row + down, 0, grid[0] - 1) * grid[1]
            + np.clip(cell_column + right, 0, grid[1] - 1)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        ]
    ).reshape(9, -1)
    labels, centres = around[4], np.zeros((grid[0] * grid[1], 5), np.float32)
    for _ in range(ROUNDS):
        count = np.bincount(labels, minlength=len(centres))
        for axis in range(5):
            total = np.bincount(labels, points[:, axis], minlength=len(centres))
            centres[:, axis] = np.where(count, total / np.maximum(count, 1), centres[:, axis])
        apart = [np.square(points - centres[near]).sum(axis=1) for near in around]
        labels = np.take_along_axis(around, np.argmin(apart, axis=0)[None], axis=0)[0]
    return np.asarray(labels.reshape(height, width))

"""Straightforward implementations of what came after the benchmark's paper, to be timed against.

Written from the published code's formulas as it does them: whole images in float64, noise and walks
point by point.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import slic

from asbench.imaging import augment, augmenter, bezier
from asbench.synthesizers import defectmaker, glass
from asbench.types import Canvas

Array = np.ndarray
Mask = Callable[[np.random.Generator], Array]


def blended(normal: Array, source: Array, mask: Array, opacity: float) -> Array:
    """Equation 1 of DRAEM over the whole image in float64."""
    mask = mask[..., None].astype(float)
    source, normal = source / 255, normal / 255
    return np.asarray((1 - mask) * normal + mask * (opacity * source + (1 - opacity) * normal))


def plain_glass(canvas: Canvas, rng: np.random.Generator, mask: Mask) -> Array:
    """The texture operations are ours."""
    first, second, joint = mask(rng), mask(rng), rng.random()
    both = first | second if joint > 2 / 3 else first & second if joint > 1 / 3 else first
    texture = canvas.texture(rng)
    for chosen in rng.choice(len(glass.OPERATIONS), 3, replace=False):
        texture = glass.OPERATIONS[chosen](texture, rng)
    return blended(canvas.normal, texture, both, 1 - np.clip(rng.normal(0.5, 0.1), 0.2, 0.8))


def plain_strips(image: Array, rng: np.random.Generator) -> Array:
    """Eight columns, then eight rows, even and odd ones shuffled apart."""
    for axis in (1, 0):
        strips = np.array_split(image, 8, axis=axis)
        even, odd = strips[::2], strips[1::2]
        rng.shuffle(even)  # type: ignore[arg-type]
        rng.shuffle(odd)  # type: ignore[arg-type]
        image = np.concatenate([*even, *odd], axis=axis)
    return image


def plain_diffusionad(canvas: Canvas, rng: np.random.Generator, mask: Mask) -> Array:
    """Three of ten operations are ours."""
    drawn = mask(rng)
    texture = rng.random() < 0.5
    source = augmenter.augment(canvas.texture(rng) if texture else canvas.normal, rng)
    source = source if texture else plain_strips(source, rng)
    return blended(canvas.normal, source, drawn, 1 - rng.uniform(0.2, 0.8))


def plain_transfusion(canvas: Canvas, rng: np.random.Generator, field: Mask) -> Array:
    """The cells as a view with five axes, indexed by a permutation; the operations are ours."""
    drawn = np.abs(field(rng)) > 0.5
    if rng.random() < 0.5:
        source = augmenter.augment(canvas.texture(rng), rng)
    else:
        side = canvas.normal.shape[0]
        cells = canvas.normal.reshape(8, side // 8, 8, side // 8, 3).swapaxes(1, 2)
        order = rng.permutation(64)
        cells = cells.reshape(64, *cells.shape[2:])[order].reshape(cells.shape)
        source = cells.swapaxes(1, 2).reshape(canvas.normal.shape)
    return blended(canvas.normal, source, drawn, 1)


def simplex_at(x: float, y: float, z: float, table: list[int]) -> float:
    """Simplex noise at one point, in plain Python."""
    skew = (x + y + z) / 3
    i, j, k = math.floor(x + skew), math.floor(y + skew), math.floor(z + skew)
    back = (i + j + k) / 6
    u, v, w = x - i + back, y - j + back, z - k + back
    order = sorted(range(3), key=lambda axis: -(u, v, w)[axis])
    steps, total = [0, 0, 0], 0.0
    for corner in range(4):
        dx, dy, dz = (o - s + corner / 6 for o, s in zip((u, v, w), steps, strict=True))
        left = 0.6 - dx * dx - dy * dy - dz * dz
        if left > 0:
            a, b, c = i + steps[0], j + steps[1], k + steps[2]
            hashed = table[(a + table[(b + table[c & 255]) & 255]) & 255] % 12
            first, sign, other = hashed // 4, 1 - 2 * (hashed & 1), 1 - (hashed & 2)
            g = [(sign, other, 0), (sign, 0, other), (0, sign, other)][first]
            total += left**4 * (g[0] * dx + g[1] * dy + g[2] * dz)
        if corner < 3:
            steps[order[corner]] = 1
    return 32 * total


def plain_simplex(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Six octaves, point by point."""
    side = canvas.normal.shape[0]
    height, width = (int(n) for n in rng.integers(10, side // 8, 2))
    top, left = int(rng.integers(1, side - height)), int(rng.integers(1, side - width))
    table = rng.permutation(256).tolist()
    noise = np.zeros((height, width, 3))
    for o in range(6):
        fine = 2**o / 32
        for y in range(height):
            for x in range(width):
                for c in range(3):
                    noise[y, x, c] += 0.6**o * simplex_at(x * fine, y * fine, c * fine, table)
    image = canvas.normal / 255
    image[top : top + height, left : left + width] += 0.2 * noise
    return np.asarray(image)


def plain_walk(rng: np.random.Generator, side: int) -> Array:
    """A walk of AnoStyler's, step by step, clipped at the border."""
    visited = np.zeros((side, side))
    y, x = (int(n) for n in rng.integers(0, side, 2))
    for _ in range(int(rng.integers(300, 18001))):
        visited[y, x] = 1
        down, right = rng.integers(-1, 2, 2)
        y, x = min(max(y + int(down), 0), side - 1), min(max(x + int(right), 0), side - 1)
    labels, _ = ndimage.label(ndimage.gaussian_filter(visited, rng.uniform(2, 12)) > 0.5)
    return np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1 if labels.any() else 0)


def plain_superpixel(canvas: Canvas, rng: np.random.Generator) -> Array:
    """All superpixels of the image, of which one is taken: scikit-image."""
    side = canvas.normal.shape[0]
    count = round(1 / rng.uniform(0.005, 0.05))
    labels = slic(canvas.normal, n_segments=count, compactness=10, start_label=0)
    return np.asarray(labels == labels[tuple(rng.integers(0, side, 2))])


def plain_defectmaker(canvas: Canvas, rng: np.random.Generator) -> Array:
    """A curve on 100 x 100 pixels, stretched, blended over the whole image; curve and fill ours."""
    side = canvas.normal.shape[0]
    area, ratio = (
        rng.uniform(0.02, 0.15) * side * side,
        math.exp(rng.uniform(-1, 1) * math.log(3.3)),
    )
    size = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
    part = cv2.resize(bezier.blob(rng, 100, 100, (5, 6)).astype(np.uint8), size[::-1]) > 0
    top, left = (int(rng.integers(side - n + 1)) for n in size)
    mask, source = np.zeros((side, side)), np.zeros((side, side, 3))
    fill = defectmaker.noise_fill(rng, size)
    fill = augment.jitter(fill, rng, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
    mask[top : top + size[0], left : left + size[1]] = part
    source[top : top + size[0], left : left + size[1]] = fill
    if rng.random() < 0.5:
        inner = ndimage.grey_erosion(mask, (5, 5))
        mask = ndimage.gaussian_filter(inner, 5, truncate=0.4)
    weights = mask[..., None]
    return np.asarray(canvas.normal / 255 * (1 - weights) + source / 255 * weights)


def plain_croppaste(canvas: Canvas, rng: np.random.Generator) -> Array:
    """The whole photograph turned, scaled and shifted by SciPy, until it lies on the object."""
    defect = canvas.defect_image(rng)
    side, turn = canvas.normal.shape[0], math.radians(rng.uniform(-180, 180))
    scale = rng.uniform(0.85, 1.15)
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) / scale
    centre = np.argwhere(defect.mask).mean(axis=0)
    for _ in range(100):
        shift = centre - matrix @ rng.uniform(0, side, 2)
        mask = ndimage.affine_transform(defect.mask.astype(float), matrix, shift, order=1) > 0.5
        if mask.any() and (mask & canvas.foreground).sum() >= 0.9 * mask.sum():
            break
    planes = [
        ndimage.affine_transform(defect.image[..., c].astype(float), matrix, shift, order=1)
        for c in range(3)
    ]
    return np.asarray(np.where(mask[..., None], np.dstack(planes), canvas.normal))

"""CutPaste, its scar and FractalAD written step by step: what the fast versions are timed against.

Plain Pillow and Python after the papers' own recipes, with the loops that published code has, none
of its side effects (reading files, global seeds) and none of the shipped bank. Each takes an image,
uint8 (H, W, 3), and a generator, and returns image and mask.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance

from synth_store.types import Image, Mask


def _jitter(patch: Pillow.Image, rng: np.random.Generator, s: float, hue: float) -> Pillow.Image:
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    for step in rng.permutation(4):
        if step < 3:
            factor = rng.uniform(max(0.0, 1 - s), 1 + s)
            patch = enhancers[step](patch).enhance(factor)
        else:
            turned = np.array(patch.convert("HSV"))
            turned[..., 0] += np.uint8(round(rng.uniform(-hue, hue) * 255) % 256)
            patch = Pillow.fromarray(turned, "HSV").convert("RGB")
    return patch


def cutpaste_reference(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Move a jittered rectangle: area U(0.02, 0.15), aspect log-uniform in 0.3..3.3."""
    picture = Pillow.fromarray(image)
    width, height = picture.size
    area = rng.uniform(0.02, 0.15) * height * width
    ratio = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
    w, h = min(round(math.sqrt(area * ratio)), width), min(round(math.sqrt(area / ratio)), height)
    left, top = int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h))
    patch = _jitter(picture.crop((left, top, left + w, top + h)), rng, 0.1, 0.1)
    left, top = int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h))
    picture.paste(patch, (left, top))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + h, left : left + w] = True
    return np.array(picture), mask


def scar_reference(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Move a jittered strip of 2..16 x 10..25 pixels of 256, turned by up to 45 degrees."""
    picture = Pillow.fromarray(image)
    width, height = picture.size
    scale = min(width, height) / 256
    w, h = round(rng.uniform(2, 16) * scale), round(rng.uniform(10, 25) * scale)
    left, top = int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h))
    strip = _jitter(picture.crop((left, top, left + w, top + h)), rng, 0.1, 0.1)
    strip = strip.convert("RGBA").rotate(rng.uniform(-45, 45), expand=True)
    left = int(rng.uniform(0, width - strip.size[0]))
    top = int(rng.uniform(0, height - strip.size[1]))
    alpha = strip.split()[3]
    picture.paste(strip.convert("RGB"), (left, top), alpha)
    mask = Pillow.new("L", (width, height), 0)
    mask.paste(alpha, (left, top))
    return np.array(picture), np.array(mask) > 0


def fractal_reference(
    image: Image, rng: np.random.Generator, points: int = 100_000
) -> tuple[Image, Mask]:
    """Paste a recoloured square through a fractal, drawn point by point.

    The published loop over `points` is compiled by numba (6 ms); here it is Python's.
    """
    height, width = image.shape[:2]
    side = int(rng.uniform(0.1, 0.5) * min(height, width))
    picture = Pillow.fromarray(image)
    top, left = (int(rng.uniform(0.1 * n, 0.9 * n - side)) for n in (height, width))
    patch = _recolour(picture.crop((left, top, left + side, top + side)), rng)
    for flip in (Pillow.Transpose.FLIP_LEFT_RIGHT, Pillow.Transpose.FLIP_TOP_BOTTOM):
        if rng.random() < 0.5:
            patch = patch.transpose(flip)
    patch = patch.convert("RGBA").rotate(rng.uniform(15, 75))
    top, left = (int(rng.uniform(0.1 * n, 0.9 * n - side)) for n in (height, width))
    shape = (np.array(patch.split()[3]) > 0) & _fractal(side, points, rng)
    picture.paste(patch.convert("RGB"), (left, top), Pillow.fromarray(shape))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + side, left : left + side] = shape
    for _ in range(3):
        padded = np.pad(mask, 1)
        for y in range(3):
            for x in range(3):
                mask = mask | padded[y : y + height, x : x + width]
    out = np.array(picture)
    if rng.random() < 0.5:
        noise = rng.normal(0, 10, (height, width, 1)) * mask[..., None]
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return out, mask


def _recolour(patch: Pillow.Image, rng: np.random.Generator) -> Pillow.Image:
    way = rng.integers(3)
    if way == 0:
        return _jitter(patch, rng, 0.2, 0.2)
    if way == 1:
        return _jitter(patch, rng, 1.0, 0.0)
    values = np.array(patch).astype(np.float64)
    for channel in rng.integers(3, size=2):
        values[..., channel] *= rng.uniform(0, 2)
    return Pillow.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _fractal(side: int, points: int, rng: np.random.Generator) -> Mask:
    a, b, share = _two_maps(rng)
    x, y = 0.0, 0.0
    path = []
    for _ in range(points):
        p, q, r, s, u, v = a if rng.random() < share else b
        x, y = p * x + q * y + u, r * x + s * y + v
        path.append((x, y))
    where = np.array(path)
    low, high = where.min(axis=0), where.max(axis=0)
    cells = ((where - low) / (high - low) * (side - 1)).astype(int)
    stamp = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if rng.random() < 0.5]
    drawn = np.zeros((side, side), np.bool_)
    for dy, dx in stamp:
        row, column = cells[:, 0] + dy, cells[:, 1] + dx
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        drawn[row[inside], column[inside]] = True
    return drawn


def _two_maps(rng: np.random.Generator) -> tuple[list[float], list[float], float]:
    """Draw two affine maps with s1 + 2 s2 summing to U(3.5, 4), and the first one's share."""
    total = rng.uniform(3.5, 4.0)
    first = rng.uniform(max(0.0, (total - 3) / 3), 1.0)
    second = rng.uniform(max(0.0, (total - 3 - first) / 2), min(first, (total - first) / 2))
    left = total - first - 2 * second
    last = rng.uniform(max(0.0, (left - 1) / 2), left / 3)
    maps, areas = [], []
    for s1, s2 in ((first, second), (left - 2 * last, last)):
        matrix = _turn(rng) @ np.diag([s1, s2]) @ _turn(rng)
        maps.append([*matrix.ravel().tolist(), *rng.uniform(-1, 1, 2).tolist()])
        areas.append(s1 * s2)
    return maps[0], maps[1], areas[0] / sum(areas)


def _turn(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(-math.pi, math.pi)
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]]) * rng.choice([-1, 1], (2, 1))

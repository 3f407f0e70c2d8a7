"""Poisson blending on a rectangle, solved exactly, and OpenCV's seamless clone beside it.

A source patch S is blended into a target patch T of the same size by looking for the image f that
equals T on the outermost ring and whose differences follow a guidance v as closely as they can:

    4 f(p) - sum_q f(q) = sum_q v(p, q)    for every inner pixel p and its four neighbours q

(Perez, Gangnet and Blake, Poisson Image Editing, SIGGRAPH 2003, equation 7). With t and s the
differences of T and S over the edge (p, q), the rules here choose v as

    source gradients    v = s                                   (equation 11)
    mixed gradients     v = s where |s| > |t|, else t           (equations 12 and 13)
    weighted mixed      v = (1 - a) t where |(1 - a) t| > |a s|, else a s    (PII, Tan et al. 2021)

each channel and each edge for itself. The unknown is u = f - T, which is 0 on the ring and solves
the same equation with v - t: no boundary terms, and nothing to solve where the target's own
differences are kept. On an h x w grid the type-I sine transform diagonalises the left side, with
eigenvalues 4 - 2 cos(pi i / (h + 1)) - 2 cos(pi j / (w + 1)), i = 1..h, j = 1..w; its matrix is
orthonormal and symmetric, so each transform is a matrix product along each axis. A region of any
shape has no such transform: there a sparse factorisation solves the same equation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask

Field = npt.NDArray[np.float64]
Rule = Callable[[Field, Field], Field]
"""Guidance of every edge from the target's differences and the source's, of equal shape."""
LEAST = 3
"""Pixels that each side of a mask's bounding box needs for OpenCV's clone to have inner ones."""


def source_gradients(target: Field, source: Field) -> Field:
    """Keep the source's differences: its content replaces the target's."""
    return source


def mixed_gradients(target: Field, source: Field) -> Field:
    """Keep the larger difference of the two: both contents show."""
    return np.where(np.abs(source) > np.abs(target), source, target)


def weighted_mixed_gradients(alpha: float) -> Rule:
    """Return PII's rule: the larger of (1 - alpha) target and alpha source, 0 <= alpha <= 1."""

    def rule(target: Field, source: Field) -> Field:
        kept, foreign = (1 - alpha) * target, alpha * source
        return np.where(np.abs(kept) > np.abs(foreign), kept, foreign)

    return rule


def blend(target: npt.NDArray[Any], source: npt.NDArray[Any], rule: Rule) -> Field:
    """Return the target with the source blended into its inner pixels, neither rounded nor clipped.

    target, source: (h, w, C) of one shape, any real type and scale. The outermost ring is the
    target's. Returns float64 (h, w, C), within 1e-10 of the scale of the exact solution for sides
    up to some thousand pixels. A rectangle without inner pixels comes back as it is.

    Raises ValueError where the shapes differ.
    """
    if target.shape != source.shape:
        raise ValueError(f"target {target.shape} and source {source.shape} differ in shape")
    blended = target.astype(np.float64)
    if min(target.shape[:2]) < 3:
        return blended
    # Channel by channel the temporaries stay in the cache.
    for channel in range(target.shape[2]):
        own = np.ascontiguousarray(blended[..., channel])
        foreign = source[..., channel].astype(np.float64)
        excess = _excess(own[1:-1], foreign[1:-1], rule)
        excess += _excess(own[:, 1:-1].T, foreign[:, 1:-1].T, rule).T
        blended[1:-1, 1:-1, channel] += solve(excess)
    return blended


def blend_within(
    target: npt.NDArray[Any], source: npt.NDArray[Any], region: Mask, rule: Rule
) -> Field:
    """Return the target with the source blended into a region of any shape.

    target, source: (h, w, C) of one shape; region: bool (h, w), clear along the outermost ring, so
    that each of its pixels has four neighbours. Outside of it the result is the target. Returns
    float64 (h, w, C), neither rounded nor clipped; on the inside of a rectangle it is `blend`.

    Raises ValueError where shapes differ or the region touches the ring.
    """
    if target.shape != source.shape or region.shape != target.shape[:2]:
        raise ValueError(f"shapes differ: {target.shape}, {source.shape}, region {region.shape}")
    inside = region[1:-1, 1:-1]
    if np.count_nonzero(inside) != np.count_nonzero(region):
        raise ValueError("the region touches the outermost ring")
    blended = target.astype(np.float64)
    if not inside.any():
        return blended
    if inside.all():  # a rectangle after all: the sine transform is ten times as fast
        return blend(target, source, rule)
    from scipy.sparse.linalg import splu  # late: most of what starts up has no region to solve

    factors = splu(_laplacian(inside), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
    for channel in range(target.shape[2]):
        own = np.ascontiguousarray(blended[..., channel])
        foreign = source[..., channel].astype(np.float64)
        excess = _excess(own[1:-1], foreign[1:-1], rule)
        excess += _excess(own[:, 1:-1].T, foreign[:, 1:-1].T, rule).T
        blended[1:-1, 1:-1, channel][inside] += factors.solve(excess[inside])
    return blended


def _laplacian(region: Mask) -> Any:
    """Return the matrix of 4 u(p) - sum_q u(q) over a region's pixels, u = 0 elsewhere."""
    from scipy import sparse

    count = int(np.count_nonzero(region))
    number = np.full(region.shape, -1)
    number[region] = np.arange(count)
    pairs = []
    for here, there in (
        (number[:, :-1], number[:, 1:]),
        (number[:-1], number[1:]),
    ):
        both = (here >= 0) & (there >= 0)
        pairs += [(here[both], there[both]), (there[both], here[both])]
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    edges = sparse.coo_matrix((np.full(len(rows), -1.0), (rows, columns)), (count, count))
    return (edges + 4 * sparse.identity(count)).tocsc()


def _excess(target: Field, source: Field, rule: Rule) -> Field:
    """Return, for the inner pixels of each row, the sum of v - t over the edges to both sides."""
    own = target[:, 1:] - target[:, :-1]
    surplus = rule(own, source[:, 1:] - source[:, :-1]) - own
    # Differences point forwards: seen from the pixel, the edge after it changes sign.
    return surplus[:, :-1] - surplus[:, 1:]


def solve(right: Field) -> Field:
    """Return u where 4 u(p) - sum_q u(q) = right(p), and u = 0 all around: float64 (h, w)."""
    rows, row_values = _sines(right.shape[0])
    columns, column_values = _sines(right.shape[1])
    spectrum = rows @ right @ columns
    spectrum /= row_values[:, None] + column_values
    solution: Field = rows @ spectrum @ columns
    return solution


@lru_cache(maxsize=128)
def _sines(length: int) -> tuple[Field, Field]:
    """Return the orthonormal type-I sine matrix (n, n) and the n eigenvalues 2 - 2 cos."""
    index = np.arange(1, length + 1)
    # The product is reduced first: sines of large angles would lose digits.
    turns = np.outer(index, index) % (2 * (length + 1))
    matrix = np.sqrt(2 / (length + 1)) * np.sin(np.pi / (length + 1) * turns)
    values = 4 * np.sin(np.pi / (2 * (length + 1)) * index) ** 2
    matrix.setflags(write=False)
    values.setflags(write=False)
    return matrix, values


def to_bytes(values: Field) -> Image:
    """Return the values rounded to the nearest level and clipped to 0..255, as uint8 (h, w, 3).

    Halves, which small rectangles give exactly, are rounded up whatever the last digits of the
    processor's matrix product: the same bytes on every machine.
    """
    return np.asarray(cv2.add(values, np.full(4, 1e-6), dtype=cv2.CV_8U), np.uint8)


def seamless_clone(
    source: Image, target: Image, mask: Mask, centre: tuple[int, int], mixed: bool = False
) -> Image:
    """Return what cv2.seamlessClone makes of the arguments, bit for bit, touching none of them.

    source: uint8 (h, w, 3); mask: bool (h, w); target: uint8 (H, W, 3); centre: (row, column) of
    the target on which the centre of the mask's bounding box comes to lie, halves rounded down.

    This is not the exact solution. OpenCV zeroes the mask's outermost ring, takes the bounding box
    of what is left, weights the source's gradients by the mask eroded three times and the target's
    by the rest, keeps with `mixed` the source's gradient of a pixel where |gx - gy| is larger than
    the target's (per channel, and not the gradient's norm), and truncates the result: grey levels
    apart from the exact solution on average, tens of levels at most.

    Raises ValueError where the box would leave the target or is smaller than 3 x 3.
    """
    weights = np.zeros(mask.shape, np.uint8)
    weights[1:-1, 1:-1] = mask[1:-1, 1:-1]
    weights *= np.uint8(255)
    _, _, width, height = cv2.boundingRect(weights)
    if min(height, width) < LEAST:
        raise ValueError(
            f"inside its outermost ring the mask covers {height} x {width} pixels: "
            f"OpenCV needs {LEAST} x {LEAST}"
        )
    top, left = centre[0] - height // 2, centre[1] - width // 2
    bottom, right = top + height, left + width
    if top < 0 or left < 0 or bottom > target.shape[0] or right > target.shape[1]:
        raise ValueError(
            f"rows {top}..{bottom} and columns {left}..{right} of the clone leave the target "
            f"{target.shape[:2]}"
        )
    mode = cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
    cloned = cv2.seamlessClone(source, target, weights, (centre[1], centre[0]), mode)
    return np.asarray(cloned, np.uint8)

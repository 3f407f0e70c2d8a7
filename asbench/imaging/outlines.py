"""Masks as polygons: for formats that know no pixels.

A polygon has no holes, so a region with holes is first cut into pieces without any, whose union it
is. Of a piece there are two outlines: along the edges of its pixels (COCO, whose readers fill what
lies inside), and through the centres of its outermost pixels (YOLO, whose readers fill with
`cv2.fillPoly`, outline included). Both give back the very same pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask

Points = npt.NDArray[np.int32]
"""(n, 2), x before y."""


class Piece(NamedTuple):
    """Part of a mask: bool (h, w), its first pixel at row `top` and column `left` of the whole."""

    mask: Mask
    top: int
    left: int


def regions(mask: Mask) -> list[Piece]:
    """Return the 8-connected regions of a mask, bool (H, W), from the top down."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    return [
        Piece(labels[y : y + h, x : x + w] == label, int(y), int(x))
        for label, (x, y, w, h, _) in zip(range(1, count), boxes[1:].tolist(), strict=True)
    ]


def without_holes(piece: Piece) -> list[Piece]:
    """Cut an 8-connected region into such as have no holes (4-connected); most have none."""
    done, left = [], [piece]
    while left:
        mask, top, column = left.pop()
        hole = _hole(mask)
        if hole is None:
            done.append(Piece(mask, top, column))
            continue
        for rows in (slice(0, hole), slice(hole, None)):
            left += [
                Piece(part, top + (rows.start or 0) + y, column + x)
                for part, y, x in regions(mask[rows])
            ]
    return sorted(done, key=lambda part: (part.top, part.left))


def _hole(mask: Mask) -> int | None:
    """Return a row with pixels of a hole; None if the region has none."""
    outlines, tree = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    for outline, (_, _, _, parent) in zip(outlines, tree[0], strict=True):
        if parent >= 0:  # the pixels around a hole, one row above it to one below
            y = outline[:, 0, 1]
            return int(y.min() + y.max()) // 2
    return None


def edge_outline(piece: Piece) -> Points:
    """Return the corners of a piece without holes along its pixels' edges, clockwise."""
    padded = np.pad(piece.mask, 1).astype(np.int8)
    follow: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    # The inside is to the right of an edge; a step goes to the next corner: right, down, left, up.
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    starts = ((0, 0), (0, 1), (1, 1), (1, 0))
    neighbours = ((-1, 0), (0, 1), (1, 0), (0, -1))
    inner = padded[1:-1, 1:-1]
    for way, ((dy, dx), (sy, sx), (ny, nx)) in enumerate(
        zip(steps, starts, neighbours, strict=True)
    ):
        beside = padded[
            1 + ny : padded.shape[0] - 1 + ny,
            1 + nx : padded.shape[1] - 1 + nx,
        ]
        for y, x in np.argwhere((inner > 0) & (beside == 0)).tolist():
            corner = (y + sy, x + sx)
            follow.setdefault(corner, {})[way] = (corner[0] + dy, corner[1] + dx)
    start = corner = min(follow)
    way = 0
    corners: list[tuple[int, int]] = []
    while True:
        # Where two pixels meet at a corner alone, the way to the left crosses over to the other.
        turn = next(t for t in ((way - 1) % 4, way, (way + 1) % 4) if t in follow[corner])
        if turn != way or not corners:
            corners.append((piece.left + corner[1], piece.top + corner[0]))
        way, corner = turn, follow[corner].pop(turn)
        if corner == start and not follow[corner]:
            return np.array(corners, np.int32)


def pixel_outline(piece: Piece) -> Points:
    """Return the outermost pixels of a piece without holes, where its outline turns.

    Three at least: of fewer, the last stands again.
    """
    (outline,), _ = cv2.findContours(
        piece.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    points = outline[:, 0].astype(np.int32) + np.array([piece.left, piece.top], np.int32)
    return np.concatenate([points, np.repeat(points[-1:], max(0, 3 - len(points)), axis=0)])

"""How many pixels a data set's smallest defects keep at a geometry, and which would keep enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from asbench.imaging.tiles import Grid
from synth_store import Geometry, UserError
from synth_store.types import Mask

ENOUGH = 4.0
"""Pixels across that a defect must keep: fewer drown in what detectors average before they look."""
TENTH = 0.1
"""The share of the defects, the narrowest, that a geometry is judged by."""
SCALES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
STEP, LARGEST, WINDOW = 32, 512, 256
"""Sides proposed are multiples of `STEP`; photographs are kept whole up to `LARGEST`, else cut."""
MORE, FINER = 1.125, 384
"""Where photographs have so many times the pixels of a store along both axes, one of this size is
offered: measured on photographs of 300 to 512 pixels (docs/explanation/results.md)."""
_CROP = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """Breadths of defects, in pixels, each beside the (height, width) of its photograph."""

    breadths: Sequence[float]
    photographs: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Advice:
    """What a geometry keeps of the smallest defects.

    defects: how many were measured, 0 where the smallest was said; breadth: across the widest place
    of the narrowest tenth, in pixels of the photographs; kept: the same at `geometry`. proposed: a
    geometry that keeps enough, None where `geometry` does or none can; tiles: of a photograph then,
    0 where it stays whole; keeps: what is kept there.
    """

    geometry: Geometry
    defects: int
    breadth: float
    kept: float
    proposed: Geometry | None = None
    tiles: int = 0
    keeps: float = 0.0

    @property
    def options(self) -> dict[str, str]:
        """The options of `asbench generate` that make a store of what is proposed."""
        if self.proposed is None:
            return {}
        height, width = self.proposed.height, self.proposed.width
        size = str(width) if height == width else f"{width}x{height}"
        if not self.proposed.tiled:
            return {"size": size}
        return {"size": size, "resize": "tile", "scale": f"{self.proposed.scale:g}"}

    def __str__(self) -> str:
        whose = (
            f"the narrowest tenth of {self.defects} defects is up to {self.breadth:.1f} px across"
            if self.defects
            else f"a defect of {self.breadth:g} px"
        )
        said = f"{whose}{', and' if self.defects else ''} keeps {self.kept:.1f} px at "
        said += f"{self.geometry}"
        if self.kept >= ENOUGH:
            return said
        said += f"; below {ENOUGH:g} px it can hardly be found"
        if self.proposed is None:
            return f"{said}, and the photographs show no more"
        options = " ".join(f"--{name} {value}" for name, value in self.options.items())
        tiles = f", {self.tiles} tiles a photograph" if self.tiles else ""
        return f"{said}: {options} keeps {self.keeps:.1f} px{tiles}"


def finer(
    photographs: Sequence[tuple[int, int]], geometry: Geometry, advice: Advice | None
) -> bool:
    """Return whether a store of `FINER` keeps more than `geometry`, and than what is advised.

    All photographs, (height, width) each, show clearly more than is kept, and no defect asks for
    more than `FINER`, or for tiles.
    """
    proposed = None if advice is None else advice.proposed
    enough = proposed is None or (
        not proposed.tiled and max(proposed.height, proposed.width) <= FINER
    )
    return (
        enough
        and bool(photographs)
        and not geometry.tiled
        and all(
            height >= MORE * geometry.height and width >= MORE * geometry.width
            for height, width in photographs
        )
    )


def worth(geometry: Geometry) -> str:
    """Say what a store of `FINER` was worth where photographs show more than `geometry` keeps."""
    return (
        f"the photographs show more than {geometry} keeps: of five data sets of 300 to 512 pixels "
        f"`memory` told defective from good better on four with --size {FINER}, and outlined "
        "defects better on four, at 2.25 times the cost"
    )


def least(photographs: Sequence[tuple[int, int]], geometry: Geometry) -> float:
    """Return how many pixels of the photographs, (height, width) each, keep `ENOUGH` of them."""
    return ENOUGH / min(_part(size, geometry) for size in photographs)


def breadths(mask: Mask) -> tuple[float, ...]:
    """Return, of each 8-connected region of a mask, the diameter of the largest disc inside it.

    So a scratch counts by its width, however long it is.
    """
    levels = mask.astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(levels, connectivity=8)
    found = []
    for region in range(1, count):
        left, top, wide, tall, _ = boxes[region]
        inside = labels[top : top + tall, left : left + wide] == region
        # twice as large, every width is even, and the distance from its middle exact
        twice = 2 if tall * wide <= _CROP else 1
        drawn = np.pad(np.kron(inside, np.ones((twice, twice), np.uint8)), 1).astype(np.uint8)
        distance = cv2.distanceTransform(drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        found.append(2 * float(distance.max()) / twice)
    return tuple(found)


def advise(
    sizes: Sizes,
    photographs: Sequence[tuple[int, int]],
    geometry: Geometry,
    smallest: float | None = None,
) -> Advice | None:
    """Say what a geometry keeps of the smallest defects; None where none is known.

    photographs: (height, width) of all of them; smallest: a breadth in pixels, in place of those
    measured. Raises UserError for one that cannot be.
    """
    if smallest is not None and not (np.isfinite(smallest) and smallest > 0):
        raise UserError(
            f"a smallest defect of {smallest:g} pixels is impossible: give more than 0."
        )
    if not photographs or (smallest is None and not sizes.breadths):
        return None
    if smallest is not None:
        breadth, kept = smallest, min(smallest * _part(size, geometry) for size in photographs)
    else:
        breadth = float(np.quantile(sizes.breadths, TENTH))
        pairs = zip(sizes.breadths, sizes.photographs, strict=True)
        kept = float(np.quantile([b * _part(size, geometry) for b, size in pairs], TENTH))
    defects = len(sizes.breadths) if smallest is None else 0
    proposed = None if kept >= ENOUGH else _proposal(breadth, photographs)
    largest = max(photographs, key=lambda size: size[0] * size[1])
    if proposed is None or breadth * _part(largest, proposed) <= kept:
        return Advice(geometry, defects, breadth, kept)
    tiles = len(Grid(*largest, proposed).places) if proposed.tiled else 0
    return Advice(
        geometry, defects, breadth, kept, proposed, tiles, breadth * _part(largest, proposed)
    )


def _proposal(breadth: float, photographs: Sequence[tuple[int, int]]) -> Geometry:
    """Return the smallest geometry at which a defect keeps enough, or all that there is."""
    scale = next((s for s in SCALES if s * breadth >= ENOUGH), 1.0)
    height, width = (max(size[axis] for size in photographs) for axis in (0, 1))
    tall, wide = (STEP * -(-round(side * scale) // STEP) for side in (height, width))
    if max(tall, wide) <= LARGEST:
        return Geometry(tall, wide)
    return Geometry(WINDOW, WINDOW, "tile", scale, WINDOW // 8)


def _part(size: tuple[int, int], geometry: Geometry) -> float:
    """Return how large a photograph's pixel is at a geometry, along the axis that shrinks most."""
    if geometry.tiled:
        return geometry.scale
    return min(geometry.height / size[0], geometry.width / size[1])

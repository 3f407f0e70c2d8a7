"""COCO instances: `images/*.png` and `annotations.json`, one annotation for each region.

Regions are 8-connected. As RLE they are exact; as polygons they are, too, for the outlines follow
the edges of pixels. Where COCO's own reader would make other pixels of a polygon, the region is
kept as RLE, and that is said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from asbench.files.coco import decode_polygons, encode_mask
from asbench.generation.formats.content import Content, Counted, Written, missing, write_images
from asbench.imaging.outlines import Piece, edge_outline, regions, without_holes
from synth_store.types import Mask

READING = """from pycocotools.coco import COCO

coco = COCO("annotations.json")
for one in coco.loadAnns(coco.getAnnIds()):
    mask = coco.annToMask(one)"""


def write(
    content: Content, folder: Path, progress: Counted | None = None, *, polygons: bool
) -> Written:
    """Write a category's content; raises UserError without pycocotools."""
    try:
        import pycocotools as _  # noqa: F401
    except ImportError as error:
        raise missing("pycocotools", "coco") from error
    numbers = {name: number for number, name in enumerate(content.names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kept = 0
    for entry in write_images(folder / "images", content.counted(progress)):
        height, width = entry.mask.shape
        images.append(
            dict(
                id=len(images) + 1,
                file_name=f"{entry.name}.png",
                height=height,
                width=width,
                method=entry.method,
                seed=entry.seed,
                index=entry.index,
                source=entry.source,
            )
        )
        for region in regions(entry.mask):
            shape, whole = _shape(region, entry.mask.shape, polygons)
            kept += not whole
            rows, columns = region.mask.shape
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=len(images),
                    category_id=numbers[entry.kind],
                    segmentation=shape,
                    area=int(region.mask.sum()),
                    bbox=[region.left, region.top, columns, rows],
                    iscrowd=0,
                )
            )
    document = dict(
        info=dict(description=f"{content.dataset}/{content.category}: see README.md"),
        licenses=[],
        images=images,
        annotations=annotations,
        categories=[
            dict(id=number, name=name, supercategory="anomaly") for name, number in numbers.items()
        ],
    )
    (folder / "annotations.json").write_text(json.dumps(document), "utf-8")
    notes = [f"{len(annotations)} regions"]
    if kept:
        notes.append(f"{kept} of them as RLE, for as polygons they would be other pixels")
    how = "polygons along the edges of pixels" if polygons else "RLE"
    return Written(
        f"`annotations.json` holds the {len(annotations)} regions as {how}; they are the stored "
        "masks exactly. Images without an annotation are normal.",
        READING,
        tuple(notes),
    )


def _shape(region: Piece, size: tuple[int, ...], polygons: bool) -> tuple[Any, bool]:
    """Return a region as COCO writes it, and whether it is of the kind asked for."""
    mask: Mask = np.zeros(size, np.bool_)
    rows, columns = region.mask.shape
    mask[region.top : region.top + rows, region.left : region.left + columns] = region.mask
    if polygons:
        outlines = [edge_outline(piece).ravel().tolist() for piece in without_holes(region)]
        if np.array_equal(decode_polygons(outlines, size), mask):
            return outlines, True
    return encode_mask(mask), not polygons

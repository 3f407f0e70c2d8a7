"""YOLO segmentation: `images/*.png`, `labels/*.txt`, one polygon a line, and `data.yaml`.

A line holds the class and a polygon's points, as shares of width and height. Points are centres of
pixels, so a reader that cuts them to whole numbers and fills with `cv2.fillPoly`, as ultralytics'
does, gets the stored pixels. The format has no holes: a region with some is several lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from asbench.generation.formats.content import Content, Counted, Written, write_images
from asbench.imaging.outlines import Points, pixel_outline, regions, without_holes

READING = """from ultralytics import YOLO

YOLO("yolo11n-seg.pt").train(data="data.yaml")"""
UNSPLIT = """# There is no validation part: name other images here before you choose anything by it.
"""


def write(content: Content, folder: Path, progress: Counted | None = None) -> Written:
    """Write a category's content."""
    numbers = {name: number for number, name in enumerate(content.names)}
    labels = folder / "labels"
    labels.mkdir()
    count = lines = 0
    for entry in write_images(folder / "images", content.counted(progress)):
        rows = []
        for region in regions(entry.mask):
            count += 1
            for piece in without_holes(region):
                points = _shares(pixel_outline(piece), entry.mask.shape)
                rows.append(f"{numbers[entry.kind]} {points}\n")
        lines += len(rows)
        (labels / f"{entry.name}.txt").write_text("".join(rows), "ascii")
    named = dict(train="images", val="images", names={n: name for name, n in numbers.items()})
    text = yaml.safe_dump(named, sort_keys=False)
    (folder / "data.yaml").write_text(UNSPLIT + text, "utf-8")
    more = f"; regions with holes are several: {lines} lines" if lines > count else ""
    return Written(
        f"`labels/NAME.txt` holds a polygon through the outermost pixels of each of the {count} "
        f"regions{more}. Filled with `cv2.fillPoly` they are the stored masks exactly. An empty "
        "file is a normal image.",
        READING,
        (f"{count} regions in {lines} polygons",),
    )


def _shares(points: Points, size: tuple[int, ...]) -> str:
    """Return points as shares of an image of `size` (height, width), at pixels' centres."""
    shares = (points + 0.5) / np.array([size[1], size[0]])
    return " ".join(f"{value:.7g}" for value in shares.ravel())

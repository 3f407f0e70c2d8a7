"""COCO's masks, read and written by its own library, pycocotools (the extra `formats`).

Its compiled part warns of numpy 2 at each array that it returns; nothing else is silenced.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synth_store.types import Mask, UserError


def encode_mask(mask: Mask) -> dict[str, Any]:
    """Return a mask, bool (h, w), as compressed RLE: size, and counts as text."""
    coded = _quietly(lambda masks: masks.encode(np.asfortranarray(mask, np.uint8)))
    return {"size": list(mask.shape), "counts": coded["counts"].decode("ascii")}


def decode_polygons(outlines: Sequence[Sequence[float]], size: tuple[int, ...]) -> Mask:
    """Return what polygons fill together: bool (h, w)."""
    return decode({"segmentation": outlines}, size)


def decode(annotation: dict[str, Any], size: tuple[int, ...]) -> Mask:
    """Return what an annotation marks, whatever its kind: bool (h, w).

    A segmentation is a list of polygons, an RLE, compressed or not; where there is none, the box
    counts. Raises ValueError for one that is none of these, or of another size.
    """
    shape = annotation.get("segmentation")
    if not shape:
        x, y, width, height = annotation["bbox"]
        right, bottom = x + width, y + height
        shape = [[x, y, right, y, right, bottom, x, bottom]]
    if isinstance(shape, dict) and list(shape["size"]) != list(size):
        raise ValueError(f"an RLE of size {shape['size']} on an image of {list(size)}")
    if isinstance(shape, dict) and isinstance(shape["counts"], str):
        coded: Any = {**shape, "counts": shape["counts"].encode("ascii")}
    else:
        coded = _quietly(lambda masks: masks.frPyObjects(shape, *size))
    if isinstance(coded, list):
        coded = _quietly(lambda masks: masks.merge(coded))
    return np.asarray(_quietly(lambda masks: masks.decode(coded)), np.bool_)


def _quietly(call: Callable[[Any], Any]) -> Any:
    try:
        from pycocotools import mask as masks
    except ImportError as error:
        raise UserError(
            "masks of COCO need pycocotools: pip install 'asbench[formats]'."
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return call(masks)

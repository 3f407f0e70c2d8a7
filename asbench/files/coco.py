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
    return decode(outlines, size)


def decode(shape: Any, size: tuple[int, ...]) -> Mask:
    """Return what a segmentation marks: bool (h, w).

    shape: a list of polygons, or an RLE, compressed or not. Raises ValueError, TypeError or
    KeyError for one that is none of these, or of another size.
    """
    coded: Any
    if isinstance(shape, list):
        for outline in shape:
            if len(outline) < 6 or len(outline) % 2 or not np.isfinite(outline).all():
                raise ValueError(f"a polygon of {len(outline)} numbers")
        coded = _quietly(lambda masks: masks.frPyObjects(shape, *size))
    elif list(shape["size"]) != list(size):
        raise ValueError(f"an RLE of size {shape['size']} on an image of {list(size)}")
    elif isinstance(shape["counts"], str):
        coded = {**shape, "counts": shape["counts"].encode("ascii")}
    else:
        if sum(shape["counts"]) != size[0] * size[1]:
            raise ValueError(f"an RLE of {sum(shape['counts'])} pixels")
        coded = _quietly(lambda masks: masks.frPyObjects(shape, *size))
    if isinstance(coded, list):
        coded = _quietly(lambda masks: masks.merge(coded))
    decoded = _quietly(lambda masks: masks.decode(coded))
    # Past the end of an RLE that is too short the decoder leaves whatever memory held.
    if decoded.max(initial=0) > 1 or int(decoded.sum()) != _quietly(lambda m: int(m.area(coded))):
        raise ValueError("an RLE that ends early")
    return np.asarray(decoded, np.bool_)


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

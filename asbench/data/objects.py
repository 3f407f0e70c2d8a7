"""Where the object is on the normals of a data set: chosen once for a category, and said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asbench.imaging.finder import ObjectRule, find_rule, looks
from asbench.imaging.foreground import FOREGROUND_VERSION
from asbench.imaging.geometry import resize
from asbench.types import Dataset, Item
from synth_store import Geometry, Normals, Sample, SynthStore
from synth_store.reader import Foregrounds
from synth_store.types import Image, Mask


class Finding:
    """The objects of a category while its normals are read, one after the other.

    The rule is chosen on some normals first; no file is read twice.
    """

    def __init__(self, dataset: Dataset, items: Sequence[Item], geometry: Geometry) -> None:
        self._dataset, self._items, self._geometry = dataset, items, geometry
        self._looked = {place: self._image(place) for place in looks(len(items))}
        self.rule: ObjectRule = find_rule(list(self._looked.values()))
        self._areas: list[float] = []
        """Of each normal read so far on which the object was found, its share of the image."""

    def _image(self, place: int) -> Image:
        return resize(self._dataset.image(self._items[place]), self._geometry)

    def normals(self) -> Iterator[tuple[Image, Mask]]:
        """Yield each normal with its object: uint8 (H, W, 3), bool (H, W)."""
        for place in range(len(self._items)):
            image = self._looked.pop(place, None)
            image = self._image(place) if image is None else image
            mask = self.rule.mask(image)
            if not mask.all():
                self._areas.append(float(mask.mean()))
            yield image, mask

    def attributes(self) -> dict[str, Any]:
        """Return what is kept beside the masks once all are read: how they came about, and area.

        area: the median share of the image that an object covers, None where there is none.
        """
        count = len(self._areas)
        rules = {self.rule.kind: count, "whole image": len(self._items) - count}
        return {
            "version": FOREGROUND_VERSION,
            "rules": {kind: n for kind, n in rules.items() if n},
            "seen": [self.rule.seen, self.rule.looked],
            "area": round(float(np.median(self._areas)), 4) if count else None,
        }


def objects(
    store: Path | str, data: Dataset, category: str, count: int
) -> tuple[list[Sample], bool]:
    """Return the first `count` normals with their objects, and whether these are stored.

    A sample's image is the normal at the store's geometry, its mask the object: all of it where
    none was found. What is not stored is found for the occasion and kept nowhere. Raises UserError
    for an unknown category.
    """
    items = data.train(category)
    there = SynthStore.stands_at(store)
    if there and (opened := SynthStore.open(store)).has_normals(data.name, category):
        normals = opened.normals(data.name, category)
        masks = Foregrounds(normals)
        return [Sample(normals[i], masks[i]) for i in range(min(count, len(normals)))], True
    geometry = opened.geometry if there else Geometry()
    shown = zip(range(count), Finding(data, items, geometry).normals(), strict=False)
    return [Sample(*pair) for _, pair in shown], False


def said(normals: Normals) -> str:
    """Say on how many normals of a category the object was found, and how large it is.

    Of stores whose masks an earlier version made, how large is not on record.
    """
    found: Mapping[str, Any] = normals.attributes["foreground"]
    none = found["rules"].get("whole image", 0)
    count = len(normals) - none
    if not count:
        return f"no object on {len(normals)} normals: the whole image counts as the object"
    area = f", covering {found['area']:.0%} of the image" if found.get("area") else ""
    return f"object found on {count} of {len(normals)} normals{area}"

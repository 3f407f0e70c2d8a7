"""Where the object is on the normals of a data set: one rule for a category, recorded and said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asbench.files.images import read_mask, same_size
from asbench.files.walk import walk
from asbench.imaging.finder import MOST, ObjectRule, Tone, find_rule, looks
from asbench.imaging.foreground import FOREGROUND_VERSION
from asbench.imaging.geometry import fit_mask, resize, scaled
from asbench.imaging.tiles import scale_image, scale_object
from asbench.settings import AUTO, OBJECTS
from asbench.types import Dataset, Item
from synth_store import Geometry, Normals, Sample, SynthStore, UserError
from synth_store.reader import Foregrounds
from synth_store.threads import in_order
from synth_store.types import Image, Mask

DOUBTFUL = 1 / 3
"""Share of the normals from which an object that is not on most of them is no chance any more."""
CHECKED = 100
"""Normals of a category on which objects are looked for where nothing is stored."""
SIGHT = 512
"""Shorter side, in pixels, at which objects are found on photographs that are cut into tiles."""
_TONES: Mapping[str, Tone] = {AUTO: "any", "dark": "dark", "bright": "bright"}


class Finding:
    """The objects of a category while its normals are read, one after the other.

    The rule is chosen on some normals first; no file is read twice. Raises UserError for a rule
    that is none, and for a normal without a mask in a folder of them.
    """

    def __init__(
        self, dataset: Dataset, items: Sequence[Item], geometry: Geometry, asked: str = AUTO
    ) -> None:
        self.asked, self._dataset, self._items = asked, dataset, items
        self._geometry = geometry
        self._drawn = None if asked in OBJECTS else _masks(asked, dataset, items)
        self._looked: dict[int, Image] = {}
        self.rule = ObjectRule("whole image")
        if asked in _TONES:
            self._looked = {place: self._image(place) for place in looks(len(items))}
            self.rule = find_rule(list(self._looked.values()), _TONES[asked])
        self._areas: list[float] = []
        """Of each normal read so far on which the object was found, its share of the image."""

    @property
    def where(self) -> str:
        """The normals, for people."""
        return f"{self._dataset.name}/{self._items[0].category}"

    def refuse_unfound(self) -> None:
        """Raise UserError where a tone was said that is not on most of the normals."""
        if self.asked in ("dark", "bright") and self.rule.kind == "whole image":
            raise UserError(
                f"{self.where}: a {self.asked} object stands out on {self.rule.seen} of "
                f"{self.rule.looked} normals looked at, too few to go by. {MEND}"
            )

    def forget(self) -> None:
        """Let go of the normals that the rule was chosen on: they will be read again."""
        self._looked.clear()

    def _image(self, place: int) -> Image:
        """Return a normal as it is looked at: at the geometry, a photograph for tiles reduced."""
        image = self._dataset.image(self._items[place])
        return _sight(image) if self._geometry.tiled else resize(image, self._geometry)

    def _pair(self, place: int) -> tuple[Image, Mask]:
        drawn = None if self._drawn is None else read_mask(self._drawn[place])
        looked = self._looked.pop(place, None)
        if self._geometry.tiled:
            image = self._dataset.image(self._items[place])
            mask = self.rule.mask(_sight(image)) if drawn is None else drawn
            size = image.shape[0], image.shape[1]
            scaled = scale_image(image, self._geometry)
            return scaled, scale_object(mask, *size, self._geometry)
        image = self._image(place) if looked is None else looked
        return image, self.rule.mask(image) if drawn is None else fit_mask(drawn, self._geometry)

    def normals(self, threads: int = 1) -> Iterator[tuple[Image, Mask]]:
        """Yield each normal with its object: uint8 (H, W, 3), bool (H, W).

        threads: how many read them; what they read is the same.

        For tiles these are whole photographs at their scale, as `scale_image` makes them; the
        object is found on them reduced to a shorter side of 512 pixels.
        """
        pairs = in_order(self._pair, range(len(self._items)), threads)
        for place, (image, mask) in enumerate(pairs):
            if not mask.any():
                raise UserError(
                    f"{self._drawn[place] if self._drawn else self.where} marks no object: draw it "
                    "white on black, or leave --object out."
                )
            if not mask.all():
                self._areas.append(float(mask.mean()))
            yield image, mask

    def attributes(self) -> dict[str, Any]:
        """Return what is kept beside the masks once all are read: how they came about, and area.

        area: the median share of the image that an object covers, None where there is none.
        """
        count = len(self._areas)
        kind = self.rule.kind if self._drawn is None else "masks"
        rules = {kind: count, "whole image": len(self._items) - count}
        return {
            "version": FOREGROUND_VERSION,
            "object": self.asked,
            "rules": {rule: n for rule, n in rules.items() if n},
            "seen": [self.rule.seen, self.rule.looked],
            "area": round(float(np.median(self._areas)), 4) if count else None,
        }


def _sight(photograph: Image) -> Image:
    """Return a photograph as objects are looked for on it: a shorter side of at most 512 pixels."""
    height, width = photograph.shape[:2]
    part = min(1.0, SIGHT / min(height, width))
    return np.asarray(scaled(photograph, round(height * part), round(width * part)), np.uint8)


MEND = (
    "Look with `asbench preview --foreground`; then say --object dark or bright, name a folder of "
    "masks (white on black, named as the normals), or say --object whole to let anomalies fall "
    "anywhere."
)


def _masks(folder: str, dataset: Dataset, items: Sequence[Item]) -> list[Path]:
    """Return a mask file for each normal: of its name below the folder or the category's in it."""
    if not Path(folder).is_dir():
        raise UserError(
            f"object {folder!r} is unknown: choose {', '.join(OBJECTS)}, or name a folder of masks."
        )
    files = walk(Path(folder))
    named = {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
    masks = []
    for item in items:
        inner = Path(item.id).with_suffix("").as_posix()
        names = [f"{item.category}/{inner}", inner]
        names += [f"{item.category}/{Path(inner).name}", Path(inner).name]
        file = next((named[n + e] for n in names for e in ("", "_mask") if n + e in named), None)
        if file is None:
            raise UserError(
                f"{folder} has no mask of {dataset.name}/{item.category}/{item.id}: looked for "
                f"{names[0]}.png and {names[-1]}.png. Every normal needs one."
            )
        photograph = dataset.image_path(item)
        if photograph is not None:
            same_size(file, photograph)
        masks.append(file)
    return masks


def objects(
    store: Path | str, data: Dataset, category: str, count: int, asked: str | None = None
) -> tuple[list[Sample], bool]:
    """Return the first `count` normals with their objects, and whether these are stored.

    A sample's image is the normal at the store's geometry, its mask the object: all of it where
    none was found. What is not stored, or was stored by another rule than the one asked for, is
    found for the occasion and kept nowhere. Raises UserError for an unknown category or rule.
    """
    items = data.train(category)
    there = SynthStore.stands_at(store)
    if there and (opened := SynthStore.open(store)).has_normals(data.name, category):
        normals = opened.normals(data.name, category)
        if asked in (None, asked_of(normals)):
            masks = Foregrounds(normals)
            return [Sample(normals[i], masks[i]) for i in range(min(count, len(normals)))], True
    geometry = opened.geometry if there else Geometry()
    read = Finding(data, items, geometry, asked or AUTO).normals()
    return [Sample(*pair) for _, pair in zip(range(count), read, strict=False)], False


def asked_of(normals: Normals) -> str:
    """Return the rule that the objects of stored normals were found by."""
    rule: str = normals.attributes["foreground"].get("object", AUTO)
    return rule


def object_found(normals: Normals) -> bool:
    """Return whether an object was found, or drawn, on any normal of a category."""
    rules: Mapping[str, int] = normals.attributes["foreground"]["rules"]
    return any(rule != "whole image" for rule in rules)


def said(normals: Normals) -> str:
    """Say on how many normals of a category the object was found, and how large it is.

    Of stores whose masks an earlier version made, how large is not on record.
    """
    return _said(normals.attributes["foreground"])


def objects_said(dataset: Dataset, items: Sequence[Item], asked: str = AUTO) -> str:
    """Say what `said` would of these normals of a category, or of 100 where there are more.

    asked: the rule, as for `generate`; raises UserError for one that is none.
    """
    count = min(CHECKED, len(items))
    few = [items[i * len(items) // count] for i in range(count)]
    finding = Finding(dataset, few, Geometry(), asked)
    for _ in finding.normals():
        pass
    return _said(finding.attributes())


def _said(record: Mapping[str, Any]) -> str:
    normals = sum(record["rules"].values())
    count = normals - record["rules"].get("whole image", 0)
    seen, looked = record.get("seen", (0, 0))
    if not count and DOUBTFUL * looked <= seen and record.get("object") == AUTO and looked:
        return (
            f"an object stands out on {seen} of {looked} normals looked at, too few to go by: the "
            "whole image counts as the object, unless --object says where it is"
        )
    if not count:
        return f"no object on {normals} normals: the whole image counts as the object"
    area = f", covering {record['area']:.0%} of the image" if record.get("area") else ""
    return f"object found on {count} of {normals} normals{area}"


def refuse_doubtful(where: str, record: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Raise UserError where an object is on some normals but not on most, for methods that need it.

    Where there is none on nearly all of them, a cloth, the whole image is the object.
    record: what `Finding.attributes` returns, or is stored of it.
    """
    seen, looked = record.get("seen", (0, 0))
    if methods and record.get("object") == AUTO and DOUBTFUL * looked <= seen < MOST * looked:
        raise UserError(
            f"{where}: an object stands out on {seen} of {looked} "
            f"normals looked at, too few to go by, and {', '.join(methods)} "
            f"need{'s' if len(methods) == 1 else ''} it. {MEND}"
        )

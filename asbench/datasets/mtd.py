"""Magnetic tile defects (Huang, Qiu, Yuan: Saliency of magnetic tile surface defects, 2018).

The layout is the authors': `MT_{Free,Blowhole,Break,Crack,Fray,Uneven}/Imgs/<stem>.jpg`, beside
each image its mask `<stem>.png`. Images are 8-bit grey, 103 to 632 pixels a side. They carry no
open licence.

Stems are `expK_num_N`: exposure K of six, taken one after the other, so that the exposures of one
piece of a tile carry numbers N that lie close together. That is all that tells look-alikes apart.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.files.images import read_header, read_image, read_mask, same_size
from asbench.files.source import DatasetSource
from asbench.parameters import parameter
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.types import Image, Mask, UserError

DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
_TEST_NORMALS = Path(__file__).with_name("mtd_test_normals.txt")
_WHOLE = 1344
_STEM = re.compile(r"exp\d_num_(\d+)")
_GAP = 200
"""Numbers further apart than this, with none between, are of another tile."""
_TAKEN_AGAIN = (
    (8676, 10642),
    (37098, 37556),
    (53060, 65001),
    (85897, 86892),
    (86064, 88201),
    (257678, 258043),
)
"""Numbers of pieces that were photographed again later: no other groups hold images whose
thumbnails of 48 x 48 pixels correlate above 0.98."""
_EVERY = 20
"""Of the groups without a defect, each whose place is a multiple of this is tested."""
VARIANTS = {"grouped": {"grouped": True}}
SOURCE = DatasetSource(
    licence="none: the authors welcome its use and ask to be cited; publish no image of it",
    page="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    by_hand="clone or download that repository (its name ends with a dot); it is 53 MB, and no "
    "checksum is published",
)


@dataclass(frozen=True)
class Mtd(Dataset):
    """The magnetic tiles under `root`, one category `tile`: 952 normal and 392 defective images.

    No split was ever published. Ours trains on 902 normals and tests on 50: the sorted stems of
    MT_Free, permuted with numpy's `RandomState(0)`, give the first 50 to the test; the list is
    committed, so that a missing file is an error and never another split. Most tiles were taken
    several times, so a random split has near duplicates on both sides: scores on it are optimistic
    for every method alike.

    Masks have soft edges and are cut above 127. Four Uneven images have a mask without any mark:
    they stay anomalous images, and `mask` returns None, so that pixel metrics leave them out.

    `mtd@grouped` keeps look-alikes together. A group is a run of numbers N without a jump of more
    than 200, defects and normals alike: nearly always the six exposures of one piece of a tile, or
    of two. No group lies on both sides: the groups that show a defect are tested with all their
    normals, of the others every twentieth is, and the rest train. Few-shot marks go to whole
    groups too, in the order of their numbers, wherever no defect type gets more than a third. 785
    train, 167 + 392 are tested; fewer than 1 in 100 of the tested normals has a look-alike to train
    on (thumbnails that correlate above 0.97), and on the plain split 66 in 100.
    """

    root: Path
    grouped: bool = parameter(False, "Whether look-alikes stay on one side of the split.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The data set's name in stores: `mtd` or `mtd@grouped`."""
        return "mtd@grouped" if self.grouped else "mtd"

    def categories(self) -> tuple[str, ...]:
        """Return the one category, `tile`."""
        return ("tile",)

    def items(self, category: str) -> tuple[Item, ...]:
        """Return all items; raises UserError naming what the layout lacks."""
        if category != "tile":
            raise UserError(f"category {category!r} is not in mtd: its one category is tile.")
        return self._items

    def image(self, item: Item) -> Image:
        """Return the tile: uint8 (h, w, 3), grey."""
        return read_image(self.image_path(item))

    def mask(self, item: Item) -> Mask | None:
        """Return the mask above 127: bool (h, w); None for the four that mark nothing."""
        image, mask = self.image_path(item), self.mask_path(item)
        if mask is None:
            return np.zeros(read_header(image)[:2], bool)
        same_size(mask, image)
        marked = read_mask(mask)
        return marked if marked.any() else None

    def image_path(self, item: Item) -> Path:
        """Return the item's image file."""
        return self.root / item.id

    def mask_path(self, item: Item) -> Path | None:
        """Return the item's mask file; None for normals, whose masks are not read."""
        return (self.root / item.id).with_suffix(".png") if item.label else None

    @cached_property
    def _items(self) -> tuple[Item, ...]:
        test = set(() if self.grouped else _TEST_NORMALS.read_text().split())
        free = self._stems("Free")
        self._require(test - free, "Free", ".jpg", "test normals of the committed split")
        items = [
            Item(f"MT_Free/Imgs/{stem}.jpg", "tile", "test" if stem in test else "train", 0, GOOD)
            for stem in free
        ]
        for defect in DEFECTS:
            stems = self._stems(defect)
            masks = self._named(defect, ".png")
            self._require(stems - masks, defect, ".png", "masks")
            self._require(masks - stems, defect, ".jpg", "images")
            items += [
                Item(f"MT_{defect}/Imgs/{stem}.jpg", "tile", "test", 1, defect.lower())
                for stem in stems
            ]
        if not self.grouped:
            return mark_few_shot(items)
        if len(items) != _WHOLE:
            raise UserError(
                f"mtd@grouped: {self.root} holds {len(items)} images, not the {_WHOLE} of the "
                "whole set, and would be split otherwise. Copy the authors' folders again, whole."
            )
        return _grouped(items)

    def _folder(self, kind: str) -> Path:
        return self.root / f"MT_{kind}" / "Imgs"

    def _named(self, kind: str, suffix: str) -> set[str]:
        """Return the stems of a class's files with this ending, hidden ones left out."""
        return {p.stem for p in self._folder(kind).glob(f"[!.]*{suffix}")}

    def _stems(self, kind: str) -> set[str]:
        """Return the stems of a class's images; raises UserError if there is none."""
        stems = self._named(kind, ".jpg")
        if not stems:
            raise UserError(
                f"mtd: no .jpg image in {self._folder(kind)}: {self.root} must hold the authors' "
                f"folders {', '.join(f'MT_{k}/Imgs' for k in ('Free', *DEFECTS))}."
            )
        return stems

    def _require(self, missing: Collection[str], kind: str, suffix: str, what: str) -> None:
        """Raise UserError naming the first of the missing files."""
        if missing:
            named = ", ".join(f"{stem}{suffix}" for stem in sorted(missing)[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise UserError(
                f"mtd: {len(missing)} {what} missing in {self._folder(kind)}: {named}{more}. "
                "Copy the authors' folders again, whole."
            )


def groups(ids: Iterable[str]) -> dict[str, int]:
    """Return the number of each image's group of look-alikes; they rise with the names' N.

    Raises UserError for a name that is not the authors'.
    """
    numbers = {}
    for id_ in ids:
        match = _STEM.fullmatch(Path(id_).stem)
        if match is None:
            raise UserError(
                f"mtd@grouped: {id_} is not named expK_num_N as the authors' files are, and only "
                "the name tells which images are of one tile. Use mtd."
            )
        numbers[id_] = int(match[1])
    ordered = sorted(numbers, key=lambda id_: (numbers[id_], id_))
    group_of: dict[str, int] = {}
    group = 0
    for before, id_ in zip([*ordered[:1], *ordered], ordered, strict=False):
        group += numbers[id_] - numbers[before] > _GAP
        group_of[id_] = group
    by_number = {numbers[id_]: id_ for id_ in ordered}
    for first, again in _TAKEN_AGAIN:
        if first in by_number and again in by_number:
            kept, joined = (group_of[by_number[n]] for n in (first, again))
            group_of |= {i: kept for i, g in group_of.items() if g == joined}
    return group_of


def _grouped(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items sorted by id, splits and few-shot marks given to whole groups."""
    members: dict[int, list[Item]] = defaultdict(list)
    listed = {item.id: item for item in items}
    for id_, group in groups(listed).items():
        members[group].append(listed[id_])
    without = [g for g, inside in members.items() if not any(i.label for i in inside)]
    train = set(without) - set(without[::_EVERY])
    few = _few_shot(members)
    return tuple(
        sorted(
            replace(
                i,
                split="train" if group in train else "test",
                few_shot=bool(i.label) and group in few,
            )
            for group, inside in members.items()
            for i in inside
        )
    )


def _few_shot(members: Mapping[int, Iterable[Item]]) -> set[int]:
    """Return the groups marked few-shot: the lowest that give no defect type more than a third."""
    counts = {g: Counter(i.defect for i in inside if i.label) for g, inside in members.items()}
    total: Counter[str] = sum(counts.values(), Counter())
    left = {defect: n // 3 for defect, n in total.items()}
    chosen = set()
    for group in sorted(counts):
        own = counts[group]
        if own and all(n <= left[defect] for defect, n in own.items()):
            chosen.add(group)
            left = {defect: n - own[defect] for defect, n in left.items()}
    return chosen

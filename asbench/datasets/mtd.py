"""Magnetic tile defects (Huang, Qiu, Yuan: Saliency of magnetic tile surface defects, 2018).

The layout is the authors': `MT_{Free,Blowhole,Break,Crack,Fray,Uneven}/Imgs/<stem>.jpg`, beside
each image its mask `<stem>.png`. Images are 8-bit grey, 103 to 632 pixels a side. They carry no
open licence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.imaging.files import read_header, read_image, read_mask, same_size
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.types import Image, Mask, UserError

DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
_TEST_NORMALS = Path(__file__).with_name("mtd_test_normals.txt")


@dataclass(frozen=True)
class Mtd(Dataset):
    """The magnetic tiles under `root`, one category `tile`: 902 train, 50 + 392 test images.

    No split was ever published. Ours takes the sorted stems of MT_Free, permutes them with numpy's
    `RandomState(0)` and tests on the first 50; the list is committed, so that a missing file is an
    error and never another split. Most tiles were taken several times, so a random split has near
    duplicates on both sides: scores on it are optimistic for every method alike.

    Masks have soft edges and are cut above 127. Four Uneven images have a mask without any mark:
    they stay anomalous images, and `mask` returns None, so that pixel metrics leave them out.
    """

    root: Path
    name = "mtd"

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
        test = set(_TEST_NORMALS.read_text().split())
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
        return mark_few_shot(items)

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

"""Photographs of your own: what a folder holds is recognised from the names of its sub-folders.

Accepted, with `ok` or `normal` in place of `good`, folder names in any letter case:

- `CATEGORY/train/good/*`, `CATEGORY/test/good/*`, `CATEGORY/test/DEFECT/*`, with masks, where there
  are any, in `CATEGORY/ground_truth/DEFECT/STEM.png` or `STEM_mask.png` (the MVTec layout);
- the same without `CATEGORY`, directly in the folder;
- `good/*` beside one folder per defect type (`bad/*`, `scratch/*`), split by a fixed rule;
- photographs of good parts directly in the folder: they train, and nothing is tested.

Masks may also lie beside their images as `STEM_mask.png`. Class folders may have sub-folders.
Hidden files are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.files.images import read_header, read_image, same_size
from asbench.files.layout import Category, Layout, folder_name, recognise, slug
from asbench.files.records import marked
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.types import Image, Mask, UserError, check_name


@dataclass(frozen=True)
class Folder(Dataset):
    """The images under `root`, keyed in stores and results by `name`.

    Where normals and anomalies lie beside each other without train and test, the normals are
    ranked by the BLAKE2b digest of their relative paths and the first fifth (rounded down, at
    least one, never all) is tested; every anomalous image is tested.
    Raises UserError, explaining the accepted layouts, where none is recognised.
    """

    root: Path
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "data set")

    @cached_property
    def layout(self) -> Layout:
        """What the folder holds, recognised once."""
        return recognise(self.root, alone=slug(folder_name(self.root)) or self.name.split("@")[0])

    def categories(self) -> tuple[str, ...]:
        """Return the categories, sorted."""
        return tuple(c.name for c in self.layout.categories)

    def items(self, category: str) -> tuple[Item, ...]:
        """Return all items; ids are paths relative to the category's folder."""
        found = self._category(category)
        return mark_few_shot(
            [Item(p.path, category, p.split, int(p.defect != GOOD), p.defect) for p in found.places]
        )

    def image(self, item: Item) -> Image:
        """Return the item's image: uint8 (h, w, 3), grey repeated to RGB."""
        return read_image(self.image_path(item))

    def mask(self, item: Item) -> Mask | None:
        """Return the item's mask above 127: bool (h, w); None without a mask or a mark in it.

        Raises FileError for a mask of another size, or one whose marks are all too dark.
        """
        image, mask = self.image_path(item), self.mask_path(item)
        if not item.label:
            return np.zeros(read_header(image)[:2], bool)
        if mask is None:
            return None
        same_size(mask, image)
        return marked(mask)

    def image_path(self, item: Item) -> Path:
        """Return the item's image file."""
        return self._category(item.category).folder / item.id

    def mask_path(self, item: Item) -> Path | None:
        """Return the item's mask file, if there is one."""
        mask = self._masks[item.category].get(item.id)
        return self._category(item.category).folder / mask if mask else None

    def _category(self, name: str) -> Category:
        for category in self.layout.categories:
            if category.name == name:
                return category
        raise UserError(
            f"category {name!r} is not in {self.name} ({self.root}): "
            f"choose from {', '.join(self.categories())}."
        )

    @cached_property
    def _masks(self) -> dict[str, dict[str, str | None]]:
        return {c.name: {p.path: p.mask for p in c.places} for c in self.layout.categories}

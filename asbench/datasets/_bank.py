"""Textures in any arrangement of folders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.files.images import image_files, read_image
from asbench.types import Dataset, Item
from synth_store.types import Image, Mask, UserError, check_name


@dataclass(frozen=True)
class Bank(Dataset):
    """Every image below `root`, whatever the folders say, as normals of the one category `all`.

    Ids are paths relative to `root`; files and folders whose names begin with a dot are skipped.
    Raises UserError where there is no image.
    """

    root: Path
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "data set")
        image_files([self.root])

    @cached_property
    def _files(self) -> list[str]:
        below = (p.relative_to(self.root) for p in image_files([self.root]))
        return sorted(p.as_posix() for p in below if not any(s.startswith(".") for s in p.parts))

    def categories(self) -> tuple[str, ...]:
        return ("all",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "all":
            raise UserError(f"category {category!r} is unknown in {self.name}: choose all.")
        return tuple(Item(file, "all", "train", 0) for file in self._files)

    def image(self, item: Item) -> Image:
        return read_image(self.root / item.id)

    def mask(self, item: Item) -> Mask:
        return np.zeros(self.image(item).shape[:2], np.bool_)

    def image_path(self, item: Item) -> Path:
        return self.root / item.id

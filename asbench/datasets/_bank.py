"""Textures in any arrangement of folders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.files.images import SUFFIXES, read_image
from asbench.files.names import shown
from asbench.files.walk import walk
from asbench.types import Dataset, Item
from synth_store.types import Image, Mask, UserError, check_name


@dataclass(frozen=True)
class Bank(Dataset):
    """Every image below `root`, whatever the folders say, as normals of the one category `all`.

    Ids are paths relative to `root`; links and what is passed over are as for `walk`.
    Raises UserError where there is no image.
    """

    root: Path
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "data set")
        if not self._files:
            endings = ", ".join(sorted(SUFFIXES))
            raise UserError(f"no images in {shown(self.root)}: files must end in {endings}.")

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The files by id."""
        return {shown(path.relative_to(self.root).as_posix()): path for path in walk(self.root)}

    def categories(self) -> tuple[str, ...]:
        return ("all",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "all":
            raise UserError(f"category {category!r} is unknown in {self.name}: choose all.")
        return tuple(Item(file, "all", "train", 0) for file in self._files)

    def image(self, item: Item) -> Image:
        return read_image(self.image_path(item))

    def mask(self, item: Item) -> Mask:
        return np.zeros(self.image(item).shape[:2], np.bool_)

    def image_path(self, item: Item) -> Path:
        return self._files[item.id]

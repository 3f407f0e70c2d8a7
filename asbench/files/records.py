"""Data sets of files: every image listed once with its label, its defect type and its mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from asbench.files.images import (
    SUFFIXES,
    FileError,
    read_grey,
    read_header,
    read_image,
    read_turn,
    same_size,
    turned,
)
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.types import Image, Mask, UserError


class Record(NamedTuple):
    """One image: its item, its file, and its mask's file where it has one.

    more: files of further parts of the mask, which are united with it.
    """

    item: Item
    image: Path
    mask: Path | None
    more: tuple[Path, ...] = ()


class RecordedDataset(Dataset):
    """A data set that lists its files per category; reading them is the same for all.

    A subclass is a frozen dataclass with a field `root` and says what `records` there are.
    """

    root: Path

    @abstractmethod
    def records(self, category: str) -> Iterable[Record]:
        """Return the images of one of the categories, in any order, few-shot marks not set.

        Raises UserError naming the files that are missing.
        """

    def items(self, category: str) -> tuple[Item, ...]:
        """Return all items; raises UserError naming what the layout lacks."""
        return self._listed(category).items

    def image(self, item: Item) -> Image:
        """Return the item's image: uint8 (h, w, 3), grey repeated to RGB."""
        return read_image(self.image_path(item))

    def mask(self, item: Item) -> Mask | None:
        """Return the item's mask: bool (h, w); None where there is none or it marks nothing.

        A mask of an image that EXIF turns is turned alike, unless its own EXIF turns it or it has
        the size of the turned image alone.
        Raises FileError for a mask of another size than its image, or one marked too darkly.
        """
        image = self.image_path(item)
        if not item.label:
            return np.zeros(read_header(image)[:2], bool)
        parts = [self._fitted(mask, image) for mask in self.mask_paths(item)]
        marks = [part for part in parts if part is not None]
        return np.logical_or.reduce(marks) if marks else None

    def _fitted(self, mask: Path, image: Path) -> Mask | None:
        """Return what a mask marks on its image as it stands: bool (h, w), None for nothing."""
        turn = read_turn(image)
        if turn is not None and read_turn(mask) is None:
            stored = read_header(image, as_stored=True)
            if read_header(mask)[:2] == stored[:2]:
                marks = self.marked(mask)
                return None if marks is None else turned(marks, turn)
        same_size(mask, image)
        return self.marked(mask)

    def marked(self, mask: Path) -> Mask | None:
        """Return what a mask file marks: bool (h, w), None for nothing."""
        return marked(mask)

    def image_path(self, item: Item) -> Path:
        """Return the item's image file."""
        return self._listed(item.category).files[item.id].image

    def mask_path(self, item: Item) -> Path | None:
        """Return the item's mask file, if there is one."""
        return self._listed(item.category).files[item.id].mask

    def mask_paths(self, item: Item) -> tuple[Path, ...]:
        """Return the files of all parts of the item's mask."""
        record = self._listed(item.category).files[item.id]
        return () if record.mask is None else (record.mask, *record.more)

    def _listed(self, category: str) -> _Listed:
        if category not in self._lists:
            if category not in self.categories():
                raise UserError(
                    f"category {category!r} is not in {self.name} ({self.root}): "
                    f"choose from {', '.join(self.categories())}."
                )
            records = list(self.records(category))
            files = {r.item.id: r for r in records}
            if len(files) < len(records):
                raise UserError(
                    f"{self.name}/{category} ({self.root}) lists two images under one name: "
                    "rename those whose names are not UTF-8."
                )
            self._lists[category] = _Listed(mark_few_shot([r.item for r in records]), files)
        return self._lists[category]

    @cached_property
    def _lists(self) -> dict[str, _Listed]:
        return {}


class _Listed(NamedTuple):
    """What one category holds."""

    items: tuple[Item, ...]
    files: dict[str, Record]


def marked(mask: Path) -> Mask | None:
    """Return where a mask is above 127: bool (h, w); None if it marks nothing.

    Raises FileError where something is marked, but nothing above 127.
    """
    levels = read_grey(mask)
    if 0 < levels.max() <= 127:
        raise FileError(
            mask,
            f"marks nothing above level 127 (its highest level is {levels.max()}): "
            "write anomalous pixels as 255.",
        )
    return levels > 127 if levels.any() else None


def subfolder(root: Path, wrapped: str) -> Path:
    """Return where the categories lie: in the folder that the archive wraps around them, or not."""
    return root / wrapped if (root / wrapped).is_dir() else root


def present(root: Path, known: Iterable[str], what: str, name: str) -> tuple[str, ...]:
    """Return the known categories that have a folder; raises UserError if none has."""
    names = tuple(known)
    categories = tuple(c for c in names if (root / c).is_dir())
    if not categories:
        raise UserError(
            f"no {what} in {root}: none of its categories {', '.join(names)} has a folder there. "
            f"`asbench data fetch {name}` says how to get it."
        )
    return categories


def split_folders(
    name: str, category: str, folder: Path, *, normal: str = GOOD
) -> Iterator[Record]:
    """List `train/<normal>`, `test/<normal>` and `test/<defect>` with masks in `ground_truth`.

    Ids are paths below `folder`; the masks of a defect type are `ground_truth/<defect>/STEM` or
    `STEM_mask`, of any image ending. Raises UserError for images that differ in their ending alone,
    a split without normals, and defects without a mask.
    """
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    for split in splits:
        normals = images(folder / split / normal)
        if not normals:
            raise UserError(
                f"{name}: no image in {folder / split / normal}. {_again(name)} "
                "A category of your own goes by its path: --dataset PATH."
            )
        for path in normals.values():
            yield Record(Item(_id(path, folder), category, split, 0), path, None)
    types = sorted(p.name for p in (folder / "test").iterdir() if p.is_dir())
    for defect in (t for t in types if t != normal and not t.startswith(".")):
        faulty = images(folder / "test" / defect)
        truth = folder / "ground_truth" / defect
        masks = images(truth)
        require(name, {s for s in faulty if not {s, f"{s}_mask"} & set(masks)}, truth, "masks")
        for stem, path in faulty.items():
            two = [masks[s] for s in (stem, f"{stem}_mask") if s in masks]
            if len(two) > 1:
                raise UserError(f"{path} has two masks, {two[0]} and {two[1]}: keep one.")
            yield Record(Item(_id(path, folder), category, "test", 1, defect), path, two[0])


def images(folder: Path) -> dict[str, Path]:
    """Return the image files directly in a folder by stem, sorted; hidden ones left out.

    Empty for a folder that is not there. Raises UserError for two files of one stem.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in paths:
            raise UserError(
                f"{paths[path.stem]} and {path.name} differ in their ending alone: keep one."
            )
        paths[path.stem] = path
    return paths


def require(name: str, missing: Iterable[str], folder: Path, what: str) -> None:
    """Raise UserError, naming the first of them, if any file is missing."""
    absent = sorted(missing)
    if absent:
        named = ", ".join(absent[:5])
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise UserError(
            f"{name}: {len(absent)} {what} missing in {folder}: {named}{more}. {_again(name)}"
        )


def _again(name: str) -> str:
    return f"Copy or unpack {name} again, whole."


def _id(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()

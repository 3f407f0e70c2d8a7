"""What the files of a folder are, told from the names of the folders they lie in.

No pixel is read. The layouts are those of `LAYOUTS`; folder names count in any letter case.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from asbench.files.images import SUFFIXES
from asbench.types import GOOD
from synth_store.types import UserError, check_category

NORMAL_FOLDERS = frozenset({"good", "ok", "normal"})
MASK_FOLDERS = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
LAYOUTS = f"""accepted layouts, with ok or normal in place of good:
  CATEGORY/train/good/*  CATEGORY/test/good/*  CATEGORY/test/DEFECT/*  and, where there are masks,
    CATEGORY/ground_truth/DEFECT/STEM.png or STEM_mask.png
  the same without CATEGORY, directly in the folder
  good/*  beside DEFECT/*
  images of good parts directly in the folder
Image files end in {", ".join(sorted(SUFFIXES))}."""

_UNREAD = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".dng", ".pgm", ".ppm", ".npy"})
_Role = Literal["train", "test", "anomalous", "mask"]


class Place(NamedTuple):
    """One image of a category: paths relative to the category's folder, `/` between parts."""

    path: str
    split: Literal["train", "test"]
    defect: str
    mask: str | None


@dataclass(frozen=True)
class Category:
    """What was recognised in one category's folder, and each file left over with the reason."""

    name: str
    folder: Path
    layout: str
    places: tuple[Place, ...]
    left_over: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class Layout:
    """What was recognised in a folder. `left_over` holds the files outside every category."""

    categories: tuple[Category, ...]
    left_over: tuple[tuple[Path, str], ...]


def slug(text: str) -> str:
    """Return `text` as a data set's name: ASCII lower case, digits, `_`; empty if nothing is left.

    Accents are dropped; all else becomes `_`.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def folder_name(root: Path) -> str:
    """Return the last part of a folder's path, also for `.` and `..`; links keep their own name."""
    return Path(os.path.abspath(root)).name


def recognise(root: Path, alone: str) -> Layout:
    """Recognise what lies under `root`; `alone` names the category if there is only one level.

    Reads names only, no pixels. Raises UserError for a missing or empty folder, an unknown layout,
    a category without normals, two images of one stem in a folder, and two masks of one image.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    files = sorted(_walk(root))
    images = [f for f in files if f.suffix.lower() in SUFFIXES]
    unread = tuple(
        (root / f, f"{f.suffix.lower()} files are not read: convert it to PNG or JPEG.")
        for f in files
        if f.suffix.lower() in _UNREAD
    )
    if not images:
        others = f" ({unread[0][0].name}: {unread[0][1]})" if unread else ""
        raise UserError(f"{root} holds no image that can be read{others}; {LAYOUTS}")
    if _is_category(images):
        return Layout((_category(root, alone, images),), unread)
    named, outside = _categories_below(root, images)
    if named:
        left_over = [(root / f, "lies outside every category.") for f in outside]
        return Layout(tuple(named), (*unread, *left_over))
    beside = {f.parts[0] for f in images if len(f.parts) > 1}
    flat = any(len(f.parts) == 1 for f in images)
    if flat and all(top.lower() in MASK_FOLDERS for top in beside):
        return Layout((_category(root, alone, images),), unread)
    raise UserError(
        f"the layout of {root} is not recognised: its sub-folders are "
        f"{', '.join(sorted(beside)[:8])}; {LAYOUTS}"
    )


def _categories_below(
    root: Path, images: Sequence[PurePosixPath]
) -> tuple[list[Category], list[PurePosixPath]]:
    """Return the categories among the sub-folders, sorted by name, and the images in none."""
    below = defaultdict(list)
    for f in images:
        below[f.parts[0] if len(f.parts) > 1 else ""].append(f)
    named: dict[str, Category] = {}
    outside: list[PurePosixPath] = []
    for top, under in sorted(below.items()):
        inner = [PurePosixPath(*f.parts[1:]) for f in under]
        # test/good beside test/bad is no category, but half of one whose train is missing
        if top.lower() in {"", "train", "test", *MASK_FOLDERS} or not _is_category(inner):
            outside += under
            continue
        name = _category_name(root / top)
        if name in named:
            raise UserError(
                f"{named[name].folder} and {root / top} both give category {name!r}: rename one."
            )
        named[name] = _category(root / top, name, inner)
    return [named[n] for n in sorted(named)], outside


def _walk(root: Path) -> Iterator[PurePosixPath]:
    """Yield the files below `root`, relative to it: links followed, hidden things passed over."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from error

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(folder)
        real = os.path.realpath(here)
        above = here.relative_to(root).parents
        if any(os.path.realpath(root / parent) == real for parent in above):
            subfolders.clear()  # a link to a folder above it: an endless tree
            continue
        subfolders[:] = [s for s in subfolders if not s.startswith((".", "__MACOSX"))]
        for name in names:
            if not name.startswith("."):
                yield PurePosixPath(*here.relative_to(root).parts, name)


def _category_name(folder: Path) -> str:
    try:
        return check_category(folder.name)
    except UserError as error:
        if name := slug(folder.name):
            return name
        raise UserError(f"{folder}: {error} Rename the folder.") from error


class _Shape(NamedTuple):
    """Which of the telling folders a category has."""

    train: bool
    test: bool
    normals_beside: bool
    loose_train: bool

    @classmethod
    def of(cls, images: Iterable[PurePosixPath]) -> _Shape:
        heads = {tuple(part.lower() for part in f.parts[:-1][:2]) for f in images}
        tops = {head[0] for head in heads if head}
        in_train = {head[1:] for head in heads if head[:1] == ("train",)}
        return cls(
            train="train" in tops,
            test="test" in tops,
            normals_beside=bool(tops & NORMAL_FOLDERS),
            loose_train=() in in_train and not any(set(h) & NORMAL_FOLDERS for h in in_train),
        )


def _is_category(images: Sequence[PurePosixPath]) -> bool:
    shape = _Shape.of(images)
    return shape.train or shape.normals_beside


def _role(folders: Sequence[str], shape: _Shape) -> tuple[_Role, int] | str:
    """Return what a file is by its lower-case folders, and how many of them say so; or why not."""
    flat = not (shape.train or shape.normals_beside)
    match folders:
        case ["train"] if shape.loose_train:
            return "train", 1
        case ["train", name, *_] if name in NORMAL_FOLDERS:
            return "train", 2
        case ["train", *_]:
            return "lies in train, of which only a folder good, ok or normal is read."
        case ["test"]:
            return "lies directly in test, where only a folder tells normal from anomalous."
        case ["test", name, *_] if not flat:
            if name in MASK_FOLDERS:
                return "mask", 2
            return ("test" if name in NORMAL_FOLDERS else "anomalous"), 2
        case [name, *_] if name in MASK_FOLDERS:
            return "mask", 1
        case [name, *_] if name in NORMAL_FOLDERS and not shape.train:
            return "train", 1
        case [_, *_] if shape.normals_beside and not (shape.train or shape.test):
            return "anomalous", 1
        case [] if flat:
            return "train", 0
    return "has no place in the recognised layout."


def _category(folder: Path, name: str, images: Sequence[PurePosixPath]) -> Category:
    """Give every image of a category's folder its place."""
    shape = _Shape.of(images)
    masks = _Masks(folder)
    normals: list[tuple[str, Literal["train", "test"]]] = []
    anomalous: list[tuple[PurePosixPath, int]] = []
    left_over: list[tuple[Path, str]] = []
    stems = {f.with_suffix("") for f in images}
    for f in images:
        role = _role([part.lower() for part in f.parts[:-1]], shape)
        if isinstance(role, str):
            left_over.append((folder / f, role))
        elif role[0] == "mask":
            masks.add(f, role[1])
        elif f.stem.endswith("_mask") and f.with_name(f.stem[:-5]) in stems:
            masks.add_beside(f)
        elif role[0] == "anomalous":
            anomalous.append((f, role[1]))
        else:
            normals.append((f.as_posix(), role[0]))
    _refuse_twins(folder, [PurePosixPath(n) for n, _ in normals] + [f for f, _ in anomalous])
    layout = "train and test folders"
    if not (shape.train or shape.normals_beside):
        layout = "images of good parts only, all for training"
    elif not (shape.train or shape.test):
        layout = "normal and anomalous folders side by side"
        if anomalous:
            normals = _split([path for path, _ in normals])
            layout += ", a fifth of the normals set aside for testing"
    elif not (shape.test and anomalous):
        layout = "a train folder without anomalous test images"
    types = {f.parts[depth - 1] for f, depth in anomalous}
    places = [Place(path, split, GOOD, None) for path, split in normals]
    for f, depth in anomalous:
        mask = masks.claim(f, depth, alone=len(types) == 1)
        places.append(Place(f.as_posix(), "test", f.parts[depth - 1], mask))
    if not any(p.split == "train" for p in places):
        raise UserError(f"{folder} holds no normal image to train on; {LAYOUTS}")
    left_over += [(folder / f, "is a mask without an image.") for f in masks.unclaimed()]
    return Category(name, folder, layout, tuple(sorted(places)), tuple(left_over))


def _split(normals: Sequence[str]) -> list[tuple[str, Literal["train", "test"]]]:
    """Set the first fifth aside by digest of the path: at least one, never all."""
    ranked = sorted(normals, key=lambda path: hashlib.blake2b(path.encode()).digest())
    test = min(len(ranked) - 1, max(1, len(ranked) // 5))
    return [(path, "test" if i < test else "train") for i, path in enumerate(ranked)]


def _refuse_twins(folder: Path, images: Sequence[PurePosixPath]) -> None:
    """Raise UserError where two images differ in the ending alone: one may be the other's mask."""
    count = Counter(f.with_suffix("") for f in images)
    twins = [f.as_posix() for f in images if count[f.with_suffix("")] > 1]
    if twins:
        raise UserError(
            f"{folder} holds images that differ in their ending alone: {', '.join(twins[:6])}"
            f"{', ...' if len(twins) > 6 else ''}. If one is the mask of the other, name it "
            "STEM_mask or move it to ground_truth/DEFECT/; else rename one."
        )


class _Masks:
    """The mask files of a category, found by defect type, sub-folder and stem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_key: dict[tuple[tuple[str, ...], str], list[PurePosixPath]] = defaultdict(list)
        self._unclaimed: dict[PurePosixPath, None] = {}

    def add(self, path: PurePosixPath, depth: int) -> None:
        """Take in a file of a mask folder; masks of normals are of no use and are let go."""
        head = path.parts[depth:-1]
        if head and head[0].lower() in NORMAL_FOLDERS:
            return
        key = ((head[0].lower(), *head[1:]) if head else ()), path.stem
        self._by_key[key].append(path)
        self._unclaimed[path] = None

    def add_beside(self, path: PurePosixPath) -> None:
        """Take in a mask that lies beside its image."""
        self._by_key[("beside", *path.parts[:-1]), path.stem].append(path)

    def claim(self, image: PurePosixPath, depth: int, alone: bool) -> str | None:
        """Return the mask of an image of a type; `alone`: its type is the only one."""
        defect, inner = image.parts[depth - 1].lower(), image.parts[depth:-1]
        places = [(defect, *inner), ("beside", *image.parts[:-1])] + [inner] * alone
        masks = [
            path
            for place in places
            for stem in (image.stem, f"{image.stem}_mask")
            for path in self._by_key.get((place, stem), ())
        ]
        if len(masks) > 1:
            raise UserError(
                f"{self._folder / image} has {len(masks)} masks: "
                f"{', '.join(map(str, masks))}. Keep one."
            )
        for path in masks:
            self._unclaimed.pop(path, None)
        return masks[0].as_posix() if masks else None

    def unclaimed(self) -> list[PurePosixPath]:
        """Return the files of mask folders that belong to no image."""
        return list(self._unclaimed)

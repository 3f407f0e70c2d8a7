"""What the files of a folder are, told from the names of the folders they lie in.

Pixels are read only where names do not tell: of two files of one stem, of which one may be the
mask, and of masks beside loose images, which alone tell defective from normal (KolektorSDD2). The
layouts are those of `LAYOUTS`; folder names count in any letter case.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal, NamedTuple

from asbench.files.images import SUFFIXES, FileError
from asbench.files.mask_places import MASK_FOLDERS, Masks, marked_stem
from asbench.files.masks import read_marked, two_levels
from asbench.files.names import composed, shown
from asbench.files.saturation import Saturation, read_saturations
from asbench.files.walk import walk
from asbench.types import GOOD
from synth_store.types import UserError, check_category

NORMAL_FOLDERS = frozenset({"good", "ok", "normal"})
"""Folders of normal images, wherever they lie."""
_OTHER_NORMALS = frozenset({"pass", "passed", "normals", "no_defect", "defect_free", "negative"})
"""Folders of normal images where none of NORMAL_FOLDERS lies beside them."""
_ANOMALY = "anomaly"
"""The defect type of a loose image whose mask marks something."""
LAYOUTS = f"""accepted layouts, with ok, normal, pass or 0 (beside 1) in place of good:
  CATEGORY/train/good/*  CATEGORY/test/good/*  CATEGORY/test/DEFECT/*  and, where there are masks,
    CATEGORY/ground_truth/DEFECT/STEM.png, STEM_mask.png or STEM/*.png (as MVTec AD and LOCO)
  the same without CATEGORY, directly in the folder
  CATEGORY/test/DEFECT/rgb/*  and its masks in CATEGORY/test/DEFECT/gt/* (as MVTec 3D-AD)
  train/*  test/*  each image with a mask STEM_GT.png beside it (as KolektorSDD2)
  good/*  beside DEFECT/*
  images of good parts directly in the folder
Image files end in {", ".join(sorted(SUFFIXES))}."""

UNREAD = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".dng", ".pgm", ".ppm", ".npy"})
"""Endings of images that are not read, and named."""
_Role = Literal["train", "test", "anomalous", "mask"]


class Place(NamedTuple):
    """One image of a category: paths relative to the category's folder, `/` between parts.

    Several masks are parts of one.
    """

    path: str
    split: Literal["train", "test"]
    defect: str
    masks: tuple[str, ...]


@dataclass(frozen=True)
class Category:
    """What was recognised in one category's folder, and each file left over with the reason."""

    name: str
    folder: Path
    layout: str
    places: tuple[Place, ...]
    left_over: tuple[tuple[Path, str], ...]
    saturations: tuple[Saturation, ...] = ()
    """How much of each kind of defect must be found, where MVTec LOCO's file says so."""


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


def recognise(root: Path, alone: str, without: Collection[str] = ()) -> Layout:
    """Recognise what lies under `root`; `alone` names the category if there is only one level.

    without: sub-folders that something else reads.
    Raises UserError for a missing or empty folder, an unknown layout, a category without normals,
    two photographs of one stem in a folder, and two masks of one image.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    files = _files(root, without, SUFFIXES | UNREAD)
    images = [f for f in files if f.suffix.lower() in SUFFIXES]
    unread = tuple((root / f, unread_image(f)) for f in files if f.suffix.lower() in UNREAD)
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


def unread_image(path: PurePath) -> str:
    """Return why an image is not read, and what to do."""
    return f"{path.suffix.lower()} files are not read: convert it to PNG or JPEG."


def has_categories(root: Path, without: Collection[str]) -> bool:
    """Return whether a sub-folder, of those that nothing else reads, is laid out as a category."""
    below = defaultdict(list)
    for f in _files(root, without, SUFFIXES):
        below[f.parts[0]].append(PurePosixPath(*f.parts[1:]))
    return any(_is_category(images) for images in below.values())


def _files(root: Path, without: Collection[str], suffixes: Collection[str]) -> list[PurePosixPath]:
    """Return the files below a folder, relative to it, but for those of some sub-folders."""
    paths = (PurePosixPath(*f.relative_to(root).parts) for f in walk(root, suffixes))
    return [f for f in paths if f.parts[0] not in without]


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
        name = category_name(root / top)
        if name in named:
            raise UserError(
                f"{named[name].folder} and {root / top} both give category {name!r}: rename one."
            )
        named[name] = _category(root / top, name, inner)
    return [named[n] for n in sorted(named)], outside


def category_name(folder: Path) -> str:
    """Return what a folder's category is called; raises UserError where nothing is left of it."""
    try:
        return check_category(folder.name)
    except UserError as error:
        if name := slug(folder.name):
            return name
        raise UserError(f"{folder}: {error} Rename the folder.") from error


class _Shape(NamedTuple):
    """Which of the telling folders a category has; `normals`: names of folders of normal images."""

    train: bool
    test: bool
    normals: frozenset[str]
    train_normals: frozenset[str]
    test_normals: frozenset[str]
    loose_train: bool

    @classmethod
    def of(cls, images: Iterable[PurePosixPath]) -> _Shape:
        heads = {tuple(part.lower() for part in f.parts[:-1][:2]) for f in images}
        tops = {head[0] for head in heads if head}
        inside = {
            split: {head[1] for head in heads if len(head) > 1 and head[0] == split}
            for split in ("train", "test")
        }
        train_normals = _normal_among(inside["train"])
        # 0/train and 1/train are categories, however they are called
        named = any(head[1] in {"train", "test"} for head in heads if len(head) > 1)
        return cls(
            train="train" in tops,
            test="test" in tops,
            normals=frozenset(tops & NORMAL_FOLDERS) if named else _normal_among(tops),
            train_normals=train_normals,
            test_normals=_normal_among(inside["test"]),
            loose_train=("train",) in heads and not train_normals,
        )


def _normal_among(names: set[str]) -> frozenset[str]:
    """Return which of the folders beside each other, in lower case, hold the normal images."""
    if names & NORMAL_FOLDERS:
        return frozenset(names & NORMAL_FOLDERS)
    if {"0"} <= names - MASK_FOLDERS <= {"0", "1"}:
        return frozenset({"0"})
    return frozenset(names & _OTHER_NORMALS)


def _is_category(images: Sequence[PurePosixPath]) -> bool:
    shape = _Shape.of(images)
    return shape.train or bool(shape.normals)


def _role(folders: Sequence[str], shape: _Shape) -> tuple[_Role, int] | str:
    """Return what a file is by its lower-case folders, and how many of them say so; or why not."""
    flat = not (shape.train or shape.normals)
    match folders:
        case ["train"] if shape.loose_train:
            return "train", 1
        case ["train", name, *_] if name in shape.train_normals:
            return "train", 2
        case ["train", *_]:
            return "lies in train, of which only a folder good, ok or normal is read."
        case ["test"]:
            return "lies directly in test, where only a folder tells normal from anomalous."
        case ["test", name, *_] if not flat:
            if name in MASK_FOLDERS:
                return "mask", 2
            return ("test" if name in shape.test_normals else "anomalous"), 2
        case [name, *_] if name in MASK_FOLDERS:
            return "mask", 1
        case [name, *_] if name in shape.normals and not shape.train:
            return "train", 1
        case ["validation" | "valid" | "val", *_] if shape.train:
            return "is for validation, which selects nothing here: move it to train to use it."
        case [_, *_] if shape.normals and not (shape.train or shape.test):
            return "anomalous", 1
        case [] if flat:
            return "train", 0
    return "has no place in the recognised layout."


def _category(folder: Path, name: str, images: Sequence[PurePosixPath]) -> Category:
    """Give every image of a category's folder its place."""
    shape = _Shape.of(images)
    masks = Masks(folder)
    normals: list[tuple[str, Literal["train", "test"]]] = []
    anomalous: list[tuple[PurePosixPath, int]] = []
    left_over: list[tuple[Path, str]] = []
    beside = _beside(folder, images)
    with_rgb = {_folders(f.parent) for f in images if f.parent.name.lower() == "rgb"}
    loose = _loose(folder, images, beside) if ("test",) in map(_folders, images) else {}
    for f in images:
        folders = _folders(f)
        role = _role(folders, shape)
        if f in loose:
            role = ("anomalous" if loose[f] else "test", 1) if folders == ("test",) else role
        if f in beside:
            masks.add_beside(f, beside[f])
        elif isinstance(role, str):
            left_over.append((folder / f, role))
        elif role[0] == "mask" or set(folders[role[1] :]) & MASK_FOLDERS:
            depth = role[1] - (role[0] != "mask")  # a class's own folder of masks names no class
            of = f.parts[depth].lower()
            # masks of normals are of no use
            if of not in NORMAL_FOLDERS | shape.normals | shape.test_normals:
                masks.add(f, depth)
        elif folders[-1:] != ("rgb",) and folders[:-1] in with_rgb:
            left_over.append((folder / f, "lies beside a folder rgb, and is no photograph."))
        elif loose.get(f) and role[0] == "train":
            left_over.append((folder / f, "is marked by its mask: only normal images train."))
        elif role[0] == "anomalous":
            anomalous.append((f, role[1]))
        else:
            normals.append((f.as_posix(), role[0]))
    layout = "train and test folders"
    if not (shape.train or shape.normals):
        layout = "images of good parts only, all for training"
    elif not (shape.train or shape.test):
        layout = "normal and anomalous folders side by side"
        if anomalous:
            normals = _split([path for path, _ in normals])
            layout += ", a fifth of the normals set aside for testing"
    elif not (shape.test and anomalous):
        layout = "a train folder without anomalous test images"
    if loose:
        layout += ", test images told apart by the masks beside them"
    types = {f.parts[depth - 1] for f, depth in anomalous}
    places = [Place(path, split, GOOD, ()) for path, split in normals]
    for f, depth in anomalous:
        defect = _ANOMALY if f in loose else f.parts[depth - 1]
        claimed = masks.claim(f, depth, alone=len(types) == 1)
        places.append(Place(f.as_posix(), "test", defect, claimed))
    if not any(p.split == "train" for p in places):
        raise UserError(f"{folder} holds no normal image to train on; {LAYOUTS}")
    left_over += [(folder / f, "is a mask without an image.") for f in masks.unclaimed()]
    saturations = read_saturations(folder)
    return Category(name, folder, layout, tuple(sorted(places)), tuple(left_over), saturations)


def _folders(path: PurePosixPath) -> tuple[str, ...]:
    """Return the names of the folders that a file lies in, in lower case."""
    return tuple(part.lower() for part in path.parts[:-1])


def _beside(folder: Path, images: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return the masks that lie beside their images, each with its image's stem.

    A name tells, or, of files that differ in the ending alone, that one has at most two levels.
    Raises UserError where neither does.
    """
    by_stem: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = defaultdict(list)
    for f in images:
        if not set(_folders(f)) & MASK_FOLDERS:
            by_stem[f.parent, composed(f.stem)].append(f)
    masks: dict[PurePosixPath, str] = {}
    twins: list[PurePosixPath] = []
    for (parent, stem), files in by_stem.items():
        of = marked_stem(stem)
        named = (of, f"image_{of}", f"img_{of}") if of is not None else ()
        if any((parent, name) in by_stem for name in named):
            masks |= dict.fromkeys(files, str(of))
        elif len(files) > 1:
            flat = [f for f in files if two_levels(folder / f)]
            if len(flat) == len(files) - 1:
                masks |= dict.fromkeys(flat, stem)
            else:
                twins += files
    if twins:
        raise UserError(
            f"{folder} holds images that differ in their ending alone: "
            f"{', '.join(shown(f) for f in twins[:6])}"
            f"{', ...' if len(twins) > 6 else ''}. If one is the mask of the other, name it "
            "STEM_mask or move it to ground_truth/DEFECT/; else rename one."
        )
    return masks


def _loose(
    folder: Path, images: Sequence[PurePosixPath], beside: Mapping[PurePosixPath, str]
) -> dict[PurePosixPath, bool]:
    """Return, of the images directly in train and test, whether the mask beside each marks any.

    Empty unless every image directly in test has a mask beside it, as KolektorSDD2 has. A mask that
    cannot be read marks something: its image does not train, and the mask is named when it is used.
    """
    marks: dict[tuple[PurePosixPath, str], bool] = {}
    loose = [f for f in images if _folders(f) in {("train",), ("test",)}]
    if any(
        (f.parent, composed(f.stem)) not in {(m.parent, stem) for m, stem in beside.items()}
        for f in loose
        if f not in beside and _folders(f) == ("test",)
    ):
        return {}
    for f in loose:
        if f in beside:
            try:
                marked = bool(read_marked(folder / f).mask.any())
            except FileError:
                marked = True
            marks[f.parent, beside[f]] = marked
    keys = {f: (f.parent, composed(f.stem)) for f in loose if f not in beside}
    return {f: marks[key] for f, key in keys.items() if key in marks}


def _split(normals: Sequence[str]) -> list[tuple[str, Literal["train", "test"]]]:
    """Give each normal its split, where no folder says it."""
    test = set_aside(normals)
    return [(path, "test" if path in test else "train") for path in normals]


def set_aside(normals: Sequence[str]) -> set[str]:
    """Return the first fifth of paths by digest: at least one, never all."""
    ranked = sorted(normals, key=lambda path: hashlib.blake2b(os.fsencode(path)).digest())
    return set(ranked[: min(len(ranked) - 1, max(1, len(ranked) // 5))])

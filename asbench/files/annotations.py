"""Images with annotations beside them: COCO's JSON, YOLO's text files; how each tool lays them out.

COCO (CVAT, Label Studio, Roboflow, our own export): JSON files with `images`, `annotations` and
`categories`, in the folder, in `annotations/`, or in folders of a split. YOLO (Ultralytics, CVAT,
Label Studio, Roboflow, our own export): `data.yaml` or `classes.txt`, images somewhere below a
folder `images`, and their text files at the same place below `labels`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import yaml

from asbench.files.coco import decode
from asbench.files.documents import damaged
from asbench.files.images import SUFFIXES
from asbench.files.layout import NORMAL_FOLDERS
from asbench.files.walk import walk
from synth_store.types import Mask, UserError

Split = Literal["train", "test"]
NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
"""Files that name YOLO's classes, the first that is there counting."""
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "test", "testing"), "test"),
}
_KEYS = ("images", "annotations", "categories")


class Marking(NamedTuple):
    """What marks one defect: its class, and its shape as the format has it.

    shape: what `Annotation.mask` reads; None for a box, which outlines nothing.
    """

    name: str
    shape: Any


@dataclass(frozen=True, eq=False)
class Annotation:
    """One image and what is marked on it; nothing for a normal one.

    image: its path relative to the folder; size: (height, width) that shapes refer to, None where
    the format says none; source: the file that says so.
    """

    image: PurePosixPath
    split: Split | None
    markings: tuple[Marking, ...]
    kind: Literal["coco", "yolo"]
    source: Path
    size: tuple[int, int] | None = None

    @property
    def outlined(self) -> bool:
        """Whether every defect has an outline, so that what is not marked is known to be normal."""
        return all(one.shape is not None for one in self.markings)

    def mask(self, size: tuple[int, int]) -> Mask:
        """Return what all outlines mark together on an image of a size: bool (h, w).

        Raises UserError naming the file and image whose shape cannot be read.
        """
        mask = np.zeros(size, np.bool_)
        for one in self.markings:
            try:
                if self.kind == "coco":
                    mask |= decode(one.shape, size)
                else:
                    mask |= _filled(one.shape, size)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise UserError(
                    f"{self.source}: a {one.name!r} on {self.image} is no outline ({error}): mark "
                    "it again, or leave it out."
                ) from error
        return mask

    def described(self) -> bytes:
        """Return what is marked as bytes, alike wherever the files lie."""
        return json.dumps([self.size, self.markings], sort_keys=True).encode()


def _filled(shares: Sequence[float], size: tuple[int, int]) -> Mask:
    """Fill one of YOLO's polygons as ultralytics does: cut to whole pixels, outline included."""
    mask = np.zeros(size, np.uint8)
    points = np.array(shares, np.float64).reshape(-1, 2) * (size[1], size[0])
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    return mask.astype(np.bool_)


def is_annotated(folder: Path) -> bool:
    """Return whether a folder's images are annotated as COCO or YOLO."""
    return bool(coco_files(folder)) or names_file(folder) is not None


def read_annotations(folder: Path, file: Path | None = None) -> tuple[Annotation, ...]:
    """Return the annotated images of a folder; `file`: of one COCO file alone.

    Raises UserError naming files that cannot be read and images that are not there.
    """
    images = [PurePosixPath(*p.relative_to(folder).parts) for p in walk(folder)]
    documents = [file] if file is not None else coco_files(folder)
    found = _coco(folder, documents, images) if documents else _yolo(folder, images)
    return tuple(replace(one, markings=_defects(one.markings)) for one in found)


def _defects(markings: Sequence[Marking]) -> tuple[Marking, ...]:
    """Leave out what is marked as good: a part that someone has looked at."""
    return tuple(one for one in markings if one.name.lower() not in NORMAL_FOLDERS)


# --- COCO ----------------------------------------------------------------------------------------


def coco_files(folder: Path) -> list[Path]:
    """Return the COCO files of a folder: in it, in `annotations`, and in folders of a split."""
    below = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    near = [p for p in below if p.name.lower() in {"annotations", *_SPLITS}]
    return [p for place in (folder, *near) for p in sorted(place.glob("*.json")) if is_coco(p)]


def is_coco(path: Path) -> bool:
    """Return whether a file is COCO's: told by its keys before it is read as JSON."""
    if path.name.startswith(".") or path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        content = path.read_bytes()
        if not all(f'"{key}"'.encode() in content for key in _KEYS):
            return False
        document = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and all(isinstance(document.get(k), list) for k in _KEYS)


def _coco(
    folder: Path, documents: Sequence[Path], images: Sequence[PurePosixPath]
) -> Iterator[Annotation]:
    by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
    for image in images:
        by_name[image.name].append(image)
    merged: dict[PurePosixPath, Annotation] = {}
    missing: list[str] = []
    for path in documents:
        document = json.loads(path.read_bytes())
        place = PurePosixPath(*path.relative_to(folder).parts)
        try:
            names = {one["id"]: str(one["name"]) for one in document["categories"]}
            marks: dict[Any, list[Marking]] = defaultdict(list)
            for one in document["annotations"]:
                shape = one.get("segmentation") or None
                marks[one["image_id"]].append(Marking(names[one["category_id"]], shape))
            for entry in document["images"]:
                name, size = str(entry["file_name"]), (int(entry["height"]), int(entry["width"]))
                file = _resolved(name, place, by_name)
                if file is None:
                    missing.append(name)
                    continue
                earlier = merged[file].markings if file in merged else ()
                found = (*earlier, *marks[entry["id"]])
                split = _split(file.parts) or _split(place.parts)
                merged[file] = Annotation(file, split, found, "coco", path, size)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(path, error, "export it again from the tool that made it") from error
    if missing:
        raise UserError(
            f"{documents[0]} names {len(missing)} images that are not below {folder} "
            f"({missing[0]}): copy them there, for example into images/."
        )
    yield from merged.values()


def _resolved(
    name: str, document: PurePosixPath, by_name: Mapping[str, list[PurePosixPath]]
) -> PurePosixPath | None:
    """Return which file a COCO file names: that whose path ends so, nearest to it; None for none.

    Tools write paths that were true on their own machine: then the last part alone counts.
    """
    parts = [p for p in PurePosixPath(name.replace("\\", "/")).parts if p not in ("..", ".", "/")]
    if not parts:
        return None
    known = by_name.get(parts[-1], [])
    for length in range(len(parts), 0, -1):
        ending = [image for image in known if list(image.parts[-length:]) == parts[-length:]]
        if len(ending) > 1:
            beside = [i for i in ending if i.is_relative_to(document.parent)]
            same = [i for i in beside or ending if _split(i.parts) == _split(document.parts)]
            ending = same if len(same) == 1 else ending
        if len(ending) > 1:
            raise UserError(
                f"{document} names {name}, which may be {ending[0]} or {ending[1]}: rename one."
            )
        if ending:
            return ending[0]
    return None


def _split(parts: Sequence[str]) -> Split | None:
    """Return the split that folders, or the words of a file's name, say."""
    for part in parts[:-1]:
        if part.lower() in _SPLITS:
            return _SPLITS[part.lower()]
    words = PurePosixPath(parts[-1]).stem.lower().replace("-", "_").split("_")
    last = words[-1] if parts[-1].lower().endswith(".json") else ""
    return _SPLITS.get(last.removesuffix("2017"))


# --- YOLO ----------------------------------------------------------------------------------------


def names_file(folder: Path) -> Path | None:
    """Return the file that names YOLO's classes; None unless there are labels beside it, too."""
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        return None
    labels = (folder / "labels", *(folder / split / "labels" for split in _SPLITS))
    return path if any(place.is_dir() for place in labels) else None


def _yolo(folder: Path, images: Sequence[PurePosixPath]) -> Iterator[Annotation]:
    described = names_file(folder)
    assert described is not None
    names = _names(described)
    for image in images:
        if "images" not in image.parts[:-1]:
            continue
        place = len(image.parts) - 2 - image.parts[-2::-1].index("images")
        parts = (*image.parts[:place], "labels", *image.parts[place + 1 :])
        path = folder / PurePosixPath(*parts).with_suffix(".txt")
        markings = tuple(_lines(path, names)) if path.is_file() else ()
        yield Annotation(image, _split(image.parts), markings, "yolo", path)


def _names(path: Path) -> Sequence[str]:
    """Return the classes' names by number."""
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix not in (".yaml", ".yml"):
            return [line.strip() for line in text.splitlines() if line.strip()]
        names = yaml.safe_load(text)["names"]
        if isinstance(names, dict):
            return [str(names[number]) for number in range(len(names))]
        return [str(name) for name in names]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise damaged(path, error, "let it name the classes, as in `names: [scratch]`") from error


def _lines(path: Path, names: Sequence[str]) -> Iterator[Marking]:
    """Yield what a text file marks: a class and a polygon, or a class and a box, a line."""
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise damaged(path, error, "export it again from the tool that made it") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, *shares = line.split()
            values = [float(share) for share in shares]
            name = names[int(kind)] if int(kind) >= 0 else None
            if name is None or not all(0 <= value <= 1 for value in values):
                raise ValueError
            if len(values) != 4 and (len(values) < 6 or len(values) % 2):
                raise ValueError
        except (ValueError, IndexError):
            raise UserError(
                f"{path} line {number} ({line.strip()[:40]!r}) is no line of YOLO: a class from 0 "
                f"to {len(names) - 1}, then shares from 0 to 1: x y of three points or more, or "
                "the four of a box."
            ) from None
        yield Marking(name, None if len(values) == 4 else values)


def unread(folder: Path, annotations: Sequence[Annotation]) -> list[Path]:
    """Return the images below a folder that no annotation names."""
    known = {folder / one.image for one in annotations}
    return [path for path in walk(folder, SUFFIXES) if path not in known]

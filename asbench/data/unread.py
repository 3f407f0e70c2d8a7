"""What lies in a folder of one's own and is not read: each file with what to do about it.

Annotations matter most: where they are passed over, what they mark as defective counts as good.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from asbench.datasets import open_dataset, place_of
from asbench.datasets._beside import parts_of
from asbench.datasets.annotated import Annotated
from asbench.datasets.folder import Folder
from asbench.files.annotations import coco_files, is_coco
from asbench.files.images import SUFFIXES
from asbench.files.layout import UNREAD, unread_image
from asbench.files.names import shown
from asbench.files.saturation import CONFIG
from asbench.files.walk import walk
from asbench.types import Dataset

_COCO = "is not read: export it there as COCO or YOLO with the images, docs/howto/formats.md."
_STROKES = (
    "holds brush strokes of Label Studio, which are not read: make a COCO file of them, "
    "`python brushes.py EXPORT.json FOLDER`, with the script in docs/howto/formats.md."
)
_ELSEWHERE = (
    "is a COCO file where none is looked for: put it beside its images, into annotations, train, "
    "valid or test, or name it with --dataset."
)
_YOLO = (
    "is a label of YOLO, which is not read: that needs images/ and labels/ beside a data.yaml or "
    "classes.txt that names the classes."
)
_ROWS = "is a table, read only where it is named itself: --dataset with its path."
_SHEET = "is a spreadsheet, which is not read: save it as CSV, and name that with --dataset."
_PACKED = "is an archive, which is not read: unpack it."
_FILM = "is a video, which is not read: save its pictures as PNG."
_PLAIN = "is neither an image nor an annotation that is known here, and is not read."
_TOLD_BY_ENDING = {
    **dict.fromkeys((".csv", ".tsv", ".jsonl"), _ROWS),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), _SHEET),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"), _PACKED),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), _FILM),
}
_LINE_OF_YOLO = re.compile(r"\d+( +[01]?\.?\d+(e-?\d+)?){4,}\s*")
_BEGINNING = 4096
"""Bytes of a text that tell what it is."""


class Unread(NamedTuple):
    """A file, why it is not read, and whether it says of images which are defective."""

    path: Path
    reason: str
    annotates: bool


def left_over(dataset: Dataset) -> list[tuple[Path, str]]:
    """Return the files of one's own folder that are not read, each with the reason.

    Texts, read-me files and whatever else no reader would look at are not among them; nor is
    anything beside a table, which is read for what it lists alone.
    """
    left: list[tuple[Path, str]] = []
    for part in parts_of(dataset):
        if isinstance(part, Annotated):
            left += part.left_over()
            inside = [path for folder in part.folders for path in walk(folder, UNREAD)]
            left += [(path, unread_image(path)) for path in inside]
        elif isinstance(part, Folder):
            layout = part.layout
            left += [*layout.left_over, *(x for c in layout.categories for x in c.left_over)]
    if isinstance(dataset, Annotated):
        for path in walk(dataset.root, SUFFIXES | UNREAD):
            if not any(path.is_relative_to(folder) for folder in dataset.folders):
                left.append((path, "lies outside every annotated folder, and is unread."))
    return left + [(one.path, one.reason) for one in unread_documents(dataset)]


def unread_annotations(name_or_path: str | Path, name: str | None = None) -> list[str]:
    """Return a sentence for each kind of annotation that a folder holds and that is not read.

    `name_or_path` and `name` as for `open_dataset`. Only where folders tell what is good is there
    any: what such a file marks would count as good there.
    """
    dataset = open_dataset(name_or_path, name=name)
    if not any(isinstance(part, Folder) for part in parts_of(dataset)):
        return []
    kinds: dict[str, list[Path]] = defaultdict(list)
    for one in unread_documents(dataset):
        if one.annotates:
            kinds[one.reason].append(one.path)
    return [
        f"{shown(paths[0])} {reason}{f' {len(paths) - 1} more are like it.' * (len(paths) > 1)}"
        for reason, paths in kinds.items()
    ]


def unread_documents(dataset: Dataset) -> list[Unread]:
    """Return what else than images lies in one's own folder and is not read."""
    parts = [part for part in parts_of(dataset) if isinstance(part, Annotated | Folder)]
    root = place_of(dataset)
    if root is None or not parts or not root.is_dir():
        return []
    annotated = [f for part in parts if isinstance(part, Annotated) for f in part.folders]
    read = {path for folder in annotated for path in coco_files(folder)}
    photographs = {(path.parent, path.stem) for path in walk(root)}
    places = {root, *(parent for parent, _ in photographs)}
    found: list[Unread] = []
    for path in walk(root, {*_TOLD_BY_ENDING, ".json", ".xml", ".txt"}):
        if path in read or path.name == CONFIG or not path.is_file():
            continue
        exported = any(path.is_relative_to(folder) for folder in annotated)
        ending = path.suffix.lower()
        if ending == ".txt":
            near = (path.parent, path.stem) in photographs or path.parent.name.lower() == "labels"
            if near and not exported and _LINE_OF_YOLO.fullmatch(_first_line(path)):
                found.append(Unread(path, _YOLO, annotates=True))
        elif ending in _TOLD_BY_ENDING:
            found.append(Unread(path, _TOLD_BY_ENDING[ending], annotates=False))
        elif reason := _json(path) if ending == ".json" else _xml(path):
            found.append(Unread(path, reason, annotates=reason != _ROWS))
        elif path.parent in places and not exported:  # tools add notes to what they export
            found.append(Unread(path, _PLAIN, annotates=False))
    return found


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_BEGINNING).split(b"\n")[0].decode("ascii", "replace")


def _xml(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(_BEGINNING)
    if b"<annotations>" in head:
        return f"is an annotation of CVAT, which {_COCO}"
    return (
        f"is an annotation as Pascal VOC has it, which {_COCO}" if b"<annotation" in head else None
    )


def _json(path: Path) -> str | None:
    """Return what to do about a JSON file; None where it is no annotation that is known."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list):
        return _label_studio(document)
    if not isinstance(document, dict):
        return None
    if is_coco(path):
        return _ELSEWHERE
    if {"shapes", "imagePath"} <= document.keys():
        return f"is an annotation of LabelMe, which {_COCO}"
    entries = document.get("_via_img_metadata", document)
    if isinstance(entries, dict) and entries and all(map(_is_via, entries.values())):
        return f"is an annotation of VIA, which {_COCO}"
    both = (document.get("train"), document.get("test"))
    return _ROWS if all(isinstance(one, dict) for one in both) else None


def _is_via(entry: Any) -> bool:
    return isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()


def _label_studio(tasks: Collection[Any]) -> str | None:
    """Return what to do about an export of Label Studio as JSON; None for another list."""
    if not tasks or not all(isinstance(task, dict) for task in tasks):
        return None
    if all({"annotations", "data"} <= task.keys() for task in tasks):
        strokes = '"brushlabels"' in json.dumps(list(tasks))
        return _STROKES if strokes else f"is an export of Label Studio, which {_COCO}"
    if all("annotation_id" in task for task in tasks):
        return f"is an export of Label Studio without its shapes, which {_COCO}"
    return None

"""Stored sets in the formats of other tools: one file a format, and what all of them share.

An export is one folder a category, whole or not there at all: the normals, the anomalies of one or
several sets, a card (`README.md`) that says what it is, and `asbench.json`, by which a second call
tells that it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from asbench.files.documents import RecordFile
from asbench.files.whole import size_of, whole_folder
from asbench.generation.formats import coco, parquet, webdataset, yolo
from asbench.generation.formats.card import FRONT, card
from asbench.generation.formats.content import Classes, Content, Counted, Written
from synth_store import StoredSet, UserError

Write = Callable[[Content, Path, Counted | None], Written]
FORMATS: dict[str, Write] = {
    "coco": partial(coco.write, polygons=False),
    "coco-polygons": partial(coco.write, polygons=True),
    "yolo": yolo.write,
    "parquet": parquet.write,
    "webdataset": webdataset.write,
}
"""By name: what writes a category's content into an empty folder."""
LEFT_BY_READERS = frozenset({".cache", ".npy"})
"""Endings of what ultralytics leaves in a folder that it has read; no format has such files."""


@dataclass(frozen=True)
class ExportRecord:
    """What decides an export's bytes, and how many of them there are beside this file.

    sets: digests by address; normals: their digest; classes: how anomalies are named.
    """

    format: str
    classes: Literal["methods", "one"]
    sets: dict[str, str]
    normals: str
    files: int = field(compare=False)
    bytes: int = field(compare=False)


RECORD = RecordFile(ExportRecord, "asbench.json", 1, "remove its folder and export again")


def export_packed(
    sets: Sequence[StoredSet],
    out: Path,
    form: str,
    classes: Classes = "methods",
    progress: Counted | None = None,
) -> tuple[Path, tuple[str, ...]]:
    """Write one category of one or several sets to `<out>/<category>`; return that and notes.

    What stands there already stays. Raises UserError where another export does or a damaged one,
    where a package is missing, and naming a file that cannot be written.
    """
    content = Content(tuple(sets), classes)
    folder = out / content.category
    digests = {f"{one.key}/{one.category}": str(one.digest) for one in sets}
    record = ExportRecord(form, classes, digests, content.normals.digest, 0, 0)
    if folder.exists():
        _refuse_other(folder, record)
        return folder, ("stands there already",)
    with whole_folder(folder) as part:
        written = FORMATS[form](content, part, progress)
        (part / "README.md").write_text(card(content, form, written, FRONT.get(form, "")), "utf-8")
        files, size = size_of(part)
        RECORD.write(ExportRecord(form, classes, digests, record.normals, files, size), part)
    return folder, written.notes


def _refuse_other(folder: Path, wanted: ExportRecord) -> None:
    """Raise UserError unless this very export stands in a folder, whole."""
    again = "remove it, or export to another --out"
    if not (folder / RECORD.name).is_file():
        raise UserError(f"{folder} is there already: {again}.")
    stands = RECORD.read(folder)
    if stands != wanted:
        raise UserError(
            f"{folder} is there already, with {', '.join(stands.sets)} as {stands.format}: {again}."
        )
    files, size = size_of(folder, LEFT_BY_READERS)
    own = (folder / RECORD.name).stat().st_size
    if (files - 1, size - own) != (stands.files, stands.bytes):
        raise UserError(
            f"{folder} was changed since it was written ({files - 1} files of {size - own} bytes, "
            f"not {stands.files} of {stands.bytes}): {again}."
        )

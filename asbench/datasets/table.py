"""A table of your images: CSV, JSON lines, or the `meta.json` of other libraries.

One row per image. Columns, with the names that are read too, any order, others passed over:

- `image_path` (`img_path`, `image`, `path`, `filename`): relative to the table's folder, or
  absolute;
- `label` (`label_index`, `anomaly`): 0, 0.0, normal, good, ok or pass; 1, 1.0, anomalous, anomaly,
  abnormal, defective, defect, bad, ko, ng or fail;
- `split`: train or test; anomalous images are for test only. Where no row says it, every anomalous
  image is for test and, if there is one, a fifth of a category's normals, chosen by a digest of
  their paths as in a folder that says no split;
- `mask_path` (`mask`), optional: empty where there is none;
- `category` (`cls_name`, `object`), optional: one category without it;
- `defect` (`defect_type`, `specie_name`), optional: the type, `anomaly` without it.

`meta.json` holds `{"train": {CATEGORY: [ROW, ...]}, "test": {...}}`, whose keys give split and
category to rows that do not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from asbench.files.layout import set_aside
from asbench.files.masks import any_marked
from asbench.files.names import is_file, on_disk
from asbench.files.records import Record, RecordedDataset
from asbench.types import GOOD, Item
from synth_store.types import Mask, UserError, check_category, check_name

NAMES = {
    "image": ("image_path", "img_path", "image", "path", "filename"),
    "label": ("label_index", "anomaly", "label"),
    "split": ("split",),
    "mask": ("mask_path", "mask"),
    "category": ("category", "cls_name", "object"),
    "defect": ("defect", "defect_type", "specie_name"),
}
"""The columns of a row, and the names each may have, the first that is there counting."""
_LABELS = dict.fromkeys(
    ("0", "normal", "good", "ok", "pass", "false", "0.0", "0,0"), 0
) | dict.fromkeys(
    (
        *("1", "anomalous", "anomaly", "abnormal", "defective", "defect", "bad", "ko", "ng"),
        *("fail", "true", "1.0", "1,0"),
    ),
    1,
)
_NOTHING = ("", "none", "nan", "null")


@dataclass(frozen=True)
class Table(RecordedDataset):
    """The images that the file `table` in the folder `root` names, keyed by `name`.

    An image's id is its path as the table writes it. Masks are cut above 127. A row without a mask
    counts for the image metrics alone.
    Raises UserError naming the line for what a row lacks or gets wrong, for images named twice in a
    category, and for files that are not there.
    """

    root: Path
    table: str
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "data set")

    def marked(self, mask: Path) -> Mask | None:
        """Return what a mask file marks, however it is coded: bool (h, w), None for nothing."""
        return any_marked(mask)

    def categories(self) -> tuple[str, ...]:
        """Return the categories, sorted."""
        return tuple(sorted(self._rows))

    def records(self, category: str) -> list[Record]:
        """Return the rows of a category."""
        return self._rows[category]

    @cached_property
    def _path(self) -> Path:
        return self.root / self.table

    @cached_property
    def described(self) -> str:
        """How the table was read, in words."""
        count = sum(len(rows) for rows in self._rows.values())
        split = "" if self._says_split else ", no split said: a fifth of the normals is set aside"
        return f"a table of {count} images{split}"

    @property
    def _rows(self) -> dict[str, list[Record]]:
        return self._listing[0]

    @property
    def _says_split(self) -> bool:
        return self._listing[1]

    @cached_property
    def _listing(self) -> tuple[dict[str, list[Record]], bool]:
        """The rows by category, all of them checked, and whether they say their split."""
        by_category: dict[str, list[Record]] = {}
        seen: dict[tuple[str, str], str] = {}
        missing: list[str] = []
        unsaid: list[str] = []
        for place, given in _given(self._path):
            record = self._read(place, given)
            if not _text(given, NAMES["split"]):
                unsaid.append(f"{place} has no split: a row must say it. {_columns(given)}")
            item = record.item
            if (other := seen.setdefault((item.category, item.id), place)) != place:
                raise UserError(f"{place}: image {item.id} stands in {other} already.")
            files = (record.image, record.mask)
            missing += [f"{place}: {file}" for file in files if file and not is_file(file)]
            by_category.setdefault(item.category, []).append(record)
        if missing:
            raise UserError(
                f"{self._path} names {len(missing)} files that are not there ({missing[0]}); paths "
                f"are relative to {self.root}."
            )
        if not by_category:
            raise UserError(f"{self._path} has no rows.")
        if 0 < len(unsaid) < sum(map(len, by_category.values())):
            raise UserError(unsaid[0])
        if unsaid:
            by_category = {category: _split(listed) for category, listed in by_category.items()}
        for category, listed in by_category.items():
            if not any(r.item.split == "train" for r in listed):
                raise UserError(
                    f"{self._path}: category {category!r} has no row with "
                    f"{'' if unsaid else 'split train and '}label 0."
                )
        return by_category, not unsaid

    def _read(self, place: str, given: Mapping[str, Any]) -> Record:
        """Return what a row says; a normal that says no split is for training."""
        texts = {c: _text(given, names) for c, names in NAMES.items()}
        for column in ("image", "label"):
            if not texts[column]:
                raise UserError(
                    f"{place} has no {' or '.join(NAMES[column])}: a row must say it. "
                    f"{_columns(given)}"
                )
        label = self._label(place, texts["label"])
        split = self._split(place, texts["split"] or ("test" if label else "train"))
        if label and split == "train":
            raise UserError(
                f"{place} is anomalous and for training: detectors train on normal images only. "
                "Give it split test, or leave it out."
            )
        category = texts["category"] or self.name.partition("@")[0]
        try:
            check_category(category)
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
        id_ = PurePosixPath(texts["image"].replace("\\", "/")).as_posix()
        defect = (texts["defect"] or "anomaly") if label else GOOD
        masked = label and texts["mask"]
        mask = on_disk(self.root / texts["mask"].replace("\\", "/")) if masked else None
        if label and defect == GOOD:
            raise UserError(f"{place} is anomalous, but its defect type is {GOOD!r}.")
        item = Item(id_, category, split, label, defect)
        return Record(item, on_disk(self.root / id_), mask)

    def _label(self, place: str, text: str) -> int:
        if text.lower() not in _LABELS:
            raise UserError(f"{place}: label {text!r} is none of {', '.join(_LABELS)}.")
        return _LABELS[text.lower()]

    def _split(self, place: str, text: str) -> Literal["train", "test"]:
        match text.lower():
            case "train":
                return "train"
            case "test":
                return "test"
        raise UserError(
            f"{place}: split {text!r} is neither train nor test. ASBench selects nothing on "
            "validation images: give them to one of the two, or leave them out."
        )


def _split(records: Sequence[Record]) -> list[Record]:
    """Return a category's rows, a fifth of the normals set aside if there is a defect to find."""
    normals = [r.item.id for r in records if not r.item.label]
    test = set_aside(normals) if 0 < len(normals) < len(records) else set()
    return [
        r._replace(item=replace(r.item, split="test")) if r.item.id in test else r for r in records
    ]


def _text(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of a row's values that is there, as text; empty if none is."""
    for name in names:
        text = str(given.get(name, "")).strip()
        if text.lower() not in _NOTHING:
            return text
    return ""


def _columns(given: Mapping[str, Any]) -> str:
    return f"Columns here are {', '.join(str(name) for name in given if name)}."


def _given(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a table's rows as they are written, each with the place to name in errors."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # as spreadsheets write it, or without a mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: save it as that.") from error
    match path.suffix.lower():
        case ".csv":
            first = text.partition("\n")[0]
            # spreadsheets write what their language leaves free of the decimal comma
            delimiter = max(",;\t", key=first.count)
            lines = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
            try:
                _refuse_headless(path, lines.fieldnames or ())
                for row in lines:
                    place = f"{path} line {lines.line_num}"
                    if None in row or None in row.values():
                        raise UserError(f"{place} has not as many fields as the first line.")
                    yield place, row
            except csv.Error as error:
                raise UserError(f"{path} line {lines.line_num}: {error}.") from error
        case ".jsonl":
            for number, line in enumerate(text.splitlines(), start=1):
                if line.strip():
                    place = f"{path} line {number}"
                    yield place, _object(place, _parsed(place, line))
        case _:
            yield from _meta(path, _parsed(str(path), text))


def _refuse_headless(path: Path, columns: Sequence[str]) -> None:
    """Raise UserError where the first line is a row of images, and names no column."""
    known = {name for names in NAMES.values() for name in names}
    if columns and not known & {*columns}:
        raise UserError(
            f"{path} line 1 names no column that is known ({', '.join(columns)}): give the table a "
            f"first line such as image_path,label,split."
        )


def _meta(path: Path, splits: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a `meta.json`, split and category filled in from its keys."""
    for split, categories in _object(str(path), splits).items():
        for category, rows in _object(f"{path} {split}", categories).items():
            if not isinstance(rows, list):
                raise UserError(f"{path} {split}/{category} is no list of images.")
            for number, row in enumerate(rows):
                place = f"{path} {split}/{category}[{number}]"
                # the keys count unless the row says otherwise
                yield place, {"split": split, "cls_name": category, **_object(place, row)}


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{place} is not a table: it is nested too deeply.") from error
    except ValueError as error:  # also of a number with thousands of digits
        raise UserError(f"{place} is not JSON: {str(error).partition(';')[0]}.") from error


def _object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place} is not a JSON object, but {type(value).__name__}.")
    return value

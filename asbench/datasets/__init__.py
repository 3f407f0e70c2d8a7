"""Data sets by name, folder or table. Every module is a plugin; three of them read your own."""

from __future__ import annotations

import difflib
import os
from dataclasses import MISSING, fields
from pathlib import Path

from asbench import plugins
from asbench.datasets._bank import Bank
from asbench.datasets._beside import Beside
from asbench.datasets.annotated import Annotated, annotated_folders
from asbench.datasets.folder import Folder
from asbench.datasets.table import Table
from asbench.files.annotations import is_coco
from asbench.files.layout import folder_name, has_categories, slug
from asbench.types import Dataset
from synth_store.types import UserError, check_name

READERS = ("annotated", "folder", "table")
"""The plugins that stand for no data set without a path."""
TABLES = (".csv", ".jsonl", ".json")
"""Endings of the files that are read as tables."""


def open_dataset(name_or_path: str | Path, *, name: str | None = None) -> Dataset:
    """Return the data set of a name, or the images in a folder or of a table at a path.

    A name finds its plugin; where the plugin has files, they lie at `$ASBENCH_DATA/<name>`. All
    else is a path (a `Path` always; relative ones also below `ASBENCH_DATA`) of a folder, or of a
    table ending in .csv, .jsonl or .json, or of COCO's annotations. It is keyed by `name` or by the
    slug of its own name, `meta.json` and annotations by that of their folder. What is called like a
    plugin needs another `name`.
    Raises UserError naming the places looked at and what to type.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and text.partition("@")[0] in _names():
        if name is None:
            return _plugin(text)
        if not Path(text).is_dir():
            raise UserError(
                f"--name is for folders and tables: data set {text!r} keeps its own name."
            )
    path = _path(text)
    key = check_name(name, "data set") if name is not None else slug(_called(path))
    if not key:
        raise UserError(f"no name can be made from {path}: give it one with --name NAME.")
    if (plain := key.partition("@")[0]) in _names():
        instead = (
            f", or read it as that one with ASBENCH_DATA={path.parent} and --dataset {plain}"
            if path.is_dir()
            else ""
        )
        raise UserError(
            f"{path} would be called {key!r}, the name of a data set with its own reader: give it "
            f"another with --name NAME{instead}."
        )
    return _own(path, key)


def _own(path: Path, key: str) -> Dataset:
    """Return what reads a folder or a file of one's own."""
    if path.is_dir():
        annotated = annotated_folders(path)
        names = tuple(folder.name for folder in annotated)
        if not annotated:
            return Folder(path, key)
        if annotated == [path] or not has_categories(path, names):
            return Annotated(path, key)
        return Beside(path, key, (Annotated(path, key), Folder(path, key, names)))
    if is_coco(path):
        root = _images_of(path)
        return Annotated(root, key, path.relative_to(root).as_posix())
    return Table(path.parent, path.name, key)


def _images_of(path: Path) -> Path:
    """Return the folder below which a COCO file's images lie."""
    return path.parent.parent if path.parent.name.lower() == "annotations" else path.parent


def place_of(data: Dataset) -> Path | None:
    """Return the folder or table that one's own data set is read from; None for one of a name."""
    if isinstance(data, Table):
        return data.root / data.table
    if isinstance(data, Annotated):
        return data.root / data.file
    return data.root if isinstance(data, Folder | Beside) else None


def _called(path: Path) -> str:
    """Return what a folder or a table is called; `meta.json` and annotations are called alike."""
    if path.is_dir() or path.stem.lower() == "meta":
        return folder_name(path if path.is_dir() else path.parent)
    if is_coco(path):
        return folder_name(_images_of(path))
    return path.stem


def open_textures(name_or_path: str | Path) -> Dataset:
    """Return the bank of a name, or of a folder of images in any arrangement.

    A folder that is laid out as one category of a data set gives that category's normals; one
    called like a data set with files of its own (`dtd`) is read as that one, wherever it lies; all
    else gives every image below it. Raises UserError as `open_dataset` does.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and text.partition("@")[0] in _names():
        return _plugin(text)
    root = _path(text)
    key = slug(_called(root))
    if root.is_dir() and key in _names():
        return _plugin(key, root)
    dataset = open_dataset(root)
    try:
        dataset.categories()
    except UserError:
        # No layout is recognised. Textures need none.
        return Bank(root, key)
    return dataset


def _names() -> list[str]:
    """Return the names that stand for a data set."""
    return [n for n in plugins.names(__name__) if n not in READERS]


def _plugin(name: str, root: Path | None = None) -> Dataset:
    """Build the data set of a plugin name, a variant or not; its files lie at `root`, if given."""
    cls, settings = plugins.resolve(__name__, name, Dataset)  # type: ignore[type-abstract]
    if any(f.name == "root" and f.default is MISSING for f in fields(cls)):  # type: ignore[arg-type]
        settings["root"] = root or _root(name.partition("@")[0])
    dataset = cls(**settings)
    if dataset.name != name:
        raise TypeError(f"{cls.__name__} for {name!r} calls itself {dataset.name!r}")
    return dataset


def _root(plain: str) -> Path:
    """Return where a plugin's files lie, or raise UserError saying where they were looked for."""
    base = os.environ.get("ASBENCH_DATA")
    mend = (
        f"set ASBENCH_DATA to the folder that holds {plain}/, "
        f"get them with `asbench data fetch {plain}`, "
        "or give a folder or table of your own with --dataset PATH."
    )
    if not base:
        raise UserError(f"the files of data set {plain!r} are not here: {mend}")
    root = Path(os.path.abspath(base)) / plain
    if not root.is_dir():
        raise UserError(f"the files of data set {plain!r} are not at {root}: {mend}")
    return root


def _path(text: str) -> Path:
    """Return the folder or table a path means, absolute; raises UserError naming all tried."""
    base = os.environ.get("ASBENCH_DATA")
    tried = [Path(os.path.abspath(Path(text).expanduser()))]
    if base and not Path(text).is_absolute():
        tried.append(Path(os.path.abspath(base)) / text)
    for path in tried:
        if path.is_dir() or (path.is_file() and path.suffix.lower() in TABLES):
            return path
    near = difflib.get_close_matches(text, _names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"names are {', '.join(_names())}."
    raise UserError(
        f"data set {text!r} is neither a name nor a folder nor a table (looked at "
        f"{' and '.join(map(str, tried))}): {hint} Folders and tables, ending in "
        f"{', '.join(TABLES)}: --dataset PATH."
    )

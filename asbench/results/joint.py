"""Runs of one detector over several categories, as what they are of each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from asbench.results.images import Gallery, ImageRow, read_gallery, read_table
from asbench.results.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfRun(Run):
    """What a joint run is of one category; its id is the whole run's.

    `decides` names this category, its normals, sets and test images, and as `joint` all categories;
    threshold, losses and times are the whole run's.
    """

    whole: str

    @property
    def id(self) -> str:
        """The name of the whole run's folder."""
        return self.whole

    @property
    def label(self) -> str:
        """What tells it from all others on a page: the run's id and the category."""
        return f"{self.whole}-{self.decides['category']}"


def within(category: str, id: str) -> str:
    """Return what a joint run calls an image of a category; no category has a slash in its name."""
    return f"{category}/{id}"


def by_category(runs: Iterable[Run]) -> list[Run]:
    """Return runs of one category each: a joint run as its parts, every other as it is."""
    return [one for run in runs for one in (_parts(run) if run.by_category else (run,))]


def _parts(run: Run) -> list[PartOfRun]:
    assert run.by_category is not None
    common = {f.name: getattr(run, f.name) for f in fields(Run)} | {"by_category": None}
    parts = []
    for category, own in run.by_category.items():
        decides: dict[str, Any] = {
            **run.decides,
            **run.decides["joint"][category],
            "category": category,
            "joint": run.decides["category"],
        }
        said = {f.name: getattr(own, f.name) for f in fields(own)}
        parts.append(PartOfRun(**{**common, **said, "decides": decides}, whole=run.id))
    return parts


def table_of(run: Run, root: Path) -> list[ImageRow]:
    """Return the lines of a run's `test.csv`; of a part those of its category, under their ids."""
    rows = read_table(root / run.id)
    if not isinstance(run, PartOfRun):
        return rows
    begins = within(run.decides["category"], "")
    return [
        replace(row, id=row.id.removeprefix(begins)) for row in rows if row.id.startswith(begins)
    ]


def gallery_of(run: Run, root: Path) -> Gallery:
    """Return a run's gallery; of a part that of its category, under the images' own ids."""
    gallery = read_gallery(root / run.id)
    if not isinstance(run, PartOfRun):
        return gallery
    begins = within(run.decides["category"], "")
    here = np.array([id.startswith(begins) for id in gallery.ids], np.bool_)
    return Gallery(
        ids=tuple(id.removeprefix(begins) for id in gallery.ids if id.startswith(begins)),
        images=gallery.images[here],
        masks=gallery.masks[here],
        maps=gallery.maps[here],
    )

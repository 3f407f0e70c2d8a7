"""Categories in folders of one root, of which some are read in one way and some in another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.records import Record, RecordedDataset
from asbench.files.saturated import SaturatedDataset
from asbench.files.saturation import Region, Saturation
from asbench.types import Dataset, Item
from synth_store.types import Mask, UserError, check_name


@dataclass(frozen=True)
class Beside(SaturatedDataset):
    """The categories of several data sets under one root and name, each read as its own reads it.

    Raises UserError where two of them have a category of one name.
    """

    root: Path
    name: str
    parts: tuple[RecordedDataset, ...]

    def __post_init__(self) -> None:
        check_name(self.name, "data set")

    def categories(self) -> tuple[str, ...]:
        """Return the categories, sorted."""
        return tuple(sorted(self._parts))

    def part(self, category: str) -> RecordedDataset:
        """Return what reads a category; raises UserError for an unknown one."""
        if category not in self._parts:
            raise UserError(
                f"category {category!r} is not in {self.name} ({self.root}): choose from "
                f"{', '.join(self.categories())}."
            )
        return self._parts[category]

    def records(self, category: str) -> Iterable[Record]:
        """Return a category's images."""
        return self.part(category).records(category)

    def mask(self, item: Item) -> Mask | None:
        """Return what is marked: bool (h, w), None for nothing; raises as the item's part does."""
        return self.part(item.category).mask(item)

    def mask_bytes(self, item: Item) -> bytes | None:
        """Return what decides the item's mask where no file of its own does."""
        return self.part(item.category).mask_bytes(item)

    def saturations(self, category: str) -> tuple[Saturation, ...]:
        """Return how much of each kind of defect must be found; empty for all of it."""
        part = self.part(category)
        return part.saturations(category) if isinstance(part, SaturatedDataset) else ()

    def regions(self, item: Item) -> tuple[Region, ...]:
        """Return the regions of an anomalous image; none where its part knows of none."""
        part = self.part(item.category)
        return part.regions(item) if isinstance(part, SaturatedDataset) else ()

    @cached_property
    def _parts(self) -> dict[str, RecordedDataset]:
        named: dict[str, RecordedDataset] = {}
        for part in self.parts:
            for category in part.categories():
                if category in named:
                    raise UserError(
                        f"two folders in {self.root} give category {category!r}: rename one."
                    )
                named[category] = part
        return named


def parts_of(dataset: Dataset) -> tuple[Dataset, ...]:
    """Return the data sets that one is made of: itself, but for categories beside each other."""
    return dataset.parts if isinstance(dataset, Beside) else (dataset,)


def part_of(dataset: Dataset, category: str) -> Dataset:
    """Return what reads a category of a data set."""
    return dataset.part(category) if isinstance(dataset, Beside) else dataset

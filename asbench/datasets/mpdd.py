"""MPDD (Jezek et al., ICUMT 2021): painted metal parts, several in a picture, seen from all sides.

The layout is that of MVTec AD: `<category>/train/good/NNN.png`, `<category>/test/good/NNN.png`,
`<category>/test/<defect>/NNN.png` with masks in `<category>/ground_truth/<defect>/NNN_mask.png`.
Images are RGB, 1024 x 1024 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.records import Record, RecordedDataset, present, split_folders, subfolder
from asbench.files.source import DatasetSource

CATEGORIES = (
    "bracket_black",
    "bracket_brown",
    "bracket_white",
    "connector",
    "metal_plate",
    "tubes",
)
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://github.com/stepanje/MPDD",
    by_hand="follow the link to the authors' cloud folder in the README of that page and download "
    "MPDD as one archive; it is offered to browsers only, and no checksum is published",
)


@dataclass(frozen=True)
class Mpdd(RecordedDataset):
    """The categories of MPDD that have a folder under `root`: 888 train, 176 + 282 test images.

    They may also lie in `root/MPDD`. Defect types are the folders of `test`, whatever their names:
    copies differ in some. Masks are cut above 127; every defect must have one.
    Raises UserError where no category is there, and for files that are missing.
    """

    root: Path
    name = "mpdd"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        return present(self._base, CATEGORIES, "MPDD", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder."""
        return split_folders(self.name, category, self._base / category)

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "MPDD")

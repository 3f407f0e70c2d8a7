"""BTAD (Mishra et al.: VT-ADL, ISIE 2021): three industrial products, one type of defect.

The layout is the authors': `{01,02,03}/train/ok/NNNN`, `{01,02,03}/test/{ok,ko}/NNNN` with masks in
`{01,02,03}/ground_truth/ko/NNNN`. Images of 01 and 03 end in .bmp, those of 02 in .png; masks of 01
and 02 in .png, those of 03 in .bmp. Images are RGB, 1600 x 1600, 600 x 600 and 800 x 600 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.records import Record, RecordedDataset, present, split_folders, subfolder
from asbench.files.source import DatasetSource

CATEGORIES = ("01", "02", "03")
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0 as others state it: no commercial use; what is made from it carries "
    "the same licence",
    page="https://avires.dimi.uniud.it/papers/btad/btad.zip",
    by_hand="download btad.zip from there",
    url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
    checksum="sha256:461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
)


@dataclass(frozen=True)
class Btad(RecordedDataset):
    """The products of BTAD that have a folder under `root`: 1799 train, 451 + 290 test images.

    They may also lie in `root/BTech_Dataset_transformed`, as the archive names it. A mask is found
    by its image's stem, whatever the ending: some copies convert all files to PNG. Masks, some of
    them with three channels and soft edges, are cut above 127; every defect must have one.
    Raises UserError where no product is there, and for files that are missing.
    """

    root: Path
    name = "btad"

    def categories(self) -> tuple[str, ...]:
        """Return the products that are here, sorted."""
        return present(self._base, CATEGORIES, "BTAD", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a product's images; ids are paths below its folder."""
        return split_folders(self.name, category, self._base / category, normal="ok")

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "BTech_Dataset_transformed")

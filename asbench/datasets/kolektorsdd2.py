"""KolektorSDD2 (Božič, Tabernik, Skočaj, Computers in Industry 2021): one surface, small defects.

The layout is the authors': `{train,test}/NNNNN.png`, beside each image its mask `NNNNN_GT.png`,
black on a good one: the mask alone says which images show a defect. Images are colour, some 230 x
630 pixels. The archive holds two stray files, `train/10301 (copy).png` and
`train/10301_GT (copy).png`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asbench.files.images import read_grey
from asbench.files.records import Record, RecordedDataset, images, require, subfolder
from asbench.files.source import DatasetSource
from asbench.types import Item
from synth_store.types import UserError

SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://www.vicos.si/resources/kolektorsdd2/",
    by_hand="download KolektorSDD2.zip (0.9 GB) from there; no checksum is published",
)


@dataclass(frozen=True)
class Kolektorsdd2(RecordedDataset):
    """The one category `surface`: some 2085 train, 894 + 110 test images.

    They may also lie in `root/KolektorSDD2`. As without supervision some 246 images of `train` that
    show a defect neither train nor test. Names that are no five digits are passed over. A defect is
    what its mask says: marked above 127 somewhere. Raises UserError for masks that are missing.
    """

    root: Path
    name = "kolektorsdd2"

    def categories(self) -> tuple[str, ...]:
        """Return the one category, `surface`."""
        return ("surface",)

    def records(self, category: str) -> Iterator[Record]:
        """Yield the images; ids are paths below the root."""
        splits: tuple[Literal["train", "test"], ...] = ("train", "test")
        for split in splits:
            folder = self._base / split
            files = images(folder)
            shown = [stem for stem in files if stem.isdecimal() and len(stem) == 5]
            if not shown:
                raise UserError(
                    f"{self.name}: no image in {folder}. Copy or unpack {self.name} again, whole."
                )
            require(self.name, {s for s in shown if f"{s}_GT" not in files}, folder, "masks")
            for stem in shown:
                path, mask = files[stem], files[f"{stem}_GT"]
                defective = bool((read_grey(mask) > 127).any())
                if defective and split == "train":
                    continue
                defect = "defect" if defective else "good"
                item = Item(f"{split}/{path.name}", category, split, int(defective), defect)
                yield Record(item, path, mask if defective else None)

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "KolektorSDD2")

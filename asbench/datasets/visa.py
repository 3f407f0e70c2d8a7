"""VisA (Zou et al.: Spot-the-difference, ECCV 2022): twelve products, several in some pictures.

Both layouts in use are read. The authors': `<category>/Data/Images/{Normal,Anomaly}/*.JPG` with
masks in `<category>/Data/Masks/Anomaly/*.png` and the split in `split_csv/1cls.csv`; and that of
their conversion, `<category>/{train/good,test/good,test/bad}/*.JPG` with masks in
`<category>/ground_truth/bad/*.png`. Images are RGB JPEG files, about 960 to 1562 pixels a side.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asbench.files.images import read_nonzero
from asbench.files.records import (
    Record,
    RecordedDataset,
    present,
    require,
    split_folders,
    subfolder,
)
from asbench.files.source import DatasetSource
from asbench.types import GOOD, Item
from synth_store.types import Mask, UserError

CATEGORIES = (
    "candle",
    "capsules",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni1",
    "macaroni2",
    "pcb1",
    "pcb2",
    "pcb3",
    "pcb4",
    "pipe_fryum",
)
ANOMALY = "anomaly"
"""The one defect type: what is wrong stands in no folder and in no table, only in the masks."""
_SPLIT = Path(__file__).with_name("visa_1cls.csv")
"""The authors' own file, unchanged (VisA is CC BY 4.0)."""
SOURCE = DatasetSource(
    licence="CC BY 4.0: name the authors",
    page="https://github.com/amazon-science/spot-diff",
    by_hand="download VisA_20220922.tar from there",
    url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
    checksum="sha256:2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
)


@dataclass(frozen=True)
class Visa(RecordedDataset):
    """The products of VisA that have a folder under `root`: 8659 train, 962 + 1200 test images.

    The split is the authors' `1cls`: that in `root/split_csv`, or the copy that comes with this
    package where the folder was left out. Every image it lists must be there. Masks hold the
    numbers of defect kinds, 1 to 9, and look black: whatever is not 0 is anomalous. All defects
    are of one type, `anomaly`, so the few-shot third is the lowest third of a product's defects.
    Raises UserError where no product is there, and for files that are missing.
    """

    root: Path
    name = "visa"

    def categories(self) -> tuple[str, ...]:
        """Return the products that are here, sorted."""
        return present(self._base, CATEGORIES, "VisA", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a product's images; ids are paths below its folder."""
        folder = self._base / category
        if (folder / "Data").is_dir():
            yield from self._as_published(category, folder)
            return
        for item, image, mask, _ in split_folders(self.name, category, folder):
            defect = ANOMALY if item.label else GOOD
            yield Record(Item(item.id, category, item.split, item.label, defect), image, mask)

    def marked(self, mask: Path) -> Mask | None:
        """Return where a mask is not 0: bool (h, w); None if it is 0 everywhere."""
        nonzero = read_nonzero(mask)
        return nonzero if nonzero.any() else None

    def _as_published(self, category: str, folder: Path) -> Iterator[Record]:
        rows = self._split[category]
        if not rows:
            raise UserError(f"visa: the table in {self._base / 'split_csv'} lists no {category}.")
        files = [row[key] for row in rows for key in ("image", "mask") if row[key]]
        have = {p.relative_to(self._base).as_posix() for p in (folder / "Data").rglob("*.*")}
        require(self.name, set(files) - have, self._base, "files of the split")
        for row in rows:
            label = int(row["label"] == "anomaly")
            split: Literal["train", "test"] = "train" if row["split"] == "train" else "test"
            id_ = row["image"].partition("/")[2]
            defect = ANOMALY if label else GOOD
            mask = self._base / row["mask"] if row["mask"] else None
            yield Record(Item(id_, category, split, label, defect), self._base / row["image"], mask)

    @cached_property
    def _split(self) -> dict[str, list[dict[str, str]]]:
        """The rows of the split by product; raises UserError for a table that is another one's."""
        path = self._base / "split_csv" / "1cls.csv"
        path = path if path.is_file() else _SPLIT
        by_product = defaultdict(list)
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            columns = ["object", "split", "label", "image", "mask"]
            if table.fieldnames != columns:
                raise UserError(f"{path} has columns {table.fieldnames}, not {columns}.")
            for row in table:
                if (row["split"], row["label"]) not in _ROWS:
                    raise UserError(
                        f"{path} line {table.line_num}: split {row['split']!r} with label "
                        f"{row['label']!r} is none of the split 1cls, which trains on normals only."
                    )
                by_product[row["object"]].append(row)
        return by_product

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "VisA_20220922")


_ROWS = {("train", "normal"), ("test", "normal"), ("test", "anomaly")}

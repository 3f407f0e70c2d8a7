"""MVTec AD (Bergmann et al., CVPR 2019): fifteen objects and textures, 73 types of defects.

The layout is the authors': `<category>/train/good/NNN.png`, `<category>/test/good/NNN.png`,
`<category>/test/<defect>/NNN.png` with masks in `<category>/ground_truth/<defect>/NNN_mask.png`.
Images are square, 700 to 1024 pixels a side; grid, screw and zipper are grey.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.records import Record, RecordedDataset, present, split_folders, subfolder
from asbench.files.source import DatasetSource

CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    by_hand="fill in its form to download mvtec_anomaly_detection.tar.xz (4.9 GB); links to it "
    "found elsewhere have often expired",
    checksum="sha256:cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
)


@dataclass(frozen=True)
class Mvtec(RecordedDataset):
    """The categories of MVTec AD that have a folder under `root`: 3629 train, 467 + 1258 test.

    They may also lie in `root/mvtec_anomaly_detection`, as the archive names it. Defect types are
    the folders of `test`. Masks are cut above 127; every defect must have one.
    Raises UserError where no category is there, and for files that are missing.
    """

    root: Path
    name = "mvtec"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        return present(self._base, CATEGORIES, "MVTec AD", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder."""
        return split_folders(self.name, category, self._base / category)

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "mvtec_anomaly_detection")

"""MVTec 3D-AD (Bergmann et al., VISAPP 2022), its photographs: ten objects, scanned from above.

The layout is the authors': `<category>/train/good/rgb/NNN.png`, `validation/good`,
`test/<defect>/rgb/NNN.png` with masks in `test/<defect>/gt/NNN.png`, for `good` too, where they are
black. The scans in `xyz/` are not read: defects of shape that no photograph shows stay defects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.records import Record, RecordedDataset, images, present, require, subfolder
from asbench.files.source import DatasetSource
from asbench.types import GOOD, Item
from synth_store.types import UserError

CATEGORIES = (
    "bagel",
    "cable_gland",
    "carrot",
    "cookie",
    "dowel",
    "foam",
    "peach",
    "potato",
    "rope",
    "tire",
)
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://www.mvtec.com/company/research/datasets/mvtec-3d-ad",
    by_hand="fill in its form to download mvtec_3d_anomaly_detection.tar.xz (13 GB)",
    checksum="md5:d8bb2800fbf3ac88e798da6ae10dc819",
)


@dataclass(frozen=True)
class Mvtec3d(RecordedDataset):
    """The categories of MVTec 3D-AD under `root`: 2656 train, 249 + 948 test photographs.

    They may also lie in `root/mvtec_3d_anomaly_detection`, as the archive names it. Defect types
    are the folders of `test`. Masks are cut above 127; every defect must have one.
    `validation/good` is not read: nothing is selected on it here. Raises UserError where no
    category is there, and for files that are missing.
    """

    root: Path
    name = "mvtec_3d"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        return present(self._base, CATEGORIES, "MVTec 3D-AD", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's photographs; ids are paths below its folder."""
        folder = self._base / category
        for path in self._some(folder / "train" / GOOD / "rgb"):
            yield Record(Item(f"train/good/rgb/{path.name}", category, "train", 0), path, None)
        for path in self._some(folder / "test" / GOOD / "rgb"):
            yield Record(Item(f"test/good/rgb/{path.name}", category, "test", 0), path, None)
        types = sorted(p.name for p in (folder / "test").iterdir() if p.is_dir())
        for defect in (t for t in types if t != GOOD and not t.startswith(".")):
            faulty, truth = (
                images(folder / "test" / defect / "rgb"),
                folder / "test" / defect / "gt",
            )
            masks = images(truth)
            require(self.name, faulty.keys() - masks.keys(), truth, "masks")
            for stem, path in faulty.items():
                item = Item(f"test/{defect}/rgb/{path.name}", category, "test", 1, defect)
                yield Record(item, path, masks[stem])

    def _some(self, folder: Path) -> Iterator[Path]:
        """Yield the photographs of a folder; raises UserError if there is none."""
        found = images(folder)
        if not found:
            raise UserError(
                f"{self.name}: no image in {folder}. Copy or unpack {self.name} again, whole."
            )
        yield from found.values()

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "mvtec_3d_anomaly_detection")

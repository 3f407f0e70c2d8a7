"""MVTec LOCO AD (Bergmann et al., IJCV 2022): five scenes whose parts may be damaged, or amiss.

The layout is the authors': `<category>/train/good/NNN.png`, `validation/good`, `test/good`,
`test/{logical,structural}_anomalies/NNN.png`. Each of these has a folder of masks,
`ground_truth/<defect>/NNN/*.png`, a file for each defect, whose level says which kind it is;
`<category>/defects_config.json` says how much of each kind must be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asbench.files.masks import any_marked
from asbench.files.records import Record, images, present, require, subfolder
from asbench.files.saturated import SaturatedDataset
from asbench.files.saturation import Saturation, read_saturations
from asbench.files.source import DatasetSource
from asbench.types import Item
from synth_store.types import Mask, UserError

CATEGORIES = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
DEFECTS = ("logical_anomalies", "structural_anomalies")
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    by_hand="fill in its form to download mvtec_loco_anomaly_detection.tar.xz (5.8 GB)",
    checksum="sha256:9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
)


@dataclass(frozen=True)
class MvtecLoco(SaturatedDataset):
    """The categories of MVTec LOCO that have a folder under `root`: 575 + 993 test images.

    They may also lie in `root/mvtec_loco_anomaly_detection`, as the archive names it. The two
    defect types are logical and structural. All files of an image's masks are united, whatever
    their levels; `regions` keeps them apart for sPRO. `validation/good` is not read: nothing is
    selected on it here. Raises UserError where no category is there, and for files that are
    missing.
    """

    root: Path
    name = "mvtec_loco"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        return present(self._base, CATEGORIES, "MVTec LOCO", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder."""
        folder = self._base / category
        splits: tuple[Literal["train", "test"], ...] = ("train", "test")
        for split in splits:
            normals = images(folder / split / "good")
            if not normals:
                raise UserError(
                    f"{self.name}: no image in {folder / split / 'good'}. Copy or unpack "
                    f"{self.name} again, whole."
                )
            for path in normals.values():
                yield Record(Item(f"{split}/good/{path.name}", category, split, 0), path, None)
        for defect in DEFECTS:
            faulty, truth = images(folder / "test" / defect), folder / "ground_truth" / defect
            masks = {stem: tuple(images(truth / stem).values()) for stem in faulty}
            require(self.name, {stem for stem, of in masks.items() if not of}, truth, "masks")
            for stem, path in faulty.items():
                item = Item(f"test/{defect}/{path.name}", category, "test", 1, defect)
                yield Record(item, path, masks[stem][0], masks[stem][1:])

    def saturations(self, category: str) -> tuple[Saturation, ...]:
        """Return how much of each kind of defect must be found; raises UserError without it."""
        found = read_saturations(self._base / category)
        if not found:
            require(self.name, {"defects_config.json"}, self._base / category, "files")
        return found

    def marked(self, mask: Path) -> Mask | None:
        """Return where a mask is not black: bool (h, w); its level is the kind of defect."""
        return any_marked(mask)

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "mvtec_loco_anomaly_detection")

"""MVTec AD 2 (Heckler-Kram et al., IJCV 2026): eight objects under light that changes.

The layout is the authors': `<category>/train/good/NNN_<light>.png`, `validation/good`,
`test_public/{good,bad}/NNN_<light>.png` with masks in
`test_public/ground_truth/bad/NNN_<light>_mask.png`, and the unlabelled `test_private` and
`test_private_mixed`, which are scored on the authors' server alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asbench.files.records import Record, RecordedDataset, images, present, require, subfolder
from asbench.files.source import DatasetSource
from asbench.types import Item
from synth_store.types import UserError

CATEGORIES = (
    "can",
    "fabric",
    "fruit_jelly",
    "rice",
    "sheet_metal",
    "vial",
    "wallplugs",
    "walnuts",
)
_NORMALS: tuple[tuple[str, Literal["train", "test"]], ...] = (
    ("train/good", "train"),
    ("test_public/good", "test"),
)
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    by_hand="fill in its form to download mvtec_ad_2.tar.gz (30 GB)",
    checksum="sha256:c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4",
)


@dataclass(frozen=True)
class MvtecAd2(RecordedDataset):
    """The categories of MVTec AD 2 under `root`: 2528 train, 379 + 705 of the public test set.

    They may also lie in `root/mvtec_ad_2`, as the archive names it. The defect type is `bad`
    throughout. `validation/good` is not read, for nothing is selected on it here, nor are the
    private test sets: they have no labels, and their scores come from the authors' server. Defects
    are small and images large: see `--resize tile`. Masks are cut above 127; every defect must have
    one. Raises UserError where no category is there, and for files that are missing.
    """

    root: Path
    name = "mvtec_ad2"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        return present(self._base, CATEGORIES, "MVTec AD 2", self.name)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder."""
        folder = self._base / category
        for place, split in _NORMALS:
            normals = images(folder / place)
            if not normals:
                raise UserError(
                    f"{self.name}: no image in {folder / place}. Copy or unpack {self.name} "
                    "again, whole."
                )
            for path in normals.values():
                item = Item(f"{place}/{path.name}", category, split, 0)
                yield Record(item, path, None)
        faulty = images(folder / "test_public" / "bad")
        truth = folder / "test_public" / "ground_truth" / "bad"
        masks = images(truth)
        require(self.name, {s for s in faulty if f"{s}_mask" not in masks}, truth, "masks")
        for stem, path in faulty.items():
            item = Item(f"test_public/bad/{path.name}", category, "test", 1, "bad")
            yield Record(item, path, masks[f"{stem}_mask"])

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "mvtec_ad_2")

"""Photographs of your own: what a folder holds is recognised from the names of its sub-folders.

Accepted, with `ok`, `normal`, `pass` or `0` (beside `1`) in place of `good`, folder names in any
letter case:

- `CATEGORY/train/good/*`, `CATEGORY/test/good/*`, `CATEGORY/test/DEFECT/*`, with masks, where there
  are any, in `CATEGORY/ground_truth/DEFECT/STEM.png` or `STEM_mask.png` (the MVTec layout), or
  several in a folder `STEM/` (MVTec LOCO, whose `CATEGORY/defects_config.json` is read too);
- the same without `CATEGORY`, directly in the folder;
- `rgb/` and `gt/` inside each class (MVTec 3D-AD; `xyz/` is passed over);
- images directly in `train` and `test`, with a mask `STEM_GT.png` beside each, which tells what is
  defective (KolektorSDD2);
- `good/*` beside one folder per defect type (`bad/*`, `scratch/*`), split by a fixed rule;
- photographs of good parts directly in the folder: they train, and nothing is tested.

Masks may also lie beside their images as `STEM_mask.png`. Class folders may have sub-folders.
What masks mark is told by `asbench.files.masks`, what is passed over by `asbench.files.walk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asbench.files.layout import Layout, folder_name, recognise, slug
from asbench.files.masks import any_marked
from asbench.files.names import shown
from asbench.files.records import Record
from asbench.files.saturated import SaturatedDataset
from asbench.files.saturation import Saturation
from asbench.parameters import parameter
from asbench.types import GOOD, Item
from synth_store.types import Mask, check_name


@dataclass(frozen=True)
class Folder(SaturatedDataset):
    """The images under `root`, keyed in stores and results by `name`.

    Where normals and anomalies lie beside each other without train and test, the normals are
    ranked by the BLAKE2b digest of their relative paths and the first fifth (rounded down, at
    least one, never all) is tested; every anomalous image is tested.
    Raises UserError, explaining the accepted layouts, where none is recognised.
    """

    root: Path
    name: str
    without: tuple[str, ...] = parameter((), "Sub-folders that something else reads.")

    def __post_init__(self) -> None:
        check_name(self.name, "data set")

    @cached_property
    def layout(self) -> Layout:
        """What the folder holds, recognised once."""
        alone = slug(folder_name(self.root)) or self.name.split("@")[0]
        return recognise(self.root, alone, self.without)

    def categories(self) -> tuple[str, ...]:
        """Return the categories, sorted."""
        return tuple(c.name for c in self.layout.categories)

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths relative to its folder."""
        (chosen,) = (c for c in self.layout.categories if c.name == category)
        for place in chosen.places:
            label, defect = int(place.defect != GOOD), shown(place.defect)
            item = Item(shown(place.path), category, place.split, label, defect)
            masks = tuple(chosen.folder / path for path in place.masks)
            mask = masks[0] if masks else None
            yield Record(item, chosen.folder / place.path, mask, masks[1:])

    def saturations(self, category: str) -> tuple[Saturation, ...]:
        """Return how much of each kind of defect must be found (MVTec LOCO); empty for all of it.

        Raises UserError for a `defects_config.json` that says nothing of the kind.
        """
        (chosen,) = (c for c in self.layout.categories if c.name == category)
        return chosen.saturations

    def marked(self, mask: Path) -> Mask | None:
        """Return what a mask file marks, however it is coded: bool (h, w), None for nothing."""
        return any_marked(mask)

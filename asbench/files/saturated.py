"""Data sets that say how much of each defect must be found, as MVTec LOCO does."""

from __future__ import annotations

from abc import abstractmethod

from asbench.files.records import RecordedDataset
from asbench.files.saturation import Region, Saturation, saturation_of
from asbench.types import Item


class SaturatedDataset(RecordedDataset):
    """A data set whose categories may have saturation thresholds."""

    @abstractmethod
    def saturations(self, category: str) -> tuple[Saturation, ...]:
        """Return how much of each kind of defect must be found; empty for all of it.

        Raises UserError for a `defects_config.json` that says nothing of the kind.
        """

    def regions(self, item: Item) -> tuple[Region, ...]:
        """Return the regions of an anomalous image, one a mask file, and what to find of each.

        Raises what `mask` does, and FileError for a mask whose level no kind of defect has.
        """
        image, known = self.image_path(item), self.saturations(item.category)
        found = []
        for file in self.mask_paths(item):
            mask = self._fitted(file, image)
            if mask is not None:
                area = int(mask.sum())
                found.append(
                    Region(mask, saturation_of(file, known).pixels(area) if known else area)
                )
        return tuple(found)

"""The few-shot defects of a store, with their pixels, for methods that show them again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from asbench.data.set_record import SetRecord, record_of
from asbench.types import Defect
from synth_store import StoredSet


class StoredDefects:
    """Real defects read from the set that holds a data set's few-shot third, each when it is asked.

    A sequence of `Defect`, whose arrays are read-only.
    """

    def __init__(self, stored: StoredSet) -> None:
        self.stored = stored

    @cached_property
    def _record(self) -> SetRecord:
        return record_of(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Defect:
        if not 0 <= index < len(self):
            raise IndexError(f"defect {index} of {len(self)}")
        image = np.empty(self.stored.image.shape, np.uint8)
        mask = np.empty(self.stored.mask.shape, np.bool_)
        self.stored.read_into(index, image, mask)
        image.setflags(write=False)
        mask.setflags(write=False)
        return Defect(self._record.saw_defects[index], self._record.types[index], image, mask)

    def __iter__(self) -> Iterator[Defect]:
        return (self[i] for i in range(len(self)))

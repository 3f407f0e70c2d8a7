"""What stands beside a stored set's pixels: how it was asked for, which real defects it saw."""

from __future__ import annotations

import json
from dataclasses import dataclass

from asbench.files.documents import RecordFile
from synth_store import StoredSet


@dataclass(frozen=True)
class SetRecord:
    """The `record` of a set's attributes; sets of other makers may lack any of it.

    cpu, asbench: the processor and the release that made it; origin, options: as `asbench generate`
    was given them; where: so, and as published for sets of releases that had no such rule;
    saw_defects: the ids of the real defects that it was made from; of real defects,
    types: that of each, without_mask: the ids of those left out for want of a mask.
    """

    cpu: str = ""
    asbench: str = ""
    origin: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    where: str = "as-published"
    saw_defects: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    without_mask: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Attributes:
    """Those of a set's attributes that the store itself does not look at."""

    record: SetRecord = SetRecord()


FILE = RecordFile(
    _Attributes, "zarr.json", None, "make the set anew with `asbench generate --replace`"
)


def record_of(stored: StoredSet) -> SetRecord:
    """Return what was recorded of a set; raises UserError naming a wrong or an unknown key."""
    kept = {name: v for name, v in stored.attributes.items() if name == "record"}
    return FILE.parse(json.dumps(kept), stored.folder / FILE.name).record

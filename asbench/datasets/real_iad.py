"""Real-IAD (Wang et al., CVPR 2024): thirty small parts, each seen by five cameras.

The layout is the authors': images in `realiad_<resolution>/<category>/OK/SNNNN/*.jpg` and
`.../NG/<defect>/SNNNN/*.jpg`, beside the latter their masks `*.png`, and for each category a JSON
file in `realiad_jsons/` (all five views) and `realiad_jsons_sv/` (the view from above alone) that
lists what trains and what is tested. A view of a faulty part that does not show the fault is listed
as OK, and is normal, though it lies in `NG`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from asbench.files.documents import damaged
from asbench.files.names import is_file
from asbench.files.records import Record, RecordedDataset, require
from asbench.files.source import DatasetSource
from asbench.parameters import parameter
from asbench.types import GOOD, Item
from synth_store.types import UserError

CATEGORIES = (
    *("audiojack", "bottle_cap", "button_battery", "end_cap", "eraser", "fire_hood", "mint"),
    *("mounts", "pcb", "phone_battery", "plastic_nut", "plastic_plug", "porcelain_doll"),
    *("regulator", "rolled_strip_base", "sim_card_set", "switch", "tape", "terminalblock"),
    *("toothbrush", "toy", "toy_brick", "transistor1", "u_block", "usb", "usb_adaptor"),
    *("vcpill", "wooden_beads", "woodstick", "zipper"),
)
VARIANTS = {"sv": {"single_view": True}, "512": {"resolution": "512"}, "256": {"resolution": "256"}}
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://huggingface.co/datasets/Real-IAD/Real-IAD",
    by_hand="ask for access there (it is granted to members of institutions), download the "
    "archives of realiad_1024 (or 512, 256) and realiad_jsons, and unpack them side by side; no "
    "checksum is published",
)
_NORMAL = "OK"


@dataclass(frozen=True)
class RealIad(RecordedDataset):
    """The categories of Real-IAD that have a folder under `root`, split as the authors list them.

    Plain `real_iad` takes the images of 1024 pixels and all five views; `real_iad@sv` the view from
    above alone, `real_iad@512` and `real_iad@256` smaller images. Defect types are the authors'
    codes: AK pit, BX deformation, CH abrasion, HS scratch, PS damage, QS missing part, YW foreign
    object, ZW contamination. Views of one part lie in one split. Masks are cut above 127; a defect
    without one counts for image metrics alone. Raises UserError where no category is there, for
    lists that are missing or train on defects, and for files that are missing.
    """

    root: Path
    resolution: str = parameter("1024", "Pixels a side of the images: 1024, 512 or 256.")
    single_view: bool = parameter(False, "Whether the view from above is all that is read.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The data set's name in stores: `real_iad`, or with its variant."""
        if self.single_view:
            return "real_iad@sv"
        return "real_iad" if self.resolution == "1024" else f"real_iad@{self.resolution}"

    def categories(self) -> tuple[str, ...]:
        """Return the categories that are here, sorted."""
        here = tuple(c for c in CATEGORIES if (self._images / c).is_dir())
        if not here:
            raise UserError(
                f"no Real-IAD in {self._images}: none of its {len(CATEGORIES)} categories "
                f"({CATEGORIES[0]}, ...) has a folder there. `asbench data fetch real_iad` says "
                "how to get it."
            )
        return here

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder, as the list has them."""
        path = self._list(category)
        try:
            listed = json.loads(path.read_bytes())
            folder = self._images / str(listed["meta"]["prefix"])
            rows = [*_rows(listed, "train", folder), *_rows(listed, "test", folder)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path, error, "unpack realiad_jsons again") from error
        files = [file for _, image, mask in rows for file in (image, mask) if file is not None]
        missing = {file.name for file in files if not is_file(file)}
        require("real_iad", missing, folder, "files of the list")
        for (id_, split, kind), image, mask in rows:
            if kind != _NORMAL and split == "train":
                raise UserError(
                    f"{path} trains on the defect {id_}: it is a list of Real-IAD's noisy "
                    "protocol; take those of realiad_jsons."
                )
            label, defect = int(kind != _NORMAL), GOOD if kind == _NORMAL else kind
            yield Record(Item(id_, category, split, label, defect), image, mask if label else None)

    @cached_property
    def _images(self) -> Path:
        return self.root / f"realiad_{self.resolution}"

    def _list(self, category: str) -> Path:
        """Return a category's list: in its folder, or in one of that name inside it."""
        name = "realiad_jsons_sv" if self.single_view else "realiad_jsons"
        places = (self.root / name, self.root / "realiad_jsons" / name)
        paths = [place / f"{category}.json" for place in places]
        for path in paths:
            if path.is_file():
                return path
        raise UserError(
            f"real_iad: the list of {category} is neither {paths[0]} nor {paths[1]}: unpack "
            "realiad_jsons beside the images."
        )


_Split = Literal["train", "test"]


def _rows(
    listed: Any, split: _Split, folder: Path
) -> Iterator[tuple[tuple[str, _Split, str], Path, Path | None]]:
    """Yield the rows of a split: id, split and class; image; mask."""
    for row in listed[split]:
        id_, mask = str(row["image_path"]), row.get("mask_path")
        key = (id_, split, str(row["anomaly_class"]))
        yield key, folder / id_, folder / str(mask) if mask else None

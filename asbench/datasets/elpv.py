"""ELPV (Buerhop-Lutz et al., 2018; Deitsch et al., Solar Energy 2019): solar cells, by label alone.

Electroluminescence photographs of 2624 cells, grey, 300 x 300 pixels, as the package
`elpv-dataset` of PyPI holds them: `images/cellNNNN.png` and `labels.csv`, whose lines say file,
probability of a defect (0, 1/3, 2/3 or 1) and whether the cell is mono- or polycrystalline. There
are no masks: pixel metrics have no value. The authors split nothing: a fifth of the normals, by a
digest of their names, is for test here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from asbench.files.layout import set_aside
from asbench.files.records import Record, RecordedDataset, images, require, subfolder
from asbench.files.source import DatasetSource
from asbench.types import GOOD, Item
from synth_store.types import UserError

CATEGORIES = ("mono", "poly")
SOURCE = DatasetSource(
    licence="CC BY-NC-SA 4.0: no commercial use; what is made from it carries the same licence",
    page="https://github.com/zae-bayern/elpv-dataset",
    by_hand="`pip download --no-deps elpv-dataset` (92 MB)",
    url="https://files.pythonhosted.org/packages/py3/e/elpv_dataset/"
    "elpv_dataset-1.0.0.post1-py3-none-any.whl",
    checksum="sha256:85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
)


@dataclass(frozen=True)
class Elpv(RecordedDataset):
    """The categories `mono` and `poly` under `root`: 1207 train, 301 + 715 test images.

    They may also lie in `root/elpv_dataset/data`, as the package has them. Cells of probability 0
    are normal, those of 1 show a `defect`; the 401 that the experts were unsure of are left out.
    Raises UserError where the labels are missing or cannot be read, and for files that are missing.
    """

    root: Path
    name = "elpv"

    def categories(self) -> tuple[str, ...]:
        """Return `mono` and `poly`."""
        return CATEGORIES

    def records(self, category: str) -> Iterator[Record]:
        """Yield the cells of a kind; ids are paths below the folder of the labels."""
        files = images(self._base / "images")
        rows = [(stem, chance) for stem, chance, kind in self._labels if kind == category]
        require(self.name, {stem for stem, _ in rows if stem not in files}, self._base, "images")
        tested = set_aside([stem for stem, chance in rows if chance == 0])
        for stem, chance in rows:
            if 0 < chance < 1:
                continue
            path = files[stem]
            name = f"images/{path.name}"
            if chance:
                yield Record(Item(name, category, "test", 1, "defect"), path, None)
            else:
                split: Literal["train", "test"] = "test" if stem in tested else "train"
                yield Record(Item(name, category, split, 0, GOOD), path, None)

    @cached_property
    def _base(self) -> Path:
        return subfolder(self.root, "elpv_dataset/data")

    @cached_property
    def _labels(self) -> list[tuple[str, float, str]]:
        """The rows, by name: stem, probability of a defect, kind of cell."""
        table = self._base / "labels.csv"
        if not table.is_file():
            raise UserError(
                f"elpv: no labels.csv in {self._base}. `asbench data fetch elpv` gets it."
            )
        rows = []
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            row = _row(line)
            if row is None:
                raise UserError(
                    f"elpv: line {number} of {table} is not an image, a probability and mono or "
                    f"poly: {line[:60]!r}. Unpack the package again."
                )
            rows.append(row)
        return sorted(rows)


def _row(line: str) -> tuple[str, float, str] | None:
    """Return what a line says; None where it says something else."""
    parts = line.split()
    if len(parts) != 3 or parts[2] not in CATEGORIES:
        return None
    try:
        chance = float(parts[1])
    except ValueError:
        return None
    return (Path(parts[0]).stem, chance, parts[2]) if 0 <= chance <= 1 else None

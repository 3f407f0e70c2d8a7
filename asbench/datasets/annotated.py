"""Photographs with annotations: COCO or YOLO, as CVAT, Label Studio, Roboflow and others write.

A folder with COCO's JSON (in it, in `annotations/` or in `train/`, `valid/`, `test/`) or with
YOLO's `data.yaml` or `classes.txt`, `images/` and `labels/`, or one with such folders in it, each
of which is a category. The path of a single COCO file counts alone.

What is annotated is anomalous, of the defect type that its class says (several, joined by `+`);
what is listed and not annotated is normal. Outlines, polygons or RLE, are masks. A box is none: its
image counts for image metrics alone. COCO needs `pip install 'asbench[formats]'`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asbench.files.annotations import Annotation, is_annotated, read_annotations, unread
from asbench.files.images import FileError, read_header, read_turn, turned
from asbench.files.layout import category_name, folder_name, set_aside, slug
from asbench.files.names import shown
from asbench.files.records import Record, RecordedDataset
from asbench.parameters import parameter
from asbench.types import Item
from synth_store.types import Mask, UserError, check_name


def annotated_folders(root: Path) -> list[Path]:
    """Return the folders that are categories: the root itself, or those in it; empty for none."""
    if is_annotated(root):
        return [root]
    below = sorted(root.iterdir()) if root.is_dir() else []
    return [p for p in below if p.is_dir() and not p.name.startswith(".") and is_annotated(p)]


@dataclass(frozen=True)
class Annotated(RecordedDataset):
    """The annotated images under `root`, keyed by `name`; `file`: those of one COCO file there.

    Normals of a split `train` train, those of other splits are tested, and so is all that is
    annotated. Where no normal is left to test, a fifth of them is, the first by the BLAKE2b digest
    of their paths. Raises UserError where there is no normal, and for images that are not there.
    """

    root: Path
    name: str
    file: str = parameter(
        "", "The one COCO file that counts, relative to `root`; empty: all there."
    )

    def __post_init__(self) -> None:
        check_name(self.name, "data set")

    def categories(self) -> tuple[str, ...]:
        """Return the categories, sorted."""
        return tuple(sorted(self._folders))

    def records(self, category: str) -> Iterator[Record]:
        """Yield a category's images; ids are paths below its folder."""
        folder, known = self._folders[category], self._annotations[category]
        normals = [a for a in known.values() if not a.markings]
        if not normals:
            raise UserError(
                f"{folder} has no normal image: all {len(known)} are annotated. Add photographs "
                "of good parts, listed and not annotated."
            )
        tested = {str(a.image) for a in normals if a.split == "test"}
        trained = [str(a.image) for a in normals if a.split != "test"]
        if not tested or not trained:
            tested = set_aside([str(a.image) for a in normals])
        for one in known.values():
            id_ = shown(one.image)
            if one.markings:
                defect = "+".join(sorted({m.name for m in one.markings}))
                item = Item(id_, category, "test", 1, defect)
            else:
                item = Item(id_, category, "test" if str(one.image) in tested else "train", 0)
            yield Record(item, folder / one.image, None)

    def mask(self, item: Item) -> Mask | None:
        """Return what is outlined: bool (h, w); None where a defect has a box and no outline.

        Tools show images as EXIF has them turned; where the sizes say that one did not, the mask is
        turned. Raises FileError for an annotation of another size than its image.
        """
        image, one = self.image_path(item), self._annotations[item.category][item.id]
        height, width, _ = read_header(image)
        if not item.label:
            return np.zeros((height, width), np.bool_)
        if not one.outlined:
            return None
        size, turn = one.size or (height, width), read_turn(image)
        if size != (height, width):
            stored = read_header(image, as_stored=True)
            if turn is None or size != stored[:2]:
                raise FileError(
                    image,
                    f"is {width} x {height} pixels, but {one.source.name} was made on one of "
                    f"{size[1]} x {size[0]}: put the original image there.",
                )
            mask = turned(one.mask(size), turn)
        else:
            mask = one.mask(size)
        return mask if mask.any() else None

    def mask_bytes(self, item: Item) -> bytes:
        """Return what is annotated on an image, alike wherever its files lie."""
        return self._annotations[item.category][item.id].described()

    def described(self, category: str) -> str:
        """Return how a category is annotated, in words."""
        known = self._annotations[category].values()
        kinds = " and ".join(sorted({one.kind.upper() for one in known}))
        boxed = sum(not one.outlined for one in known)
        said = f"annotated as {kinds}"
        return said + f", {boxed} images with boxes alone, which are no masks" * bool(boxed)

    def left_over(self) -> list[tuple[Path, str]]:
        """Return the images that no annotation names, each with what becomes of it."""
        return [
            (
                path,
                "is named by no annotation: nobody knows whether it is normal, and it is unread.",
            )
            for category, folder in self._folders.items()
            for path in unread(folder, tuple(self._annotations[category].values()))
        ]

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are categories."""
        return tuple(self._folders.values())

    @cached_property
    def _folders(self) -> dict[str, Path]:
        if self.file:
            return {self._alone: self.root}
        folders = annotated_folders(self.root)
        if folders == [self.root]:
            return {self._alone: self.root}
        named: dict[str, Path] = {}
        for folder in folders:
            name = category_name(folder)
            if name in named:
                raise UserError(
                    f"{named[name]} and {folder} both give category {name!r}: rename one."
                )
            named[name] = folder
        if not named:
            raise UserError(f"nothing in {self.root} is annotated as COCO or YOLO.")
        return named

    @property
    def _alone(self) -> str:
        return slug(folder_name(self.root)) or self.name.partition("@")[0]

    @cached_property
    def _annotations(self) -> dict[str, dict[str, Annotation]]:
        """The annotations by category and id."""
        return {category: self._read(folder) for category, folder in self._folders.items()}

    def _read(self, folder: Path) -> dict[str, Annotation]:
        known: Sequence[Annotation] = read_annotations(
            folder, self.root / self.file if self.file else None
        )
        return {shown(one.image): one for one in known}

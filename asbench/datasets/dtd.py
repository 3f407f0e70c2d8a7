"""DTD, the Describable Textures Dataset: a bank of photographs to blend in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from asbench.files.source import DatasetSource
from asbench.types import Dataset, Item
from synth_store.types import Image, Mask, UserError

SOURCE = DatasetSource(
    licence="for research; the photographs carry no open licence: publish none",
    page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    by_hand="download dtd-r1.0.1.tar.gz from there",
    url="https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
    checksum="md5:fff73e5086ae6bdbea199a49dfb8a4c1",
)


@dataclass(frozen=True)
class Dtd(Dataset):
    """The photographs `<root>/images/<texture>/<texture>_NNNN.jpg`, as textures for synthesis.

    The whole set holds 47 textures of 120 images, RGB, about 300 to 640 pixels a side; a part of it
    in the same layout serves too. Every image is a train normal of the one category `all`, its id
    the path below `images`; the splits play no part, since nothing is classified. Files whose names
    begin with a dot are skipped. For research use; the photographs carry no open licence.

    Source: Cimpoi et al., Describing Textures in the Wild, CVPR 2014;
    https://www.robots.ox.ac.uk/~vgg/data/dtd/.

    Raises UserError when built on a folder without that layout.
    """

    name = "dtd"

    root: Path

    def __post_init__(self) -> None:
        if not self._files():
            raise UserError(
                f"no DTD in {self.root}: expected {self.root / 'images'}/<texture>/*.jpg. Get it "
                "with `asbench data fetch dtd`, or use the textures that need no files: procedural."
            )

    def _files(self) -> list[str]:
        images = self.root / "images"
        return sorted(
            path.relative_to(images).as_posix()
            for path in images.glob("*/*.jpg")
            if not any(part.startswith(".") for part in path.relative_to(images).parts)
        )

    def categories(self) -> tuple[str, ...]:
        return ("all",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "all":
            raise UserError(f"category {category!r} is unknown in dtd: choose all.")
        return tuple(Item(file, "all", "train", 0) for file in self._files())

    def image(self, item: Item) -> Image:
        """Return the photograph: uint8 (h, w, 3). Raises UserError for a file that is no image."""
        path = self.root / "images" / item.id
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise UserError(f"{path} cannot be read as an image: unpack DTD again.")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def mask(self, item: Item) -> Mask:
        return np.zeros(self.image(item).shape[:2], np.bool_)

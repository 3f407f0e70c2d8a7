"""A texture bank that is drawn, not downloaded: the stand-in where DTD is not given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.reliefs import FAMILIES
from asbench.imaging.textures import draw_texture
from asbench.types import Dataset, Item
from synth_store.rng import address_rng
from synth_store.types import Image, Mask, UserError

COUNT = 64
SIDE = 320


@dataclass(frozen=True)
class Procedural(Dataset):
    """64 drawn textures, all train normals of the one category `all`, 320 x 320 pixels.

    Texture i is a function of i alone: every family of `imaging.reliefs` in turn, its parameters,
    colours and light drawn. They are no photographs: results with them are not results with DTD,
    and the name says so wherever textures are recorded.
    """

    name = "procedural"

    def categories(self) -> tuple[str, ...]:
        return ("all",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "all":
            raise UserError(f"category {category!r} is unknown in procedural: choose all.")
        return tuple(Item(f"{i:03d}", "all", "train", 0) for i in range(COUNT))

    def image(self, item: Item) -> Image:
        index = int(item.id)
        return draw_texture(address_rng("procedural", index), SIDE, index % len(FAMILIES))

    def mask(self, item: Item) -> Mask:
        return np.zeros((SIDE, SIDE), np.bool_)

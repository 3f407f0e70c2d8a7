"""A stored set as a torch Dataset, for training code of one's own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from asbench import mend as mend  # refusals of the store name what to type
from synth_store import StoreKey, SynthStore


class StoreDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The samples of one category of one set: (image, mask, clean).

    image, clean: float32 (3, H, W) in [0, 1]; mask: float32 (1, H, W) in {0, 1}. Works with any
    DataLoader; reading is so cheap that `num_workers=0` is usually the fastest.

    Raises StoreError if the set is not in the store.
    """

    def __init__(self, store: Path | str, key: StoreKey | str, category: str) -> None:
        named = key if isinstance(key, StoreKey) else StoreKey.parse(key)
        self.stored = SynthStore.open(store).read(named, category)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        sample = self.stored[index]
        assert sample.clean is not None
        image, clean = (
            torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).div_(255)
            for pixels in (sample.image, sample.clean)
        )
        return image, torch.from_numpy(sample.mask)[None].to(torch.float32), clean

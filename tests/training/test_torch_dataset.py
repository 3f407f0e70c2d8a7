"""A stored set as a torch data set: the store's samples, in any DataLoader."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from asbench.training.torch_dataset import StoreDataset
from synth_store import StoredSet, StoreError, SynthStore, UserError
from tests.synth_store.making import CATEGORY, KEY, SMALL, generate


@pytest.fixture(params=[False, True], ids=["residual", "generated"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> StoredSet:
    return generate(SynthStore.create(tmp_path, SMALL), 11, shard=4, generated=request.param)


def test_items_are_the_store_s_samples(stored: StoredSet, tmp_path: Path) -> None:
    data = StoreDataset(tmp_path, str(KEY), CATEGORY)
    assert len(data) == 11
    for (image, mask, clean), sample in zip(data, stored, strict=True):
        assert image.shape == clean.shape == (3, 32, 32)
        assert mask.shape == (1, 32, 32)
        assert image.dtype == clean.dtype == mask.dtype == torch.float32
        assert sample.clean is not None
        assert np.array_equal(image.permute(1, 2, 0), sample.image / np.float32(255))
        assert np.array_equal(clean.permute(1, 2, 0), sample.clean / np.float32(255))
        assert np.array_equal(mask[0], sample.mask)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on one core
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_all_of_them_in_order(
    stored: StoredSet, tmp_path: Path, workers: int
) -> None:
    data = StoreDataset(tmp_path, KEY, CATEGORY)
    data[5]  # the shards that this process has mapped must not disturb the workers
    batches = list(DataLoader(data, batch_size=4, num_workers=workers))
    assert [len(image) for image, _, _ in batches] == [4, 4, 3]
    for k, whole in enumerate(zip(*batches, strict=True)):
        for one, i in zip(torch.cat(whole), range(11), strict=True):
            assert torch.equal(one, data[i][k])


def test_it_crosses_processes_as_its_place(stored: StoredSet, tmp_path: Path) -> None:
    data = StoreDataset(tmp_path, KEY, CATEGORY)
    data[0]
    carried = pickle.dumps(data)
    assert len(carried) < 10_000  # not the pixels of its normals
    assert torch.equal(pickle.loads(carried)[7][0], data[7][0])


def test_what_is_not_there_is_refused(stored: StoredSet, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="toy/none/0/tile is not in the store"):
        StoreDataset(tmp_path, "toy/none/0", CATEGORY)
    with pytest.raises(UserError, match="is not a store key"):
        StoreDataset(tmp_path, "toy/boxes", CATEGORY)
    with pytest.raises(StoreError, match="there is no store"):
        StoreDataset(tmp_path / "no", KEY, CATEGORY)
    with pytest.raises(IndexError):
        StoreDataset(tmp_path, KEY, CATEGORY)[11]

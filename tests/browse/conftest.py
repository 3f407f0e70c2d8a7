"""A store of toys to look through: sets on normals, one on backgrounds of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench.browse.gallery import WrittenGallery, write
from synth_store import StoreKey, SynthStore
from tests.synth_store.making import SMALL, add_normals, generate

MADE = {
    "boxes": {"seed": 0, "generated": False},
    "boxes@more": {"seed": 3, "generated": False},
    "dreams": {"seed": 0, "generated": True},
}
COUNT = 20


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    """Three sets of 20 samples at 32x32, one of them with clean images of its own."""
    store = SynthStore.create(tmp_path_factory.mktemp("looked") / "store", SMALL)
    add_normals(store, 6)
    for method, how in MADE.items():
        key = StoreKey("toy", method, int(how["seed"]))
        generate(store, COUNT, key=key, generated=bool(how["generated"]))
    return store


@pytest.fixture(scope="session")
def gallery(stored: SynthStore, tmp_path_factory: pytest.TempPathFactory) -> WrittenGallery:
    return write(Path(str(stored.root)), tmp_path_factory.mktemp("shown") / "gallery")

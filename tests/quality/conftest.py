"""A store of toys with two sets, and small files of weights that nobody trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.nets.resnet import ResNet18
from asbench.nets.weights import save_weights
from synth_store import SynthStore
from tests.toyset import Toys


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store at 32x32: 21 samples of cutout, 20 of cutpaste, and the real defects, of toys/a."""
    root = tmp_path_factory.mktemp("quality") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
        for methods, n in ((["cutout", "real"], 21), (["cutpaste"], 20)):
            generate("toys", methods, category="a", n=n, store=root, size=32, workers=1)
    return root


@pytest.fixture
def store(made: Path) -> SynthStore:
    return SynthStore.open(made)


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 to its third layer, as a file."""
    path = tmp_path_factory.mktemp("weights") / "resnet18-nobody.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_weights(ResNet18(depth=3), path)
    return path


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)

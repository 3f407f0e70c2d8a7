"""A store of toys for tests of whole trainings: they ask for `toys`, whose data set it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.training import joint
from asbench.training import plan as planning
from tests.toyset import Toys
from tests.training.workplace import Workplace


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both stages find the toy data set under its name."""
    for module in (generation, planning, joint):
        monkeypatch.setattr(module, "open_dataset", lambda dataset, **_: Toys())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two sets of 20 samples at 32x32."""
    root = tmp_path_factory.mktemp("toys") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
        generate(
            "toys",
            ["cutout", "cutpaste@asbench"],
            category="a",
            n=20,
            store=root,
            size=32,
            workers=1,
        )
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Workplace:
    return Workplace(made, tmp_path / "runs")

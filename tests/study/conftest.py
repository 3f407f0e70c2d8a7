"""Photographs of bolts and nuts, and a study of them that takes moments."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from asbench.study import spec
from asbench.study.spec import Study
from tests.cli.conftest import photograph

TOY = """
size: 32
samples: 20
folders: {photos: PHOTOS}
datasets: {photos: [bolt]}
detectors:
  unet@tiny: {steps: 30, batch: 2, set: {width: 2}}
mixes: [cutout, cutpaste]
quality: {metrics: [ssim, fid@histogram], samples: 12}
parts:
  base:
    seeds: [0, 1]
  small: {ratios: 0.25, mixes: cutout, pools: 10}
  without: {ratios: 0}
  both: {mixes: "cutout,cutpaste"}
"""
"""Two methods at two seeds, one at a quarter from a small pool, normals alone, a mixture."""
RUNS, SETS = 7, 2


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "photos"
    photograph(folder)
    return folder


Write = Callable[..., Study]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a study file and reads it."""

    def write(text: str, name: str = "mine") -> Study:
        path = tmp_path / f"{name}.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return spec.read(path)

    return write

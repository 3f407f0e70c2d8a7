"""Networks without values: the same names and shapes, and nothing imported to draw none."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from asbench.detectors import build
from asbench.nets.shapes import without_values

DETECTORS = (
    *("memory", "supersimplenet@lite0", "patchcore@lite0"),
    *("draem@tiny", "unet@tiny", "memseg@tiny-scratch", "destseg@tiny-scratch"),
)
ASKED = """
import sys
from asbench.detectors import build
from asbench.nets.shapes import without_values
with without_values():
    for name in {names}:
        build(name, 0)
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("name", DETECTORS)
def test_names_shapes_and_types_are_the_networks_own(name: str) -> None:
    with without_values():
        empty = build(name, 0)
    full = build(name, 0)
    kept, filled = empty.state_dict(), full.state_dict()
    assert {k: (t.shape, t.dtype) for k, t in kept.items()} == {
        k: (t.shape, t.dtype) for k, t in filled.items()
    }
    assert {t.device.type for t in empty.parameters()} == {"meta"}
    assert empty.backbone() == full.backbone()


def test_what_is_built_afterwards_is_drawn_as_ever() -> None:
    with without_values():
        torch.nn.Linear(3, 4)
    torch.manual_seed(0)
    drawn = torch.nn.init.normal_(torch.empty(100))
    assert drawn.std() > 0.5


def test_torchs_compiler_is_not_imported_for_it() -> None:
    program = ASKED.format(names=(*DETECTORS, "draem"))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

"""What a command imports before it does anything: start-up is most of a short command's time."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = ("torch", "torchvision", "scipy", "pandas", "matplotlib", "pydantic", "zarr", "sympy")
"""Each takes as long to import as all that `asbench methods list` needs."""
LISTED = """
from cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code, end.code
"""
PREDICTED = """
import numpy as np
import asbench.evaluation.predict_files, asbench.detectors as detectors
from asbench import plugins
from asbench.evaluation.photographs import predict_photograph
from asbench.nets.device import find_device
from synth_store.types import Geometry
for name in plugins.names("asbench.detectors"):
    plugins.module("asbench.detectors", name)
settings = {"width": 4, "seg_width": 4}
model = detectors.build("draem@tiny", 0, settings).eval()
photograph = np.zeros((40, 40, 3), np.uint8)
predict_photograph(model, photograph, Geometry.parse("32x32 (stretch)"), find_device("cpu"))
"""


def imported(program: str) -> set[str]:
    """Return the packages among SLOW, and torch's compiler, that a fresh process has at its end."""
    ending = f"\nimport sys\nprint(*({{*{SLOW!r}, 'torch._dynamo'}} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", program + ending], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", [["methods", "list"], ["data", "list"], ["--help"]])
def test_a_listing_imports_nothing_slow(command: list[str]) -> None:
    assert imported(LISTED.format(arguments=command)) == set()


def test_a_prediction_imports_torch_and_nothing_else_that_is_slow() -> None:
    # torchvision, scipy.stats and torch's compiler took as long as torch itself.
    assert imported(PREDICTED) == {"torch"}

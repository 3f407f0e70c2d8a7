"""The contracts of plugins as tests that any author can run on their own.

    from asbench.testing import SynthesizerContract

    class TestMine(SynthesizerContract):
        @pytest.fixture
        def synthesizer(self):
            return Mine()

`DetectorContract` wants a fixture `detector`, `DatasetContract` a fixture `dataset`; methods that
are fitted have `LearnedContract`. All but data sets are held to them on small generated images, so
nothing is downloaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asbench.testing.datasets import DatasetContract as DatasetContract
    from asbench.testing.detectors import DetectorContract as DetectorContract
    from asbench.testing.generated import digest as digest
    from asbench.testing.generated import draw as draw
    from asbench.testing.generated import material as material
    from asbench.testing.learned import LearnedContract as LearnedContract
    from asbench.testing.synthesizers import SynthesizerContract as SynthesizerContract

_HOME = {
    "DatasetContract": "datasets",
    "DetectorContract": "detectors",
    "LearnedContract": "learned",
    "SynthesizerContract": "synthesizers",
    "digest": "generated",
    "draw": "generated",
    "material": "generated",
}

__all__ = [
    "DatasetContract",
    "DetectorContract",
    "LearnedContract",
    "SynthesizerContract",
    "digest",
    "draw",
    "material",
]

# What fails then says which values differ, as in one's own tests.
pytest.register_assert_rewrite(*sorted({f"{__name__}.{module}" for module in _HOME.values()}))


def __getattr__(name: str) -> Any:
    """Import a contract when it is first asked for: synthesizers and data sets need no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

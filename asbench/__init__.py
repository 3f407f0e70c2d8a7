"""ASBench: render anomalies once into a store, train any detector at any ratio or mixture.

import asbench

asbench.generate("demo", ["draem", "fractal"])
run = asbench.train(mix="draem:0.5,fractal:0.5")
run.predict("photo.png").score
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asbench.datasets import open_dataset as open_dataset
    from asbench.evaluation.trained import Trained as Trained
    from asbench.generation.fit import fit as fit
    from asbench.generation.generate import generate as generate
    from asbench.mend import SynthStore as SynthStore
    from asbench.quality.measure import measure as measure
    from asbench.training.torch_dataset import StoreDataset as StoreDataset
    from asbench.training.train import train as train

_HOME = {
    "SynthStore": "asbench.mend",  # so that its refusals name the command to type
    "StoreDataset": "asbench.training.torch_dataset",
    "Trained": "asbench.evaluation.trained",
    "fit": "asbench.generation.fit",
    "generate": "asbench.generation.generate",
    "measure": "asbench.quality.measure",
    "open_dataset": "asbench.datasets",
    "train": "asbench.training.train",
}

__all__ = [
    "StoreDataset",
    "SynthStore",
    "Trained",
    "fit",
    "generate",
    "measure",
    "open_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import asbench` alone costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'asbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)

"""ASBench: render anomalies once into a store, train any detector at any ratio or mixture.

import asbench

asbench.generate("demo", ["draem", "fractal"])
run = asbench.train(mix="draem:0.5,fractal:0.5")
run.predict("photo.png").score
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asbench.public import lazily

if TYPE_CHECKING:
    from asbench import browse as browse
    from asbench import report as report
    from asbench import study as study
    from asbench.advising.advise import advise as advise
    from asbench.datasets import open_dataset as open_dataset
    from asbench.evaluation.evaluate import evaluate as evaluate
    from asbench.evaluation.predict_files import predict as predict
    from asbench.evaluation.trained import Trained as Trained
    from asbench.generation.fit import fit as fit
    from asbench.generation.generate import generate as generate
    from asbench.generation.preview import preview as preview
    from asbench.mend import SynthStore as SynthStore
    from asbench.quality.correlate import correlate as correlate
    from asbench.quality.cross_evaluation import cross as cross
    from asbench.quality.measure import measure as measure
    from asbench.report.compare import compare as compare
    from asbench.training.torch_dataset import StoreDataset as StoreDataset
    from asbench.training.train import train as train

_HOME = {
    "StoreDataset": "asbench.training.torch_dataset",
    "SynthStore": "asbench.mend",  # so that its refusals name the command to type
    "Trained": "asbench.evaluation.trained",
    "advise": "asbench.advising.advise",
    "browse": "asbench.browse",
    "compare": "asbench.report.compare",
    "correlate": "asbench.quality.correlate",
    "cross": "asbench.quality.cross_evaluation",
    "evaluate": "asbench.evaluation.evaluate",
    "fit": "asbench.generation.fit",
    "generate": "asbench.generation.generate",
    "measure": "asbench.quality.measure",
    "open_dataset": "asbench.datasets",
    "predict": "asbench.evaluation.predict_files",
    "preview": "asbench.generation.preview",
    "report": "asbench.report",
    "study": "asbench.study",
    "train": "asbench.training.train",
}

__all__ = [
    "StoreDataset",
    "SynthStore",
    "Trained",
    "advise",
    "browse",
    "compare",
    "correlate",
    "cross",
    "evaluate",
    "fit",
    "generate",
    "measure",
    "open_dataset",
    "predict",
    "preview",
    "report",
    "study",
    "train",
]

__getattr__ = lazily(__name__, _HOME)

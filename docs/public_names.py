"""The public names, section by section of the reference page on Python."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import asbench
import synth_store
from asbench import (
    browse,
    catalogue,
    report,
    study,
    testing,
    trackers,
    types,
)
from asbench import parameters as parameter_module
from asbench.adapters import checkpoints
from asbench.data import check, fetch
from asbench.evaluation import evaluate, predict_files, trained
from asbench.files import records
from asbench.fitting import contract as learned_model
from asbench.generation import export_set, preview, verify
from asbench.imaging import colour
from asbench.nets import detector as detector_contract
from asbench.report import compare
from asbench.results import advised
from synth_store import copying, errors, removal, selection

_STORES = [
    n for n, v in vars(synth_store).items() if not n.startswith("_") and not inspect.ismodule(v)
]
SECTIONS: tuple[tuple[str, Any, Sequence[str], str], ...] = (
    (
        "asbench",
        asbench,
        [
            n
            for n in asbench.__all__
            if n not in _STORES and not inspect.ismodule(getattr(asbench, n))
        ],
        "What `import asbench` offers, beside the packages `browse`, `report` and `study` below, "
        "and `SynthStore`, which is `synth_store`'s.",
    ),
    ("asbench.evaluation.trained", trained, ("Prediction",), "What a run's `predict` returns."),
    ("asbench.evaluation.evaluate", evaluate, ("Evaluation",), "What `evaluate` returns."),
    (
        "asbench.evaluation.predict_files",
        predict_files,
        ("Predictions", "Row"),
        "What `predict` returns.",
    ),
    ("asbench.generation.preview", preview, ("Preview",), "What `preview` returns."),
    ("asbench.browse", browse, browse.__all__[::-1], "Galleries: `from asbench import browse`."),
    (
        "asbench.adapters.checkpoints",
        checkpoints,
        ("import_checkpoint", "export_checkpoint"),
        "The files of the detectors' authors, into a run and back.",
    ),
    (
        "asbench.trackers",
        trackers,
        ("RunLogger",),
        "What a tracker of your own implements, for `train(log=[...])` or an entry point.",
    ),
    ("asbench.results.advised", advised, ("Advised",), "What `advise` returns."),
    ("asbench.report", report, report.__all__[::-1], "Reports: `from asbench import report`."),
    (
        "asbench.report.compare",
        compare,
        ("PairedComparison", "Block"),
        "What `compare` returns.",
    ),
    (
        "asbench.study",
        study,
        ("open", "shipped", "StudyFolder"),
        "Studies: `from asbench import study`.",
    ),
    (
        "synth_store",
        synth_store,
        sorted(_STORES),
        "The store alone: needs neither torch nor asbench.",
    ),
    (
        "asbench.generation.verify",
        verify,
        ("verify", "Verification"),
        "What `asbench store verify` does.",
    ),
    (
        "asbench.generation.export_set",
        export_set,
        ("export_set", "Exported"),
        "What `asbench store export` does.",
    ),
    (
        "synth_store.selection",
        selection,
        ("contents", "StoreEntry"),
        "What `asbench store ls` shows.",
    ),
    ("synth_store.removal", removal, ("remove", "Removed"), "What `asbench store rm` does."),
    (
        "synth_store.copying",
        copying,
        ("copy_store", "Copied"),
        "What `asbench store copy` does.",
    ),
    (
        "asbench.data.check",
        check,
        ("check", "Report", "CategoryReport", "Defects", "Problem"),
        "What `asbench data check` does.",
    ),
    ("asbench.data.fetch", fetch, ("fetch",), "What `asbench data fetch` does."),
    (
        "asbench.catalogue",
        catalogue,
        ("known_datasets", "KnownDataset", "known_methods", "KnownMethod", "families"),
        "What `asbench data list` and `asbench methods list` show.",
    ),
    (
        "synth_store.errors",
        errors,
        [e.__name__ for e in (errors.Refusal, *errors.Refusal.__subclasses__())],
        "What a store refuses, in data: each is a `StoreError`.",
    ),
    (
        "asbench.types",
        types,
        (
            "Synthesizer",
            "PerSample",
            "LearnedSynthesizer",
            "PretrainedFile",
            "Subject",
            "Defect",
            "Canvas",
            "Material",
            "Dataset",
            "Item",
            "mark_few_shot",
        ),
        "What authors of synthesizers and data sets write to.",
    ),
    (
        "asbench.imaging.colour",
        colour,
        ("Colouring", "grey"),
        "What authors of methods that colour write to.",
    ),
    (
        "asbench.parameters",
        parameter_module,
        ("parameter",),
        "What authors of all plugins write their parameters with.",
    ),
    (
        "asbench.files.records",
        records,
        ("RecordedDataset", "Record", "split_folders", "present"),
        "What authors of data sets of files write to.",
    ),
    (
        "asbench.nets.detector",
        detector_contract,
        ("Detector", "Protocol", "Stage", "Batch"),
        "What authors of detectors write to.",
    ),
    (
        "asbench.testing",
        testing,
        (
            "SynthesizerContract",
            "LearnedContract",
            "DetectorContract",
            "DatasetContract",
            "material",
            "draw",
        ),
        "The contracts of plugins, as tests to run on your own.",
    ),
    (
        "asbench.fitting.contract",
        learned_model,
        ("LearnedModel", "FitStage"),
        "What authors of learned synthesizers write to, beside `LearnedSynthesizer`.",
    ),
)
"""Title, module, names, and what they are."""

"""Every setting of fitting, generating, training and measuring, said once.

A setting is a field with a default and a sentence. The signatures of `asbench.train` and its like,
the options of the commands, the keys of a study file, what decides a run's id and the reference
pages all come from here: a new one is a field, and the code that uses it.
"""

from asbench.settings.advising import AdviseSettings
from asbench.settings.every_stage import (
    AUTO,
    BEST_ON_TEST,
    FITS,
    MOST_ITEMS,
    MOST_SAMPLES,
    MOST_SEED,
    MOST_SIDE,
    OBJECTS,
    QUALITY,
    RUNS,
    SAMPLES,
    STORE,
    TEXTURES,
    VISIBLE,
    WHERE,
    Settings,
    Where,
)
from asbench.settings.generating import (
    FitSettings,
    GenerateSettings,
    MethodSettings,
    PhotographSettings,
)
from asbench.settings.measuring import MeasureSettings
from asbench.settings.training import TrainSettings

__all__ = [
    "AUTO",
    "BEST_ON_TEST",
    "FITS",
    "MOST_ITEMS",
    "MOST_SAMPLES",
    "MOST_SEED",
    "MOST_SIDE",
    "OBJECTS",
    "QUALITY",
    "RUNS",
    "SAMPLES",
    "STORE",
    "TEXTURES",
    "VISIBLE",
    "WHERE",
    "AdviseSettings",
    "FitSettings",
    "GenerateSettings",
    "MeasureSettings",
    "MethodSettings",
    "PhotographSettings",
    "Settings",
    "TrainSettings",
    "Where",
]

"""What every stage is told, and the values that settings share."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from asbench.parameters import parameter, refuse_impossible
from asbench.progress import Progress, quiet

BEST_ON_TEST = "best-on-test"
STORE, RUNS, FITS, QUALITY, LOGS = "asbench-store", "runs", "fits", "quality", "logs"
"""Folders, unless others are named."""
AUTO = "auto"
OBJECTS = (AUTO, "whole", "dark", "bright")
"""Rules by which the object of a data set is found, beside a folder of masks."""
TEXTURES = "procedural"
"""The texture bank of methods that need one, unless another is named: drawn, not photographed."""
SAMPLES = 500
"""Samples measured of a set, unless another number is given."""
MOST_SEED = 2**63 - 1
"""What every tool that reads a record holds as a whole number."""
MOST_SAMPLES, MOST_ITEMS, MOST_SIDE = 10**7, 4096, 8192
"""Samples of a set, items of a step, pixels of a side: beyond are slips of the keyboard."""
VISIBLE = 3.0
"""Standard deviations of the normals' noise that a synthetic anomaly exceeds."""

Where = Literal["object", "as-published"]
WHERE: Where = "object"
"""Where synthetic anomalies lie."""


@dataclass(frozen=True)
class Settings:
    """What all stages are told: which data, where it is stored, on what device, who hears of it.

    Raises UserError for a value that is not among a field's choices, or beyond its most.
    """

    dataset: str = parameter(
        "demo", "A data set's name, or the path of a folder or table of images.", decides=True
    )
    _: KW_ONLY
    name: str | None = parameter(None, "Key of a path's images in the store.", unset="its slug")
    store: Path | str = parameter(STORE, "Folder of the store; to read, s3://BUCKET/PREFIX too.")
    device: str | None = parameter(None, "cpu, cuda or cuda:1.", unset="cuda where there is one")
    progress: Progress = parameter(
        quiet, "Called with what is done, how much of it, and of how much.", flags=()
    )

    def __post_init__(self) -> None:
        refuse_impossible(self)

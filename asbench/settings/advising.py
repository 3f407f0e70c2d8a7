"""The settings of an advice on what to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asbench.parameters import parameter
from asbench.progress import Notify, silent
from asbench.settings.every_stage import FITS, MOST_SAMPLES, TEXTURES
from asbench.settings.generating import PhotographSettings

if TYPE_CHECKING:
    from asbench.grid.engines import Engine
else:  # the command line reads settings for its help, and is to answer at once
    Engine = Any


@dataclass(frozen=True)
class AdviseSettings(PhotographSettings):
    """The settings of one advice."""

    _: KW_ONLY
    category: str | None = parameter(None, "A category.", unset="the first of the data set")
    methods: Sequence[str] | None = parameter(
        None,
        "A method to try.",
        unset="all that can be rendered from normals, and those fitted",
        flags=("--method",),
    )
    n: int | None = parameter(
        None,
        "Samples rendered of every method.",
        unset="120; with --quick 40",
        least=20,
        most=MOST_SAMPLES,
        flags=("-n", "--n"),
    )
    trials: int | None = parameter(
        None, "Times that every method is tried.", unset="3; with --quick 1", least=1, most=100
    )
    quick: bool = parameter(
        False,
        "A first idea in half a minute: eight methods, 75 photographs, short trainings, one trial.",
    )
    defects: Path | str | None = parameter(
        None,
        "A folder of a few photographs of real defects, which may choose too; masks as "
        "STEM_mask.png beside them. Of the data set's own only the few-shot third is looked at.",
        unset="none: no defect is looked at",
    )
    smallest_defect: float | None = parameter(
        None,
        "Pixels across of the smallest defect that must be found, as for `asbench data check`: a "
        "size is proposed for it.",
        unset="measured on the masks of --defects",
    )
    textures: str = parameter(
        TEXTURES,
        "Textures that draem and others blend in: procedural (drawn), dtd, or a folder of images.",
    )
    fits: Path | str = parameter(FITS, "Folder of fitted weights.")
    weights: Mapping[str, Path] | None = parameter(
        None,
        "Files of pretrained networks by name; nothing is downloaded.",
        unset="those in ASBENCH_WEIGHTS",
        hash=False,
    )
    workers: int | Engine | None = parameter(
        None, "Processes that render.", unset="one per core", flags=()
    )
    notify: Notify = parameter(silent, "Called with sentences worth reading.", flags=())
    stop: Callable[[], bool] | None = parameter(
        None, "Asked between two trainings: where it returns True, the advice ends.", flags=()
    )

"""The settings of fitting a method, and of rendering synthetic sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.parameters import parameter
from asbench.progress import Notify, silent
from asbench.settings.every_stage import (
    FITS,
    MOST_SAMPLES,
    MOST_SEED,
    MOST_SIDE,
    TEXTURES,
    VISIBLE,
    WHERE,
    Settings,
    Where,
)

if TYPE_CHECKING:
    from asbench.grid.engines import Engine
else:  # the command line reads settings for its help, and is to answer at once
    Engine = Any


@dataclass(frozen=True)
class PhotographSettings(Settings):
    """What is said of photographs, and of the store that is made of them."""

    _: KW_ONLY
    category: str | Sequence[str] | None = parameter(None, "A category.", unset="all")
    size: int | str | tuple[int, int] | None = parameter(
        None,
        "Image size of a new store in pixels: a side, or WIDTHxHEIGHT as in 512x384; from Python "
        "also (height, width).",
        unset="256",
        least=8,
        most=MOST_SIDE,
    )
    resize: Literal["stretch", "pad", "tile"] | None = parameter(
        None,
        "How a new store fits images to its size. tile: it holds windows of the photographs at "
        "--scale, and whole photographs are scored.",
        unset="stretch",
    )
    scale: float | None = parameter(
        None, "With tile: the part of their size that photographs are cut at.", unset="1"
    )
    overlap: int | None = parameter(
        None,
        "With tile: pixels that neighbouring tiles share.",
        unset="an eighth of a side",
        least=0,
    )
    empty_tiles: float | None = parameter(
        None,
        "With tile: the share kept of the tiles without the object, on which no anomaly is drawn. "
        "All tiles of a photograph are scored, so a detector must have seen some.",
        unset="1, or as the store has it",
    )
    object: str | None = parameter(
        None,
        "Where the object is on normals: auto (it differs from its ground), dark or bright (so it "
        "does), whole (the whole image), or a folder of masks, white on black, of the same names.",
        unset="auto, or as the store has it",
    )


@dataclass(frozen=True)
class MethodSettings(PhotographSettings):
    """What fitting and generating are told of a method and of the store that they may make."""

    _: KW_ONLY
    settings: Mapping[str, Any] | None = parameter(
        None,
        "Parameters of the method that differ from its own, by name; they need a variant.",
        flags=("--set",),
        hash=False,
    )
    variant: str | None = parameter(
        None,
        "Name of the parameters that differ: `three` of nsa is nsa@three; `three` of "
        "realnet@tiny-scratch, from whose parameters it starts, is realnet@tiny-scratch-three.",
    )
    fits: Path | str = parameter(FITS, "Folder of fitted weights.")
    weights: Mapping[str, Path] | None = parameter(
        None,
        "Files of the pretrained networks that a learned method starts from, by name; nothing is "
        "downloaded.",
        unset="those in ASBENCH_WEIGHTS",
        hash=False,
    )


@dataclass(frozen=True)
class GenerateSettings(MethodSettings):
    """The settings of one rendering of synthetic sets."""

    method: str | Sequence[str] = parameter(
        "fractal",
        "A method with its variant, if any, or `real`: the few-shot defects themselves, as many as "
        "there are, at seed 0.",
    )
    _: KW_ONLY
    n: int = parameter(
        1000,
        "Samples per category; more of them later continue the same set.",
        least=1,
        most=MOST_SAMPLES,
        flags=("-n", "--n"),
    )
    seed: int = parameter(0, "Seed of the synthetic set.", least=0, most=MOST_SEED)
    textures: str = parameter(
        TEXTURES,
        "Textures that draem and others blend in: procedural (drawn), dtd, or a folder of images.",
    )
    visible: float = parameter(
        VISIBLE,
        "A sample is drawn again unless it changes its mask by so many standard deviations of the "
        "normals' noise (taken as 2 grey levels at least), all but a fifth of it; 0: any change "
        "counts, as published.",
    )
    where: Where = parameter(
        WHERE,
        "object: where one was found, what a method draws beside it is taken back, and drawn again "
        "where less than a quarter is left (of methods that make their own background, beside "
        "where it usually is); as-published: many methods draw anywhere.",
    )
    replace: bool = parameter(False, "Render anew what stands under the same key.")
    fit_seed: int = parameter(0, "Seed of the fit that is rendered from.", least=0, most=MOST_SEED)
    workers: int | Engine | None = parameter(
        None,
        "Processes, or an engine of `asbench.grid.engines`.",
        unset="one per core; one where a learned method renders on a GPU",
        flags=(),
    )


@dataclass(frozen=True)
class FitSettings(MethodSettings):
    """The settings of one fit of a learned method."""

    method: str = parameter("realnet@tiny-scratch", "A learned method with its variant.")
    _: KW_ONLY
    seed: int = parameter(0, "Seed of the fit.", least=0, most=MOST_SEED)
    replace: bool = parameter(False, "Fit anew what stands at the same place.")
    notify: Notify = parameter(silent, "Called with sentences worth reading.", flags=())
    stop: Callable[[], bool] | None = parameter(
        None, "Asked at every step: where it returns True, the fit saves and ends.", flags=()
    )

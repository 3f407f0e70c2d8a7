"""Every setting of fitting, generating, training and measuring, said once.

A setting is a field with a default and a sentence. The signatures of `asbench.train` and its like,
the options of the commands, the keys of a study file, what decides a run's id and the reference
pages all come from here: a new one is a field, and the code that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.parameters import parameter, parameters, refuse_impossible
from asbench.progress import Notify, Progress, Watch, quiet, silent, unwatched

if TYPE_CHECKING:
    from asbench.grid.engines import Engine
    from synth_store import Mix
else:  # the command line reads settings for its help, and is to answer at once
    Engine = Mix = Any

BEST_ON_TEST = "best-on-test"
STORE, RUNS, FITS, QUALITY = "asbench-store", "runs", "fits", "quality"
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


@dataclass(frozen=True)
class TrainSettings(Settings):
    """The settings of one training and of the run that is recorded of it."""

    mix: Mix | str | None = parameter(
        None,
        "Stored methods and their shares: draem:0.5,fractal:0.5.",
        unset="none at ratio 0",
        decides=True,
        study="axis",
        plural="mixes",
    )
    _: KW_ONLY
    ratio: float | None = parameter(
        None,
        "Share of anomalous items.",
        unset="the detector's own",
        decides=True,
        study="axis",
        plural="ratios",
        none="published",
    )
    detector: str = parameter(
        "memory",
        "On frozen features: memory, supersimplenet@lite0. As published: draem, destseg, memseg, "
        "supersimplenet, unet. On normals alone: patchcore. Reduced: draem@tiny, unet@tiny.",
        decides=True,
    )
    category: str | None = parameter(
        None, "A category.", unset="the first of the data set", decides=True
    )
    steps: int | None = parameter(
        None,
        "Optimiser steps, whatever the ratio.",
        unset="the protocol's",
        least=1,
        decides=True,
        study="detectors",
    )
    batch: int | None = parameter(
        None,
        "Items of a step.",
        unset="the protocol's",
        least=1,
        most=MOST_ITEMS,
        decides=True,
        study="detectors",
    )
    precision: Literal["fp32", "bf16"] = parameter(
        "fp32", "bf16: mixed precision.", decides=True, study="detectors"
    )
    seed: int = parameter(
        0, "Training seed.", least=0, most=MOST_SEED, decides=True, study="axis", plural="seeds"
    )
    synth_seed: int = parameter(
        0,
        "Seed of the stored sets.",
        least=0,
        most=MOST_SEED,
        decides=True,
        study="axis",
        plural="synth_seeds",
    )
    pool: int | None = parameter(
        None,
        "Samples read of every set.",
        unset="all",
        least=1,
        decides=True,
        study="axis",
        plural="pools",
        none="all",
    )
    ratio_mode: Literal["exact", "bernoulli"] = parameter(
        "exact",
        "bernoulli: every item drawn independently, as in published code; exact: every count as "
        "near to its share as whole items allow.",
        decides=True,
        study="protocol",
    )
    select: Literal["last", "best-on-test"] = parameter(
        "last",
        "The checkpoint that counts. best-on-test: the one that scored best on the test images, an "
        "upper bound, marked wherever it appears; writes both runs.",
        decides=True,
        study="protocol",
    )
    select_every: int | None = parameter(
        None,
        "Steps between looks at the test set.",
        unset="the published number",
        least=1,
        decides=True,
    )
    kept_out: float = parameter(
        0.1,
        "Share of the normals that training and every memory never see, for the threshold; at "
        "least 20, at most a third. 0 trains on all.",
        decides=True,
        study="protocol",
    )
    threshold: str | float | None = parameter(
        None,
        "best-f1: the score that best parts kept-out normals from kept-out synthetic anomalies; or "
        "the score itself, from which an image counts as anomalous.",
        unset="by --false-alarms",
    )
    false_alarms: float | None = parameter(
        None,
        "Share of good images that the threshold may flag, measured on kept-out normals.",
        unset="0.01",
    )
    steps_mode: Literal["same", "per-component"] = parameter(
        "same",
        "per-component: the steps times the number of methods in the mix, as in published "
        "epoch-based trainings on concatenated data sets.",
        study="protocol",
    )
    settings: Mapping[str, Any] | None = parameter(
        None,
        "Parameters of the detector that differ from its variant's, by name.",
        flags=("--set",),
        hash=False,
        study="detectors",
    )
    weights: Mapping[str, Path] | None = parameter(
        None,
        "Files of pretrained networks by name, as resnet18=FILE; nothing is downloaded.",
        unset="those in ASBENCH_WEIGHTS",
        hash=False,
    )
    runs: Path | str = parameter(RUNS, "Folder of the runs.")
    untrained: bool = parameter(False, "Score the detector before its first step too.")
    parity: bool = parameter(
        False,
        "Record the scores of the detector's published code beside the exact ones.",
        study="protocol",
    )
    notify: Notify = parameter(silent, "Called with sentences worth reading.", flags=())
    watch: Watch = parameter(
        unwatched, "Called now and then with the steps done and the last loss.", flags=()
    )
    stop: Callable[[], bool] | None = parameter(
        None, "Asked at every step: where it returns True, the training saves and ends.", flags=()
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.mix, str):
            from synth_store import Mix

            object.__setattr__(self, "mix", Mix.parse(self.mix))

    @property
    def mixture(self) -> Mix:
        """The mix, read; empty where there is none."""
        from synth_store import Mix

        assert not isinstance(self.mix, str)
        return self.mix or Mix()

    def decides(self) -> dict[str, Any]:
        """Return, as JSON has them, the settings that decide the outcome.

        `select_every` only where it is looked at, `kept_out` only where it keeps any: runs that
        trained on all normals have the ids that they had before it.
        """
        said = {one.name: getattr(self, one.name) for one in parameters(type(self)) if one.decides}
        if self.select != BEST_ON_TEST:
            del said["select_every"]
        if not self.kept_out:
            del said["kept_out"]
        return said | {"mix": {method: float(share) for method, share in self.mixture.shares}}


@dataclass(frozen=True)
class MethodSettings(Settings):
    """What fitting and generating are told of a method and of the store that they may make."""

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
        "where less than a quarter is left; as-published: many methods draw anywhere.",
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


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """The settings of one measurement of a stored set's image quality."""

    method: str = parameter("draem", "A stored method, or `real`, the few-shot defects.")
    _: KW_ONLY
    category: str | None = parameter(None, "A category.", unset="the first of the data set")
    n: int = parameter(
        SAMPLES,
        "Samples measured of a set, the first ones. Scores of different n do not compare.",
        least=2,
        most=MOST_SAMPLES,
        flags=("-n", "--n"),
        study="quality",
        plural="samples",
    )
    seed: int = parameter(0, "Seed of the synthetic set.", least=0, most=MOST_SEED)
    metrics: Sequence[str] | None = parameter(
        None,
        "A metric of `asbench.quality.metrics.METRICS`.",
        unset="all whose weights are here",
        flags=("--metric",),
        study="quality",
        plural="metrics",
    )
    real: Literal["held_out", "full"] = parameter(
        "held_out",
        "Real defects held against. full: the few-shot third too, as in the paper.",
        study="quality",
        plural="real",
    )
    weights: Mapping[str, Path] | None = parameter(
        None,
        "Files of the networks behind metrics, by name: inception, alexnet, vgg16, resnet18.",
        unset="those in ASBENCH_WEIGHTS",
        hash=False,
    )
    out: Path | str = parameter(QUALITY, "Folder of what was measured.", flags=("--quality",))
    notify: Notify = parameter(silent, "Called with sentences worth reading.", flags=())

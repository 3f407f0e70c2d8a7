"""The settings of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.parameters import parameter, parameters
from asbench.progress import Notify, Watch, silent, unwatched
from asbench.settings.every_stage import BEST_ON_TEST, LOGS, MOST_ITEMS, MOST_SEED, RUNS, Settings

if TYPE_CHECKING:
    from synth_store import Mix
else:  # the command line reads settings for its help, and is to answer at once
    Mix = Any


@dataclass(frozen=True)
class TrainSettings(Settings):
    """The settings of one training and of the run that is recorded of it."""

    mix: Mix | str | None = parameter(
        None,
        "Stored methods and their shares: draem:0.5,fractal:0.5; or advised, what `asbench advise` "
        "last proposed for the category.",
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
    joint: bool = parameter(
        False,
        "One detector for all the categories named, which it need not be told; all of the data "
        "set if none is named. Ratio and mix hold in each.",
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
    precision: Literal["fp32", "bf16"] | None = parameter(
        None,
        "bf16: mixed precision.",
        unset="bf16 on CUDA, fp32 elsewhere and in studies",
        decides=True,
        study="detectors",
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
    exclude: Path | str | None = parameter(
        None,
        "A file of stored samples that are left out, as `asbench browse` saves those that are "
        "marked; what it leaves out of this training decides its id.",
        unset="none",
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
    chosen_on_few_shot: bool = parameter(
        False,
        "The mix was chosen with the few-shot defects in sight, as `asbench advise --defects` may: "
        "the run counts as having seen them, and its held-out scores are those that tables take.",
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
    log: Sequence[Any] | None = parameter(
        None,
        "Trackers that are told of the training: tensorboard, mlflow, wandb, or one of a package "
        "of your own.",
        unset="none",
        hash=False,
    )
    logs: Path | str = parameter(
        LOGS, "Folder of what trackers write that are not told of a server."
    )
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
    compile: bool = parameter(
        False,
        "Compile the training step with torch.compile, which takes a minute or more and then pays "
        "by the step; its first loss is held against that of the step as written.",
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

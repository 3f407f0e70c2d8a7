"""anomalib's models trained from a store by anomalib's own engine, scored and recorded as ours are.

    from anomalib.models import Draem
    from asbench.adapters.anomalib import plan_model, train

    def build():
        return Draem(dtd_dir=".", pre_processor=False, evaluator=False, visualizer=False)

    plan = plan_model("anomalib_draem", "demo", "fractal", ratio=0.5, steps=2000, batch=8)
    run = train(plan, build, generator="augmenter")

What the model trains on is the stream that every detector of ours gets: the same items in the same
order at the same ratio and mixture, from the same seeds. Needs `pip install 'asbench[anomalib]'`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from asbench import results
from asbench.evaluation.trained import Trained
from asbench.files.sums import check
from asbench.nets.detector import Detector, Protocol, Stage
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.nets.weights import load_weights
from asbench.progress import Progress, quiet
from asbench.settings import TrainSettings
from asbench.training.loop import LossCurve
from asbench.training.plan import Learner, Plan, plan_run
from asbench.training.sampler import Sampler, open_sampler
from asbench.training.train import record
from synth_store.types import UserError

try:
    from anomalib.callbacks import ModelCheckpoint
    from anomalib.data import ImageBatch
    from anomalib.engine import Engine
    from lightning.pytorch import Callback, LightningDataModule
except ImportError as error:
    raise UserError(
        f"asbench.adapters.anomalib needs anomalib: pip install 'asbench[anomalib]' ({error})."
    ) from error

ADAPTER = "asbench.adapters.anomalib"
Triple = tuple[Tensor, Tensor, Tensor]
"""image, clean float32 (B, 3, H, W) in [0, 1] and mask float32 (B, 1, H, W) in {0, 1}."""


def plan_model(
    detector: str,
    dataset: str = "demo",
    mix: str | None = None,
    *,
    ratio: float,
    steps: int,
    batch: int,
    settings: Mapping[str, Any] | None = None,
    stride: int = 32,
    **where: Any,
) -> Plan:
    """Settle the training of a model of anomalib, as `asbench.train` does for ours.

    detector: its name in tables, which is not one of ours, such as `anomalib_draem`; settings: all
    that makes this model another than its default, for they are part of the run's id; stride: both
    image sides must be multiples of it; where: `category`, `seed`, `synth_seed`, `pool`, `store`,
    `runs`, `device`, `name`, `kept_out`, `threshold`, `false_alarms` as for `asbench.train`. Raises
    UserError for what the caller can mend.
    """
    protocol = Protocol(batch=batch, ratio=ratio, steps=steps)
    learner = Learner(detector, protocol, stride, dict(settings or {}))
    return plan_run(TrainSettings(dataset, mix, **where), learner)


class StoredAnomalies(nn.Module):
    """Stands where a model has its generator of anomalies: gives what the store has for the batch.

    Maps the clean images of a batch to (images with anomalies (B, 3, H, W), masks (B, 1, H, W)).
    """

    def __init__(self) -> None:
        super().__init__()
        self._at_hand: Triple | None = None

    def take(self, triple: Triple) -> None:
        """Keep the batch that the model is about to see."""
        self._at_hand = triple

    def forward(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the anomalous images and the masks that belong to `clean`, once."""
        if self._at_hand is None or not torch.equal(self._at_hand[1], clean):
            raise RuntimeError(
                "these are not the images that the store gave: build the model with "
                "pre_processor=False, and let it ask once for every batch"
            )
        image, _, mask = self._at_hand
        self._at_hand = None
        return image, mask


class StoreData(LightningDataModule):  # type: ignore[misc]
    """A planned training's stream for Lightning: anomalib's `ImageBatch`es from the store.

    An epoch is `ceil(normals / batch)` steps and goes on where the last one ended. `image` is the
    item's image, anomalous or not, with `gt_mask` bool (B, H, W) and `gt_label` bool (B,): what a
    model reads that learns from labelled images. With a `generator`, for models that corrupt normal
    images themselves, `image` is the clean one, and the generator hands out the anomalous one.
    """

    def __init__(self, plan: Plan, generator: StoredAnomalies | None = None) -> None:
        super().__init__()
        self.plan, self.generator = plan, generator
        self._open = ExitStack()

    @property
    def name(self) -> str:
        """The data set's name: of anomalib's folders."""
        return str(self.plan.decides["dataset"])

    @property
    def category(self) -> str:
        """The category: of anomalib's folders."""
        return str(self.plan.decides["category"])

    def train_dataloader(self) -> DataLoader[Triple]:
        """Return the stream, whole batches of `Triple`s on the CPU."""
        plan, batch = self.plan, self.plan.decides["batch"]
        sampler = self._open.enter_context(
            open_sampler(
                plan.drawn_from,
                plan.schedule,
                batch,
                torch.device("cpu"),
                plan.indices,
            )
        )
        walk = _Walk(-(-len(plan.trained) // batch))
        return DataLoader(_Steps(sampler), batch_size=None, sampler=walk)

    def on_after_batch_transfer(self, batch: Triple, dataloader_idx: int) -> ImageBatch:
        """Turn a batch on the model's device into anomalib's own kind."""
        image, clean, mask = batch
        if self.generator is not None:
            self.generator.take(batch)
        return ImageBatch(
            image=image if self.generator is None else clean,
            gt_mask=mask[:, 0] > 0,
            gt_label=mask.flatten(1).amax(dim=1) > 0,
        )

    def teardown(self, stage: str | None = None) -> None:
        """End what reads the store."""
        self._open.close()


class _Steps(Dataset[Triple]):
    """Batches by the number of their step."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def __getitem__(self, step: int) -> Triple:
        batch = self.sampler.batch_at(step)
        return batch.image, batch.clean, batch.mask


class _Walk(torch.utils.data.Sampler[int]):
    """The steps of an epoch. Lightning says before each which one it is."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch = length, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.length
        return iter(range(first, first + self.length))


class AnomalibDetector(Detector):
    """A model of anomalib in the place of a detector of ours, to be scored and exported.

    Its pre-processor runs, its post-processor does not: scores are as the model gives them, not
    normalised by a validation set. It is trained by anomalib's engine, so it has no stages.
    """

    stride = 1

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.model: nn.Module = module.model
        before = module.pre_processor
        self.transform = None if before is None else before.export_transform

    def maps_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the model's maps, brought to the images' size, and its scores."""
        found = self.model(images if self.transform is None else self.transform(images))
        maps = found.anomaly_map.float()
        maps = maps[:, None] if maps.ndim == 3 else maps
        if maps.shape[-2:] != images.shape[-2:]:
            maps = F.interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)
        return maps[:, 0], found.pred_score.float().flatten()

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps alone."""
        return self.maps_and_scores(images)[0]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Raise: a model of anomalib scores images, not maps."""
        raise NotImplementedError("ask for maps_and_scores")

    def stages(self, steps: int) -> tuple[Stage, ...]:
        """Return none: anomalib's engine trains it."""
        return ()


def train(
    plan: Plan,
    build: Callable[[], Any],
    *,
    generator: str | None = None,
    progress: Progress = quiet,
    **engine: Any,
) -> Trained:
    """Train a model of anomalib from a store, score it as ours are, and record the run.

    Args:
        plan: of `plan_model`.
        build: returns a new AnomalibModule; called when the seed is set.
        generator: the attribute in which the model keeps its own generator of anomalies
            (`augmenter` of DRAEM), which the store's then replaces; None for a model that learns
            from labelled images, or at ratio 0 from normals.
        engine: further arguments of anomalib's `Engine`, hence of Lightning's `Trainer`.

    Returns the run, which stands in `<runs>/<id>`; one that stands already is returned with `build`
    filled from its weights. An interrupted training begins anew: the engine's checkpoints are not
    kept. Raises UserError where the loss is not finite or a model has no such generator.
    """
    where, decides = plan.device, plan.decides
    if results.finished(plan.runs, decides) is not None:
        return load(plan.folder, build, str(where))
    losses = LossCurve((), decides["steps"], at_once=20)
    what = f"{decides['detector']} on {decides['dataset']}/{decides['category']}"
    start = perf_counter()
    with private_rng(where), tempfile.TemporaryDirectory() as scratch:
        seed_rng(address_seed("anomalib", decides["seed"]), where)
        module = build()
        fitted = Engine(
            max_steps=decides["steps"],
            max_epochs=-1,
            accelerator="gpu" if where.type == "cuda" else where.type,
            devices=[where.index or 0] if where.type == "cuda" else 1,
            default_root_dir=scratch,
            # Without one of its own the engine adds a checkpoint that writes to the disk.
            callbacks=[_Following(losses, what, progress), ModelCheckpoint(save_top_k=0)],
            enable_model_summary=False,
            enable_progress_bar=False,
            **engine,
        )
        fitted.fit(module, datamodule=StoreData(plan, _replaced(module, generator)))
    losses.read()
    detector = AnomalibDetector(module).to(where).eval()
    record(
        plan,
        detector,
        losses=tuple(losses.points),
        seconds=perf_counter() - start,
        environment={"adapter": ADAPTER, "anomalib": version("anomalib"), "pretrained": None},
        progress=lambda done, total: progress(f"scoring {what}", done, total),
    )
    return Trained(plan.folder, str(where), detector)


def load(folder: Path | str, build: Callable[[], Any], device: str | None = None) -> Trained:
    """Return a run of `train` for use; `build` as there. Raises UserError if the weights misfit."""
    detector = AnomalibDetector(build())
    trained, weights = Trained(folder, device, detector), Path(folder) / "model.safetensors"
    check(weights, f"delete the folder {folder} and train again", of=f"run {trained.id}")
    load_weights(detector, weights)
    return trained


def _replaced(module: Any, generator: str | None) -> StoredAnomalies | None:
    """Put the store in the place of a model's generator; None where none is named."""
    if generator is None:
        return None
    if not hasattr(module, generator):
        raise UserError(
            f"{type(module).__name__} has no generator {generator!r}: name the attribute that its "
            "training_step calls for anomalies, or leave generator out."
        )
    stored = StoredAnomalies()
    setattr(module, generator, stored)
    return stored


class _Following(Callback):  # type: ignore[misc]
    """Takes note of every loss."""

    def __init__(self, losses: LossCurve, what: str, progress: Progress) -> None:
        self.losses, self.what, self.progress = losses, what, progress

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        step = trainer.global_step - 1
        if self.losses.add(step, loss.detach()):
            self.progress(self.what, step + 1, trainer.max_steps)

"""A category's test images, and what a detector says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asbench import results
from asbench.evaluation.maps import Lazy, Map, SpilledMaps, packed_masks
from asbench.evaluation.parity import Grey
from asbench.evaluation.photographs import predict_tiles
from asbench.evaluation.predict import predict, predict_features
from asbench.evaluation.score import TestScores
from asbench.files.images import FileError, read_grey
from asbench.files.saturated import SaturatedDataset
from asbench.files.saturation import Region
from asbench.imaging.geometry import fit_mask, resize
from asbench.imaging.tiles import around, pointed_at, scale_image, scale_mask, window
from asbench.nets.detector import Detector
from asbench.nets.features import FeatureDetector, Features
from asbench.progress import Progress, quiet
from asbench.types import Dataset, Item
from synth_store.types import Geometry, Image, Mask, UserError

GALLERY_DEFECTS, GALLERY_NORMALS = 9, 3
SOME_DEFECTS = (
    "put photographs of defects into a folder of their own beside the good ones, such as scratch/ "
    "beside good/"
)
KEPT = 1 << 29
"""Bytes of a test set that are kept once decoded: 2,730 images of 256x256. The others are read
again whenever they are needed."""


@dataclass(frozen=True)
class TestSet:
    """Test images of one category, brought to a store's geometry as they are needed."""

    __test__ = False  # not a test, whatever pytest makes of its name

    data: Dataset
    items: Sequence[Item]
    geometry: Geometry

    def refuse_without_anomalies(self) -> None:
        """Raise UserError if there is nothing that a detector could find."""
        if not any(item.label for item in self.items):
            raise UserError(
                f"{self.data.name} has no anomalous test images here, so nothing could be scored: "
                f"{SOME_DEFECTS}, and see what is recognised with `asbench data check PATH`."
            )

    def without_value(self) -> str:
        """Say which metrics will have no value on these images, and why; empty for none."""
        if not any(item.label for item in self.items):
            return (
                f"{self.data.name} has no anomalous test images here: it is trained and given a "
                f"threshold, and no score will say how good it is. For scores {SOME_DEFECTS}."
            )
        if all(item.label for item in self.items):
            return (
                f"{self.data.name} has no good test images here: image AUROC and AP will have no "
                "value. Put some into test/good."
            )
        if not any(mask is not None and mask.any() for mask in self.masks):
            return (
                f"{self.data.name} has no masks here: pixel AUROC, pixel AP and PRO will have no "
                "value."
            )
        return ""

    def refuse_without_masks(self, metrics: Sequence[str]) -> None:
        """Raise UserError if `metrics`, by which a checkpoint is to be chosen, have no value."""
        marked = any(mask is not None and mask.any() for mask in self.masks)
        if not (marked or all(metric.startswith("image_") for metric in metrics)):
            raise UserError(
                f"{self.data.name} has no masks here, and best-on-test adds up "
                f"{', '.join(metrics)}, of which some need them: use `--select last`."
            )

    def digest(self) -> str:
        """Return a digest of what is scored: names, labels and the bytes of the files.

        Drawn images have no files: their names stand for them, and the release that draws them.
        """
        whole = hashlib.sha256()
        for item in self.items:
            whole.update(f"{item.id}\x1f{item.label}\x1f{item.defect}\x1f{item.few_shot}".encode())
            paths = (self.data.image_path(item), *(self.data.mask_paths(item) or (None,)))
            annotated = self.data.mask_bytes(item) or version("asbench").encode()
            for path in paths:
                content = annotated if path is None else path.read_bytes()
                whole.update(hashlib.sha256(content).digest())
        return whole.hexdigest()

    def refuse_unusable(self, progress: Progress = quiet) -> None:
        """Read every image and mask file; raises UserError for the first that cannot be used.

        Done before a training, because a file that cannot be scored would waste all of it.
        """
        _ = self.masks
        files = [item for item in self.items if self.data.image_path(item) is not None]
        read = self.data.image if self.geometry.tiled else self.image
        for done, item in enumerate(files, 1):
            read(item)
            progress(f"checking test images of {self.data.name}", done, len(files))

    def image(self, item: Item) -> Image:
        """Return an item's image at the geometry: uint8 (H, W, 3). Of tiles, see `window`.

        It is decoded once, where it is among the first `KEPT` bytes.
        """
        image = self._kept.get(item.id)
        if image is None:
            image = resize(self.data.image(item), self.geometry)
            if (len(self._kept) + 1) * image.nbytes <= KEPT:
                self._kept[item.id] = image
        return image

    @cached_property
    def _kept(self) -> dict[str, Image]:
        return {}

    def window(self, item: Item) -> tuple[Image, Mask]:
        """Return an item's image and mask at the geometry, all False where there is no mask.

        Of a photograph scored by tiles: the window around its largest defect, or in its middle.
        """
        image, mask = self.data.image(item), self.data.mask(item)
        mask = np.zeros(image.shape[:2], np.bool_) if mask is None else mask
        if self.geometry.tiled:
            return around(image, mask, self.geometry)
        return resize(image, self.geometry), fit_mask(mask, self.geometry)

    @cached_property
    def masks(self) -> Sequence[Mask | None]:
        """One mask per item, bool (H, W); None where none is on record.

        Of photographs scored by tiles at their native size.
        """
        masks = (self.data.mask(item) for item in self.items)
        if self.geometry.tiled:
            return packed_masks(masks)
        return [None if mask is None else fit_mask(mask, self.geometry) for mask in masks]

    @cached_property
    def regions(self) -> Sequence[Sequence[Region]] | None:
        """The regions of each image that sPRO is of; None where the data set has none.

        At the geometry, like masks; pixels to be found shrink or grow with their region.
        Raises FileError for a mask whose level no kind of defect has.
        """
        data = self.data
        if not isinstance(data, SaturatedDataset) or not self.items:
            return None
        if not data.saturations(self.items[0].category):
            return None
        return [
            [part for one in data.regions(item) if (part := self._fitted(one)).mask.any()]
            if item.label
            else []
            for item in self.items
        ]

    def _fitted(self, region: Region) -> Region:
        if self.geometry.tiled:
            return region
        mask = fit_mask(region.mask, self.geometry)
        share = mask.sum() / max(1, region.mask.sum())
        return Region(mask, max(1, round(region.pixels * float(share))))

    def greys(self) -> Iterator[Grey | None]:
        """Yield every item's mask at its native size, soft edges and all; None where there is none.

        uint8 (h, w), 255 = anomalous. Where the data set does not cut its mask files above level
        127, nobody knows what their levels mean: then it is the cut mask.
        """
        for item in self.items:
            mask, path = self.data.mask(item), self.data.mask_path(item)
            grey = None if path is None else read_grey(path)
            marked = np.False_ if mask is None else mask
            same = grey is not None and (mask is None or grey.shape == mask.shape)
            if grey is not None and same and ((grey > 127) == marked).all():
                yield grey
            else:
                yield None if mask is None else mask.astype(np.uint8) * 255

    def scores(
        self,
        model: Detector,
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
        known: Features | None = None,
    ) -> TestScores:
        """Return what a detector on `device` says of every image, beside the truth.

        known: the features of all images, for a detector that judges those; no image is read then.
        """

        def counted(done: int) -> Item:
            if progress is not None:
                progress(done, len(self.items))
            return self.items[done]

        items = Lazy(len(self.items), counted)
        unknown, regions = "", None
        try:
            regions = self.regions
        except FileError as error:  # pixels are scored all the same, and `data check` names it
            unknown = str(error)
        maps: Sequence[Map] | npt.NDArray[np.float32]
        if not self.items:  # photographs of good parts alone, which all train
            maps, scores = [], np.empty(0, np.float32)
        elif self.geometry.tiled:
            maps, scores = self._photographs(model, device, items)
        elif known is not None and isinstance(model, FeatureDetector):
            maps, scores = predict_features(model, known, device)
        else:
            maps, scores = predict(model, Lazy(len(items), lambda i: self.image(items[i])), device)
        if progress is not None:
            progress(len(self.items), len(self.items))
        return TestScores(
            ids=[i.id for i in self.items],
            labels=[i.label for i in self.items],
            defects=[i.defect for i in self.items],
            few_shot=[i.few_shot for i in self.items],
            scores=scores,
            maps=maps,
            masks=self.masks,
            regions=regions,
            unknown=unknown,
        )

    def gallery(self, scores: TestScores) -> results.Gallery:
        """Return some defects and normals, chosen by a hash of their names; none of no images."""
        order = order_by_hash([item.id for item in self.items])
        chosen = [i for i in order if self.items[i].label][:GALLERY_DEFECTS]
        chosen += [i for i in order if not self.items[i].label][:GALLERY_NORMALS]
        shape = (self.geometry.height, self.geometry.width)
        if not chosen:
            nothing = np.zeros((0, *shape))
            images = np.zeros((0, *shape, 3), np.uint8)
            return results.Gallery((), images, nothing.astype(np.bool_), nothing.astype(np.float16))
        if self.geometry.tiled:
            return self._tiled_gallery(scores, chosen)
        masks = [scores.masks[i] for i in chosen]
        return results.Gallery(
            ids=tuple(self.items[i].id for i in chosen),
            images=np.stack([self.image(self.items[i]) for i in chosen]),
            masks=np.stack([np.zeros(shape, np.bool_) if m is None else m for m in masks]),
            maps=np.stack([scores.maps[i] for i in chosen]).astype(np.float16),
        )

    def _photographs(
        self, model: Detector, device: torch.device, items: Iterable[Item]
    ) -> tuple[Sequence[Map], npt.NDArray[np.float32]]:
        """Return the maps of whole photographs at their native sizes, and their scores."""
        spilled, scores = SpilledMaps(), []
        for item in items:
            image = self.data.image(item)
            blended, score = predict_tiles(model, image, self.geometry, device)
            spilled.add(blended, image.shape[0], image.shape[1])
            scores.append(score)
        return spilled.maps(), np.array(scores, np.float32)

    def _tiled_gallery(self, scores: TestScores, chosen: Sequence[int]) -> results.Gallery:
        """Return of each photograph the window around its largest defect, or where it is worst.

        The window of a normal, or of a defect without a mask, has the highest value in its middle.
        """
        windows = []
        for i in chosen:
            native, mask = scores.maps[i], scores.masks[i]
            marked = np.zeros(native.shape, np.bool_) if mask is None else mask
            shown = marked if marked.any() else native == native.max()
            place = pointed_at(scale_mask(shown, self.geometry), self.geometry)
            image = self.data.image(self.items[i])
            windows.append(
                (
                    window(scale_image(image, self.geometry), place, self.geometry),
                    window(scale_mask(marked, self.geometry), place, self.geometry),
                    window(scale_image(native, self.geometry), place, self.geometry),
                )
            )
        images, masks, maps = (np.stack(some) for some in zip(*windows, strict=True))
        ids = tuple(self.items[i].id for i in chosen)
        return results.Gallery(ids, images, masks, maps.astype(np.float16))


def order_by_hash(ids: Sequence[str]) -> list[int]:
    """Return the places of names in the order of their SHA-256: a choice that nobody made."""
    return sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i].encode()).digest())


def only_metrics(evaluated: Mapping[str, Any]) -> results.Scores:
    """Return the metrics of an evaluation, without its counts and reasons."""
    return {s: {m: float(evaluated[s][m]) for m in results.METRICS} for s in results.SUBSETS}

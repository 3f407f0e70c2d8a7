"""A few real defects that may choose too: which photographs they are, and what heads say of them.

What scores must not choose. Photographs that are among the data set's own test images are told by
their pixels: those of its few-shot third, which no held-out score is of, may be looked at, and all
others are left out. Copies that were cropped, resized or saved with losses are not told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch

from asbench.advising.evidence import Floats
from asbench.advising.trial import Bench, Shown, judged, single
from asbench.advising.with_defects import DefectScores
from asbench.data.defect_sizes import Sizes, breadths
from asbench.detectors.memory import MARKED
from asbench.evaluation.metrics import pixel_metrics
from asbench.files.images import read_image
from asbench.files.layout import NORMAL_FOLDERS
from asbench.files.mask_places import MASK_FOLDERS, Masks, marked_stem
from asbench.files.masks import any_marked
from asbench.files.names import shown
from asbench.files.walk import walk
from asbench.imaging.geometry import fit_mask, resize
from asbench.imaging.tiles import around
from asbench.nets.features import TOGETHER, FeatureDetector, Features, cell_share
from asbench.progress import Progress
from asbench.training.feature_store import looked_at
from asbench.types import Dataset, Item
from synth_store import Geometry, UserError
from synth_store.types import Image, Mask

FEWEST = 3
"""Defects that are too few to choose by."""


@dataclass(frozen=True, eq=False)
class RealDefects:
    """Photographs of defects, at a store's geometry.

    few_shot: the ids of those that are of the data set's few-shot third; scored: how many more are
    images that its runs are scored on, and were left out; sizes: breadths of the marked defects.
    """

    images: Sequence[Image] = field(repr=False)
    masks: Sequence[Mask | None] = field(repr=False)
    few_shot: tuple[str, ...]
    scored: int
    sizes: Sizes

    def __len__(self) -> int:
        return len(self.images)

    @property
    def masked(self) -> npt.NDArray[np.bool_]:
        """Which of them have a mask: bool (D,)."""
        return np.array([mask is not None for mask in self.masks])

    def said(self, place: str) -> list[str]:
        """Say which they are; place: the data set and category."""
        lines = [
            f"{place}: {len(self)} defects choose too, {self.masked.sum()} of them with a mask"
        ]
        if self.few_shot:
            lines.append(
                f"{place}: {len(self.few_shot)} of them are of its own few-shot third: a run on "
                "this mixture counts as having seen them, and its held-out scores leave them out"
            )
        if self.scored:
            lines.append(
                f"{place}: {self.scored} more in that folder are what runs are scored on, and were "
                "not looked at"
            )
        return lines


def read_defects(
    folder: Path, data: Dataset, category: str, geometry: Geometry, progress: Progress
) -> RealDefects:
    """Read the photographs below a folder, but for good ones and masks, and leave out what scores.

    Masks are found as in a data set's folder: `STEM_mask.png` beside, or in `ground_truth`. Raises
    UserError for a folder without defects that may be looked at, fewer than `FEWEST`, and tiles
    where one has no mask; FileError for a file that cannot be read.
    """
    own = _own(data, category, progress)
    images, masks, few_shot, scored = [], [], [], 0
    wide: list[tuple[float, tuple[int, int]]] = []
    known: set[bytes] = set()
    for path, parts in _photographs(folder):
        image = read_image(path)
        digest = _digest(image)
        if digest in known:
            continue
        known.add(digest)
        marked = [one for part in parts if (one := any_marked(part)) is not None]
        mask = np.logical_or.reduce(marked) if marked else None
        if digest in own:
            item = own[digest]
            if not item.few_shot:
                scored += 1
                continue
            few_shot.append(item.id)
            mask = data.mask(item) if mask is None else mask
        if mask is not None and mask.shape != image.shape[:2]:
            raise UserError(
                f"{shown(path)} is {image.shape[1]}x{image.shape[0]} pixels and its mask "
                f"{mask.shape[1]}x{mask.shape[0]}: make them alike."
            )
        if mask is not None:
            wide += [(breadth, (mask.shape[0], mask.shape[1])) for breadth in breadths(mask)]
        if geometry.tiled and mask is None:
            raise UserError(
                f"{shown(path)} has no mask, and of a photograph that is cut into tiles nobody "
                f"knows then where the defect is: add {path.stem}_mask.png, white where defective."
            )
        if geometry.tiled and mask is not None:
            image, mask = around(image, mask, geometry)
        else:
            image = resize(image, geometry)
            mask = None if mask is None else fit_mask(mask, geometry)
        images.append(image)
        masks.append(mask)
    sizes = Sizes([breadth for breadth, _ in wide], [size for _, size in wide])
    found = RealDefects(images, masks, tuple(sorted(few_shot)), scored, sizes)
    if len(found) < FEWEST:
        raise UserError(_too_few(folder, found, f"{data.name}/{category}"))
    return found


def _too_few(folder: Path, found: RealDefects, place: str) -> str:
    what = f"{len(found)} defects" if len(found) else "no defect"
    scored = (
        f" ({found.scored} more are images that runs on {place} are scored on: only its few-shot "
        "third, the lowest third of every defect type, may be looked at)"
        if found.scored
        else ""
    )
    return (
        f"{shown(folder)} has {what} to look at{scored}, and {FEWEST} at least are needed to "
        "choose by: photographs of defects, with masks as STEM_mask.png beside them where there "
        "are any. Or leave --defects out."
    )


def _photographs(folder: Path) -> list[tuple[Path, list[Path]]]:
    """Return the photographs of defects below a folder, and the parts of each one's mask."""
    if not folder.is_dir():
        raise UserError(f"defects {shown(folder)}: there is no such folder.")
    files = [PurePosixPath(*path.relative_to(folder).parts) for path in walk(folder)]
    stems = {(path.parent, path.stem) for path in files}
    masks, images = Masks(folder), []
    for path in files:
        inside = [part.lower() for part in path.parts[:-1]]
        stem = marked_stem(path.stem)
        if MASK_FOLDERS.intersection(inside):
            masks.add(path, int(inside[0] in MASK_FOLDERS))
        elif stem is not None and (path.parent, stem) in stems:
            masks.add_beside(path, stem)
        elif not NORMAL_FOLDERS.intersection(inside):
            images.append(path)
    return [
        (folder / path, [folder / part for part in masks.claim(path, 1, alone=False)])
        for path in images
    ]


def _own(data: Dataset, category: str, progress: Progress) -> dict[bytes, Item]:
    """Return the test images of a data set by a digest of their pixels."""
    items = data.test(category)
    own = {}
    for done, item in enumerate(items, 1):
        own[_digest(data.image(item))] = item
        progress("comparing defects with test images", done, len(items))
    return own


def _digest(image: Image) -> bytes:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()


def heads_on(
    benches: Sequence[Bench], detector: FeatureDetector, defects: RealDefects
) -> DefectScores:
    """Return what the heads of all benches, each trained on one method, say of the defects."""
    parts = [
        looked_at(detector, defects.images[i : i + TOGETHER])
        for i in range(0, len(defects), TOGETHER)
    ]
    empty = np.zeros(defects.images[0].shape[:2], np.bool_)
    drawn = np.stack([empty if mask is None else mask for mask in defects.masks])
    share = cell_share(torch.from_numpy(drawn)[:, None].float(), detector.square)
    looked = Shown(Features.together(parts), share, torch.full((len(defects),), -1))
    masked = defects.masked
    both: list[Floats] = []
    pixel: list[Floats] = []
    for bench in benches:
        heads = [bench.head(single(method)) for method in bench.trial.methods]
        said = judged(bench.memory, heads, looked)
        both.append(said.both.astype(np.float64))
        if not masked.any():
            pixel.append(np.full(len(heads), np.nan))
            continue
        good = judged(bench.memory, heads, bench.trial.kept)
        marked = (share > MARKED).numpy()[masked]
        places = np.concatenate([np.zeros(good.cells.shape[1:], np.bool_), marked])
        each = [
            pixel_metrics(np.concatenate([kept, cells[masked]]), places).ap
            for kept, cells in zip(good.cells, said.cells, strict=True)
        ]
        pixel.append(np.array(each))
    return DefectScores(np.stack(both), np.stack(pixel))

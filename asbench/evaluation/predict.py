"""From images to anomaly maps and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from asbench.grid.memory import freed_memory_kept
from asbench.nets.detector import Detector
from asbench.nets.features import FeatureDetector, Features
from synth_store.types import Image, UserError

Floats = npt.NDArray[np.float32]
AT_ONCE, ON_CPU = 16, 4
"""Images that pass a network together. On a CPU what a layer says of four stays in caches, and in
memory that was freed before; of sixteen it takes fresh pages at every layer."""


def predict(
    detector: Detector,
    images: npt.NDArray[np.uint8] | Iterable[Image],
    device: torch.device | str,
    batch: int | None = None,
) -> tuple[Floats, Floats]:
    """Return the anomaly maps float32 (n, H, W) and scores float32 (n,) of n images.

    images: uint8 (n, H, W, 3), RGB, or an iterable of (H, W, 3) of one size, read as it goes; where
    its length is known, the maps are held once, else twice for a moment. The detector is moved to
    `device`, works in float32 and eval mode, and gets its modes back. Images do not see each other
    (batch norm uses its running statistics), but kernels chosen for another batch size round
    otherwise: results depend on `batch` in the last bits of a float32 only. None: `AT_ONCE`, on a
    CPU `ON_CPU`.

    Raises UserError if there is no image, if one is not uint8 (H, W, 3), if sizes differ, or if a
    side is not a multiple of the detector's stride.
    """
    return _together(
        predicted(detector, images, device, batch),
        len(images) if isinstance(images, Sized) else None,
    )


def _together(parts: Iterable[tuple[Floats, Floats]], count: int | None) -> tuple[Floats, Floats]:
    """Join the maps and scores of batches; `count` images of which, None if nobody knows."""
    scores: list[Floats] = []
    held: list[Floats] = []
    filled = 0
    for some, their_scores in parts:
        scores.append(their_scores)
        if count is None:
            held.append(some)
            continue
        if not held:
            held = [np.empty((count, *some.shape[1:]), some.dtype)]
        held[0][filled : filled + len(some)] = some
        filled += len(some)
    if not scores:
        raise UserError("there is no image to score.")
    return held[0] if len(held) == 1 else np.concatenate(held), np.concatenate(scores)


def predicted(
    detector: Detector,
    images: npt.NDArray[np.uint8] | Iterable[Image],
    device: torch.device | str,
    batch: int | None = None,
) -> Iterator[tuple[Floats, Floats]]:
    """Yield what `predict` returns, a batch at a time: nothing is held of those before."""
    device = torch.device(device)
    detector.to(device)
    with evaluating(detector), torch.inference_mode(), freed_memory_kept():
        for some in _batches(images, batch or _at_once(device)):
            check_size(some.shape[1:3], detector.stride)
            pixels = torch.from_numpy(some).to(device).permute(0, 3, 1, 2).float().div_(255)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            some_maps, some_scores = detector.maps_and_scores(pixels)
            yield some_maps.cpu().numpy(), some_scores.cpu().numpy()


def predict_features(
    detector: FeatureDetector,
    features: Features,
    device: torch.device | str,
    batch: int | None = None,
) -> tuple[Floats, Floats]:
    """Return what `predict` does of images whose features are at hand, looking at no image."""
    detector.to(device)
    batch = batch or _at_once(torch.device(device))

    def parts() -> Iterator[tuple[Floats, Floats]]:
        for begin in range(0, len(features), batch):
            some = detector.maps_and_scores_of(features[begin : begin + batch])
            yield some[0].cpu().numpy(), some[1].cpu().numpy()

    with evaluating(detector), torch.inference_mode(), freed_memory_kept():
        return _together(parts(), len(features))


def _at_once(device: torch.device) -> int:
    return ON_CPU if device.type == "cpu" else AT_ONCE


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put a network in eval mode and every part back in the mode it was in."""
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def check_size(size: tuple[int, ...], stride: int) -> None:
    """Raise UserError unless both sides (height, width) are multiples of a detector's stride."""
    if any(side % stride for side in size):
        raise UserError(
            f"images of {size[0]}x{size[1]} do not fit this detector: "
            f"both sides must be multiples of {stride}."
        )


def _batches(
    images: npt.NDArray[np.uint8] | Iterable[Image], batch: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield uint8 (b, H, W, 3) with b = `batch`, fewer at the end."""
    rest, first = iter(images), None
    while some := list(islice(rest, batch)):
        first = some[0] if first is None else first
        for image in some:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise UserError(f"images must be uint8 (H, W, 3), not {image.dtype} {image.shape}.")
            if image.shape != first.shape:
                raise UserError(f"images differ in size: {first.shape} and {image.shape}.")
        yield np.stack(some)

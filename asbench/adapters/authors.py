"""Weights under the names that the detectors' authors gave them, and under ours.

One table a detector says which module of theirs is which of ours; both ways are read off it. Three
things are more than a name:

- DRAEM's authors read images as BGR. The first convolutions see their inputs, and the last one of
  the reconstruction gives its outputs, in the other order.
- DeSTSeg's authors put the pooled branch of their pyramid first, we last: the merging convolution's
  inputs are rolled by a quarter.
- MemSeg's memory is a pickled object of theirs, which is never read: its features are extracted
  anew, from the normals.

AnomalyDiffusion's U-Net was trained on RGB, as here, though its authors test it on BGR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synth_store.types import UserError

Tensors = Mapping[str, Tensor]
Names = Sequence[tuple[str, str]]
"""Modules: what the authors call one, and what we do."""


def _unet(ours: str) -> Names:
    """Return the modules of DRAEM's discriminative network, which is also the U-Net."""
    up = ("up_b", *(f"up{n}" for n in range(1, 5)))
    merge = ("db_b", *(f"db{n}" for n in range(1, 5)))
    return (
        *((f"encoder_segment.block{n + 1}", f"{ours}.down.{n}") for n in range(6)),
        *((f"decoder_segment.{name}", f"{ours}.up.{n}") for n, name in enumerate(up)),
        *((f"decoder_segment.{name}", f"{ours}.merge.{n}") for n, name in enumerate(merge)),
        ("decoder_segment.fin_out.0", f"{ours}.head"),
    )


RECONSTRUCTION: Names = (
    *((f"encoder.block{n + 1}", f"reconstruction.encoder.{2 * n}") for n in range(5)),
    *((f"decoder.up{n + 1}", f"reconstruction.decoder.{2 * n}") for n in range(4)),
    *((f"decoder.db{n + 1}", f"reconstruction.decoder.{2 * n + 1}") for n in range(4)),
    ("decoder.fin_out.0", "reconstruction.head"),
)
_PYRAMID = "segmentation_net.head.0"
DESTSEG: Names = (
    ("teacher_net.encoder", "teacher"),
    ("student_net.encoder", "student.encoder"),
    ("student_net.decoder_layer4", "student.bottleneck"),
    *((f"student_net.decoder_layer{n}", f"student.up{n}") for n in (3, 2, 1)),
    ("segmentation_net.res", "segmentation.body"),
    (f"{_PYRAMID}.aspp_feature_extractors.0.1.conv", "segmentation.head.0.pooled.1"),
    (f"{_PYRAMID}.aspp_feature_extractors.0.1.norm", "segmentation.head.0.pooled.2"),
    *(
        (
            f"{_PYRAMID}.aspp_feature_extractors.{n + 1}.{part}",
            f"segmentation.head.0.dilated.{n}.{k}",
        )
        for n in range(3)
        for k, part in enumerate(("conv", "norm"))
    ),
    (f"{_PYRAMID}.aspp_fusion_layer.conv", "segmentation.head.0.merge.0"),
    (f"{_PYRAMID}.aspp_fusion_layer.norm", "segmentation.head.0.merge.1"),
    *((f"segmentation_net.head.{n}", f"segmentation.head.{n}") for n in (1, 2, 4)),
)
MEMSEG: Names = (
    ("feature_extractor", "extractor"),
    *(
        (f"msff.blk{n + 1}.attn.{theirs}", f"fusion.attention.{n}.{ours}")
        for n in range(3)
        for theirs, ours in (
            ("conv1", "squeeze.0"),
            ("bn1", "squeeze.1"),
            ("conv_h", "rows"),
            ("conv_w", "columns"),
        )
    ),
    *((f"msff.blk{n + 1}.conv1", f"fusion.enter.{n}") for n in range(3)),
    *((f"msff.blk{n + 1}.conv2", f"fusion.leave.{n}") for n in range(3)),
    ("msff.upconv32", "fusion.from3"),
    ("msff.upconv21", "fusion.from2"),
    ("decoder.conv", "decoder.stem"),
    ("decoder.upconv2mask.blk", "decoder.up0"),
    *((f"decoder.upconv{n}.blk", f"decoder.up{n + 1}") for n in range(4)),
    ("decoder.final_conv", "decoder.head"),
)


def _bgr(tensors: Tensors) -> dict[str, Tensor]:
    """Return DRAEM's weights for images in the other order of channels; its own inverse."""
    turned = dict(tensors)
    first = ("reconstruction.encoder.0.0.weight", "segmentation.down.0.0.weight")
    for name in first:
        if name in turned:
            weight = turned[name]
            triples = weight.reshape(weight.shape[0], -1, 3, *weight.shape[2:])
            turned[name] = triples.flip(2).reshape_as(weight)
    for name in ("reconstruction.head.weight", "reconstruction.head.bias"):
        if name in turned:
            turned[name] = turned[name].flip(0)
    return turned


def _rolled(by: int) -> Callable[[Tensors], dict[str, Tensor]]:
    """Return what moves the inputs of DeSTSeg's merging convolution by so many quarters."""

    def rolled(tensors: Tensors) -> dict[str, Tensor]:
        name = "segmentation.head.0.merge.0.weight"
        turned = dict(tensors)
        if name in turned:
            quarter = turned[name].shape[1] // 4
            turned[name] = torch.roll(turned[name], by * quarter, dims=1)
        return turned

    return rolled


@dataclass(frozen=True)
class Published:
    """How the authors' checkpoints of a detector are laid out.

    files: what each is called after the run's name, and its modules; after: what is done to the
    tensors once they have our names, before: what undoes it; ours: the beginning of what is ours
    alone.
    """

    files: Mapping[str, Names]
    after: Callable[[Tensors], dict[str, Tensor]] = dict
    before: Callable[[Tensors], dict[str, Tensor]] = dict
    ours: str | None = None

    @property
    def names(self) -> Names:
        """All modules, of whatever file."""
        return [pair for names in self.files.values() for pair in names]


PUBLISHED: Mapping[str, Published] = {
    "destseg": Published({".pckl": DESTSEG}, _rolled(-1), _rolled(1)),
    "draem": Published({".pckl": RECONSTRUCTION, "_seg.pckl": _unet("segmentation")}, _bgr, _bgr),
    "memseg": Published({".pt": MEMSEG}, ours="bank_"),
    "unet": Published({".pckl": _unet("segmentation")}),
}


def published(detector: str) -> Published:
    """Return how a detector's authors lay out its weights; raises UserError where none did."""
    plain = detector.partition("@")[0]
    if plain not in PUBLISHED:
        raise UserError(
            f"no checkpoints of {plain!r} by its authors are known: choose from "
            f"{', '.join(PUBLISHED)}."
        )
    return PUBLISHED[plain]


def to_ours(detector: str, tensors: Tensors) -> dict[str, Tensor]:
    """Return an author's tensors, of all files together, under our names.

    What torch puts in front where it trains on several GPUs (`module.`) is taken off. Raises
    UserError naming the first tensor that is none of this detector's.
    """
    way = published(detector)
    bare = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return way.after(_renamed(bare, way.names, f"{detector} as its authors published it"))


def to_theirs(detector: str, tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    """Return a detector's tensors as its authors' files hold them, by the file's ending.

    Of MemSeg without the memory. Raises UserError for what the published network has not.
    """
    way = published(detector)
    kept = {k: v for k, v in tensors.items() if way.ours is None or not k.startswith(way.ours)}
    swapped = {e: [(ours, theirs) for theirs, ours in n] for e, n in way.files.items()}
    every = [pair for names in swapped.values() for pair in names]
    before = way.before(kept)
    _renamed(before, every, f"{detector} of its authors")
    found = {}
    for ending, names in swapped.items():
        own = {k: v for k, v in before.items() if _module(k, names) is not None}
        found[ending] = _renamed(own, names, detector)
    return found


def _module(name: str, names: Names) -> tuple[str, str] | None:
    """Return the module that a tensor is of, the longest that its name begins with."""
    fitting = [pair for pair in names if name.startswith(f"{pair[0]}.")]
    return max(fitting, key=lambda pair: len(pair[0]), default=None)


def _renamed(tensors: Tensors, names: Names, what: str) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        pair = _module(name, names)
        if pair is None:
            raise UserError(f"{name!r} has no place in {what}.")
        found[pair[1] + name.removeprefix(pair[0])] = tensor
    return found

"""The contracts: data sets, canvases, synthesizers. Detectors have theirs in `detectors`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from asbench import mend as mend  # from here on refusals of the store name what to type
from asbench.parameters import parameter
from synth_store.types import Image, Mask, Sample, UserError

if TYPE_CHECKING:
    from torch import nn

GOOD = "good"
"""The defect type of a normal image."""
REAL = "real"
"""In place of a method's name: a data set's few-shot defects, stored like any set."""


class Interrupted(UserError):
    """Training or fitting was stopped and saved; the same call continues it."""


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One image of a data set.

    id: unique and stable within the category (a relative path for files); label: 1 if anomalous;
    defect: the defect type, `good` for normals; few_shot: True for the lowest third (by id) of
    every defect type, the only real defects that may ever train anything.
    """

    id: str
    category: str
    split: Literal["train", "test"]
    label: int
    defect: str = GOOD
    few_shot: bool = False


class Dataset(ABC):
    """Normals to synthesize on and real images to be scored on.

    `name` keys the data set in a store. Items come in a fixed order (sorted by id), whatever the
    file system; labels come from folders or tables, never from mask content.
    """

    name: str

    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Return the categories, in a fixed order."""

    @abstractmethod
    def items(self, category: str) -> tuple[Item, ...]:
        """Return all items of a category, train and test; raises UserError for an unknown one."""

    @abstractmethod
    def image(self, item: Item) -> Image:
        """Return the item's image at its native size: uint8 (h, w, 3), RGB."""

    @abstractmethod
    def mask(self, item: Item) -> Mask | None:
        """Return the item's defect mask at native size: bool (h, w).

        All False for normals; None for an anomalous image that has no mask on record.
        """

    def image_path(self, item: Item) -> Path | None:
        """Return the item's image file; None where images are drawn, not read."""
        return None

    def mask_path(self, item: Item) -> Path | None:
        """Return the item's mask file; None where there is none."""
        return None

    def mask_paths(self, item: Item) -> tuple[Path, ...]:
        """Return the files of all parts of the item's mask, `mask_path` the first of them."""
        path = self.mask_path(item)
        return () if path is None else (path,)

    def mask_bytes(self, item: Item) -> bytes | None:
        """Return what decides the item's mask where no file of its own does: its annotation."""
        return None

    def train(self, category: str) -> tuple[Item, ...]:
        """Return the normals that may be trained and synthesized on."""
        return tuple(i for i in self.items(category) if i.split == "train")

    def test(self, category: str) -> tuple[Item, ...]:
        """Return the images that are scored."""
        return tuple(i for i in self.items(category) if i.split == "test")


def mark_few_shot(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the items sorted by id, the lowest third of every defect type marked `few_shot`.

    A third is rounded down, as the published few-shot protocols do.
    """
    left = {d: n // 3 for d, n in Counter(i.defect for i in items if i.label).items()}
    marked = []
    for item in sorted(items):
        few = bool(item.label) and left[item.defect] > 0
        if few:
            left[item.defect] -= 1
        marked.append(
            Item(item.id, item.category, item.split, item.label, item.defect, few_shot=few)
        )
    return tuple(marked)


T_co = TypeVar("T_co", covariant=True)


class Indexed(Protocol[T_co]):
    """Things counted and taken by number: a list will do, and so do the store's lazy readers."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T_co: ...


@dataclass(frozen=True)
class Material:
    """What one category offers to a synthesizer; read-only, lazy, picklable.

    normals: uint8 (H, W, 3) images at the store's geometry; foregrounds: bool (H, W), one beside
    each normal; textures: uint8 (H, W, 3) images; defects: bool (H, W) masks of real defects, the
    few-shot ones alone; defect_images: the same defects with their pixels. Textures and defects are
    empty for methods that need none. grey: the channels of all normals are equal; looked at for
    methods that keep to it (`keeps_grey`).
    sources: numbers of the normals that may be drawn on, in their order; empty for all.
    """

    dataset: str
    category: str
    normals: Indexed[Image]
    foregrounds: Indexed[Mask] = ()
    textures: Indexed[Image] = ()
    defects: Indexed[Mask] = ()
    grey: bool = False
    sources: Sequence[int] = ()
    defect_images: Indexed[Defect] = ()


@dataclass(frozen=True, slots=True)
class Canvas:
    """The normal image that one sample is drawn on, with the material around it."""

    material: Material
    source: int

    @property
    def normal(self) -> Image:
        """The source image: uint8 (H, W, 3). Never write into it."""
        return self.material.normals[self.source]

    @property
    def foreground(self) -> Mask:
        """Where the object is on the source image: bool (H, W). Never write into it."""
        return self.material.foregrounds[self.source]

    def another(self, rng: np.random.Generator) -> Canvas:
        """Return the canvas of a normal drawn uniformly from the others; itself if it is alone."""
        offered = self.material.sources or range(len(self.material.normals))
        others = len(offered) - 1
        if others == 0:
            return self
        drawn = int(rng.integers(others))
        return Canvas(self.material, offered[drawn + (offered[drawn] >= self.source)])

    def texture(self, rng: np.random.Generator) -> Image:
        """Return a texture drawn uniformly from the bank: uint8 (H, W, 3)."""
        return self.material.textures[int(rng.integers(len(self.material.textures)))]

    def defect(self, rng: np.random.Generator) -> Mask:
        """Return the mask of a real defect, drawn uniformly from the bank: bool (H, W)."""
        return self.material.defects[int(rng.integers(len(self.material.defects)))]

    def defect_image(self, rng: np.random.Generator) -> Defect:
        """Return a real defect with its pixels, drawn uniformly. Never write into it."""
        return self.material.defect_images[int(rng.integers(len(self.material.defect_images)))]


@dataclass(frozen=True, slots=True, eq=False)
class Defect:
    """A real defect that a synthesizer may learn from: one of the few-shot third.

    image: uint8 (H, W, 3) at the store's geometry; mask: bool (H, W); kind: the defect type.
    """

    id: str
    kind: str
    image: Image
    mask: Mask


@dataclass(frozen=True, eq=False)
class Subject:
    """What a learned synthesizer sees of one category while it is fitted.

    normals: uint8 (H, W, 3) training images at the store's geometry; foregrounds: bool (H, W), one
    beside each; defects: the few-shot ones, empty for methods that learn from normals alone.
    """

    category: str
    normals: Indexed[Image]
    foregrounds: Indexed[Mask]
    defects: tuple[Defect, ...] = ()


Need = Literal["foreground", "another", "textures", "defects", "defect images"]
"""What a method may read beside the normal it draws on: where the object is, other normals, the
texture bank, the masks of few-shot defects, or those defects with their pixels."""
FROM_DEFECTS: frozenset[Need] = frozenset({"defects", "defect images"})
"""Needs by which a method has seen real defects: each of them is then counted."""


class Renderer(Protocol):
    """What the generation stage draws samples with."""

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        """Return one sample per canvas, each drawn from the generator at its own place.

        `None` in place of a sample says that nothing is visible on that canvas: the stage draws
        again on another one.
        """


@dataclass(frozen=True)
class Synthesizer(ABC):
    """A method with its parameters, which are the fields of a frozen dataclass.

    Hand-crafted methods are a `PerSample`, which renders as it is; methods with weights are a
    `LearnedSynthesizer`, which is fitted first.
    """

    title: ClassVar[str]
    """The method's name as its authors write it."""
    paper: ClassVar[str]
    """Authors, title, venue and year."""
    url: ClassVar[str]
    paradigm: ClassVar[Literal["hand-crafted", "generative"]]
    family: ClassVar[str]
    """The paper's Table 2: patch augmentation, random shape noise, GAN-based, diffusion-based."""
    local: ClassVar[bool] = True
    """Outside its mask the image equals the clean image exactly."""
    generates: ClassVar[bool] = False
    """Makes its own background: every sample brings its `clean` image."""
    encoding: ClassVar[Literal["residual", "plain"]] = "residual"
    shard: ClassVar[int] = 256
    """Samples in one shard of the store, so in one job."""

    @property
    def pixel_version(self) -> int:
        """Raised whenever the golden digest changes: part of a stored set's identity.

        A class attribute where parameters play no part: `pixel_version = 2`.
        """
        return 1

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads beside the normal, at these parameters: part of a stored set's identity.

        A class attribute where parameters play no part: `needs = frozenset({"textures"})`.
        """
        return frozenset()

    @property
    def from_defects(self) -> bool:
        """Whether it draws from real defects, masks or pixels, at these parameters."""
        return not FROM_DEFECTS.isdisjoint(self.needs)

    @property
    def keeps_grey(self) -> bool:
        """Whether it makes grey what it would draw in colour where all normals are grey."""
        return False

    @property
    def keeps_to_object(self) -> bool:
        """Whether it sees itself to where its anomalies lie: on the object, as it or its user says.

        What others draw beside an object that was found is taken back when sets are rendered.
        """
        return "foreground" in self.needs

    @property
    def wide_masks(self) -> bool:
        """Whether its masks are wider than its change on purpose: as published."""
        return False


class PerSample(Synthesizer):
    """The contract authors of hand-crafted methods write to: one canvas, one sample.

    Every draw comes from the generators passed in.
    """

    paradigm = "hand-crafted"

    @abstractmethod
    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        """Return a sample on `canvas`, or None where nothing is visible."""

    def render(
        self, canvases: Sequence[Canvas], rngs: Sequence[np.random.Generator]
    ) -> list[Sample | None]:
        """Call the method canvas by canvas."""
        return [self(canvas, rng) for canvas, rng in zip(canvases, rngs, strict=True)]


@dataclass(frozen=True, slots=True)
class PretrainedFile:
    """Weights of others that a learned method starts from; never downloaded.

    name: as in `--weights NAME=PATH`; published: the name of the file, or of the folder, as its
    authors ship it, looked for in `ASBENCH_WEIGHTS`; source: where to get it; instead: the variants
    that do without, in words; smallest: the name of the one for any machine; rendering: False where
    a fit keeps all of it, so that rendering does without.
    """

    name: str
    published: str
    source: str
    instead: str
    rendering: bool = True
    smallest: str = ""


@dataclass(frozen=True)
class LearnedSynthesizer(Synthesizer):
    """A method whose networks are fitted (`asbench fit`) before anything is rendered.

    The plugin says what it is and holds its parameters, without importing torch: `methods list`
    reads all of them. `build` imports the networks, which stand beside it.
    """

    paradigm = "generative"
    local = False
    encoding: ClassVar[Literal["residual", "plain"]] = "plain"
    shard = 32
    joint: ClassVar[bool] = False
    """One model serves all categories it was fitted on; else each category has its own."""
    learns_from: ClassVar[Literal["normals", "few-shot defects"]] = "normals"

    batch: int = parameter(
        8,
        "Samples that pass through the networks together: part of what decides their bytes.",
        rendering=True,
    )

    @property
    def keeps_grey(self) -> bool:
        """Whether its parameter `colour`, if it has one, is as the normals."""
        return getattr(self, "colour", None) == "as-normals"

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        """The weights it starts from at these parameters; empty for none."""
        return ()

    @abstractmethod
    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> nn.Module:
        """Return the networks, a `LearnedModel`, with fresh weights from torch's default generator.

        kinds: the categories the model is for, each with its defect types (empty for methods that
        learn from normals). pretrained: where each of `pretrained` lies, by its name; to render,
        those alone that rendering needs, since what was fitted is put back afterwards.
        Raises UserError for weights that are missing, damaged or of another network.
        """

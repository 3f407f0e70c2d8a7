"""The contract of synthesizers as tests that any author can run on a method of their own.

    from asbench.testing import SynthesizerContract

    class TestMine(SynthesizerContract):
        @pytest.fixture
        def synthesizer(self):
            return Mine()

Methods that are fitted have `asbench.fitting.testing.LearnedContract`. Everything is drawn on small
generated images, so nothing is read or downloaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import random
import sys
import time
from collections.abc import Iterable
from typing import Any, Literal, get_args

import cv2
import numpy as np
import pytest

from asbench import plugins
from asbench.imaging.masks import LEVELS
from asbench.synthesizers import PACKAGE, variants
from asbench.types import Canvas, Material, PerSample, Synthesizer
from synth_store.rng import address_rng
from synth_store.types import Image, Mask, Sample

Kind = Literal["texture", "object", "grey", "constant", "background"]
"""texture: a coloured surface; object: a disc on a black background; grey: a texture of equal
channels; constant: one colour everywhere; background: black, without any foreground."""

PAPER_FIELDS = ("title", "paper", "url", "paradigm", "family")
SECONDS = 10.0
"""No method may take longer for one small canvas, whatever is on it."""


def material(
    height: int = 64, width: int = 64, kind: Kind = "texture", seed: int = 0, normals: int = 4
) -> Material:
    """Return generated material: normals of one kind, foregrounds, four textures, four defects.

    Everything is uint8 (height, width, 3), or bool (height, width) for foregrounds, read-only, and
    a function of the arguments alone.
    """
    images, foregrounds = [], []
    for index in range(normals):
        rng = address_rng("testing", kind, height, width, seed, index)
        image, foreground = _normal(height, width, kind, rng)
        images.append(image)
        foregrounds.append(foreground)
    textures = [
        _surface(height, width, address_rng("testing", "bank", height, width, seed, index))
        for index in range(4)
    ]
    defects = [
        _blob(height, width, address_rng("testing", "defects", height, width, seed, index))
        for index in range(4)
    ]
    for array in (*images, *foregrounds, *textures, *defects):
        array.setflags(write=False)
    return Material("testing", kind, images, foregrounds, textures, defects)


def _blob(height: int, width: int, rng: np.random.Generator) -> Mask:
    """An ellipse somewhere on the image, of a third of its sides at most."""
    rows, columns = np.ogrid[:height, :width]
    tall, wide = int(rng.integers(2, height // 6 + 2)), int(rng.integers(2, width // 6 + 2))
    row, column = int(rng.integers(height)), int(rng.integers(width))
    inside = ((rows - row) * wide) ** 2 + ((columns - column) * tall) ** 2 < (tall * wide) ** 2
    return np.asarray(inside)


def _surface(height: int, width: int, rng: np.random.Generator) -> Image:
    """Two colours mixed by soft blobs, with grain. Integers only, so every machine agrees."""
    coarse = rng.integers(0, 256, (max(height // 8, 2), max(width // 8, 2)), dtype=np.uint8)
    mix = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    first, second = rng.integers(40, 216, (2, 3))
    grain = rng.integers(-6, 7, (height, width, 1))
    values = (first * mix.astype(np.int64) + second * (255 - mix.astype(np.int64))) // 255 + grain
    surface: Image = np.clip(values, 0, 255).astype(np.uint8)
    return surface


def _normal(height: int, width: int, kind: Kind, rng: np.random.Generator) -> tuple[Image, Mask]:
    everywhere = np.ones((height, width), np.bool_)
    image = _surface(height, width, rng)
    if kind == "grey":
        image = np.repeat(image[..., :1], 3, axis=2)
    elif kind == "constant":
        image = np.full_like(image, 128)
    elif kind == "background":
        return np.zeros_like(image), ~everywhere
    elif kind == "object":
        rows, columns = np.ogrid[:height, :width]
        reach = min(height, width) ** 2 // 8
        disc: Mask = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < reach
        image[~disc] = 0
        return image, disc
    return image, everywhere


def draw(
    synthesizer: PerSample, material: Material, count: int, seed: int = 0
) -> list[Sample | None]:
    """Return `count` samples, each from its own generator, on the normals in turn."""
    canvases = [Canvas(material, i % len(material.normals)) for i in range(count)]
    rngs = [address_rng("testing", "draw", seed, i) for i in range(count)]
    return synthesizer.render(canvases, rngs)


def hand_crafted() -> list[str]:
    """Return every hand-crafted method found, each followed by its variants."""
    return [
        name
        for plain in plugins.names(PACKAGE)
        if plugins.load(PACKAGE, plain, Synthesizer).paradigm == "hand-crafted"
        for name in (plain, *(f"{plain}@{variant}" for variant in variants(plain)))
    ]


def digest(samples: Iterable[Sample | None]) -> str:
    """Return the SHA-256 of images, masks and cleans, shapes included; None counts too."""
    total = hashlib.sha256()
    for sample in samples:
        arrays = (sample.image, sample.mask, sample.clean) if sample else (None,)
        for array in arrays:
            total.update(repr(None if array is None else (array.shape, str(array.dtype))).encode())
            total.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def global_chance() -> list[Any]:
    """Return the state of every global generator that a method could have touched."""
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - watched, not drawn from
    states: list[Any] = [random.getstate(), pickle.dumps(legacy)]
    if "torch" in sys.modules:
        states.append(sys.modules["torch"].get_rng_state().numpy().tobytes())
    return states


def every_array(material: Material) -> list[bytes]:
    offered = (material.normals, material.foregrounds, material.textures, material.defects)
    return [things[i].tobytes() for things in offered for i in range(len(things))]


def check_description(synthesizer: Synthesizer) -> None:
    """Assert that a method says where it comes from, and what each parameter means."""
    cls = type(synthesizer)
    for name in PAPER_FIELDS:
        assert getattr(cls, name, ""), f"{cls.__name__} lacks the class attribute {name!r}"
    assert cls.url.startswith("https://")
    assert cls.paradigm in ("hand-crafted", "generative")
    assert cls.__doc__
    assert cls.pixel_version >= 1
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for field in dataclasses.fields(synthesizer):
        assert field.metadata.get("doc"), f"parameter {field.name!r} has no documentation"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(synthesizer, field.name, getattr(synthesizer, field.name))


def check_sample(synthesizer: Synthesizer, sample: Sample, normal: Image) -> None:
    """Assert what holds of every sample that a method returns on a normal image."""
    clean = normal if sample.clean is None else sample.clean
    assert (sample.clean is not None) == synthesizer.generates
    assert sample.image.shape == clean.shape == normal.shape
    assert sample.image.dtype == clean.dtype == np.uint8
    assert sample.mask.shape == normal.shape[:2]
    assert sample.mask.dtype == np.bool_
    assert sample.mask.any(), "an empty mask: return None where nothing is visible"
    change = np.abs(sample.image.astype(np.int16) - clean).max(axis=2)
    assert change[sample.mask].max() >= LEVELS, "nothing is visible inside the mask"
    if synthesizer.local:
        assert change[~sample.mask].max(initial=0) == 0, "changed outside the mask"
    assert not np.shares_memory(sample.image, normal), "the image is a view of the normal"


class SynthesizerContract:
    """Tests of what every synthesizer promises; give it a `synthesizer` fixture."""

    count = 8
    """Samples drawn in each test."""

    @pytest.fixture
    def synthesizer(self) -> PerSample:
        raise NotImplementedError("define a fixture `synthesizer` that returns your method")

    def test_says_what_it_is_and_what_its_parameters_mean(self, synthesizer: PerSample) -> None:
        check_description(synthesizer)

    def test_a_generator_decides_every_byte(self, synthesizer: PerSample) -> None:
        first, again = (digest(draw(synthesizer, material(), self.count)) for _ in range(2))
        assert first == again
        assert first != digest(draw(synthesizer, material(), self.count, seed=1))

    def test_a_sample_does_not_depend_on_its_neighbours(self, synthesizer: PerSample) -> None:
        together = draw(synthesizer, material(), self.count)
        alone = Canvas(material(), (self.count - 1) % 4)
        rng = address_rng("testing", "draw", 0, self.count - 1)
        assert digest(synthesizer.render([alone], [rng])) == digest(together[-1:])

    def test_survives_pickling(self, synthesizer: PerSample) -> None:
        copy = pickle.loads(pickle.dumps(synthesizer))
        assert copy == synthesizer
        expected = digest(draw(synthesizer, material(), self.count))
        assert digest(draw(copy, material(), self.count)) == expected

    def test_leaves_material_and_global_chance_alone(self, synthesizer: PerSample) -> None:
        given = material(kind="object")
        arrays, chance = every_array(given), global_chance()
        draw(synthesizer, given, self.count)
        assert every_array(given) == arrays, "the method wrote into its material"
        assert global_chance() == chance, "the method drew from a global generator"

    def test_most_canvases_get_an_anomaly(self, synthesizer: PerSample) -> None:
        found = [s for s in draw(synthesizer, material(), self.count) if s is not None]
        assert len(found) > self.count // 2

    @pytest.mark.parametrize("size", [(64, 64), (96, 160), (24, 24), (37, 51)])
    @pytest.mark.parametrize("kind", get_args(Kind))
    def test_any_canvas_gives_a_sound_sample_or_none_in_time(
        self, synthesizer: PerSample, kind: Kind, size: tuple[int, int]
    ) -> None:
        given = material(*size, kind)
        start = time.process_time()
        samples = draw(synthesizer, given, self.count)
        # Endless loops are what this is for: the bound is far above any method's time.
        assert time.process_time() - start < SECONDS * self.count
        assert len(samples) == self.count
        for index, sample in enumerate(samples):
            if sample is not None:
                check_sample(synthesizer, sample, given.normals[index % len(given.normals)])

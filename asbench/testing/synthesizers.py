"""The contract of synthesizers: what every method promises, fitted or not."""

from __future__ import annotations

import dataclasses
import pickle
import time
from typing import get_args

import numpy as np
import pytest

from asbench import plugins
from asbench.imaging.masks import LEVELS
from asbench.synthesizers import PACKAGE, variants
from asbench.testing.generated import Kind, digest, draw, every_array, global_chance, material
from asbench.types import Canvas, Material, PerSample, Synthesizer
from synth_store.rng import address_rng
from synth_store.types import Image, Sample

PAPER_FIELDS = ("title", "paper", "url", "paradigm", "family")
SECONDS = 10.0
"""No method may take longer for one small canvas, whatever is on it."""


def hand_crafted() -> list[str]:
    """Return every hand-crafted method found, each followed by its variants."""
    return [
        name
        for plain in plugins.names(PACKAGE)
        if plugins.load(PACKAGE, plain, Synthesizer).paradigm == "hand-crafted"
        for name in (plain, *(f"{plain}@{variant}" for variant in variants(plain)))
    ]


def check_description(synthesizer: Synthesizer) -> None:
    """Assert that a method says where it comes from, and what each parameter means."""
    cls = type(synthesizer)
    for name in PAPER_FIELDS:
        assert getattr(cls, name, ""), f"{cls.__name__} lacks the class attribute {name!r}"
    assert cls.url.startswith("https://")
    assert cls.paradigm in ("hand-crafted", "generative")
    assert cls.__doc__
    assert synthesizer.pixel_version >= 1
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


def check_colour(synthesizer: Synthesizer, given: Material, sample: Sample) -> None:
    """Assert that a sample on grey normals is grey, unless `colour` says as-published."""
    if given.grey and getattr(synthesizer, "colour", "as-normals") == "as-normals":
        coloured = int((sample.image != sample.image[..., :1]).any(axis=2).sum())
        assert not coloured, (
            f"{coloured} pixels are coloured, and all normals are grey: make it a `Colouring` "
            "(asbench.imaging.colour); one that is to be coloured all the same has `colour: Colour "
            '= parameter("as-published", MEANING)`'
        )


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
        samples = [s for s in draw(synthesizer, material(), self.count) if s is not None]
        assert len(samples) > self.count // 2

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
                check_colour(synthesizer, given, sample)

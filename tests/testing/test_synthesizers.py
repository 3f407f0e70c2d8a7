"""The contract catches the methods it is there to catch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from asbench.synthesizers.cutout import Cutout
from asbench.testing import SynthesizerContract, digest, draw, material
from asbench.types import Canvas
from synth_store.types import Sample

CONTRACT = SynthesizerContract()


@dataclass(frozen=True)
class Faulty(Cutout):
    """CutOut with a fault."""

    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        raise NotImplementedError

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        sample = super().__call__(canvas, rng)
        return sample and self.fault(sample, canvas, rng)


class GlobalChance(Faulty):
    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        sample.image[sample.mask] = np.random.randint(0, 20)  # noqa: NPY002 - the fault
        return sample


class Leaking(Faulty):
    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        sample.image[0, 0] = 255 - sample.image[0, 0]
        sample.mask[0, 0] = False
        return sample


class Empty(Faulty):
    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        return Sample(sample.image, np.zeros_like(sample.mask))


class Invisible(Faulty):
    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        return Sample(canvas.normal.copy(), sample.mask)


class Silent(Faulty):
    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        return None


class Red(Faulty):
    def fault(self, sample: Sample, canvas: Canvas, rng: np.random.Generator) -> Sample:
        sample.image[sample.mask] = 255, 0, 0
        return sample


@dataclass(frozen=True)
class Undocumented(Cutout):
    size: int = 3


def holds(test: str, synthesizer: Any, **arguments: Any) -> bool:
    try:
        getattr(CONTRACT, test)(synthesizer, **arguments)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("test", "faulty"),
    [
        ("test_a_generator_decides_every_byte", GlobalChance()),
        ("test_leaves_material_and_global_chance_alone", GlobalChance()),
        ("test_most_canvases_get_an_anomaly", Silent()),
        ("test_says_what_it_is_and_what_its_parameters_mean", Undocumented()),
    ],
)
def test_a_fault_is_found(test: str, faulty: Cutout) -> None:
    assert holds(test, Cutout())
    assert not holds(test, faulty)


@pytest.mark.parametrize("faulty", [Leaking(), Empty(), Invisible()])
def test_an_unsound_sample_is_found(faulty: Cutout) -> None:
    test = "test_any_canvas_gives_a_sound_sample_or_none_in_time"
    assert holds(test, Cutout(), kind="texture", size=(64, 64))
    assert not holds(test, faulty, kind="texture", size=(64, 64))


def test_colours_on_grey_are_found_where_a_method_does_not_declare_them() -> None:
    test = "test_any_canvas_gives_a_sound_sample_or_none_in_time"
    declared: list[Red] = [Red(fill="random"), Red(colour="as-published")]
    for kind in ("grey", "constant"):
        assert not holds(test, Red(), kind=kind, size=(64, 64))
        assert all(holds(test, red, kind=kind, size=(64, 64)) for red in declared)
    assert holds(test, Red(), kind="texture", size=(64, 64))


def test_material_is_read_only_and_a_function_of_its_arguments() -> None:
    first, again = material(24, 40, "object", seed=3), material(24, 40, "object", seed=3)
    for a, b in zip(first.normals, again.normals, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(first.normals[0], material(24, 40, "object", seed=4).normals[0])
    with pytest.raises(ValueError, match="read-only"):
        first.normals[0][0, 0] = 0


def test_digest_sees_every_part_of_a_sample() -> None:
    sample = next(s for s in draw(Cutout(), material(), 1) if s)
    others = [
        dataclasses.replace(sample, image=255 - sample.image),
        dataclasses.replace(sample, mask=~sample.mask),
        dataclasses.replace(sample, clean=sample.image),
        None,
    ]
    assert len({digest([s]) for s in (sample, *others)}) == 5

"""What is drawn on grey photographs is grey, and what is drawn on others is as it was."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from asbench import plugins
from asbench.imaging.colour import Colouring, as_normals, grey
from asbench.synthesizers import PACKAGE, resolve, variants
from asbench.synthesizers.compose import Compose
from asbench.synthesizers.cutout import Cutout
from asbench.synthesizers.draem import Draem
from asbench.synthesizers.memseg import Memseg
from asbench.testing import digest, draw, material
from asbench.testing.synthesizers import check_colour, hand_crafted
from asbench.types import Canvas, Material, Synthesizer
from synth_store.types import Sample

COLOURING = [
    "draem",
    "destseg",
    "memseg",
    "fractal",
    "compose",
    "compose@perlin-augmented-alpha",
    "compose@perlin-shuffled-alpha",
    "compose@real-texture-alpha",
]


def method(name: str) -> Colouring:
    resolved = resolve(name, dataset="testing", category="texture")
    assert isinstance(resolved, Colouring)
    return resolved


def test_equal_channels_keep_their_level_and_others_become_rec_601_luma() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert np.array_equal(grey(levels), levels)
    colours = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey(colours) - luma[..., None]).max() <= 0.51
    assert np.array_equal(grey(colours[::-1, ::2]), grey(colours)[::-1, ::2])


@pytest.mark.parametrize("name", COLOURING)
def test_on_grey_normals_the_same_is_drawn_without_its_colours(name: str) -> None:
    given = material(kind="grey")
    coloured = draw(replace(method(name), colour="as-published"), given, 12)
    kept = draw(method(name), given, 12)
    assert any(s is not None and np.ptp(s.image, axis=2).any() for s in coloured)
    for before, now in zip(coloured, kept, strict=True):
        if now is not None and before is not None:
            assert np.array_equal(now.image, grey(before.image))
            assert np.array_equal(now.mask, before.mask)
            check_colour(method(name), given, now)
    assert sum(s is not None for s in kept) >= sum(s is not None for s in coloured) - 2


@pytest.mark.parametrize("name", COLOURING)
@pytest.mark.parametrize("kind", ["texture", "object"])
def test_on_coloured_normals_nothing_changes(name: str, kind: str) -> None:
    given = material(96, 64, kind)  # type: ignore[arg-type]
    published = replace(method(name), colour="as-published")
    assert digest(draw(method(name), given, 6)) == digest(draw(published, given, 6))


def test_one_coloured_normal_makes_a_category_coloured_for_all_of_them() -> None:
    given = dataclasses.replace(material(kind="grey"), grey=False)
    (sample,) = draw(Draem(), given, 1)
    assert sample is not None
    assert np.ptp(sample.image, axis=2).any()


def test_what_only_its_colour_shows_is_drawn_again() -> None:
    normal = np.full((32, 32, 3), 76, np.uint8)
    image, mask = normal.copy(), np.zeros((32, 32), np.bool_)
    mask[8:16, 8:16] = True
    image[mask] = 255, 0, 0  # as bright as 76
    canvas = Canvas(Material("any", "grey", [normal], grey=True), 0)
    assert as_normals(Sample(image, mask), canvas) is None
    image[8:16, 8:12] = 0, 255, 0
    kept = as_normals(Sample(image, mask), canvas)
    assert kept is not None
    assert set(np.unique(kept.image)) == {76, 150}


def test_parameters_decide_who_has_colours_to_lose() -> None:
    assert not Cutout().keeps_grey
    assert Cutout(fill="random").keeps_grey
    assert not Cutout(fill="random", colour="as-published").keeps_grey
    assert not Compose(mask="cells", source="black", blend="paste").keeps_grey
    assert not Compose(source="another", jitter=0.5).keeps_grey
    assert Compose(source="shuffled", augmented=True).keeps_grey
    assert Memseg(texture_share=0.0).keeps_grey
    samples = draw(Cutout(fill="random"), material(kind="grey"), 6)
    assert not any(np.ptp(s.image, axis=2).any() for s in samples if s is not None)


def test_every_colouring_method_of_papers_ships_with_its_colours_too() -> None:
    def named(name: str) -> bool:
        return any(f.name == "colour" for f in dataclasses.fields(loaded(name)))

    def loaded(name: str) -> type[Synthesizer]:
        return plugins.load(PACKAGE, name, Synthesizer)

    colouring = {name for name in plugins.names(PACKAGE) if named(name)}
    first = {"compose", "cutout", "destseg", "draem", "fractal", "memseg", "realnet"}
    later = {"croppaste", "defectmaker", "diffusionad", "glass", "simplex", "transfusion"}
    learned = {"adabldm", "anomalydiffusion", "congan", "defectdiffu", "defectgan", "dfmgan", "dsr"}
    assert colouring == first | later | learned
    for name in colouring - {"compose", "cutout"}:
        assert "coloured" in variants(name)
    for name in hand_crafted():
        if name.partition("@")[2].startswith("asbench") and named(name.partition("@")[0]):
            assert not method(name).keeps_grey, f"{name} is what the benchmark ran"


def test_jitter_alone_leaves_grey_as_it_is() -> None:
    """CutPaste and its scar need no such parameter: a grey patch has no hue to turn."""
    for name in ("cutpaste", "cutpaste_scar", "nsa", "fpi", "pii", "riad"):
        drawn = resolve(name, dataset="testing", category="grey")
        for sample in draw(drawn, material(kind="grey"), 12):  # type: ignore[arg-type]
            assert sample is None or not np.ptp(sample.image, axis=2).any()

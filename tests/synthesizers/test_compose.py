"""Compose: every combination keeps the contract, and each choice does what it says."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from asbench.imaging.masks import LEVELS
from asbench.synthesizers import resolve
from asbench.synthesizers.compose import SHAPES, UNSEEN, VARIANTS, Compose
from asbench.testing import SynthesizerContract, digest, draw, material
from asbench.testing.synthesizers import check_sample
from asbench.types import Synthesizer
from synth_store.types import Sample, UserError

pytestmark = pytest.mark.slow

SOURCES = get_args(get_type_hints(Compose)["source"])
CANVASES = [
    material(64, 64, "texture"),
    material(96, 160, "object"),
    material(24, 24, "grey"),
    material(37, 51, "constant"),
    material(24, 24, "background"),
]


def combinations() -> Iterator[dict[str, Any]]:
    for mask, blend in itertools.product((*SHAPES, "real*perlin"), UNSEEN):
        chosen = {"mask": mask, "blend": blend, "threshold": 0.0 if "*" in mask else 0.5}
        yield from ({**chosen, "source": s} for s in SOURCES if s not in UNSEEN[blend])


@pytest.mark.parametrize(
    "chosen", list(combinations()), ids=lambda c: f"{c['mask']}-{c['source']}-{c['blend']}"
)
def test_every_combination_keeps_the_contract(chosen: dict[str, Any]) -> None:
    compose = Compose(**chosen)
    for canvas in CANVASES:
        drawn = draw(compose, canvas, 3)
        for place, sample in enumerate(drawn):
            if sample is not None:
                check_sample(compose, sample, canvas.normals[place])
        assert digest(draw(compose, canvas, 3)) == digest(drawn)
    assert any(draw(compose, CANVASES[0], 8))


class TestComposed(SynthesizerContract):
    """The whole contract, over combinations that no variant has."""

    @pytest.fixture(
        params=[
            {"mask": "real*disc", "source": "noise", "blend": "poisson", "foreground": 0.5},
            {"mask": "fractal", "source": "shuffled", "blend": "poisson-mixed", "jitter": 0.1},
            {"mask": "strip", "source": "another", "blend": "poisson-weighted", "augmented": True},
        ]
    )
    def synthesizer(self, request: pytest.FixtureRequest) -> Synthesizer:
        return Compose(**request.param)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"mask": "star"},
            "perlin, rectangle, rectangles, disc, .*, superpixel, real, or multiply",
        ),
        ({"mask": "real*"}, "mask=real\\* is unknown"),
        ({"source": "sky"}, "texture, self, another"),
        ({"blend": "melt"}, "paste, alpha, poisson"),
        ({"source": "black", "blend": "poisson-mixed"}, "paste, alpha, poisson, poisson-weighted"),
        ({"source": "shade", "blend": "poisson"}, "choose blend from paste, alpha\\."),
        ({"source": "self", "shifted": "false"}, "shifted=true, augmented=true or jitter"),
        ({"source": "noise", "augmented": "true"}, "not of source=noise"),
        ({"area": "(0.3, 0.2)"}, "0 < low <= high <= 1"),
        ({"opacity": "(0, 1)"}, "0 < low <= high <= 1"),
        ({"max_degrees": "200"}, "0..180"),
        ({"jitter": "0.9"}, "0..0.5"),
        ({"foreground": "2"}, "foreground=2.0"),
        ({"exponents": "(3, 1)"}, "exponent_low"),
    ],
)
def test_what_is_impossible_is_refused_with_the_choices(
    settings: dict[str, str], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        resolve("compose@mine", dataset="testing", category="texture", settings=settings)


def test_needs_follow_from_the_choices() -> None:
    assert Compose().needs == {"textures"}
    assert Compose(source="black").needs == frozenset()
    assert Compose(mask="real*perlin", source="another").needs == {"another", "defects"}
    assert Compose(source="self", foreground=0.1).needs == {"foreground"}


def found(compose: Compose, kind: Any = "texture", count: int = 60) -> list[Sample]:
    return [s for s in draw(compose, material(64, 64, kind), count) if s is not None]


def test_a_product_lies_within_both_of_its_masks() -> None:
    """Drawn in turn from one generator, so the first mask is the one drawn alone."""
    for alone, both in zip(
        draw(Compose(mask="disc", source="colour", blend="paste"), material(), 20),
        draw(Compose(mask="disc*perlin", source="colour", blend="paste"), material(), 20),
        strict=True,
    ):
        if alone is not None and both is not None:
            assert both.mask.sum() < alone.mask.sum()
    products = found(Compose(mask="disc*rectangle", source="colour", blend="paste"))
    assert np.mean([s.mask.mean() for s in products]) < 0.05


def test_masks_keep_to_the_object_as_often_as_asked() -> None:
    (disc, *_) = material(64, 64, "object").foregrounds
    for share, expected in ((1.0, 1.0), (0.0, 0.3)):
        shape = {"mask": "rectangle", "source": "noise", "blend": "paste", "foreground": share}
        inside = [not (s.mask & ~disc).any() for s in found(Compose(**shape), "object")]
        assert np.mean(inside) == 1 if share else np.mean(inside) < expected


def test_a_real_mask_stays_where_it_was_if_asked_to() -> None:
    given = material()
    compose = Compose(
        mask="real",
        source="noise",
        blend="paste",
        anywhere=False,
        mirrored=False,
        max_degrees=0.0,
    )
    bank = {mask.tobytes() for mask in given.defects}
    seen = {s.mask.tobytes() for s in draw(compose, given, 40) if s is not None}
    assert seen == bank
    moved = {s.mask.tobytes() for s in found(Compose(mask="real", source="noise"))}
    assert len(moved) > 50


def test_a_poisson_blend_meets_the_image_all_around() -> None:
    """Its step across the mask's edge is far below the pasted one's."""
    steps = {}
    for blend in ("paste", "poisson"):
        compose = Compose(mask="disc", source="texture", blend=blend)
        across = []
        for sample in found(compose):
            image = sample.image.astype(int)
            edge = sample.mask[:, 1:] != sample.mask[:, :-1]
            across.append(np.abs(np.diff(image, axis=1)).max(axis=2)[edge].mean())
        steps[blend] = np.mean(across)
    assert steps["poisson"] < steps["paste"] / 3


def test_what_a_real_defect_shows_fills_the_mask_however_large() -> None:
    """Its colours alone, also where the mask is many times its size."""
    given = material()
    alone = given.defect_images[0]
    alone.image.setflags(write=True)
    alone.image[alone.mask] = (200, 60, 20)
    one = dataclasses.replace(given, defect_images=[alone])
    compose = Compose(mask="disc", source="defect", blend="paste", area=(0.1, 0.15))
    assert compose.needs == {"defect images"}
    for sample in draw(compose, one, 10):
        assert sample is not None
        assert (sample.image[sample.mask] == (200, 60, 20)).all()


def test_cdo_s_rectangles_are_one_to_four_of_its_areas() -> None:
    """Half sides of 1/40 to 1/10 of the side: 2.9 % on average with none to four of them."""
    drawn = found(Compose(mask="rectangles", source="noise", blend="paste"), count=200)
    areas = np.array([s.mask.mean() for s in drawn])
    # One to four in place of none to four: a quarter more.
    assert 0.032 < areas.mean() < 0.042
    assert areas.max() < 4 * 0.03


def test_opacity_bounds_the_change() -> None:
    """Black at opacity a leaves 1 - a of the image."""
    given = material()
    compose = Compose(mask="disc", source="black", blend="alpha", opacity=(0.25, 0.25))
    for place, sample in enumerate(draw(compose, given, 4)):
        assert sample is not None
        normal = given.normals[place].astype(float)
        change = np.abs(sample.image - 0.75 * normal)[sample.mask]
        assert change.max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("variant", "method"),
    [
        ("perlin-texture-alpha", "destseg"),
        ("perlin-augmented-alpha", "draem"),
        ("rectangle-self-paste", "cutpaste"),
        ("rectangle-another-alpha", "fpi"),
    ],
)
def test_a_variant_has_the_areas_and_changes_of_its_method(variant: str, method: str) -> None:
    """Means of 200 samples of each, 4.5 standard errors apart at most."""
    given = material(64, 64, normals=8)
    measured = []
    for synthesizer in (
        resolve(f"compose@{variant}", dataset="testing", category="texture"),
        resolve(method, dataset="testing", category="texture"),
    ):
        rows = []
        for place, sample in enumerate(draw(synthesizer, given, 200)):
            if sample is not None:
                change = np.abs(sample.image.astype(int) - given.normals[place % 8]).max(axis=2)
                seen = change[sample.mask]
                rows.append((sample.mask.mean(), (seen >= LEVELS).mean(), seen.mean() / 255))
        measured.append(np.array(rows))
    ours, theirs = measured
    apart = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
    error = np.sqrt(ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs))
    assert (apart < 4.5 * error).all(), (apart / error).round(1)


def test_every_variant_says_in_its_name_what_it_is() -> None:
    for name, settings in VARIANTS.items():
        compose = Compose(**settings)
        *mask, source, blend = name.split("-")
        assert "*".join(mask) == compose.mask
        assert blend == compose.blend.partition("-")[0]
        assert source == (
            "augmented" if compose.augmented and source == "augmented" else compose.source
        )

"""Methods that came after the benchmark's paper: GLASS, TransFusion, DiffusionAD and the like.

Numbers are those of their public code, and for areas what was measured on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from asbench.synthesizers import defectmaker, diffusionad
from asbench.synthesizers import transfusion as transfusion_
from asbench.types import Defect, Material, PerSample
from synth_store.types import Mask
from tests.evidence import counts, even, follows, mean, share, uniform
from tests.laws.noise import textbook
from tests.laws.reading import (
    CHANCE,
    DRAWS,
    PLACES,
    SIDE,
    Laws,
    box,
    changed,
    degrees,
    drawn,
    flat,
    moved,
    opacity,
    placed,
    within,
)


def _one(side: int, two_sided: bool = False) -> Mask:
    """One of DRAEM's masks by the textbook's formula."""
    cells = tuple(2 ** CHANCE.integers(0, 6, 2))
    return textbook(side, cells, two_sided)


def _areas(method: PerSample, draws: int, side: int) -> list[float]:
    given = flat(100, textures=(255,), side=side)
    return [float(s.mask.mean()) for s in drawn(method, given, draws)]


def glass(method: PerSample) -> Laws:
    """Weight clip(N(.5, .1), .2, .8); a third each of union, intersection and one mask alone."""
    plain: Any = changed(method, augmented=False)
    weights = np.clip(CHANCE.normal(0.5, 0.1, 20 * DRAWS), 0.2, 0.8)
    law: list[float] = []
    while len(law) < DRAWS // 2:
        first, second, joint = _one(64), _one(64), CHANCE.integers(3)
        both = (first | second, first & second, first)[joint]
        if both.any():
            law.append(float(both.mean()))
    return {
        "opacity": follows(opacity(plain) / 255, 1 - weights),
        "area as the textbook's": follows(_areas(plain, DRAWS // 2, 64), law),
        "mean area": mean(_areas(plain, DRAWS, SIDE), 0.0535, 0.0545),
    }


def transfusion(method: PerSample) -> Laws:
    """Noise of either sign; by a fair coin one's own cells or a texture; opaque."""
    textures: Any = changed(method, texture_share=1.0)
    law = [float(_one(64, two_sided=True).mean()) for _ in range(DRAWS // 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfusion_, "augment", lambda image, rng: image)
        samples = list(drawn(method, _places()))
    hits = sum(bool((s.image[s.mask] == 255).all()) for s in samples)
    return {
        "texture": share(hits, DRAWS, 0.5),
        "area as the textbook's": follows(
            _areas(textures, DRAWS // 2, 64), [area for area in law if area]
        ),
    }


def diffusion(method: PerSample) -> Laws:
    """Texture opacity 1 - U(.2, .8); by a fair coin one's own strips or a texture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusionad, "augment", lambda image, rng: image)
        weights = opacity(changed(method, texture_share=1.0)) / 255
        samples = list(drawn(changed(method, beta_low=0.0, beta_high=0.0), _places()))
    hits = sum(bool((s.image[s.mask] == 255).all()) for s in samples)
    return {"opacity": uniform(weights, 0.2, 0.8), "texture": share(hits, DRAWS, 0.5)}


def _places() -> Material:
    whole = [np.ones((SIDE, SIDE), np.bool_)]
    return Material("fidelity", "places", [PLACES], whole, [np.full_like(PLACES, 255)])


def simplex(method: PerSample) -> Laws:
    """Sides UI[10, 31]; 0.2 of six octaves whose standard deviation is .365, channels alike."""
    samples = list(drawn(method, flat(128)))
    boxes = np.array([box(s.mask) for s in samples])
    changes = [s.image[s.mask].astype(float) - 128 for s in samples]
    power = [float(np.square(c).mean()) for c in changes]
    return {
        "height": counts(boxes[:, 2], even(range(10, 32))),
        "width": counts(boxes[:, 3], even(range(10, 32))),
        "row": placed(boxes[:, 0], boxes[:, 2]),
        "column": placed(boxes[:, 1], boxes[:, 3]),
        "strength": mean(power, (0.355 * 51) ** 2, (0.375 * 51) ** 2),
        "red and green": mean(_together(changes, 1), 0.966, 0.986),
        "red and blue": mean(_together(changes, 2), 0.92, 0.95),
    }


def _together(changes: list[Any], channel: int) -> list[float]:
    """Return, sample by sample, terms whose mean is the correlation of red and another channel."""
    scale = np.mean([np.square(c).mean() for c in changes])
    return [float((c[:, 0] * c[:, channel]).mean() / scale) for c in changes]


def maker(method: PerSample) -> Laws:
    """Three shapes, evenly; boxes of 2..15 % and aspects up to 3.3; half are cut from normals."""
    plain = {"jitter": 0.0, "soft_share": 0.0, "foreground": 0.0}
    cut: Any = changed(method, **plain, cut_share=1.0)
    blobs = np.array([box(s.mask) for s in drawn(changed(cut, shapes="blob"), flat(0, 255))])
    high, wide = within(blobs[:, 2]) - 0.5, within(blobs[:, 3]) - 0.5
    drawn_shapes: list[str] = []
    sizes: list[tuple[int, int]] = []
    draw_shape, draw_blob = defectmaker.Defectmaker._shape, defectmaker.bezier.blob
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            defectmaker.Defectmaker,
            "_shape",
            lambda self, shape, *rest: drawn_shapes.append(shape) or draw_shape(self, shape, *rest),
        )
        patch.setattr(
            defectmaker.bezier,
            "blob",
            lambda rng, height, width, corners: (
                sizes.append((height, width)) or draw_blob(rng, height, width, corners)
            ),
        )
        list(drawn(cut, flat(0, 255)))
        scars = [size for shape, size in zip(drawn_shapes, sizes, strict=True) if shape == "scar"]
    even_shapes = [defectmaker.SHAPES.index(shape) for shape in drawn_shapes]
    half: Any = changed(method, **plain, shapes="blob")
    whites = sum(bool((s.image[s.mask] == 255).all()) for s in drawn(half, flat(0, 255)))
    return {
        "shape": counts(even_shapes, even(range(3))),
        "area": uniform(high * wide / SIDE**2, 0.02, 0.15),
        "aspect": uniform(np.log(wide / high), -math.log(3.3), math.log(3.3)),
        "scar's height": counts([h for h, _ in scars], even(range(15, 30))),
        "scar's width": counts([w for _, w in scars], even(range(7, 21))),
        "clump's opacity": uniform(opacity(changed(cut, shapes="clump")) / 255, 0.5, 1),
        "cut": share(whites, DRAWS, 0.5),
    }


def pasted(method: PerSample) -> Laws:
    """Turned by U(-180, 180), scaled by U(.85, 1.15), mirrored by fair coins, put anywhere."""
    plain: Any = changed(method, jitter=0.0, foreground=0.0)
    whole = np.ones((SIDE, SIDE), np.bool_)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[100:141, 110:161] = True
    defect = Defect("one", "square", PLACES, mask)
    white = [np.full_like(PLACES, 255)]
    given = Material("fidelity", "pasted", white, [whole], defect_images=[defect])
    samples = list(drawn(plain, given))
    boxes = np.array([box(s.mask) for s in samples])
    sizes = np.array([s.mask.sum() / mask.sum() for s in samples]) ** 0.5
    flips = [float(np.linalg.det(moved(s, s.mask))) < 0 for s in samples]
    turned = [degrees(moved(s, s.mask)) for s in drawn(changed(plain, mirrored=False), given)]
    return {
        "angle": uniform(turned, -180, 180),
        "scale": uniform(sizes, 0.85, 1.15),
        "mirrored once": share(sum(flips), DRAWS, 0.5),
        "row": placed(boxes[:, 0], boxes[:, 2], 1, SIDE - 2),
        "column": placed(boxes[:, 1], boxes[:, 3], 1, SIDE - 2),
    }

"""Perlin masks and what is blended in through them: DRAEM, DeSTSeg and MemSeg."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from asbench.imaging import augmenter, perlin
from asbench.synthesizers import memseg
from asbench.types import PerSample
from synth_store.rng import address_rng
from synth_store.types import Mask
from tests.evidence import (
    alike,
    counts,
    even,
    follows,
    mean,
    share,
    uniform,
)
from tests.laws.reading import (
    CHANCE,
    DRAWS,
    PLACES,
    SIDE,
    Laws,
    changed,
    drawn,
    every,
    flat,
    on,
    opacity,
)


def textbook(side: int, cells: tuple[int, int], two_sided: bool = False) -> Mask:
    """One mask: Perlin's formula at every pixel, turned by U(-90, 90) by SciPy, above 0.5.

    two_sided: or below -0.5.
    """
    angles = CHANCE.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    y, x = (np.arange(side) * n / side for n in cells)
    row, column = np.floor(y).astype(int)[:, None], np.floor(x).astype(int)
    v, u = y[:, None] - row, x - column
    total: Any = 0
    for j, i in itertools.product((0, 1), repeat=2):
        angle = angles[row + j, column + i]
        near = [t if at else 1 - t for at, t in ((j, fade(v)), (i, fade(u)))]
        total = total + near[0] * near[1] * (np.sin(angle) * (v - j) + np.cos(angle) * (u - i))
    turned = ndimage.rotate(2**0.5 * total, CHANCE.uniform(-90, 90), reshape=False, order=1)
    return np.asarray((np.abs(turned) if two_sided else turned) > 0.5)


def fade(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 6 * t**5 - 15 * t**4 + 10 * t**3


def blobs(high: int, empty: tuple[float, float]) -> Laws:
    """2^UI[0, high] cells per axis; the share of empty masks, before any is drawn again.

    The shares are those measured on the published code. Its 61 % for a single cell is not among
    them: the textbook's formula gives 58 % over many draws, and so do we.
    """
    rng, side = np.random.default_rng(high), 64
    both: list[list[Mask]] = [[], []]
    for _ in range(DRAWS):
        both[0].append(perlin.draw_mask(side, side, rng, exponents=(0, high)))
        both[1].append(textbook(side, tuple(2 ** CHANCE.integers(0, high + 1, 2))))
    ours, law = ([float(m.mean()) for m in masks] for masks in both)
    corners = [[int(m[:6, :6].any() or m[-6:, -6:].any()) for m in masks] for masks in both]
    large = [perlin.draw_mask(SIDE, SIDE, rng, exponents=(0, high)).mean() for _ in range(DRAWS)]
    cells = np.log2([perlin.draw_cells(rng, 0, high) for _ in range(DRAWS)]).astype(int)
    return {
        "P(empty)": share(large.count(0), DRAWS, *empty),
        "P(empty) as the textbook's": alike(ours.count(0), law.count(0), DRAWS),
        "area as the textbook's": follows(ours, law),
        "corners as the textbook's": alike(sum(corners[0]), sum(corners[1]), DRAWS),
        "mean area": mean(large, 0.044, 0.053),
        "cells": counts(cells @ [high + 1, 1], even(range((high + 1) ** 2))),
    }


def single(cells: tuple[int, int]) -> float:
    """Compare P(empty) for one number of cells with the textbook's."""
    rng = np.random.default_rng(cells)
    empty = [0, 0]
    for _ in range(DRAWS):
        noise = perlin.noise(64, 64, cells, rng)
        empty[0] += not (perlin.rotate(noise, rng.uniform(-90, 90)) > 0.5).any()
        empty[1] += not textbook(64, cells).any()
    return alike(*empty, DRAWS)


def draem(method: PerSample) -> Laws:
    """Texture opacity 1 - U(0, 0.8); empty masks in 5.5 % of draws; three of ten operations."""
    return {
        "opacity": uniform(opacity(changed(method, augmented=False)) / 255, 0.2, 1),
        **{f"P(empty), {c[0]} x {c[1]} cells": single(c) for c in ((1, 1), (1, 2), (2, 2))},
        **blobs(5, (0.0545, 0.0555)),
        **operations(),
    }


def destseg(method: PerSample) -> Laws:
    return {"opacity": uniform(opacity(method) / 255, 0.2, 1)}


def destseg_asbench(method: PerSample) -> Laws:
    """Exponents 0..3: empty masks in 12.3 % of draws."""
    assert (method.exponent_low, method.exponent_high) == (0, 3)
    return destseg(method) | blobs(3, (0.1225, 0.1235))


def operations() -> Laws:
    """Three of ten, distinct, in any order; ranges of those whose draw shows on a ramp."""
    ramp = np.repeat(np.arange(SIDE, dtype=np.uint8)[None, :, None], 3, axis=2)
    spot = np.full((5, 5, 3), 100, np.uint8)
    spot[2, 2] = 139  # its blurred self is 115: 139 = 115 + 24 at factor 1
    orders = {o: i for i, o in enumerate(itertools.permutations(range(10), 3))}
    found: dict[str, list[float]] = {n: [] for n in ("order", "gamma", "bits", "sharpen")}
    solarised: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        calls: list[int] = []
        still = augmenter.Pixelwise(lambda image: image)
        spies = [lambda rng, i=i: (calls.append(i), still)[1] for i in range(10)]
        patch.setattr(augmenter, "OPERATIONS", tuple(spies))
        for index in range(DRAWS):
            augmenter.augment(ramp, address_rng("augment", index))
            found["order"].append(orders[tuple(calls)])
            calls.clear()
    of = augmenter.OPERATIONS
    for index in range(DRAWS):
        rng = address_rng("operations", index)
        level = of[0](rng)(ramp)[0, 128, 0] + rng.uniform(-0.5, 0.5)
        found["gamma"].append(math.log(level / 255) / math.log(128 / 255))
        found["bits"].append(len(np.unique(of[5](rng)(ramp))).bit_length() - 1)
        changes = np.flatnonzero((of[4](rng)(ramp) != ramp)[0, :, 0])
        solarised += [changes[0] - rng.random()] if len(changes) else []
        found["sharpen"].append((of[2](rng)(spot)[2, 2, 0] + rng.uniform(-0.5, 0.5) - 115) / 24)
    return {
        "three of ten": counts(found["order"], even(range(720))),
        "gamma": uniform(found["gamma"], 0.5, 2),
        "posterise": counts(found["bits"], even(range(1, 9))),
        "solarise at all": share(len(solarised), DRAWS, 0.5),
        "solarise from": uniform(solarised, 32, 128),
        "sharpness": uniform(found["sharpen"], 0, 2),
    }


def shown(method: PerSample) -> Laws:
    """MemSeg: by a fair coin a texture or the image's 8 x 8 cells in another order; U(0.15, 1)."""
    stripes = PLACES.copy()
    stripes[:, ::2], stripes[:, 1::2] = 0, 255
    given = dataclasses.replace(on(PLACES), textures=[stripes])
    striped = []
    for sample in drawn(method, given):
        # Along a row of PLACES the first channel stays the same, wherever its cells went.
        steps = np.abs(np.diff(sample.image[..., 0].astype(int)))
        steps = steps[sample.mask[:, 1:] & sample.mask[:, :-1]]
        striped += [bool(np.median(steps) > 20)] if len(steps) else []
    textures = changed(method, texture_share=1.0, foreground=0.0)
    structure = changed(method, texture_share=0.0, foreground=0.0, opacity_low=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memseg, "augment", lambda image, rng: image)
        cells = [
            s.image[tuple(np.argwhere(s.mask)[0])][:2] // (SIDE // 8) @ [8, 1]
            for s in drawn(structure, on(PLACES))
        ]
    return {
        "textures": share(sum(striped), len(striped), 0.5),
        "opacity": uniform(opacity(textures) / 255, 0.15, 1),
        "cells": counts(cells, even(range(64))),
    }


def dark_only(method: PerSample) -> Laws:
    """Grey levels up to 100 are the object, whatever they are."""
    half = flat(100, textures=(255,))
    half.normals[0][:, SIDE // 2 :] = 101
    assert not any(s.mask[:, SIDE // 2 :].any() for s in every(method, half) if s)
    anywhere = changed(method, texture_share=1.0, foreground=0.0)
    return {"opacity": uniform(opacity(anywhere) / 255, 0.15, 1)}

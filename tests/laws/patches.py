"""Squares, rectangles, strips and cells: CutOut, CutPaste, its scar, FPI, PII and RIAD."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image as Pillow
from scipy import stats

from asbench.imaging.poisson import blend, weighted_mixed_gradients
from asbench.types import Material, PerSample
from synth_store.types import Mask
from tests.evidence import (
    counts,
    even,
    follows,
    mean,
    share,
    tally,
    uniform,
    unrelated,
)
from tests.laws.reading import (
    CHANCE,
    DRAWS,
    PLACES,
    SIDE,
    Laws,
    box,
    changed,
    cut_off,
    degrees,
    drawn,
    every,
    flat,
    grain,
    levels,
    moved,
    on,
    placed,
    within,
)


def cutout(method: PerSample, low: int = 20, high: int = 50, **area: float) -> Laws:
    """A side of UI[20, 50] about a centre uniform over the image; 1.8 % of it."""
    top, left, height, width = np.array([box(s.mask) for s in drawn(method, flat(200))]).T
    sides, centres = np.arange(low, high + 1)[:, None], np.arange(SIDE)
    starts = centres - sides // 2
    law = tally(cut_off(starts, starts + sides))
    whole = (top > 0) & (left > 0) & (top + height < SIDE) & (left + width < SIDE)
    return {
        "height": counts(height, law),
        "width": counts(width, law),
        "mean area": mean(height * width / SIDE**2, 0.0175, 0.0185) if low < high else 1.0,
        "row": placed(top[whole] - 1, height[whole], last=SIDE - 3.0),
        "column": placed(left[whole] - 1, width[whole], last=SIDE - 3.0),
        "row and column": unrelated(top[whole], left[whole]),
    }


def cutout_cifar(method: PerSample) -> Laws:
    """A side of half the image's, in the mean colour."""
    image = PLACES.copy()
    found = list(drawn(method, on(image), 400))
    colour = np.rint(image.mean((0, 1)))
    assert all((s.image[s.mask] == colour).all() for s in found)
    starts = np.arange(SIDE) - SIDE // 4
    law = tally(cut_off(starts, starts + SIDE // 2))
    return {"height": counts([box(s.mask)[2] for s in found], law)}


def grey_jitter(method: PerSample) -> Laws:
    """Brightness U(0.9, 1.1), the one jitter that grey shows; below 4 levels nothing is seen."""
    law = {level: (0.5 if abs(level - 200) == 20 else 1.0) / 40 for level in range(180, 221)}
    seen = {level: chance for level, chance in law.items() if abs(level - 200) >= 4}
    found = [int(levels(s)[0]) for s in every(method, flat(200)) if s]
    return {
        "P(None) on one grey": share(DRAWS - len(found), DRAWS, 1 - sum(seen.values())),
        "brightness": counts(found, {k: p / sum(seen.values()) for k, p in seen.items()}),
    }


def cutpaste(method: PerSample) -> Laws:
    """Area U(0.02, 0.15), aspect log-uniform in 0.3 .. 1/0.3, source and destination uniform."""
    still = [*drawn(changed(method, jitter=0.0), on(PLACES))]
    top, left, height, width = np.array([box(s.mask) for s in still]).T
    from_top, from_left = np.array(
        [s.image[y, x, :2] for s, y, x in zip(still, top, left, strict=True)], int
    ).T
    area, aspect = height * width / SIDE**2, np.log(width / height)
    laws = {
        "area": uniform(area, 0.02, 0.15),
        "mean area": mean(area, 0.085),
        "aspect": uniform(aspect, math.log(0.3), -math.log(0.3)),
        "area and aspect": unrelated(area, aspect),
        "row": placed(top, height),
        "column": placed(left, width),
        "source row": placed(from_top, height),
        "source column": placed(from_left, width),
        "source and destination": unrelated(
            from_top / (SIDE + 1 - height), top / (SIDE + 1 - height)
        ),
    }
    return laws | (grey_jitter(method) if method.jitter else {})


def strips(method: PerSample) -> Laws:
    """Width U(2, 16), height U(10, 25) before the turn, rounded."""
    straight = changed(method, max_degrees=0.0, jitter=0.0)
    _, _, height, width = np.array([box(s.mask) for s in drawn(straight, on(PLACES))]).T
    ends = {2: 0.5 / 14, 16: 0.5 / 14}, {10: 0.5 / 15, 25: 0.5 / 15}
    return {
        "width": counts(width, dict.fromkeys(range(2, 17), 1 / 14) | ends[0]),
        "height": counts(height, dict.fromkeys(range(10, 26), 1 / 15) | ends[1]),
    }


def angle(method: PerSample, most: float) -> Laws:
    """Read off strips large enough for their pixels to tell a degree."""
    shares = {f"{side}_{end}": 0.15 for side in ("width", "height") for end in ("low", "high")}
    found = drawn(changed(method, jitter=0.0, **shares), on(PLACES))
    angles = [degrees(moved(s, s.mask & (s.image[..., 2] > 0))) for s in found]
    return {"angle": uniform(angles, -most, most)}


def scar(method: PerSample) -> Laws:
    """A strip turned by U(-45, 45), jittered; 0.24 % of the image."""
    found = drawn(changed(method, jitter=0.0), on(PLACES))
    return {
        **strips(method),
        **angle(method, 45),
        **grey_jitter(method),
        "mean area": mean([s.mask.mean() for s in found], 0.00235, 0.00245),
    }


def scar_asbench(method: PerSample) -> Laws:
    """U(-30, 30); Pillow's whole box is pasted and labelled, its corners black."""
    found = [*drawn(method, on(PLACES))]
    top, left, height, width = np.array([box(s.mask) for s in found]).T
    assert all(s.mask.sum() == h * w for s, h, w in zip(found, height, width, strict=True))
    black = [float((s.image[..., 2] == 0)[s.mask].mean()) for s in found]
    boxes, blacks = [], []
    for _ in range(DRAWS):
        size = round(CHANCE.uniform(2, 16)), round(CHANCE.uniform(10, 25))
        turned = Pillow.new("L", size, 1).rotate(CHANCE.uniform(-30, 30), expand=True)
        boxes.append(turned.width * turned.height)
        blacks.append(1 - np.asarray(turned).mean())
    return {
        **strips(method),
        **angle(method, 30),
        "box": follows(height * width, boxes),
        "black share": follows(black, blacks),
        "row": placed(top, height),
        "column": placed(left, width),
    }


def reaches(method: PerSample, given: Material, frame: int) -> Laws:
    """Centre uniform over the central 80 %, half side UI[13, 50]; 6.6 % of the image."""
    sizes = np.array([box(s.mask)[2:] for s in drawn(method, given)]).T
    half, centres = np.arange(13, 51)[:, None], np.arange(26, 230)
    law = tally(cut_off(centres - half, centres + half, frame))
    return {
        "height": counts(sizes[0], law),
        "width": counts(sizes[1], law),
        "mean area": mean(sizes.prod(0) / SIDE**2, 0.0655, 0.0665),
    }


def fpi(method: PerSample) -> Laws:
    """The other normal with a weight of U(0.05, 0.95)."""
    found = np.array([levels(s)[0] for s in drawn(method, flat(0, 255))])
    weight = (found + CHANCE.random(DRAWS) - 0.5) / 255
    return {"weight": uniform(weight, 0.05, 0.95)} | reaches(method, flat(0, 255), 0)


def disc(method: PerSample) -> Laws:
    """A disc of radius UI[13, 25], centred in the middle half, 20..30 % of the range up or down."""
    given = flat(128)
    given.normals[0][0, :2] = [[0], [255]]  # a range of 255, out of every disc's reach
    found = [*drawn(method, given)]
    top, left, height, width = np.array([box(s.mask) for s in found]).T
    # The centre is a pixel and the rim is left out: a radius of r spans 2 r - 1 pixels.
    assert np.array_equal(height, width)
    radius = (height + 1) // 2
    change = np.array([levels(s)[0] for s in found]) - 128
    size = np.where(change > 0, change, -change - 1) + CHANCE.random(DRAWS)
    return {
        "radius": counts(radius, even(range(13, 26))),
        "row": counts(top + radius - 1, even(range(64, 192))),
        "column": counts(left + radius - 1, even(range(64, 192))),
        "brighter": share(int((change > 0).sum()), DRAWS, 0.5),
        "offset": uniform(size, 51, 76.5),
        "mean area": mean([s.mask.mean() for s in found], 0.0175, 0.0185),
    }


def disc_wraps(method: PerSample) -> Laws:
    """Beyond 255 levels begin at 0 again."""
    given = flat(250)
    given.normals[0][0, 0] = 0
    found = np.array([levels(s)[0] for s in drawn(method, given)])
    wrapped = found[found < 125]
    assert found[found >= 125].max() <= 200
    return {
        "wrapped": share(len(wrapped), DRAWS, 0.5),
        "offset": uniform(within(wrapped) + 6, 50, 75),
    }


def pii(method: PerSample) -> Laws:
    """FPI's square off a frame of one pixel; alpha U(0.05, 0.95) weighs the foreign gradients."""
    side = 64
    one, step = (np.full((side, side, 3), level, np.uint8) for level in (128, 27))
    step[side // 2 :] = 227
    # A core below one pixel and one reach: every square is the same, the whole but for two pixels.
    still = changed(method, core=0.01, reach_low=0.45, reach_high=0.45)
    inner = np.s_[2:62, 2:62]
    full = (blend(one[inner], step[inner], weighted_mixed_gradients(1.0)) - 128).ravel()
    alpha = [
        float((s.image[inner].ravel() - 128.0) @ full / (full @ full))
        for s in drawn(still, on(one, step))
    ]
    return {"alpha": uniform(alpha, 0.05, 0.95)} | reaches(method, on(*grain(2, 20, 236)), 1)


def riad(method: PerSample) -> Laws:
    """Cells of 2, 4, 8 or 16 pixels, a third of them, in any place."""
    sides, together = [], 0
    covered = np.zeros((8, 8), int)
    for sample in drawn(method, flat(200)):
        runs = [k for k in (16, 8, 4, 2) if np.array_equal(sample.mask, blocks(sample.mask, k))]
        sides.append(runs[0])
        assert sample.mask.sum() == -(-((SIDE // runs[0]) ** 2) // 3) * runs[0] ** 2
        covered += sample.mask[8::32, 8::32]
        together += int(sample.mask[8, 8] & sample.mask[8, 24])
    cells = [(SIDE // k) ** 2 for k in (2, 4, 8, 16)]
    both = np.mean([-(-n // 3) * (-(-n // 3) - 1) / n / (n - 1) for n in cells])
    distance = (covered - DRAWS / 3) ** 2 / (DRAWS * 2 / 9)
    return {
        "side": counts(np.log2(sides).astype(int), even(range(1, 5))),
        "places": float(stats.chi2.sf(distance.sum(), distance.size)),
        "two cells": share(together, DRAWS, float(both)),
    }


def blocks(mask: Mask, side: int) -> Mask:
    """Return every cell of the grid filled with its first pixel."""
    return np.asarray(np.kron(mask[::side, ::side], np.ones((side, side), np.bool_)), np.bool_)

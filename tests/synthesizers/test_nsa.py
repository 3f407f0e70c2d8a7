"""NSA: patches, places on the object, label, and the table of categories."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from asbench.synthesizers import nsa, resolve
from asbench.synthesizers.nsa import CATEGORIES, VARIANTS, Nsa, label, median, off_background
from asbench.testing import draw, material
from asbench.types import Canvas, Material
from synth_store.types import Sample, UserError


def found(method: Nsa, given: Material, count: int) -> list[Sample]:
    return [s for s in draw(method, given, count) if s is not None]


def noise(side: int = 256, normals: int = 4) -> Material:
    """Grain so strong that whatever is cloned shows everywhere."""
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (normals, side, side, 3), dtype=np.uint8))
    return Material("testing", "noise", images, [np.ones((side, side), np.bool_)] * normals)


def pieces(mask: np.ndarray) -> list[tuple[int, int]]:
    """Height and width of each connected part."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [(int(s[cv2.CC_STAT_HEIGHT]), int(s[cv2.CC_STAT_WIDTH])) for s in stats[1:]]


def test_pasted_patches_keep_the_bounds_and_their_proportions() -> None:
    rng = np.random.default_rng(0)
    method = Nsa(height_high=0.2)
    for size in ((20, 20), (40, 90), (100, 16), (100, 200), (2, 2)):
        for _ in range(50):
            height, width = method._size(size, (0.7, 1.3), (256, 256), rng)
            assert 5 <= height <= 256
            assert 5 <= width <= 0.4 * 256
            if min(height, width) > 8:
                assert height / width == pytest.approx(size[0] / size[1], rel=0.12)
    sides = [side for s in found(Nsa(patches=1), noise(), 60) for p in pieces(s.mask) for side in p]
    assert max(sides) <= 0.4 * 256


def test_kinds_decide_patches_resize_and_gradients() -> None:
    rng = np.random.default_rng(0)

    def scene(surface: Any, **settings: Any) -> nsa._Scene:
        return Nsa(**settings)._scene(Canvas(material(kind=surface), 0), rng)

    texture, thing = scene("texture"), scene("object")
    assert (texture.patches, texture.resize, texture.mixed) == (4, (0.5, 2.0), True)
    assert texture.on_source is texture.on_target is None
    assert (thing.patches, thing.resize, thing.mixed) == (3, (0.7, 1.3), False)
    assert thing.on_target is not None
    forced = scene("object", kind="texture", patches=2, resize=(1.0, 1.0), gradients="source")
    assert (forced.patches, forced.resize, forced.mixed) == (2, (1.0, 1.0), False)
    assert forced.on_source is None
    assert scene("texture", kind="object").on_source.all()  # type: ignore[union-attr]
    assert scene("object", objects="none").on_source is None


def test_source_is_another_normal_and_its_own_foreground() -> None:
    given = material(kind="object", normals=5)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        scene = Nsa()._scene(Canvas(given, 2), rng)
        index = next(i for i in range(5) if given.normals[i] is scene.source)
        assert scene.on_source is given.foregrounds[index]  # type: ignore[index]
        seen.add(index)
    assert seen == {0, 1, 3, 4}
    same = Nsa(source="same")._scene(Canvas(given, 2), rng)
    assert same.source is given.normals[2]
    alone = material(normals=1)
    assert Nsa()._scene(Canvas(alone, 0), rng).source is alone.normals[0]


def test_patches_keep_to_the_object() -> None:
    """Every part of the mask meets the disc, and reaches beyond only where the source's does."""
    given = material(128, 128, "object")
    samples = found(Nsa(), given, 40)
    assert len(samples) == 40
    disc = given.foregrounds[0]
    for sample in samples:
        _, parts = cv2.connectedComponents(sample.mask.astype(np.uint8), connectivity=8)
        assert all((disc & (parts == part)).any() for part in range(1, parts.max() + 1))
    strict = found(Nsa(min_object=0.99, min_overlap=0.99), given, 40)
    outside = [np.count_nonzero(s.mask & ~disc) / s.mask.sum() for s in strict]
    assert max(outside) < 0.03


def test_backgrounds_of_the_table_are_found() -> None:
    image = np.full((60, 60, 3), 205, np.uint8)
    image[20:40, 20:40] = (90, 150, 160)
    image[5, 5] = 0  # a speck the median drops
    mask = off_background(image, 200, 60)
    assert mask[21:39, 21:39].all()
    assert not mask[:20].any()
    given = Material("testing", "bright", [image, image.copy()])
    method = resolve("nsa", dataset="mvtec", category="bottle")
    assert isinstance(method, Nsa)
    inside = np.zeros((60, 60), np.bool_)
    inside[20:40, 20:40] = True
    for sample in found(method, given, 10):
        assert (sample.mask & inside).any()


def test_all_background_gives_nothing_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsa, "blend", None)  # nothing may be blended
    assert draw(Nsa(), material(kind="background"), 4) == [None] * 4
    nowhere = dataclasses.replace(Nsa(), min_overlap=0.999, min_object=0.0)
    far = material(kind="object", normals=2)
    shifted = [far.foregrounds[0], np.zeros((64, 64), np.bool_)]
    given = Material("testing", "apart", list(far.normals), shifted)  # type: ignore[call-overload]
    assert draw(nowhere, given, 2)[1] is None


def test_overlapping_patches_are_united() -> None:
    """Also where the later patch would overwrite the earlier one's mask, and in several parts."""
    clean = np.zeros((40, 40, 3), np.uint8)
    image, area = clean.copy(), np.zeros((40, 40), np.bool_)
    image[5:15, 5:15] = 50
    image[20:30, 10:25] = 1  # a mean change of 1 level does not exceed 1
    image[32:38, 30:38] = (0, 6, 0)
    area[5:30, 5:25] = True
    area[32:38, 30:38] = True
    mask = label(image, clean, area, 1)
    assert mask[7:13, 7:13].all()
    assert not mask[20:30].any()
    assert mask[34:36, 32:36].all()
    assert not mask[~area].any()
    assert not label(image, clean, area, 84).any()
    assert not label(image, clean, np.zeros_like(area), 1).any()


@drawn(st.integers(1, 30), st.integers(1, 30), st.sampled_from([3, 5, 7]), st.integers(0, 99))
def test_median_counts_the_majority(height: int, width: int, side: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    padded = np.pad(mask, side // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    assert np.array_equal(median(mask, side), np.median(windows, axis=(2, 3)) > 0)


def test_outside_the_mask_the_bytes_are_the_normals() -> None:
    """Cloning changes more than it labels; a smooth image has much below the tolerance."""
    given = material(128, 128)
    for name in ("nsa", "nsa@opencv", "nsa@asbench"):
        method = resolve(name, dataset="testing", category="texture")
        for index, sample in enumerate(draw(method, given, 12)):
            if sample is not None:
                same = (sample.image == given.normals[index % 4]).all(axis=2)
                assert same[~sample.mask].all()


def test_blending_by_opencv_keeps_the_places() -> None:
    """Only the pixels differ: the draws are the same, and so, but for the edges, are the masks."""
    for exact, cloned in zip(
        draw(Nsa(patches=1), noise(128), 20),
        draw(Nsa(patches=1, blending="opencv"), noise(128), 20),
        strict=True,
    ):
        assert exact is not None
        if cloned is None:
            continue
        either, both = exact.mask | cloned.mask, exact.mask & cloned.mask
        if exact.mask.sum() > 400:
            assert both.sum() / either.sum() > 0.6
            rows, columns = np.nonzero(exact.mask)
            there = [axis.mean() for axis in np.nonzero(cloned.mask)]
            assert np.abs(np.array(there) - [rows.mean(), columns.mean()]).max() < 1.5


def test_table_covers_mvtec() -> None:
    assert len(CATEGORIES) == 15
    screw = resolve("nsa", dataset="mvtec", category="screw")
    assert (screw.patches, screw.height_high, screw.background) == (4, 0.12, 200)  # type: ignore[attr-defined]
    for place in CATEGORIES:
        for name in ("nsa", "nsa@opencv"):
            resolve(name, dataset="mvtec", category=place.partition("/")[2])
    # ASBench's settings are the same for every category.
    chosen = {"background", "contrast", "min_object"}
    assert all(set(c) - chosen <= set(VARIANTS["asbench"]) for c in CATEGORIES.values())


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"height_low": 0.0}, "0 < height_low"),
        ({"width_high": 0.01}, "width_low <= width_high"),
        ({"patches": 0}, "at least 1"),
        ({"resize": (2.0, 0.5)}, "0 < low <= high"),
        ({"min_object": 1.0}, "min_object"),
        ({"tolerance": 90.0}, "tolerance"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        Nsa(**wrong)

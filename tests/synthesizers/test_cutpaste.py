"""CutPaste: the pasted rectangle comes from the image, and its law is the published one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asbench.synthesizers.cutpaste import VARIANTS, CutPaste
from asbench.types import Canvas, Material
from synth_store.types import Image, Sample, UserError

PLAIN = CutPaste()
ASBENCH = dataclasses.replace(PLAIN, **VARIANTS["asbench"])


def noise(height: int = 64, width: int = 64) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def samples(method: CutPaste, image: Image, count: int) -> list[Sample | None]:
    canvas = Canvas(Material("testing", "noise", [image]), 0)
    return [method(canvas, np.random.default_rng(seed)) for seed in range(count)]


def box(sample: Sample) -> tuple[slice, slice]:
    rows, columns = sample.mask.any(axis=1).nonzero()[0], sample.mask.any(axis=0).nonzero()[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (24, 24), (31, 8)])
def test_without_jitter_the_patch_is_found_elsewhere_on_the_image(size: tuple[int, int]) -> None:
    image = noise(*size)
    found = [s for s in samples(ASBENCH, image, 20) if s is not None]
    assert len(found) > 10
    for sample in found:
        np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])
        patch = sample.image[box(sample)]
        windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
        assert (windows == patch).all(axis=(-3, -2, -1)).any()


def test_jitter_changes_the_patch_and_nothing_else() -> None:
    image = noise()
    plain, still = samples(PLAIN, image, 50), samples(ASBENCH, image, 50)
    changed = 0
    for jittered, moved in zip(plain, still, strict=True):
        assert jittered is not None
        assert moved is not None
        np.testing.assert_array_equal(jittered.mask, moved.mask)
        np.testing.assert_array_equal(jittered.image[~moved.mask], image[~moved.mask])
        changed += not np.array_equal(jittered.image, moved.image)
    assert changed == 50


def test_a_patch_like_what_it_covers_is_no_anomaly() -> None:
    constant = np.full((64, 64, 3), 128, np.uint8)
    assert samples(ASBENCH, constant, 20) == [None] * 20
    assert samples(PLAIN, np.zeros((64, 64, 3), np.uint8), 20) == [None] * 20


def test_a_grey_image_stays_grey_without_jitter() -> None:
    grey = np.repeat(noise()[..., :1], 3, axis=2)
    for sample in samples(ASBENCH, grey, 10):
        assert sample is not None
        assert (np.ptp(sample.image, axis=2) == 0).all()


@pytest.mark.parametrize(
    "wrong",
    [{"area_low": 0.2}, {"area_high": 1.1}, {"aspect_low": 0}, {"jitter": -0.1}, {"jitter": 0.6}],
    ids=str,
)
def test_refuses_parameters_without_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        CutPaste(**wrong)

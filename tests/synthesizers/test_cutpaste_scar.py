"""CutPaste-Scar: a thin strip without black corners; ASBench's box with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asbench.synthesizers.cutpaste_scar import VARIANTS, CutPasteScar
from asbench.types import Canvas, Material
from synth_store.types import Image, Sample, UserError

PLAIN = CutPasteScar()
ASBENCH = dataclasses.replace(PLAIN, **VARIANTS["asbench"])


def noise(height: int = 256, width: int = 256) -> Image:
    return np.random.default_rng(0).integers(100, 256, (height, width, 3), dtype=np.uint8)


def samples(method: CutPasteScar, image: Image, count: int) -> list[Sample | None]:
    canvas = Canvas(Material("testing", "noise", [image]), 0)
    return [method(canvas, np.random.default_rng(seed)) for seed in range(count)]


def test_no_black_corners() -> None:
    image = noise()
    for sample in samples(PLAIN, image, 200):
        assert sample is not None
        # Jitter takes a value of at least 100 to no less than 0.9 * 0.9 * 0.9 of it.
        assert sample.image[sample.mask].max(axis=1).min() > 60
        np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])


def test_asbench_pastes_and_labels_the_corners() -> None:
    image = noise()
    for sample in samples(ASBENCH, image, 200):
        assert sample is not None
        rows, columns = sample.mask.nonzero()
        assert sample.mask.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])
        inside = sample.image[sample.mask]
        black = (inside == 0).all(axis=1)
        assert black.mean() < 0.9
        assert (inside[~black] >= 100).all()


@pytest.mark.parametrize("method", [PLAIN, ASBENCH], ids=["plain", "asbench"])
@pytest.mark.parametrize("size", [(8, 8), (24, 24), (96, 160), (8, 200)])
def test_any_size(method: CutPasteScar, size: tuple[int, int]) -> None:
    image = noise(*size)
    found = [s for s in samples(method, image, 20) if s is not None]
    assert len(found) > 10
    for sample in found:
        assert sample.mask.any()
        np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])


def test_huge_strips_are_cut_off_at_the_border() -> None:
    method = CutPasteScar(width_low=1, width_high=1, height_low=1, height_high=1)
    for sample in samples(method, noise(40, 64), 10):
        assert sample is not None
        assert sample.mask.mean() > 0.4


def test_nothing_to_see_is_no_anomaly() -> None:
    assert samples(PLAIN, np.zeros((64, 64, 3), np.uint8), 20) == [None] * 20


@pytest.mark.parametrize(
    "wrong",
    [{"width_low": 0.5}, {"height_high": 2}, {"max_degrees": -1}, {"jitter": 1}],
    ids=str,
)
def test_refuses_parameters_without_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        CutPasteScar(**wrong)

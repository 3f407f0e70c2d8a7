"""How published code makes masks of files, against its resizing worked out in plain loops."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from asbench.evaluation import parity
from asbench.evaluation.parity import FLAVOURS
from synth_store.types import Mask
from tests.trees import soft


def sampled(weights: list[tuple[list[int], list[float]]], row: np.ndarray) -> np.ndarray:
    return np.array([sum(row[i] * w for i, w in zip(*taps, strict=True)) for taps in weights])


def taps(native: int, size: int, kernel: object, support: float) -> list:
    """The weights of every output pixel along one axis: a kernel as wide as the pixels shrink."""
    scale = native / size
    wide = max(scale, 1.0)
    found = []
    for out in range(size):
        centre = (out + 0.5) * scale
        inside = [i for i in range(native) if abs(i + 0.5 - centre) < support * wide]
        weights = [kernel((i + 0.5 - centre) / wide) for i in inside]
        found.append((inside, [w / sum(weights) for w in weights]))
    return found


def triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def cubic(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resized(
    grey: np.ndarray, size: tuple[int, int], kernel: object, support: float, whole: bool
) -> np.ndarray:
    """Columns first, then rows; `whole`: cut to 0..1 and rounded to 8 bits after each."""

    def stored(level: np.ndarray) -> np.ndarray:
        return np.round(np.clip(level, 0, 1) * 255) / 255 if whole else level

    rows, columns = (taps(n, s, kernel, support) for n, s in zip(grey.shape, size, strict=True))
    across = stored(np.array([sampled(columns, row) for row in grey / 255.0]))
    return stored(np.array([sampled(rows, column) for column in across.T]).T)


@pytest.mark.parametrize("size", [(16, 16), (9, 21), (60, 70)])
def test_destseg_and_memseg_resize_with_kernels_as_wide_as_the_pixels_shrink(
    size: tuple[int, int],
) -> None:
    grey = soft(0)
    tensor = resized(grey, size, triangle, 1, whole=False)
    np.testing.assert_allclose(parity.bilinear_antialiased(grey, size), tensor, atol=1e-5)
    pillow = resized(grey, size, cubic, 2, whole=True)
    np.testing.assert_allclose(parity.bicubic(grey, size), pillow, atol=1.01 / 255)


def test_draem_resizes_from_four_neighbours_alone() -> None:
    grey = soft(1, (32, 64))
    # shrunk by four, the neighbours of a pixel's centre are the two in the middle of its four
    middle = grey.reshape(8, 4, 16, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(parity.bilinear(grey, (8, 16)), middle, atol=1 / 255)
    dots = np.zeros((32, 64), np.uint8)
    dots[::4, ::4] = 255  # between the neighbours that count: lost
    assert not parity.bilinear(dots, (8, 16)).any()
    assert parity.bilinear_antialiased(dots, (8, 16)).all()


def test_levels_are_cut_as_each_code_casts_them() -> None:
    levels = np.array([[0, 1 / 255, 127 / 255, 0.5, 254 / 255, 1]], np.float32)
    assert parity.whole(levels).tolist() == [[False] * 5 + [True]]
    assert parity.touched(levels).tolist() == [[False] + [True] * 5]
    assert parity.half(levels).tolist() == [[False] * 3 + [True] * 3]


def test_a_square_is_eroded_by_one_code_and_dilated_by_another() -> None:
    """A 6x6 square whose edges fall amid the pixels of a half-sized map."""
    grey = np.zeros((16, 16), np.uint8)
    grey[5:11, 5:11] = 255
    eroded = np.zeros((8, 8), bool)
    eroded[3:5, 3:5] = True
    dilated = np.zeros((8, 8), bool)
    dilated[2:6, 2:6] = True

    def truth(flavour: str) -> tuple[Mask, Mask]:
        way = FLAVOURS[flavour]
        levels = way.resize(grey, (8, 8))
        return way.positive(levels), way.region(levels)

    for flavour, positive, region in (
        ("draem", eroded, eroded),
        ("anomalydiffusion", eroded, dilated),
    ):
        assert np.array_equal(truth(flavour)[0], positive), flavour
        assert np.array_equal(truth(flavour)[1], region), flavour
    halved = resized(grey, (8, 8), triangle, 1, whole=False) >= 0.5
    assert all(np.array_equal(mask, halved) for mask in truth("destseg"))
    pillow = np.asarray(PIL.Image.fromarray(grey).resize((8, 8)))  # its default for grey
    assert np.array_equal(truth("memseg")[0], pillow == 255)
    assert np.array_equal(truth("memseg")[1], pillow > 0)

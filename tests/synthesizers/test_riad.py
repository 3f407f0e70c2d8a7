"""RIAD: cell sizes, the share of cells, windows and colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asbench.synthesizers.riad import VARIANTS, Riad
from asbench.testing import draw
from asbench.types import Material
from synth_store.types import Mask, UserError

SIDES = (2, 4, 8, 16)


def flat(level: int, size: tuple[int, int] = (256, 256)) -> Material:
    return Material("testing", "flat", [np.full((*size, 3), level, np.uint8)])


def masks(method: Riad, count: int, size: tuple[int, int] = (256, 256)) -> list[Mask]:
    return [s.mask for s in draw(method, flat(200, size), count) if s]


def side_of(mask: Mask) -> int:
    """The largest k for which every k x k cell of the grid is of one kind."""

    def whole(k: int) -> bool:
        cells = mask.reshape(256 // k, k, 256 // k, k).swapaxes(1, 2)
        return bool((cells.all((2, 3)) | ~cells.any((2, 3))).all())

    return max(k for k in SIDES if whole(k))


def test_a_third_of_the_cells_of_one_of_four_sizes() -> None:
    found = masks(Riad(), 200)
    assert len(found) == 200
    sides = [side_of(mask) for mask in found]
    for side in SIDES:
        # 50 expected, standard deviation 6.1
        assert 30 < sides.count(side) < 70
    for mask, side in zip(found, sides, strict=True):
        cells = (256 // side) ** 2
        assert mask.sum() == -(-cells // 3) * side**2


def test_fills_with_one_colour_and_leaves_the_rest() -> None:
    for fill, level in (("black", 0), ("grey", 128)):
        (sample,) = draw(Riad(fill=fill), flat(200), 1)  # type: ignore[arg-type]
        assert sample is not None
        assert set(sample.image[sample.mask].ravel()) == {level}
        assert set(sample.image[~sample.mask].ravel()) == {200}
    assert Riad(**VARIANTS["grey"]) == Riad(fill="grey")


def test_a_fraction_keeps_to_a_window() -> None:
    corners = []
    for mask in masks(Riad(**VARIANTS["window"]), 200):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert rows[-1] - rows[0] < 64
        assert columns[-1] - columns[0] < 64
        side = side_of(mask)
        assert mask.sum() == -(-((64 // side) ** 2) // 3) * side**2
        corners.append((rows[0], columns[0]))
    tops, lefts = np.array(corners).T
    for starts in (tops, lefts):
        # Uniform over 0..192, a little further in by the cells that are not covered.
        assert starts.min() < 24
        assert starts.max() > 168
        assert 80 < starts.mean() < 120


def test_the_smallest_window_still_shows_a_cell() -> None:
    for mask in masks(Riad(sides=(0.1,), fraction=1e-6), 20):
        assert mask.sum() in {26 * 26, 26 * 22, 22 * 22}  # the last row and column are cut


@pytest.mark.parametrize("size", [(24, 24), (37, 51), (96, 160)])
def test_sides_that_do_not_divide(size: tuple[int, int]) -> None:
    for mask in masks(Riad(sides=(1 / 4,)), 50, size):
        side = round(min(size) / 4)
        y, x = np.ogrid[: size[0], : size[1]]
        assert np.array_equal(mask, mask[y // side * side, x // side * side])
        cells = mask[::side, ::side]
        assert cells.sum() == -(-cells.size // 3)


def test_one_set_covers_every_cell() -> None:
    (mask,) = masks(Riad(sets=1), 1)
    assert mask.all()


def test_cells_nobody_sees_are_no_sample() -> None:
    assert draw(Riad(), flat(0), 5) == [None] * 5
    assert draw(Riad(fill="grey"), flat(128), 5) == [None] * 5


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"sides": ()}, "sides="),
        ({"sides": (0.1, 0.0)}, "sides="),
        ({"sets": 0}, "sets=0"),
        ({"fraction": 0.0}, "fraction=0.0"),
        ({"fraction": 1.5}, "fraction=1.5"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=f"riad: {match}"):
        Riad(**wrong)

"""Defects are measured across, and a geometry that keeps enough of them is proposed."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.data.defect_sizes import ENOUGH, Advice, Sizes, advise, breadths
from synth_store import Geometry, UserError

PLAIN = Geometry()
LARGE = (3000, 4000)


def drawn(height: int = 120, width: int = 160) -> np.ndarray:
    return np.zeros((height, width), np.uint8)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8, 20])
@pytest.mark.parametrize("length", [20, 100])
def test_a_scratch_is_as_broad_as_it_is_wide(side: int, length: int) -> None:
    mask = drawn()
    mask[5 : 5 + side, 8 : 8 + length] = 1
    assert breadths(mask > 0) == (pytest.approx(side, abs=0.01),)
    assert breadths(mask.T > 0) == (pytest.approx(side, abs=0.01),)


@pytest.mark.parametrize("diameter", [6, 8, 20, 61])
def test_a_disc_is_as_broad_as_its_diameter(diameter: int) -> None:
    y, x = np.mgrid[:120, :160]
    (found,) = breadths(np.hypot(y - 60, x - 60) <= diameter / 2)
    assert found == pytest.approx(diameter, rel=0.05, abs=1)


def test_every_region_is_measured_and_none_elsewhere() -> None:
    mask = drawn()
    mask[0:4, 0:160] = mask[50:60, 10:20] = mask[119, 159] = 1
    assert sorted(breadths(mask > 0)) == [1, 4, 10]
    assert breadths(drawn() > 0) == ()
    assert breadths(np.ones((2000, 1500), np.bool_))[0] == pytest.approx(1500, abs=2)


def test_the_narrowest_tenth_is_what_counts() -> None:
    for narrow, breadth in ((11, 8), (5, 200)):
        sizes = Sizes([8.0] * narrow + [200.0] * (100 - narrow), [LARGE] * 100)
        said = advise(sizes, [LARGE], PLAIN)
        assert said is not None
        assert (said.defects, said.breadth) == (100, breadth)


def test_small_defects_of_large_photographs_ask_for_tiles() -> None:
    said = advise(Sizes([8.0] * 9, [LARGE] * 9), [LARGE], PLAIN)
    assert said == Advice(
        PLAIN, 9, 8.0, 8 * 256 / 4000, Geometry(256, 256, "tile", 0.5, 32), 63, 4.0
    )
    assert str(said) == (
        "the narrowest tenth of 9 defects is up to 8.0 px across, and keeps 0.5 px at 256x256 "
        "(stretch); below 4 px it can hardly be found: --size 256 --resize tile --scale 0.5 keeps "
        "4.0 px, 63 tiles a photograph"
    )
    assert advise(Sizes([8.0], [LARGE]), [LARGE], said.proposed or PLAIN) == Advice(
        Geometry(256, 256, "tile", 0.5, 32), 1, 8.0, 4.0
    )


def test_what_fits_whole_is_proposed_whole() -> None:
    said = advise(Sizes([10.0], [(768, 1024)]), [(768, 1024)], PLAIN)
    assert said is not None
    assert said.proposed == Geometry(320, 416)  # two fifths, in multiples of 32
    assert said.options == {"size": "416x320"}
    assert said.keeps >= ENOUGH


def test_what_no_size_shows_is_said() -> None:
    said = advise(Sizes([2.0], [(256, 256)]), [(256, 256)], PLAIN)
    assert said is not None
    assert said.proposed is None
    assert str(said).endswith("it can hardly be found, and the photographs show no more")


def test_the_smallest_defect_may_be_said() -> None:
    said = advise(Sizes([], []), [LARGE, (600, 800)], PLAIN, 20)
    assert said is not None
    assert (said.defects, said.kept) == (0, 20 * 256 / 4000)
    assert str(said).startswith("a defect of 20 px keeps 1.3 px at 256x256 (stretch); below 4 px")
    assert said.options == {"size": "256", "resize": "tile", "scale": "0.2"}
    assert advise(Sizes([], []), [LARGE], PLAIN) is None
    for smallest in (0, -3, float("nan"), float("inf")):
        with pytest.raises(UserError, match="is impossible: give more than 0"):
            advise(Sizes([], []), [LARGE], PLAIN, smallest)


@pytest.mark.parametrize("breadth", [4, 5, 8, 20, 33, 400])
@pytest.mark.parametrize("photograph", [(600, 800), (3000, 4000), (900, 300), (64, 5000)])
def test_what_is_proposed_keeps_enough(breadth: float, photograph: tuple[int, int]) -> None:
    said = advise(Sizes([breadth], [photograph]), [photograph], PLAIN)
    assert said is not None
    kept = said.kept if said.proposed is None else said.keeps
    assert kept >= ENOUGH - 0.01

"""Iterated function systems: the published law, the attractor's own equation, the shipped bank."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench.imaging import ifs


@given(st.integers(0, 9999), st.integers(2, 8))
def test_singular_values_keep_the_constraint(seed: int, maps: int) -> None:
    values = ifs.singular_values(np.random.default_rng(seed), maps)
    assert values.shape == (maps, 2)
    first, second = values.T
    assert (second >= 0).all()
    assert (second <= first + 1e-12).all()
    assert (first <= 1 + 1e-12).all()
    total = first.sum() + 2 * second.sum()
    assert (5 + maps) / 2 - 1e-9 <= total <= (6 + maps) / 2 + 1e-9


def test_systems_have_the_drawn_singular_values_and_both_orientations() -> None:
    signs = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        drawn = ifs.system(rng)
        expected = ifs.singular_values(np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.svd(drawn.matrices)[1], expected, atol=1e-12)
        assert np.abs(drawn.shifts).max() < 1
        signs.append(np.sign(np.linalg.det(drawn.matrices)))
    assert np.mean(signs) == pytest.approx(0, abs=0.15)


def test_every_point_of_the_game_is_an_image_of_the_one_before() -> None:
    rng = np.random.default_rng(4)
    drawn = ifs.system(rng)
    chain = ifs.chaos_game(drawn, rng, points=500, chains=1).T
    images = np.einsum("nij,pj->pni", drawn.matrices, chain[:-1]) + drawn.shifts
    nearest = np.abs(images - chain[1:, None]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-12


def sierpinski() -> ifs.System:
    corners = np.array([[0.0, 0.0], [0.0, 0.5], [0.5, 0.0]])
    return ifs.System(np.repeat(np.eye(2)[None] / 2, 3, axis=0), corners)


def test_a_known_attractor() -> None:
    """Sierpinski's gasket on a grid of 2^k is where row & column == 0: exact."""
    points = ifs.chaos_game(sierpinski(), np.random.default_rng(0))
    row, column = (points * 32).astype(int)
    assert ((row & column) == 0).all()
    found = np.zeros((32, 32), np.bool_)
    found[row, column] = True
    assert found.sum() == 3**5


def one_long_chain(drawn: ifs.System, steps: int) -> ifs.Floats:
    (a, t), areas = (drawn.matrices.tolist(), drawn.shifts.tolist()), np.linalg.det(drawn.matrices)
    first = np.random.default_rng(2).random(steps) < abs(areas[0]) / np.abs(areas).sum()
    x, y, chain = 0.0, 0.0, []
    for k in np.where(first, 0, 1).tolist():
        ((p, q), (r, s)), (u, v) = a[k], t[k]
        x, y = p * x + q * y + u, r * x + s * y + v
        chain.append((x, y))
    return np.array(chain[1000:]).T


def test_side_by_side_chains_find_what_one_long_chain_finds() -> None:
    for seed in range(8):
        drawn = ifs.system(np.random.default_rng(seed))
        many = ifs.chaos_game(drawn, np.random.default_rng(1))
        one = one_long_chain(drawn, 60_000)
        both = np.concatenate([many, one], axis=1)  # on one grid, since rare points move the box
        low, high = both.min(axis=1), both.max(axis=1)
        box = list(zip(low, high, strict=True))
        ours, theirs = (np.histogram2d(*p, bins=64, range=box)[0] > 0 for p in (many, one))
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.12)
        for these, those in ((ours, theirs), (theirs, ours)):
            near = cv2.dilate(those.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            # Seed 0 is nearly an isometry: there even two long chains differ by 1 %.
            assert (these & ~near).sum() <= 0.05 * these.sum()


def within(these: npt.NDArray[np.bool_], those: npt.NDArray[np.bool_]) -> float:
    """Return the share of these cells that lie on those or at most two beside them."""
    near = cv2.dilate(those.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return float((these & near).sum() / these.sum())


@given(st.integers(0, 9999), st.integers(2, 3), st.integers(1, 7))
def test_a_refined_system_is_a_complete_set_of_compositions(seed: int, own: int, maps: int) -> None:
    """Of all words of up to 7 letters the maps are some, and every long word begins with one."""
    drawn = ifs.system(np.random.default_rng(seed), own)
    words = [((), np.eye(2), np.zeros(2))]
    for _ in range(7):
        words += [
            ((*word, k), a @ drawn.matrices[k], a @ drawn.shifts[k] + t)
            for word, a, t in words
            if len(word) == len(words[-1][0])
            for k in range(own)
        ]
    fine = ifs.refined(drawn, maps)
    norms = (fine.matrices**2).sum(axis=(1, 2))
    assert norms[0] == norms.min()
    assert max(own, maps) <= len(fine.matrices) < max(own + 1, maps + own)
    spelled = []
    for matrix, shift in zip(fine.matrices, fine.shifts, strict=True):
        off = [max(np.abs(a - matrix).max(), np.abs(t - shift).max()) for _, a, t in words]
        assert min(off) < 1e-12
        spelled.append(words[int(np.argmin(off))][0])
    assert sum(float(own) ** -len(word) for word in spelled) == pytest.approx(1)  # Kraft's equality


def test_every_refined_map_sends_the_attractor_into_itself() -> None:
    fine = ifs.refined(sierpinski(), 20)
    assert len(fine.matrices) == 21  # every split turns one into three
    points = fine.shifts.T  # the image of the corner at 0, which lies on the gasket
    for matrix, shift in zip(fine.matrices, fine.shifts, strict=True):
        row, column = np.rint((matrix @ points + shift[:, None]) * 1024).astype(int)
        assert ((row & column) == 0).all()
    areas = np.abs(np.linalg.det(fine.matrices))
    assert areas.max() <= 16 * areas.min()


def test_laid_together_it_is_the_known_attractor() -> None:
    points = ifs.laid_together(sierpinski(), np.random.default_rng(0), 30_000)
    assert 30_000 <= points.shape[1] <= 31_500
    row, column = (points * 32).astype(int)
    assert ((row & column) == 0).all()
    found = np.zeros((32, 32), np.bool_)
    found[row, column] = True
    assert found.sum() == 3**5


def test_laid_together_it_fills_the_cells_that_a_long_game_fills() -> None:
    filled = []
    for seed in range(40):
        drawn = ifs.system(np.random.default_rng(seed))
        long = ifs.chaos_game(drawn, np.random.default_rng(1), 400_000)
        parts = ifs.laid_together(drawn, np.random.default_rng(2), ifs.POINTS)
        both = np.concatenate([long, parts], axis=1)
        box = list(zip(both.min(axis=1), both.max(axis=1), strict=True))
        theirs, ours = (np.histogram2d(*p, bins=64, range=box)[0] > 0 for p in (long, parts))
        filled.append((within(ours, theirs), within(theirs, ours), ours.sum() / theirs.sum()))
    own, other, cells = np.array(filled).T
    # Rare outliers of nearly isometric systems: two long games differ there, too.
    assert np.percentile(own, 5) >= 0.95
    assert np.percentile(other, 5) >= 0.98
    assert np.median(cells) > 0.96  # of four times as many points


def test_plot_touches_all_four_sides_and_survives_a_single_point() -> None:
    fractal = ifs.attractor(np.random.default_rng(0), 50)
    for edge in (fractal[0], fractal[-1], fractal[:, 0], fractal[:, -1]):
        assert edge.any()
    assert ifs.plot(np.full((2, 10), 3.0), 5).sum() == 1


def test_thicken_stamps_a_subset_of_the_neighbourhood_on_every_point() -> None:
    dot = np.zeros((9, 9), np.bool_)
    dot[4, 4] = True
    rng = np.random.default_rng(0)
    stamps = np.array([ifs.thicken(dot, rng) for _ in range(2000)])
    assert not stamps[:, :3].any()
    assert not stamps[:, :, 6:].any()
    np.testing.assert_allclose(stamps[:, 3:6, 3:6].mean(axis=0), 0.5, atol=0.06)
    assert 0 < (~stamps.any(axis=(1, 2))).sum() < 14  # one in 512
    # Two points give the union of one stamp, moved.
    pair = dot | np.roll(dot, 2, axis=1)
    for seed in range(20):
        one = ifs.thicken(dot, np.random.default_rng(seed))
        both = ifs.thicken(pair, np.random.default_rng(seed))
        np.testing.assert_array_equal(both, one | np.roll(one, 2, axis=1))


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 99))
def test_resample_plots_the_centres_of_cells(old: int, new: int, seed: int) -> None:
    fractal = np.random.default_rng(seed).random((old, old)) < 0.2
    expected = np.zeros((new, new), np.bool_)
    if new <= old:
        for row, column in np.argwhere(fractal):
            expected[row * new // old, column * new // old] = True
    else:
        for row, column in np.ndindex(new, new):
            expected[row, column] = fractal[row * old // new, column * old // new]
    np.testing.assert_array_equal(ifs.resample(fractal, new), expected)


@pytest.mark.parametrize("index", [0, 17, ifs.BANK_COUNT - 1])
def test_the_shipped_bank_is_the_one_the_code_makes(index: int) -> None:
    assert ifs.bank().shape == (ifs.BANK_COUNT, ifs.BANK_SIDE, ifs.BANK_SIDE // 8)
    stamp = np.unpackbits(ifs.bank()[index], axis=1).astype(np.bool_)
    np.testing.assert_array_equal(stamp, ifs.bank_stamp(index))


def test_draws_from_the_bank_show_all_eight_symmetries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifs, "bank", lambda: np.packbits(ifs.bank_stamp(3), axis=1)[None])
    rng = np.random.default_rng(0)
    seen = {ifs.from_bank(rng, 64).tobytes() for _ in range(80)}
    stamp = ifs.resample(ifs.bank_stamp(3), 64)
    assert len(seen) == 8
    assert stamp.tobytes() in seen

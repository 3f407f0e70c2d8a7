"""Rules that see a few real defects: pure functions, whose voice is half the defects'."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.advising import rules
from asbench.advising.with_defects import RULES, DefectScores, Rule, blended, found_rank, ranks
from tests.tried import made


def told(count: int, best: int, masked: bool = True) -> DefectScores:
    """Return what heads said of four defects: only the method at `best` finds and outlines them."""
    both = np.full((2, count, 4), -9.0)
    both[:, best] = 99.0
    pixel = np.full((2, count), 0.1 if masked else np.nan)
    pixel[:, best] += 0.5
    return DefectScores(both, pixel)


@pytest.mark.parametrize("rule", RULES.values())
@pytest.mark.parametrize("masked", [True, False])
def test_weights_are_shares_and_the_one_that_finds_them_is_taken(rule: Rule, masked: bool) -> None:
    evidence = made(7)
    weights = rule(evidence, told(7, best=5, masked=masked))
    assert weights.shape == (7,)
    assert weights.sum() == pytest.approx(1)
    assert weights[5] > 0
    assert len(set(weights[weights > 0])) == 1


def test_defects_that_all_find_alike_leave_the_blind_order() -> None:
    evidence = made(6)
    same = DefectScores(np.full((2, 6, 3), 99.0), np.full((2, 6), 0.4))
    assert set(found_rank(evidence, same)) == {0.5}
    order = np.argsort(blended(evidence, found_rank(evidence, same)), kind="stable")
    assert (order == np.argsort(rules.found_by_heads(evidence), kind="stable")).all()
    assert (RULES["found_half"](evidence, same) == rules.better_half(evidence)).all()


def test_image_scores_are_against_the_normals_that_were_kept_out() -> None:
    evidence = made(3)
    highest = evidence.both[:, :, evidence.normal].max(axis=2)
    defects = DefectScores(highest[:, :, None] + [[[1.0, -1e9]]], np.full((2, 3), np.nan))
    assert defects.found(evidence) == pytest.approx(0.5)
    assert not defects.masked
    far = DefectScores(highest[:, :, None] + np.array([1.0, 2, 4])[:, None], defects.pixel)
    assert (np.diff(far.found(evidence)) == 0).all()
    assert (np.diff(far.apart(evidence)) != 0).all()
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [0.75, 0, 0.75]

"""Rules are pure functions of evidence to weights; what each is after shows on evidence made so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.advising import rules
from asbench.advising.evidence import Evidence, effects
from asbench.advising.rules import RULES, Rule
from tests.tried import made


@pytest.mark.parametrize("rule", [rules.equal, *RULES.values()])
@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 9), seed=st.integers(0, 1000))
def test_weights_are_shares_and_the_same_again(rule: Rule, count: int, seed: int) -> None:
    evidence = made(count, seed)
    weights = rule(evidence)
    assert weights.shape == (count,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert (weights == rule(made(count, seed))).all()


@pytest.mark.parametrize("rule", [rules.equal, *RULES.values()])
def test_the_order_of_methods_does_not_matter(rule: Rule) -> None:
    evidence = made(7)
    order = np.random.default_rng(1).permutation(7)
    place = np.argsort(order)
    turned = Evidence(
        methods=tuple(evidence.methods[i] for i in order),
        of=np.where(evidence.of < 0, -1, place[evidence.of]),
        memory=evidence.memory,
        head=evidence.head[:, order],
        both=evidence.both[:, order],
        pixel=evidence.pixel[:, order][:, :, order],
        unusual=evidence.unusual[order],
    )
    np.testing.assert_allclose(rule(turned), rule(evidence)[order])


def test_who_finds_most_is_taken_and_who_finds_least_is_not() -> None:
    evidence = made(9)
    assert rules.found_by_heads(evidence).argsort()[-3:].tolist() == [6, 7, 8]
    assert rules.better_half(evidence)[8] > 0 == rules.better_half(evidence)[0]
    assert np.count_nonzero(rules.without_worst(evidence)) == 6
    assert np.count_nonzero(rules.cross_best(evidence)) == 1
    assert np.count_nonzero(rules.heads(evidence)) == 3


def test_a_column_that_nobody_finds_does_not_favour_its_own_method() -> None:
    row, column = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.0, 0.0, -0.3])
    matrix = 0.5 + row[:, None] + column[None]
    np.fill_diagonal(matrix, 99)  # counts nowhere
    np.testing.assert_allclose(np.diff(effects(matrix)), 0.1)
    plain = (matrix.sum(axis=1) - np.diag(matrix)) / 3
    assert plain[3] - plain[2] > 0.15


def test_agreement_is_with_the_memory_on_what_others_drew() -> None:
    evidence = made(4)
    head = evidence.head.copy()
    head[:, 2] = evidence.memory  # this one says what the memory does
    head[:, 1] = -evidence.memory
    told = Evidence(
        evidence.methods,
        evidence.of,
        evidence.memory,
        head,
        evidence.both,
        evidence.pixel,
        evidence.unusual,
    )
    assert told.agreement[2] == pytest.approx(1)
    assert told.agreement[1] == pytest.approx(-1)
    assert rules.agreement(told).argmax() == 2


def test_one_that_is_a_little_outside_of_the_normals_is_near() -> None:
    evidence = made(3)
    told = Evidence(
        evidence.methods,
        evidence.of,
        evidence.memory,
        evidence.head,
        evidence.both,
        evidence.pixel,
        np.array([30.0, rules.NEAR, 0.1]),
    )
    assert rules.closeness(told).tolist() == [0, 1, 0]

"""Rules for thresholds: what they promise, on any scores, and what they say of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from asbench.evaluation.metrics import best_f1_threshold
from asbench.evaluation.thresholds import Rule, by_default, by_false_alarms, tail
from asbench.results import KeptOut
from synth_store import UserError


def kept(
    normals: object, anomalies: object = (), *, trained: bool = False, bounded: bool = False
) -> KeptOut:
    scores = [np.array(x, np.float32).astype(np.float64) for x in (normals, anomalies)]
    return KeptOut(scores[0], scores[1], trained, bounded=bounded)


@pytest.mark.parametrize(
    ("count", "share", "flagged"),
    [(99, 0.01, 0), (199, 0.01, 1), (200, 0.01, 1), (39, 0.05, 1), (9, 0.5, 4)],
)
def test_a_share_is_counted_where_there_are_enough(count: int, share: float, flagged: int) -> None:
    scores = np.random.default_rng(0).normal(size=count).astype(np.float32)
    value = by_false_alarms(kept(scores), share).value
    assert int((scores >= value).sum()) == flagged


def test_the_promise_holds_over_draws_of_any_law() -> None:
    rng = np.random.default_rng(1)
    for law in (rng.normal, rng.exponential, rng.standard_cauchy, rng.random):
        alarms = []
        for _ in range(4000):
            scores = law(size=100)
            alarms.append(scores[99] >= by_false_alarms(kept(scores[:99]), 0.05).value)
        assert np.mean(alarms) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
        assert np.mean(alarms) > 0.03


def test_what_is_extrapolated_lies_above_all_and_comes_nearer_than_the_highest() -> None:
    """Of an exponential law, whose tail the fit is, over 2,000 draws of 20 normals."""
    rng = np.random.default_rng(2)
    true, highest = [], []
    for _ in range(2000):
        scores = rng.exponential(size=20)
        value = by_false_alarms(kept(scores), 0.01).value
        assert value > np.float32(scores.max())
        true.append(np.exp(-value))
        highest.append(np.exp(-scores.max()))
    assert abs(np.mean(true) - 0.01) < abs(np.mean(highest) - 0.01) / 2


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=120),
    st.floats(0.001, 0.9),
    st.floats(0.5, 8, width=16),
    st.floats(-50, 50, width=16),
)
def test_any_scores_give_a_threshold_that_flags_no_more_than_the_share(
    scores: list[float], share: float, scale: float, shift: float
) -> None:
    given_ = kept(scores)
    value = by_false_alarms(given_, share).value
    assert np.isfinite(value)
    assert (given_.normals >= value).sum() <= share * (len(scores) + 1)
    moved = by_false_alarms(kept(given_.normals * scale + shift), share).value
    assert moved == pytest.approx(value * scale + shift, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_normals(count: int) -> None:
    threshold = by_false_alarms(kept(np.arange(count) / 10), 0.01)
    assert threshold.value > (count - 1) / 10
    most = 100 * float(beta.ppf(0.95, 1, count))
    assert f"extrapolated from {count} normals kept out of training" in threshold.rule
    assert f"the true share is at most {most:.2g} % with 95 % confidence" in threshold.rule


def test_nothing_is_extrapolated_beyond_what_any_anomaly_scores() -> None:
    """Or a detector whose scores end at 1 would flag nothing at all."""
    normals, anomalies = [*[0.01] * 18, 0.8, 0.9], [0.3, 0.99]
    assert by_false_alarms(kept(normals), 0.01).value > 1
    assert by_false_alarms(kept(normals, anomalies), 0.01).value == np.float32(0.99)
    easy = by_false_alarms(kept(normals, [0.3, 0.4]), 0.01).value
    assert easy == np.nextafter(np.float32(0.9), np.float32(1))


@pytest.mark.parametrize("end", [1.0, 0.466])
def test_a_saturating_detector_flags_what_lies_above_all_normals(end: float) -> None:
    """Scores of a network after a short training: defects crowd at 1, or at a level below it."""
    normals = [*np.linspace(0.55, 0.9, 15), 0.96, 0.97, 0.975, 0.98, 0.985]
    anomalies = [0.4, 0.999, 0.9999, 1.0]
    given_ = [end * np.array(scores) for scores in (normals, anomalies)]
    assert by_false_alarms(kept(*given_), 0.01).value == np.float32(end)
    value = by_false_alarms(kept(*given_, bounded=True), 0.01).value
    assert 0.985 * end < value < 0.999 * end


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60),
    st.lists(st.floats(0, 1, width=32), max_size=5),
    st.tuples(st.floats(1e-6, 0.9), st.floats(1e-6, 0.9)),
)
def test_a_bounded_threshold_can_be_reached_and_falls_with_the_share(
    normals: list[float], anomalies: list[float], shares: tuple[float, float]
) -> None:
    given_ = kept(normals, anomalies, bounded=True)
    low, high = (by_false_alarms(given_, share).value for share in sorted(shares))
    assert low >= high > 0
    assert (given_.normals >= high).sum() <= max(shares) * (len(normals) + 1)
    end = max(anomalies, default=1.0)
    if end > max(normals):
        assert low <= end


def test_the_share_is_met_where_probabilities_end_at_one() -> None:
    """Of a law whose density falls to 0 at 1, over 2,000 draws of 20 normals."""
    rng = np.random.default_rng(3)
    alarms: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(2000):
        scores = rng.beta(4, 2, size=20)
        for bounded, shares in alarms.items():
            value = by_false_alarms(kept(scores, bounded=bounded), 0.01).value
            shares.append(float(beta.sf(value, 4, 2)))
    reach = [np.mean(np.array(shares) > 0) for shares in alarms.values()]
    assert reach[0] < 0.5
    assert reach[1] == 1
    assert 0.005 < np.mean(alarms[True]) < 0.03


def test_low_probabilities_have_the_tail_of_scores_without_a_bound() -> None:
    scores = np.sort(np.random.default_rng(4).exponential(1e-4, size=20))
    assert tail(scores, 0.01, end=1.0) == pytest.approx(tail(scores, 0.01), rel=1e-3)


def test_equal_scores_are_not_flagged() -> None:
    assert by_false_alarms(kept([0.5] * 30), 0.01).value > 0.5
    assert tail(np.array([0.5] * 30), 0.01) == 0.5


def test_the_words_say_what_it_stands_on() -> None:
    rule = by_false_alarms(kept(np.arange(99)), 0.01).rule
    assert rule == (
        "1 % false alarms, on 99 normals kept out of training; the true share is at most 3 % with "
        "95 % confidence"
    )
    seen = by_false_alarms(kept(np.arange(200), trained=True), 0.01).rule
    assert seen == "1 % false alarms, on 200 training normals; training saw them, so expect more"


def test_best_f1_is_that_of_the_metrics() -> None:
    normals, anomalies = [0.1, 0.2, 0.6], [0.5, 0.7, 0.9, 0.95]
    found = Rule(best_f1=True).threshold(kept(normals, anomalies))
    scores = np.array([*normals, *anomalies], np.float32)
    assert found.value == best_f1_threshold(scores, [0] * 3 + [1] * 4).threshold
    assert found.rule == "best F1 between 3 normals and 4 anomalies, all kept out of training"
    with pytest.raises(UserError, match="choose by --false-alarms"):
        Rule(best_f1=True).threshold(kept(normals))


def test_without_a_rule_false_alarms_count_where_normals_were_kept_out() -> None:
    scores = np.arange(120) / 120
    assert by_default(kept(scores, [2.0])) == by_false_alarms(kept(scores), 0.01)
    # Where training saw all normals it is what it was before any were kept out.
    seen = by_default(kept(scores, [2.0], trained=True))
    assert seen.rule == "best F1 between 120 training normals and 1 anomalies kept out of training"
    assert by_default(kept(scores, trained=True)).rule == (
        "99.5 % quantile of 120 training normals: no synthetic anomaly was kept out of training"
    )


@pytest.mark.parametrize(
    ("threshold", "false_alarms", "rule"),
    [
        (None, None, None),
        ("best-f1", None, Rule(best_f1=True)),
        ("0.5", None, Rule(value=0.5)),
        (3, None, Rule(value=3.0)),
        (None, 0.05, Rule(false_alarms=0.05)),
    ],
)
def test_rules_are_read(
    threshold: str | float | None, false_alarms: float | None, rule: Rule | None
) -> None:
    assert Rule.of(threshold, false_alarms) == rule


@pytest.mark.parametrize(
    ("threshold", "false_alarms", "told"),
    [
        ("best", None, "neither best-f1 nor a score"),
        ("nan", None, "neither best-f1 nor a score"),
        (None, 0.0, "a share of false alarms of 0 is impossible"),
        (None, 1.0, "is impossible"),
        (None, float("nan"), "is impossible"),
        ("0.5", 0.1, "two rules for one threshold"),
    ],
)
def test_what_is_no_rule_is_refused(
    threshold: str | float | None, false_alarms: float | None, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        Rule.of(threshold, false_alarms)

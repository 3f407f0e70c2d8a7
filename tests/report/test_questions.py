"""The four questions on made-up scores whose answers are known, and on numbers worked out apart."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asbench.data import published
from asbench.quality.statistics import Pearson, holm, p_of_r
from asbench.report.paper import as_printed, files, questions
from asbench.report.paper.blocks import blocks
from asbench.report.paper.grid import ScoreGrid, score_grid
from asbench.report.paper.mixture_gains import gains
from asbench.report.paper.questions import Answer
from asbench.results.frame import from_records
from synth_store.rng import address_rng
from tests.report.full_grid import full_grid, quality

pytestmark = pytest.mark.slow

DEFAULT = {"destseg": 1.0, "draem": 0.5, "memseg": 0.5, "unet": 0.5}
Level = Callable[[tuple[str, ...], float], float]


@pytest.fixture(scope="module")
def grid() -> ScoreGrid:
    return score_grid(full_grid())


def small(
    level: Level,
    mixes: tuple[tuple[str, ...], ...],
    ratios: tuple[float, ...] = (0.5,),
    categories: int = 12,
    noise: float = 0.002,
) -> ScoreGrid:
    """Return a grid of one data set with two detectors and the given level of every training."""
    rng = address_rng("small", categories, str(noise))
    return score_grid(
        from_records(
            {
                "dataset": "own",
                "category": f"c{c:02}",
                "detector": detector,
                "mix": dict.fromkeys(mix, 1 / len(mix)),
                "ratio": ratio,
                "seed": seed,
                "image_auroc": level(mix, ratio) + c / 100 + float(rng.normal(0, noise)),
                "source": "made-up",
            }
            for c, detector, mix, ratio, seed in itertools.product(
                range(categories), ("unet@tiny", "draem@tiny"), mixes, ratios, (0, 1)
            )
        )
    )


SINGLES = (("a",), ("b",), ("c",), ("d",))


def by_number(found: list[Answer]) -> Mapping[str, Answer]:
    return {f"{a.question.number}{a.question.part}": a for a in found}


def test_methods_are_ranked_over_categories(grid: ScoreGrid) -> None:
    answer = by_number(questions.answers(grid))["1"]
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    for s in grid.scores.itertuples():
        if s.parts == 1 and s.ratio == DEFAULT[s.detector]:
            row = cells.setdefault((s.dataset, s.category), defaultdict(list))
            row[s.methods].append(s.image_auroc)
    matrix = [[sum(row[m]) / 4 for m in as_printed.METHODS] for row in cells.values()]
    theirs = stats.friedmanchisquare(*np.transpose(matrix))
    assert f"χ²(11) = {theirs.statistic:.2f}" in answer.statistic
    assert (answer.n, answer.unit) == (37, "categories")
    ranks = np.mean([stats.rankdata(-np.array(row)) for row in matrix], axis=0)
    assert answer.sheet is not None
    told = {row[0].text: row[1].value for row in answer.sheet.rows}
    assert told == pytest.approx(dict(zip(as_printed.METHODS, ranks, strict=True)))
    gap = 3.268 * np.sqrt(12 * 13 / (6 * 37))  # Demšar (2006), Table 5(a), k = 12 by its source
    inside = [row[0].text for row in answer.sheet.rows if row[3].text == "yes"]
    assert inside == [m for m in told if told[m] - min(told.values()) <= gap]


def test_one_method_that_always_wins_is_seen() -> None:
    level = {("a",): 0.9, ("b",): 0.7, ("c",): 0.6, ("d",): 0.5}
    answer = questions.answers(small(lambda m, r: level[m], SINGLES))[0]
    assert answer.verdict == "does not hold"
    assert "the best of 12 of 12 categories" in answer.why
    assert answer.interval == (1.0, 1.0)
    even = questions.answers(small(lambda m, r: 0.5, SINGLES, noise=0.1))[0]
    assert even.verdict == "holds"


def test_few_categories_fall_back_on_detectors_and_say_so() -> None:
    answer = questions.answers(small(lambda m, r: 0.5, SINGLES, categories=3))[0]
    assert (answer.n, answer.unit) == (6, "pairs of category and detector")
    assert any("share test images" in note for note in answer.notes)
    none = questions.answers(small(lambda m, r: 0.5, SINGLES, categories=2))[0]
    assert (none.verdict, none.n, none.interval) == ("too few runs", 4, None)


@pytest.mark.parametrize(
    ("slope", "noise", "categories", "verdict"),
    [
        (0.0, 0.002, 12, "holds"),
        (0.1, 0.002, 12, "does not hold"),
        (0.0, 0.1, 12, "too few runs"),
        (0.1, 0.002, 1, "too few runs"),
    ],
)
def test_ratios(slope: float, noise: float, categories: int, verdict: str) -> None:
    found = small(
        lambda m, r: 0.6 + slope * r,
        SINGLES[:2],
        ratios=(0.25, 0.5, 1.0),
        noise=noise,
        categories=categories,
    )
    answer = by_number(questions.answers(found))["2"]
    assert answer.verdict == verdict
    if categories > 1:
        assert answer.n == 12
        assert answer.sheet is not None
        assert len(answer.sheet.rows) == 3


def test_ratios_by_hand(grid: ScoreGrid) -> None:
    answer = by_number(questions.answers(grid))["2"]
    table: dict[tuple[str, str], dict[float, list[float]]] = {}
    for s in grid.scores.itertuples():
        if s.parts == 1 and s.dataset in ("mvtec", "btad"):
            row = table.setdefault((s.dataset, s.category), {r: [] for r in as_printed.RATIOS})
            row[s.ratio].append(s.image_auroc)
    matrix = np.array([[np.mean(row[r]) for r in as_printed.RATIOS] for row in table.values()])
    assert matrix.shape == (18, 4)
    theirs = stats.friedmanchisquare(*matrix.T)
    assert f"χ²(3) = {theirs.statistic:.2f}, p = {theirs.pvalue:.4f}" in answer.statistic
    pairs = list(itertools.combinations(range(4), 2))
    widest = max(pairs, key=lambda p: abs((matrix[:, p[1]] - matrix[:, p[0]]).mean()))
    test = stats.ttest_1samp(matrix[:, widest[1]] - matrix[:, widest[0]], 0)
    assert answer.interval == pytest.approx(test.confidence_interval(0.9), rel=1e-9)


def test_correlations(grid: ScoreGrid) -> None:
    answer = by_number(questions.answers(grid, quality()))["3"]
    assert (answer.n, answer.unit) == (12, "methods")
    assert answer.sheet is not None
    assert len(answer.sheet.rows) == 30
    y = grid.mean_of_detectors("image_auroc")
    expected = {
        at: stats.pearsonr(
            [x[m] for m in as_printed.METHODS], [y[at[0], m] for m in as_printed.METHODS]
        )
        for at, x in quality().items()
    }
    for row in answer.sheet.rows:
        theirs = expected[row[0].text, row[1].text]
        assert row[2].value == pytest.approx(theirs.statistic, rel=1e-9)
        assert row[5].value == pytest.approx(theirs.pvalue, rel=1e-9)
    strongest = min(expected, key=lambda at: expected[at].pvalue)
    assert answer.interval == pytest.approx(expected[strongest].confidence_interval(), rel=1e-9)
    assert by_number(questions.answers(grid))["3"].verdict == "too few runs"


@pytest.mark.parametrize(
    ("r", "n", "verdict"),
    [(0.9, 12, "does not hold"), (0.0, 12, "too few runs"), (0.0, 200, "holds")],
)
def test_verdicts_of_correlations(r: float, n: int, verdict: str) -> None:
    one = Pearson(r, p_of_r(r, n), n)
    assert questions.correlations({("own", "fid"): one}).verdict == verdict


def test_no_answer_for_the_paper_where_its_numbers_do_not_give_one() -> None:
    first, third = questions.paper_answers()
    assert (first.n, first.unit, first.verdict) == (5, "data sets", "holds")
    assert "draem leads with mean rank 2.40" in first.why
    assert third.verdict == "too few runs"
    assert "2 of 30 correlations have p < 0.05, 0 after Holm's" in third.why


MIXED = (("a",), ("b",), ("a", "b"))


@pytest.mark.parametrize(
    ("mixed", "noise", "over_mean", "over_best"),
    [
        (0.80, 0.002, "holds", "holds"),
        (0.65, 0.002, "holds", "does not hold"),
        (0.60, 0.002, "does not hold", "does not hold"),
        (0.70, 0.1, "holds", "too few runs"),
    ],
)
def test_mixtures(mixed: float, noise: float, over_mean: str, over_best: str) -> None:
    level = {("a",): 0.5, ("b",): 0.7, ("a", "b"): mixed}
    found = by_number(questions.answers(small(lambda m, r: level[m], MIXED, noise=noise)))
    assert (found["4a"].verdict, found["4b"].verdict) == (over_mean, over_best)


def test_gains_by_hand(grid: ScoreGrid) -> None:
    table = {
        (s.dataset, s.category, s.detector, tuple(s.methods.split(" + "))): s.image_auroc
        for s in grid.scores.itertuples()
        if s.parts and s.ratio == DEFAULT[s.detector]
    }
    places = [(d, c) for d in as_printed.DATASETS for c in published.categories(d)]
    found = gains(grid, "image_auroc", address_rng("answer", 4))
    p_mean = []
    for mean_gain, best_gain in zip(found["mean"].each, found["best"].each, strict=True):
        mix = mean_gain.mix
        to_mean, to_best = [], []
        for detector in as_printed.DETECTORS:
            singles = {
                m: np.array([table[*place, detector, (m,)] for place in places]) for m in mix
            }
            own = np.array([table[*place, detector, mix] for place in places])
            to_mean.append(own - sum(singles.values()) / len(mix))
            to_best.append(own - max(singles.values(), key=lambda v: v.mean()))
        mean_of, best_of = np.mean(to_mean, axis=0), np.mean(to_best, axis=0)
        assert mean_gain.difference == pytest.approx(mean_of.mean())
        assert best_gain.difference == pytest.approx(best_of.mean())
        assert mean_gain.p == pytest.approx(stats.wilcoxon(mean_of, method="exact").pvalue)
        assert mean_gain.interval.low < mean_gain.difference < mean_gain.interval.high
        half = 1.96 * mean_of.std() / np.sqrt(37)
        assert mean_gain.interval == pytest.approx(
            (mean_of.mean() - half, mean_of.mean() + half), abs=0.25 * half
        )
        p_mean.append(mean_gain.p)
    assert [g.corrected for g in found["mean"].each] == holm(p_mean).tolist()
    assert found["mean"].n == found["best"].n == 37


def test_answers_are_the_same_twice_and_in_any_order() -> None:
    scores = full_grid(1)
    assert questions.answers(score_grid(scores)) == questions.answers(score_grid(scores[::-1]))


def test_complete_blocks_keep_the_most() -> None:
    rows = [{"place": f"d/c{n}", "a": 0.1 * n, "b": 0.2, "c": 0.3} for n in range(6)]
    rows[0]["rare"] = 0.9
    rows.append({"place": "d/c7", "a": 0.4, "b": float("nan"), "c": 0.1})
    table = pd.DataFrame(rows).assign(detector="unet").set_index(["place", "detector"])
    found = blocks(table)
    assert found is not None
    assert (found.columns, found.left_out) == (("a", "b", "c"), ("rare",))
    assert found.values.shape == (6, 3)
    assert any("rare" in note for note in found.notes)
    assert blocks(table[:1][["a"]]) is None


def test_answers_read_as_text(grid: ScoreGrid) -> None:
    text = files.answers_text(questions.answers(grid, quality()))
    for heading in ("## 1. ", "## 2. ", "## 3. ", "## 4a. ", "## 4b. "):
        assert text.count(heading) == 1
    assert "- n: 37 categories" in text

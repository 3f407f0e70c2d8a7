"""Scores on their way into a grid: one per training, and what is not there.

A score is a row of `asbench.results.frame`: of a run, of a printed table or made up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from asbench.data import published
from asbench.results.frame import by_label, complete

SELECTED = "Checkpoints were selected on the test set: upper bounds, not results."
PLACE = ["dataset", "category", "detector", "methods", "ratio", "seed", "synth_seed"]
"""The columns that tell a training from the others of a study."""


class Expected(NamedTuple):
    """A training that a grid should hold: its columns of `PLACE`. category: "" for a data set's
    mean."""

    dataset: str
    category: str
    detector: str
    methods: str
    ratio: float
    seed: int
    synth_seed: int = 0


class Settled(NamedTuple):
    """One score per training, sorted, and why others were left out, a sentence each."""

    scores: pd.DataFrame
    notes: tuple[str, ...]


def plain(name: str) -> str:
    """Return a method's, detector's or data set's name without its variant."""
    return name.partition("@")[0]


def title(methods: str) -> str:
    """Return the methods of a mix in words: `draem + fractal`; `normals only` for none."""
    return methods or "normals only"


def settle(scores: pd.DataFrame, selected: bool = False) -> Settled:
    """Keep one score per training, so that no table averages over unlike ones.

    Last checkpoints stay, or those selected on the test set where `selected`. Of several at one
    place the settings that most scores of the detector have stay, then the last in the table.
    Whatever else differs within a detector is noted.
    """
    honest = scores[scores["selected_on_test"] == selected]
    notes = []
    if selected:
        notes.append(SELECTED)
    elif left := len(scores) - len(honest):
        notes.append(f"{left} scores of checkpoints selected on the test set are left out.")
    trained = ["detector", "settings"]
    common = honest.groupby(trained)["ratio"].transform("size").sort_values(kind="stable")
    kept = honest.loc[common.index].drop_duplicates([*PLACE, "mix"], keep="last")
    dropped = honest.drop(kept.index).groupby(trained).size()
    for (detector, settings), count in by_label(dropped).items():
        told = f" ({settings})" if settings else ""
        notes.append(f"{count} scores of {detector}{told} stand for places taken: left out.")
    for detector, several in kept.groupby("detector")["settings"].unique().items():
        if len(several) > 1:
            notes.append(f"{detector} was not trained alike: {' | '.join(sorted(several))}.")
    return Settled(kept.sort_values([*PLACE, "mix"], ignore_index=True), tuple(notes))


def whole(
    scores: pd.DataFrame, categories: Mapping[str, Collection[str]] | None = None
) -> pd.DataFrame:
    """Return the scores of which a data set's means over categories are made.

    A mean stands only where every category of its data set has a score: those of `categories`,
    else all that any score of that data set names.
    """
    named = dict(scores.groupby("dataset")["category"].agg(set)) | dict(categories or {})
    pairs = zip(scores["dataset"], scores["category"], strict=True)
    wanted = scores[np.array([category in named[d] for d, category in pairs], dtype=bool)]
    per_seed = [*(name for name in PLACE if name != "category"), "mix"]
    return complete(wanted, per_seed, wanted["dataset"].map(lambda name: len(named[name])))


def class_counts(scores: pd.DataFrame) -> dict[str, int]:
    """Return equation 1's weights: a data set's number of categories.

    Table 3's where the paper has the data set, else those of the scores (1 for a bare mean).
    """
    table = published.table3()
    return {
        str(name): table[plain(str(name))].categories if plain(str(name)) in table else int(count)
        for name, count in scores.groupby("dataset")["category"].nunique().items()
    }


def missing(scores: pd.DataFrame, expected: Iterable[Expected]) -> list[Expected]:
    """Return the expected trainings without a score, in the order given."""
    have = set(scores[PLACE].itertuples(index=False, name=None))
    return [training for training in expected if training not in have]

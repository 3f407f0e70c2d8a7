"""Which cells of a grid a figure lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from asbench.report.paper.grid import SETTING, ScoreGrid
from asbench.report.paper.scores import title


def single_gaps(grid: ScoreGrid, metric: str, datasets: Iterable[str] = ()) -> tuple[str, ...]:
    """Say which single methods at the default ratios lack, of all data sets or some."""
    wanted = grid.every_single(metric).index
    if names := [*datasets]:
        wanted = wanted[wanted.isin(names, level="dataset")]
    return lacks(grid, wanted, grid.singles(metric))


def lacks(grid: ScoreGrid, wanted: pd.Index[Any], cells: pd.Series[float]) -> tuple[str, ...]:
    """Say which wanted cells are undefined or not there, and how many categories they miss.

    wanted: data set, detector, methods and, unless the default one is meant, ratio, as the index
    of `cells`.
    """
    values = cells.reindex(wanted)
    gaps = values.index[values.isna()]
    if gaps.empty:
        return ()
    trained = grid.scores.groupby(SETTING)["category"].nunique()
    categories = grid.scores.groupby("dataset")["category"].nunique()

    def lack(setting: tuple[str, ...]) -> str:
        dataset, detector, methods, *ratios = setting
        told = f"{title(methods)} with {detector} on {dataset}"
        if ratios and methods:
            told += f" at ratio {ratios[0]:g}"
        if setting in cells.index:
            return f"{told} (undefined)"
        ratio = ratios[0] if ratios else grid.ratios.get(detector)
        have, of = trained.get((dataset, detector, methods, ratio), 0), categories.get(dataset, 0)
        return f"{told} ({of - have} of {of} categories)" if 0 < have < of else told

    return tuple(map(lack, gaps))

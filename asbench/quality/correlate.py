"""Records of quality and runs, correlated: what lies in two folders, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asbench import results
from asbench.files.documents import into_place
from asbench.quality import record
from asbench.quality.quality_vs_detection import Correlated, correlate_runs, csv_text
from asbench.quality.statistics import LEAST
from asbench.settings import QUALITY, RUNS

BIASED = ("fid", "is", "effective_number")
"""Scores that change with the number of samples."""


def correlate(
    scores: Sequence[str] | None = None,
    *,
    target: str = "image_auroc",
    datasets: Sequence[str] | None = None,
    detectors: Sequence[str] | None = None,
    ratio: float | None = None,
    least: int = LEAST,
    seed: int = 0,
    runs: Path | str = RUNS,
    quality: Path | str = QUALITY,
    csv: Path | str | None = None,
) -> list[Correlated]:
    """Correlate quality scores with a detection metric; one point is one method.

    Only runs on a single method count, averaged over seeds, detectors and categories that all
    methods share. Intervals are bootstrapped; p values are corrected for every row.

    Args:
        scores: metrics or addresses as `fid:real:inside`; None for all that are measured.
        target: the detection metric; datasets, detectors, ratio: of such runs only; None for all.
        least: methods below which nothing is tested; seed: of the bootstrap.
        runs, quality: folders of the runs and of what was measured.
        csv: a file for the rows with their points.

    `notes` says what the rows rest on. Raises UserError for an unknown target or score, and where
    nothing is left to correlate.
    """
    rows = correlate_runs(
        record.rows(Path(quality)),
        results.by_category(results.runs(Path(runs))),
        target=target,
        scores=scores,
        datasets=datasets,
        detectors=detectors,
        ratio=ratio,
        least=least,
        seed=seed,
    )
    if csv is not None:
        into_place(Path(csv), csv_text(rows))
    return rows


def notes(rows: Sequence[Correlated]) -> list[str]:
    """Return what rows rest on, a sentence each."""
    first = rows[0]
    tests = f"p corrected by Holm over {first.family} tests" if first.family else "nothing tested"
    said = dict.fromkeys([f"On the {first.subset.replace('_', '-')} test images; {tests}"])
    said |= dict.fromkeys(f"not tested: {row.result.reason}" for row in rows if row.result.reason)
    for row in rows:
        seeds = ", ".join(map(str, row.seeds))
        over = f"{', '.join(row.detectors)}; {', '.join(row.categories)}; training seeds {seeds}"
        said[f"{row.dataset}: means over {over}"] = None
        for method, why in row.left_out.items():
            said[f"{row.dataset}: {method} left out: {why}"] = None
        if len(set(row.counts)) > 1 and row.score.startswith(BIASED):
            said[
                f"{row.dataset}: {min(row.counts)} to {max(row.counts)} samples were measured: "
                f"{', '.join(BIASED)} depend on how many, and do not compare"
            ] = None
    return list(said)

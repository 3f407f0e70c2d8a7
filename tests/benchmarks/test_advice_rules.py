"""The comparison of advice's rules takes its path on made-up evidence."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from asbench.advising import rules
from asbench.advising.evidence import Evidence
from tests.benchmarks import advise
from tests.tried import made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Evidence and truth of three data sets, two seeds each: later methods find more."""
    for place, dataset in enumerate(("one", "two", "three")):
        for seed in (0, 1):
            evidence = replace(
                made(len(advise.METHODS), 10 * place + seed, trials=1), methods=advise.METHODS
            )
            mixes = {(m,) for m in advise.METHODS} | set(advise.FIXED.values())
            mixes |= {advise.members(evidence, rule) for rule in rules.RULES.values()}
            out = {f.name: np.asarray(getattr(evidence, f.name)) for f in fields(Evidence)}
            for mix in mixes:
                mean = np.mean([advise.METHODS.index(m) for m in mix])
                out[f"true {','.join(sorted(mix))}"] = np.array([0.5 + mean / 30, mean / 30])
            np.savez(
                tmp_path / f"{dataset}-part-{seed}.npz",
                **{"memory alone": np.array([0.5, np.nan])},
                **out,  # type: ignore[arg-type]
            )
    return tmp_path


def test_it_says_who_foretells_and_who_chooses_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["one:part", "two:part", "three=here:part"]
    given = ["--store", "none", "--sets", *sets, "--seeds", "0", "1", "--folder", str(folder)]
    assert advise.main(given) == 0
    said = capsys.readouterr().out
    assert "of the same detectors (2 seeds)" in said
    heads = next(row for row in said.splitlines() if row.startswith("| the same, heads alone |"))
    assert float(heads.split("|")[-2]) > 0.9
    for name in rules.RULES:
        assert f"| rule {name} |" in said
    assert "oracle single: image AUROC 0.967" in said
    assert "| three/part | cross_best |" in said or "| three/part | " in said


def test_margins_are_of_both_metrics() -> None:
    other = np.array([0.9, 0.4])
    assert advise.at_least(np.array([0.896, 0.393]), other)
    assert not advise.at_least(np.array([0.894, 0.5]), other)
    assert not advise.at_least(np.array([0.95, 0.39]), other)

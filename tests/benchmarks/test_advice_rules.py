"""The comparison of advice's rules takes its path on made-up evidence."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asbench.advising import rules, with_defects
from asbench.advising.evidence import Evidence
from tests.benchmarks import advise, advise_defects, advise_quality
from tests.tried import made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Evidence and truth of three data sets, two seeds each: later methods find more.

    The third has labels and no masks.
    """
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
                pixel = np.nan if dataset == "three" else mean / 30
                out[f"true {','.join(sorted(mix))}"] = np.array([0.5 + mean / 30, pixel])
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
    outlining = said.partition("true pixel AP")[2].partition("##")[0]
    assert "two/part" in outlining
    assert "three/part" not in outlining
    assert "| three/part | cross_best |" in said or "| three/part | " in said


def test_margins_are_of_both_metrics() -> None:
    other = np.array([0.9, 0.4])
    assert advise.at_least(np.array([0.896, 0.393]), other)
    assert not advise.at_least(np.array([0.894, 0.5]), other)
    assert not advise.at_least(np.array([0.95, 0.39]), other)
    unmasked = np.array([0.9, np.nan])
    assert advise.at_least(np.array([0.896, np.nan]), unmasked)
    assert not advise.at_least(np.array([0.894, np.nan]), unmasked)


def test_a_few_defects_are_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("of", "memory", "head", "both", "pixel", "unusual")
    labels, few = np.repeat([0, 1], [6, 9]), np.arange(15) >= 12
    for place, dataset in enumerate(("one", "two", "three")):
        evidence = replace(made(len(advise.METHODS), place, trials=1), methods=advise.METHODS)
        there = {f"evidence {name}": np.asarray(getattr(evidence, name)) for name in names}
        there |= {"labels": labels, "few": few}
        rng = np.random.default_rng(place)
        for name, count in (("third", 3), ("five", 2)):
            there[f"seen {name} both"] = rng.normal(2, 1, (1, len(advise.METHODS), count))
            there[f"seen {name} pixel"] = rng.uniform(0, 1, (1, len(advise.METHODS)))
        for mix in advise_defects.wanted(advise_defects._tried(there)):
            there[f"both {mix}"] = rng.normal(labels, 1)
            there[f"held {mix}"] = np.array(rng.uniform())
        np.savez(tmp_path / f"{dataset}-part-0-defects.npz", **there)  # type: ignore[arg-type]
    sets = ["one:part", "two:part", "three=here:part"]
    given = ["--store", "none", "--sets", *sets, "--seeds", "0", "--folder", str(tmp_path)]
    assert advise_defects.main(given) == 0
    said = capsys.readouterr().out
    for name in with_defects.RULES:
        assert f"| `{name}`, third |" in said
    assert "| three/part | 3 | " in said
    assert "mean gain" in said


def test_quality_of_records_is_told_so_that_more_is_better() -> None:
    def measured(method: str, n: int, value: float) -> SimpleNamespace:
        scores = [
            SimpleNamespace(metric="fid@histogram", pairing="real", region="whole", value=value),
            SimpleNamespace(metric="ssim", pairing="clean", region="whole", value=value),
            SimpleNamespace(metric="ssim", pairing="clean", region="inside", value=0.0),
            SimpleNamespace(metric="mask_area", pairing="self", region="whole", value=0.0),
        ]
        decides = {"dataset": "one", "category": "part", "method": method, "n": n}
        return SimpleNamespace(decides=decides, scores=scores)

    rows = [measured("a", 100, 1.0), measured("b", 100, 3.0), measured("a", 200, 9.0)]
    told = advise_quality.from_records(rows, "one", "part", ("a", "b"))  # type: ignore[arg-type]
    assert {name: values.tolist() for name, values in told.items()} == {
        "fid@histogram:real": [-1.0, -3.0],
        "ssim:clean": [1.0, 3.0],
    }
    assert advise_quality.from_records(rows, "one", "other", ("a", "b")) == {}  # type: ignore[arg-type]

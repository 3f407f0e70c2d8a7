"""One run, one file: what is written is read, and what is damaged is named."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench import results
from asbench.results import METRICS, SUBSETS, Gallery, ImageRow, Run, Threshold
from synth_store.types import UserError

pytestmark = pytest.mark.slow

DECIDES: dict[str, Any] = {
    "dataset": "demo",
    "category": "weave",
    "geometry": "256x256 (stretch)",
    "normals": "aa",
    "test": "7e57" * 16,
    "mix": {"draem": 0.5, "fractal": 0.5},
    "sets": {"draem": "bb", "fractal": "cc"},
    "ratio": 0.5,
    "ratio_mode": "exact",
    "pool": None,
    "detector": "draem@tiny",
    "parameters": {"width": 16},
    "steps": 300,
    "batch": 8,
    "precision": "fp32",
    "weights": None,
    "seed": 0,
    "synth_seed": 0,
    "select": "last",
}

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
SETTINGS = st.dictionaries(
    st.text(),
    st.recursive(
        LEAVES | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


def a_run(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "decides": DECIDES,
        "metrics": {s: dict.fromkeys(METRICS, 0.1 + 0.2) for s in SUBSETS},
        "counts": {s: {"normal": 3, "anomalous": 2, "with_mask": 2, "regions": 5} for s in SUBSETS},
        "reasons": {s: {} for s in SUBSETS},
        "untrained": None,
        "saw_defects": 0,
        "realised": {"normal": 1200, "draem": 600, "fractal": 600},
        "losses": ((0, 1.5), (10, 0.25)),
        "threshold": Threshold(value=0.41, rule="a rule"),
        "environment": {"asbench": "0.1.0", "threads": 1},
        "seconds": {"train": 1.5, "score": 0.5},
        "created": "2026-01-02T03:04:05Z",
    }
    return Run(**{**fields, **changes})


def test_the_id_of_given_settings_never_changes() -> None:
    assert results.run_id(DECIDES) == "dd1a32f954c0"


@given(SETTINGS)
def test_an_id_survives_json_and_the_order_of_keys(settings: dict[str, Any]) -> None:
    turned = dict(reversed(json.loads(json.dumps(settings)).items()))
    assert results.run_id(turned) == results.run_id(settings)


@pytest.mark.parametrize("key", sorted(DECIDES))
def test_every_setting_decides(key: str) -> None:
    assert results.run_id({**DECIDES, key: "other"}) != results.run_id(DECIDES)


def test_a_whole_float_is_its_integer() -> None:
    assert results.run_id({**DECIDES, "ratio": 1}) == results.run_id({**DECIDES, "ratio": 1.0})
    assert results.run_id({"a": -0.0}) == results.run_id({"a": 0})
    assert results.run_id({"a": True}) != results.run_id({"a": 1})


@pytest.mark.parametrize(
    ("value", "error"),
    [(math.nan, ValueError), (math.inf, ValueError), ({1: "a"}, TypeError), ({2}, TypeError)],
)
def test_what_json_cannot_hold_has_no_id(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        results.run_id({"a": value})


def test_a_run_comes_back_as_it_went(tmp_path: Path) -> None:
    run = a_run(untrained={s: dict.fromkeys(METRICS, 0.5) for s in SUBSETS}, threshold=None)
    results.save(run, tmp_path / run.id)
    assert results.read(tmp_path / run.id) == run
    assert [p.name for p in (tmp_path / run.id).iterdir()] == ["run.json"]


def test_nan_is_null_on_disk_and_nan_again(tmp_path: Path) -> None:
    metrics = {s: {**dict.fromkeys(METRICS, 0.5), "pro": math.nan} for s in SUBSETS}
    losses = ((0, 1.0), (10, math.inf), (20, math.nan))
    why = {"full": {"pro": "no regions"}, "held_out": {"pro": "no regions"}}
    results.save(a_run(metrics=metrics, reasons=why, losses=losses), tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["metrics"]["full"]["pro"] is None
    back = results.read(tmp_path)
    assert math.isnan(back.metrics["held_out"]["pro"])
    assert [math.isnan(loss) for _, loss in back.losses] == [False, True, True]


def test_a_failed_save_leaves_the_old_run_and_no_part(tmp_path: Path) -> None:
    run = a_run()
    results.save(run, tmp_path)
    with pytest.raises(TypeError):
        results.save(a_run(environment={"torch": object()}), tmp_path)
    assert results.read(tmp_path) == run
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_runs_skips_the_unfinished_and_sorts_by_creation(tmp_path: Path) -> None:
    assert results.runs(tmp_path / "nowhere") == []
    late = a_run(created="2026-02-01")
    early = a_run(decides={**DECIDES, "seed": 1}, created="2026-01-01")
    for run in (late, early):
        results.save(run, tmp_path / run.id)
    (tmp_path / "0123456789ab").mkdir()
    results.write_table(tmp_path / "0123456789ab", [])
    assert results.runs(tmp_path) == [early, late]
    assert results.unfinished(tmp_path) == ["0123456789ab"]


def test_finished_finds_exactly_its_run(tmp_path: Path) -> None:
    run = a_run()
    assert results.finished(tmp_path, DECIDES) is None
    results.save(run, tmp_path / run.id)
    assert results.finished(tmp_path, DECIDES) == run
    assert results.finished(tmp_path, {**DECIDES, "seed": 1}) is None


def _edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damage_is_named(tmp_path: Path) -> None:
    run = a_run()
    path = tmp_path / run.id / "run.json"
    results.save(run, path.parent)
    whole = path.read_text()
    other = {**DECIDES, "steps": 301}
    lacking = {k: v for k, v in DECIDES.items() if k != "seed"}
    for changes, said in [
        ({"schema": 2}, "schema 2"),
        ({"decides": other}, "its settings give"),
        ({"decides": lacking}, "no 'seed'"),
        ({"decides": {**DECIDES, "colour": 1}}, "colour"),
        ({"metrics": {}}, "no 'full'"),
        ({"losses": [[1]]}, "cannot be read"),
        ({"threshold": {"value": 1}}, "cannot be read"),
        ({"counts": 3}, "cannot be read"),
    ]:
        path.write_text(whole)
        _edited(path, **changes)
        with pytest.raises(UserError, match=said) as caught:
            results.runs(tmp_path)
        assert str(path) in str(caught.value)
    for text in ("", whole[:-40], "[]", "null", "3"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"run\.json cannot be read"):
            results.runs(tmp_path)


def test_a_run_in_two_folders_would_count_twice(tmp_path: Path) -> None:
    run = a_run()
    results.save(run, tmp_path / run.id)
    results.save(run, tmp_path / "copy")
    with pytest.raises(UserError, match="copy"):
        results.runs(tmp_path)


def test_the_table_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    rows = [
        ImageRow('odd, "name"\n.png', 1, "crack", True, 0.1 + 0.2, 1 / 3),
        ImageRow("good/0.png", 0, "good", False, float(np.float32(0.7)), math.nan),
    ]
    results.write_table(tmp_path, rows)
    back = results.read_table(tmp_path)
    assert back[0] == rows[0]
    assert dataclasses.astuple(back[1])[:5] == dataclasses.astuple(rows[1])[:5]
    assert math.isnan(back[1].pixel_ap)
    (tmp_path / "test.csv").write_text("id,label\na,b\n")
    with pytest.raises(UserError, match=r"test\.csv"):
        results.read_table(tmp_path)


def _gallery() -> Gallery:
    rng = np.random.default_rng(0)
    return Gallery(
        ("a", "b/ü.png"),
        rng.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8),
        rng.random((2, 5, 7)) > 0.5,
        rng.random((2, 5, 7)).astype(np.float16),
    )


def test_a_gallery_comes_back_and_has_one_form(tmp_path: Path) -> None:
    gallery = _gallery()
    results.write_gallery(tmp_path, gallery)
    first = (tmp_path / "gallery.npz").read_bytes()
    back = results.read_gallery(tmp_path)
    assert back.ids == gallery.ids
    for name in ("images", "masks", "maps"):
        np.testing.assert_array_equal(getattr(back, name), getattr(gallery, name))
    results.write_gallery(tmp_path, gallery)
    assert (tmp_path / "gallery.npz").read_bytes() == first
    with pytest.raises(ValueError, match="float16"):
        dataclasses.replace(gallery, maps=gallery.maps.astype(np.float32))
    with pytest.raises(ValueError, match="masks"):
        dataclasses.replace(gallery, masks=gallery.masks[:1])


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_cut_gallery_is_named(tmp_path: Path, keep: int) -> None:
    results.write_gallery(tmp_path, _gallery())
    path = tmp_path / "gallery.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"gallery\.npz"):
        results.read_gallery(tmp_path)


def test_no_flipped_byte_of_a_gallery_passes_unseen(tmp_path: Path) -> None:
    gallery = _gallery()
    results.write_gallery(tmp_path, gallery)
    path = tmp_path / "gallery.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            back = results.read_gallery(tmp_path)
        except UserError:
            continue
        assert back.ids == gallery.ids
        for name in ("images", "masks", "maps"):
            np.testing.assert_array_equal(getattr(back, name), getattr(gallery, name))


def test_results_and_report_need_no_torch() -> None:
    code = "import sys, asbench.results, asbench.report.page.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The generation stage end to end: same pixels whatever the engine, order, or interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.recompute import recompute
from asbench.generation.render import render_job
from asbench.settings import GenerateSettings
from asbench.types import Canvas, PerSample
from synth_store import Sample, StoreError, StoreKey, SynthStore, UserError
from tests.toyset import Toys

pytestmark = pytest.mark.slow

METHODS = ["cutout", "cutpaste@asbench"]


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stage find the toy data set under its name."""
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Toys())


def digests(store: Path, **options: object) -> list[str | None]:
    sets = generate("toys", METHODS, n=40, store=store, size=32, **options)  # type: ignore[arg-type]
    return [s.digest for s in sets]


def test_sets_come_method_by_method_and_category_by_category(tmp_path: Path) -> None:
    sets = generate("toys", METHODS, n=5, store=tmp_path, size=(32, 24), workers=1)
    found = [(s.key.method, s.category, len(s)) for s in sets]
    assert found == [(m, c, 5) for m in METHODS for c in ("a", "b")]
    assert sets[0][0].image.shape == (32, 24, 3)
    assert len({s.digest for s in sets}) == 4


def test_of_each_set_it_is_said_how_much_is_new(tmp_path: Path) -> None:
    def counts(n: int, **changed: object) -> list[tuple[str, int, int, int]]:
        asked = GenerateSettings("toys", ["cutout", "real"], category="a", n=n, store=tmp_path)
        sets = stage.render_sets(replace(asked, size=32, workers=1, **changed))
        return [(one.stored.key.method, len(one.stored), one.before, one.new) for one in sets]

    (_, real, *_) = first = counts(5)[1]
    assert counts(5) == [("cutout", 5, 5, 0), ("real", real, real, 0)]
    assert first == ("real", real, 0, real)
    assert counts(9)[0] == ("cutout", 9, 5, 4)
    assert counts(3)[0] == ("cutout", 9, 3, 0)
    assert counts(9, replace=True) == [("cutout", 9, 0, 9), first]


def test_workers_play_no_part(tmp_path: Path) -> None:
    assert digests(tmp_path / "1", workers=1) == digests(tmp_path / "2", workers=2)


def test_workers_are_begun_early_where_all_is_left_to_render_and_not_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, ahead = [], stage.engines.ahead

    def seen(function, jobs, on):  # type: ignore[no-untyped-def]
        early.append(jobs)
        return ahead(function, jobs, on)

    monkeypatch.setattr(stage.engines, "ahead", seen)

    def jobs(n: int, category: str | None = None, **more: object) -> int:
        early.clear()
        asked = GenerateSettings("toys", ["cutout", "real"], category=category, n=n, store=tmp_path)
        stage.render_sets(replace(asked, size=32, workers=1, **more))
        return early[0]

    assert jobs(300, "a") == 2
    assert jobs(300, "a") == 0
    assert jobs(600, "a") == 0, "little is done before these"
    assert jobs(256) == 1, "normals of the other category stand"
    early.clear()
    with pytest.raises(UserError, match="0 samples are none"):
        jobs(0)
    assert early == []


def test_order_size_and_growth_play_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digests(tmp_path / "whole", workers=1)
    for n in (7, 23, 40):
        generate("toys", list(reversed(METHODS)), n=n, store=tmp_path / "grown", size=32, workers=1)
    assert digests(tmp_path / "grown", workers=1) == whole

    def backwards(function, jobs, workers):  # type: ignore[no-untyped-def]
        return [(job, function(job)) for job in reversed(jobs)]

    monkeypatch.setattr("asbench.grid.engines.run", backwards)
    assert digests(tmp_path / "backwards") == whole


def test_what_is_stored_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests(tmp_path, workers=1)
    monkeypatch.setattr(stage, "render_job", None)  # calling it would fail
    digests(tmp_path, workers=1)


def test_a_killed_generation_continues_to_the_same_digest(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path.cwd())!r})
        from asbench.generation import generate as stage
        from tests.toyset import Toys
        stage.open_dataset = lambda dataset, **_: Toys()
        slow = stage.render_job
        def render(job):
            done = slow(job)
            print("shard", flush=True)
            time.sleep(0.2)
            return done
        stage.render_job = render
        stage.generate("toys", {METHODS!r}, n=600, store={str(tmp_path / "killed")!r}, size=32,
                       workers=1)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(2):
        assert child.stdout.readline() == "shard\n"
    time.sleep(0.25)  # into the next shard
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    opened = SynthStore.open(tmp_path / "killed")
    left = [j.stop - j.start for key, c in opened.sets() for j in opened.missing(key, c)]
    assert 0 < sum(left) < 2400
    with pytest.raises(StoreError, match="begun but not finished"):
        opened.read(StoreKey("toys", METHODS[1], 0), "b")
    again = generate("toys", METHODS, n=600, store=tmp_path / "killed", size=32, workers=1)
    fresh = generate("toys", METHODS, n=600, store=tmp_path / "fresh", size=32, workers=1)
    assert [s.digest for s in again] == [s.digest for s in fresh]


def test_stored_samples_are_rendered_anew_to_the_same_pixels(tmp_path: Path) -> None:
    (stored,) = generate("toys", "cutout", category="a", n=30, store=tmp_path, size=32, workers=1)
    opened = SynthStore.open(tmp_path)
    found = recompute(opened, stored.key, "a", 10)
    assert len(found.indices) == 10
    assert found.different == ()
    drawn, from_store, _ = samples_of(tmp_path, Toys(), "cutpaste@asbench", "a", range(6))
    assert not from_store
    generate("toys", "cutpaste@asbench", category="a", n=6, store=tmp_path, workers=1)
    then, from_store, _ = samples_of(tmp_path, Toys(), "cutpaste@asbench", "a", range(6))
    assert from_store
    for a, b in zip(drawn, then, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.mask, b.mask)


def test_other_normals_under_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate("toys", "cutout", n=3, store=tmp_path, size=32, workers=1)
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Toys(normals=8))
    with pytest.raises(StoreError, match=r"toys/a .* other normals .*--name"):
        generate("toys", "cutout", n=3, store=tmp_path, workers=1)


def test_other_parameters_under_the_same_key_are_refused(tmp_path: Path) -> None:
    mine = {"settings": {"fill": "mean"}, "variant": "mine", "store": tmp_path, "workers": 1}
    generate("toys", "cutout", n=3, size=32, **mine)  # type: ignore[arg-type]
    mine["settings"] = {"fill": "black"}
    with pytest.raises(StoreError, match=r"cutout@mine.*parameters.*--variant.*--replace"):
        generate("toys", "cutout", n=3, **mine)  # type: ignore[arg-type]
    generate("toys", "cutout", n=3, replace=True, **mine)  # type: ignore[arg-type]


def test_another_geometry_is_refused(tmp_path: Path) -> None:
    generate("toys", "cutout", n=3, store=tmp_path, size=32, workers=1)
    with pytest.raises(StoreError, match=r"32x32 \(stretch\).* not 64x64"):
        generate("toys", "cutout", n=3, store=tmp_path, size=64)
    with pytest.raises(StoreError, match=r"not 32x32 \(pad\)"):
        generate("toys", "cutout", n=3, store=tmp_path, resize="pad")


@pytest.mark.parametrize(
    ("method", "change", "told"),
    [
        ("cutuot", {}, "did you mean cutout"),
        ("cutout", {"category": "c"}, "choose from a, b"),
        ("cutout", {"n": 0}, "0 samples are none"),
        ("cutout", {"settings": {"fill": "mean"}}, "--variant"),
        ("cutout", {"resize": "crop"}, "crop"),
        ("cutout", {"size": 0}, "too small"),
    ],
)
def test_a_refusal_leaves_no_store_behind(
    tmp_path: Path, method: str, change: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        generate("toys", method, store=tmp_path / "store", **{"size": 64, **change})  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


class Nothing(PerSample):
    """Draws no anomaly at all."""

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        return Sample(canvas.normal.copy(), np.ones(canvas.normal.shape[:2], np.bool_))


def test_what_shows_nothing_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "resolve", lambda *_, **__: Nothing())
    told = r"cutout shows nothing on toys/a: \d+ draws in a row changed nothing"
    with pytest.raises(UserError, match=told):
        generate("toys", "cutout", n=3, store=tmp_path, size=32, workers=1)


def test_every_normal_serves_once_before_any_twice(tmp_path: Path) -> None:
    sets = generate("toys", "cutout", category="b", n=27, store=tmp_path, size=32, workers=1)
    source = sets[0].source
    for walk in range(3):
        assert sorted(source[9 * walk : 9 * walk + 9]) == list(range(9))


def test_a_job_reports_what_it_did(tmp_path: Path) -> None:
    from asbench.data.ingest import ensure_normals
    from asbench.generation.plan import plan_set
    from asbench.synthesizers import resolve

    store = SynthStore.create(tmp_path)
    ensure_normals(store, Toys(), "a")
    synthesizer = resolve("cutout", dataset="toys", category="a")
    plan = plan_set(store, StoreKey("toys", "cutout", 3), "a", synthesizer, 5)
    done = render_job(plan.jobs[0])
    assert done.samples == 5
    assert plan_set(store, plan.key, "a", synthesizer, 5).left == 0

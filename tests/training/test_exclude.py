"""Samples that somebody marked train no detector, and the run says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asbench import results
from asbench.data.excluded import marks_text, parse_marks, read_marks, short_digest
from asbench.results.frame import frame
from asbench.settings import TrainSettings
from asbench.training import train as stage
from asbench.training.plan import plan_run
from asbench.training.sources import find_sources, kept_samples, trained
from synth_store import Mix, StoreKey, SynthStore, UserError
from tests.synth_store.making import CATEGORY, SMALL, add_normals
from tests.synth_store.making import generate as make_set
from tests.training.workplace import MIX, Workplace
from tests.training.workplace import SMALL as QUICK

KEY = StoreKey("toys", "cutout", 0)


def test_marks_are_written_and_read() -> None:
    marks = {"a/b@c/0/d.e": {3: "0123456789ab", 1: ""}, "a/b/12/d": {0: "ba9876543210"}}
    text = marks_text(marks)
    assert "0123456789ab  a/b@c/0/d.e/3\n" in text
    assert parse_marks(text, "marks") == marks
    assert parse_marks("# nothing\n\n", "marks") == {}


@pytest.mark.parametrize("line", ["demo/draem/0/weave", "draem/3", "xyz  a/b/0/c/1", "\x00"])
def test_what_is_no_mark_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(UserError, match=r"marks, line 2: .* is no sample: write DATASET/"):
        parse_marks(f"# head\n{line}\n", "marks")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read .*asbench browse"):
        read_marks(tmp_path / "none")
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="is no file of marks"):
        read_marks(tmp_path / "image")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    """Sets of 40 samples on 12 normals: on their sources, and on backgrounds of their own."""
    store = SynthStore.create(tmp_path_factory.mktemp("sets"), SMALL)
    add_normals(store, 12)
    make_set(store, 40, key=StoreKey("toy", "drawn", 0))
    make_set(store, 40, key=StoreKey("toy", "own", 0), generated=True)
    return store


@pytest.mark.parametrize("kept_out", [0, 0.2])
@pytest.mark.parametrize("method", ["drawn", "own"])
def test_a_marked_sample_neither_trains_nor_stands_for_anomalies(
    store: SynthStore, method: str, kept_out: float
) -> None:
    stored = store.read(StoreKey("toy", method, 0), CATEGORY)
    marks = (1, 2, *kept_samples(stored, kept_out)[:2])
    rest = [i for i in trained(stored, kept_out) if i not in marks]
    assert list(trained(stored, kept_out, marks)) == rest
    assert not set(kept_samples(stored, kept_out, marks)) & set(marks)


def test_a_pool_is_of_those_that_are_left(store: SynthStore) -> None:
    marks = {f"toy/drawn/0/{CATEGORY}": {0: "", 2: ""}}
    found = find_sources(store, "toy", CATEGORY, Mix.parse("drawn"), 0, 3, marks=marks)
    assert found.indices == [[1, 3, 4]]
    assert found.excluded == {"drawn": (0, 2)}
    with pytest.raises(UserError, match="pool 36 is more than"):
        find_sources(store, "toy", CATEGORY, Mix.parse("drawn"), 0, 36, marks=marks)


def test_marks_of_other_pixels_and_of_nothing_are_refused(store: SynthStore) -> None:
    stored = store.read(StoreKey("toy", "drawn", 0), CATEGORY)
    address = f"toy/drawn/0/{CATEGORY}"
    right = {address: {4: short_digest(stored, 4)}}
    wanted = Mix.parse("drawn")
    found = find_sources(store, "toy", CATEGORY, wanted, 0, None, marks=right)
    assert found.excluded == {"drawn": (4,)}
    for index, digest, said in ((4, "0" * 12, "rendered anew since"), (40, "", "there are 40")):
        with pytest.raises(UserError, match=said):
            find_sources(store, "toy", CATEGORY, wanted, 0, None, marks={address: {index: digest}})
    every = {address: dict.fromkeys(range(40), "")}
    with pytest.raises(UserError, match="none of its 40 samples may train once the 40 marked"):
        find_sources(store, "toy", CATEGORY, wanted, 0, None, marks=every)


def exclude(here: Workplace, *indices: int, method: str = "cutout") -> Path:
    """Write a file that marks samples of a set."""
    stored = SynthStore.open(here.store).read(StoreKey("toys", method, 0), "a")
    path = here.runs.parent / f"{method}{indices}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    address = f"toys/{method}/0/a"
    path.write_text(marks_text({address: {i: short_digest(stored, i) for i in indices}}))
    return path


def plan_of(here: Workplace, **changes: Any) -> Any:
    given = {**QUICK, "store": here.store, "runs": here.runs, **changes}
    return plan_run(TrainSettings("toys", MIX, **given))


@pytest.mark.usefixtures("toys")
def test_a_runs_id_is_of_what_is_left_out_and_else_of_before(here: Workplace) -> None:
    told: list[str] = []
    before = plan_of(here)
    assert "excluded" not in before.decides
    marked = plan_of(here, exclude=exclude(here, 3, 5), notify=told.append)
    assert told == ["toys/a: 2 cutout left out, as " + str(marked.training.exclude) + " says"]
    assert marked.decides["excluded"] == {"cutout": (3, 5)}
    assert len({before.id, marked.id, plan_of(here, exclude=exclude(here, 3)).id}) == 3
    # A file that names nothing of this training changes nothing; neither do names of other sets.
    nothing = here.runs.parent / "nothing.txt"
    nothing.write_text("toys/cutout/7/a/1\n")
    assert plan_of(here, exclude=nothing, notify=told.append).id == before.id
    assert told[-1] == f"toys/a: nothing left out, as {nothing} says"


@pytest.mark.usefixtures("toys")
def test_no_training_sees_what_is_left_out(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exclude(here, *range(1, 18))  # of the 18 that may train one is left
    stored = SynthStore.open(here.store).read(KEY, "a")
    out = {stored[i].image.tobytes() for i in range(1, 18)}
    seen: set[bytes] = set()
    fit = stage.fit_detector

    def spying(model: Any, batch_at: Any, **how: Any) -> Any:
        def watched(step: int) -> Any:
            batch = batch_at(step)
            for image in (batch.image * 255).round().byte().permute(0, 2, 3, 1).numpy():
                seen.add(image.tobytes())
            return batch

        return fit(model, watched, **how)

    monkeypatch.setattr(stage, "fit_detector", spying)
    run = here.train(exclude=file, ratio=0.75).run
    assert seen
    assert not seen & out
    assert stored[0].image.tobytes() in seen
    read = results.read(here.runs / run.id)
    assert read.decides["excluded"] == {"cutout": tuple(range(1, 18))}
    assert read.id == run.id
    (row,) = frame([read], "full").to_dict("records")
    assert "17 samples left out by hand" in row["caveats"]
    assert "excluded" in row["settings"]

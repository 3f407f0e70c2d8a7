"""Files whole or not at all; records come back as they went, and whatever is wrong is named."""

from __future__ import annotations

import errno
import json
import math
import re
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench import results
from asbench.data import set_record
from asbench.data.set_record import SetRecord, record_of
from asbench.files.documents import (
    Number,
    RecordFile,
    RecordFolder,
    into_place,
    json_text,
    sealed,
)
from asbench.generation import fitted
from asbench.quality import cross_matrix
from asbench.quality import record as quality
from asbench.results import run
from asbench.study import record as study
from synth_store import UserError
from tests.recorded import (
    DECIDES,
    EXAMPLES,
    FIRST_RUN,
    FIRST_STUDY,
    drawn,
    fits,
    places,
)

pytestmark = pytest.mark.slow

FILES: dict[str, RecordFile[Any]] = {
    "run": run.RUNS,
    "quality": quality.QUALITIES,
    "cross": cross_matrix.ROWS,
    "study": study.FILE,
    "fit": fitted.FIT_FILE,
    "set": set_record.FILE,
}
HERE = Path("somewhere") / "file.json"
KINDS = pytest.mark.parametrize("name", FILES)
WRONG: tuple[Any, ...] = ("3", "", 3, 3.5, True, None, [], {}, [None], {"a": None})


def text_of(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def changed(document: dict[str, Any], place: Sequence[Any], change: Any) -> dict[str, Any]:
    """Return a copy of a document in which `change(holder, key)` was called at a place."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    holder: Any = copy
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return copy


def refused(file: RecordFile[Any], document: Mapping[str, Any]) -> str:
    """Return what is said of a document that must not be read."""
    with pytest.raises(UserError) as caught:
        file.parse(text_of(document), HERE)
    assert str(caught.value).startswith(f"{HERE} ")
    assert file.again in str(caught.value)
    return str(caught.value)


# --- Records ---


@KINDS
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_record_comes_back_as_it_went(name: str, data: st.DataObject) -> None:
    file = FILES[name]
    record = data.draw(drawn(file.kind))
    text = file.text(record)
    back = file.parse(text, HERE)
    assert type(back) is file.kind
    assert json.loads(file.text(back)) == json.loads(text)
    if json_text(record).count("null") == 0:
        assert back == record


@KINDS
def test_a_file_has_one_form(name: str, tmp_path: Path) -> None:
    """Written again, an example has the same bytes: order of keys, indent, the last line's end."""
    file, document = FILES[name], EXAMPLES[name]
    if name == "run":  # a subset without reasons was not written, and now is
        document = {**document, "reasons": {"full": {"pro": "no regions"}, "held_out": {}}}
        # What decides stands in the order of the settings; in files of before, in another.
        order = FILES["run"].parse(text_of(document), HERE).decides
        document["decides"] = {key: DECIDES[key] for key in order}
        document["further"] = None  # of low rates nothing was recorded
    (tmp_path / file.name).write_text(text_of(document))
    file.write(file.read(tmp_path), tmp_path / "again")
    again = (tmp_path / "again" / file.name).read_text()
    written = sealed(document)
    assert again == json.dumps(written, indent=1, ensure_ascii=file.ascii_only) + "\n"


@KINDS
def test_a_changed_value_is_refused_wherever_it_stands(name: str, tmp_path: Path) -> None:
    """One digit, one letter: what a flipped bit or a hand makes of it is still a record."""
    file, document = FILES[name], EXAMPLES[name]
    text = file.text(file.parse(text_of(document), HERE))
    changed = 0
    for match in re.finditer(r"[0-9](?=[,.\n])|[a-z](?=\")", text):
        other = chr(ord(match[0]) ^ 1)
        with pytest.raises(UserError, match=r"cannot be read|has schema"):
            file.parse(text[: match.start()] + other + text[match.end() :], HERE)
        changed += 1
    assert changed > 5


@KINDS
def test_every_key_must_be_there_and_no_other(name: str) -> None:
    file, document = FILES[name], EXAMPLES[name]
    head = [((key,), str, True) for key in ("schema", "id") if key in document]
    for place, _, must in [*head, *places(file.kind, document)]:
        without = changed(document, place, lambda holder, key: holder.pop(key))
        if must:
            where = f" in {'.'.join(map(str, place[:-1]))}" if place[1:] else ""
            assert f"no {place[-1]!r}{where})" in refused(file, without)
        elif place[0] != "decides":
            file.parse(text_of(without), HERE)
        misspelt = changed(document, place, lambda h, key: h.update({key + "x": h.pop(key)}))
        said = refused(file, misspelt)
        assert f"unknown key {place[-1] + 'x'!r}" in said
        assert not must or f"did you mean {place[-1]!r}?" in said


@KINDS
def test_no_value_is_taken_for_another(name: str) -> None:
    """Text is no number, true is not 1, null is not 0: the place, the value and the file stand."""
    file, document = FILES[name], EXAMPLES[name]
    tried = 0
    for place, kind, _ in places(file.kind, document):
        for wrong in WRONG:
            if not fits(kind, wrong):
                tried += 1
                spoilt = changed(document, place, lambda h, key, to=wrong: h.update({key: to}))
                said = refused(file, spoilt)
                assert ".".join(map(str, place)) in said
                assert f"not {wrong!r})" in said
    assert tried > 20


@KINDS
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_broken_file_is_never_a_traceback(name: str, data: st.DataObject) -> None:
    file, whole = FILES[name], text_of(EXAMPLES[name]).encode()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(len(whole), start + 20)))
    broken = whole[:start] + data.draw(st.binary(max_size=3)) + whole[stop:]
    with suppress(UserError):  # it may also still be a record
        file.parse(broken, HERE)


@KINDS
@pytest.mark.parametrize("text", ["", "[]", "null", "3", "[" * 5000, '{"a": 1', "\udcff"])
def test_what_is_no_record_is_refused(name: str, text: str) -> None:
    with pytest.raises(UserError, match=r"file\.json cannot be read"):
        FILES[name].parse(text.encode(errors="surrogateescape"), HERE)


@KINDS
def test_another_schema_and_another_id_are_told(name: str, tmp_path: Path) -> None:
    file, document = FILES[name], EXAMPLES[name]
    if "schema" in document:
        later = {**document, "schema": 2, "colour": 1}
        assert "has schema 2; this version of ASBench reads schema 1" in refused(file, later)
        for wrong in ("1", 1.0, None, True):
            assert "schema should be" in refused(file, {**document, "schema": wrong})
    if "id" in document:
        assert "its id is '0', its settings give" in refused(file, {**document, "id": "0"})
    with pytest.raises(UserError, match="cannot be read"):
        file.read(tmp_path)


def test_settings_that_have_no_id_are_refused() -> None:
    broken = changed(FIRST_RUN, ("decides", "ratio"), lambda h, key: h.update({key: math.nan}))
    assert "not JSON compliant" in refused(FILES["run"], broken)


def test_nan_survives_in_every_measured_number() -> None:
    """Infinities, which JSON lacks too, come back as NaN."""
    told = {}
    for name, file in FILES.items():
        document = EXAMPLES[name]
        numbers = [place for place, kind, _ in places(file.kind, document) if kind == Number]
        for place in numbers:
            for lost in (math.nan, math.inf):
                spoilt = changed(document, place, lambda h, key, lost=lost: h.update({key: lost}))
                text = file.text(file.parse(text_of(spoilt), HERE))
                held: Any = json.loads(text)
                record: Any = file.parse(text, HERE)
                for key in place:
                    held = held[key]
                    record = getattr(record, key) if is_dataclass(record) else record[key]
                assert held is None
                assert math.isnan(record)
        told[name] = len(numbers)
    assert told == {"run": 32, "quality": 3, "cross": 0, "study": 0, "fit": 1, "set": 0}
    # Those that stand under free keys, and in pairs:
    cross = FILES["cross"].parse(text_of(EXAMPLES["cross"]), HERE)
    assert math.isnan(cross.values["nsa"]["pixel_ap"])
    fit = changed(EXAMPLES["fit"], ("losses",), lambda h, key: h[key].update(b=[[0, None]]))
    assert math.isnan(FILES["fit"].parse(text_of(fit), HERE).losses["b"][0][1])
    run = changed(FIRST_RUN, ("losses",), lambda h, key: h.update({key: [[0, None]]}))
    assert math.isnan(FILES["run"].parse(text_of(run), HERE).losses[0][1])


def test_the_first_records_still_load(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text_of(FIRST_RUN))
    first = results.read(tmp_path)
    assert (first.selected, first.steps_mode, first.parity) == (None, "same", None)
    assert first.reasons == {"full": {"pro": "no regions"}, "held_out": {}}
    assert first.id == "dd1a32f954c0"
    (tmp_path / "study.json").write_text(text_of(FIRST_STUDY))
    found = study.read(tmp_path)
    assert found.quality is None
    assert found.cells[0].training.kept_out == 0
    assert found.cells[0].parameters == (("at", (1, 2)), ("width", 16))
    assert found.left_out == (study.LeftOut(found.cells[0], ("no data",)),)
    assert set_record.FILE.parse("{}", HERE).record == SetRecord()
    assert set_record.FILE.parse('{"record": {"cpu": "x86"}}', HERE).record == SetRecord(cpu="x86")


def test_what_is_recorded_of_a_set_is_read_by_name(tmp_path: Path) -> None:
    def stored(**attributes: Any) -> Any:
        return types.SimpleNamespace(folder=tmp_path, attributes={"count": 3, **attributes})

    assert record_of(stored()) == SetRecord()
    assert record_of(stored(record={"saw_defects": ["a"]})).saw_defects == ("a",)
    with pytest.raises(UserError, match=r"zarr\.json .*unknown key 'saw_defect' in record.*anew"):
        record_of(stored(record={"saw_defect": ["a"]}))
    with pytest.raises(UserError, match=r"record\.saw_defects should be .*, not 'a'"):
        record_of(stored(record={"saw_defects": "a"}))


# --- A folder of records ---


@dataclass(frozen=True)
class Note:
    decides: Mapping[str, int]
    created: str

    @property
    def id(self) -> str:
        return results.run_id(self.decides)


NOTES = RecordFolder(Note, "note.json", 1, "write it again")


def test_records_stand_by_id_the_oldest_first(tmp_path: Path) -> None:
    assert NOTES.rows(tmp_path / "nowhere") == []
    new, old = Note({"a": 1}, "2026-02"), Note({"a": 2}, "2026-01")
    for note in (new, old):
        NOTES.save(note, tmp_path)
    assert NOTES.rows(tmp_path) == [old, new]
    assert NOTES.finished(tmp_path, {"a": 2}) == old
    assert NOTES.finished(tmp_path, {"a": 3}) is None
    NOTES.write(old, tmp_path / "copy")
    with pytest.raises(UserError, match=r"copy hold one and the same note.*delete one"):
        NOTES.rows(tmp_path)


# --- Files ---


def test_text_bytes_and_what_writes_itself_are_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    for content in ("ü\n", "ü\n".encode(), lambda part: part.write_text("ü\n", encoding="utf-8")):
        into_place(path, content)
        assert path.read_bytes() == "ü\n".encode()
        assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
        path.unlink()


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left"), ValueError()])
def test_what_fails_halfway_leaves_the_old_file(tmp_path: Path, problem: Exception) -> None:
    path = tmp_path / "a.txt"
    into_place(path, "old")

    def write(part: Path) -> None:
        part.write_text("half")
        raise problem

    with pytest.raises(UserError if isinstance(problem, OSError) else ValueError) as caught:
        into_place(path, write)
    if isinstance(problem, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left."
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_pydantic_is_not_imported_before_a_record_is_read() -> None:
    code = "import sys, asbench, cli.main, asbench.results, asbench.study.record; "
    code += "sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    """Of this host's dead processes, and of no one else's."""
    killed = (
        "import os, sys; from pathlib import Path; from asbench.files.documents import into_place"
    )
    killed += "; into_place(Path(sys.argv[1]), lambda part: (part.write_text('half'), os._exit(9)))"
    for name in ("a.txt", "x" * 250 + ".txt"):
        subprocess.run([sys.executable, "-c", killed, tmp_path / name], check=False)
    (tmp_path / ".b.txt.000000.1.part").write_text("of another host")
    assert len(list(tmp_path.iterdir())) == 2  # the second has cleared the first away
    into_place(tmp_path / "c.txt", "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.txt.000000.1.part", "c.txt"]

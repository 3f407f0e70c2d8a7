"""A study file of any bytes: read, or refused in one sentence, in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench.study import spec
from synth_store import UserError

BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "b0: &b0 {k0: 1}\n" + "".join(
    f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"about: caf\xe9\nsize: 32\n", r"is no UTF-8 in line 1 \(byte 0xe9\): save it as UTF-8"),
        ("about: caf\u00e9".encode("utf-16"), "is no UTF-8 in line 1"),
        (b"size: " + b"9" * 5000, "is no YAML that can be read: "),
        (b"size: 0x" + b"f" * 5000, "a number is too large"),
        (b"about: !!timestamp 2024-13-45", "is no YAML that can be read: month must be in 1..12"),
        (b"about: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        (b"about: !!binary 'a'", "is no YAML that can be read"),
        (b"size: !!int abc", "is no YAML that can be read"),
        (b"[" * 5000, "is nested too deeply|is no YAML"),
        (b"a: " + b"[" * 60 + b"]" * 60, "it is nested too deeply"),
        (BOMB.encode(), "its aliases repeat more than"),
        (MERGES.encode(), "its aliases repeat more than"),
        (b"a: &a [*a]", "an alias stands within itself|undefined alias"),
        (b"? [1, 2]\n: 3\n", "unhashable"),
        (b"size: 1\nsize: 2", "'size' stands twice"),
        (b"x: " + b"y" * 2**20, "has more than 1048576 bytes"),
        (b"\0", "is no YAML"),
        (b"", "is no study"),
        (b"- a", "is no study"),
        (b"extends: " + b"x" * 5000, "is neither a file nor one that ships"),
    ],
)
def test_what_is_no_study_is_said_in_a_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as refused:
        spec.read(path)
    assert str(path) in str(refused.value) or content.startswith(b"extends")
    assert len(str(refused.value)) < 2000


def test_a_date_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("about: 2024-13-45\nname: 2024-01-02\n")
    study = spec.read(tmp_path / "mine.yaml")
    assert (study.about, study.name) == ("2024-13-45", "2024-01-02")


def test_a_mark_of_utf8_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xef\xbb\xbfabout: mine\n")
    assert spec.read(tmp_path / "mine.yaml").about == "mine"


VALUES = ["[a]", "{a: 1}", "1", "1.5", ".nan", "-.inf", "true", "null", "''", "!!set {a}", "[[[]]]",
          "!!binary aGk=", "[{}]", "{a: {b: [1]}}", "2024-01-02", "'\\e[31m'", "-5"]  # fmt: skip


@pytest.mark.parametrize("key", spec.TOP)
def test_any_value_under_any_name_is_read_or_named(tmp_path: Path, key: str) -> None:
    """Lists for names, numbers for texts: noted as a fault, never raised."""
    for number, value in enumerate(VALUES):
        path = tmp_path / f"{key}{number}.yaml"
        path.write_text(f"{key}: {value}\n")
        try:
            study = spec.read(path)
        except UserError:
            continue
        assert all(len(fault) < 2000 for fault in study.faults)

"""Samples that somebody looked at and leaves out of training: marks, one line each in a file.

A line is `DIGEST  DATASET/METHOD/SEED/CATEGORY/INDEX`, as `asbench browse` keeps them: the digest
says which pixels were looked at. One written by hand may leave the digest out. Empty lines and
those that begin with `#` say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from synth_store.digest import sample_digest
from synth_store.reader import StoredSet
from synth_store.types import UserError

DIGITS = 12
"""Hexadecimal digits of a sample's SHA-256 that a mark carries."""
HEAD = "# Samples left out by `asbench train --exclude` with this file: their digest and address.\n"
_LINE = re.compile(rf"(?:([0-9a-f]{{{DIGITS}}})\s+)?([^\s/]+(?:/[^\s/]+){{3}})/(\d{{1,9}})")

Marks = Mapping[str, Mapping[int, str]]
"""By a set's address, `dataset/method/seed/category`: the marked samples, each with its digest, or
with nothing where the mark carries none."""


def short_digest(stored: StoredSet, index: int) -> str:
    """Return the digest by which a mark knows a sample."""
    return sample_digest(stored, index).hex()[:DIGITS]


def marks_text(marks: Marks) -> str:
    """Return marks as their file holds them."""
    lines = (
        f"{digest}  {address}/{index}\n" if digest else f"{address}/{index}\n"
        for address, of in sorted(marks.items())
        for index, digest in sorted(of.items())
    )
    return HEAD + "".join(lines)


def parse_marks(text: str, where: str) -> Marks:
    """Return the marks of a file's text; raises UserError naming the line that is none."""
    marks: dict[str, dict[int, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        read = _LINE.fullmatch(said)
        if read is None:
            raise UserError(
                f"{where}, line {number}: {said[:80]!r} is no sample: write "
                "DATASET/METHOD/SEED/CATEGORY/INDEX, as in demo/draem/0/weave/17; `asbench browse` "
                "shows samples and saves such a file."
            )
        digest, address, index = read.groups()
        marks.setdefault(address, {})[int(index)] = digest or ""
    return marks


def read_marks(path: Path | str) -> Marks:
    """Return the marks of a file; raises UserError where it is none or cannot be read."""
    try:
        return parse_marks(Path(path).read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no file of marks: `asbench browse` shows samples and saves one."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): `asbench browse` shows samples "
            "and saves those that are marked."
        ) from error


def marked(sets: Iterable[StoredSet], marks: Marks) -> dict[str, tuple[int, ...]]:
    """Return by method the samples of sets that are marked; a method without one is left out.

    Raises UserError for a sample that is not there, and where another stands in its place than was
    looked at.
    """
    found = {}
    for stored in sets:
        address = f"{stored.key}/{stored.category}"
        of = marks.get(address, {})
        for index, digest in of.items():
            if index >= stored.count:
                raise UserError(
                    f"sample {index} of {address} is marked, and there are {stored.count}: look "
                    "again with `asbench browse`."
                )
            if digest and digest != short_digest(stored, index):
                raise UserError(
                    f"sample {index} of {address} is not the one that was marked: the set was "
                    "rendered anew since. Look again with `asbench browse`."
                )
        if of:
            found[stored.key.method] = tuple(sorted(of))
    return found

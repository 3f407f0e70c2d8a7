"""Digests of files that are read again, beside them in `SHA256SUMS`, as sha256sum writes it.

So a flipped bit, a cut or a file of another run is refused wherever it is read, and anyone may
check a folder without ASBench: `sha256sum -c SHA256SUMS`. A folder of an earlier release has no
such file, and is read as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from asbench.files.documents import damaged, into_place
from synth_store.types import UserError

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/]+)")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, names: Iterable[str], of: str = "") -> None:
    """Write the digests of files in a folder; of: whose they are, in a comment at the top."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    into_place(folder / SUMS, "".join([*([f"# {of}\n"] if of else []), *lines]))


def listed(folder: Path, again: str, of: str = "") -> dict[str, str] | None:
    """Return the digests that a folder lists, by name; None where it lists none.

    of: whose they must be, where that is known. Raises UserError for a damaged list, or another's.
    """
    path = folder / SUMS
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise damaged(path, error, again) from error
    digests = {}
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("#"):
            if of and line != f"# {of}":
                raise damaged(path, f"it is of {line[1:].strip()}, and not of {of}", again)
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise damaged(path, f"{line[:80]!r} is no digest with a name", again)
        digests[match[2]] = match[1]
    return digests


def check(path: Path, again: str, of: str = "", data: bytes | None = None) -> None:
    """Raise UserError unless a file is the one that its folder lists, where it lists any.

    data: what the file holds, where it has been read.
    """
    digests = listed(path.parent, again, of)
    if digests is None:
        return
    if path.name not in digests:
        raise damaged(path, f"{SUMS} beside it does not list it", again)
    try:
        digest = sha256_of(path) if data is None else hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise damaged(path, error, again) from error
    if digest != digests[path.name]:
        raise damaged(path, f"it is not what {SUMS} beside it lists: damaged, or another's", again)


def read_checked(path: Path, again: str) -> bytes:
    """Return what a file holds; raises UserError where it cannot be read, or is not as listed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise damaged(path, error, again) from error
    check(path, again, data=data)
    return data


def check_published(path: Path) -> None:
    """Raise UserError where weights are not what is known of them.

    Known is what `SHA256SUMS` or `NAME.sha256` beside the file lists, and the first digits of the
    digest that published files carry in their names, as in `resnet18-f37072fd.pth`.
    """
    again = "fetch it again"
    digests = listed(path.parent, again) or {}
    beside = path.with_name(f"{path.name}.sha256")
    stated = [digests.get(path.name, "")]
    if beside.is_file():
        match = _LINE.match(beside.read_text(encoding="utf-8", errors="replace").strip())
        if match is None:
            raise damaged(beside, "it is no digest with a name", again)
        stated.append(match[1])
    named = re.search(r"-([0-9a-f]{8})\.\w+$", path.name)
    stated += [named[1]] if named else []
    wanted = [digest for digest in stated if digest]
    digest = sha256_of(path) if wanted else ""
    for one in wanted:
        if not digest.startswith(one):
            raise UserError(
                f"{path} is not the file that was published: its SHA-256 is {digest:.8}…, not "
                f"{one:.8}…: {again}."
            )

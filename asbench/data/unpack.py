"""Archives to folders, as if everyone who made one were hostile.

Only plain files and folders are written, only below the folder given, none twice, none larger than
the archive declares it to be, and not more of them than the disk holds.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from synth_store.types import UserError

SPARE = 256 * 2**20
"""Bytes of the disk that are never filled."""
_PIECE = 2**20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # of zipfile, for passwords and unknown compressions
)


class _Member(NamedTuple):
    """What an archive says of one of its members; size in bytes."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, into: Path, progress: Callable[[int], None] | None = None) -> None:
    """Write the files of a ZIP or TAR archive (also .gz, .bz2, .xz) below the folder `into`.

    `progress(bytes)` counts what is written. Permissions and dates of the archive are not kept.
    Raises UserError for what is no such archive or is damaged, and for a hostile one: a path that
    is absolute or leads outside, a link, a device, a file that comes twice, more bytes than the
    disk has room for. What was written until then stays: unpack into a folder made for it.
    """
    room = shutil.disk_usage(into).free - SPARE
    declared = written = 0
    try:
        for member in _members(archive):
            path = into / _inside(archive, member.name)
            if member.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
                continue
            if member.kind != "file":
                raise UserError(f"{archive} holds a {member.kind}, {member.name}: {_REFUSED}")
            declared += member.size
            if declared > room:
                raise UserError(
                    f"{archive} holds at least {declared / 2**30:.1f} GiB of files, and {into} has "
                    f"room for {max(room, 0) / 2**30:.1f} GiB: make room, or set ASBENCH_DATA to a "
                    "folder on another disk."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            for count in _write(archive, member, path):
                written += count
                if progress is not None:
                    progress(written)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: {_REFUSED}") from error
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged, or no ZIP or TAR archive: {error}.") from error


_REFUSED = "nothing is unpacked from such an archive. Get it from the authors again."


def _inside(archive: Path, name: str) -> Path:
    """Return a member's path below the folder; raises UserError if it would lie outside."""
    parts = PurePosixPath(name).parts
    drive = re.match(r"[A-Za-z]:", name)
    if name.startswith("/") or drive or ".." in parts or "\\" in name or "\0" in name:
        raise UserError(f"{archive} holds {name!r}, which leads outside: {_REFUSED}")
    return Path(*parts)


def _write(archive: Path, member: _Member, path: Path) -> Iterator[int]:
    """Write one file, never over another, yielding the size of each piece written."""
    left = member.size
    with member.open() as source, path.open("xb") as target:
        while piece := source.read(_PIECE):
            left -= len(piece)
            if left < 0:
                break
            target.write(piece)
            yield len(piece)
    if left:
        raise UserError(
            f"{archive} declares {member.size} bytes for {member.name} and holds "
            f"{'more' if left < 0 else 'less'}: {_REFUSED}"
        )


def _members(archive: Path) -> Iterator[_Member]:
    """Yield what an archive holds, in its order, which is the only one a TAR can be read in."""
    # in this order: a TAR whose last file is a ZIP ends as a ZIP does
    if tarfile.is_tarfile(archive) or not zipfile.is_zipfile(archive):
        yield from _tarred(archive)
    else:
        yield from _zipped(archive)


def _zipped(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.is_dir() else "file"
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "special file"
            yield _Member(info.filename, info.file_size, kind, lambda i=info: file.open(i))  # type: ignore[misc]


def _tarred(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as file:
        for info in file:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "special file"
            if info.issym() or info.islnk():
                kind = "link"

            def opened(info: tarfile.TarInfo = info) -> IO[bytes]:
                stream = file.extractfile(info)
                assert stream is not None, "a plain file"
                return stream

            yield _Member(info.name, info.size, kind, opened)

"""Archives to folders, as if everyone who made one were hostile.

Only plain files and folders are written, only below the folder given, none twice, none larger than
the archive declares it to be, and not more of them than the disk holds. An archive is read to its
end: there stand the checksum of a compressed one, the end mark of a TAR and the count of a ZIP. The
data of a TAR that nothing compresses is under no checksum.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from synth_store.types import UserError

SPARE = 256 * 2**20
"""Bytes of the disk that are never filled."""
_PIECE = 2**20
_HEADER = 2**24
"""Bytes that a header may take, a long name or what a PAX header says: hostile ones take all."""
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    # What zipfile and tarfile make of headers that make no sense: passwords, unknown compressions,
    # numbers that are none, names in no encoding.
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
)
_COMPRESSED: tuple[tuple[bytes, Callable[[Path], IO[bytes]]], ...] = (
    (b"\x1f\x8b", gzip.open),  # type: ignore[assignment]
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
"""How a compressed file begins, and what opens it."""


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
            if member.size < 0:
                raise tarfile.ReadError(f"{member.name} has {member.size} bytes")
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
    except UserError:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: {_REFUSED}") from error
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged, or no ZIP or TAR archive: {error}.") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise UserError(
                f"{archive} holds a name that no file can have, {str(error.filename)[-60:]!r}: "
                f"{_REFUSED}"
            ) from error
        raise UserError(
            f"cannot unpack {archive}: {error.filename or into}: {error.strerror or error}."
        ) from error


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
    if _is_tar(archive) or not zipfile.is_zipfile(archive):
        yield from _tarred(archive)
    else:
        yield from _zipped(archive)


def _is_tar(archive: Path) -> bool:
    """Say whether a file begins as a TAR does, compressed or not; no more of it is read."""
    with archive.open("rb") as file:
        begins = file.read(tarfile.BLOCKSIZE)
    if any(begins.startswith(magic) for magic, _ in _COMPRESSED):
        return True
    try:
        tarfile.TarInfo.frombuf(begins, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _zipped(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        stated, there = _stated(archive), len(file.infolist())
        if stated not in (None, there):
            raise zipfile.BadZipFile(f"it lists {there} members, and says that it has {stated}")
        for info in file.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.is_dir() else "file"
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "special file"
            yield _Member(info.filename, info.file_size, kind, lambda i=info: file.open(i))  # type: ignore[misc]


def _stated(archive: Path) -> int | None:
    """Return how many members a ZIP says that it has; None where its field is too small."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - 2**16 - 22))
        tail = file.read()
    place = tail.rfind(b"PK\5\6")
    count = int.from_bytes(tail[place + 10 : place + 12], "little")
    return None if count == 2**16 - 1 else count


class _Stream:
    """The bytes of a TAR, however it is compressed; refuses to read a header that fills memory."""

    def __init__(self, archive: Path) -> None:
        with archive.open("rb") as file:
            begins = file.read(6)
        opened = [opens for magic, opens in _COMPRESSED if begins.startswith(magic)]
        self.file = opened[0](archive) if opened else archive.open("rb")
        self.seek, self.tell, self.close = self.file.seek, self.file.tell, self.file.close

    def read(self, size: int) -> bytes:
        if size > _HEADER:
            raise tarfile.ReadError(f"a header has {size} bytes")
        return self.file.read(size)

    def drain(self, start: int) -> None:
        """Read to the end, where the checksum stands; raise ReadError unless only zeros are left.

        They mark the end of a TAR. What else stands there is a member whose header is damaged.
        """
        self.seek(start)
        left = 0
        while piece := self.file.read(_PIECE):
            left += len(piece)
            if piece.strip(b"\0"):
                raise tarfile.ReadError("a header is damaged, and with it members are lost")
            if left > SPARE:
                raise tarfile.ReadError("it does not end")
        if left < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing: it was cut off")


def _tarred(archive: Path) -> Iterator[_Member]:
    stream = _Stream(archive)
    with closing(stream), tarfile.open(fileobj=stream, mode="r:") as file:  # type: ignore[call-overload]
        for info in file:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "special file"
            if info.issym() or info.islnk():
                kind = "link"

            def opened(info: tarfile.TarInfo = info) -> IO[bytes]:
                plain: IO[bytes] | None = file.extractfile(info)
                assert plain is not None, "a plain file"
                return plain

            yield _Member(info.name, info.size, kind, opened)
        stream.drain(file.offset)

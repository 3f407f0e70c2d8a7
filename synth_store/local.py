"""A place on this machine, in the words of pathlib and those that `RemotePath` has beside them.

Files are written whole: under a temporary name, then renamed into place. What fails is a StoreError
that names the place, when the disk is full or refuses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL
from pathlib import PosixPath
from stat import S_ISREG
from typing import IO, ClassVar, Self

from synth_store.types import StoreError


class LocalPath(PosixPath):
    """A folder or file of a store in a folder."""

    __slots__ = ()
    remote: ClassVar[bool] = False

    def plain(self) -> IO[bytes]:
        """Open a file to be read; raises OSError for a pipe or device too, which could block."""
        number = os.open(self, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(EINVAL, "it is no plain file", str(self))
        return open(number, "rb")

    def read_bytes(self) -> bytes:
        """Return what the file holds; raises OSError for a pipe or device too."""
        with self.plain() as file:
            return file.read()

    def write(self, data: bytes) -> None:
        """Put the whole file in place, in place of one that is there; leaves nothing else behind.

        Who reads meanwhile reads the old or the new.
        """
        with self._complete(data) as temporary:
            temporary.replace(self)

    def create(self, data: bytes) -> None:
        """Put the whole file unless there is one: of several who do at once, one does."""
        with self._complete(data) as temporary, suppress(FileExistsError):
            os.link(temporary, self)

    def remove(self) -> None:
        """Delete the file; does nothing where there is none."""
        try:
            self.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {self}: {error.strerror or error}.") from error

    def clear(self, root: Self) -> None:
        """Delete a folder of the store at `root`, if it is there; of a link the link alone.

        Its metadata goes first: killed halfway, what is left is no group. Raises StoreError for
        what lies behind a link, which may lead out of the store, and for what cannot go.
        """
        self.refuse_link_above(root)
        try:
            if self.is_symlink():
                self.unlink()
            elif self.exists():
                (self / "zarr.json").unlink(missing_ok=True)
                shutil.rmtree(self)
        except OSError as error:
            raise StoreError(f"cannot remove {self}: {error.strerror or error}.") from error

    def refuse_link_above(self, root: Self) -> None:
        """Raise StoreError if a folder between the store at `root` and this place is a link.

        Whatever is deleted there, or overwritten, may be no part of the store.
        """
        for above in self.parents:
            if above == root or root not in above.parents:
                return
            if above.is_symlink():
                raise StoreError(
                    f"{self} lies behind the link {above}, which may lead out of the store: "
                    "nothing is deleted or replaced there. Do it where the link leads, or remove "
                    "the link."
                )

    def files(self) -> Iterator[tuple[Self, int]]:
        """Yield every file below with its size in bytes; links to folders are not followed.

        Raises StoreError for a folder that cannot be read.
        """
        for name, size in self.sizes():
            yield type(self)(name), size

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield what `files` does, by name: a path of each would take longer than its size."""
        pending = [str(self)]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            yield entry.path, entry.stat().st_size
                        else:  # a link, a pipe
                            yield entry.path, 0
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{folder} cannot be read: {error.strerror or error}.") from error

    def state(self) -> Hashable | None:
        """Return what is another when the file was written anew; None where there is none."""
        try:
            return self.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self} cannot be read: {error.strerror or error}.") from error

    @property
    def read_only(self) -> bool:
        """Whether the store at this folder may be read but not written: a disk mounted so."""
        return not os.access(self / "zarr.json", os.W_OK)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the store at this folder; the system releases it when a process dies.

        Metadata is changed, and finished shards are put in place, under it; samples are rendered
        and encoded outside of it, so it is never held for long.
        """
        try:
            # No lock file of its own: Zarr tools that walk the store would warn of it.
            file = (self / "zarr.json").open("r+b")
        except OSError as error:
            raise StoreError(f"cannot write to the store at {self}: {error.strerror}.") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def remove_abandoned(self) -> None:
        """Delete the temporary files that killed processes of this host left below the folder."""
        for path in self.rglob(f".*.{socket.gethostname()}.*.partial"):
            process = path.name.rsplit(".", 2)[1]
            if process.isdecimal() and not is_alive(int(process)):
                path.unlink(missing_ok=True)

    @contextmanager
    def _complete(self, data: bytes) -> Iterator[Self]:
        """Give a temporary file beside this one that holds the data; afterwards it is gone."""
        temporary = self.with_name(f".{self.name}.{socket.gethostname()}.{os.getpid()}.partial")
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {self}: {error.strerror or error}.") from error


def is_alive(process: int) -> bool:
    """Say whether there is a process of this number on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

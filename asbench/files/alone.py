"""A folder that one process at a time writes to: a lock file that says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from synth_store.types import UserError


@contextmanager
def alone(lock: Path, refusal: Callable[[str], str]) -> Iterator[None]:
    """Hold a lock file, made where it is missing and gone afterwards.

    refusal: what to say where another holds it, given who that is: `process 7 on HOST since TIME`.
    The system releases what a killed process held; the file that it leaves is taken over. Raises
    UserError with that, and where the file cannot be written or its file system knows no locks.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _taken(lock, refusal)
    except OSError as error:
        raise UserError(f"cannot write {lock}: {error.strerror or error}.") from error
    with file:
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is held: nobody else's is removed


def _taken(lock: Path, refusal: Callable[[str], str]) -> IO[str]:
    """Return the open lock file, held, with this process named in it."""
    while True:
        file = lock.open("a+")  # does not empty it: it may be another's
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _stands(lock, file):
                file.truncate(0)
                json.dump([os.getpid(), socket.gethostname(), f"{datetime.now():%F %T}"], file)
                file.flush()
                return file
        except BlockingIOError:
            with file:
                raise UserError(refusal(_holder(file))) from None
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it removed it meanwhile


def _stands(lock: Path, file: IO[str]) -> bool:
    """Return whether an open file is the one of its name, and not one that was removed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _holder(file: IO[str]) -> str:
    """Return who holds a lock file; it may be about to say so."""
    file.seek(0)
    try:
        process, host, since = json.loads(file.read())
    except ValueError:
        return "another process"
    return f"process {process} on {host} since {since}"

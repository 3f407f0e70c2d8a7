"""The files of published data sets into ASBENCH_DATA: fetched, checked, unpacked, put in place."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import asbench.datasets as datasets
from asbench import plugins
from asbench.data.unpack import SPARE, unpack
from asbench.files.source import DatasetSource
from asbench.progress import Progress, quiet
from asbench.types import Dataset
from synth_store.types import UserError

MIB = 2**20
GIB = 2**30
ATTEMPTS = 5
"""Connections in a row that may bring nothing before a download is given up."""
PAUSE = 1.0
"""Seconds after the first of them; they double."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as cut."""


def source_of(name: str) -> DatasetSource:
    """Return where a data set comes from; raises UserError for one that needs no files."""
    plain = plugins.check(datasets.__name__, name)
    source = getattr(plugins.module(datasets.__name__, plain), "SOURCE", None)
    if not isinstance(source, DatasetSource):
        known = ", ".join(n for n in plugins.names(datasets.__name__) if _has_origin(n))
        raise UserError(f"data set {plain!r} has no files to fetch; those that have: {known}.")
    return source


def _has_origin(name: str) -> bool:
    return hasattr(plugins.module(datasets.__name__, name), "SOURCE")


def destination(name: str) -> Path:
    """Return where a data set's files will lie; raises UserError if something lies there."""
    plain = plugins.check(datasets.__name__, name)
    base = os.environ.get("ASBENCH_DATA")
    if not base:
        raise UserError(
            "ASBENCH_DATA is not set: set it to the folder in which data sets are to lie, "
            "then fetch again."
        )
    target = Path(os.path.abspath(base)) / plain
    if target.exists():
        raise UserError(
            f"{target} is there already: look at it with `asbench data check {plain}`, or move it "
            "away and fetch again."
        )
    return target


def _silent(text: str) -> None:
    """Tell nobody."""


def fetch(
    name: str,
    archive: Path | None = None,
    *,
    progress: Progress = quiet,
    notify: Callable[[str], None] = _silent,
) -> Path:
    """Put a data set's files at `$ASBENCH_DATA/<name>`; returns that folder.

    Without an `archive` it is downloaded from the authors' link: a connection that is cut is taken
    up where it ended, also by the next call, and the archive is removed once it is unpacked. An
    `archive` got by hand is left as it is. Either is compared with the published checksum, where
    there is one. The folder appears whole and readable, or not at all. `progress` counts MiB, and
    `notify` is told of every cut. One call for a data set at a time.
    Raises UserError for a data set without a link, naming what to do by hand; for a wrong checksum,
    a link that does not answer, a hostile archive, and one that holds something else.
    """
    plain = plugins.check(datasets.__name__, name)
    known, target = source_of(plain), destination(plain)
    if archive is None and not known.url:
        raise UserError(by_hand(plain))
    target.parent.mkdir(parents=True, exist_ok=True)
    if archive is None:
        given = _download(plain, known, target.parent / ".downloads", progress, notify)
    else:
        given = archive
        _compare(plain, known, given)
    size = given.stat().st_size // MIB
    with _temporary(target.with_name(f".{plain}.unpacking")) as folder:
        unpack(
            given,
            folder,
            lambda done: progress("unpacking, MiB", done // MIB, max(done // MIB, size)),
        )
        _dataset_folder(plain, folder, given).rename(target)
    if archive is None:
        given.unlink()
        _tidy(given.parent)
    return target


def _tidy(downloads: Path) -> None:
    """Remove the folder of downloads unless a part of another data set lies there."""
    if downloads.is_dir() and not any(downloads.iterdir()):
        downloads.rmdir()


def by_hand(name: str) -> str:
    """Return what a person does where no direct link can be relied on."""
    plain = plugins.check(datasets.__name__, name)
    known = source_of(plain)
    return (
        f"{plain} cannot be fetched by a program. Open {known.page} and {known.by_hand}. Then, "
        f"with the archive: `asbench data fetch {plain} --archive FILE`; or put the folders "
        f"themselves at $ASBENCH_DATA/{plain}."
    )


def _compare(name: str, known: DatasetSource, archive: Path) -> None:
    """Raise UserError unless an archive is there and has the published checksum, if there is."""
    if not archive.is_file():
        raise UserError(f"{archive} is no file: --archive takes the archive you downloaded.")
    if (difference := _difference(known, archive)) is not None:
        raise UserError(
            f"{archive} is not the archive of {name}: {difference}. "
            f"It may be cut short, or another release; get it again from {known.page}."
        )


def _difference(known: DatasetSource, archive: Path) -> str | None:
    """Return how an archive's checksum differs from the published one; None where it does not."""
    algorithm, _, wanted = known.checksum.partition(":")
    if not wanted:
        return None
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    return None if digest == wanted else f"its {algorithm} is {digest}, not {wanted}"


def _download(
    name: str, known: DatasetSource, folder: Path, progress: Progress, notify: Callable[[str], None]
) -> Path:
    """Return the archive at a link, its checksum compared; a wrong one is removed."""
    archive = folder / known.url.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not archive.exists():
            part = archive.with_name(f"{archive.name}.part")
            _Resuming(part, progress, notify)(known.url, archive)
        if (difference := _difference(known, archive)) is not None:
            archive.unlink()
            raise UserError(
                f"what {known.url} sent is not the archive of {name}, and was removed: "
                f"{difference}. Fetch again; if it says so again, look at {known.page}."
            )
    except HTTPError as error:
        raise UserError(
            f"{known.url} answers {error.code} {error.reason}: the link may have moved. Look at "
            f"{known.page}, and with the archive: `asbench data fetch {name} --archive FILE`."
        ) from error
    finally:
        _tidy(folder)
    return archive


class _Resuming:
    """A downloader that writes beside the target, and goes on where an earlier one ended."""

    def __init__(self, part: Path, progress: Progress, notify: Callable[[str], None]) -> None:
        self.part = part
        self.what = f"{part.stem}, MiB"
        self.progress = progress
        self.notify = notify

    def __call__(self, url: str, output_file: Path) -> None:
        """Bring what is at a link; raises UserError for one that sends nothing any more."""
        idle = 0
        while True:
            before = self._have()
            try:
                whole = self._go_on(url)
            except HTTPError as error:
                error.close()
                if error.code < 500:
                    raise
                whole, reason = False, f"it answers {error.code} {error.reason}"
            except (URLError, HTTPException, ConnectionError, TimeoutError, SSLError) as error:
                whole, reason = False, str(getattr(error, "reason", error))
            else:
                reason = "the connection was cut"
            if whole:
                os.replace(self.part, output_file)
                return
            idle = 0 if self._have() > before else idle + 1
            if idle == ATTEMPTS:
                raise UserError(
                    f"{url} does not send more than {self._have() / MIB:.1f} MiB ({reason}); what "
                    "came is kept, and the same command goes on from there."
                )
            self.notify(f"{url} at {self._have() / MIB:.1f} MiB: {reason}; going on")
            time.sleep(PAUSE * 2 ** (idle - 1) if idle else 0)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, url: str) -> bool:
        """Add to the part until the connection ends; return whether the file is whole."""
        have = self._have()
        headers = {"Accept-Encoding": "identity", "User-Agent": "asbench"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        except HTTPError as error:
            if error.code != 416 or not have:
                raise
            error.close()
            # Nothing lies beyond what is here: it is whole, or was never part of this file.
            if error.headers.get("Content-Range", "") == f"bytes */{have}":
                return True
            self.part.unlink()
            return False
        with response:
            continues = response.status == 206
            if continues and not _starts_at(response, have):
                self.part.unlink()
                return False
            start = have if continues else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            self._refuse_without_room((total or 0) - start)
            with self.part.open("ab" if continues else "wb") as file:
                while piece := response.read(MIB):
                    file.write(piece)
                    start += len(piece)
                    self.progress(self.what, start // MIB, (total or start) // MIB)
        return total is None or start == total

    def _refuse_without_room(self, size: int) -> None:
        room = shutil.disk_usage(self.part.parent).free - SPARE
        if size > room:
            raise UserError(
                f"{size / GIB:.1f} GiB are still to come, and {self.part.parent} has room for "
                f"{max(room, 0) / GIB:.1f} GiB: make room (as much again to unpack), or set "
                "ASBENCH_DATA to a folder on another disk."
            )


def _starts_at(response: HTTPResponse, have: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """Make an empty folder, over what a killed run left, and remove it in the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _dataset_folder(name: str, folder: Path, archive: Path) -> Path:
    """Return the folder that the data set's reader takes: this, or one at most two below it."""
    reasons = []
    below = (p for pattern in ("*", "*/*") for p in sorted(folder.glob(pattern)) if p.is_dir())
    for candidate in (folder, *below):
        try:
            _read(name, candidate)
        except UserError as error:
            reasons.append(str(error).replace(str(folder), archive.name))
        else:
            return candidate
    raise UserError(f"{archive} does not hold {name}: {reasons[0]}")


def _read(name: str, root: Path) -> None:
    """List everything of a data set below `root`; raises UserError for what it lacks."""
    cls = plugins.load(datasets.__name__, name, Dataset)  # type: ignore[type-abstract]
    dataset: Dataset = cls(root=root)  # type: ignore[call-arg]
    for category in dataset.categories():
        dataset.items(category)

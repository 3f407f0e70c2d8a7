"""A place on an object store, in those words of pathlib that reading and copying a store need.

Credentials, region and endpoint come from the standard AWS_* environment variables. What fails is
a FileNotFoundError where nothing is there, and otherwise a StoreError with the whole URL.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, ClassVar, Self

from synth_store.errors import MissingPackage
from synth_store.types import StoreError

SCHEME = "s3://"
_TOP = PurePosixPath()


@dataclass(frozen=True, slots=True, order=True)
class RemotePath:
    """A key below a store's URL. Pickles as its name: every process has its own connections."""

    remote: ClassVar[bool] = True
    read_only: ClassVar[bool] = True

    store: str
    """`s3://bucket/prefix`, without a slash at its end."""
    path: PurePosixPath = _TOP

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `s3://bucket/prefix`; raises StoreError for what is none."""
        bucket, *prefix = url.removeprefix(SCHEME).rstrip("/").split("/")
        if not url.startswith(SCHEME) or not bucket or "" in prefix:
            raise StoreError(
                f"{url!r} is no place for a store: write s3://BUCKET or s3://BUCKET/A/B."
            )
        return cls(url.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.store}/{self.path}" if self.path.parts else self.store

    def __truediv__(self, part: str) -> Self:
        return type(self)(self.store, self.path / part)

    def joinpath(self, *parts: str) -> Self:
        """Return the place below this one."""
        return type(self)(self.store, self.path.joinpath(*parts))

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.path.name

    @property
    def parent(self) -> Self:
        """The place above; the store itself has itself."""
        return type(self)(self.store, self.path.parent)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The places above, nearest first, up to the store itself."""
        return tuple(type(self)(self.store, path) for path in self.path.parents)

    def relative_to(self, above: RemotePath) -> PurePosixPath:
        """Return the rest of the key below another place of the same store."""
        return self.path.relative_to(above.path)

    def exists(self) -> bool:
        """Say whether there is an object of this name."""
        return self.state() is not None

    def state(self) -> Hashable | None:
        """Return what is another when the object was written anew; None where there is none."""
        client = _client(self.store)
        try:
            with self._failing("read"):
                head = client.head(str(self.path))
        except FileNotFoundError:
            return None
        return str(head["e_tag"] or head["last_modified"])

    def read_bytes(self) -> bytes:
        """Fetch the whole object; raises FileNotFoundError where there is none."""
        client = _client(self.store)
        with self._failing("read"):
            return bytes(client.get(str(self.path)).bytes())

    def write(self, data: bytes) -> None:
        """Put the whole object in one request: who reads meanwhile reads the old or the new."""
        client = _client(self.store)
        with self._failing("write"):
            client.put(str(self.path), data, use_multipart=False)

    def create(self, data: bytes) -> None:
        """Put the whole object unless there is one: of several who do at once, one does."""
        client = _client(self.store)
        from obstore.exceptions import AlreadyExistsError

        with self._failing("write"), suppress(AlreadyExistsError):
            client.put(str(self.path), data, mode="create", use_multipart=False)

    def remove(self) -> None:
        """Delete the object; does nothing where there is none."""
        client = _client(self.store)
        with self._failing("remove"), suppress(FileNotFoundError):
            client.delete(str(self.path))

    def locked(self) -> AbstractContextManager[None]:
        """Hold nothing: an object store has no locks."""
        return nullcontext()

    def files(self) -> Iterator[tuple[Self, int]]:
        """Yield every object below with its size in bytes: one request for each thousand."""
        client = _client(self.store)
        with self._failing("list"):
            for some in client.list(str(self.path) if self.path.parts else None):
                for entry in some:
                    yield type(self)(self.store, PurePosixPath(entry["path"])), entry["size"]

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield what `files` does, by name."""
        for path, size in self.files():
            yield str(path), size

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield the objects whose key below this one matches, part by part."""
        depth = len(PurePosixPath(pattern).parts)
        for path, _ in self.files():
            below = path.relative_to(self)
            if len(below.parts) == depth and below.match(pattern):
                yield path

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn the client's errors into ones that name the URL and what to look at."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(str(self)) from None
        except (BaseError, OSError) as error:
            # Below the first paragraph the client prints its own structures.
            reason = " ".join(str(error).partition("\n\n")[0].split())
            raise StoreError(
                f"cannot {what} {self}: {reason.rstrip('.')}. Look at AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_REGION and, for a server of your own, AWS_ENDPOINT_URL."
            ) from error


def _client(url: str) -> Any:
    # What the client takes from the environment it takes once: another environment, another client.
    named = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return _connected(url, frozenset(named.items()), _this_process())


@lru_cache(maxsize=8)
def _connected(url: str, settings: frozenset[tuple[str, str]], process: int) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    plain = any("ENDPOINT" in name and value.startswith("http://") for name, value in settings)
    try:
        return S3Store.from_url(
            url,
            # The time a whole shard may take: 50 MB where nothing compresses.
            client_options={"allow_http": plain, "connect_timeout": "10s", "timeout": "300s"},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
        )
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n\n")[0]
        raise StoreError(f"cannot open {url}: {reason}. Write s3://BUCKET/PREFIX.") from error


_began: list[int] = []


def _this_process() -> int:
    """Return this process's id; raises StoreError where the client cannot work in it.

    Its threads do not survive a fork: the first request would wait for ever.
    """
    try:
        import obstore as obstore
    except ImportError as error:
        raise MissingPackage("obstore") from error
    process = os.getpid()
    if not _began:
        _began.append(process)
    if _began[0] != process:
        raise StoreError(
            "a store on an object store cannot be read in a process forked from one that has read "
            "it: start workers by spawning, as in DataLoader(..., multiprocessing_context='spawn')."
        )
    return process

"""Shards from an object store: fetched whole, several at once, held in memory up to a bound."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from synth_store.labels import Owner
from synth_store.remote import RemotePath
from synth_store.shards import Shard

HELD = 2 << 30
"""Bytes of fetched shards that a process holds: more than a category's share of twelve methods."""

IN_FLIGHT = 16
"""Requests at once: at 20 ms each, 800 a second; of shards of 4 MB, 64 MB under way."""

W = TypeVar("W")


class FetchedShards:
    """The shards fetched from object stores; together they stay below `bound` bytes.

    A shard that is larger by itself is held alone. Threads may share it: what one fetches the
    others wait for.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._shards: OrderedDict[Hashable, Future[Shard]] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def __call__(
        self, path: RemotePath, capacity: int, version: Hashable, owner: Owner, label: bytes
    ) -> Shard:
        """Return a shard, fetching it unless it is held.

        `version` is another where the set was written anew: its shards are then others too.
        """
        key = (path, version)
        with self._lock:
            known = self._shards.get(key)
            if known is not None:
                self._shards.move_to_end(key)
            else:
                mine = self._shards[key] = Future[Shard]()
        if known is not None:
            return known.result()
        try:
            shard = Shard.fetch(path, capacity, owner, label)
        except BaseException as error:
            with self._lock:
                del self._shards[key]
            mine.set_exception(error)
            raise
        with self._lock:
            mine.set_result(shard)
            self._held += len(shard)
            self._let_go(key, self.bound)
        return shard

    def forget(self) -> None:
        """Let go of all, so that the next to be read is what is there now."""
        with self._lock:
            self._let_go(None, bound=0)

    def _let_go(self, kept: Hashable, bound: int) -> None:
        """Let go of those least recently used, but of none still under way, until the rest fit."""
        for key in [k for k, future in self._shards.items() if future.done() and k != kept]:
            if self._held <= bound:
                return
            self._held -= len(self._shards.pop(key).result())


held = FetchedShards(HELD)
"""Those of this process."""


def ahead(wanted: Iterable[tuple[W, Sequence[Callable[[], object]]]]) -> Iterator[W]:
    """Yield each thing in order once its own requests have ended, those of the next under way.

    wanted: things, each with the calls that make its requests. Raises what a call raises, in its
    turn.
    """
    waiting: deque[tuple[W, list[Future[object]]]] = deque()
    under_way = 0
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="fetch") as threads:
        try:
            for thing, calls in wanted:
                waiting.append((thing, [threads.submit(call) for call in calls]))
                under_way += len(calls)
                while under_way >= IN_FLIGHT:
                    under_way -= len(waiting[0][1])
                    yield _ended(waiting.popleft())
            while waiting:
                yield _ended(waiting.popleft())
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _ended(first: tuple[W, list[Future[object]]]) -> W:
    thing, requests = first
    for request in requests:
        request.result()
    return thing

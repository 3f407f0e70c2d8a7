"""Work of one process on several threads, for code that lets go of the GIL: results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int = 1) -> Iterator[R]:
    """Yield `function(item)` of every item, in their order; so many threads work at once.

    Items are taken as the results are, a few ahead: neither is ever held whole. What `function`
    raises for an item is raised in its place, and nothing after it is begun. On one thread, the
    caller's, nothing is taken ahead.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

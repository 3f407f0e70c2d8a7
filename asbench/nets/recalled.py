"""What was computed last, by the content of what it is of: the runs of one study share much."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor


class Recalled:
    """Tensors that a pure function returned, given again for the same input in this process.

    Those asked for least recently are dropped where all together hold more than `limit` bytes. What
    is given is a copy: a network's buffers are written in place.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[bytes, tuple[Tensor, ...]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, key: bytes, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return what `make` returns, or did under the same key."""
        with self._lock:
            known = self._held.get(key)
            if known is not None:
                self._held.move_to_end(key)
        if known is None:
            known = make()
            size = _bytes(known)
            if size <= self.limit:
                self._hold(key, tuple(tensor.clone() for tensor in known), size)
            return known
        return tuple(tensor.clone() for tensor in known)

    def _hold(self, key: bytes, tensors: tuple[Tensor, ...], size: int) -> None:
        with self._lock:
            if key in self._held:  # another thread was first
                return
            self._held[key] = tensors
            self._bytes += size
            while self._bytes > self.limit:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= _bytes(dropped)


def content(*tensors: Tensor) -> bytes:
    """Return a digest of the numbers, the types and the shapes of tensors, wherever they lie."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{[*tensor.shape]}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _bytes(tensors: tuple[Tensor, ...]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

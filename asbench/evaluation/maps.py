"""Maps and masks of whole photographs: sequences that hold little and give arrays when asked."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from asbench.imaging.tiles import enlarge
from synth_store.types import Mask, UserError

T = TypeVar("T")
Map = npt.NDArray[np.float32]


class Lazy(Sequence[T], Generic[T]):
    """`count` things, each made when it is asked for."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy[T]: ...
    def __getitem__(self, index: int | slice) -> T | Lazy[T]:
        places = range(self._count)[index]
        if isinstance(places, range):
            return Lazy(len(places), lambda i: self[places[i]])
        return self._make(places)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))


def packed_masks(masks: Iterable[Mask | None]) -> Sequence[Mask | None]:
    """Return masks held in an eighth of their bytes, those that mark nothing in none.

    bool (h, w) of any sizes, or None.
    """
    held: list[tuple[tuple[int, ...], npt.NDArray[np.uint8] | None] | None] = [
        None if mask is None else (mask.shape, np.packbits(mask) if mask.any() else None)
        for mask in masks
    ]

    def make(index: int) -> Mask | None:
        one = held[index]
        if one is None:
            return None
        shape, bits = one
        if bits is None:
            return np.broadcast_to(np.False_, shape)
        return np.unpackbits(bits, count=shape[0] * shape[1]).view(np.bool_).reshape(shape)

    return Lazy(len(held), make)


class SpilledMaps:
    """Maps of photographs, kept at the scale of their tiles in a file without a name.

    The file lies in the folder for temporary ones (`TMPDIR`) and is gone with the last reference.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the maps are needed)
        weakref.finalize(self, self._file.close)
        self._held: list[tuple[int, tuple[int, ...], tuple[int, int]]] = []

    def add(self, blended: Map, height: int, width: int) -> None:
        """Keep one more: float32, of a photograph of `height` x `width` pixels.

        Raises UserError where there is no room for it.
        """
        self._held.append((self._file.seek(0, 2), blended.shape, (height, width)))
        try:
            self._file.write(np.asarray(blended, np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"the maps of photographs find no room in {tempfile.gettempdir()}: "
                f"{error.strerror}. Name another folder with TMPDIR."
            ) from error

    def maps(self) -> Sequence[Map]:
        """Return all of them, each at its native size: float32 (h, w)."""

        def make(index: int) -> Map:
            offset, shape, size = self._held[index]
            self._file.seek(offset)
            content = self._file.read(4 * math.prod(shape))
            return enlarge(np.frombuffer(content, np.float32).reshape(shape), *size)

        return Lazy(len(self._held), make)

"""The Zarr v3 shard: written whole, read one sample at a time without its neighbours.

A shard file is its encoded chunks one after the other, then the index: for every chunk its offset
and length (uint64, little endian; both 2**64 - 1 where the chunk is absent), then the index's
CRC-32C. An encoded chunk is a zstd frame followed by its own CRC-32C; before the index stands the
label that says whose the shard is (see `labels`). So every byte of the file is under a checksum,
and every zarr implementation reads it: the codecs are core codecs of the specification.

The chunk's CRC-32C stands in place of zstd's content checksum. It covers the frame's header too
(zstd ignores one of its bits), and costs 0.6 us a chunk where zstd's costs 13 us.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence
from typing import Any, Self

import google_crc32c
import numpy as np
import numpy.typing as npt
import zstandard

from synth_store.labels import Owner
from synth_store.local import LocalPath
from synth_store.remote import RemotePath
from synth_store.types import StoreError

LEVEL = 3
"""zstd level: 1 inflates more slowly for as many bytes, 9 gains 4 % of them at twice the time."""

ABSENT = 2**64 - 1
Array = npt.NDArray[Any]


class _Contexts(threading.local):
    """zstd's working memory, kept by each thread: setting it up takes 14 us, half of a mask."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def encode_chunk(chunk: Array) -> bytes:
    """Return one chunk as stored: a zstd frame and its CRC-32C."""
    frame = _contexts.compressor.compress(np.ascontiguousarray(chunk).data)
    checksum: int = google_crc32c.value(frame)
    return frame + checksum.to_bytes(4, "little")


def checked_frame(encoded: memoryview, where: str) -> memoryview:
    """Return the zstd frame of a stored chunk; raises StoreError if a bit of it is wrong."""
    if len(encoded) < 12:
        raise StoreError(f"{where} is damaged: {len(encoded)} bytes are no chunk.")
    frame, stored = encoded[:-4], int.from_bytes(encoded[-4:], "little")
    # As an array because google_crc32c takes no memoryview: so nothing is copied.
    checksum = google_crc32c.value(np.frombuffer(frame, np.uint8))
    if checksum != stored:
        raise StoreError(
            f"{where} is damaged: its checksum is {checksum:#010x}, "
            f"stored with it is {stored:#010x}."
        )
    return frame


def content_size(frame: memoryview) -> int:
    """Return how many bytes a zstd frame inflates to, from its header; -1 if it does not say."""
    descriptor = frame[4]
    width = 1 << (descriptor >> 6)
    single = descriptor >> 5 & 1
    if width == 1 and not single:
        return -1
    # Before it stand the magic number, the descriptor, and the window unless one segment is all.
    start = 5 + (not single)
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)


def inflate(encoded: memoryview, out: Array, where: str) -> None:
    """Inflate a stored chunk into `out` (C-contiguous), all of it; raises StoreError if damaged."""
    frame = checked_frame(encoded, where)
    # A frame that is too small would fill only the beginning of `out`, in silence.
    if content_size(frame) != out.nbytes:
        raise StoreError(f"{where} is damaged: it holds another array's chunk.")
    try:
        filled = _contexts.decompressor.stream_reader(frame).readinto(out)
    except zstandard.ZstdError as error:
        raise StoreError(f"{where} is damaged: it does not inflate: {error}.") from error
    if filled != out.nbytes:
        raise StoreError(f"{where} is damaged: only {filled} of {out.nbytes} bytes inflate.")


def checksum_of(vector: Array) -> bytes:
    """Return the CRC-32C of a vector's bytes, little endian."""
    checksum: int = google_crc32c.value(vector.tobytes())
    return checksum.to_bytes(4, "little")


def encode_shard(
    chunks: Sequence[bytes], capacity: int, label: bytes, beside: bytes = b""
) -> bytes:
    """Return the shard file of these encoded chunks; the places up to `capacity` stay absent.

    beside: `checksum_of` the vector beside it, where there is one.
    """
    lengths = np.array([len(c) for c in chunks], np.uint64)
    index = np.full((capacity, 2), ABSENT, "<u8")
    index[: len(chunks), 0] = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(chunks) else 0
    index[: len(chunks), 1] = lengths
    packed = index.tobytes()
    return b"".join(
        [*chunks, beside, label, packed, google_crc32c.value(packed).to_bytes(4, "little")]
    )


class Shard:
    """A shard's bytes, mapped from a file or fetched from elsewhere, and the index over them.

    Raises StoreError, naming `where`, for anything that is not a whole, undamaged shard, or that
    is another than `owner`'s with this label.
    """

    def __init__(
        self,
        data: bytes | mmap.mmap | memoryview,
        capacity: int,
        where: str,
        owner: Owner,
        label: bytes,
    ) -> None:
        self.where = where
        self._data = memoryview(data)
        size = 16 * capacity
        self._end = len(self._data) - size - 4
        if self._end < 0:
            raise StoreError(
                f"{where} is damaged: {len(self._data)} bytes cannot hold its index of {size + 4}."
            )
        packed = bytes(self._data[self._end : self._end + size])
        stored = int.from_bytes(self._data[-4:], "little")
        if google_crc32c.value(packed) != stored:
            raise StoreError(f"{where} is damaged: its index does not match its checksum.")
        labelled = owner.check(label, self._data[: self._end], where)
        self._before = self._end - len(label) if labelled else None
        index = np.frombuffer(packed, "<u8").reshape(capacity, 2)
        self._places: list[list[int]] = index.tolist()
        self.present: int = int(np.count_nonzero(index[:, 0] != ABSENT))

    @classmethod
    def map(cls, path: LocalPath, capacity: int, owner: Owner, label: bytes) -> Self:
        """Map a shard file; raises StoreError if it is missing, empty, damaged or another's."""
        try:
            with path.plain() as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise StoreError(f"{path} is missing.") from None
        except ValueError:
            raise StoreError(f"{path} is damaged: it is empty.") from None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
        return cls(data, capacity, str(path), owner, label)

    @classmethod
    def fetch(cls, path: RemotePath, capacity: int, owner: Owner, label: bytes) -> Self:
        """Fetch a shard whole from an object store; raises StoreError as `map` does."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{path} is missing.") from None
        return cls(data, capacity, str(path), owner, label)

    def __len__(self) -> int:
        """Return how many bytes the shard's file has."""
        return len(self._data)

    @property
    def data(self) -> memoryview:
        """The bytes of the shard's file."""
        return self._data

    def check_beside(self, vector: Array, where: str) -> None:
        """Raise StoreError unless the beginning of `vector`, of as many items as there are chunks,
        is what stood beside this shard when it was written; of one without a label nobody knows.
        """
        if self._before is not None:
            stored = bytes(self._data[self._before - 4 : self._before])
            if checksum_of(vector[: self.present]) != stored:
                raise StoreError(
                    f"{where} is in the wrong place: it does not go with {self.where}."
                )

    def encoded(self, place: int) -> memoryview:
        """Return the stored bytes of the chunk at `place`, unchecked."""
        offset, length = self._places[place]
        if offset == ABSENT:
            raise StoreError(f"{self.where} is incomplete: it has no chunk {place}.")
        if offset + length > self._end:
            raise StoreError(f"{self.where} is damaged: chunk {place} lies outside of it.")
        return self._data[offset : offset + length]

    def read(self, place: int, out: Array) -> None:
        """Inflate the chunk at `place` into `out` (C-contiguous); raises StoreError if damaged."""
        inflate(self.encoded(place), out, f"{self.where}, chunk {place},")


def shard_metadata(
    shape: tuple[int, ...], dtype: str, capacity: int, names: Sequence[str]
) -> dict[str, Any]:
    """Return the `zarr.json` of a sharded array: one sample a chunk, `capacity` samples a shard."""
    real = dtype.startswith("float")
    codecs = [
        # Bytes have no order: the metadata of images and masks say nothing of one.
        {"name": "bytes", "configuration": {"endian": "little"}} if real else {"name": "bytes"},
        {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}},
        {"name": "crc32c"},
    ]
    fill: int | bool | str = "NaN" if real else False if dtype == "bool" else 0
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, *shape[1:]],
            "codecs": codecs,
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
            "index_location": "end",
        },
    }
    return _array_metadata(
        shape,
        dtype,
        [capacity, *shape[1:]],
        [sharding],
        names,
        fill=fill,
    )


def vector_metadata(length: int, capacity: int) -> dict[str, Any]:
    """Return the `zarr.json` of an int32 vector beside sharded arrays: one shard's part a chunk."""
    codecs: list[dict[str, Any]] = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}},
        {"name": "crc32c"},
    ]
    return _array_metadata((length,), "int32", [capacity], codecs, ["sample"], fill=-1)


def _array_metadata(
    shape: tuple[int, ...],
    dtype: str,
    chunk: Sequence[int],
    codecs: list[dict[str, Any]],
    names: Sequence[str],
    fill: int | bool | str,
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(names),
        "storage_transformers": [],
    }

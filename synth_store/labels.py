"""Whose a shard is: every one carries a line of text that says so.

    demo/draem/0/weave image 3 5f0c93a1b27de844

Address, array, number of the shard, and of a set the beginning of its identity's SHA-256. Checksums
notice a wrong byte, and this a whole file in the wrong place: of another seed, method, category,
number, or of an earlier set under the same key. A reader knows the line and compares it.

A label is the text, its length (uint16, little endian) and the CRC-32C of both. It stands between
the last chunk and the index, where no entry of the index points: bytes that every Zarr reader
passes over. The chunks of a `source` vector have no such place. They are held to the shard of masks
beside them, in which the CRC-32C of its samples' sources stands before the label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c

from synth_store.types import StoreError


@dataclass(frozen=True, slots=True)
class Owner:
    """What the shards below a folder belong to.

    identity: hexadecimal digits, empty for normals; strict: whether each must say so. Those of sets
    that were written before there were labels need not.
    """

    address: str
    identity: str = ""
    strict: bool = True

    @classmethod
    def of(cls, address: str, attributes: Mapping[str, Any]) -> Owner:
        """Return the owner of the shards of a group with these attributes."""
        names = attributes.get("identity", ())
        decides = (
            names if isinstance(names, Mapping) else {name: attributes[name] for name in names}
        )
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
        return cls(address, digest if decides else "", attributes.get("address") == address)

    def label(self, array: str, number: int) -> bytes:
        """Return the label of one shard of an array."""
        text = f"{self.address} {array} {number} {self.identity}".rstrip().encode()
        sized = text + len(text).to_bytes(2, "little")
        checksum: int = google_crc32c.value(sized)
        return sized + checksum.to_bytes(4, "little")

    def check(self, label: bytes, data: memoryview, where: str) -> bool:
        """Say whether `data` ends with the label; raise StoreError unless it may go without."""
        if data[len(data) - len(label) :] == label:
            return True
        other, own = _text(data), _text(memoryview(label))
        if other is not None:
            raise StoreError(f"{where} is in the wrong place: it is `{other}`, not `{own}`.")
        if self.strict:
            raise StoreError(f"{where} is damaged: it does not say that it is `{own}`.")
        return False


def _text(data: memoryview) -> str | None:
    """Return the text of the label at the end of `data`; None where there is none."""
    length = int.from_bytes(data[-6:-4], "little")
    sized = bytes(data[-6 - length : -4]) if 6 + length <= len(data) else b""
    if not length or google_crc32c.value(sized) != int.from_bytes(data[-4:], "little"):
        return None
    return sized[:-2].decode(errors="replace")

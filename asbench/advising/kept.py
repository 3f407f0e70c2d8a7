"""What trials learned, kept as it comes: an advice that was stopped goes on where it was.

A file stands under a digest of all that it follows from, features, seed and steps, so that what is
found is what would be made again; an advice that asks for more uses what an earlier one learned.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from asbench.files.documents import damaged
from asbench.nets.recalled import content
from asbench.nets.weights import load_tensors, save_tensors
from synth_store.types import UserError

SUFFIX = ".safetensors"
DIGEST = "digest"
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """A folder of tensors by what they follow from; used: the files that were asked for."""

    folder: Path
    used: set[str] = field(default_factory=set, compare=False)

    def of(self, parts: tuple[object, ...], make: Callable[[], Tensors]) -> Tensors:
        """Return what `make` returns, or did for equal parts; it is kept before it is returned.

        parts: words, numbers and digests that decide the tensors. Raises UserError where the file
        is damaged, or cannot be written.
        """
        name = key_of(*parts, torch.__version__, platform.machine()).hex()[:24] + SUFFIX
        path = self.folder / name
        self.used.add(name)
        if path.is_file():
            return _checked(path)
        tensors = make()
        save_tensors({**tensors, DIGEST: _digest(tensors)}, path)
        return tensors

    def tidy(self) -> None:
        """Delete what was not asked for: of other photographs, methods or releases."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            if path.name not in self.used:
                path.unlink(missing_ok=True)


def key_of(*parts: object) -> bytes:
    """Return a digest of words, numbers and digests in their order."""
    return hashlib.sha256("\x1f".join(map(_word, parts)).encode()).digest()


def _word(part: object) -> str:
    return part.hex() if isinstance(part, bytes) else str(part)


def _digest(tensors: Tensors) -> Tensor:
    digest = content(*(tensors[name] for name in sorted(tensors)))
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)


def _checked(path: Path) -> Tensors:
    again = "delete it and run `asbench advise` again"
    try:
        tensors = load_tensors(path)
    except UserError as error:
        raise damaged(path, error, again) from error
    digest = tensors.pop(DIGEST, None)
    if digest is None or not torch.equal(digest, _digest(tensors)):
        raise damaged(path, "it does not hold what was written", again)
    return tensors

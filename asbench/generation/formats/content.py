"""What an export holds, whatever its format: entries in a fixed order, and what is said of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import PIL.Image

from asbench.types import GOOD
from synth_store import Normals, StoredSet, UserError
from synth_store.types import Image, Mask

Counted = Callable[[int, int], None]
Classes = Literal["methods", "one"]
ONE = "anomaly"
"""The class of every anomaly where methods are not told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One image: a normal, or a sample of a set.

    name: unique, and sorts in the order of entries; kind: `good`, or the class; image: uint8
    (H, W, 3); mask: bool (H, W), all False for a normal; source: the id of the normal that it is or
    was drawn on, None where the method made its own background, which is then `clean`.
    """

    name: str
    kind: str
    image: Image
    mask: Mask
    method: str | None
    seed: int | None
    index: int
    source: str | None
    clean: Image | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a format made of a content: classes by number, regions marked, and notes for the user.

    masks: how masks lie in it, a sentence for the card; reading: Python that reads it.
    """

    masks: str
    reading: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """One category's normals and the samples of its sets, of one data set.

    Raises UserError for sets of several data sets or categories, and for one named twice.
    """

    sets: tuple[StoredSet, ...]
    classes: Classes

    def __post_init__(self) -> None:
        places = {(one.key.dataset, one.category) for one in self.sets}
        if len(places) != 1:
            raise UserError(f"sets of {len(places)} data sets or categories do not go into one.")
        if len({one.key for one in self.sets}) < len(self.sets):
            raise UserError("a set is named twice: name each once.")

    @property
    def dataset(self) -> str:
        """The data set's name in the store."""
        return self.sets[0].key.dataset

    @property
    def category(self) -> str:
        """The category's name."""
        return self.sets[0].category

    @property
    def normals(self) -> Normals:
        """The normals, which all sets share."""
        return self.sets[0].normals

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes of anomalies, sorted."""
        if self.classes == "one":
            return (ONE,)
        return tuple(sorted({one.key.method for one in self.sets}))

    def __len__(self) -> int:
        return len(self.normals) + sum(one.count for one in self.sets)

    def __iter__(self) -> Iterator[Entry]:
        ids = self.normals.ids
        nothing = np.zeros(self.normals.image.shape[:2], np.bool_)
        for i, (name, image) in enumerate(
            zip(numbers(len(self.normals)), self.normals, strict=True)
        ):
            yield Entry(f"{GOOD}_{name}", GOOD, image, nothing, None, None, i, ids[i])
        for one in self.sets:
            method, seed = one.key.method, one.key.seed
            kind = ONE if self.classes == "one" else method
            for i, (name, sample) in enumerate(zip(numbers(one.count), one, strict=True)):
                source = one.source_of(i)
                yield Entry(
                    f"{method}_{seed}_{name}",
                    kind,
                    sample.image,
                    sample.mask,
                    method,
                    seed,
                    i,
                    None if source < 0 else ids[source],
                    sample.clean if source < 0 else None,
                )

    def counted(self, progress: Counted | None) -> Iterator[Entry]:
        """Yield the entries, counting them."""
        for done, entry in enumerate(self, 1):
            yield entry
            if progress is not None:
                progress(done, len(self))


def numbers(count: int) -> list[str]:
    """Return numbers as names that sort in their order."""
    digits = max(4, len(str(count - 1)))
    return [f"{i:0{digits}d}" for i in range(count)]


def png(pixels: npt.NDArray[np.uint8] | Mask) -> bytes:
    """Return an image, or a mask as 0 and 255, as the bytes of a PNG file."""
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_images(folder: Path, entries: Sequence[Entry] | Iterator[Entry]) -> Iterator[Entry]:
    """Write every entry's image as `<folder>/<name>.png`, and yield it."""
    folder.mkdir(parents=True)
    for entry in entries:
        (folder / f"{entry.name}.png").write_bytes(png(entry.image))
        yield entry


def missing(package: str, form: str) -> UserError:
    """Return what to say where a format's package is not installed."""
    return UserError(f"--format {form} needs {package}: pip install 'asbench[formats]'.")

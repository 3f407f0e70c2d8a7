"""Reading a store: straight from the mapped or fetched shards into the caller's arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synth_store import fetching
from synth_store.arrays import ShardedArray, image_array, mask_array
from synth_store.errors import DrawnOnOthers
from synth_store.labels import Owner
from synth_store.metadata import Json
from synth_store.places import Place
from synth_store.schema import read_normals, read_set
from synth_store.shards import inflate
from synth_store.types import Geometry, Image, Mask, Sample, StoreError, StoreKey

Vector = npt.NDArray[np.int32]


class Normals:
    """A category's training normals at the store's geometry, inflated once and then remembered.

    A sequence of read-only uint8 (H, W, 3) images; picklable (as its place, not its pixels).
    """

    def __init__(self, folder: Place, geometry: Geometry) -> None:
        self.folder = folder
        self.geometry = geometry
        dataset, category = folder.parent.parent.name, folder.name
        address = f"{dataset}/normal/{category}"
        self.attributes: Json = read_normals(folder, address)
        owner = Owner.of(address, self.attributes)
        self.ids: tuple[str, ...] = tuple(self.attributes["ids"])
        self.digest: str = self.attributes["digest"]
        capacity = self.attributes["shard"]
        self.image = image_array(folder, "image", capacity, geometry, owner, self.digest)
        masked: str = self.attributes["foreground_digest"]
        self.foreground = mask_array(folder, "foreground", capacity, geometry, owner, masked)
        count = len(self.ids)
        # Untouched pages of an empty array cost no memory: only what is inflated is held.
        self._images = np.empty((count, *self.image.shape), np.uint8)
        self._inflated = np.zeros(count, np.bool_)

    def __reduce__(self) -> tuple[Any, ...]:
        return Normals, (self.folder, self.geometry)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self):
            raise IndexError(f"normal {index} of {len(self)}")
        if not self._inflated[index]:
            self.image.read(index, self._images[index])
            self._inflated[index] = True
        view: Image = self._images[index]
        view.flags.writeable = False
        return view

    def __iter__(self) -> Iterator[Image]:
        return (self[i] for i in range(len(self)))

    @cached_property
    def grey(self) -> bool:
        """Whether the three channels of every image are equal; normals of before are looked at."""
        if "grey" in self.attributes:
            return bool(self.attributes["grey"])
        image = np.empty(self.image.shape, np.uint8)
        for index in range(len(self)):
            self.image.read(index, image)  # nothing is kept of the pixels
            if not is_grey(image):
                return False
        return True

    def requests(self, number: int) -> list[Callable[[], object]]:
        """Return the calls that fetch all of a shard's images from an object store."""
        return [partial(self.image.shard, number)]


def is_grey(image: Image) -> bool:
    """Return whether the three channels of an image, uint8 (H, W, 3), are equal."""
    # One channel at a time: six times as fast as all against the first.
    return all(np.array_equal(image[..., 0], image[..., c]) for c in (1, 2))


class Foregrounds:
    """The foregrounds beside a category's normals: a sequence of bool (H, W) masks."""

    def __init__(self, normals: Normals) -> None:
        self.normals = normals

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, index: int) -> Mask:
        if not 0 <= index < len(self):
            raise IndexError(f"foreground {index} of {len(self)}")
        out = np.empty(self.normals.foreground.shape, np.bool_)
        self.normals.foreground.read(index, out)
        return out

    def __iter__(self) -> Iterator[Mask]:
        return (self[i] for i in range(len(self)))


class Masks:
    """The masks of a stored set: a sequence of bool (H, W)."""

    def __init__(self, stored: StoredSet) -> None:
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Mask:
        if not 0 <= index < len(self):
            raise IndexError(f"mask {index} of {len(self)}")
        out = np.empty(self.stored.mask.shape, np.bool_)
        self.stored.mask.read(index, out)
        return out

    def __iter__(self) -> Iterator[Mask]:
        return (self[i] for i in range(len(self)))


class StoredSet:
    """One category of one synthetic set. Reading raises StoreError for any wrong or missing byte.

    key, category: its address; count: samples that may be read; digest: of their pixels;
    attributes: everything recorded when it was made.
    """

    def __init__(self, folder: Place, key: StoreKey, category: str, normals: Normals) -> None:
        self.folder = folder
        self.key = key
        self.category = category
        self.normals = normals
        address = f"{key}/{category}"
        self.attributes: Json = read_set(folder, address)
        owner = Owner.of(address, self.attributes)
        self.count: int = self.attributes["count"]
        self.digest: str | None = self.attributes["digest"]
        self.encoding: str = self.attributes["encoding"]
        capacity: int = self.attributes["shard"]
        geometry = normals.geometry
        self.image = image_array(folder, "image", capacity, geometry, owner, self.digest)
        self.mask = mask_array(folder, "mask", capacity, geometry, owner, self.digest)
        generated: bool = self.attributes["generated"]
        clean = image_array(folder, "clean", capacity, geometry, owner, self.digest)
        self.clean = clean if generated else None
        self._sources: dict[int, Vector] = {}
        if self.attributes["normals"] != normals.digest:
            drawn_on = self.attributes["normals"]
            raise DrawnOnOthers(address, drawn_on, normals.digest)

    def __len__(self) -> int:
        return self.count

    @property
    def source(self) -> Vector:
        """int32 (count,): the normal each sample was drawn on; -1 where it made its own."""
        return np.array([self.source_of(index) for index in range(self.count)], np.int32)

    def source_of(self, index: int) -> int:
        """Return the normal one sample was drawn on; -1 where it made its own."""
        number, place = divmod(index, self.image.capacity)
        source = int(self._sources_of(number)[place])
        if not (source == -1 if self.clean is not None else 0 <= source < len(self.normals)):
            raise StoreError(
                f"{self.folder / 'source'} is damaged: sample {index} cannot have source {source}; "
                f"there are {len(self.normals)} normals."
            )
        return source

    def _sources_of(self, number: int) -> Vector:
        if number not in self._sources:
            self._sources[number] = read_sources(self.mask, number)
        return self._sources[number]

    def requests(self, number: int) -> list[Callable[[], object]]:
        """Return the calls that fetch all of a shard's samples from an object store."""
        arrays = [a for a in (self.image, self.mask, self.clean) if a is not None]
        return [partial(self._sources_of, number), *(partial(a.shard, number) for a in arrays)]

    def read_stored(self, index: int, image: Image, mask: Mask) -> None:
        """Inflate what is stored of one sample: the residual, where that is the encoding."""
        if not 0 <= index < self.count:
            raise IndexError(
                f"sample {index} of {self.key}/{self.category}, which has {self.count}"
            )
        self.image.read(index, image)
        self.mask.read(index, mask)

    def read_into(self, index: int, image: Image, mask: Mask, clean: Image | None = None) -> None:
        """Read one sample into C-contiguous arrays: (H, W, 3), (H, W) and, if wanted, (H, W, 3)."""
        self.read_stored(index, image, mask)
        if self.clean is None:
            background = self.normals[self.source_of(index)]
            if clean is not None:
                np.copyto(clean, background)
        else:
            background = np.empty_like(image) if clean is None else clean
            if clean is not None or self.encoding == "residual":
                self.clean.read(index, background)
        if self.encoding == "residual":
            np.add(image, background, out=image)  # uint8 wraps: (residual + clean) mod 256

    def read_batch(
        self, indices: Iterable[int], image: Image, mask: Mask, clean: Image | None = None
    ) -> None:
        """Read samples into the rows of (B, H, W, 3), (B, H, W) and, if wanted, (B, H, W, 3)."""
        for row, index in enumerate(indices):
            self.read_into(int(index), image[row], mask[row], None if clean is None else clean[row])

    def __getitem__(self, index: int) -> Sample:
        """Return one sample with its clean image."""
        shape = self.image.shape
        image, clean = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        mask = np.empty(self.mask.shape, np.bool_)
        self.read_into(index, image, mask, clean)
        return Sample(image, mask, clean)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self.count))


def read_sources(mask: ShardedArray, number: int) -> Vector:
    """Read the chunk of a `source` vector beside a shard of masks; int32 (capacity,).

    Raises StoreError if one of the two is missing or damaged, or they do not belong together.
    """
    # The masks first: what is written while this reads has the sources that they had, and more.
    shard = mask.shard(number)
    path = mask.folder.parent / "source" / "c" / str(number)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path} is missing.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    out = np.empty(mask.capacity, "<i4")
    inflate(memoryview(data), out, str(path))
    shard.check_beside(out, str(path))
    return out


Stretch = tuple["Normals | StoredSet", range]
"""Samples of normals or of a set that lie in one shard."""


def stretches(wanted: Sequence[tuple[Normals | StoredSet, int]]) -> Iterator[Stretch]:
    """Yield the first samples of normals and sets shard by shard, to be read in that order.

    wanted: each with how many samples. From an object store the shards that come next are fetched
    meanwhile, several at once; what is yielded is at hand. Raises StoreError as reading does.
    """
    by_shard: list[Stretch] = [
        (of, range(start, min(start + of.image.capacity, count)))
        for of, count in wanted
        for start in range(0, count, of.image.capacity)
    ]
    if any(of.folder.remote for of, _ in wanted):
        calls = (of.requests(samples.start // of.image.capacity) for of, samples in by_shard)
        yield from fetching.ahead(zip(by_shard, calls, strict=True))
    else:
        yield from by_shard


def fetch(wanted: Iterable[tuple[Normals | StoredSet, int]]) -> None:
    """Fetch the shards of these samples, several at once; does nothing for those in a folder."""
    shards = {(of, index // of.image.capacity) for of, index in wanted if of.folder.remote}
    if shards:
        calls = [call for of, number in shards for call in of.requests(number)]
        deque(fetching.ahead([(None, calls)]), maxlen=0)

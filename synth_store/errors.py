"""The refusals of a store that carry data: each says in plain words what is wrong, or not there.

What its user is to type only the program that stands on the store knows, and it may say so: see
`Refusal.advise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

from synth_store.types import Geometry, StoreError, StoreKey


class Place(Protocol):
    """Where something is, as text, and whether that is an object store."""

    @property
    def remote(self) -> bool: ...


class Store(Protocol):
    """What may be asked of a store whose set is missing or unfinished."""

    @property
    def root(self) -> Place: ...
    @property
    def remote(self) -> bool: ...
    def has(self, key: StoreKey, category: str) -> bool: ...
    def attributes(self, key: StoreKey, category: str) -> Mapping[str, Any]: ...


class Refusal(StoreError):
    """A refusal whose fields say of what. Its text is what is wrong, then what `advise` returns."""

    words: ClassVar[str]
    """What is wrong, without a full stop; fields stand in braces."""
    advise: ClassVar[Callable[[Refusal], str]] = staticmethod(lambda refusal: "")
    """Set once by the program that stands on the store: the end of a refusal's text, from its
    punctuation on, or nothing."""

    @property
    def what(self) -> str:
        """What is wrong, in plain words, without a full stop."""
        return self.words.format(**vars(self))

    def __str__(self) -> str:
        return self.what + (Refusal.advise(self) or ".")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]


@dataclass(eq=False)
class NoStore(Refusal):
    """There is no store at a place."""

    root: Place
    words = "there is no store at {root}"


@dataclass(eq=False)
class OtherFormat(Refusal):
    """A store was written in another version of the format; `known` is the one that is read."""

    root: Place
    version: object
    known: int
    words = "the store at {root} has format version {version}; this release reads version {known}"


@dataclass(eq=False)
class OtherGeometry(Refusal):
    """A store holds images of another geometry than the one asked for."""

    root: Place
    stored: Geometry
    wanted: Geometry
    words = "the store at {root} holds {stored} images, not {wanted}: one store has one geometry"


@dataclass(eq=False)
class MissingNormals(Refusal):
    """A category's normals are not stored."""

    root: Place
    dataset: str
    category: str
    words = "the store at {root} holds no normals of {dataset}/{category}"


@dataclass(eq=False)
class OtherNormals(Refusal):
    """Other normals stand under a name than these; of both how many they are, and their digest."""

    root: Place
    dataset: str
    category: str
    stored: tuple[int, str]
    given: tuple[int, str]
    words = (
        "{dataset}/{category} in the store at {root} has other normals ({stored[0]}, digest "
        "{stored[1]:.12}) than these ({given[0]}, digest {given[1]:.12})"
    )


@dataclass(eq=False)
class MissingSet(Refusal):
    """A set is not stored."""

    store: Store
    key: StoreKey
    category: str
    words = "{key}/{category} is not in the store at {store.root}"


@dataclass(eq=False)
class OtherAddress(Refusal):
    """What stands in a place of the store was written for another: both by their address."""

    root: Place
    address: str
    stored: str
    words = "what stands at {address} is {stored}, copied or moved there"


@dataclass(eq=False)
class UnfinishedSet(Refusal):
    """A set holds fewer samples than intended: `count` of `target`."""

    store: Store
    key: StoreKey
    category: str
    count: int
    target: int
    words = "{key}/{category} was begun but not finished ({count} of {target} samples)"


@dataclass(eq=False)
class NormalsByThemselves(Refusal):
    """Normals were to be removed, and the sets that stand on them not."""

    address: str
    words = "normals are removed with their data set"


@dataclass(eq=False)
class MissingSamples(Refusal):
    """A set that is to be finished lacks samples that no job has written, or that are damaged."""

    address: str
    lacking: int
    count: int
    words = "{address} lacks {lacking} of {count} samples"


@dataclass(eq=False)
class DrawnOnOthers(Refusal):
    """A set was drawn on other normals than the store holds; both by their digest."""

    address: str
    drawn_on: str
    stored: str
    words = (
        "{address} was drawn on other normals ({drawn_on:.12}) than the store holds ({stored:.12})"
    )


@dataclass(eq=False)
class OtherIdentity(Refusal):
    """Another set stands under a key: by name, what is stored and what is asked for."""

    address: str
    differences: Mapping[str, tuple[Any, Any]]

    @property
    def what(self) -> str:
        listed = "; ".join(f"{n}: stored {a}, here {b}" for n, (a, b) in self.differences.items())
        return f"{self.address} is stored with another identity ({listed})"


@dataclass(eq=False)
class OtherVersions(Refusal):
    """A set was begun under other library versions: by library, the version then and now."""

    address: str
    differences: Mapping[str, tuple[str | None, str | None]]

    @property
    def what(self) -> str:
        listed = "; ".join(f"{n} {a} then, {b} now" for n, (a, b) in self.differences.items())
        return (
            f"{self.address} was begun under other library versions ({listed}), so new samples "
            "might not match the old"
        )


@dataclass(eq=False)
class ChangedSamples(Refusal):
    """The first `count` samples of a set are not those of which its digest was recorded."""

    folder: Place
    count: int
    words = (
        "{folder} is damaged: its first {count} samples are not those recorded when they were "
        "finished"
    )


@dataclass(eq=False)
class DamagedSource(Refusal):
    """What is to be copied does not match its digest."""

    folder: Place
    words = "{folder} is damaged: its samples do not match the recorded digest"


@dataclass(eq=False)
class NormalsAtTarget(Refusal):
    """Where normals are copied to stand others."""

    folder: Place
    source: Place
    words = "{folder} holds other normals than {source}"


@dataclass(eq=False)
class PixelsAtTarget(Refusal):
    """Where a set is copied to stand other pixels of the same identity."""

    folder: Place
    source: Place
    words = "{folder} holds other pixels than {source} under one identity"


@dataclass(eq=False)
class ReadOnly(Refusal):
    """A store on an object store was to be written."""

    url: str
    words = "the store at {url} is on an object store, which is read and not written"


@dataclass(eq=False)
class MoreThanHeld(Refusal):
    """A category on an object store has more bytes than a process holds of its shards."""

    url: str
    size: int
    held: int

    @property
    def what(self) -> str:
        return (
            f"{self.url} holds {self.size / 1e9:.1f} GB of this category, and a process holds "
            f"{self.held / 1e9:.1f} GB of an object store"
        )


@dataclass(eq=False)
class MissingPackage(Refusal):
    """A Python package is not installed without which object stores cannot be read."""

    package: str
    words = "a store on an object store needs the package {package}"

"""Which stored sample a training step sees: mixtures, and the endless stream drawn from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from synth_store.rng import address_rng
from synth_store.types import UserError, check_name

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mix:
    """Shares of the anomalous items by method: positive, exact, adding to 1; sorted by name."""

    shares: tuple[tuple[str, Fraction], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `draem:0.5,fractal:0.5`, `draem` or `a,b:3/4`; a missing weight is 1.

        Weights are divided by their sum, so `draem:1,fractal:1` is the first of these too. Raises
        UserError naming the part that is wrong.
        """
        weights: dict[str, Fraction] = {}
        for part in text.split(","):
            name, colon, weight = part.strip().partition(":")
            check_name(name, f"mix {text!r}: method")
            if name in weights:
                raise UserError(f"mix {text!r} names {name} twice: give each method one weight.")
            try:
                value = Fraction(weight.strip()) if colon else Fraction(1)
            except (ValueError, ZeroDivisionError):
                raise UserError(
                    f"mix {text!r}: the weight {weight!r} of {name} is not a number; "
                    f"write for example {name}:0.5."
                ) from None
            if value <= 0:
                raise UserError(
                    f"mix {text!r}: the weight of {name} is {weight}; it must be greater than 0. "
                    f"Leave {name} out if it should not be used."
                )
            weights[name] = value
        total = sum(weights.values())
        return cls(tuple(sorted((name, value / total) for name, value in weights.items())))

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> Self:
        """Return the mix of weights by method, as records have them: a third is taken for 1/3."""
        shares = {name: Fraction(w).limit_denominator(10**6) for name, w in weights.items()}
        total = sum(shares.values())
        return cls(tuple(sorted((name, share / total) for name, share in shares.items())))

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, sorted."""
        return tuple(name for name, _ in self.shares)

    @property
    def title(self) -> str:
        """The mix in words: `draem + fractal`, `0.7 draem + 0.3 fractal`, `normals only`."""
        if len({share for _, share in self.shares}) > 1:
            return " + ".join(f"{float(share):.3g} {name}" for name, share in self.shares)
        return " + ".join(self.names) or "normals only"

    def __str__(self) -> str:
        """Return the mix as it is typed, `draem:0.5,fractal:0.5`; `parse` reads it."""
        return ",".join(f"{name}:{_decimal(share)}" for name, share in self.shares)


def _decimal(share: Fraction) -> str:
    text = f"{float(share):.6g}"
    return text if Fraction(text) == share else str(share)


@dataclass(frozen=True, slots=True)
class Items:
    """Addresses of training items: `source` 0 is the normals, k the k-th set of the mixture."""

    source: Indices  # (B,)
    index: Indices  # (B,) within its source


class ItemStream(ABC):
    """An endless stream of training items, cut into blocks; of one mixture, or of several streams.

    Nothing depends on how many steps are taken: more of them continue the same stream.
    """

    @property
    @abstractmethod
    def length(self) -> int:
        """The items of a block."""

    @property
    @abstractmethod
    def counted(self) -> tuple[int, ...]:
        """How many things each source has, normals or samples of a set."""

    @abstractmethod
    def block(self, number: int) -> Items:
        """Return the items of one block, `length` of them."""

    @abstractmethod
    def counts(self, items: int) -> list[int]:
        """Return how many of the first `items` of the stream come from each source."""

    def batch_at(self, step: int, batch: int) -> Items:
        """Return the items of one training step: places step*batch onwards of the stream."""
        first, last = step * batch, (step + 1) * batch
        blocks = [self.block(b) for b in range(first // self.length, -(-last // self.length))]
        start = first % self.length
        here = slice(start, start + batch)
        return Items(
            np.concatenate([b.source for b in blocks])[here],
            np.concatenate([b.index for b in blocks])[here],
        )


@dataclass(frozen=True)
class Stream(ItemStream):
    """The stream of a mixture, as a pure function of its fields; a block has `normals` items.

    normals: how many there are; sizes: samples of each set, in the order of `mix.shares`; ratio:
    the share of anomalous items, 0..1. Raises UserError for an impossible ratio or an empty set.
    """

    mix: Mix
    ratio: Fraction
    normals: int
    sizes: tuple[int, ...]
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise UserError(f"ratio {float(self.ratio):g} is impossible: choose from 0 to 1.")
        if self.normals < 1:
            raise UserError("there are no training normals to schedule.")
        if len(self.sizes) != len(self.mix.shares) or min(self.sizes, default=1) < 1:
            raise UserError(f"mix {self.mix} needs one non-empty set each, not sizes {self.sizes}.")
        if self.ratio and not self.mix.shares:
            raise UserError(
                f"ratio {float(self.ratio):g} needs a mix: add for example --mix draem:1."
            )

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The exact share of each source: the normals, then the sets."""
        return (1 - self.ratio, *(self.ratio * share for _, share in self.mix.shares))

    @property
    def length(self) -> int:
        """The items of a block."""
        return self.normals

    @property
    def counted(self) -> tuple[int, ...]:
        """How many normals there are, and samples of each set."""
        return (self.normals, *self.sizes)


@dataclass(frozen=True)
class Schedule(Stream):
    """The stream whose shares are exact.

    At every block's end the count of each source is within one item of its exact share, for any
    mixture and ratio; the order within a block is a permutation; the normals and every set are
    walked without replacement, pass after pass.
    """

    def block(self, number: int) -> Items:
        """Return the items of one block, `normals` of them."""
        return _block(self, number)

    def counts(self, items: int) -> list[int]:
        """Return how many of the first `items` of the stream come from each source."""
        blocks, rest = divmod(items, self.normals)
        counts = np.array(_given(self.shares, self.normals).after(blocks))
        if rest:
            counts += np.bincount(self.block(blocks).source[:rest], minlength=len(counts))
        return [int(c) for c in counts]


@lru_cache(maxsize=16)
def _block(schedule: Schedule, number: int) -> Items:
    given = _given(schedule.shares, schedule.normals)
    before, after = given.after(number), given.after(number + 1)
    names = ("normal", *schedule.mix.names)
    sizes = (schedule.normals, *schedule.sizes)
    index = [
        _walk(schedule.seed, name, size, start, stop)
        for name, size, start, stop in zip(names, sizes, before, after, strict=True)
    ]
    source = np.repeat(np.arange(len(names)), [len(i) for i in index])
    order = address_rng("order", schedule.seed, number).permutation(schedule.normals)
    return Items(source[order], np.concatenate(index)[order])


def _walk(seed: int, name: str, size: int, start: int, stop: int) -> Indices:
    """Return places start..stop of an endless walk over `size` things, each pass a permutation."""
    if start == stop:
        return np.empty(0, np.int64)
    passes = range(start // size, -(-stop // size))
    walked = [address_rng("walk", seed, name, number).permutation(size) for number in passes]
    return np.concatenate(walked)[start - passes[0] * size : stop - passes[0] * size]


class _Given:
    """Cumulative counts of each source at block ends, computed as far as anyone has asked."""

    def __init__(self, shares: tuple[Fraction, ...], normals: int) -> None:
        self._lock = Lock()  # a prefetch thread asks too
        self._known = [[0] * len(shares)]
        self._further = _apportion(shares, normals)

    def after(self, blocks: int) -> list[int]:
        with self._lock:
            while len(self._known) <= blocks:
                self._known.append(next(self._further))
        return self._known[blocks]


@lru_cache(maxsize=64)
def _given(shares: tuple[Fraction, ...], normals: int) -> _Given:
    return _Given(shares, normals)


def _apportion(shares: Sequence[Fraction], normals: int) -> Iterator[list[int]]:
    """Yield the cumulative counts at every block's end, each within one item of exact.

    A source must have floor(target) items at a block's end and may have ceiling(target). What is
    mandatory is given first, the rest of the block to those whose next item falls due earliest.
    Earliest due first meets every due date that any order can meet, and one exists (Tijdeman 1980,
    the chairman assignment problem). Rounding each block alone would drift for small shares.
    """
    given = [0] * len(shares)
    block = 0
    while True:
        block += 1
        targets = [share * normals * block for share in shares]
        left = normals * block - sum(given)
        for k, target in enumerate(targets):
            mandatory = max(0, target.numerator // target.denominator - given[k])
            given[k] += mandatory
            left -= mandatory
        open_ = [k for k, target in enumerate(targets) if given[k] < target]
        open_.sort(key=lambda k: (Fraction(given[k] + 1) / shares[k], k))
        for k in open_[:left]:
            given[k] += 1
        yield list(given)

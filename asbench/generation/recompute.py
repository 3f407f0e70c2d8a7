"""The claim of determinism, checkable by anyone: render stored samples anew and compare."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from asbench import plugins, processes
from asbench.generation.render import material, render_samples
from asbench.types import Synthesizer
from synth_store import Sample, StoreKey, SynthStore, address_rng


@dataclass(frozen=True)
class Recomputed:
    """Indices rendered anew, those that differ, and library versions that differ from then."""

    indices: tuple[int, ...]
    different: tuple[int, ...]
    versions: tuple[str, ...]

    def __str__(self) -> str:
        same = len(self.indices) - len(self.different)
        return f"{same} of {len(self.indices)} equal when rendered anew"


def recompute(store: SynthStore, key: StoreKey, category: str, count: int) -> Recomputed:
    """Render `count` samples of a set anew, chosen by hash, and compare them with what is stored.

    The method is rebuilt from the parameters recorded with the set. Raises StoreError if the set
    cannot be read.
    """
    stored = store.read(key, category)
    cls = plugins.load("asbench.synthesizers", key.method, Synthesizer)  # type: ignore[type-abstract]
    synthesizer = cls(**stored.attributes["parameters"])
    textures = stored.attributes.get("textures")
    offered = material(store, key.dataset, category, textures["name"] if textures else None)
    count = min(count, stored.count)
    rng = address_rng("recompute", str(key), category)
    indices = sorted(int(i) for i in rng.choice(stored.count, count, replace=False))
    different = []
    with processes.one_thread():
        for index in indices:
            one = range(index, index + 1)
            samples, sources, _ = render_samples(synthesizer, offered, key, category, one)
            same = sources[0] == stored.source_of(index) and _same(samples[0], stored[index])
            if not same:
                different.append(index)
    changed = [
        f"{library} {then} then, {version(library)} now"
        for library, then in stored.attributes["versions"].items()
        if version(library) != then
    ]
    return Recomputed(tuple(indices), tuple(different), tuple(changed))


def _same(now: Sample, then: Sample) -> bool:
    """Compare pixels; the clean image only where the method made its own."""
    if now.clean is not None and (then.clean is None or not np.array_equal(now.clean, then.clean)):
        return False
    return np.array_equal(now.image, then.image) and np.array_equal(now.mask, then.mask)

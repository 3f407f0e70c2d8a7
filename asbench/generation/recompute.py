"""The claim of determinism, checkable by anyone: render stored samples anew and compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asbench.generation.fitted import find_fit, loading_of
from asbench.generation.plan import defects_identity, library_versions
from asbench.generation.render import material, render_samples, renderer_of
from asbench.grid import processes
from asbench.imaging.visibility import Visibility
from asbench.settings import FITS
from asbench.synthesizers import rebuild
from asbench.types import LearnedSynthesizer
from synth_store import Sample, StoreKey, SynthStore, UserError, address_rng


@dataclass(frozen=True)
class Recomputed:
    """Indices rendered anew, those that differ, and what else differs from then.

    versions: of libraries, and a change of the masks of real defects, each as a line to print.
    """

    indices: tuple[int, ...]
    different: tuple[int, ...]
    versions: tuple[str, ...]

    def __str__(self) -> str:
        same = len(self.indices) - len(self.different)
        return f"{same} of {len(self.indices)} equal when rendered anew"


def recompute(
    store: SynthStore, key: StoreKey, category: str, count: int, *, fits: Path | str = FITS
) -> Recomputed:
    """Render `count` samples of a set anew, chosen by hash, and compare them with what is stored.

    The method is rebuilt from the parameters recorded with the set, a learned one from its weights
    in `fits`. Raises StoreError if the set cannot be read, UserError if those weights are gone.
    """
    stored = store.read(key, category)
    synthesizer = rebuild(key.method, stored.attributes["parameters"])
    loading = None
    if isinstance(synthesizer, LearnedSynthesizer):
        seed = stored.attributes["fit"]["seed"]
        fitted = find_fit(fits, key.dataset, key.method, category, seed, synthesizer)
        if fitted.digest != stored.attributes["fit"]["digest"]:
            raise UserError(
                f"{key}/{category} was rendered by another fit than {fitted.folder} now holds: it "
                "cannot be rendered anew. Name the folder of fits with --fits."
            )
        loading = loading_of(synthesizer, fitted, None, stored.attributes["versions"]["device"])
    renderer, batch = renderer_of(synthesizer, loading)
    textures = stored.attributes.get("textures")
    offered = material(
        store,
        key.dataset,
        category,
        textures["name"] if textures else None,
        defects=synthesizer.from_defects,
        grey=synthesizer.keeps_grey,
    )
    visibility = Visibility(**stored.attributes.get("visible", {}))
    overlap = stored.attributes.get("on_object", {}).get("overlap", 0.0)
    count = min(count, stored.count)
    rng = address_rng("recompute", str(key), category)
    indices = sorted(int(i) for i in rng.choice(stored.count, count, replace=False))
    different = []
    with processes.one_thread():
        for index in indices:
            one = range(index, index + 1)
            samples, sources, _ = render_samples(
                renderer,
                offered,
                key,
                category,
                one,
                batch=batch,
                visibility=visibility,
                overlap=overlap,
            )
            same = sources[0] == stored.source_of(index) and _same(samples[0], stored[index])
            if not same:
                different.append(index)
    now = library_versions(loading)
    changed = [
        f"{library} {then} then, {now.get(library, 'none')} now"
        for library, then in stored.attributes["versions"].items()
        if now.get(library) != then
    ]
    real = defects_identity(synthesizer, offered.defects, offered.defect_images)
    for fact, what in (("defects", "masks of real defects"), ("defect_images", "real defects")):
        if real.get(fact) != stored.attributes.get(fact):
            changed.append(f"{what}: others now than then")
    return Recomputed(tuple(indices), tuple(different), tuple(changed))


def _same(now: Sample, then: Sample) -> bool:
    """Compare pixels; the clean image only where the method made its own."""
    if now.clean is not None and (then.clean is None or not np.array_equal(now.clean, then.clean)):
        return False
    return np.array_equal(now.image, then.image) and np.array_equal(now.mask, then.mask)

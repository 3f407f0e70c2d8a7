"""A contact sheet of synthetic anomalies, or of the normals with the object found on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asbench.data.objects import objects
from asbench.datasets import open_dataset
from asbench.files.documents import into_place
from asbench.generation.fitted import fitted_methods
from asbench.generation.generate import samples_of
from asbench.generation.real import few_shot
from asbench.imaging.contact_sheet import Band, contact_sheet, foreground_sheet, png
from asbench.imaging.visibility import described
from asbench.progress import Notify, Progress, quiet, silent
from asbench.settings import FITS, STORE, TEXTURES, VISIBLE, WHERE, GenerateSettings, Where
from asbench.synthesizers import hand_crafted, own_name, resolve
from asbench.types import Dataset
from synth_store.types import Image, UserError

MOST_DRAWN = 1000
"""Samples of a method on one sheet."""


@dataclass(frozen=True, eq=False)
class Preview:
    """A picture to look at; a notebook shows it.

    image: uint8 (H, W, 3); stored: by what was drawn, a method or a category, whether all of it
    came from the store.
    """

    image: Image
    stored: Mapping[str, bool]

    def _repr_png_(self) -> bytes:
        return png(self.image)


def preview(
    dataset: str | Path = "demo",
    method: str | Sequence[str] | None = "fractal",
    *,
    category: str | None = None,
    n: int = 8,
    seed: int = 0,
    store: Path | str = STORE,
    textures: str = TEXTURES,
    fits: Path | str = FITS,
    name: str | None = None,
    object: str | None = None,
    settings: Mapping[str, Any] | None = None,
    variant: str | None = None,
    visible: float = VISIBLE,
    where: Where = WHERE,
    same_normals: bool = False,
    compact: bool = False,
    side: int = 128,
    out: Path | str | None = None,
    progress: Progress = quiet,
    notify: Notify = silent,
) -> Preview:
    """Draw a contact sheet: clean images, anomalies, and the anomalies with outlined masks.

    What the store holds is shown from there. What it does not hold is rendered for the picture
    alone, from the same addresses: the same pixels that `generate` would store.

    Args:
        dataset: a name or the path of a folder; name: as for `generate`.
        method: one or several; `all` for every one that is not learned and the learned ones that
            are fitted. None draws the normals instead, with the object found on each, as methods
            that keep to it use it: where none was found they take the whole image.
        category: None for the first; where `method` is None, for all.
        n: samples of each method, or normals of each category.
        seed, textures, fits: as for `generate`, of what is not stored yet.
        object: where the object is: auto, whole, dark, bright or a folder of masks, as for
            `generate`, tried on the normals where `method` is None; None for what is stored.
        settings, variant: parameters of the method that differ, and the name they go by, as for
            `generate`.
        visible, where: as for `generate`, of what is not stored yet.
        same_normals: render sample i on normal i for every method, to compare them; then nothing
            comes from the store.
        compact: one row per method; side: height of a cell in pixels.
        out: a PNG file to write; None for none.
        notify: told of each method how much its samples change and how much of their masks they
            leave unchanged, of each category on how many of its normals an object was found.

    Raises UserError for an unknown method or category.
    """
    GenerateSettings(seed=seed, where=where)  # which refuses one that is out of range
    if not 1 <= n <= MOST_DRAWN:
        raise UserError(f"{n} samples cannot be drawn: give 1 to {MOST_DRAWN}.")
    data = open_dataset(dataset, name=name)
    if method is None:
        categories = [category] if category is not None else list(data.categories())
        bands, stored = _normals(data, categories, n, store, notify, object)
        drawn = Preview(foreground_sheet(bands, side=side, compact=compact), stored)
    else:
        chosen = category if category is not None else data.categories()[0]
        methods = [method] if isinstance(method, str) else list(method)
        if "all" in methods:
            methods = _drawable(data, chosen, notify) + fitted_methods(fits, data.name, chosen)
        methods = [own_name(one, variant) for one in methods]
        bands, stored = [], {}
        for done, one in enumerate(methods, 1):
            samples, stored[one], loud = samples_of(
                store,
                data,
                one,
                chosen,
                range(n),
                seed=seed,
                textures=textures,
                settings=settings,
                visible=visible,
                where=where,
                same_normals=same_normals,
                fits=fits,
            )
            note = "" if stored[one] or same_normals else ", not stored"
            title = f"{one} on {data.name}/{chosen}, seed {seed}{note}"
            shown = described(samples, loud)
            bands.append(Band(f"{title}: {shown}" if shown else title, samples))
            if shown:
                notify(f"{one} on {data.name}/{chosen}: {shown}")
            progress("drawing", done, len(methods))
        drawn = Preview(contact_sheet(bands, side=side, compact=compact), stored)
    if out is not None:
        into_place(Path(out), png(drawn.image))
    return drawn


def _drawable(data: Dataset, category: str, notify: Notify) -> list[str]:
    """Return the hand-crafted methods; not those that show real defects where none may be shown."""
    names = hand_crafted()
    showing = [n for n in names if resolve(n, dataset=data.name, category=category).from_defects]
    if showing and category in data.categories():
        try:
            few_shot(data, category)
        except UserError as error:
            notify(f"{', '.join(showing)} left out: {error}")
            return [name for name in names if name not in showing]
    return names


def _normals(
    data: Dataset,
    categories: Sequence[str],
    count: int,
    store: Path | str,
    notify: Notify,
    object: str | None,
) -> tuple[list[Band], dict[str, bool]]:
    """Return normals with their objects, category by category; say where none was found."""
    bands, stored = [], {}
    for category in categories:
        samples, stored[category] = objects(store, data, category, count, object)
        place, hits = f"{data.name}/{category}", sum(not s.mask.all() for s in samples)
        bands.append(Band(f"{place}: object on {hits} of {len(samples)}", samples))
        source = "stored" if stored[category] else "not stored"
        whole = "; elsewhere the whole image counts as the object"
        notify(
            f"{place}: object found on {hits} of {len(samples)} normals ({source})"
            f"{'' if hits == len(samples) else whole}"
        )
    return bands, stored

"""`asbench preview`: a contact sheet of clean images, anomalies and masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options

if TYPE_CHECKING:
    from asbench.types import Dataset

EPILOG = """
\b
Example: every method on the same eight normals, one row each
  asbench preview --method all --same-normals --compact --out methods.png

\b
Example: where the object is thought to be, which memseg and nsa go by
  asbench preview --foreground
"""


@click.command("preview", epilog=EPILOG)
@options.option(
    "--method",
    "--methods",
    multiple=True,
    callback=options.listed,
    help="A method; several: a,b or repeat; 'all': every one that is not learned, and the learned "
    "ones that are fitted.  [none with --foreground]",
)
@click.option(
    "--foreground", is_flag=True, help="Instead of a method: the normals with their objects."
)
@options.dataset
@options.name
@click.option("--category", help="A category.  [the first; with --foreground, all]")
@options.option(
    "-n", "--n", "count", default=8, type=options.AtLeast(1), help="Samples of each method."
)
@options.synth_seed
@options.store
@options.option("--textures", default="procedural", help="Texture bank of what is not stored yet.")
@options.fits
@options.option("--side", default=128, type=options.AtLeast(8), help="Height of a cell, in pixels.")
@click.option(
    "--same-normals", is_flag=True, help="Sample i on normal i for every method: to compare them."
)
@click.option("--compact", is_flag=True, help="One row per method: anomalies with outlines.")
@options.option(
    "--out", type=click.Path(path_type=Path), default="preview.png", help="The picture."
)
def command(
    method: tuple[str, ...],
    foreground: bool,
    dataset: str,
    name: str | None,
    category: str | None,
    count: int,
    seed: int,
    store: str,
    textures: str,
    fits: Path,
    side: int,
    same_normals: bool,
    compact: bool,
    out: Path,
) -> None:
    """Draw a contact sheet: clean images, anomalies, outlines of the masks.

    What the store holds is shown from there. What it does not hold is rendered for the picture
    alone, from the same addresses: the same pixels that `asbench generate` would store. With
    --same-normals every method is rendered on the same images, and nothing comes from the store.

    With --foreground no method is drawn, but the normals with the object found on each, as methods
    that keep to it use it; where none was found they take the whole image.
    """
    from asbench import open_dataset
    from asbench.documents import into_place
    from asbench.generation.fitted import fitted_methods
    from asbench.generation.generate import samples_of
    from asbench.imaging.contact_sheet import Band, contact_sheet, png
    from asbench.synthesizers import hand_crafted
    from cli import console

    if bool(method) == foreground:
        raise click.UsageError("Give --method NAME, or --foreground without one.")
    data = open_dataset(dataset, name=name)
    place = {
        "store": options.unless(store, options.STORE),
        "dataset": options.unless(dataset, "demo"),
        "name": name,
        "category": category,
    }
    if foreground:
        categories = [category] if category else list(data.categories())
        _foregrounds(data, categories, count, store, side, compact, out)
        console.next_step(console.command("asbench", "preview", **place, method="memseg,nsa"))
        return
    chosen = category or data.categories()[0]
    every = hand_crafted() + fitted_methods(fits, data.name, chosen)
    methods = every if "all" in method else list(method)
    bands, found = [], {}
    with console.progress() as bars:
        for done, one in enumerate(methods, 1):
            samples, stored = samples_of(
                store,
                data,
                one,
                chosen,
                range(count),
                seed=seed,
                textures=textures,
                same_normals=same_normals,
                fits=fits,
            )
            found[one] = stored
            note = "" if stored or same_normals else ", not stored"
            bands.append(Band(f"{one} on {data.name}/{chosen}, seed {seed}{note}", samples))
            bars("drawing", done, len(methods))
    picture = png(contact_sheet(bands, side=side, compact=compact))
    into_place(out, picture)
    console.say(f"{out}: {len(bands)} methods, {count} samples each")
    missing = [one for one, stored in found.items() if not stored]
    if missing:
        console.next_step(
            console.command(
                "asbench",
                "generate",
                **place,
                seed=options.unless(seed, 0),
                textures=options.unless(textures, "procedural"),
                method=",".join(missing),
            )
        )
        return
    mix = ",".join(f"{one}:{1 / len(methods):.3g}" for one in methods)
    console.next_step(
        console.command("asbench", "train", **place, synth_seed=options.unless(seed, 0), mix=mix)
    )


def _foregrounds(
    data: Dataset,
    categories: list[str],
    count: int,
    store: str,
    side: int,
    compact: bool,
    out: Path,
) -> None:
    """Draw normals with their objects, and say where none was found."""
    from asbench.documents import into_place
    from asbench.imaging.contact_sheet import Band, foreground_sheet, foregrounds, png
    from cli import console

    bands = []
    for category in categories:
        samples, stored = foregrounds(store, data, category, count)
        found = sum(not s.mask.all() for s in samples)
        place = f"{data.name}/{category}"
        bands.append(Band(f"{place}: object on {found} of {len(samples)}", samples))
        rest = "" if found == len(samples) else "; elsewhere the whole image counts as the object"
        source = "stored" if stored else "not stored"
        console.say(f"{place}: object found on {found} of {len(samples)} normals ({source}){rest}")
    picture = png(foreground_sheet(bands, side=side, compact=compact))
    into_place(out, picture)
    console.say(f"{out}: {len(bands)} categories, up to {count} normals each")

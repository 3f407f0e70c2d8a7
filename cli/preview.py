"""`asbench preview`: a contact sheet of clean images, anomalies and masks."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: every method on the same eight normals, one row each
  asbench preview --method all --same-normals --compact --out methods.png
"""


@click.command("preview", epilog=EPILOG)
@options.option(
    "--method",
    multiple=True,
    required=True,
    callback=options.listed,
    help="A method, or 'all' (of the learned ones those fitted); several: a,b or repeat.",
)
@options.dataset
@options.name
@click.option("--category", help="A category.  [the first of the data set]")
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
    dataset: str,
    name: str | None,
    category: str | None,
    count: int,
    seed: int,
    store: Path,
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
    """
    from asbench import open_dataset
    from asbench.generation.fitted import fitted_methods
    from asbench.generation.generate import samples_of
    from asbench.preview import Band, contact_sheet, png
    from asbench.results import into_place
    from asbench.synthesizers import hand_crafted
    from cli import console

    data = open_dataset(dataset, name=name)
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
    into_place(out, lambda part: part.write_bytes(picture))
    console.say(f"{out}: {len(bands)} methods, {count} samples each")
    place = {
        "store": options.unless(store, options.STORE),
        "dataset": options.unless(dataset, "demo"),
        "name": name,
        "category": category,
    }
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

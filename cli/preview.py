"""`asbench preview`: a contact sheet of clean images, anomalies and masks."""

from __future__ import annotations

from pathlib import Path

import click

from asbench.settings import VISIBLE, WHERE, GenerateSettings, Where
from cli import options

EPILOG = """
\b
Example: every method on the same eight normals, one row each
  asbench preview --method all --same-normals --compact --out methods.png

\b
Example: a method with other parameters, before anything is rendered
  asbench preview --method nsa --set patches=1 --variant one

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
@options.one(
    GenerateSettings,
    "object",
    help="Object rule tried with --foreground: auto, whole, dark, bright, or a folder "
    "of masks.  [as the store has it, or auto]",
)
@click.option("--category", help="A category.  [the first; with --foreground, all]")
@options.option(
    "-n", "--n", "count", default=8, type=options.AtLeast(1), help="Samples of each method."
)
@options.synth_seed
@options.store
@options.option("--textures", default="procedural", help="Texture bank of what is not stored yet.")
@options.one(GenerateSettings, "settings")
@options.one(GenerateSettings, "variant")
@options.one(GenerateSettings, "visible")
@options.one(GenerateSettings, "where")
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
    object: str | None,
    category: str | None,
    count: int,
    seed: int,
    store: str,
    textures: str,
    settings: dict[str, str] | None,
    variant: str | None,
    visible: float,
    where: Where,
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
    from asbench import preview
    from cli import console
    from synth_store import Mix

    if bool(method) == foreground:
        raise click.UsageError("Give --method NAME, or --foreground without one.")
    place = {
        "store": options.unless(store, options.STORE),
        "dataset": options.unless(dataset, "demo"),
        "name": name,
        "category": category,
    }
    with console.progress() as bars:
        drawn = preview(
            dataset,
            method or None,
            category=category,
            n=count,
            seed=seed,
            store=store,
            textures=textures,
            fits=fits,
            name=name,
            object=object,
            settings=settings,
            variant=variant,
            visible=visible,
            where=where,
            same_normals=same_normals,
            compact=compact,
            side=side,
            out=out,
            progress=bars,
            notify=console.say,
        )
    names = list(drawn.stored)
    if foreground:
        console.say(f"{out}: {len(names)} categories, up to {count} normals each")
        console.next_step(console.command("asbench", "preview", **place, method="memseg,nsa"))
        return
    console.say(f"{out}: {len(names)} methods, {count} samples each")
    missing = [one for one, stored in drawn.stored.items() if not stored]
    if missing:
        console.next_step(
            console.command(
                "asbench",
                "generate",
                *(f"--set={name}={value}" for name, value in (settings or {}).items()),
                **place,
                seed=options.unless(seed, 0),
                textures=options.unless(textures, "procedural"),
                visible=options.unless(visible, VISIBLE),
                where=options.unless(where, WHERE),
                method=",".join(method if variant else missing),
                variant=variant,
            )
        )
        return
    mix = Mix.parse(",".join(names))
    console.next_step(
        console.command("asbench", "train", **place, synth_seed=options.unless(seed, 0), mix=mix)
    )

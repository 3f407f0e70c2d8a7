"""`asbench generate`: render synthetic anomalies into a store."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: 500 anomalies of two methods on your own photographs, two processes
  asbench generate --dataset ./photos --method draem,fractal -n 500 --workers 2
"""


@click.command("generate", epilog=EPILOG)
@options.option(
    "--method",
    multiple=True,
    required=True,
    callback=options.listed,
    help="A method; several: a,b or repeat.",
)
@options.dataset
@options.name
@options.categories
@options.option(
    "-n", "--n", "count", default=1000, type=options.AtLeast(1), help="Samples per category."
)
@options.synth_seed
@options.store
@click.option(
    "--size", type=options.AtLeast(8), help="Image side of a new store, in pixels.  [256]"
)
@click.option(
    "--resize",
    type=click.Choice(["stretch", "pad"]),
    help="How a new store fits images to its size.  [stretch]",
)
@options.option(
    "--textures",
    default="procedural",
    help="Data set that draem and others draw textures from: procedural (drawn), dtd, or a folder.",
)
@options.settings
@click.option("--variant", help="Name of the parameter set given with --set.")
@click.option("--replace", is_flag=True, help="Render anew what stands under the same key.")
@options.workers
@options.scheduler
def command(
    method: tuple[str, ...],
    dataset: str,
    name: str | None,
    category: tuple[str, ...],
    count: int,
    seed: int,
    store: Path,
    size: int | None,
    resize: str | None,
    textures: str,
    settings: tuple[str, ...],
    variant: str | None,
    replace: bool,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Render synthetic anomalies into a store.

    What the store holds already is not rendered again: an interrupted command continues, a larger
    -n adds to the same set, and every detector trains from what was rendered once. With --scheduler
    the workers of a dask cluster render; they must see the store at the same path.
    """
    from asbench import generate, grid
    from cli import console

    begun: dict[str, int] = {}
    start = time.perf_counter()
    with grid.engine(workers=workers, scheduler=scheduler) as engine, console.progress() as bars:

        def progress(what: str, done: int, total: int) -> None:
            begun.setdefault(what, done)
            bars(what, done, total)

        sets = generate(
            dataset,
            method,
            category=category or None,
            n=count,
            seed=seed,
            store=store,
            size=size,
            resize=resize,
            textures=textures,
            settings=options.parsed(settings),
            variant=variant,
            name=name,
            replace=replace,
            workers=engine,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    shown = console.table("set", "samples", "there before", right=("samples", "there before"))
    shown.add_column("digest")
    rendered = 0
    for stored in sets:
        address = f"{stored.key}/{stored.category}"
        before = min(begun.get(address, 0), stored.count)
        rendered += max(0, count - before)
        shown.add_row(address, str(stored.count), str(before), str(stored.digest)[:12])
    console.out.print(shown)
    console.say(f"\n{rendered} samples rendered in {seconds:.1f} s into {store}")
    banks = {s.attributes["textures"]["name"] for s in sets if "textures" in s.attributes}
    if any(bank.startswith("procedural/") for bank in banks):
        console.say(
            "Textures are drawn (procedural); the published methods use DTD: --textures dtd"
        )
    methods = list(dict.fromkeys(s.key.method for s in sets))
    place = {
        "store": options.unless(store, options.STORE),
        "dataset": options.unless(dataset, "demo"),
        "name": name,
    }
    here = {**place, "category": sets[0].category if category else None}
    console.next_step(
        console.command(
            "asbench",
            "preview",
            **here,
            seed=options.unless(seed, 0),
            method=",".join(methods),
            n=options.unless(min(8, sets[0].count), 8),
        ),
        console.command(
            "asbench",
            "train",
            **here,
            synth_seed=options.unless(seed, 0),
            mix=",".join(f"{m}:{1 / len(methods):.3g}" for m in methods),
        ),
    )

"""`asbench generate`: render synthetic anomalies into a store."""

from __future__ import annotations

import time
from dataclasses import replace

import click

from asbench.settings import GenerateSettings
from cli import options

EPILOG = """
\b
Example: 500 anomalies of two methods on your own photographs, two processes
  asbench generate --dataset ./photos --method draem,fractal -n 500 --workers 2
"""


@click.command("generate", epilog=EPILOG)
@options.of(GenerateSettings, required=("method",))
@options.workers
@options.scheduler
def command(asked: GenerateSettings, workers: int | None, scheduler: str | None) -> None:
    """Render synthetic anomalies into a store.

    What the store holds already is not rendered again: an interrupted command continues, a larger
    -n adds to the same set, and every detector trains from what was rendered once. With --scheduler
    the workers of a dask cluster render; they must see the store at the same path.
    """
    from asbench.data import tiling
    from asbench.data.objects import said
    from asbench.data.set_record import record_of
    from asbench.data.unread import unread_annotations
    from asbench.generation.generate import render_sets
    from asbench.grid import engines
    from cli import console
    from synth_store import Mix

    for line in unread_annotations(asked.dataset, asked.name):
        console.say(f"warning: {line}")
    start = time.perf_counter()
    with engines.engine(workers=workers, scheduler=scheduler) as engine, console.progress() as bars:
        rendered = render_sets(replace(asked, workers=engine, progress=bars))
    seconds = time.perf_counter() - start
    shown = console.table("set", "samples", "there before", right=("samples", "there before"))
    shown.add_column("digest")
    for stored, before, _ in rendered:
        address = f"{stored.key}/{stored.category}"
        shown.add_row(address, str(stored.count), str(before), str(stored.digest)[:12])
    console.out.print(shown)
    new = sum(one.new for one in rendered)
    console.say(f"\n{new} samples rendered in {seconds:.1f} s into {asked.store}")
    sets = [one.stored for one in rendered]
    banks = {s.attributes["textures"]["name"] for s in sets if "textures" in s.attributes}
    if any(bank.startswith("procedural/") for bank in banks):
        console.say(
            "Textures are drawn (procedural); the published methods use DTD: --textures dtd"
        )
    for stored in sets:
        if left_out := record_of(stored).without_mask:
            console.say(
                f"{stored.key}/{stored.category}: left out for want of a mask: "
                f"{', '.join(left_out)}"
            )
    for category, normals in {s.category: s.normals for s in sets}.items():
        console.say(f"{sets[0].key.dataset}/{category}: {said(normals)}")
        if tiles := tiling.said(normals):
            console.say(f"{sets[0].key.dataset}/{category}: {tiles}")
    methods = list(dict.fromkeys(s.key.method for s in sets))
    place = {
        "store": options.unless(asked.store, options.STORE),
        "dataset": options.unless(asked.dataset, "demo"),
        "name": asked.name,
    }
    here = {**place, "category": sets[0].category if asked.category else None}
    console.next_step(
        console.command(
            "asbench",
            "preview",
            **here,
            seed=options.unless(asked.seed, 0),
            method=",".join(methods),
            n=options.unless(min(8, sets[0].count), 8),
        ),
        console.command(
            "asbench",
            "train",
            **here,
            synth_seed=options.unless(asked.seed, 0),
            mix=Mix.parse(",".join(methods)),
        ),
    )

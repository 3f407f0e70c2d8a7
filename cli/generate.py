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
    from asbench import generate
    from asbench.data.set_record import record_of
    from asbench.grid import engines
    from asbench.types import REAL
    from cli import console
    from synth_store import Mix

    begun: dict[str, int] = {}
    start = time.perf_counter()
    with engines.engine(workers=workers, scheduler=scheduler) as engine, console.progress() as bars:

        def progress(what: str, done: int, total: int) -> None:
            begun.setdefault(what, done)
            bars(what, done, total)

        sets = generate.of(replace(asked, workers=engine, progress=progress))
    seconds = time.perf_counter() - start
    shown = console.table("set", "samples", "there before", right=("samples", "there before"))
    shown.add_column("digest")
    rendered = 0
    for stored in sets:
        address = f"{stored.key}/{stored.category}"
        before = min(begun.get(address, 0), stored.count)
        wanted = stored.count if stored.key.method == REAL else asked.n
        rendered += max(0, wanted - before)
        shown.add_row(address, str(stored.count), str(before), str(stored.digest)[:12])
    console.out.print(shown)
    console.say(f"\n{rendered} samples rendered in {seconds:.1f} s into {asked.store}")
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

"""`asbench fit`: fit a learned synthesizer before it renders."""

from __future__ import annotations

from dataclasses import replace

import click

from asbench.settings import FitSettings
from cli import options

EPILOG = """
\b
Example: a small model of one category, in minutes on two cores, then 500 anomalies from it
  asbench fit --method realnet@tiny-scratch --category weave
  asbench generate --method realnet@tiny-scratch --category weave -n 500
"""


@click.command("fit", epilog=EPILOG)
@options.of(FitSettings, required=("method",))
def command(asked: FitSettings) -> None:
    """Fit a learned synthesizer on a data set's normals and, where it needs them, few-shot defects.

    The product is a folder of weights that `asbench generate` finds by itself. Only the lowest
    third of every defect type may be learned from. Ctrl-C saves and stops with exit status 130; the
    same command then continues to the same weights.
    """
    from asbench import fit
    from asbench.types import Interrupted
    from cli import console
    from cli.main import INTERRUPTED
    from cli.stopping import Stopping

    stopping = Stopping()
    try:
        with console.progress() as bars, stopping:
            fits = fit.of(replace(asked, progress=bars, notify=console.say, stop=stopping.asked))
    except Interrupted as interrupted:
        click.echo(str(interrupted), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    shown = console.table("fit", "real defects seen", "minutes", right=("minutes",))
    shown.add_column("digest")
    for one in fits:
        seen = sum(len(one.defects_seen(c)) for c in one.kinds)
        minutes = f"{one.record.seconds / 60:.1f}"
        shown.add_row(str(one.folder), str(seen or "none"), minutes, one.digest[:12])
    console.out.print(shown)
    console.say(f"\nlook at {fits[0].folder / 'samples.png'}, and at losses.png beside it")
    place = {
        "store": options.unless(asked.store, options.STORE),
        "dataset": options.unless(asked.dataset, "demo"),
        "name": asked.name,
        "category": ",".join(asked.category or ()) or None,
        "fits": options.unless(asked.fits, options.FITS),
        "fit_seed": options.unless(asked.seed, 0),
        "variant": asked.variant,
    }
    same = [f"{name}={value}" for name, value in (asked.settings or {}).items()]
    said = [word for text in same for word in ("--set", text)]
    console.next_step(console.command("asbench", "generate", *said, method=asked.method, **place))

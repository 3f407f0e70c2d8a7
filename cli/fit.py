"""`asbench fit`: fit a learned synthesizer before it renders."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: a small model of one category, in minutes on two cores, then 500 anomalies from it
  asbench fit --method realnet@tiny-scratch --category weave
  asbench generate --method realnet@tiny-scratch --category weave -n 500
"""


@click.command("fit", epilog=EPILOG)
@options.option("--method", required=True, help="A learned method with its variant.")
@options.dataset
@options.name
@options.categories
@options.option("--seed", default=0, type=options.AtLeast(0), help="Seed of the fit.")
@options.store
@options.fits
@options.size
@options.resize
@options.settings
@click.option("--variant", help="Name of the parameters given with --set.")
@options.learned_weights
@options.device
@click.option("--replace", is_flag=True, help="Fit anew what stands at the same place.")
def command(
    method: str,
    dataset: str,
    name: str | None,
    category: tuple[str, ...],
    seed: int,
    store: str,
    fits: Path,
    size: int | None,
    resize: str | None,
    settings: tuple[str, ...],
    variant: str | None,
    weights: tuple[str, ...],
    device: str | None,
    replace: bool,
) -> None:
    """Fit a learned synthesizer on a data set's normals and, where it needs them, few-shot defects.

    The product is a folder of weights that `asbench generate` finds by itself. Only the lowest
    third of every defect type may be learned from. Ctrl-C saves and stops with exit status 130; the
    same command then continues to the same weights.
    """
    from asbench.generation.fit import fit
    from asbench.nets.pretrained import parse_weights
    from asbench.types import Interrupted
    from cli import console
    from cli.main import INTERRUPTED
    from cli.stopping import Stopping

    stopping = Stopping()
    try:
        with console.progress() as bars, stopping:
            found = fit(
                dataset,
                method,
                category=category or None,
                seed=seed,
                store=store,
                fits=fits,
                size=size,
                resize=resize,
                settings=options.parsed(settings),
                variant=variant,
                weights=parse_weights(weights, networks=None),
                device=device,
                name=name,
                replace=replace,
                progress=bars,
                notify=console.say,
                stop=stopping.asked,
            )
    except Interrupted as interrupted:
        click.echo(str(interrupted), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    shown = console.table("fit", "real defects seen", "minutes", right=("minutes",))
    shown.add_column("digest")
    for one in found:
        seen = sum(len(one.defects_seen(c)) for c in one.kinds)
        minutes = f"{one.record['seconds'] / 60:.1f}"
        shown.add_row(str(one.folder), str(seen or "none"), minutes, one.digest[:12])
    console.out.print(shown)
    console.say(f"\nlook at {found[0].folder / 'samples.png'}")
    place = {
        "store": options.unless(store, options.STORE),
        "dataset": options.unless(dataset, "demo"),
        "name": name,
        "category": ",".join(category) or None,
        "fits": options.unless(fits, options.FITS),
        "fit_seed": options.unless(seed, 0),
        "variant": variant,
    }
    same = [word for text in settings for word in ("--set", text)]
    console.next_step(console.command("asbench", "generate", *same, method=method, **place))

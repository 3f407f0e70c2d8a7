"""`asbench demo`: the whole path on drawn data, in about a minute."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli import options


@click.command("demo", epilog="\b\nExample:\n  asbench demo\n")
@options.option(
    "--folder", type=click.Path(path_type=Path), default="asbench-demo", help="Where it works."
)
def command(folder: Path) -> None:
    """Render synthetic anomalies on drawn data, train on them, and compare.

    Needs no data, no download and no GPU. The results are those of one seed on small images: they
    show how the parts work together, and are not to be held against papers.
    """
    from asbench import report
    from asbench.demo import SIZE, demo
    from cli import console

    start = time.perf_counter()
    with console.progress() as bars:
        trained = demo(folder, progress=bars, watch=console.losses(bars))
    page = report.write(
        folder / "runs",
        folder / "report.html",
        store=folder / "store",
        quality=folder / "quality",
    ).page
    heads = ("image AUROC", "pixel AUROC", "pixel AP", "PRO")
    names = ("image_auroc", "pixel_auroc", "pixel_ap", "pro")
    shown = console.table("detector", "trained on", *heads, right=heads)
    for one in trained:
        decides, scores = one.run.decides, one.run.metrics["full"]
        mix = " + ".join(decides["mix"]) or "normals alone"
        shown.add_row(decides["detector"], mix, *[f"{scores[n]:.3f}" for n in names])
    console.out.print(shown)
    console.say(
        f"\ndemo/{decides['category']} at {SIZE}x{SIZE}, {decides['steps']} steps, one seed; "
        f"{time.perf_counter() - start:.0f} s"
    )
    console.next_step(
        f"open {page} in a browser",
        "asbench generate --method draem --method fractal",
        "asbench train --mix draem:0.5,fractal:0.5",
    )

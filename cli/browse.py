"""`asbench browse`: look through what a store holds, in a browser."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: everything in the store, then open gallery/index.html
  asbench browse

\b
Example: one method, sorted by what a detector says, with marks kept in gallery/excluded.txt
  asbench browse demo/draem --run runs/0123456789ab --serve

\b
Example: train without what was marked
  asbench train --mix draem --exclude gallery/excluded.txt
"""


@click.command("browse", epilog=EPILOG)
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@options.store
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="gallery",
    help="The gallery: a new folder, or an earlier one to bring up to date.",
)
@options.option(
    "--side", default=192, type=options.AtLeast(16), help="Pixels of a picture's longer side."
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Folder of a run whose detector scores every sample.  [none]",
)
@options.device
@click.option("--serve", is_flag=True, help="Serve it on 127.0.0.1 until Ctrl-C; marks are kept.")
@click.option("--port", default=0, type=options.AtLeast(0), help="Of --serve.  [any that is free]")
def command(
    addresses: tuple[str, ...],
    store: str,
    out: Path,
    side: int,
    run: Path | None,
    device: str | None,
    serve: bool,
    port: int,
) -> None:
    """Write a gallery of stored samples: image, clean image, mask and difference at one key.

    An ADDRESS is a data set, or one with a method, a seed and a category behind it, as `asbench
    store ls` lists them; without one every set is shown. Samples are filtered, sorted by visible
    change, mask area or a detector's score, and marked. The gallery is plain files: it opens from
    disk, where Save gives the file of marks, and asks for nothing from elsewhere.
    """
    from asbench import browse
    from asbench.browse.listing import MARKS
    from cli import console

    with console.progress() as bars:
        written = browse.write(
            store,
            out,
            addresses=addresses,
            side=side,
            run=run,
            device=device,
            progress=bars,
            notify=console.say,
        )
    size = written.size / 1e6
    console.say(f"{out}: {written.samples} samples of {written.sets} sets, {size:.1f} MB")
    marks = out / MARKS
    train = console.command(
        "asbench", "train", store=options.unless(store, options.STORE), mix="NAME", exclude=marks
    )
    if serve:
        with contextlib.suppress(KeyboardInterrupt):  # which is how serving ends
            browse.serve(out, port=port, ready=lambda at: console.say(f"{at} until Ctrl-C"))
        console.next_step(train)
    else:
        console.next_step(f"open {written.page} in a browser", train)

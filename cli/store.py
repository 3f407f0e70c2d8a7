"""`asbench store`: list, inspect, verify, copy, export and remove what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli import options

if TYPE_CHECKING:
    from synth_store.places import Place

Form = Literal["mvtec", "zarr", "coco", "coco-polygons", "yolo", "parquet", "webdataset"]
READING = {
    "mvtec": "look at {out}",
    "zarr": "in Python: xarray.open_zarr('{place}', consolidated=False)",
    "coco": "read {place}/README.md",
    "coco-polygons": "read {place}/README.md",
    "yolo": "read {place}/README.md",
    "parquet": "read {place}/README.md",
    "webdataset": "read {place}/README.md",
}
"""By format: what comes after an export."""
ADDRESS = click.argument("addresses", nargs=-1, metavar="[DATASET[/METHOD[/SEED[/CATEGORY]]]]...")


@click.group(
    "store", epilog="\b\nExample:\n  asbench store ls\n  asbench store verify --recompute 5\n"
)
def command() -> None:
    """List, inspect, verify, copy, export and remove what is stored."""


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _next(store: str, *lines: tuple[str, ...]) -> None:
    """Name the commands that come next, on the same store."""
    from cli import console

    place = options.unless(store, options.STORE)
    console.next_step(*(console.command("asbench", *line, store=place) for line in lines))


@command.command("ls", epilog="\b\nExample:\n  asbench store ls demo\n")
@ADDRESS
@options.store
def ls(addresses: tuple[str, ...], store: str) -> None:
    """List sets with their samples, size on disk and digest.

    What is damaged, or not the store's, is named below. The exit status is 1 if anything could not
    be read.
    """
    from asbench import SynthStore
    from cli import console
    from synth_store.listing import listing
    from synth_store.selection import contents

    opened = SynthStore.open(store)
    shown = console.table("set", "samples", "size", right=("samples", "size"))
    listed = listing(opened.root)
    entries = contents(opened, addresses, listed)
    featured = any(one.features for one in entries)
    if featured:
        shown.add_column("features", justify="right")
    shown.add_column("digest")
    for one in entries:
        samples = str(one.count) if one.count == one.target else f"{one.count} of {one.target}"
        features = [_size(one.features) if one.features else ""] if featured else []
        digest = "cannot be read" if one.fault else str(one.digest or "")[:12]
        shown.add_row(one.address, samples, _size(one.size), *features, digest)
    console.say(f"{store}: {opened.geometry}, {_size(sum(e.size + e.features for e in entries))}")
    console.show(shown)
    strays = listed.strays
    for one in entries:
        if one.fault:
            console.say(f"fault: {one.fault}")
    for stray in strays:
        console.say(f"{'fault' if stray.unseen else 'note'}: {stray}")
    sets = [one.address.rpartition("/")[0] for one in entries if "/normal/" not in one.address]
    _next(store, *(("store", "info", key) for key in sets[:1]), ("store", "verify"))
    if any(one.fault for one in entries) or any(stray.unseen for stray in strays):
        raise click.exceptions.Exit(1)


@command.command(
    "info",
    short_help="Show everything recorded of sets.",
    epilog="\b\nExample:\n  asbench store info demo/draem/0\n",
)
@ADDRESS
@options.store
def info(addresses: tuple[str, ...], store: str) -> None:
    """Show everything recorded of sets: parameters, encoding, versions, digests."""
    from asbench import SynthStore
    from cli import console
    from synth_store.features import entries
    from synth_store.selection import select

    opened = SynthStore.open(store)

    def features(folder: Place) -> list[str]:
        return [
            f"  features of {one.name}: {one.present} of {one.count} images, {_size(one.size)}"
            for one in entries(opened, folder)
        ]

    sets = select(opened, addresses)
    for key, category in sets:
        console.say(f"{key}/{category}")
        for name, value in sorted(opened.attributes(key, category).items()):
            console.say(f"  {name}: {value}")
        for line in features(opened.folder(key, category)):
            console.say(line)
    for dataset, category in sorted({(key.dataset, category) for key, category in sets}):
        if lines := features(opened.normals_folder(dataset, category)):
            console.say(f"{dataset}/normal/{category}")
            for line in lines:
                console.say(line)
    _next(store, ("store", "verify", *addresses))


@command.command(
    "verify",
    short_help="Read every byte, and name what is damaged.",
    epilog="\b\nExample:\n  asbench store verify demo/draem --recompute 20\n",
)
@ADDRESS
@options.store
@options.option(
    "--recompute",
    default=0,
    type=options.AtLeast(0),
    help="Samples of every set to render anew and compare.",
)
@click.option("--discard", is_flag=True, help="Delete damaged shards, so that generate mends them.")
@options.fits
def verify(
    addresses: tuple[str, ...], store: str, recompute: int, discard: bool, fits: Path
) -> None:
    """Read every byte, and name each file that is damaged, missing or not the store's.

    The exit status is 1 if there is any.
    """
    from asbench import SynthStore
    from asbench.generation import verify
    from cli import console

    opened = SynthStore.open(store)
    with console.progress() as bars:
        verification = verify.verify(
            opened, addresses, count=recompute, discard=discard, fits=fits, progress=bars
        )
    for address, gone in verification.discarded.items():
        what = "all of it" if gone is None else f"{gone} damaged shards"
        console.say(f"{address}: {what} deleted")
    for address in verification.dropped:
        console.say(f"{address}: its features dropped; the next training computes them anew")
    for address, again in verification.again.items():
        console.say(f"{address}: {again}")
        for change in again.versions:
            console.say(f"  {change}")
    if verification.without_address:
        first, more = verification.without_address[0], len(verification.without_address) - 1
        others = f" and {more} more" if more else ""
        console.say(
            f"{first}{others}: written by a release that recorded no address, so only the folder "
            "says which seed and category it is; --recompute tells"
        )
    for fault in verification.faults:
        console.say(f"fault: {fault}")
    console.say(f"{verification.sets} sets verified, {len(verification.faults)} faults")
    if not verification.faults:
        _next(store, ("store", "ls"))
        return
    if discard and verification.mend:
        console.next_step(*verification.mend)
    elif verification.mend:
        _next(store, ("store", "verify", "--discard", *addresses))
    elif verification.drop:
        console.next_step(*verification.drop)
    raise click.exceptions.Exit(1)


@command.command("rm", epilog="\b\nExample:\n  asbench store rm demo/draem/0 --dry-run\n")
@ADDRESS
@options.store
@click.option(
    "--features",
    is_flag=True,
    help="Drop only features, of all that is stored where no address is given; they are computed "
    "anew when asked for.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
def rm(addresses: tuple[str, ...], store: str, features: bool, dry_run: bool) -> None:
    """Remove sets; a data set's bare name removes its normals as well.

    An address with nothing below it is told, and stops no other: the same command goes on after an
    interruption.
    """
    from asbench import SynthStore
    from cli import console
    from synth_store.features import remove_features
    from synth_store.removal import remove

    if features:
        verb, total = "would drop" if dry_run else "dropped", 0
        for gone in remove_features(SynthStore.open(store), addresses, dry_run=dry_run):
            console.say(f"{verb} features of {gone.address} ({_size(gone.size)})")
            total += gone.size
        console.say(f"{store}: {verb} {_size(total)} of features")
        again = ("store", "rm", "--features", *addresses)
        _next(store, again if dry_run else ("store", "ls"))
        return
    if not addresses:
        raise click.MissingParameter(param_type="argument", param_hint="DATASET[/METHOD[/SEED]]")
    said = "would remove" if dry_run else "removed"
    for gone in remove(SynthStore.open(store), addresses, dry_run=dry_run):
        if gone.kind == "none":
            console.say(f"{gone.address} is not in the store: removed before, or never there")
            continue
        more = " with its normals" if gone.whole else ""
        more += ", what an interrupted command left of it" if gone.kind == "rest" else ""
        console.say(f"{said} {gone.address}{more} ({_size(gone.size)})")
    _next(store, ("store", "rm", *addresses) if dry_run else ("store", "ls"))


@command.command(
    "copy",
    short_help="Copy sets to another place: a bucket, a folder.",
    epilog="\b\nExample:\n  asbench store copy asbench-store s3://bucket/prefix\n",
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@ADDRESS
@click.option("--replace", is_flag=True, help="Overwrite other sets under the same keys.")
def copy(source: str, target: str, addresses: tuple[str, ...], replace: bool) -> None:
    """Copy sets and their normals FROM one place TO another: folders, or s3://BUCKET/PREFIX.

    What is there already is not copied again, so a copy that was cut off continues, and a set that
    has grown grows there. All that is written is read back and compared.
    """
    from asbench import SynthStore
    from cli import console
    from synth_store.copying import copy_store
    from synth_store.listing import listing

    opened = SynthStore.open(source)
    with console.progress() as bars:
        copied = copy_store(opened, target, addresses, replace=replace, progress=bars)
    for stray in listing(opened.root).strays:
        console.say(f"not copied: {stray}")
    for one in copied:
        said = "stands there" if one.stood else f"{_size(one.sent)} written"
        console.say(f"{one.address}: {one.samples} images, {said}")
    sent = sum(one.sent for one in copied)
    console.say(f"{target}: {len(copied)} folders, {_size(sent)} written and read back")
    _next(target, ("store", "ls"))


@command.command(
    "export",
    short_help="Write sets in others' formats.",
    epilog="\b\nExample:\n"
    "  asbench store export demo/draem/0 --out ./png\n"
    "  asbench store export demo/draem/0 demo/fractal/0 --format coco --out ./coco\n",
)
@click.argument("keys", nargs=-1, required=True, metavar="DATASET/METHOD/SEED...")
@options.store
@options.categories
@options.option(
    "--format",
    "form",
    type=click.Choice(list(READING)),
    default="mvtec",
    help="mvtec: PNG files as MVTec AD lays them out; zarr: one Zarr group a category; coco: "
    "instances as RLE, or coco-polygons; yolo: segmentation labels; parquet: as Hugging Face's "
    "datasets load it; webdataset: tar files.",
)
@options.option(
    "--classes",
    type=click.Choice(["methods", "one"]),
    default="methods",
    help="A class for each method, or one for all anomalies, in formats that know classes.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write.")
def export(
    keys: tuple[str, ...],
    store: str,
    category: tuple[str, ...],
    form: Form,
    classes: Literal["methods", "one"],
    out: Path,
) -> None:
    """Write one or several sets of a data set, with its normals, in a format of other tools.

    Each category gets its place when it is whole; what stands there already stays. Masks are exact
    in every format. All but mvtec and zarr come with a card, README.md: what it holds, the licence
    of the normals, and the commands that make it again. coco and parquet need:
    pip install 'asbench[formats]'.
    """
    from asbench import SynthStore
    from asbench.generation.export_set import export_set
    from cli import console

    opened = SynthStore.open(store)
    with console.progress() as bars:
        for one in export_set(
            opened,
            keys,
            out,
            categories=category or None,
            form=form,
            classes=classes,
            progress=bars,
        ):
            what = keys[0] if len(keys) == 1 else f"{len(keys)} sets"
            beside = f" beside {one.normals} normals" if one.normals else ""
            console.say(
                f"{what}/{one.category}: {one.count} samples{beside} in {one.place}"
                f" ({one.files} files, {_size(one.size)})"
            )
            for note in one.notes:
                console.say(f"  {note}")
    console.next_step(READING[form].format(place=one.place, out=out))

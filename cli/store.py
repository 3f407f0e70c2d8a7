"""`asbench store`: list, inspect, verify, export and remove what is stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options

if TYPE_CHECKING:
    from synth_store import StoreKey, SynthStore

KEY = click.argument("key", metavar="DATASET/METHOD/SEED")
ADDRESS = click.argument("addresses", nargs=-1, metavar="[DATASET[/METHOD[/SEED[/CATEGORY]]]]...")


@click.group(
    "store", epilog="\b\nExample:\n  asbench store ls\n  asbench store verify --recompute 5\n"
)
def command() -> None:
    """List, inspect, verify, export and remove what is stored."""


def _matching(store: SynthStore, addresses: tuple[str, ...]) -> list[tuple[StoreKey, str]]:
    """Return the sets below the addresses, all of them for none; raises UserError for no match."""
    from synth_store.types import UserError

    every = store.sets()
    if not addresses:
        return every
    found = []
    for address in addresses:
        parts = address.strip("/").split("/")
        here = [(k, c) for k, c in every if [*str(k).split("/"), c][: len(parts)] == parts]
        if not here:
            listed = ", ".join(sorted({str(k) for k, _ in every})) or "nothing"
            raise UserError(f"{address} is not in the store at {store.root}, which holds {listed}.")
        found += here
    return sorted(set(found), key=lambda f: (str(f[0]), f[1]))


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


@command.command("ls", epilog="\b\nExample:\n  asbench store ls demo\n")
@ADDRESS
@options.store
def ls(addresses: tuple[str, ...], store: Path) -> None:
    """List sets with their samples, size on disk and digest."""
    from cli import console
    from synth_store import SynthStore
    from synth_store.metadata import read_attributes

    opened = SynthStore.open(store)
    shown = console.table("set", "samples", "size", right=("samples", "size"))
    shown.add_column("digest")
    if not addresses:
        for dataset, category in opened.stored_normals():
            normals = opened.normals(dataset, category)
            size = _size(_bytes(normals.folder))
            shown.add_row(
                f"{dataset}/normal/{category}", str(len(normals)), size, normals.digest[:12]
            )
    for key, category in _matching(opened, addresses):
        folder = opened.folder(key, category)
        attributes = read_attributes(folder)
        count, target = attributes["count"], attributes["target"]
        samples = str(count) if attributes["complete"] else f"{count} of {target}"
        digest = str(attributes["digest"] or "")[:12]
        shown.add_row(f"{key}/{category}", samples, _size(_bytes(folder)), digest)
    console.say(f"{store}: {opened.geometry}, {_size(_bytes(opened.root))}")
    console.out.print(shown)
    console.next_step("asbench store info DATASET/METHOD/SEED", "asbench store verify")


@command.command("info", epilog="\b\nExample:\n  asbench store info demo/draem/0\n")
@ADDRESS
@options.store
def info(addresses: tuple[str, ...], store: Path) -> None:
    """Show everything recorded of sets: parameters, encoding, versions, digests."""
    from cli import console
    from synth_store import SynthStore
    from synth_store.metadata import read_attributes

    opened = SynthStore.open(store)
    for key, category in _matching(opened, addresses):
        console.say(f"{key}/{category}")
        for name, value in sorted(read_attributes(opened.folder(key, category)).items()):
            console.say(f"  {name}: {value}")
    console.next_step("asbench preview --method METHOD", "asbench store verify DATASET/METHOD/SEED")


@command.command(
    "verify", epilog="\b\nExample:\n  asbench store verify demo/draem --recompute 20\n"
)
@ADDRESS
@options.store
@options.option("--recompute", default=0, help="Samples of every set to render anew and compare.")
@click.option("--discard", is_flag=True, help="Delete damaged shards, so that generate mends them.")
def verify(addresses: tuple[str, ...], store: Path, recompute: int, discard: bool) -> None:
    """Read every byte, and name each file that is damaged, missing or not the store's."""
    from asbench.generation.recompute import recompute as render_anew
    from cli import console
    from synth_store import SynthStore
    from synth_store.verify import discard_damaged, verify_normals, verify_set, verify_store

    opened = SynthStore.open(store)
    sets = _matching(opened, addresses)
    faults = verify_store(opened)
    datasets = {key.dataset for key, _ in sets}
    with console.progress() as bars:
        for dataset, category in opened.stored_normals():
            if not addresses or dataset in datasets:
                count = _Counter(f"{dataset}/normal/{category}", bars)
                faults += verify_normals(opened, dataset, category, count)
        for key, category in sets:
            count = _Counter(f"{key}/{category}", bars)
            found = verify_set(opened, key, category, count)
            if found and discard:
                gone = discard_damaged(opened, key, category)
                console.say(f"{key}/{category}: {gone} damaged shards deleted; mend with")
                console.say(f"  {opened.generate_line(key, category)}")
            elif recompute and not found:
                again = render_anew(opened, key, category, recompute)
                same = len(again.indices) - len(again.different)
                console.say(
                    f"{key}/{category}: {same} of {len(again.indices)} equal when rendered anew"
                )
                for change in again.versions:
                    console.say(f"  {change}")
                if again.different:
                    listed = ", ".join(map(str, again.different))
                    raise click.ClickException(f"{key}/{category}: samples {listed} differ.")
            faults += found
    for fault in faults:
        console.say(f"fault: {fault}")
    console.say(f"{len(sets)} sets verified, {len(faults)} faults")
    if faults:
        console.next_step("asbench store verify --discard, then the asbench generate it names")
        raise click.exceptions.Exit(1)
    console.next_step("asbench train --mix METHOD:1")


class _Counter:
    """Adds up what a verification reports one by one."""

    def __init__(self, what: str, bars: object) -> None:
        self.what, self.bars, self.done = what, bars, 0

    def __call__(self, step: int, total: int) -> None:
        self.done = min(self.done + step, total)
        self.bars(self.what, self.done, total)  # type: ignore[operator]


@command.command("rm", epilog="\b\nExample:\n  asbench store rm demo/draem/0 --dry-run\n")
@click.argument(
    "addresses", nargs=-1, required=True, metavar="DATASET[/METHOD[/SEED[/CATEGORY]]]..."
)
@options.store
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
def rm(addresses: tuple[str, ...], store: Path, dry_run: bool) -> None:
    """Remove sets; a data set's bare name removes its normals as well."""
    from cli import console
    from synth_store import SynthStore
    from synth_store.types import UserError

    opened = SynthStore.open(store)
    whole = {d for d, _ in opened.stored_normals()} & set(addresses)
    folders = [opened.root / dataset for dataset in sorted(whole)]
    rest = tuple(a for a in addresses if a not in whole)
    if any(a.partition("/")[2].startswith("normal") for a in rest):
        raise UserError("normals are removed with their data set: asbench store rm DATASET.")
    folders += [opened.folder(key, c) for key, c in _matching(opened, rest)] if rest else []
    for folder in folders:
        size = _size(_bytes(folder))
        console.say(f"{'would remove' if dry_run else 'removed'} {folder} ({size})")
        if not dry_run:
            shutil.rmtree(folder)
            _prune(folder.parent, opened.root)
    console.next_step("asbench store ls")


def _prune(folder: Path, root: Path) -> None:
    """Remove the groups above a removed set that hold nothing any more."""
    while folder != root and not any(p.is_dir() for p in folder.iterdir()):
        shutil.rmtree(folder)
        folder = folder.parent


@command.command("export", epilog="\b\nExample:\n  asbench store export demo/draem/0 --out ./png\n")
@KEY
@options.store
@options.categories
@options.option("--format", "form", type=click.Choice(["mvtec", "zarr"]), default="mvtec")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write.")
def export(key: str, store: Path, category: tuple[str, ...], form: str, out: Path) -> None:
    """Write a set as a folder of PNG files (mvtec) or as a plain Zarr that xarray opens (zarr)."""
    from asbench.export import export_folder, export_zarr
    from cli import console
    from synth_store import StoreKey, SynthStore

    opened = SynthStore.open(store)
    named = StoreKey.parse(key)
    sets = [c for k, c in _matching(opened, (key,)) if not category or c in category]
    with console.progress() as bars:
        for one in sets:
            stored = opened.read(named, one)

            def report(done: int, total: int, what: str = f"{key}/{one}") -> None:
                bars(what, done, total)

            if form == "mvtec":
                place = export_folder(stored, out, report)
            else:
                place = export_zarr(stored, out / f"{one}.zarr", report)
            console.say(f"{key}/{one}: {stored.count} samples in {place}")
    console.next_step(f"look at {out}")

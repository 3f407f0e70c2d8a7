"""`asbench data`: the data sets known here, how to get them, and what a folder holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from asbench.settings import GenerateSettings
from cli import options


@click.group("data", epilog="\b\nExample:\n  asbench data check ./photos\n")
def command() -> None:
    """What a folder of images holds; the data sets known here, and how to get them."""


@command.command(
    "list",
    short_help="List the data sets known by name, and where their files are.",
    epilog="\b\nExample:\n  asbench data list\n",
)
def list_() -> None:
    """List the data sets known by name, where their files are or are missing, their licences."""
    import os

    from asbench.catalogue import known_datasets
    from cli import console

    shown = console.table("data set", "cat.", "files", "what it is", "licence", right=("cat.",))
    for one in known_datasets():
        categories = "" if one.categories is None else str(one.categories)
        names = ", ".join((one.name, *one.variants))
        shown.add_row(names, categories, one.files, one.about, one.licence)
    console.out.print(shown)
    if not os.environ.get("ASBENCH_DATA"):
        console.say("\nASBENCH_DATA is not set: it names the folder in which data sets lie.")
    console.next_step("asbench data fetch visa", "asbench data check ./photos")


@command.command(
    "fetch",
    short_help="Get the files of a published data set into ASBENCH_DATA.",
    epilog="\b\nExample:\n  asbench data fetch visa\n",
)
@click.argument("name")
@options.option(
    "--accept-licence", "--yes", "accepted", is_flag=True, help="Do not ask about the licence."
)
@options.option(
    "--archive",
    type=click.Path(path_type=Path),
    default=None,
    help="An archive that you downloaded by hand: it is checked and unpacked, and left as it is.",
)
def fetch(name: str, accepted: bool, archive: Path | None) -> None:
    """Get the files of the data set NAME into the folder that ASBENCH_DATA names.

    Its licence is shown first, and asked about. A download that was cut is continued by the same
    command; its checksum is compared, and the files appear whole or not at all. Where there is no
    direct link, this says what to do by hand.
    """
    from asbench.data import fetch as fetching
    from cli import console
    from synth_store.types import UserError

    source = fetching.source_of(name)
    target = fetching.destination(name)
    console.say(f"{name}, {source.page}\nlicence: {source.licence}\n")
    if archive is None and not source.url:
        raise UserError(fetching.by_hand(name))
    if not accepted:
        if not sys.stdin.isatty():
            raise UserError("the licence must be accepted: add --accept-licence.")
        if not click.confirm("Do you accept it?"):
            raise UserError("the licence was not accepted: nothing was fetched.")
    with console.progress() as bars:
        fetching.fetch(name, archive, progress=bars, notify=console.say)
    console.say(f"{name} is at {target}")
    console.next_step(f"asbench data check {name}")


@command.command(
    "check",
    short_help="Explain what is recognised at PATH, and count it.",
    epilog="\b\nExample:\n  asbench data check ./photos\n",
)
@click.argument("path")
@options.name
@options.one(GenerateSettings, "size", help="Image size that defects are measured for.  [256]")
@options.one(GenerateSettings, "resize", help="How images are to be fitted to it.  [stretch]")
@options.one(GenerateSettings, "scale")
@options.one(GenerateSettings, "object")
@click.option(
    "--smallest-defect",
    type=click.FLOAT,
    help="The smallest defect to be found, in pixels of the photographs.  [as the masks show]",
)
def check(
    path: str,
    name: str | None,
    size: tuple[int, int] | None,
    resize: str | None,
    scale: float | None,
    object: str | None,
    smallest_defect: float | None,
) -> None:
    """Explain what is recognised at PATH (a folder, a table or a data set's name), and count it.

    Every file is read once; each that cannot be used is named with the reason. The five data sets
    of the benchmark's paper are compared with its Table 3, and each difference is named.

    Defects are measured by their masks: where the smallest keep too few pixels at the size that
    images are to have, a size, or tiles at a scale, are proposed.
    """
    from asbench.data.check import check as inspect
    from asbench.data.defect_sizes import FINER, worth
    from asbench.data.geometry import settled
    from cli import console
    from synth_store import Geometry

    geometry = settled(Geometry(), size, resize, scale)
    with console.progress() as bars:
        report = inspect(
            path,
            name=name,
            geometry=geometry,
            smallest_defect=smallest_defect,
            object=object,
            progress=lambda done, total: bars("reading", done, total),
        )
    console.say(f"{report.dataset}: {report.recognised}\n")
    counted = ("train", "test normal", "anomalous", "masks", "sizes")
    shown = console.table("category", *counted, right=counted)
    for category in report.categories:
        sizes = "-"
        if category.heights is not None and category.widths is not None:
            sizes = f"{category.heights[0]}-{category.heights[1]} x "
            sizes += f"{category.widths[0]}-{category.widths[1]}"
        counts = [
            str(n)
            for n in (category.train, category.test_normal, category.anomalous, category.masks)
        ]
        shown.add_row(category.category, *counts, sizes)
        for defect, of in category.defects.items():
            shown.add_row(f"  {defect}", "", "", str(of.images), str(of.masks), "")
    console.out.print(shown)
    for line in report.folded:
        console.say(line)
    for category in report.categories:
        if category.objects:
            console.say(f"{category.category}: {category.objects}")
        if category.saturations:
            console.say(
                f"{category.category}: a part of a defect is enough to be found "
                f"(defects_config.json, {category.saturations} kinds): so sPRO counts it; PRO asks "
                "for all of it"
            )
        if category.smallest is not None:
            console.say(f"{category.category}: {category.smallest}")
        elif category.heights is not None:
            console.say(
                f"{category.category}: no defect has a mask to be measured: say how small those "
                "are that must be found, in pixels, as in --smallest-defect 20"
            )
        if category.unscored:
            console.say(f"note: {category.category} {category.unscored}")
    usual = size is None and resize is None and scale is None
    finer = usual and report.differences is None and report.finer
    if finer:
        console.say(worth(geometry))
    for difference in report.differences or ():
        console.say(f"differs from the paper's Table 3: {difference}")
    if report.differences == ():
        console.say("counts and sizes are those of the paper's Table 3")
    warnings = len(report.problems) - report.unusable
    console.say(f"\n{report.unusable} files cannot be used, {warnings} warnings")
    if report.unusable:
        console.next_step("mend or remove the files named above, then check again")
        raise click.exceptions.Exit(1)
    advised = [one.smallest for one in report.categories if one.smallest is not None]
    frame: dict[str, Any] = {"size": FINER} if finer else {}
    if advised and not finer:
        frame = dict(min(advised, key=lambda one: one.kept).options)
    if not frame:
        frame = {
            "size": None if size is None else f"{size[1]}x{size[0]}",
            "resize": resize,
            "scale": scale,
        }
    named = {"dataset": path, "name": name}
    console.next_step(
        console.command("asbench", "preview", "--foreground", **named, object=object),
        console.command(
            "asbench", "generate", **named, method="draem,fractal", object=object, **frame
        ),
    )

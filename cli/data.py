"""`asbench data`: what a folder of images holds; the data sets known here."""

from __future__ import annotations

import click

from cli import options


@click.group("data", epilog="\b\nExample:\n  asbench data check ./photos\n")
def command() -> None:
    """What a folder of images holds; the data sets known here."""


@command.command("list", epilog="\b\nExample:\n  asbench data list\n")
def list_() -> None:
    """List the data sets known by name, and whether their files are here."""
    from asbench import open_dataset, plugins
    from cli import console
    from synth_store.types import UserError

    shown = console.table("data set", "here")
    shown.add_column("what it is", overflow="fold")
    for name in plugins.names("asbench.datasets"):
        module = plugins.module("asbench.datasets", name)
        try:
            here = (
                "any path" if name == "folder" else f"{len(open_dataset(name).categories())} cat."
            )
        except UserError:
            here = "no"
        shown.add_row(name, here, (module.__doc__ or "").partition("\n")[0])
    console.out.print(shown)
    console.next_step(
        "asbench data check ./photos", "asbench generate --dataset ./photos --method draem"
    )


@command.command(
    "check",
    short_help="Explain what is recognised at PATH, and count it.",
    epilog="\b\nExample:\n  asbench data check ./photos\n",
)
@click.argument("path")
@options.name
def check(path: str, name: str | None) -> None:
    """Explain what is recognised at PATH (a folder or a data set's name), and count it.

    Every file is read once; each that cannot be used is named with the reason.
    """
    from asbench.check import check as inspect
    from cli import console

    with console.progress() as bars:
        report = inspect(path, name=name, progress=lambda done, total: bars("reading", done, total))
    console.say(f"{report.dataset}: {report.recognised}\n")
    counted = ("train", "test normal", "anomalous", "masks", "sizes")
    shown = console.table("category", *counted, right=counted)
    for category in report.categories:
        images = sum(d.images for d in category.defects.values())
        masks = sum(d.masks for d in category.defects.values())
        sizes = "-"
        if category.heights is not None and category.widths is not None:
            sizes = f"{category.heights[0]}-{category.heights[1]} x "
            sizes += f"{category.widths[0]}-{category.widths[1]}"
        counts = [str(n) for n in (category.train, category.test_normal, images, masks)]
        shown.add_row(category.category, *counts, sizes)
        for defect, found in category.defects.items():
            shown.add_row(f"  {defect}", "", "", str(found.images), str(found.masks), "")
    console.out.print(shown)
    for problem in report.problems:
        console.say(f"{problem.severity}: {problem.path}: {problem.reason}")
    unusable = sum(p.severity == "unusable" for p in report.problems)
    warnings = len(report.problems) - unusable
    console.say(f"\n{unusable} files cannot be used, {warnings} warnings")
    if unusable:
        console.next_step("mend or remove the files named above, then check again")
        raise click.exceptions.Exit(1)
    console.next_step(
        console.command("asbench", "preview", "--foreground", dataset=path, name=name),
        console.command("asbench", "generate", dataset=path, name=name, method="draem,fractal"),
    )

"""`asbench checkpoint`: the files that detectors' authors published, into a run and back."""

from __future__ import annotations

from pathlib import Path

import click

from asbench.settings import TrainSettings
from cli import options


@click.group(
    "checkpoint", epilog="\b\nExample:\n  asbench checkpoint import draem rec.pckl seg.pckl"
)
def command() -> None:
    """Weights as the detectors' authors' code writes them: into a run, and back."""


@command.command(
    "import", epilog="\b\nExample:\n  asbench checkpoint import draem rec.pckl seg.pckl"
)
@click.argument("detector")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE [FILE]", type=click.Path(path_type=Path)
)
@options.one(TrainSettings, "dataset")
@options.one(TrainSettings, "category")
@options.one(TrainSettings, "settings")
@options.one(TrainSettings, "store")
@options.one(TrainSettings, "runs")
@options.name
@options.device
def import_(detector: str, files: tuple[Path, ...], **where: object) -> None:
    """Make a run of an authors' checkpoint, and score it.

    DETECTOR is draem, destseg, memseg or unet. A FILE is a pickle of named tensors, of which no
    code is run, or safetensors; DRAEM has two. The run can be evaluated, predicted with and
    exported as any other. All normals count as seen by its training.
    """
    from asbench.adapters.checkpoints import import_checkpoint
    from asbench.results import SUBSETS
    from cli import console

    with console.progress() as bars:
        trained = import_checkpoint(detector, files, progress=bars, **where)  # type: ignore[arg-type]
    shown = console.table("test set", *console.HEADS.values(), right=tuple(console.HEADS.values()))
    for subset in SUBSETS:
        shown.add_row(subset.replace("_", " "), *console.metrics(trained.run.metrics[subset]))
    console.out.print(shown)
    console.say(f"run {trained.id} holds it; nothing was trained")
    console.next_step(
        console.command("asbench", "evaluate", trained.folder),
        console.command("asbench", "predict", trained.folder, "PHOTO.png"),
    )


@command.command(
    "export",
    epilog="\b\nExample:\n  asbench checkpoint export runs/0123456789ab --out checkpoints",
)
@click.argument("run", type=click.Path(path_type=Path))
@options.option(
    "--out", type=click.Path(path_type=Path), default="checkpoints", help="Folder of the files."
)
def export(run: Path, out: Path) -> None:
    """Write a RUN's weights as its authors' code reads them.

    The files are pickles of named tensors, as torch saves them. `asbench export` writes a file for
    programs that know neither.
    """
    from asbench.adapters.checkpoints import export_checkpoint
    from cli import console

    for path in export_checkpoint(run, out):
        console.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    console.next_step(console.command("asbench", "export", run))

"""`asbench export`: a trained run as one file for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: an ONNX file in the run's folder, beside its weights
  asbench export runs/0123456789ab
"""


@click.command("export", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "pt2"]),
    help="ONNX, or a program of torch.export.  [--output's ending, else onnx]",
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File to write.  [model.onnx in the run]"
)
@options.threshold
@options.false_alarms
def command(
    run: Path,
    form: str | None,
    output: Path | None,
    threshold: str | None,
    false_alarms: float | None,
) -> None:
    """Write a finished RUN as one file that runs without ASBench.

    It takes uint8 images (N, H, W, 3), RGB, at the size of the run's store, and returns anomaly
    maps and scores; resizing photographs to that size stays outside. Size, resize rule, the
    threshold with its rule and the run's id are in its metadata. The file is read again and
    compared with the run before it gets its name. ONNX needs: pip install 'asbench[onnx]'.
    """
    from asbench import Trained
    from cli import console

    trained = Trained(run, "cpu").ruled(threshold, false_alarms=false_alarms)
    written = trained.export(output, form=form)
    console.say(f"{written.path}: {written.path.stat().st_size / 1e6:.1f} MB")
    console.say(
        f"read again and compared with the run on {written.images} images: maps and scores differ "
        f"by at most {written.difference:.1g}"
    )
    for name, value in written.metadata.items():
        console.say(f"  {name}: {value}")
    console.next_step("load it where it is needed, as docs/howto/deploy.md shows")

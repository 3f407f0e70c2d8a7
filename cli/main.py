"""The `asbench` command: names its commands, imports one only when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys

import click

from cli.printable import printable
from cli.stopping import left_by

SECTIONS: dict[str, dict[str, str]] = {
    "Begin": {
        "demo": "the whole path on drawn data, in about a minute",
        "data": "what a folder or table holds; the data sets known here, and their files",
        "methods": "the anomaly synthesizers and their parameters",
        "advise": "from good photographs alone: which of them to train on",
    },
    "Synthesize": {
        "fit": "fit a learned synthesizer (RealNet and others) before it renders",
        "generate": "render synthetic anomalies into a store",
        "preview": "a contact sheet of clean images, anomalies and masks",
        "browse": "look through stored samples in a browser, sort and mark them",
        "store": "list, inspect, verify, export and remove what is stored",
    },
    "Detect": {
        "train": "train a detector on stored anomalies, at any ratio and mixture",
        "evaluate": "score a trained run on test images again, or on others",
        "predict": "score your own images and draw heat maps",
        "export": "write a trained run as one file for other programs: ONNX, torch.export",
        "checkpoint": "weights as the detectors' authors' code writes them, into a run and back",
        "report": "one HTML page, and tables, of all runs",
        "study": "a whole investigation from one file: plan it, run it, continue it",
    },
    "Ask": {
        "quality": "image quality of stored sets: SSIM to KID, whole, inside and at the border",
        "correlate": "whether a quality score goes with detection, over methods",
        "cross": "detectors of one method on the samples of the others: no real defect needed",
    },
}
HELP = """ASBench renders image anomalies once into a store, and trains any detector from it at any
anomaly ratio or mixture.

Exit status: 0 done, 1 an error that can be mended or faults found, 2 wrong usage, 130 interrupted
(what is said then tells whether the same command continues)."""
EXAMPLE = """
\b
Example, with nothing but this installation:
  asbench generate --method draem --method fractal
  asbench preview --method draem
  asbench train --mix draem:0.5,fractal:0.5
  asbench report
"""

INTERRUPTED = 130
"""The exit status of a command that was interrupted, as shells have it: 128 + SIGINT."""


class Commands(click.Group):
    """A group that lists its commands by section without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.list_commands(ctx) and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise click.UsageError(f"No command {name!r}. {hint}`asbench --help` lists them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))


@click.group(
    cls=Commands,
    help=HELP,
    epilog=EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.version_option(package_name="asbench", message="asbench %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def asbench(debug: bool) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the status that HELP explains."""
    # Threads that wait for work are to spin for a moment, then sleep. OpenMP's own default spins so
    # long that a training beside other work takes several times as long; sleeping at once would
    # cost an idle machine a third. Read by GNU's OpenMP when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that a terminal cannot show must not end a command: it is shown escaped.
            stream.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    if debug:
        given = ["--debug", *(a for a in given if a != "--debug")]
    sys.exit(_status(given, debug))


def _status(given: list[str], debug: bool) -> int:
    try:
        status: object = asbench.main(given, prog_name="asbench", standalone_mode=False)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        click.echo(printable(said.getvalue()), nl=False, err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say(f"interrupted: {left_by(given)}.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough, as `head` does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        explained = _explained(error)
        if debug or explained is None:
            raise
        _say(f"error: {explained}")
        return 1
    return status if isinstance(status, int) else 0  # of click's Exit


def _explained(error: Exception) -> str | None:
    """Return what a person can do about an error; None for a fault of the program."""
    # Not imported: that costs numpy, and who raises a UserError has imported it.
    ours = sys.modules.get("synth_store.types")
    if ours is not None and isinstance(error, ours.UserError):
        return str(error)
    where = "`asbench --debug ...` shows where."
    if isinstance(error, MemoryError):
        return f"out of memory: try a smaller --batch or --n. {where}"
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"{error.filename}: {what}. {where}" if error.filename else f"{what}. {where}"
    return None


def _say(text: str) -> None:
    click.echo(printable(text), err=True)

"""`asbench study`: a whole investigation from one file, planned, run, continued."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import options

if TYPE_CHECKING:
    from asbench.study.folder import StudyFolder
    from asbench.study.plan import StudyPlan
    from asbench.study.record import Record

STUDY = click.argument("study", metavar="STUDY")
folder = click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder of the study.  [its name]"
)
store = click.option(
    "--store",
    type=click.Path(),
    help="Folder of the store, or s3://BUCKET/PREFIX that holds all sets.  [FOLDER/store]",
)
runs = click.option(
    "--runs", type=click.Path(path_type=Path), help="Folder of the runs.  [FOLDER/runs]"
)
gpus = options.option(
    "--gpus",
    default=0,
    type=options.AtLeast(0),
    help="GPUs to train on, a run on each; on a cluster, whether workers have some.",
)


@click.group("study", epilog="\b\nExample:\n  asbench study plan demo\n  asbench study run demo\n")
def command() -> None:
    """A whole investigation from one file: plan it, run it, continue it.

    STUDY is a YAML file, or one that ships with ASBench: `asbench study ls`.
    """


@command.command(
    "ls",
    short_help="List the studies that ship, and those run below this folder.",
    epilog="\b\nExample:\n  asbench study ls\n",
)
def ls() -> None:
    """List the studies that ship with ASBench, and those run below this folder."""
    from asbench.study import record as records
    from asbench.study import spec
    from cli import console

    shown = console.table("study", "about")
    for name in spec.shipped():
        shown.add_row(name, spec.read(name).about)
    console.out.print(shown)
    begun = sorted(path.parent for path in Path().glob(f"*/{records.RECORD}"))
    if begun:
        console.say("")
        heads = ("runs", "done", "failed", "left out")
        here = console.table("folder", "study", *heads, right=heads)
        for place in begun:
            record = records.read(place)
            counts = (record.cells, record.runs, record.failed, record.left_out)
            here.add_row(str(place), record.name, *(str(len(c)) for c in counts))
        console.out.print(here)
    console.next_step(console.command("asbench", "study", "plan", "demo"))


@command.command(
    "plan",
    short_help="Show what a study takes, and what of it is not here.",
    epilog="\b\nExample:\n  asbench study plan paper\n",
)
@STUDY
@folder
@store
@runs
@gpus
def plan(study: str, folder: Path | None, store: str | None, runs: Path | None, gpus: int) -> None:
    """Show what a study asks for, what it will take, and what of it is not here.

    Nothing is written. Exit status 1 if the file has faults, all of which are named.
    """
    from asbench.study import open
    from cli import console

    opened = open(study, folder, store=store, runs=runs)
    planned = opened.plan()
    _show_runs(planned)
    _show_costs(planned, opened, gpus)
    _show_quality(planned)
    _show_absent(planned)
    planned.refuse_faults()
    chosen: dict[str, Any] = {"folder": folder, "store": store, "runs": runs}
    line = console.command("asbench", "study", "run", study, **chosen)
    console.next_step(f"{line} --available" if planned.absent or planned.unmeasurable else line)


def _show_runs(planned: StudyPlan) -> None:
    from cli import console

    heads = ("runs", "here", "sets")
    shown = console.table("part", *heads, right=heads)
    here = set(planned.present)
    for part in dict.fromkeys(cell.part for cell in planned.cells):
        own = [cell for cell in planned.cells if cell.part == part]
        present = sum(cell in here for cell in own)
        shown.add_row(part, str(len(own)), str(present), str(len(planned.sets(own))))
    sets = len(planned.sets(planned.cells))
    shown.add_row("all", str(len(planned.cells)), str(len(here)), str(sets))
    console.say(f"{planned.study.name}: {planned.study.about}, {planned.study.geometry}")
    console.out.print(shown)


def _show_costs(planned: StudyPlan, opened: StudyFolder, gpus: int) -> None:
    from asbench.study import estimate
    from cli import console

    heads = ("runs", "steps", "hours")
    shown = console.table("detector", *heads, right=heads)
    shown.add_column("source")
    costs = estimate.costs(planned, opened.store, opened.runs, gpu=gpus > 0)
    for one in costs.times:
        shown.add_row(one.detector, str(one.runs), str(one.steps), _hours(one.seconds), one.source)
    console.say("")
    console.out.print(shown)
    on = "one GPU" if gpus else "one core"
    fits = len(planned.fits(planned.cells))
    many = "1 fit, " if fits == 1 else f"{fits} fits, " if fits else ""
    minutes = max(1, round(costs.seconds / 60))
    span = f"{minutes / 60:,.1f} hours" if minutes >= 60 else f"{minutes} min"
    console.say(
        f"about {span} on {on}, {many}rendering and quality not counted; --gpus 1 for a GPU's"
    )
    disk = costs.disk
    console.say(
        f"about {disk.total / 1e9:.2f} GB: store {disk.store / 1e9:.2f}, runs "
        f"{disk.runs / 1e9:.2f}, trained weights {disk.weights / 1e9:.2f}; "
        f"{costs.free / 1e9:.1f} GB free"
    )


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 3600:.{1 if seconds > 360 else 2}f}"


def _show_quality(planned: StudyPlan) -> None:
    from cli import console

    measure = planned.study.quality
    if measure is None:
        return
    sets, against = len(planned.sets(planned.cells)), measure["real"].replace("_", "-")
    console.say(
        f"quality of {sets} sets, {measure['n']} samples each, against the {against} real "
        f"defects: {', '.join(measure['metrics'])}"
    )


def _show_absent(planned: StudyPlan) -> None:
    from cli import console

    if planned.unmeasurable:
        console.say("\nnot here, and needed to measure quality:")
        for absence in dict.fromkeys(planned.unmeasurable.values()):
            console.say(f"  {absence}")
    if not planned.absent:
        return
    console.say(f"\nnot here, and needed by {len(planned.absent)} of {len(planned.cells)} runs:")
    counts: dict[str, int] = {}
    for reasons in planned.absent.values():
        for reason in map(str, reasons):
            counts[reason] = counts.get(reason, 0) + 1
    for reason, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])):
        console.say(f"  {reason} ({count} runs)")


def _slurm(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    return options.parsed(given) if given else None


@command.command(
    "run",
    short_help="Render, train, score and measure; what stands is not done again.",
    epilog="""
\b
Example: on four processes of this machine; then on a cluster, a GPU for each training
  asbench study run mine.yaml --workers 4
  dask scheduler
  CUDA_VISIBLE_DEVICES=0 dask worker tcp://HOST:8786 --nthreads 1 --resources GPU=1
  asbench study run mine.yaml --scheduler tcp://HOST:8786 --gpus 1
""",
)
@STUDY
@folder
@store
@runs
@click.option("--available", is_flag=True, help="Leave out what needs something not here.")
@options.option(
    "--retries", default=0, type=options.AtLeast(0), help="How often a failed job is tried again."
)
@options.workers
@options.scheduler
@click.option(
    "--slurm",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_slurm,
    help="Ask Slurm for --workers jobs, with these options of dask-jobqueue: queue=gpu.  "
    "[no Slurm]",
)
@gpus
def run(
    study: str,
    folder: Path | None,
    store: str | None,
    runs: Path | None,
    available: bool,
    retries: int,
    workers: int | None,
    scheduler: str | None,
    slurm: dict[str, str] | None,
    gpus: int,
) -> None:
    """Render, train, score and measure all that a study asks for.

    What stands is not done again.

    What fails is noted in failures.jsonl and stops nothing but what needs it; the same command
    tries it again. Ctrl-C saves the trainings and stops with exit status 130; the same command
    continues. Exit status 1 if anything failed.
    """
    from asbench.grid import engines
    from asbench.study import open
    from asbench.types import Interrupted
    from cli import console
    from cli.main import INTERRUPTED
    from cli.stopping import Stopping

    opened = open(study, folder, store=store, runs=runs)
    stopping = Stopping("stopping when the trainings at hand are saved")
    with (
        engines.engine(workers=workers, scheduler=scheduler, slurm=slurm, gpus=gpus) as engine,
        console.progress(fleeting=True) as bars,
    ):
        try:
            with stopping:
                record = opened.run(
                    workers=engine,
                    retries=retries,
                    available=available,
                    progress=bars,
                    notify=console.say,
                    stop=stopping.asked,
                )
        except Interrupted as interrupted:
            click.echo(str(interrupted), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
    _show_record(record, opened.folder)
    console.next_step(
        console.command("asbench", "report", study=opened.folder, runs=runs, store=store)
    )
    if record.failed or (record.quality is not None and record.quality.failed):
        raise click.exceptions.Exit(1)


def _show_record(record: Record, place: Path) -> None:
    from asbench.study.record import FAILURES
    from cli import console

    heads = ("runs", "done", "failed", "left out")
    shown = console.table("part", *heads, right=heads)
    out = {one.cell for one in record.left_out}
    for part in dict.fromkeys(cell.part for cell in record.cells):
        own = [cell for cell in record.cells if cell.part == part]
        counts = [sum(cell in some for cell in own) for some in (record.runs, record.failed, out)]
        shown.add_row(part, str(len(own)), *map(str, counts))
    console.out.print(shown)
    quality = record.quality
    if quality is not None:
        console.say(f"quality: {len(quality.done)} of {len(quality.sets)} sets are measured")
    if record.failed or (quality is not None and quality.failed):
        console.say(f"\nfailed: {place / FAILURES} says why; the same command tries again")
    if quality is not None and quality.left_out:
        console.say("\nnot measured, for want of:")
        for reason in dict.fromkeys(quality.left_out.values()):
            console.say(f"  {reason}")
    if record.left_out:
        reasons = dict.fromkeys(reason for one in record.left_out for reason in one.reasons)
        console.say("\nleft out, for want of:")
        for reason in reasons:
            console.say(f"  {reason}")

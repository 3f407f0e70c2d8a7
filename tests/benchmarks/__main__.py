"""`make bench`: every benchmark, each against a baseline measured in the same run.

CPU milliseconds on one thread, but for `scaling`. The machine's own yardstick stands first: scale
by it, or better, quote the ratios.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.benchmarks import grid, metrics, scaling, stages, store, synthesizers

WIDTHS = (34, 10, 44, 10, 8)


def line(*cells: str) -> None:
    """Print one line of a table."""
    padded = [
        cell.ljust(w) if i in (0, 2) else cell.rjust(w)
        for i, (cell, w) in enumerate(zip(cells, WIDTHS, strict=False))
    ]
    print("  ".join([*padded, *cells[len(WIDTHS) :]]).rstrip(), flush=True)


def number(value: float | None, form: str = ".3f") -> str:
    """Format a figure; nothing for none."""
    return "" if value is None else format(value, form)


def compared(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows of one thing against another."""
    print(f"\n{title}")
    line("", "ms", "against", "ms", "ratio", "goal")
    for row in rows:
        times = number(row["ms"]), number(row["reference_ms"])
        line(
            row["what"],
            times[0],
            row["reference"],
            times[1],
            number(row["ratio"], ".2f"),
            row["goal"],
        )


def main() -> None:
    """Run what is named on the command line, or all."""
    every = ("synthesizers", "store", "stages", "scaling", "metrics", "grid")
    wanted = set(sys.argv[1:]) or set(every)
    if wanted - set(every):
        sys.exit(f"choose from {', '.join(every)}, not {', '.join(sorted(wanted - set(every)))}")
    if "synthesizers" in wanted:
        print("\nsynthesizers, ms a sample at 256x256, against plain reference implementations")
        line("", "ms", "", "reference", "ratio", "target on this core")
        for row in synthesizers.rows():
            line(
                row["what"],
                number(row["ms"]),
                "",
                number(row["reference_ms"]),
                number(row["ratio"], ".1f"),
                number(row["target_ms"]),
            )
    if "store" in wanted:
        compared("store, a sample of 256x256 (image and mask)", store.rows())
    if "stages" in wanted:
        compared("stages, CPU on one core", stages.rows())
    if "scaling" in wanted:
        compared(
            "two processes, end to end into the store, ms a sample by the clock", scaling.rows()
        )
    if "grid" in wanted:
        print("\ngrid: 200 jobs on two workers, wall clock; goal: dask >= 0.9 of independent ones")
        for row in grid.rows():
            extra = f"  {row['ratio']:.2f} of what two processes reach" if "ratio" in row else ""
            print(f"{row['what']:66} {row['ms']:8.2f} ms{extra}", flush=True)
    if "metrics" in wanted:
        print("\nmetrics: AUROC, AP and PRO of 200 maps of 256x256")
        for row in metrics.rows():
            extra = f"  {row['speedup']:.0f} times as fast" if "speedup" in row else ""
            print(f"{row['what']:50} {row['cpu_s']:8.2f} s  {row['added_peak_mb']:6.0f} MB{extra}")


if __name__ == "__main__":
    main()

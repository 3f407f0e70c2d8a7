"""`asbench predict`: score your own images and draw heat maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: every photograph of a folder, scores as a table
  asbench predict runs/0123456789ab ./photos --out predictions
"""


@click.command("predict", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.option(
    "--out", type=click.Path(path_type=Path), default="predictions", help="Folder of heat maps."
)
@options.device
def command(run: Path, images: tuple[Path, ...], out: Path, device: str | None) -> None:
    """Score IMAGES (files or folders) with a finished RUN; write heat maps, CSV and JSON.

    The threshold was chosen on synthetic anomalies kept out of training: no real defect is needed,
    and none was used.
    """
    from asbench.imaging.files import image_files, read_image, write_png
    from asbench.preview import heat

    from asbench import Trained
    from cli import console

    trained = Trained(run, device)
    files = image_files(images)
    threshold = trained.run.threshold
    rows = []
    with console.progress() as bars:
        for done, file in enumerate(files, 1):
            pixels = read_image(file)
            found = trained.predict(pixels)
            picture = out / f"{file.stem}.{trained.id}.png"
            write_png(picture, heat(pixels, found.map, threshold.value if threshold else None))
            rows.append(
                {
                    "image": str(file),
                    "score": found.score,
                    "anomalous": found.anomalous,
                    "heat_map": str(picture),
                }
            )
            bars("predicting", done, len(files))
    with (out / "predictions.csv").open("w", newline="") as opened:
        lines = csv.DictWriter(opened, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)
    (out / "predictions.json").write_text(json.dumps(rows, indent=1) + "\n")
    shown = console.table("image", "score", "verdict", right=("score",))
    for row in rows[:20]:
        verdict = {True: "anomalous", False: "normal", None: "no threshold"}[row["anomalous"]]  # type: ignore[index]
        shown.add_row(str(row["image"]), f"{row['score']:.4f}", verdict)
    console.out.print(shown)
    if len(rows) > 20:
        console.say(f"... and {len(rows) - 20} more in {out / 'predictions.csv'}")
    if threshold is not None:
        console.say(f"threshold {threshold.value:.4f}: {threshold.rule}")
    console.next_step(f"look at the heat maps in {out}")

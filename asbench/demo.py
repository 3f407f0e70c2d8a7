"""The whole path on drawn data: two synthesizers, a detector trained on each and on both."""

from __future__ import annotations

from pathlib import Path

from asbench.evaluation.trained import Trained
from asbench.generation.generate import generate
from asbench.progress import Progress, Watch, quiet, unwatched
from asbench.training.train import train

METHODS = ("draem", "fractal")
MIXES = ("draem", "fractal", "draem:0.5,fractal:0.5")
"""What is compared: two methods alone, and both."""
SIZE = 96
SAMPLES = 200
DETECTOR = "unet@tiny"
"""The quickest to train: a segmentation network alone, without DRAEM's reconstruction."""
STEPS = 150


def demo(
    folder: Path,
    *,
    category: str = "weave",
    steps: int = STEPS,
    progress: Progress = quiet,
    watch: Watch = unwatched,
) -> list[Trained]:
    """Render, train and score on one category of the demo data set, below `folder`.

    Returns one finished run per entry of MIXES, in its order; what stands there already is not
    done again. Nothing is downloaded and no GPU is needed: images are small, the network is
    reduced, and the numbers say how the parts work together, not how good any method is.
    """
    generate(
        "demo",
        METHODS,
        category=category,
        n=SAMPLES,
        size=SIZE,
        store=folder / "store",
        progress=progress,
    )
    return [
        train(
            "demo",
            mix,
            ratio=0.5,
            detector=DETECTOR,
            category=category,
            steps=steps,
            store=folder / "store",
            runs=folder / "runs",
            untrained=mix == MIXES[0],
            progress=progress,
            watch=watch,
        )
        for mix in MIXES
    ]

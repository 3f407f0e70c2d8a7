"""The whole path on drawn data: two synthesizers, a detector trained on each and on both."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from asbench.evaluation.trained import Trained
from asbench.generation.generate import generate
from asbench.progress import Progress, Watch, quiet, unwatched
from asbench.training.train import train

METHODS = ("draem", "fractal")
MIXES = ("draem", "fractal", "draem:0.5,fractal:0.5")
"""What is compared: two methods alone, and both."""
SIZE = 128
"""Of the images, as in the tutorial: single threads of the fabric can still be seen."""
SAMPLES = 200
DETECTOR = "memory"
"""The default. Its features come trained and are not trained here, so that few steps suffice, and
so that another processor's rounding moves a score a little instead of leading elsewhere."""
WITHOUT, REMEMBERED = "patchcore@lite0", 0.1
"""Nothing synthesized: a memory of the same features, a tenth of all patches, and no head. Of
images this small the usual hundredth is some hundred patches: a weak baseline, and not a steady
one. At ratio 0 DETECTOR would not do: its head has then seen no anomaly, and adds chance."""
STEPS = 100


def demo(
    folder: Path,
    *,
    category: str = "weave",
    steps: int = STEPS,
    progress: Progress = quiet,
    watch: Watch = unwatched,
) -> list[Trained]:
    """Render, train and score on one category of the demo data set, below `folder`.

    Returns finished runs: that on normals alone, then one per entry of MIXES, in its order; what
    stands there already is not done again. Nothing is downloaded and no GPU is needed.

    The category is `weave`, with which the tutorial goes on: a texture of which a newcomer can see
    single threads at 128x128, a size that takes two cores about a minute. Neither was chosen for
    its scores. One seed, one category and small images say how the parts work together, not
    how good any method is.
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
    run = partial(
        train,
        "demo",
        category=category,
        precision="fp32",  # on a GPU too, where bf16 is usual
        store=folder / "store",
        runs=folder / "runs",
        progress=progress,
        watch=watch,
    )
    without = run(ratio=0.0, detector=WITHOUT, settings={"coreset": REMEMBERED})
    return [without, *(run(mix, ratio=0.5, detector=DETECTOR, steps=steps) for mix in MIXES)]

"""What trackers are told of a run once it is done: its scores, and its gallery."""

from __future__ import annotations

import numpy as np

from asbench.evaluation.trained import Trained
from asbench.imaging.contact_sheet import heat
from asbench.results import read_gallery
from asbench.trackers import Loggers, numbers


def tell(log: Loggers, trained: Trained) -> None:
    """Tell trackers what a run scored, and how test images look beside their heat maps."""
    if not log.any:
        return
    step = trained.run.decides["steps"]
    told = numbers(trained.run.metrics)
    for category, of in (trained.run.by_category or {}).items():
        told |= {f"{category}/{name}": value for name, value in numbers(of.metrics).items()}
    log.metrics(step, told)
    gallery = read_gallery(trained.folder)
    shown = zip(gallery.ids, gallery.images, gallery.maps, strict=True)
    drawn = {name: np.hstack([im, heat(im, map_.astype(np.float32))]) for name, im, map_ in shown}
    log.images(step, drawn)

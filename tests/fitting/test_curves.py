"""The picture of a fit's losses."""

from __future__ import annotations

import cv2
import numpy as np

from asbench.fitting.curves import curves_png


def test_every_loss_has_a_panel_and_equal_curves_give_equal_bytes() -> None:
    curves = {f"both ways/{name}": [(s, 1 / (1 + s)) for s in range(0, 60, 2)] for name in "abcd"}
    drawn = curves_png(curves, "defectgan on demo/board")
    assert drawn == curves_png(curves, "defectgan on demo/board")
    picture = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    blue = (picture[..., 0] > picture[..., 2].astype(int) + 60).any(axis=0)
    assert blue[: len(blue) // 3].any()
    assert blue[2 * len(blue) // 3 :].any()


def test_one_step_is_drawn_too() -> None:
    assert curves_png({"crops/critic": [(0, 2.0)]}, "congan").startswith(b"\x89PNG")

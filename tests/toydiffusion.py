"""AnomalyDiffusion of an instant: its parameters, for tests of what is made of it."""

from __future__ import annotations

from typing import Any

ANOMALYDIFFUSION: dict[str, Any] = {
    "weights": "none",
    "side": 16,
    "coder_widths": (4, 4),
    "coder_layers": 1,
    "coder_steps": 1,
    "widths": (8, 8),
    "layers": 1,
    "attention": (2,),
    "heads": 2,
    "words": 8,
    "groups": 4,
    "prior_images": 4,
    "prior_steps": 2,
    "locator_width": 4,
    "locator_units": (1, 1, 1, 1),
    "images": 2,
    "steps": 2,
    "mask_images": 2,
    "mask_steps": 1,
    "masks": 3,
    "mask_tries": 1,
    "mask_walk": 2,
    "walk": 2,
    "mask_threshold": -0.1,
    "mask_border": 1.0,
    "area_low": 0.0,
    "area_high": 1.0,
    "batch": 4,
}
"""Networks of an instant, whose random masks are all taken."""

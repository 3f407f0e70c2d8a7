"""Learned methods of an instant: their parameters, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

REALNET: dict[str, Any] = {
    "weights": "none",
    "side": 16,
    "width": 8,
    "multipliers": (1, 2),
    "layers": 1,
    "attention": (),
    "groups": 4,
    "images": 4,
    "at_once": 3,
    "accumulate": 2,
    "lr": 1e-3,
    "average": 0.5,
    "cosine": True,
    "steps": 4,
    "walk": 3,
    "batch": 4,
}

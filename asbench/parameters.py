"""Parameters as fields of frozen dataclasses: each with a default and a sentence."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def parameter(default: Any, doc: str, *, rendering: bool = False) -> Any:
    """Return a dataclass field with its documentation: shown by `methods show` and in the docs.

    rendering: of a learned method, that fitting does not see it, so parameter sets that differ in
    it alone render from the same fit. All else decides what is fitted.
    """
    return field(default=default, metadata={"doc": doc, "rendering": rendering})

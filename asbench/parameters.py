"""Parameters as fields of frozen dataclasses: each with a default and a sentence."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def parameter(
    default: Any, doc: str, *, rendering: bool = False, hash: bool | None = None, **more: Any
) -> Any:
    """Return a dataclass field with its documentation: shown in help, by `methods show`, in docs.

    rendering: of a learned method, that fitting does not see it, so parameter sets that differ in
    it alone render from the same fit. All else decides what is fitted. hash: as of a dataclass's
    field. more: what else the field's readers go by; `asbench.settings` says what of settings.
    """
    return field(default=default, hash=hash, metadata={"doc": doc, "rendering": rendering, **more})

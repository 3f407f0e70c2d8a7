"""What a gallery's folder holds, and which sets it shows."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

from synth_store.types import StoreKey, UserError

GALLERY = "gallery"
"""The folder, unless another is named."""
MARKS = "excluded.txt"
"""The file of marks that a served gallery keeps."""
PAGES = ("index.html", "page.css", "page.js")
DATA = "data.js"
"""What the page knows of every sample."""
BEGIN = "const gallery = "
"""What stands before the JSON in it: a page opened from disk reads scripts, and no JSON."""
PARTS = ("dataset", "method", "seed", "category")


def shown_in(folder: Path) -> dict[str, str]:
    """Return by address the digest of every set that a gallery shows; empty where there is none.

    Raises UserError for a gallery that is damaged.
    """
    path = folder / DATA
    if not (folder / PAGES[0]).is_file() or not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text().removeprefix(BEGIN).rstrip(";\n"))
        return {"/".join(str(one[p]) for p in PARTS): one["stored"] for one in told["sets"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): `asbench browse --out {folder}` writes it anew."
        ) from error


def view_of(key: StoreKey, category: str) -> str:
    """Return what stands behind a page's address to show one set alone."""
    said = (key.dataset, key.method, key.seed, category)
    return f"#{urlencode(dict(zip(PARTS, said, strict=True)))}"

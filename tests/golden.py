"""Golden digests of every hand-crafted method: what a release promises to reproduce.

`python -m tests.golden` (make golden) rewrites tests/golden/synthesizers.json. A digest that
changed is only rewritten once the method's `pixel_version` rose, since sets in people's stores name
that version; `--new-libraries` also lets those through that another numpy or OpenCV changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asbench.synthesizers import resolve
from asbench.testing import digest, draw, material
from asbench.testing.synthesizers import hand_crafted

FILE = Path(__file__).parent / "golden" / "synthesizers.json"
LIBRARIES = {"numpy": np.__version__, "opencv": cv2.__version__}
SAMPLES = 3


def current(name: str) -> dict[str, Any]:
    """Return the entry of one method: pixel version, digest, and the libraries that made it."""
    method = resolve(name, dataset="testing", category="texture")
    samples = [
        sample
        for height, width, kind in ((64, 64, "texture"), (96, 160, "object"))
        for sample in draw(method, material(height, width, kind), SAMPLES)
    ]
    return {
        "pixel_version": method.pixel_version,
        "digest": digest(samples),
        "libraries": LIBRARIES,
    }


def stored() -> dict[str, dict[str, Any]]:
    """Return the entries on file."""
    entries: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return entries


def refusal(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], new_libraries: bool = False
) -> str:
    """Say why an entry may not be rewritten; empty if it may."""
    if old["digest"] == new["digest"] or new["pixel_version"] > old["pixel_version"]:
        return ""
    if old["libraries"] != new["libraries"]:
        made = f"the digest was made with {old['libraries']}, this is {new['libraries']}"
        if new_libraries:
            return ""
        return f"{name}: {made}; if they alone changed the pixels, pass --new-libraries."
    return (
        f"{name}: its pixels changed, but pixel_version is still {new['pixel_version']}: raise it "
        "in the method's class, run `make golden`, and say why in the commit."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="rewrite the golden digests")
    parser.add_argument("--new-libraries", action="store_true")
    new_libraries = parser.parse_args().new_libraries
    old = stored() if FILE.exists() else {}
    new = {name: current(name) for name in hand_crafted()}
    both = old.keys() & new.keys()
    refusals = [refusal(name, old[name], new[name], new_libraries) for name in sorted(both)]
    if any(refusals):
        sys.exit("\n".join(filter(None, refusals)))
    # An entry whose digest stands keeps the libraries that first made it.
    kept = {
        name: old[name] if name in both and _same(old[name], entry) else entry
        for name, entry in new.items()
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all(old[key] == new[key] for key in ("digest", "pixel_version"))


if __name__ == "__main__":
    main()

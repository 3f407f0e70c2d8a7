"""Make the fixture that freezes the store's format: `python -m tests.synth_store.make_fixture`.

Writes `fixture/v<format version>/`: a small store with normals and foregrounds, a residual set, a
set that was grown over two shards, and a generated set with its own clean images; beside it
`fixture.json`, what a reader must find. Every later release must read every fixture, so none is
ever changed: the script refuses to overwrite one. A new format version is added beside the old.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from synth_store import StoreKey, SynthStore
from synth_store.metadata import VERSION
from tests.synth_store.making import CATEGORY, SMALL, generate

FOLDER = Path(__file__).parent / "fixture"
RESIDUAL = StoreKey("toy", "boxes", 0)
GROWN = StoreKey("toy", "boxes@grown", 3)
GENERATED = StoreKey("toy", "dreams", 0)
PLACES = ((0, 0), (5, 9), (31, 31))


def found(store: SynthStore) -> dict[str, Any]:
    """Return what this code reads from a fixture: digests, and a few pixels for human eyes."""
    normals = store.normals(RESIDUAL.dataset, CATEGORY)
    report: dict[str, Any] = {
        "normals": {
            "digest": normals.digest,
            "foreground_digest": normals.attributes["foreground_digest"],
            "ids": list(normals.ids),
            "pixels": [normals[0][place].tolist() for place in PLACES],
        }
    }
    for key in (RESIDUAL, GROWN, GENERATED):
        stored = store.read(key, CATEGORY)
        images, masks, cleans = (hashlib.sha256() for _ in range(3))
        for sample in stored:
            assert sample.clean is not None
            images.update(sample.image.tobytes())
            masks.update(sample.mask.tobytes())
            cleans.update(sample.clean.tobytes())
        last = stored[stored.count - 1]
        inside = tuple(int(i[0]) for i in last.mask.nonzero())
        report[str(key)] = {
            "digest": stored.digest,
            "images": images.hexdigest(),
            "masks": masks.hexdigest(),
            "cleans": cleans.hexdigest(),
            "source": stored.source.tolist(),
            "pixels": {str(list(place)): last.image[place].tolist() for place in (*PLACES, inside)},
        }
    return report


def main(folder: Path) -> None:
    """Make the store and its report in `folder`, which must not exist."""
    if folder.exists():
        sys.exit(
            f"{folder} stands: a fixture is never changed, or it would freeze nothing. "
            "Raise the format's VERSION, and its fixture is made beside this one."
        )
    store = SynthStore.create(folder / "store", SMALL)
    generate(store, 6, key=RESIDUAL, shard=8)
    generate(store, 3, key=GROWN, shard=4)
    generate(store, 7, key=GROWN, shard=4)
    generate(store, 3, key=GENERATED, shard=8, generated=True)
    (folder / "fixture.json").write_text(json.dumps(found(store), indent=1) + "\n")


if __name__ == "__main__":
    main(FOLDER / f"v{VERSION}")

"""The card of an export: what it holds, whose pixels they are, and what remakes it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from asbench.data.fetch import source_of
from asbench.data.set_record import record_of
from asbench.generation.formats.content import Content, Written
from asbench.mend import regenerate_command
from synth_store import Geometry, StoredSet, SynthStore, UserError

FRONT = {
    "parquet": """\
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
"""
}
"""What a format's readers want at the head of the card, beside licence and tags."""


def card(content: Content, form: str, written: Written, front: str) -> str:
    """Return the text of `README.md`."""
    normals, sets = content.normals, content.sets
    height, width = normals.image.shape[:2]
    rows = [
        f"| `{one.key}/{one.category}` | {one.count} | {_made_by(one)} | `{str(one.digest)[:12]}` |"
        for one in sets
    ]
    licence = licence_of(content.dataset)
    lines = [
        "---",
        "license: other",
        f"pretty_name: {content.dataset}/{content.category}, synthetic anomalies",
        "tags: [anomaly-detection, synthetic]",
        *front.splitlines(),
        "---",
        "",
        f"# {content.dataset}/{content.category}: synthetic anomalies",
        "",
        f"{len(normals)} normal images and {len(content) - len(normals)} with a synthetic anomaly, "
        f"{width} x {height} pixels, written by ASBench as {form}. The anomalies are synthetic: "
        "what is measured on them says nothing of real defects.",
        "",
        "| set | samples | method and parameters | digest |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Classes: {', '.join(content.names)}. {written.masks}",
        "",
        "```python",
        written.reading,
        "```",
        "",
        "## Licence",
        "",
        licence,
        "",
        "## Making it again",
        "",
        "```bash",
        *(_remade(one) for one in sets),
        f"asbench store export {' '.join(str(one.key) for one in sets)} "
        f"--category {content.category} --format {form}"
        + (" --classes one" if content.classes == "one" else "")
        + " --out OUT",
        "```",
        "",
        f"The normals' digest is `{normals.digest[:12]}`: other photographs make another set.",
        "",
    ]
    return "\n".join(lines)


def licence_of(dataset: str) -> str:
    """Say under which licence the photographs of a data set are, as far as ASBench knows."""
    if dataset.partition("@")[0] in ("demo", "procedural"):
        return "The normals are drawn by ASBench (Apache-2.0) and show no photograph."
    try:
        source = source_of(dataset)
    except UserError:
        return (
            f"The normals are of the data set `{dataset}`, whose licence ASBench does not know: "
            "ask whoever took the photographs before you give this to anyone."
        )
    return (
        f"The normals are of `{dataset}` ({source.page}), under {source.licence}. What is made "
        "from them, as all images here, is bound by that."
    )


def _made_by(stored: StoredSet) -> str:
    given = stored.attributes.get("parameters") or {}
    said = ", ".join(f"{name}={value}" for name, value in sorted(given.items()))
    release = record_of(stored).asbench
    return f"{stored.key.method}({said})" + f", ASBench {release}" * bool(release)


def _remade(stored: StoredSet) -> str:
    """Return the command that makes a set in a new store.

    Of a folder of one's own the last part of its path: where else it lies is nobody's business.
    """
    store = SynthStore.open(stored.folder.parent.parent.parent.parent)
    origin = [Path(word).name if os.path.isabs(word) else word for word in record_of(stored).origin]
    line = regenerate_command(store, stored.key, stored.category, origin or None)
    line = line.partition(" && ")[0].replace(f" --store {shlex.quote(str(store.root))}", "", 1)
    made, plain = store.geometry, Geometry()
    if (made.height, made.width) != (plain.height, plain.width):
        line += f" --size {made.width}x{made.height}"
    if made.resize != plain.resize:
        line += f" --resize {made.resize}"
    return line + (f" --scale {made.scale:g} --overlap {made.overlap}" if made.tiled else "")

"""WebDataset: tar files whose members of one stem are one entry.

`NAME.png` is the image, `NAME.mask.png` its mask, `NAME.clean.png` the clean image where a method
made its own, `NAME.cls` the class's number (0 is good) and `NAME.json` what else is known.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from asbench.generation.formats.content import Content, Counted, Entry, Written, png
from asbench.types import GOOD
from synth_store.normals import batched

PER_FILE = 1000
"""Entries of a file: some 100 MB at 256 x 256."""


def write(content: Content, folder: Path, progress: Counted | None = None) -> Written:
    """Write a category's content as `<category>-*.tar`, byte for byte alike each time."""
    names, files = [GOOD, *content.names], 0
    for entries in batched(content.counted(progress), PER_FILE):
        with tarfile.open(folder / f"{content.category}-{files:06d}.tar", "w") as archive:
            for entry in entries:
                for ending, data in _members(entry, names):
                    # no date and no owner: what is written decides the bytes
                    member = tarfile.TarInfo(f"{entry.name}.{ending}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        files += 1
    shards = f"{content.category}-{{000000..{files - 1:06d}}}.tar"
    return Written(
        "Beside each image `NAME.png` its mask is `NAME.mask.png` (0 and 255) and its class "
        f"`NAME.cls` ({', '.join(f'{n}: {name}' for n, name in enumerate(names))}); they are the "
        "stored pixels exactly.",
        f"""import webdataset

rows = webdataset.WebDataset("{shards}", shardshuffle=False).decode("pil")
rows = rows.to_tuple("png", "mask.png", "cls")""",
        (f"{len(content)} entries in {files} tar file{'s' * (files > 1)}",),
    )


def _members(entry: Entry, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield what stands in the archive of an entry: endings and bytes."""
    yield "png", png(entry.image)
    yield "mask.png", png(entry.mask)
    if entry.clean is not None:
        yield "clean.png", png(entry.clean)
    yield "cls", str(names.index(entry.kind)).encode("ascii")
    known = dict(
        kind=entry.kind,
        method=entry.method,
        seed=entry.seed,
        index=entry.index,
        source=entry.source,
    )
    yield "json", json.dumps(known).encode("ascii")

"""Parquet as Hugging Face's `datasets` loads it: images and masks as PNG inside, a row an entry.

The kinds of the columns (image, class label) stand in the files' own metadata, so that
`load_dataset` decodes them without being told.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from asbench.generation.formats.content import Content, Counted, Entry, Written, missing, png
from asbench.types import GOOD
from synth_store.normals import batched

PER_FILE = 2000
"""Rows of a file: some 200 MB at 256 x 256."""
PER_GROUP = 100
"""Rows that a reader decodes at once, as the Hub's viewer asks for."""
READING = """from datasets import load_dataset

rows = load_dataset("parquet", data_files="data/*.parquet", split="train")
rows[-1]["image"], rows[-1]["mask"]  # Pillow images"""


def write(content: Content, folder: Path, progress: Counted | None = None) -> Written:
    """Write a category's content as `data/train-*.parquet`; raises UserError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing("pyarrow", "parquet") from error
    names = [GOOD, *content.names]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": (image, {"_type": "Image"}),
        "mask": (image, {"_type": "Image"}),
        "clean": (image, {"_type": "Image"}),
        "label": (pa.int64(), {"names": names, "_type": "ClassLabel"}),
        "method": (pa.string(), {"dtype": "string", "_type": "Value"}),
        "seed": (pa.int64(), {"dtype": "int64", "_type": "Value"}),
        "index": (pa.int64(), {"dtype": "int64", "_type": "Value"}),
        "source": (pa.string(), {"dtype": "string", "_type": "Value"}),
    }
    features = {"info": {"features": {name: kind for name, (_, kind) in columns.items()}}}
    schema = pa.schema(
        [(name, held) for name, (held, _) in columns.items()],
        metadata={"huggingface": json.dumps(features)},
    )
    (folder / "data").mkdir()
    files = math.ceil(len(content) / PER_FILE)
    entries = batched(content.counted(progress), PER_GROUP)
    for number in range(files):
        path = folder / "data" / f"train-{number:05d}-of-{files:05d}.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            for _ in range(PER_FILE // PER_GROUP):
                if group := next(entries, None):
                    rows = [_row(entry, names) for entry in group]
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return Written(
        "The columns `image`, `mask` (0 and 255) and, where a method made its own background, "
        "`clean` are PNG files; they are the stored pixels exactly.",
        READING,
        (f"{len(content)} rows in {files} file{'s' * (files > 1)}",),
    )


def _row(entry: Entry, names: list[str]) -> dict[str, Any]:
    def held(name: str, content: bytes) -> dict[str, Any]:
        return {"bytes": content, "path": f"{entry.name}{name}.png"}

    return {
        "image": held("", png(entry.image)),
        "mask": held("_mask", png(entry.mask)),
        "clean": None if entry.clean is None else held("_clean", png(entry.clean)),
        "label": names.index(entry.kind),
        "method": entry.method,
        "seed": entry.seed,
        "index": entry.index,
        "source": entry.source,
    }

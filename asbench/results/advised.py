"""What was last advised for a category: a record beside the store that its features are in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asbench.files.documents import Number, RecordFile
from asbench.types import Dataset
from synth_store import Mix, SynthStore, UserError

SCHEMA = 1
ADVISED = "advised"
"""In place of a mix: what was last advised for the category."""

Row = Sequence[Number]


@dataclass(frozen=True, kw_only=True)
class Advised:
    """The contents of `advice.json`.

    origin: the words that name the data set on the command line; normals: digest of the
    category's photographs in the store; mix: shares by method; rule: by which it was chosen;
    detector, ratio, steps: as they were tried; n: samples rendered of every method; trials:
    seeds; taught, kept: how many photographs taught and how many judged; photographs: what they
    are, sentence by sentence; methods: all that were tried, the order of what follows; cross,
    outline: by the row's detector on the column's samples, image AUROC and average precision
    over places; finds, heads, outlines: how much higher each row is, heads those of the heads
    alone, without the memory; alike: how much each head ranks images as the others do; spread:
    of `heads`, the standard deviation over the trials, NaN for one; agreement, memory, unusual:
    as `asbench.advising.evidence.Evidence` has them; expected: image AUROC of the detector
    trained on the mixture, as long as the others, on each method's samples; others: what other
    rules would have chosen; untried: why methods were not tried, by name; seconds: of the
    whole.

    defects: how many real ones chose too; few_shot: the ids of those that are of the data set's own
    few-shot third; scored: how many more were left out, for runs are scored on them; seen: image
    AUROC of each method's detector on the defects; seen_outlines: its average precision over their
    places, empty without masks; blind: the mixture without them.
    """

    dataset: str
    category: str
    origin: Sequence[str]
    geometry: str
    normals: str
    mix: Mapping[str, Number]
    rule: str
    reason: str
    detector: str
    ratio: Number
    steps: int
    quick: bool
    n: int
    trials: int
    taught: int
    kept: int
    textures: str
    photographs: Sequence[str]
    methods: Sequence[str]
    cross: Sequence[Row]
    outline: Sequence[Row]
    finds: Row
    heads: Row
    spread: Row
    alike: Row
    outlines: Row
    agreement: Row
    memory: Row
    unusual: Row
    expected: Row
    others: Mapping[str, Mapping[str, Number]]
    untried: Mapping[str, str]
    seconds: Number
    created: str
    defects: int = 0
    few_shot: Sequence[str] = ()
    scored: int = 0
    seen: Row = ()
    seen_outlines: Row = ()
    blind: Mapping[str, Number] = field(default_factory=dict)

    @property
    def mixture(self) -> Mix:
        """The mixture, exact."""
        return Mix.of(self.mix)


FILE = RecordFile(Advised, "advice.json", SCHEMA, "run `asbench advise` again", ascii_only=True)
PAGE, STUDY = "advice.html", "study.yaml"


def folder_of(store: Path | str, dataset: str, category: str) -> Path:
    """Return where the advice on a category stands: in a folder beside the store.

    Raises UserError for a store that is no folder of this machine.
    """
    if "://" in str(store):
        raise UserError(
            f"the store {store} is not a folder of this machine, and advice stands beside the "
            "store: use a local one."
        )
    root = Path(store)
    return root.with_name(f"{root.name}-advice") / dataset / category


def advised_for(store: SynthStore, data: Dataset, category: str, origin: Sequence[str]) -> Advised:
    """Return what was last advised for a category.

    origin: the words that name the data set on the command line. Raises UserError where nothing
    was, where the photographs are others now, and where a defect that chose is now one to be held
    out.
    """
    dataset = data.name
    line = ["asbench", "advise", *origin[1:], "--category", category, "--store", str(store.root)]
    folder = folder_of(str(store.root), dataset, category)
    if not (folder / FILE.name).exists():
        raise UserError(
            f"nothing was advised for {dataset}/{category} yet (looked in {folder}): run "
            f"`{shlex.join(line)}`, or name a mix."
        )
    advised = FILE.read(folder)
    there = store.has_normals(dataset, category)
    if not there or store.normals(dataset, category).digest != advised.normals:
        raise UserError(
            f"the photographs of {dataset}/{category} in {store.root} are not those that "
            f"{folder / FILE.name} was advised for: run `{shlex.join(line)}` again."
        )
    allowed = {item.id for item in data.test(category) if item.few_shot}
    if other := [one for one in advised.few_shot if one not in allowed]:
        raise UserError(
            f"{folder / FILE.name}: {len(other)} of the defects that chose are not of the few-shot "
            f"third of {dataset}/{category} now ({other[0]} first): the data set has changed, and "
            f"they would be scored. Run `{shlex.join(line)} --defects FOLDER` again."
        )
    return advised

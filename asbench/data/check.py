"""What a data set holds and which of its files cannot be used: every file is read once."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from asbench.data.defect_sizes import Advice, Sizes, advise, breadths, finer
from asbench.data.objects import objects_said
from asbench.data.published import Counts, Measured, differences
from asbench.data.unread import left_over
from asbench.datasets import open_dataset
from asbench.datasets._beside import part_of, parts_of
from asbench.datasets.annotated import Annotated
from asbench.datasets.folder import Folder
from asbench.datasets.table import Table
from asbench.files.images import FileError, read_header, read_turn
from asbench.files.masks import CODES, read_marked
from asbench.files.names import shown
from asbench.files.saturated import SaturatedDataset
from asbench.files.saturation import Saturation, saturation_of
from asbench.settings import AUTO
from asbench.types import Dataset, Item
from synth_store.types import Geometry, UserError

_EXAMPLES = 3


@runtime_checkable
class OnDisk(Protocol):
    """A data set of image files."""

    root: Path

    def image_path(self, item: Item) -> Path:
        """Return the item's image file."""

    def mask_path(self, item: Item) -> Path | None:
        """Return the item's mask file, if there is one."""

    def mask_paths(self, item: Item) -> tuple[Path, ...]:
        """Return the files of all parts of the item's mask."""


@dataclass(frozen=True)
class Problem:
    """One file and what is wrong with it. `unusable` stops work; a `warning` does not."""

    path: str
    severity: Literal["unusable", "warning"]
    reason: str


@dataclass(frozen=True)
class Defects:
    """Images of one defect type, and how many of them have a mask that can be used.

    empty: the mask marks nothing; missing: there is none; unusable: mask or image cannot be read.
    """

    images: int
    masks: int
    empty: int
    missing: int
    unusable: int


@dataclass(frozen=True)
class CategoryReport:
    """Counts of one category. Heights and widths are (smallest, largest) in pixels.

    objects: on how many of the normals an object was found, and how large it is, in words; empty
    without normals that can be read. smallest: what the geometry keeps of the smallest defects,
    None where none has a mask and none was said. finer: whether a larger store is offered, since
    all photographs show clearly more than the geometry keeps. saturations: kinds of defects of
    which a part is enough to be found, as MVTec LOCO says.
    modes: images by Pillow's mode (`RGB`, `L`, `P`, `1`). Sizes and modes are of the images that
    could be read; the sizes are None where none could.
    """

    category: str
    train: int
    test_normal: int
    defects: Mapping[str, Defects]
    heights: tuple[int, int] | None
    widths: tuple[int, int] | None
    modes: Mapping[str, int]
    objects: str = ""
    smallest: Advice | None = None
    finer: bool = False
    saturations: int = 0

    @property
    def anomalous(self) -> int:
        """Test images of any defect."""
        return sum(defect.images for defect in self.defects.values())

    @property
    def masks(self) -> int:
        """Those of them that have a mask that can be used."""
        return sum(defect.masks for defect in self.defects.values())

    @property
    def unscored(self) -> str:
        """What of the category cannot be scored, as a sentence; empty where all can."""
        if not self.test_normal + self.anomalous:
            return "has no test images: a detector trains and finds a threshold, unscored."
        if not self.anomalous:
            return "has no anomalous test images: a detector trains, and nothing can be scored."
        if not self.test_normal:
            return "has no normal test images: no AUROC can be computed. Put some in test/good."
        if not self.masks:
            return "has no usable masks: image metrics alone can be computed, none of pixels."
        return ""


@dataclass(frozen=True)
class Report:
    """What `check` found. `recognised` says in words how the data set was read.

    differences: from the benchmark's Table 3, a sentence each; None where it has no such row.
    """

    dataset: str
    root: str | None
    recognised: str
    categories: tuple[CategoryReport, ...]
    problems: tuple[Problem, ...]
    differences: tuple[str, ...] | None

    @property
    def finer(self) -> bool:
        """Whether a larger store is offered, for every category that could be read."""
        read = [one for one in self.categories if one.heights is not None]
        return bool(read) and all(one.finer for one in read)

    @property
    def folded(self) -> tuple[str, ...]:
        """The problems as lines: each unusable file, and of warnings of one kind three examples.

        Of one kind are those that differ in names and numbers alone.
        """
        kinds: dict[tuple[str, ...], list[Problem]] = defaultdict(list)
        for p in self.problems:
            words = (w for w in p.reason.split() if not re.search(r"[\d/\\]|\.\w", w))
            kinds[(p.path,) if p.severity == "unusable" else tuple(words)].append(p)
        lines: list[str] = []
        for problems in kinds.values():
            lines += [f"{p.severity}: {p.path}: {p.reason}" for p in problems[:_EXAMPLES]]
            if len(problems) > _EXAMPLES:
                lines.append(f"  ... {len(problems)} files in all: {problems[0].reason}")
        return tuple(lines)

    @property
    def unusable(self) -> int:
        """How many files cannot be used; warnings do not count."""
        return sum(p.severity == "unusable" for p in self.problems)

    @property
    def usable(self) -> bool:
        """Whether every file can be used."""
        return not self.unusable


def check(
    path_or_name: str | Path,
    *,
    name: str | None = None,
    geometry: Geometry | None = None,
    smallest_defect: float | None = None,
    object: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every file of a data set and say what it holds and what is wrong with it.

    `path_or_name` and `name` as for `open_dataset`; `progress(done, total)` counts images. Defects
    are measured for a store of `geometry` (None: 256x256, stretched), or are as small as
    `smallest_defect` pixels. `object`: where the object is, as for `generate`.
    Problems of single files are in the report; raises UserError only where no data set is
    recognised.
    """
    dataset = open_dataset(path_or_name, name=name)
    items = [item for c in dataset.categories() for item in dataset.items(c)]
    readers = [part_of(dataset, item.category) for item in items]
    findings: list[_Finding] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding holds no lock of Python's
        for done, finding in enumerate(pool.map(_inspect, readers, items), start=1):
            findings.append(finding)
            if progress:
                progress(done, len(items))
    problems = [p for f in findings for p in f.problems]
    problems += _leaks(findings)
    left = left_over(dataset)
    problems += [Problem(shown(path), "warning", reason) for path, reason in left]
    summaries = tuple(
        _summary(
            dataset,
            [f for f in findings if f.item.category == c],
            c,
            geometry or Geometry(),
            smallest_defect,
            object or AUTO,
        )
        for c in dataset.categories()
    )
    return Report(
        dataset=dataset.name,
        root=str(dataset.root) if isinstance(dataset, OnDisk) else None,
        recognised="; ".join(map(_recognised, parts_of(dataset))),
        categories=summaries,
        problems=tuple(sorted(problems, key=lambda p: (p.severity, p.path, p.reason))),
        differences=differences(dataset.name, {c.category: _measured(c) for c in summaries}),
    )


class _Finding(NamedTuple):
    """What reading one item showed; no size and no digest where the image cannot be read."""

    item: Item
    path: str
    size: tuple[int, int] | None
    mode: str | None
    digest: bytes | None
    mask: Literal["none", "masks", "empty", "missing", "unusable"]
    problems: tuple[Problem, ...]
    breadths: tuple[float, ...] = ()


def _inspect(dataset: Dataset, item: Item) -> _Finding:
    """Read one image, and its mask if it is anomalous."""
    on_disk = dataset if isinstance(dataset, OnDisk) else None
    file = on_disk.image_path(item) if on_disk else None
    path = shown(file) if file else f"{item.category}/{item.id}"
    problems: list[Problem] = []
    mask: Literal["none", "masks", "empty", "missing", "unusable"] = "none"
    across: tuple[float, ...] = ()
    try:
        image = dataset.image(item)
    except UserError as error:
        refused = (_problem(error, path),)
        return _Finding(item, path, None, None, None, "unusable" if item.label else "none", refused)
    if file and read_turn(file) is not None:
        reason = "is turned as its camera noted (EXIF), and its mask with it."
        problems.append(Problem(path, "warning", reason))
    if item.label:
        parts = on_disk.mask_paths(item) if on_disk else ()
        where = shown(parts[0]) if parts else path
        try:
            marked = dataset.mask(item)
        except UserError as error:
            mask = "unusable"
            problems.append(_problem(error, where))
        else:
            mask = "masks" if marked is not None and marked.any() else "missing"
            across = () if marked is None else breadths(marked)
            if mask == "missing" and (parts or marked is not None):
                mask = "empty"
                reason = "marks nothing: its image counts as anomalous, its pixels are not scored."
                problems.append(Problem(where, "warning", reason))
            if isinstance(dataset, Folder | Table):
                codes = [(shown(part), read_marked(part).code) for part in parts]
                problems += [Problem(p, "warning", CODES[c]) for p, c in codes if c in CODES]
                if isinstance(dataset, SaturatedDataset) and (
                    known := dataset.saturations(item.category)
                ):
                    problems += _unsaturated(parts, known)
                if marked is not None and marked.all():
                    problems.append(Problem(where, "warning", "marks the whole image."))
    digest = hashlib.blake2b(image.tobytes(), digest_size=16)
    digest.update(str(image.shape).encode())
    mode = read_header(file).mode if file else "RGB"
    height, width = image.shape[:2]
    size = height, width
    return _Finding(item, path, size, mode, digest.digest(), mask, tuple(problems), across)


def _unsaturated(parts: Iterable[Path], known: Sequence[Saturation]) -> list[Problem]:
    """Name each mask whose level no kind of defect has: how much of it to find is not known."""
    problems = []
    for part in parts:
        try:
            saturation_of(part, known)
        except FileError as error:
            problems.append(Problem(shown(part), "warning", error.reason))
    return problems


def _problem(error: UserError, path: str) -> Problem:
    if isinstance(error, FileError):
        return Problem(shown(error.path), "unusable", error.reason)
    return Problem(path, "unusable", str(error))


def _leaks(findings: Iterable[_Finding]) -> list[Problem]:
    """Name each test image whose pixels also stand in the training split."""
    train: dict[bytes, str] = {}
    test: dict[bytes, list[str]] = defaultdict(list)
    for f in findings:
        if f.digest and f.item.split == "train":
            train.setdefault(f.digest, f.path)
        elif f.digest:
            test[f.digest].append(f.path)
    return [
        Problem(path, "warning", f"has the pixels of {train[digest]}: train leaks into test.")
        for digest, paths in test.items()
        if digest in train
        for path in paths
    ]


def _summary(
    dataset: Dataset,
    findings: list[_Finding],
    category: str,
    geometry: Geometry,
    smallest: float | None,
    rule: str,
) -> CategoryReport:
    sizes = [f.size for f in findings if f.size]
    measured = [(b, f.size) for f in findings if f.size for b in f.breadths]
    across = Sizes([b for b, _ in measured], [size for _, size in measured])
    heights, widths = ([s[axis] for s in sizes] for axis in (0, 1))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for f in findings:
        if f.item.label:
            counts[f.item.defect][f.mask] += 1
    normals = [f.item for f in findings if f.item.split == "train" and f.size]
    advised = advise(across, sizes, geometry, smallest)
    return CategoryReport(
        category=category,
        train=sum(f.item.split == "train" for f in findings),
        test_normal=sum(f.item.split == "test" and not f.item.label for f in findings),
        defects={
            defect: Defects(n.total(), n["masks"], n["empty"], n["missing"], n["unusable"])
            for defect, n in sorted(counts.items())
        },
        heights=(min(heights), max(heights)) if sizes else None,
        widths=(min(widths), max(widths)) if sizes else None,
        modes=dict(sorted(Counter(f.mode for f in findings if f.mode).items())),
        objects=objects_said(dataset, normals, rule) if normals else "",
        smallest=advised,
        finer=finer(sizes, geometry, advised),
        saturations=len(dataset.saturations(category))
        if isinstance(dataset, SaturatedDataset)
        else 0,
    )


def _measured(report: CategoryReport) -> Measured:
    """Return a category's counts, and the smallest and largest side of its images."""
    counts = Counts(report.train, report.test_normal, report.anomalous)
    sides = [*(report.heights or ()), *(report.widths or ())]
    return Measured(counts, (min(sides), max(sides)) if sides else None)


def _recognised(dataset: Dataset) -> str:
    """Say how the data set was read, and which folders told."""
    if isinstance(dataset, Annotated):
        return "; ".join(f"{c}: {dataset.described(c)}" for c in dataset.categories())
    if isinstance(dataset, Table):
        return dataset.described
    if not isinstance(dataset, Folder):
        doc = type(dataset).__doc__ or type(dataset).__name__
        return doc.strip().splitlines()[0]
    groups = defaultdict(list)
    for c in dataset.layout.categories:
        groups[c.layout].append(c.name)
    below = any(c.folder != dataset.root for c in dataset.layout.categories)
    words = [f"{', '.join(names)}: {layout}" for layout, names in groups.items()]
    return f"{'categories in sub-folders' if below else 'one category'}; {'; '.join(words)}"

"""Which file is the mask of which image, told from folders and names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from asbench.files.names import composed, shown
from synth_store.types import UserError

MASK_FOLDERS = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
IMAGE_FOLDERS = frozenset({"rgb", "image", "images", "img", "imgs"})
"""Folders inside a class that say of what kind its files are, and nothing else."""
_NAME = re.compile(
    r"(?P<before>.+)[-_. ](?:mask|gt|label|ground[-_ ]?truth|annotation)"
    r"|(?:mask|gt|label|ground[-_ ]?truth|annotation)[-_. ](?P<after>.+)",
    re.IGNORECASE | re.DOTALL,
)


def marked_stem(stem: str) -> str | None:
    """Return the stem of the image that a mask's stem names; None if it is no mask's.

    `X_mask`, `X-GT`, `X_label`, `mask_X` and the like, in any letter case, give `X`.
    """
    match = _NAME.fullmatch(stem)
    return None if match is None else match["before"] or match["after"]


def _counted(stem: str) -> str:
    """Return an image's stem without the word `image` or `img` that numbered files begin with."""
    return re.sub(r"^(?:image|img)[-_. ](?=.)", "", stem, flags=re.IGNORECASE)


class Masks:
    """The mask files of a category, found by defect type, sub-folder and stem.

    Names are compared in Unicode's form C; folders that say `rgb` or `gt` are passed over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_key: dict[tuple[tuple[str, ...], str], list[PurePosixPath]] = defaultdict(list)
        self._by_place: dict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
        self._unclaimed: dict[PurePosixPath, None] = {}

    def add(self, path: PurePosixPath, depth: int) -> None:
        """Take in a file of a mask folder; the parts from `depth` on are defect and sub-folders."""
        place = _place(path.parts[depth:-1])
        self._put(place, path, {path.stem, marked_stem(path.stem) or path.stem})
        self._by_place[place].append(path)
        self._unclaimed[path] = None

    def add_beside(self, path: PurePosixPath, stem: str) -> None:
        """Take in a mask that lies beside its image, whose stem is `stem`."""
        self._put(("beside", *path.parts[:-1]), path, {stem})

    def _put(self, place: tuple[str, ...], path: PurePosixPath, stems: Iterable[str]) -> None:
        for stem in stems:
            self._by_key[place, composed(stem)].append(path)

    def claim(self, image: PurePosixPath, depth: int, alone: bool) -> tuple[str, ...]:
        """Return the masks of an image of a type; `alone`: its type is the only one.

        Several where they lie in a folder of the image's stem: they are parts of one.
        Raises UserError where several files may be its mask.
        """
        parts = image.parts[depth - 1 : -1]
        places = [_place(parts), ("beside", *image.parts[:-1])] + [_place(parts)[1:]] * alone
        stem = composed(image.stem)
        masks: list[PurePosixPath] = []
        for name in dict.fromkeys((stem, _counted(stem))):
            masks = masks or [m for place in places for m in self._by_key.get((place, name), ())]
        folders = [(*place, stem.lower()) for place in places]
        # scratch/scratch.png: the folder of its stem is that of all its type
        inside = [m for f in folders if f != places[0] for m in self._by_place.get(f, ())]
        if len(masks) > 1 or (masks and inside):
            listed = sorted({*masks, *inside})
            raise UserError(
                f"{shown(self._folder / image)} has {len(listed)} masks: "
                f"{', '.join(map(shown, listed))}. Keep one."
            )
        for path in masks + inside:
            self._unclaimed.pop(path, None)
        return tuple(path.as_posix() for path in masks or sorted(inside))

    def unclaimed(self) -> list[PurePosixPath]:
        """Return the files of mask folders that belong to no image."""
        return list(self._unclaimed)


def _place(parts: Iterable[str]) -> tuple[str, ...]:
    """Return the folders from the defect type on, as masks and images are compared by."""
    defect, *inner = [*(composed(p).lower() for p in parts)] or [""]
    kept = (p for p in inner if p not in MASK_FOLDERS | IMAGE_FOLDERS)
    return (defect, *kept) if defect else ()

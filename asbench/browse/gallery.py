"""The gallery: an index page, what it knows of every sample, and their pictures."""

from __future__ import annotations

import importlib.resources
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asbench.browse.listing import BEGIN, DATA, GALLERY, MARKS, PAGES
from asbench.browse.pictures import GAIN, Measured, draw, draw_normals, folder_of
from asbench.data.excluded import DIGITS
from asbench.files.documents import into_place
from asbench.progress import Notify, Progress, quiet, silent
from asbench.settings import STORE
from synth_store import Normals, StoredSet, SynthStore, UserError
from synth_store.selection import select

SIDE = 192
"""Pixels of a picture's longer side, at most."""
_FOLDERS = ("samples", "normals")


@dataclass(frozen=True)
class WrittenGallery:
    """A gallery that was written: its page, how many samples of how many sets, bytes of all."""

    page: Path
    samples: int
    sets: int
    size: int


def write(
    store: Path | str = STORE,
    out: Path | str = GALLERY,
    *,
    addresses: Sequence[str] = (),
    side: int = SIDE,
    run: Path | str | None = None,
    device: str | None = None,
    progress: Progress = quiet,
    notify: Notify = silent,
) -> WrittenGallery:
    """Write a gallery of a store into a folder; `index.html` in it opens from disk.

    Sets that were drawn before are not drawn again, and those that are no longer asked for are
    removed from it; marks stay.

    Args:
        store: the store, or `s3://bucket/prefix`.
        out: a folder, new or an earlier gallery.
        addresses: `dataset`, `dataset/method`, `dataset/method/seed` or with a category behind it;
            every set for none.
        side: pixels of a picture's longer side, at most: larger ones are shrunk.
        run: the folder of a run whose detector scores every sample, to sort by.
        device: cpu, cuda or cuda:1, of the detector.
        notify: told of sets that are left out, being unfinished.

    Raises UserError where `out` holds anything else, where nothing is stored or the detector is of
    another size, StoreError for a damaged store.
    """
    opened, folder = SynthStore.open(store), Path(out)
    if side < 16:
        raise UserError(f"pictures of {side} pixels show nothing: give --side 16 or more.")
    _refuse_other(folder)
    chosen = select(opened, addresses)
    pairs = [(key, category) for key, category in chosen if opened.count(key, category)]
    for key, category in chosen:
        if (key, category) not in pairs:
            notify(f"{key}/{category} is unfinished and left out: `asbench generate` goes on")
    if not pairs:
        raise UserError(
            f"{opened.root} holds no finished set to look at: make one with "
            "`asbench generate --method draem`."
        )
    judge = None
    if run is not None:
        from asbench.browse.scores import judge_of, scores_of  # only then: they bring torch along

        judge = judge_of(run, device, opened)
    size = _size(opened, side)
    sets: list[dict[str, Any]] = []
    drawn_on: dict[Path, tuple[Normals, set[int]]] = {}
    for key, category in pairs:
        stored = opened.read(key, category)
        place, what = Path("samples") / folder_of(stored, size), f"{key}/{category}"

        def counted(done: int, total: int, what: str = f"drawing {what}") -> None:
            progress(what, done, total)

        measured = draw(stored, folder / place, size, counted)
        normals = Path("normals") / folder_of(stored.normals, size)
        drawn_on.setdefault(normals, (stored.normals, set()))[1].update(measured.source)
        told = _described(stored, measured, place, normals)
        if judge is not None:
            told["score"] = scores_of(judge, stored, folder / place, progress)
        sets.append(told)
    for place, (normals_of, sources) in drawn_on.items():

        def drawn(done: int, total: int) -> None:
            progress("drawing clean images", done, total)

        draw_normals(normals_of, sources - {-1}, folder / place, size, drawn)
    _remove_others(folder, {one["folder"] for one in sets} | {str(place) for place in drawn_on})
    told = {
        "store": str(store),
        "stored": str(opened.geometry),
        "width": size[1],
        "height": size[0],
        "gain": GAIN,
        "run": None if judge is None else f"{judge.run.decides['detector']}, run {judge.id}",
        "sets": sets,
    }
    into_place(folder / DATA, f"{BEGIN}{json.dumps(told, separators=(',', ':'))};\n")
    own = importlib.resources.files(__package__)
    for name in PAGES[::-1]:  # the page last: with it the gallery is there
        into_place(folder / name, own.joinpath(name).read_bytes())
    weight = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    samples = sum(len(one["digest"]) for one in sets)
    return WrittenGallery(folder / "index.html", samples, len(sets), weight)


def _described(stored: StoredSet, measured: Measured, place: Path, normals: Path) -> dict[str, Any]:
    key = stored.key
    return {
        "dataset": key.dataset,
        "method": key.method,
        "seed": key.seed,
        "category": stored.category,
        "stored": str(stored.digest)[:DIGITS],
        "folder": place.as_posix(),
        "normals": normals.as_posix(),
        **asdict(measured),
    }


def _size(store: SynthStore, side: int) -> tuple[int, int]:
    """Return height and width of a picture: those stored, or shrunk to the side."""
    height, width = store.geometry.height, store.geometry.width
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _refuse_other(folder: Path) -> None:
    """Raise UserError for a folder that holds something else than a gallery."""
    if not folder.exists():
        return
    known = {*PAGES, *_FOLDERS, DATA, MARKS}
    others = (
        sorted(p.name for p in folder.iterdir() if p.name not in known)
        if (folder.is_dir())
        else [folder.name]
    )
    if others:
        raise UserError(
            f"{folder} holds {others[0]!r}, which is no gallery's: name another folder with --out."
        )


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Delete the pictures of sets that are not shown; links are not followed."""
    for kind in _FOLDERS:
        for path in (folder / kind).glob("*"):
            if f"{kind}/{path.name}" not in kept and not path.is_symlink():
                shutil.rmtree(path)

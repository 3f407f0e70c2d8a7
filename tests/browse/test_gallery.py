"""What a gallery's folder holds: pictures and numbers of the samples that are stored, no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from asbench.browse import pictures, scores
from asbench.browse.gallery import WrittenGallery, write
from asbench.browse.listing import BEGIN, shown_in, view_of
from asbench.data.excluded import short_digest
from asbench.imaging.visibility import change
from synth_store import Geometry, StoreKey, SynthStore, UserError
from tests.browse.conftest import COUNT
from tests.synth_store.making import CATEGORY, generate


def told(folder: Path) -> dict[str, Any]:
    """Return what the page knows."""
    text = (folder / "data.js").read_text()
    assert text.startswith(BEGIN)
    known: dict[str, Any] = json.loads(text.removeprefix(BEGIN).rstrip(";\n"))
    return known


def picture(path: Path) -> np.ndarray:
    read = cv2.imread(str(path))
    assert read is not None
    return read[..., ::-1]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_says_of_every_sample_what_is_stored(
    stored: SynthStore, gallery: WrittenGallery
) -> None:
    folder = gallery.page.parent
    assert (gallery.samples, gallery.sets) == (3 * COUNT, 3)
    assert gallery.size == sum(len(data) for data in files(folder).values())
    for one in told(folder)["sets"]:
        key = StoreKey(one["dataset"], one["method"], one["seed"])
        of = stored.read(key, one["category"])
        assert one["source"] == of.source.tolist()
        assert one["digest"] == [short_digest(of, i) for i in range(COUNT)]
        for i, sample in enumerate(of):
            assert sample.clean is not None
            seen = change(sample.image, sample.clean, sample.mask)
            assert one["change"][i] == pytest.approx(seen.levels, abs=0.051)
            assert one["unchanged"][i] == pytest.approx(seen.unchanged, abs=0.00051)
            assert one["area"][i] == pytest.approx(sample.mask.mean(), abs=1e-5)


def test_its_pictures_are_the_samples(stored: SynthStore, gallery: WrittenGallery) -> None:
    folder = gallery.page.parent
    for one in told(folder)["sets"]:
        of = stored.read(StoreKey("toy", one["method"], one["seed"]), CATEGORY)
        for i in (0, COUNT - 1):
            sample, source = of[i], one["source"][i]
            assert sample.clean is not None
            strip = picture(folder / one["folder"] / f"{i}.webp")
            image, difference, mask = np.split(strip.astype(float), 3, axis=1)
            clean = folder / (
                f"{one['folder']}/clean-{i}.webp"
                if source < 0
                else f"{one['normals']}/{source}.webp"
            )
            largest = np.abs(sample.image.astype(int) - sample.clean).max(axis=2)
            enlarged = np.minimum(255, pictures.GAIN * largest)
            for drawn, true in (
                (image, sample.image.mean(axis=2)),
                (picture(clean), sample.clean.mean(axis=2)),
                (difference, enlarged.astype(float)),
                (mask, 255.0 * sample.mask),
            ):
                grey = drawn.astype(float).mean(axis=2)
                # Of coloured noise WebP keeps what is left from some steps away.
                assert np.abs(cv2.blur(grey, (9, 9)) - cv2.blur(true, (9, 9))).mean() < 12


def test_equal_stores_give_equal_galleries_and_nothing_is_drawn_twice(
    stored: SynthStore, gallery: WrittenGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(str(stored.root))
    write(place, tmp_path / "again")
    assert files(tmp_path / "again") == files(gallery.page.parent)

    def never(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(pictures, "_save", never)
    write(place, tmp_path / "again")
    assert files(tmp_path / "again") == files(gallery.page.parent)


def test_what_is_no_longer_asked_for_goes_and_marks_stay(
    stored: SynthStore, tmp_path: Path
) -> None:
    place, out = Path(str(stored.root)), tmp_path / "out"
    write(place, out)
    (out / "excluded.txt").write_text("toy/dreams/0/tile/1\n")
    written = write(place, out, addresses=["toy/boxes@more"])
    assert (written.samples, written.sets) == (COUNT, 1)
    (one,) = told(out)["sets"]
    assert [p.name for p in (out / "samples").iterdir()] == [Path(one["folder"]).name]
    assert (out / "excluded.txt").read_text() == "toy/dreams/0/tile/1\n"


def test_pictures_are_shrunk_to_a_side_and_keep_their_shape(tmp_path: Path) -> None:
    wide = Geometry(32, 64)
    store = SynthStore.create(tmp_path / "store", wide)
    generate(store, 3, key=StoreKey("toy", "boxes", 0))
    write(tmp_path / "store", tmp_path / "out", side=32)
    known = told(tmp_path / "out")
    assert (known["height"], known["width"]) == (16, 32)
    strip = picture(tmp_path / "out" / known["sets"][0]["folder"] / "0.webp")
    assert strip.shape == (16, 96, 3)


def test_a_cut_short_gallery_goes_on(stored: SynthStore, tmp_path: Path) -> None:
    place, out = Path(str(stored.root)), tmp_path / "out"

    def stop(what: str, done: int, total: int) -> None:
        if "boxes@more" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(place, out, progress=stop)
    assert not (out / "index.html").exists()
    assert shown_in(out) == {}
    assert write(place, out).samples == 3 * COUNT


def test_what_is_refused(stored: SynthStore, tmp_path: Path) -> None:
    place = Path(str(stored.root))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    for out in ("letters", "letters/a.txt"):
        with pytest.raises(UserError, match=r"holds 'a.txt', which is no gallery's: name another"):
            write(place, tmp_path / out)
    with pytest.raises(UserError, match="pictures of 3 pixels show nothing"):
        write(place, tmp_path / "out", side=3)
    with pytest.raises(UserError, match="is not in the store"):
        write(place, tmp_path / "out", addresses=["toy/none"])
    SynthStore.create(tmp_path / "empty")
    with pytest.raises(UserError, match="holds no finished set to look at: make one"):
        write(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_detectors_scores_are_kept(
    stored: SynthStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, asked = Path(str(stored.root)), []
    run = SimpleNamespace(decides={"detector": "toy"})

    def trained(folder: object, device: object) -> Any:
        return SimpleNamespace(
            id="abc", run=run, geometry=stored.geometry, detector=None, device="cpu"
        )

    def predicted(detector: object, images: Any, device: object) -> Any:
        for image in images:
            asked.append(1)
            yield np.zeros((1, 32, 32)), np.array([float(image.mean())])

    monkeypatch.setattr(scores, "Trained", trained)
    monkeypatch.setattr(scores, "predicted", predicted)
    write(place, tmp_path / "out", run="runs/abc")
    known = told(tmp_path / "out")
    assert known["run"] == "toy, run abc"
    of = stored.read(StoreKey("toy", "boxes", 0), CATEGORY)
    assert known["sets"][0]["score"] == pytest.approx([s.image.mean() for s in of])
    assert len(asked) == 3 * COUNT
    write(place, tmp_path / "out", run="runs/abc")
    assert len(asked) == 3 * COUNT
    write(place, tmp_path / "out")
    assert told(tmp_path / "out")["run"] is None
    small = SimpleNamespace(id="abc", run=run, geometry=Geometry(64, 64))
    monkeypatch.setattr(scores, "Trained", lambda folder, device: small)
    with pytest.raises(UserError, match="run abc looks at images of 64x64"):
        write(place, tmp_path / "out", run="runs/abc")


def test_a_gallery_says_which_sets_it_shows(
    stored: SynthStore, gallery: WrittenGallery, tmp_path: Path
) -> None:
    shown = shown_in(gallery.page.parent)
    key = StoreKey("toy", "boxes@more", 3)
    digest = str(stored.read(key, CATEGORY).digest)
    assert digest.startswith(shown[f"{key}/{CATEGORY}"])
    assert view_of(key, CATEGORY) == "#dataset=toy&method=boxes%40more&seed=3&category=tile"
    assert shown_in(tmp_path) == {}
    shutil.copytree(gallery.page.parent, tmp_path / "broken")
    (tmp_path / "broken" / "data.js").write_text("const gallery = {")
    with pytest.raises(UserError, match=r"data.js cannot be read .* writes it anew"):
        shown_in(tmp_path / "broken")

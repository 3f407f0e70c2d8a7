"""`asbench store` over what should not be there, and the way back, as it is typed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synth_store.local import LocalPath
from synth_store.metadata import encode, group, read_attributes
from tests.cli.conftest import QUICK, Run, tree

pytestmark = pytest.mark.slow

STORE = Path("asbench-store")
GENERATE = "generate --dataset photos --category bolt --workers 1 -n 6"


@pytest.fixture
def stored(run: Run, place: Path) -> Path:
    """Two seeds of a method."""
    for seed in (0, 1):
        assert run(f"{GENERATE} --method cutout --seed {seed}").status == 0
    return place / STORE / "photos" / "cutout"


def test_another_seed_in_a_sets_place_is_refused_everywhere_and_mended(
    run: Run, stored: Path
) -> None:
    """A false independent repeat."""
    before = {k: v for k, v in tree(stored / "0").items() if "/c/" in k}
    shutil.rmtree(stored / "0" / "bolt")
    shutil.copytree(stored / "1" / "bolt", stored / "0" / "bolt")
    both = "what stands at photos/cutout/0/bolt is photos/cutout/1/bolt"
    train = f"train --dataset photos --mix cutout {QUICK} --category bolt"
    for line in (train, f"{GENERATE} --method cutout", "store copy asbench-store there",
                 "store export photos/cutout/0 --out png"):  # fmt: skip
        refused = run(line)
        assert refused.status == 1
        assert both in refused.err, line
    for line in ("store ls", "store verify"):
        refused = run(line)
        assert refused.status == 1
        assert both in refused.out
        assert "photos/cutout/1/bolt" in refused.out
    mended = run("store verify --discard")
    assert mended.status == 1
    assert "photos/cutout/0/bolt: all of it deleted" in mended.out
    assert run(f"{mended.next[0].removeprefix('asbench ')} -n 6 --workers 1").status == 0
    assert {k: v for k, v in tree(stored / "0").items() if "/c/" in k} == before
    assert run("store verify").status == 0


def test_strays_are_named_and_the_rest_goes_on(run: Run, stored: Path) -> None:
    root = stored.parents[1]
    shutil.copytree(root / "photos", root / "photos (copy)")
    (stored / "Seed").mkdir()
    (stored / "Seed" / "x").write_text("mine")
    listed = run("store ls")
    assert listed.status == 0
    assert listed.out.count("not part of the store") == 2
    assert "photos/cutout/1/bolt" in listed.out
    verified = run("store verify")
    assert verified.status == 1
    assert "2 faults" in verified.out
    assert run(f"train --dataset photos --mix cutout {QUICK} --category bolt").status == 0


def test_what_cannot_be_seen_is_named_and_ends_with_1(
    run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without the right to look into it."""
    import os

    look = os.scandir

    def refusing(path: object = ".") -> object:
        if str(path).endswith("cutout/1"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refusing)
    for line in ("store ls", "store verify"):
        said = run(line)
        assert said.status == 1
        assert "cutout/1: cannot be read: Permission denied" in said.out
        assert "photos/cutout/0" in said.out or "sets verified" in said.out


def test_a_damaged_set_is_listed_and_led_out_of(run: Run, stored: Path) -> None:
    path = LocalPath(stored / "0" / "bolt" / "zarr.json")
    attributes = read_attributes(path.parent)
    path.write(encode(group({**attributes, "count": 10**12})))
    listed = run("store ls")
    assert listed.status == 1
    assert "its count is 1000000000000, not a whole number from 0 to 1000000000" in listed.out
    assert run("store verify --discard").status == 1
    assert run(f"{GENERATE} --method cutout").status == 0
    assert run("store verify").status == 0


def test_damaged_normals_are_written_again_and_the_sets_stay(run: Run, stored: Path) -> None:
    (shard,) = (stored.parent / "normal" / "bolt" / "image").rglob("c/0/0/0/0")
    shard.write_bytes(shard.read_bytes()[:-3])
    before = {k: v for k, v in tree(stored).items() if "/c/" in k}
    mended = run("store verify --discard")
    assert "photos/normal/bolt: all of it deleted" in mended.out
    assert run(mended.next[0].removeprefix("asbench ")).status == 0
    assert {k: v for k, v in tree(stored).items() if "/c/" in k} == before
    assert run("store verify").status == 0


def test_rm_and_replace_leave_alone_what_a_link_leads_to(run: Run, stored: Path) -> None:
    outside = stored.parents[2] / "outside"
    (stored / "0" / "bolt").rename(outside)
    (stored / "0" / "bolt").symlink_to(outside)
    before = tree(outside)
    assert run(f"{GENERATE} --method cutout --replace").status == 0
    assert tree(outside) == before
    assert run("store rm photos/cutout").status == 0
    assert tree(outside) == before


def test_a_store_of_an_earlier_release_is_read_and_named(run: Run, stored: Path) -> None:
    path = LocalPath(stored / "0" / "bolt" / "zarr.json")
    attributes = read_attributes(path.parent)
    del attributes["address"]
    path.write(encode(group(attributes)))
    verified = run("store verify")
    assert verified.status == 0
    assert "photos/cutout/0/bolt: written by a release that recorded no address" in verified.out

"""What people read where the store refuses: its words, and then the command to type."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from asbench.mend import regenerate_command
from synth_store import Geometry, StoreKey, SynthStore, errors
from synth_store.errors import Refusal
from synth_store.places import place
from tests.synth_store.making import CATEGORY, KEY, SMALL, VERSIONS, add_normals, identity

ROOT = Path(__file__).parents[1]
URL = "s3://shelf/store"
HERE, THERE = place("a place"), place(URL)
WORDS = [
    (
        errors.NoStore(HERE),
        "there is no store at a place: make one with "
        "`asbench generate --store 'a place' --method draem`.",
    ),
    (
        errors.NoStore(THERE),
        f"there is no store at {URL}: copy one there with "
        f"`asbench store copy asbench-store {URL}`.",
    ),
    (
        errors.OtherFormat(HERE, 2, 1),
        "the store at a place has format version 2; this release reads version 1. Install the "
        "release that wrote it, or name another store with --store.",
    ),
    (
        errors.OtherGeometry(HERE, SMALL, Geometry(64, 64)),
        "the store at a place holds 32x32 (stretch) images, not 64x64 (stretch): one store has "
        "one geometry. Leave the size out, or name another store with --store.",
    ),
    (
        errors.MissingNormals(HERE, "toy", "tile"),
        "the store at a place holds no normals of toy/tile: run "
        "`asbench generate --dataset toy --category tile`.",
    ),
    (
        errors.OtherNormals(HERE, "toy", "tile", (6, "a" * 64), (7, "b" * 64)),
        "toy/tile in the store at a place has other normals (6, digest aaaaaaaaaaaa) than these "
        "(7, digest bbbbbbbbbbbb): give this folder its own name with --name, or remove the old "
        "with `asbench store rm --store 'a place' toy`.",
    ),
    (
        errors.NormalsByThemselves("toy/normal/tile"),
        "normals are removed with their data set: asbench store rm DATASET.",
    ),
    (
        errors.OtherAddress(HERE, "toy/boxes/0/tile", "toy/boxes/1/tile"),
        "what stands at toy/boxes/0/tile is toy/boxes/1/tile, copied or moved there: move it "
        "back, remove it with `asbench store rm --store 'a place' toy/boxes/0/tile`, or render "
        "what belongs there with `asbench generate --replace`.",
    ),
    (
        errors.OtherAddress(HERE, "toy/normal/tile", "toy/normal/other"),
        "what stands at toy/normal/tile is toy/normal/other, copied or moved there: move it "
        "back, or remove it with `asbench store verify --discard --store 'a place'` and generate "
        "it again.",
    ),
    (
        errors.MissingSamples("toy/boxes/0/tile", 9, 10),
        "toy/boxes/0/tile lacks 9 of 10 samples: run the same `asbench generate` again to render "
        "them.",
    ),
    (
        errors.DrawnOnOthers("toy/boxes/0/tile", "a" * 64, "b" * 64),
        "toy/boxes/0/tile was drawn on other normals (aaaaaaaaaaaa) than the store holds "
        "(bbbbbbbbbbbb): generate it anew with --replace.",
    ),
    (
        errors.OtherIdentity("toy/boxes/0/tile", {"pixel_version": (1, 2), "textures": (None, 3)}),
        "toy/boxes/0/tile is stored with another identity (pixel_version: stored 1, here 2; "
        "textures: stored None, here 3): name this parameter set with --variant, choose another "
        "--seed, or overwrite what is stored with --replace.",
    ),
    (
        errors.OtherVersions("toy/boxes/0/tile", {"numpy": ("2", "3")}),
        "toy/boxes/0/tile was begun under other library versions (numpy 2 then, 3 now), so new "
        "samples might not match the old: install those versions, or render all of it anew with "
        "--replace.",
    ),
    (
        errors.ChangedSamples(HERE, 5),
        "a place is damaged: its first 5 samples are not those recorded when they were finished: "
        "render all of it anew with --replace.",
    ),
    (
        errors.DamagedSource(HERE),
        "a place is damaged: its samples do not match the recorded digest. See what is with "
        "`asbench store verify`.",
    ),
    (
        errors.NormalsAtTarget(THERE, HERE),
        f"{URL} holds other normals than a place: give one of the two folders of images its own "
        "name with --name, or overwrite those that are copied to with --replace.",
    ),
    (
        errors.PixelsAtTarget(THERE, HERE),
        f"{URL} holds other pixels than a place under one identity: overwrite them with --replace.",
    ),
    (
        errors.ReadOnly(URL),
        f"the store at {URL} is on an object store, which is read and not written: write to a "
        f"folder, then copy it there with `asbench store copy asbench-store {URL}`.",
    ),
    (
        errors.MoreThanHeld(URL, 3 * 10**9, 2 * 10**9),
        f"{URL} holds 3.0 GB of this category, and a process holds 2.0 GB of an object store: "
        f"bring it to a disk with `asbench store copy {URL} asbench-store`, and name that with "
        "--store.",
    ),
    (
        errors.MissingPackage("obstore"),
        "a store on an object store needs the package obstore: pip install 'asbench[cloud]'.",
    ),
]


@pytest.mark.parametrize(("refusal", "words"), WORDS, ids=[type(r).__name__ for r, _ in WORDS])
def test_the_words_of_a_refusal(refusal: Refusal, words: str) -> None:
    assert str(refusal) == words
    assert str(pickle.loads(pickle.dumps(refusal))) == words


def test_the_words_where_a_set_is_missing_or_begun(tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path, SMALL)
    line = f"asbench generate --store {tmp_path} --dataset toy --category tile --method boxes"
    assert str(errors.MissingSet(store, KEY, CATEGORY)) == (
        f"toy/boxes/0/tile is not in the store at {tmp_path}: make it with `{line} --seed 0`."
    )
    made, asked = identity(add_normals(store)), ["--set=boxes=2"]
    record = {"options": asked, "origin": ["--dataset", "my photos", "--name", "toy"]}
    store.create_set(KEY, CATEGORY, 9, identity=made, versions=VERSIONS, record=record)
    line = (
        f"asbench generate --store {tmp_path} --dataset 'my photos' --name toy --category tile "
        "--method boxes --set=boxes=2 --visible 0 --where as-published --seed 0"
    )
    assert str(errors.UnfinishedSet(store, KEY, CATEGORY, 0, 9)) == (
        "toy/boxes/0/tile was begun but not finished (0 of 9 samples): finish it with "
        f"`{line} -n 9`."
    )
    assert regenerate_command(store, KEY, CATEGORY, count=12) == f"{line} -n 12"
    other = StoreKey("toy", "other", 1)
    assert regenerate_command(store, other, CATEGORY, ["--dataset", "elsewhere"]).endswith(
        "--dataset elsewhere --category tile --method other --seed 1"
    )


def test_every_kind_of_refusal_has_its_words_here() -> None:
    kinds = {type(refusal) for refusal, _ in WORDS} | {errors.MissingSet, errors.UnfinishedSet}
    assert kinds == set(Refusal.__subclasses__())


def test_a_python_user_reads_the_command_too(tmp_path: Path) -> None:
    program = f"import asbench; asbench.SynthStore.open({str(tmp_path)!r})"
    refused = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"make one with `asbench generate --store {tmp_path} --method draem`" in refused.stderr


def test_whatever_opens_a_store_brings_the_commands_along() -> None:
    graph = grimp.build_graph(
        "asbench", "cli", "synth_store", exclude_type_checking_imports=True, cache_dir=None
    )
    for module in sorted(graph.find_descendants("asbench") | graph.find_descendants("cli")):
        path = ROOT / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if "SynthStore.open(" in path.read_text() or "SynthStore.create(" in path.read_text():
            assert "asbench.mend" in graph.find_upstream_modules(module), module
    # A command imports when it is called: what opens its store must itself bring them along.
    for path in (ROOT / "cli").glob("*.py"):
        assert "import SynthStore" not in path.read_text().replace("asbench import SynthStore", "")

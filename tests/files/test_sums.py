"""What is read again is checked: flips, cuts and files of others are refused by name."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim import Adam

from asbench import results
from asbench.detectors import build
from asbench.files.sums import SUMS, check, check_published, read_checked, write_sums
from asbench.nets import checkpoint
from asbench.nets.detector import Stage
from asbench.nets.pretrained import read
from asbench.nets.weights import load_weights, save_weights
from asbench.results import Gallery, ImageRow, KeptRow
from synth_store import UserError
from tests.test_results import a_run

AGAIN = "make it again"


def flips(data: bytes, count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    wrong = []
    for bit in rng.choice(8 * len(data), min(count, 8 * len(data)), replace=False):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        wrong.append(bytes(changed))
    return wrong


def all_refused(path: Path, read: Callable[[], object], count: int = 60) -> None:
    """Every flip, cut, emptying and zeroing of a file is a UserError; as it was, it is read."""
    whole = path.read_bytes()
    read()
    cut = [whole[: len(whole) * k // 7] for k in range(7)]
    for wrong in [*flips(whole, count), *cut, bytes(len(whole)), b"\xff" + whole]:
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"."):
            read()
    path.write_bytes(whole)
    read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run leaves."""
    run, here = a_run(), tmp_path / a_run().id
    rng = np.random.default_rng(0)
    save_weights(build("unet@tiny", 0, {"width": 2}), here / "model.safetensors")
    results.write_table(
        here, [ImageRow(f"good/{i}.png", 0, "good", False, i / 7, np.nan) for i in range(9)]
    )
    results.write_kept_out(here, [KeptRow(f"{i}", i % 2, 0, i / 7) for i in range(9)])
    images = rng.integers(256, size=(2, 8, 8, 3), dtype=np.uint8)
    masks, maps = np.zeros((2, 8, 8), bool), rng.random((2, 8, 8)).astype(np.float16)
    results.write_gallery(here, Gallery(("a", "b"), images, masks, maps))
    results.write_digests(here, run)
    results.save(run, here)
    return here


READERS: dict[str, Callable[[Path], object]] = {
    "test.csv": results.read_table,
    "kept_out.csv": results.read_kept_out,
    "gallery.npz": results.read_gallery,
    "run.json": results.read,
    SUMS: results.read_table,
}


@pytest.mark.parametrize("name", READERS)
def test_every_change_of_what_a_run_keeps_is_refused(folder: Path, name: str) -> None:
    if name == SUMS:  # lines of other files than the one that is read say nothing of it
        write_sums(folder, ["test.csv"])
    all_refused(folder / name, lambda: READERS[name](folder))


def test_sha256sum_checks_a_run_too(folder: Path) -> None:
    checked = ["sha256sum", "--strict", "-c", SUMS]
    assert subprocess.run(checked, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "test.csv").write_text("other")
    assert subprocess.run(checked, cwd=folder, capture_output=True, check=False).returncode == 1


def test_files_of_another_run_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / SUMS).write_text((other / SUMS).read_text().replace(a_run().id, "0" * 12))
    weights = other / "model.safetensors"
    check(weights, AGAIN)
    with pytest.raises(UserError, match=f"it is of run {'0' * 12}, and not of run {a_run().id}"):
        check(weights, AGAIN, of=f"run {a_run().id}")
    (folder / "surplus.csv").write_text("")
    with pytest.raises(UserError, match="does not list it"):
        read_checked(folder / "surplus.csv", AGAIN)


def test_a_folder_of_an_earlier_release_is_read_as_it_is(folder: Path) -> None:
    (folder / SUMS).unlink()
    assert len(results.read_table(folder)) == 9
    assert results.read_gallery(folder).ids == ("a", "b")


# --- checkpoints ---


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    net, stage = _training()
    loss = net(torch.rand(2, 3, 32, 32)).mean()
    loss.backward()
    stage.optimizers[0].step()
    checkpoint.write(tmp_path / "checkpoint", net, stage, 3, {"losses": [[0, 0.5]]})
    return tmp_path / "checkpoint"


def _training() -> tuple[torch.nn.Module, Stage]:
    net = build("unet@tiny", 0, {"width": 2})
    optimizer = Adam(net.parameters(), lr=0.1)
    return net, Stage("all", 1.0, (net,), (optimizer,), (), lambda batch: batch)


def _resume(folder: Path) -> None:
    net, stage = _training()
    commit = checkpoint.peek(folder)
    assert commit is not None
    checkpoint.restore(folder, commit, net, stage)


def test_every_change_of_a_checkpoint_is_refused(trained: Path) -> None:
    all_refused(next(trained.glob("*.safetensors")), lambda: _resume(trained))
    all_refused(trained / checkpoint.COMMIT, lambda: _resume(trained))


def test_a_checkpoint_of_another_training_is_refused(trained: Path) -> None:
    path = next(trained.glob("*.safetensors"))
    tensors = load_file(path)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, path)
    with pytest.raises(UserError, match=r"not what checkpoint\.json says: damaged, or another's"):
        _resume(trained)


# --- weights ---


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, wrong: float) -> None:
    net = build("unet@tiny", 0, {"width": 2})
    next(iter(net.parameters())).data.flatten()[0] = wrong
    save_weights(net, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="holds NaN or infinities"):
        load_weights(net, tmp_path / "w.safetensors")


def test_every_flip_of_a_pth_is_refused(tmp_path: Path) -> None:
    """torch writes checksums, and does not look at them."""
    path = tmp_path / "w.pth"
    torch.save({"a": torch.rand(40, 40), "b": torch.rand(7)}, path)
    whole, tensors = path.read_bytes(), read(path)
    silent = 0
    for wrong in flips(whole, 300):
        path.write_bytes(wrong)
        try:
            silent += any(not torch.equal(t, tensors[k]) for k, t in read(path).items())
        except UserError:
            continue
    assert silent == 0


def test_published_files_are_known_by_name_and_by_what_stands_beside(tmp_path: Path) -> None:
    path = tmp_path / f"net-{hashlib.sha256(b'x').hexdigest()[:8]}.pth"
    path.write_bytes(b"x")
    check_published(path)
    path.write_bytes(b"y")
    with pytest.raises(UserError, match="is not the file that was published"):
        check_published(path)
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"x")
    check_published(own)
    (tmp_path / f"{own.name}.sha256").write_text(
        f"{hashlib.sha256(b'y').hexdigest()}  {own.name}\n"
    )
    with pytest.raises(UserError, match="is not the file that was published"):
        check_published(own)

"""Archives: what is written, and every way in which a hostile one is refused."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from asbench.data.unpack import SPARE, unpack
from synth_store.types import UserError
from tests.trees import tarred, zipped

FILES = {"a/b.txt": b"one", "a/c/d.bin": bytes(1_500_000), "e.txt": b""}


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda p, f: tarred(p, f, "w:gz"),
    "tar.bz2": lambda p, f: tarred(p, f, "w:bz2"),
    "tar.xz": lambda p, f: tarred(p, f, "w:xz"),
}


def below(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "into").mkdir(parents=True)
    return tmp_path / "deep" / "into"


@pytest.mark.parametrize("kind", MAKERS)
def test_files_are_written_whatever_the_archive(tmp_path: Path, into: Path, kind: str) -> None:
    # the ending plays no part: browsers change it
    archive = MAKERS[kind](tmp_path / "archive", FILES)
    counted: list[int] = []
    unpack(archive, into, counted.append)
    assert below(into) == FILES
    assert counted == sorted(counted)
    assert counted[-1] == sum(map(len, FILES.values()))
    (into / "a" / "b.txt").write_text("the archive's read-only mark is not kept")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/out.txt", "C:/out.txt", "C:out.txt", "a\\..\\b.txt"]
)
def test_a_path_that_leads_outside_is_refused(
    tmp_path: Path, into: Path, kind: str, name: str
) -> None:
    archive = MAKERS[kind](tmp_path / "x", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(UserError, match="which leads outside: nothing is unpacked"):
        unpack(archive, into)
    outside = {p for p in tmp_path.rglob("*") if p.is_file()} - {archive, into / "fine.txt"}
    assert not outside
    assert not Path("/out.txt").exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "holds a link, evil"),
        (tarfile.LNKTYPE, "holds a link, evil"),
        (tarfile.FIFOTYPE, "holds a special file, evil"),
        (tarfile.CHRTYPE, "holds a special file, evil"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    tmp_path: Path, into: Path, kind: bytes, words: str
) -> None:
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = kind, "../../victim"
    through = tarfile.TarInfo("evil/out.txt")
    through.size = 3
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(info)
        archive.addfile(through, io.BytesIO(b"bad"))
    with pytest.raises(UserError, match=words):
        unpack(tmp_path / "x.tar", into)
    assert not list(into.iterdir())


def test_links_in_a_zip_are_refused(tmp_path: Path, into: Path) -> None:
    info = zipfile.ZipInfo("evil")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc")
    with pytest.raises(UserError, match="holds a link, evil"):
        unpack(tmp_path / "x.zip", into)
    assert not list(into.iterdir())


def test_a_file_that_comes_twice_or_as_a_folder_is_refused(tmp_path: Path, into: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a.txt"))
    with pytest.raises(UserError, match=r"a\.txt twice: nothing is unpacked"):
        unpack(tmp_path / "x.tar", into)
    (into / "a.txt").unlink()
    for files in ({"a": b"1", "a/b": b"2"}, {"b/c": b"1", "b": b"2"}, {".": b"1"}):
        tarred(tmp_path / "y.tar", files)
        with pytest.raises(UserError, match=r"twice: nothing is unpacked"):
            unpack(tmp_path / "y.tar", into)


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("kind", MAKERS)
def test_a_bomb_is_refused_before_its_bytes_are_written(
    tmp_path: Path, into: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = MAKERS[kind](tmp_path / "x", {"a": bytes(600_000), "b": bytes(600_000)})
    usage = _Usage(10**9, 0, SPARE + 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"holds at least 0\.0 GiB of files, .* has room for 0\.0"):
        unpack(archive, into)
    assert sum(map(len, below(into).values())) <= 600_000


def test_a_zip_that_lies_about_sizes_writes_no_more_than_it_declares(
    tmp_path: Path, into: Path
) -> None:
    archive = zipped(tmp_path / "x.zip", {"a": bytes(5_000_000)})
    lied = archive.read_bytes().replace((5_000_000).to_bytes(4, "little"), b"\x10\0\0\0")
    archive.write_bytes(lied)
    with pytest.raises(UserError, match=r"is damaged|and holds more"):
        unpack(archive, into)
    assert all(len(content) <= 16 for content in below(into).values())


@pytest.mark.parametrize("kind", MAKERS)
def test_a_damaged_archive_is_refused(tmp_path: Path, into: Path, kind: str) -> None:
    noise = bytes(i * i * 7919 % 251 for i in range(400_000))
    archive = MAKERS[kind](tmp_path / "x", {"a": noise, "b": noise[::-1]})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"x is damaged, or no ZIP or TAR archive: "):
        unpack(archive, into)


def test_a_page_of_the_web_is_no_archive(tmp_path: Path, into: Path) -> None:
    (tmp_path / "x.zip").write_text("<html>Sorry, this link has expired.</html>")
    with pytest.raises(UserError, match=r"x\.zip is damaged, or no ZIP or TAR archive"):
        unpack(tmp_path / "x.zip", into)


def test_a_zip_with_a_password_is_refused(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a": b"secret"})
    marked = bytearray(archive.read_bytes())
    marked[6] |= 1
    marked[marked.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(marked)
    with pytest.raises(UserError, match="password required"):
        unpack(archive, into)


# --- damage ---

COMPRESSED = [kind for kind in MAKERS if kind != "tar"]


@pytest.mark.parametrize("kind", COMPRESSED)
def test_no_flipped_bit_changes_a_file_in_silence(tmp_path: Path, into: Path, kind: str) -> None:
    """Flips in dates and the like change no file: of the others every one is refused."""
    archive = MAKERS[kind](tmp_path / "archive", {**FILES, "a/c/d.bin": bytes(range(256)) * 20})
    data, rng = archive.read_bytes(), random.Random(0)
    want, refused = None, 0
    for number in range(200):
        changed = bytearray(data)
        if number:
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        archive.write_bytes(changed)
        folder = into / str(number)
        folder.mkdir()
        try:
            unpack(archive, folder)
        except UserError:
            refused += 1
        else:
            want = want or below(folder)
            assert below(folder) == want
        shutil.rmtree(folder)
    assert refused > 100


@pytest.mark.parametrize("kind", MAKERS)
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, into: Path, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / "archive", FILES)
    data = archive.read_bytes()
    places = {len(data) * k // 23 for k in range(23)} | {512 * k for k in range(4)}
    end = data.rstrip(b"\0") if kind == "tar" else data[:-1]
    for place in [p for p in (*sorted(places), len(end)) if p <= len(end)]:
        archive.write_bytes(data[:place])
        folder = into / str(place)
        folder.mkdir()
        with pytest.raises(UserError, match=r"damaged|declares|cannot"):
            unpack(archive, folder)


def test_a_tar_whose_header_is_damaged_loses_no_member_in_silence(
    tmp_path: Path, into: Path
) -> None:
    archive = tarred(tmp_path / "archive.tar", {"a": b"one", "b": b"two", "c": b"three"})
    data = bytearray(archive.read_bytes())
    data[1024 + 5] ^= 1  # in the header of b
    archive.write_bytes(data)
    with pytest.raises(UserError, match="a header is damaged, and with it members are lost"):
        unpack(archive, into)


def test_a_zip_that_lists_fewer_than_it_has_is_refused(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "archive.zip", {"a": b"one", "b": b"two"})
    data = bytearray(archive.read_bytes())
    data[data.rfind(b"PK\5\6") + 10] = 3
    archive.write_bytes(data)
    with pytest.raises(UserError, match="lists 2 members, and says that it has 3"):
        unpack(archive, into)


@pytest.mark.parametrize("size", [2**25, 2**33, 2**60])
def test_a_header_that_would_fill_memory_is_refused(tmp_path: Path, into: Path, size: int) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, size
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(UserError, match="is damaged"):
        unpack(tmp_path / "a.tar", into)

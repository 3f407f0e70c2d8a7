"""Fetching from a local server that cuts connections, lies, moves and sends hostile archives."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from asbench.data import fetch as fetching
from asbench.data.fetch import MIB, destination, fetch, source_of
from asbench.datasets import btad as plugin
from asbench.files.source import DatasetSource
from synth_store.types import UserError
from tests import trees
from tests.trees import tarred, zipped

pytestmark = pytest.mark.slow


@dataclass
class Server:
    """What is served at /btad.zip, and how: `cuts` are the bytes sent before each hang-up."""

    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            content, start = served.content, 0
            if served.status != 200:
                self.send_error(served.status)
                return
            if wanted and served.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                rest = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", rest)
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + served.cuts.pop(0) if served.cuts else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{listening.server_port}/btad.zip"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    yield served
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ASBENCH_DATA that is not there yet."""
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A ZIP of BTAD as its authors wrap it, made large by a file that nobody reads."""
    trees.btad(tmp_path / "made" / "BTech_Dataset_transformed")
    files = {
        p.relative_to(tmp_path / "made").as_posix(): p.read_bytes()
        for p in (tmp_path / "made").rglob("*")
        if p.is_file()
    }
    noise = b"".join(hashlib.blake2b(i.to_bytes(4, "big")).digest() for i in range(50_000))
    return zipped(tmp_path / "btad.zip", files | {"notes.bin": noise})


def published(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server hold `content`, and btad's origin say so."""
    server.content = content
    digest = hashlib.sha256(content).hexdigest()
    told = replace(plugin.SOURCE, url=server.url, checksum=f"sha256:{digest}")
    monkeypatch.setattr(plugin, "SOURCE", told)


def test_files_appear_whole_and_nothing_else(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    calls: list[tuple[str, int, int]] = []
    assert fetch("btad", progress=lambda *call: calls.append(call)) == data / "btad"
    assert [p.name for p in data.iterdir()] == ["btad"]
    from asbench import open_dataset

    assert len(open_dataset("btad").train("03")) == 5
    size = len(server.content) // MIB
    assert ("btad.zip, MiB", size, size) in calls
    assert any(what == "unpacking, MiB" for what, _, _ in calls)
    with pytest.raises(UserError, match=r"btad is there already: look at it .*data check btad"):
        fetch("btad")
    assert len(server.asked) == 1


def test_a_cut_connection_is_taken_up_where_it_ended(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    server.cuts = [1_000_000, 0, 500_000]
    told: list[str] = []
    fetch("btad", notify=told.append)
    assert len(told) == 3
    assert told[0] == f"{server.url} at 1.0 MiB: the connection was cut; going on"
    assert server.asked == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]
    assert (data / "btad").is_dir()


def test_the_next_call_goes_on_after_giving_up(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    server.cuts = [2 * MIB, *[0] * fetching.ATTEMPTS]
    with pytest.raises(UserError, match=r"not send more than 2\.0 MiB \(the connection was cut\)"):
        fetch("btad")
    assert [p.name for p in data.iterdir()] == [".downloads"]
    server.asked.clear()
    fetch("btad")
    assert server.asked == [f"bytes={2 * MIB}-"]
    assert [p.name for p in data.iterdir()] == ["btad"]


def test_a_part_that_is_whole_or_of_another_file(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    part = data / ".downloads" / "btad.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.content)
    fetch("btad")
    assert server.asked == [f"bytes={len(server.content)}-"]
    (data / "btad").rename(data / "moved")
    part.parent.mkdir()
    part.write_bytes(server.content + b"more")
    server.asked.clear()
    fetch("btad")
    assert server.asked == [f"bytes={len(server.content) + 4}-", None]


def test_a_server_without_ranges_sends_all_again(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    server.ranges, server.cuts = False, [1_000_000]
    fetch("btad")
    assert server.asked == [None, "bytes=1000000-"]
    assert (data / "btad").is_dir()


def test_a_wrong_checksum_leaves_nothing(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    server.content = server.content[:-1] + b"\1"
    with pytest.raises(UserError, match=r"is not the archive of btad, and was removed: its sha"):
        fetch("btad")
    assert not list(data.iterdir())


def test_a_link_that_moved_names_the_page(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    server.status = 404
    with pytest.raises(UserError, match=r"answers 404 Not Found: .* Look at https.*--archive FILE"):
        fetch("btad")
    assert len(server.asked) == 1
    server.status = 503
    with pytest.raises(UserError, match=r"more than 0\.0 MiB \(it answers 503 Service Unavailable"):
        fetch("btad")
    assert len(server.asked) == 1 + fetching.ATTEMPTS


def test_no_room_is_said_before_the_first_byte(
    server: Server, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, archive.read_bytes(), monkeypatch)
    monkeypatch.setattr(fetching, "SPARE", 2**60)
    with pytest.raises(
        UserError, match=r"0\.0 GiB are still to come, and .* has room for 0\.0 GiB"
    ):
        fetch("btad")
    assert not list(data.iterdir())


def test_nobody_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    told = replace(plugin.SOURCE, url="http://127.0.0.1:9/btad.zip")
    monkeypatch.setattr(plugin, "SOURCE", told)
    with pytest.raises(UserError, match=r"not send more than 0\.0 MiB \(.*refused"):
        fetch("btad")


def test_a_hostile_archive_leaves_nothing(
    server: Server, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = zipped(tmp_path / "x.zip", {"01/train/ok/0.png": b"", "../../evil.txt": b"bad"})
    published(server, hostile.read_bytes(), monkeypatch)
    with pytest.raises(UserError, match="leads outside"):
        fetch("btad")
    assert not (tmp_path / "evil.txt").exists()
    assert [p.name for p in data.iterdir()] == [".downloads"]


def test_an_archive_of_something_else_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "SOURCE", replace(plugin.SOURCE, checksum=""))
    other = tarred(tmp_path / "x.tar", {"photos/a.png": b"1"})
    with pytest.raises(UserError, match=r"x\.tar does not hold btad: no BTAD in x\.tar: none of"):
        fetch("btad", other)
    torn = tarred(tmp_path / "y.tar", {"01/train/ok/0.png": b"1"})
    with pytest.raises(UserError, match=r"does not hold btad: btad: no image in y\.tar/01/test/ok"):
        fetch("btad", torn)
    assert not list(data.iterdir())
    assert other.exists()


def test_an_archive_got_by_hand(
    data: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"its sha256 is [0-9a-f]{64}, not 461c9387e515"):
        fetch("btad", archive)
    with pytest.raises(UserError, match="is no file: --archive takes"):
        fetch("btad", tmp_path / "none.zip")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(plugin, "SOURCE", replace(plugin.SOURCE, checksum=f"sha256:{digest}"))
    (data / ".btad.unpacking" / "left").mkdir(parents=True)
    fetch("btad", archive)
    assert [p.name for p in data.iterdir()] == ["btad"]
    assert archive.exists()


@pytest.mark.parametrize("wrapped", ["", "Magnetic-tile-defect-datasets.-master/"])
def test_a_wrapping_folder_is_taken_off(
    data: Path, tmp_path: Path, wrapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.mvtec(tmp_path / "made" / "tubes", ("hole",))
    files = {
        wrapped + p.relative_to(tmp_path / "made").as_posix(): p.read_bytes()
        for p in (tmp_path / "made").rglob("*")
        if p.is_file()
    }
    fetch("mpdd", tarred(tmp_path / "x.tar", files))
    assert sorted(p.name for p in (data / "mpdd").iterdir()) == ["tubes"]


def test_what_has_no_link_says_what_to_do(data: Path) -> None:
    for name, page in (("mvtec", "mvtec.com"), ("mpdd", "stepanje"), ("mtd", "abin24")):
        with pytest.raises(UserError, match=rf"{page}.*data fetch {name} --archive FILE"):
            fetch(name)
    with pytest.raises(UserError, match=r"'demo' has no files to fetch; .*: btad, dtd, .*mpdd, mt"):
        fetch("demo")
    with pytest.raises(UserError, match=r"'visaa' is unknown: did you mean visa"):
        fetch("visaa")
    assert not data.exists()


def test_without_asbench_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    with pytest.raises(UserError, match="ASBENCH_DATA is not set: set it to the folder"):
        destination("visa")


def test_every_link_has_a_checksum() -> None:
    for name in ("btad", "dtd", "mpdd", "mtd", "mvtec", "visa"):
        known = source_of(name)
        assert isinstance(known, DatasetSource)
        assert known.licence
        assert known.page.startswith("https://")
        if known.url:
            algorithm, _, digest = known.checksum.partition(":")
            assert len(digest) == {"sha256": 64, "md5": 32}[algorithm]
            assert known.url.startswith("https://")

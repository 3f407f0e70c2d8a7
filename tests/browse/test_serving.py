"""A served gallery answers its own page alone, and keeps what it marks."""

from __future__ import annotations

import http.client
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asbench.browse.gallery import WrittenGallery
from asbench.browse.serving import address_of, opened
from synth_store import UserError

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(gallery: WrittenGallery, tmp_path: Path) -> Path:
    shutil.copytree(gallery.page.parent, tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture
def ask(folder: Path) -> Iterator[Ask]:
    server = opened(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def asked(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        given = {"Origin": address_of(server).rstrip("/")} | headers
        connection.request(method, path, body and body.encode(), given)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return answer.status, text

    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_listens_on_this_machine_alone(folder: Path) -> None:
    with opened(folder) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert address_of(server) == f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(UserError, match=f"port {server.server_port} cannot be listened on"):
            opened(folder, server.server_port)
    with pytest.raises(UserError, match="port 70000 cannot be listened on"):
        opened(folder, 70000)
    with pytest.raises(UserError, match=r"holds no gallery: write one with `asbench browse --out"):
        opened(folder / "samples")


def test_it_hands_out_the_gallery_and_keeps_marks(ask: Ask, folder: Path) -> None:
    assert ask("GET", "/")[1] == (folder / "index.html").read_text()
    assert ask("GET", "/excluded.txt") == (200, "")
    assert not (folder / "excluded.txt").exists()
    text = "# head\n0123456789ab  toy/boxes/0/tile/3\n"
    assert ask("PUT", "/excluded.txt", text)[0] == 204
    assert (folder / "excluded.txt").read_text() == text
    assert ask("GET", "/excluded.txt") == (200, text)


def test_it_takes_nothing_else(ask: Ask, folder: Path) -> None:
    before = sorted(p.name for p in folder.iterdir())
    good = "toy/boxes/0/tile/3\n"
    assert ask("PUT", "/index.html", good)[0] == 403
    assert ask("PUT", "/excluded.txt", good, Origin="http://elsewhere.example")[0] == 403
    assert ask("PUT", "/excluded.txt", good, Origin="null")[0] == 403
    assert ask("PUT", "/excluded.txt", good, Host="elsewhere.example")[0] == 403
    assert ask("GET", "/", Host="elsewhere.example")[0] == 403
    status, said = ask("PUT", "/excluded.txt", "no mark\n")
    assert status == 400
    assert "excluded.txt, line 1" in said
    assert ask("PUT", "/excluded.txt", good, **{"Content-Length": str(1 << 40)})[0] == 413
    assert ask("GET", "/samples/")[0] == 404
    assert ask("GET", "/../store/zarr.json")[0] == 404
    assert ask("POST", "/excluded.txt", good)[0] == 501
    assert sorted(p.name for p in folder.iterdir()) == before

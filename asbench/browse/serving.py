"""A gallery served on the loopback address, which keeps the marks in a file of its folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from asbench.browse.listing import MARKS, PAGES
from asbench.data.excluded import parse_marks
from asbench.files.documents import into_place
from synth_store.types import UserError

HOST = "127.0.0.1"
"""Nothing is served to other machines."""
LARGEST = 64 << 20
"""Bytes of marks that are taken."""
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


def serve(folder: Path | str, *, port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve a gallery on 127.0.0.1 until it is interrupted; marks go into its `excluded.txt`.

    port: 0 for any that is free; ready: told the address once it answers. Raises UserError where
    there is no gallery, and for a port that is taken.
    """
    with opened(folder, port) as server:
        if ready is not None:
            ready(address_of(server))
        server.serve_forever()


def opened(folder: Path | str, port: int = 0) -> ThreadingHTTPServer:
    """Return the server of a gallery, listening; see `serve`."""
    root = Path(folder)
    if not (root / PAGES[0]).is_file():
        raise UserError(f"{root} holds no gallery: write one with `asbench browse --out {root}`.")
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(root)))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} cannot be listened on ({error}): give another --port, or none for any "
            "that is free."
        ) from error


def address_of(server: ThreadingHTTPServer) -> str:
    """Return the address at which a browser finds the gallery."""
    return f"http://{HOST}:{server.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    """Hands out the gallery's files, and takes its marks from its own page alone."""

    server_version = "asbench"
    sys_version = ""

    def do_GET(self) -> None:
        if self._known():
            if self.path == f"/{MARKS}" and not self._marks().is_file():
                self._answer(HTTPStatus.OK)
            else:
                super().do_GET()

    def do_HEAD(self) -> None:
        if self._known():
            super().do_HEAD()

    def do_PUT(self) -> None:
        host = self.headers.get("Host")
        # A page from elsewhere may send here, and says whose it is.
        ours = self.headers.get("Origin") in (None, f"http://{host}")
        size = self.headers.get("Content-Length", "")
        if not self._known():
            return
        if self.path != f"/{MARKS}" or not ours:
            self._answer(HTTPStatus.FORBIDDEN)
        elif not size.isdecimal() or int(size) > LARGEST:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._keep(self.rfile.read(int(size)))

    def list_directory(self, path: Any) -> None:
        self._answer(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is not a log of pictures."""

    def _known(self) -> bool:
        """Refuse whoever reached this address by another name: a foreign page's, rebound."""
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}"):
            return True
        self._answer(HTTPStatus.FORBIDDEN)
        return False

    def _marks(self) -> Path:
        return Path(self.directory) / MARKS

    def _keep(self, body: bytes) -> None:
        try:
            text = body.decode()
            parse_marks(text, MARKS)
            into_place(self._marks(), text)
        except UnicodeDecodeError:
            self._answer(HTTPStatus.BAD_REQUEST, "not UTF-8")
        except UserError as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

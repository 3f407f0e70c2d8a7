"""An S3 endpoint over HTTP for tests: path-style buckets in memory, and what can go wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

import pytest

from synth_store.fetching import held

DATE = "Sun, 01 Jun 2025 12:00:00 GMT"
PAGE = 7
"""Keys in a page of a listing: few, so that listings come in several."""


class ObjectServer(ThreadingHTTPServer):
    """Objects by `bucket/key`, and the requests that were made for them.

    refused: every request is answered 403, as for wrong credentials.
    cut: keys whose body ends halfway, the connection closed.
    puts_left: how many objects may still be put; more are refused. Below zero, any number.
    altered: what becomes of the bytes that are put under a key.
    asked: called with the key of an object that is asked for, before it is answered.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.refused = False
        self.cut: set[str] = set()
        self.putting = threading.Lock()
        self.puts_left = -1
        self.asked: Callable[[str], None] = lambda key: None
        self.altered: Callable[[str, bytes], bytes] = lambda key, data: data

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def name_in(self, environment: pytest.MonkeyPatch) -> None:
        """Say where this server is, and who asks, as the environment says it."""
        for name, value in {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
        }.items():
            environment.setenv(name, value)
        held.forget()  # what was fetched of other tests' servers

    def upload(self, folder: Path, prefix: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.objects[f"{prefix}/{path.relative_to(folder)}"] = path.read_bytes()

    def fetched(self, name: str) -> list[str]:
        """The keys with `name` among their parts that were fetched whole, in order."""
        return [k for verb, k in self.requests if verb == "GET" and name in k.split("/")]


class _Handler(BaseHTTPRequestHandler):
    server: ObjectServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if query.get("list-type") == "2":
            self._list(unquote(asked.path).strip("/"), query)
        else:
            self._object(body=True)

    def do_PUT(self) -> None:
        key = unquote(urlsplit(self.path).path).lstrip("/")
        self.server.requests.append(("PUT", key))
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self._denied():
            return
        with self.server.putting:
            if self.server.puts_left == 0:
                self._answer(403, b"<Error><Code>QuotaExceeded</Code></Error>")
            elif self.headers["If-None-Match"] == "*" and key in self.server.objects:
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            else:
                self.server.puts_left -= 1
                self.server.objects[key] = self.server.altered(key, data)
                self._answer(200, b"", {"ETag": f'"{md5(data).hexdigest()}"'})

    def do_POST(self) -> None:
        """Delete the objects that the body names: the only thing that is posted."""
        bucket = unquote(urlsplit(self.path).path).strip("/")
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self._denied():
            return
        keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", body)]
        for key in keys:
            self.server.requests.append(("DELETE", f"{bucket}/{key}"))
            self.server.objects.pop(f"{bucket}/{key}", None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def _object(self, *, body: bool) -> None:
        key = unquote(urlsplit(self.path).path).lstrip("/")
        self.server.requests.append((self.command, key))
        if self._denied():
            return
        self.server.asked(key)
        data = self.server.objects.get(key)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", body=body)
            return
        headers = {"ETag": f'"{md5(data).hexdigest()}"', "Last-Modified": DATE}
        self._answer(200, data, headers, body=body, cut=key in self.server.cut)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        self.server.requests.append(("LIST", f"{bucket}/{query.get('prefix', '')}"))
        if self._denied():
            return
        start, prefix = query.get("continuation-token", ""), query.get("prefix", "")
        at = f"{bucket}/"
        keys = sorted(k.removeprefix(at) for k in self.server.objects if k.startswith(at))
        keys = [k for k in keys if k.startswith(prefix) and k > start]
        page, more = keys[:PAGE], len(keys) > PAGE
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[f'{bucket}/{key}'])}"
            "</Size><LastModified>2025-06-01T12:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        text = (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
            "</ListBucketResult>"
        )
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _denied(self) -> bool:
        signed = re.match(r"AWS4-HMAC-SHA256 Credential=\w+/", self.headers["Authorization"] or "")
        if self.server.refused or not signed:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return True
        return False

    def _answer(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool = True,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut


@contextmanager
def serving() -> Iterator[ObjectServer]:
    with ObjectServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

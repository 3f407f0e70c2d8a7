"""Serves one file to this machine, slowly, from any byte on: python -m tests.faults.serve FILE."""

from __future__ import annotations

import http.server
import sys
import time
from pathlib import Path

PART, PAUSE = 2**17, 0.02
"""Bytes sent at once, and seconds before the next: a download that can be killed halfway."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with the file, or with what is asked for of it."""

    content: bytes

    def do_GET(self) -> None:
        """Send the file from the byte that `Range` names."""
        wanted, size = self.headers.get("Range"), len(self.content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        for begin in range(start, size, PART):
            try:
                self.wfile.write(self.content[begin : begin + PART])
            except OSError:  # who asked was killed
                return
            time.sleep(PAUSE)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Print the address, and serve until killed."""
    path = Path(sys.argv[1])
    Handler.content = path.read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/{path.name}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

"""A headless Chromium, driven over its debugging pipe: what a page does where people open it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120.0
"""Seconds until an answer counts as none: a busy machine starts a browser slowly."""

_ENTRY = """
import fcntl, os, sys
into, out = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(into, 3)
os.dup2(out, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Makes file descriptor 3 what the browser reads and 4 what it writes."""


def program() -> str | None:
    """Return the path of a browser on this machine, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab. errors: what the page complained of; requests: every address it asked for."""

    def __init__(self, into: int, out: int) -> None:
        self._answer = select.poll()
        self._answer.register(out, select.POLLIN)
        self._into, self._out, self._rest = into, out, b""
        self._last, self._session = 0, ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def open(self, path: Path | str, width: int, height: int, scheme: str = "light") -> None:
        """Open a file or address as a screen of (width, height) CSS pixels would, until loaded."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._send("Emulation.setDeviceMetricsOverride", **size)
        self._send("Emulation.setEmulatedMedia", features=[feature])
        self._send("Page.navigate", url="about:blank")  # or an address that differs behind # stays
        self._send("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        deadline = time.monotonic() + PATIENCE
        while self.run("document.readyState") != "complete" or self.run("location.href") == (
            "about:blank"
        ):
            assert time.monotonic() < deadline, "the page did not load"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release a key, named as in `KeyboardEvent.key`."""
        one = len(name) == 1
        text = name if one else {"Enter": "\r"}.get(name, "")
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40}
        code = ord(name.upper()) if one else codes[name]
        shift = 8 if one and name.isupper() else 0
        about = {"key": name, "code": name, "text": text, "windowsVirtualKeyCode": code}
        about["modifiers"] = shift
        self._send("Input.dispatchKeyEvent", type="keyDown", **about)
        self._send("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def picture(self, path: Path, *, whole: bool = False, **clip: float) -> None:
        """Write a PNG of the screen, of the `whole` page, or of x, y, width, height of it."""
        given: dict[str, Any] = {"captureBeyondViewport": whole or bool(clip)}
        if clip:
            given["clip"] = {**clip, "scale": 1}
        data = self._send("Page.captureScreenshot", format="png", **given)["data"]
        path.write_bytes(base64.b64decode(data))

    def _send(self, method: str, **params: Any) -> Any:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._last:
                assert "error" not in told, (method, told["error"])
                return told["result"]
            self._note(told.get("method", ""), told.get("params", {}))

    def _note(self, event: str, about: Any) -> None:
        if event == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"].get("text", "exception"))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.errors.append(str(about["args"]))
        elif event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            # Poll, not select: a run of all tests has more than the 1,024 files that select takes.
            assert self._answer.poll(1000 * PATIENCE), "the browser does not answer"
            data = os.read(self._out, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)


@contextmanager
def browser(path: str, profile: Path) -> Iterator[Browser]:
    """Start the browser at `path`, its profile in a folder of its own, and stop it."""
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    flags += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    flags += ["--disable-extensions", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", _ENTRY, str(their_in), str(their_out), path, *flags],
        pass_fds=(their_in, their_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_in)
    os.close(their_out)
    try:
        yield Browser(our_out, our_in)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(our_in)
        os.close(our_out)

"""A real browser without a window, driven through its DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

#: Seconds until something that hangs fails.
DEADLINE = 60.0


def find() -> str | None:
    """The browser of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser. What the page says on its console, and errors in it, are in ``console``."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.console: list[str] = []
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; AssertionError when the browser refuses it or does not answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + DEADLINE
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer.get('error')}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = select.select([self._reader], [], [], max(0.0, until - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            data = os.read(self._reader, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.console.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(str([argument.get("value") for argument in parameters["args"]]))

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression, once it is true."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            # A page that is still loading has no such element yet.
            value = self.run(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()")
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"never came true: {script}; the page said {self.console}")

    def key(self, name: str, text: str = "", modifiers: int = 0) -> None:
        """Press and release a key."""
        codes = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowDown": 40, "ArrowLeft": 37, "ArrowUp": 38, " ": 32}
        common = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": codes[name], "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, path: Path, width: int, height: int, scheme: str = "light", full_page: bool = False) -> None:
        """Write a picture of the page."""
        self.size(width, height, scheme)
        time.sleep(0.3)  # colours change slowly
        more: dict[str, Any] = {"captureBeyondViewport": True} if full_page else {}
        data = self.call("Page.captureScreenshot", format="png", **more)["data"]
        path.write_bytes(base64.b64decode(data))

    def size(self, width: int, height: int, scheme: str = "light") -> None:
        """Make the window so large, in CSS pixels, and prefer this colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, which is gone afterwards."""
    program = find()
    assert program is not None
    to_browser, from_browser = os.pipe(), os.pipe()
    with _folder() as profile:
        # It reads from descriptor 3 and writes to 4; neither may be what the other is copied from.
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in (to_browser[0], from_browser[1]))
        null = os.open(os.devnull, os.O_RDWR)
        copies = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in ((null, 0), (null, 1), (null, 2), (reads, 3), (writes, 4))]
        command = [program, *FLAGS, f"--user-data-dir={profile}"]
        process = os.posix_spawn(program, command, os.environ, file_actions=copies, setpgroup=0)
        for end in (to_browser[0], from_browser[1], reads, writes, null):
            os.close(end)
        try:
            opened = Browser(from_browser[0], to_browser[1])
            yield opened
            opened._session = ""
            opened.call("Browser.close")
        finally:
            os.close(to_browser[1])
            os.close(from_browser[0])
            until = time.monotonic() + 10
            while os.waitpid(process, os.WNOHANG) == (0, 0):
                if time.monotonic() > until:
                    os.killpg(process, signal.SIGKILL)
                    os.waitpid(process, 0)
                    break
                time.sleep(0.02)


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

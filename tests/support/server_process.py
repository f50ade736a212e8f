"""Runs ``eidos serve`` of the built file, as one does who deploys it, and asks it."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.support.program import environment
from tests.support.transport_process import children
from tests.support.waiting import AMPLE_S, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

#: Descriptor 3 is what is handed over, as systemd does it, and two variables name the process that it is for.
HAND_OVER = 'exec 3<&"$0"; [ "$0" = 3 ] || eval "exec $0<&-"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'


class Built:
    """A running ``eidos serve`` with these flags, stopped or killed at the end of a ``with``; a ``fresh`` one was asked nothing yet."""

    def __init__(
        self,
        pyz: Path,
        *flags: str,
        port: int = 0,
        inherits: socket.socket | None = None,
        fresh: bool = False,
        env: Mapping[str, str] = {},
    ) -> None:
        command = [sys.executable, str(pyz), "serve", f"--port={port}", "--log-format=json", *flags]
        fds = [inherits.fileno()] if inherits is not None else []
        if fds:
            command = ["bash", "-c", HAND_OVER, str(fds[0]), *command]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe would have to be read; it goes with this object
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=environment(**env),
            pass_fds=fds,
            start_new_session=True,
        )
        try:
            until(lambda: b'"listening on ' in self.stderr or self.process.poll() is not None)
            match = re.search(rb'"listening on http://127\.0\.0\.1:(\d+)"', self.stderr)
            assert match, self.stderr
            self.port = int(match[1])
            until(lambda: fresh or self.is_ready())
        except BaseException:
            self._kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()
        if kind is None:
            assert b"Traceback" not in self.stderr, self.stderr
        self._log.close()

    @property
    def stderr(self) -> bytes:
        """Its log until now."""
        return os.pread(self._log.fileno(), 1 << 26, 0)

    def stop(self) -> int:
        """Ask it to stop; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(AMPLE_S)
        finally:
            self._kill()

    def _kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def workers(self) -> list[int]:
        """Processes of the service but the supervisor."""
        return children(self.process.pid)

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers by their names in small letters, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=AMPLE_S)
        try:
            return exchange(connection, method, target, body, headers)
        finally:
            connection.close()


def exchange(
    connection: http.client.HTTPConnection, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = {}
) -> tuple[int, dict[str, str], bytes]:
    """One request, and its answer as :meth:`Built.ask` gives it."""
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if method == "POST":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now, and not one of those that the kernel gives to whoever asks for any."""
    for number in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", number))
            return number
    raise AssertionError("no port is free")

"""Runs a service of the real transport in processes of its own, and speaks raw bytes to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tests.support.program import ROOT, environment
from tests.support.waiting import AMPLE_S, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self


class Service:
    """A running service with these :class:`eidos.server.server_settings.Settings`. It is stopped, or killed, at the end of a ``with``."""

    def __init__(self, inherits: socket.socket | None = None, /, **settings: object) -> None:
        command = [sys.executable, "-m", "tests.fakes.service", *(f"{name}={value}" for name, value in settings.items())]
        if inherits is not None:  # as systemd does it: descriptor 3, and variables that name the process
            fd = inherits.fileno()
            hand_over = f'exec 3<&{fd}; [ {fd} = 3 ] || exec {fd}<&-; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
            command = ["bash", "-c", hand_over, "-", *command]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a pipe would have to be read; it is closed at the end of a with
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=environment(),
            pass_fds=[inherits.fileno()] if inherits is not None else [],
            start_new_session=True,
        )
        self._opened: list[socket.socket] = []
        self._gate = tempfile.NamedTemporaryFile()  # noqa: SIM115 - so is this one
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.url = output.readline().strip()
        assert self.url, self.stderr
        self.port = int(self.url.rpartition(":")[2]) if self.url.startswith("http") else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()
        self._last_stderr = self.stderr
        self._log.close()
        self._gate.close()
        for sock in self._opened:
            sock.close()
        if kind is None:
            assert self.stderr.count("Traceback") == 0, self.stderr

    @property
    def stderr(self) -> str:
        """Standard error until now, or until the end."""
        return self._last_stderr if self._log.closed else os.pread(self._log.fileno(), 1 << 26, 0).decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status."""
        try:
            return self.process.wait(AMPLE_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def workers(self) -> list[int]:
        """Processes of the service but the supervisor."""
        return children(self.process.pid)

    def end_turn(self) -> None:
        """Wait until each worker has dealt with all that it has read, and with each event that it has been told of."""
        turns = {pid: self._turns(pid) for pid in self.workers()}
        for pid in turns:
            os.kill(pid, signal.SIGUSR1)
        until(lambda: all(self._turns(pid) > count for pid, count in turns.items()))

    def _turns(self, pid: int) -> int:
        return self.stderr.count(f"turn {pid}\n")

    def settle(self, *socks: socket.socket) -> None:
        """Wait until workers have read what was sent over these connections, and dealt with it."""
        until(lambda: all(unread_bytes(sock) == 0 for sock in socks))
        self.end_turn()

    @property
    def held(self) -> str:
        """A target whose responses take until :meth:`release`."""
        return f"/held?{self._gate.name}"

    def release(self) -> None:
        """Let all requests to :attr:`held` end; those that are sent later to another one."""
        gate, self._gate = self._gate, tempfile.NamedTemporaryFile()  # noqa: SIM115 - as the first
        gate.close()

    def connect(self, timeout: float = AMPLE_S) -> socket.socket:
        """A connection; what is not closed by then, is closed with the service."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        self._opened.append(sock)
        return sock

    def is_refusing(self) -> bool:
        """Whether nobody listens any more."""
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def ask(self, request: bytes, timeout: float = AMPLE_S) -> bytes:
        """Everything that comes until the service closes."""
        with self.connect(timeout) as sock:
            sock.sendall(request)
            return everything(sock)

    def get(self, target: str, *fields: str) -> Answer:
        """One request on a connection of its own."""
        lines = "".join(f"{field}\r\n" for field in fields)
        return Answer(self.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode()))


class Answer:
    """One answer."""

    def __init__(self, data: bytes) -> None:
        top, _, self.body = data.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        assert re.match(r"HTTP/1\.1 \d{3} ", lines[0]), data[:200]
        self.status = int(lines[0].split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


def everything(sock: socket.socket) -> bytes:
    """What comes until the other end closes, or resets."""
    parts = []
    while True:
        try:
            part = sock.recv(1 << 16)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def answers(data: bytes, heads: bool = False) -> list[Answer]:
    """Answers one after the other; fails for anything between or after them. ``heads`` are answers to HEAD."""
    parsed = []
    while data:
        end = data.index(b"\r\n\r\n") + 4
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", data[:end])
        size = end + (int(length[1]) if length and not heads else 0)
        parsed.append(Answer(data[:size]))
        assert len(data) >= size
        data = data[size:]
    return parsed


def read_answer(sock: socket.socket) -> Answer:
    """The next answer of a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1)  # not a byte of the next
        assert part, data
        data += part
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", data)
    size = int(length[1]) if length else 0
    body = b""
    while len(body) < size:
        part = sock.recv(size - len(body))
        assert part
        body += part
    return Answer(data + body)


def unread_bytes(sock: socket.socket) -> int:
    """Bytes that were sent over a connection to this machine and that nobody has read (proc_net_tcp); -1 when it is closed there."""
    local, remote = sock.getsockname()[1], sock.getpeername()[1]
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            is_open = fields[3] in ("01", "08")  # ESTABLISHED, CLOSE_WAIT
            if is_open and fields[1].endswith(f":{remote:04X}") and fields[2].endswith(f":{local:04X}"):
                return int(fields[4].partition(":")[2], 16)
    return -1


def children(pid: int) -> list[int]:
    """Processes that a process started and that have not ended."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if lives(child)]


def lives(pid: int) -> bool:
    """Whether a process has not ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def running(**settings: object) -> Iterator[Service]:
    """For fixtures."""
    with Service(**settings) as service:
        yield service

"""A server of a test's own on loopback: each connection is given to the next of a list of plays."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from typing_extensions import Self

Socket = Union[socket.socket, ssl.SSLSocket]
Play = Callable[[Socket, "Asked"], None]


class Asked:
    """One request as it came: its line, its headers with names in lower case, and its body."""

    def __init__(self, connection: Socket) -> None:
        self.at = time.monotonic()
        data = b""
        while b"\r\n\r\n" not in data and data[:1] != b"\x16":  # the first byte of a client that wants TLS
            part = connection.recv(65536)
            if not part:
                raise ConnectionError
            data += part
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        while len(self.body) < int(self.headers.get("content-length", "0")):
            self.body += connection.recv(65536)


def says(status: int, body: bytes = b"", **headers: str) -> Play:
    """A whole answer; ``_`` in the name of a header stands for ``-``."""

    def play(connection: Socket, _: Asked) -> None:
        lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body)

    return play


def sends(data: bytes) -> Play:
    """These bytes, then the end."""
    return lambda connection, _: connection.sendall(data)


def resets(connection: Socket, _: Asked) -> None:
    """The connection is reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def dribbles(data: bytes, pause: float = 0.02) -> Play:
    """One byte after another, until nobody listens any more."""

    def play(connection: Socket, _: Asked) -> None:
        for index in range(len(data)):
            connection.sendall(data[index : index + 1])
            time.sleep(pause)

    return play


def silent(connection: Socket, _: Asked) -> None:
    """Nothing, until the client hangs up."""
    connection.settimeout(20)
    connection.recv(1)


class Speaker:
    """Plays ``plays`` in their order, and the last one again and again."""

    def __init__(self, plays: Sequence[Play], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._plays = list(plays)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection: Socket = self._listener.accept()[0]
            except OSError:
                return
            connection.settimeout(20)
            try:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                asked = Asked(connection)
                self.asked.append(asked)
                (self._plays.pop(0) if len(self._plays) > 1 else self._plays[0])(connection, asked)
            except OSError:
                pass
            finally:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

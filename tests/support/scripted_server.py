"""A server on loopback that answers its connections with the replies of a list, in order."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Union

from tests.support.waiting import AMPLE_S

if TYPE_CHECKING:
    from typing_extensions import Self

Socket = Union[socket.socket, ssl.SSLSocket]
Reply = Callable[[Socket, "ReceivedRequest"], None]


class ReceivedRequest:
    """One request: its line, its headers with names in lower case, and its body."""

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


def responds(status: int, body: bytes = b"", **headers: str) -> Reply:
    """A complete response; ``_`` in the name of a header stands for ``-``."""

    def reply(connection: Socket, _: ReceivedRequest) -> None:
        lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body)

    return reply


def sends_bytes(data: bytes) -> Reply:
    """Send these bytes and close."""
    return lambda connection, _: connection.sendall(data)


def resets_connection(connection: Socket, _: ReceivedRequest) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def sends_slowly(data: bytes, pause: float = 0.02) -> Reply:
    """Send one byte after another, ``pause`` seconds apart."""

    def reply(connection: Socket, _: ReceivedRequest) -> None:
        for index in range(len(data)):
            connection.sendall(data[index : index + 1])
            time.sleep(pause)

    return reply


def never_responds(connection: Socket, _: ReceivedRequest) -> None:
    """Send nothing until the client closes."""
    connection.settimeout(AMPLE_S)
    connection.recv(1)


class ScriptedServer:
    """Gives each connection the next of ``replies``, and the last one again and again; ``requests`` are those received so far."""

    def __init__(self, replies: Sequence[Reply], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[ReceivedRequest] = []
        self._replies = list(replies)
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
            connection.settimeout(AMPLE_S)
            try:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                request = ReceivedRequest(connection)
                self.requests.append(request)
                (self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])(connection, request)
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

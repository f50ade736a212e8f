"""A proxy on loopback: it opens tunnels (CONNECT) and hands on what is asked for by its whole URL; over TLS too."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.waiting import AMPLE_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self


def shut_down(*sockets: socket.socket) -> None:
    """End both directions of connections, also of those whose other end is away already."""
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Listener:
    """Accepts connections on a port of loopback and serves each in a thread; ``serve`` is what a subclass does with one."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        raise NotImplementedError


class Proxy(Listener):
    """``requests`` has the first line of each, ``password`` is who must be named ("name:password"), ``tls`` secures it."""

    def __init__(self, password: str = "", tls: ssl.SSLContext | None = None, refuses: int = 0) -> None:
        super().__init__()
        self.password = password
        self.requests: list[str] = []
        self._tls = tls
        self._refuses = refuses

    def serve(self, sock: socket.socket) -> None:
        client = sock
        try:
            sock.settimeout(AMPLE_S)
            client = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(1 << 16)
                if not part:
                    return
                head += part
            lines = head.split(b"\r\n\r\n")[0].decode().split("\r\n")
            self.requests.append(lines[0])
            shown = "Proxy-Authorization: Basic " + base64.b64encode(self.password.encode()).decode()
            if self._refuses or (self.password and shown not in lines):
                client.sendall(f"HTTP/1.1 {self._refuses or 407} Refused\r\nContent-Length: 0\r\n\r\n".encode())
                return
            method, target, _ = lines[0].split()
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                server = socket.create_connection((host.strip("[]"), int(port)), 10)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = urlsplit(target)
                server = socket.create_connection((url.hostname or "", url.port or 80), 10)
                server.sendall(head.replace(target.encode(), target.partition(url.netloc)[2].encode(), 1))
            with server:
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                _pump(client, server)
        except OSError:
            pass
        finally:
            client.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while True:
            part = source.recv(1 << 16)
            if not part:
                break
            sink.sendall(part)
    except OSError:
        pass
    shut_down(source, sink)

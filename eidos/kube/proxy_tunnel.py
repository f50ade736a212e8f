"""Through a proxy to an API server.

Knows CONNECT (RFC 9110, section 9.3.6) and TLS inside TLS, for a proxy that is spoken to over https itself; must not know what goes
through.
"""

from __future__ import annotations

import http.client

from eidos.http_wire import client as asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable
    from typing import Any

    from eidos.http_wire.client import Url


class Proxy:
    """One of them; ``shown`` are the headers that it wants to see, ``name`` is without the password that its URL may hold."""

    def __init__(self, url: str) -> None:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.shown: dict[str, str] = {}
        if parts.username is not None:
            import base64

            said = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.shown["Proxy-Authorization"] = "Basic " + base64.b64encode(said.encode()).decode()

    def open(self, server: Url, context: ssl.SSLContext | None, name: str, deadline: float) -> Any:
        """A connection that leads to ``server``, secured with ``context`` if there is one; raises as ``http_wire.client.dial`` does."""
        try:
            sock = asking.dial(self.host, self.port, deadline, _secured if self.scheme == "https" else None)
        except OSError as fault:
            raise Refusing(asking.explained(f"the proxy {self.name}", fault)) from fault
        try:
            if context is None:
                return sock
            timed = asking.Timed(sock, deadline)
            self._connect(server, timed)
            if self.scheme == "https":
                return Inside(sock, timed, context, name)
            sock.settimeout(asking.left(deadline))
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def _connect(self, server: Url, timed: asking.Timed) -> None:
        to = f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}", *(f"{name}: {value}" for name, value in self.shown.items()), "", ""]
        timed.sendall("\r\n".join(lines).encode())
        response = http.client.HTTPResponse(timed, method="CONNECT")  # type: ignore[arg-type]  # all that it asks of a socket is makefile()
        response.begin()
        if not 200 <= response.status < 300:
            hint = "its URL may hold a name and a password" if response.status == 407 else "NO_PROXY names what is asked without it"
            message = f"the proxy {self.name} leads to no {to}: it answers {response.status}"
            raise Refusing(asking.Unanswered(message, hint, passing=response.status >= 500))


class Refusing(OSError):
    """The proxy does not lead there, because of ``fault``."""

    def __init__(self, fault: Any) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _secured(sock: socket.socket, host: str, deadline: float) -> socket.socket:
    import ssl

    sock.settimeout(asking.left(deadline))
    return ssl.create_default_context().wrap_socket(sock, server_hostname=host)


class Inside:
    """TLS within TLS, as far as :class:`eidos.http_wire.client.Timed` needs a socket."""

    def __init__(self, outer: socket.socket, timed: asking.Timed, context: ssl.SSLContext, name: str) -> None:
        import ssl

        self._outer, self._timed = outer, timed
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=name)
        self._do(self._tls.do_handshake)

    def settimeout(self, seconds: float) -> None:
        """Of the next operation, as a whole."""
        import time

        self._timed.deadline = time.monotonic() + seconds

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[self._do(self._tls.write, data) :]

    def recv_into(self, buffer: Any) -> int:
        """Receive what there is."""
        import ssl

        try:
            return int(self._do(self._tls.read, len(buffer), buffer))
        except ssl.SSLZeroReturnError:
            return 0

    def fileno(self) -> int:
        """Of the socket under it."""
        return self._outer.fileno()

    def close(self) -> None:
        """Close it."""
        self._outer.close()

    def _do(self, step: Callable[..., Any], *given: Any) -> Any:
        import ssl

        while True:
            try:
                return step(*given)
            except ssl.SSLWantReadError:
                self._flush()
                part = bytearray(1 << 14)
                count = self._timed.recv_into(part)
                if count:
                    self._came.write(part[:count])
                else:
                    self._came.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        while self._goes.pending:
            self._timed.sendall(self._goes.read())

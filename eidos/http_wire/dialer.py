"""Connections with a deadline, the TLS context they are made with, and the errors of a failed request.

Knows sockets, certificates, and what ``http.client`` raises; must not know what is requested, nor whether to retry.

A request ends at its deadline, whatever the server does: names are resolved in a thread that can be abandoned, and the timeout of every
socket operation is the time that is left. Certificates are verified.
"""

from __future__ import annotations

import time

from eidos.errors import Timeout, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    import socket
    import ssl
    from collections.abc import Sequence
    from typing import Any

    from eidos.errors import EidosError

    Address = tuple[int, int, int, str, tuple[Any, ...]]

_CHUNK_BYTES = 1 << 16


class RequestError(Unavailable):
    """No response came, or an invalid one; ``is_transient`` says that a retry may help."""

    def __init__(self, message: str, hint: str | None = None, is_transient: bool = True) -> None:
        super().__init__(message, hint)
        self.is_transient = is_transient


def translate_error(subject: str, fault: OSError | http.client.HTTPException | ValueError) -> EidosError:
    """The error to raise for a failed request to ``subject``: Timeout or :class:`RequestError`."""
    import http.client
    import socket
    import ssl

    if isinstance(fault, (TimeoutError, socket.timeout)):  # the same from Python 3.10 on
        return timeout_error(subject)
    if isinstance(fault, ssl.SSLCertVerificationError):
        hint = "set SSL_CERT_FILE to a file with the certificates to trust"
        return RequestError(f"{subject}: certificate not trusted: {fault.verify_message}", hint, is_transient=False)
    if isinstance(fault, ssl.SSLError):
        reason = fault.reason or "connection lost"
        return RequestError(f"{subject}: TLS failed: {reason}", "check that this is an https server", isinstance(fault, ssl.SSLEOFError))
    if isinstance(fault, http.client.RemoteDisconnected):
        return RequestError(f"{subject}: connection closed without a response")
    if isinstance(fault, http.client.IncompleteRead):
        return RequestError(f"{subject}: response truncated")
    if isinstance(fault, (http.client.HTTPException, ValueError)):
        return RequestError(f"{subject}: response is not HTTP", "check the address of the service", is_transient=False)
    if isinstance(fault, socket.gaierror):
        is_transient = fault.errno == socket.EAI_AGAIN  # the name server did not answer
        return RequestError(f"{subject}: cannot resolve this host name", "check its spelling", is_transient)
    refused = "check that the service is running" if isinstance(fault, ConnectionRefusedError) else None
    return RequestError(f"{subject}: {os_error_reason(fault)}", refused)


def timeout_error(subject: str) -> Timeout:
    """The error to raise when the deadline of a request to ``subject`` has passed."""
    return Timeout(f"{subject}: timed out", "raise --timeout, or check that the service is up")


def seconds_left(deadline: float) -> float:
    """Seconds until ``deadline``; TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def open_connection(host: str, port: int, deadline: float, tls: ssl.SSLContext | None = None, tls_name: str = "") -> socket.socket:
    """A connection to the first address that accepts one; addresses share the time. With ``tls``, as a client of ``tls_name`` or ``host``.

    Raises OSErrors that :func:`translate_error` translates.
    """
    import socket

    addresses = _resolve(host, port, deadline)
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(seconds_left(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return sock
            sock.settimeout(seconds_left(deadline))
            return tls.wrap_socket(sock, server_hostname=tls_name or host)
        except OSError as fault:
            sock.close()
            # The certificate will be the same at another address.
            if index == len(addresses) - 1 or type(fault).__module__ == "ssl":
                raise
        except BaseException:
            sock.close()
            raise
    raise OSError("no address")


def make_tls_context(ca: bytes | None = None) -> ssl.SSLContext:
    """A TLS context that trusts the authorities in ``ca``, PEM, or those of the system; ssl.SSLError or ValueError when it is not PEM."""
    import ssl

    context = ssl.create_default_context(cadata=ca.decode("ascii", "ignore") if ca is not None else None)
    # As kubectl does: the strict checks of Python 3.13 reject the authorities of EKS and others, and a kubeconfig may have an intermediate
    # authority.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _resolve(host: str, port: int, deadline: float) -> Sequence[Address]:
    """The addresses of a host. The system's resolver takes no timeout, so it runs in a thread that can be abandoned."""
    import socket

    def look_up() -> Sequence[Address]:
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:8]
        except UnicodeError as fault:
            raise socket.gaierror(str(fault)) from fault

    if host.replace(".", "").isdigit() or ":" in host:
        return look_up()
    from eidos.process.thread_pool import call_in_thread, wait_for

    return wait_for(call_in_thread(look_up, "resolver"), seconds_left(deadline))


class DeadlineSocket:
    """A socket for ``http.client`` whose every operation ends at ``deadline``, which can be changed."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self.deadline = deadline
        self._sock = sock
        self._reader: Any = None

    def sendall(self, data: bytes) -> None:
        """Send all of it, in chunks: with TLS, the timeout is that of each call."""
        for start in range(0, len(data), _CHUNK_BYTES):
            self._sock.settimeout(seconds_left(self.deadline))
            self._sock.sendall(data[start : start + _CHUNK_BYTES])

    def recv_into(self, buffer: Any) -> int:
        """Receive what is available, and wait for the first byte."""
        self._sock.settimeout(seconds_left(self.deadline))
        return int(self._sock.recv_into(buffer))

    def makefile(self, _mode: str) -> Any:
        """A reader for ``HTTPResponse``."""
        import io

        receive = self.recv_into

        class Raw(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                return receive(buffer)

        class Reader(io.BufferedReader):
            last_line = b""

            def readline(self, size: int | None = -1, /) -> bytes:
                self.last_line = super().readline(size)
                return self.last_line

        self._reader = Reader(Raw())
        return self._reader

    def check_head(self) -> None:
        """Raise IncompleteRead when the connection ended within the last response's header, which ``http.client`` takes for complete."""
        import http.client

        if not self._reader.last_line:
            raise http.client.IncompleteRead(b"")

    def close(self) -> None:
        """Do nothing: ``http.client`` calls it before the body is read."""

    def shut(self) -> None:
        """Close the socket."""
        self._sock.close()

"""A pool of connections to one server; every operation on them has a deadline.

Knows TLS with the caller's certificates, proxies (RFC 9110, section 9.3.6) and keep-alive; must not know what is requested, nor whether
to retry. Redirects are not followed: credentials go to no server but their own. A body is bytes, or a stream that is read as it is sent.
"""

from __future__ import annotations

import http.client
import time
from _thread import allocate_lock

from eidos.errors import InvalidData, Timeout
from eidos.http_wire import dialer
from eidos.http_wire.retry import AttemptFailed
from eidos.http_wire.url import parse_url
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any, Protocol, Union

    from eidos.errors import EidosError

    class BodyStream(Protocol):
        """A body that is read as it is sent; the headers have its length."""

        def read(self, size: int = -1, /) -> bytes:
            """The next bytes, at most ``size``."""

    Body = Union[bytes, BodyStream, None]


#: Idle connections in the pool, at most.
MAX_IDLE = 8

#: Seconds that opening a connection may take, at most.
CONNECT_TIMEOUT_S = 15.0

#: Methods that may be sent again without knowing whether the server got them (RFC 9110, section 9.2.2).
RESENDABLE_METHODS = frozenset({"GET", "HEAD", "DELETE"})


class Hints(Record):
    """Hints for a server that cannot be reached; None is the general hint.

    The connection is refused, TLS fails, the certificate has another name, its authority is not trusted.
    """

    connection_refused: str | None = None
    tls_error: str | None = None
    certificate_name: str | None = None
    certificate_authority: str | None = None


class Endpoint(Record):
    """A server and what it takes to reach it.

    ``server`` is its URL; ``ca`` are certificates in PEM, or None for those that the system trusts, which with ``trusts_system`` are
    trusted as well; ``proxy`` is a URL that may hold a password; ``source`` tells, for messages, where the certificates are configured.
    """

    server: str
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = None
    source: str = "--ca-file"
    hints: Hints = Hints()
    trusts_system: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.server!r})"  # the proxy may have a password


class ConnectionBroken(AttemptFailed):
    """A response is missing or incomplete, because of ``fault``; ``was_sent`` says that the server may have got the request."""

    def __init__(self, fault: EidosError, is_retryable: bool, was_sent: bool) -> None:
        super().__init__(fault, is_retryable=is_retryable)
        self.was_sent = was_sent


class BodyTooLarge(Exception):
    """A body is larger than its reader accepts; callers translate it into an error of theirs."""


def truncated_response(origin: str) -> ConnectionBroken:
    """What to raise for a body that ended too early."""
    return ConnectionBroken(dialer.RequestError(f"{origin}: response truncated"), is_retryable=True, was_sent=True)


class ConnectionPool:
    """Connections to one server; threads may share it.

    ``load_certificate`` loads the client's certificate, if there is one; ``resendable_methods`` are idempotent; ``make_error`` makes the
    error of a server that cannot be reached, of message and hint, if it is not a RequestError.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        load_certificate: Callable[[ssl.SSLContext], object] = lambda context: None,
        resendable_methods: frozenset[str] = RESENDABLE_METHODS,
        make_error: Callable[[str, str | None], EidosError] | None = None,
    ) -> None:
        self.server = parse_url(endpoint.server)
        self.prefix = self.server.target.rstrip("/")
        self._endpoint = endpoint
        self._load_certificate = load_certificate
        self._resendable_methods = resendable_methods
        self._make_error = make_error
        self._idle: list[_Connection] = []
        self._lock = allocate_lock()
        self._tls_context: ssl.SSLContext | None = None
        self._closed = False

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS, so that credentials may be sent."""
        return self.server.scheme == "https"

    def send(self, method: str, target: str, headers: dict[str, str], body: Body, deadline: float) -> StreamedResponse:
        """Send a request; the response, its body not yet read. Raises ConnectionBroken; InvalidData or Unavailable for a certificate.

        When the server has closed an idle connection, the request is sent on a new one.
        """
        idle = self._take_idle()
        if idle is not None:
            try:
                return idle.send(method, target, headers, body, deadline)
            except ConnectionBroken as broken:
                idle.close()
                if method not in self._resendable_methods or not broken.is_retryable or isinstance(broken.fault, Timeout):
                    raise
            except BaseException:
                idle.close()
                raise
        connection = self._open(deadline)
        try:
            return connection.send(method, target, headers, body, deadline)
        except BaseException:
            connection.close()
            raise

    def reset(self) -> None:
        """Drop connections and the TLS context, which were made with credentials that are renewed."""
        with self._lock:
            self._tls_context, idle, self._idle = None, self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close idle connections now, and those in use once they are released."""
        self._closed = True
        self.reset()

    def release(self, connection: _Connection) -> None:
        """Return a connection whose response was read to its end."""
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _take_idle(self) -> _Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_alive():
                return connection
            connection.close()

    def _open(self, deadline: float) -> _Connection:
        proxy, context = None, self._make_tls_context()
        try:
            deadline = min(deadline, time.monotonic() + CONNECT_TIMEOUT_S)
            if self._endpoint.proxy:
                from eidos.http_wire.proxy import ProxyTunnel

                proxy = ProxyTunnel(self._endpoint.proxy)
                sock = proxy.connect(self.server, context, self.tls_name, deadline)
            else:
                sock = dialer.open_connection(self.server.host, self.server.port, deadline, context, self.tls_name)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise ConnectionBroken(*self.translate_error(fault), was_sent=False) from fault
        return _Connection(self, sock, proxy.auth_headers if proxy else None)

    @property
    def tls_name(self) -> str:
        """The name that the server's certificate must have."""
        return self._endpoint.tls_server_name or self.server.host

    def _make_tls_context(self) -> ssl.SSLContext | None:
        """The TLS context, with the client's certificate; None for a server without TLS."""
        if not self.is_encrypted:
            return None
        with self._lock:
            existing = self._tls_context
        if existing is not None:
            return existing
        import ssl

        endpoint = self._endpoint
        try:
            context = dialer.make_tls_context(endpoint.ca)
        except (ssl.SSLError, ValueError) as fault:
            raise InvalidData(f"{endpoint.source}: its certificate-authority is not a PEM certificate") from fault
        if endpoint.trusts_system and endpoint.ca is not None:
            context.load_default_certs()
        if endpoint.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._load_certificate(context)
        with self._lock:
            self._tls_context = context
        return context

    def translate_error(self, fault: OSError | http.client.HTTPException | ValueError) -> tuple[EidosError, bool]:
        """The error to raise for ``fault``, and whether it is transient."""
        error = getattr(fault, "fault", None) or dialer.translate_error(self._endpoint.server, fault)
        if not isinstance(error, dialer.RequestError):
            return error, True
        hint = self._hint(fault) or error.hint
        if self._make_error is not None:
            return self._make_error(error.message, hint), error.is_transient
        return dialer.RequestError(error.message, hint, error.is_transient), error.is_transient

    def _hint(self, fault: BaseException) -> str | None:
        import ssl

        hints = self._endpoint.hints
        if isinstance(fault, ConnectionRefusedError):
            return hints.connection_refused
        if isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLCertVerificationError):
            return hints.tls_error
        if not isinstance(fault, ssl.SSLCertVerificationError):
            return None
        text = fault.verify_message
        if "expired" in text or "not yet valid" in text:
            return "renew the server's certificate, or set this machine's clock"
        return hints.certificate_name if "match" in text or "mismatch" in text.lower() else hints.certificate_authority


class _Connection:
    """A connection of the pool; it carries one request at a time."""

    def __init__(self, pool: ConnectionPool, sock: Any, proxy_headers: dict[str, str] | None) -> None:
        self.pool = pool
        self._sock = sock
        self._deadline_socket = dialer.DeadlineSocket(sock, 0.0)
        # For a server without TLS a proxy gets the absolute URL (RFC 9112, section 3.2.2), with its own headers.
        self._proxy_headers = proxy_headers if proxy_headers is not None and not pool.is_encrypted else None
        self._http = http.client.HTTPConnection(pool.server.host, pool.server.port)
        self._http.auto_open = 0
        self._http.sock = self._deadline_socket

    def send(self, method: str, target: str, headers: dict[str, str], body: Body, deadline: float) -> StreamedResponse:
        """Send a request; the response, its body not yet read. Raises ConnectionBroken."""
        self._deadline_socket.deadline = deadline
        was_sent = False
        if self._proxy_headers is not None:
            target, headers = self.pool.server.origin + target, {**headers, **self._proxy_headers}
        try:
            try:
                self._http.request(method, target, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                was_sent = True  # the server may have responded before it had read the request
            was_sent = True
            response = self._http.getresponse()
            self._deadline_socket.check_head()
            return StreamedResponse(self, response)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise self.translate_error(fault, was_sent) from fault

    def translate_error(self, fault: OSError | http.client.HTTPException | ValueError, was_sent: bool = True) -> ConnectionBroken:
        """The exception to raise for ``fault``."""
        return ConnectionBroken(*self.pool.translate_error(fault), was_sent=was_sent)

    def set_deadline(self, deadline: float) -> None:
        """Set the deadline of the operations that follow."""
        self._deadline_socket.deadline = deadline

    def is_alive(self) -> bool:
        """Whether the server has not closed the idle connection, nor sent anything on it."""
        import select

        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def is_reusable(self) -> bool:
        """Whether the server keeps it open after this response."""
        return self._http.sock is not None

    def close(self) -> None:
        """Close it."""
        self._http.close()
        self._sock.close()


class StreamedResponse:
    """A response whose body is read in chunks. ``headers`` have names in lower case; ``length`` is that of the body, if it is known."""

    def __init__(self, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers: dict[str, str] = {}
        for name, value in response.getheaders():
            name = name.lower()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.length = response.length
        self._connection: _Connection | None = connection
        self._response = response
        self._received_bytes = 0

    def read_chunk(self, deadline: float | None = None) -> bytes:
        """The next bytes of the body; b"" at its end, when the connection is released. Raises ConnectionBroken when it is cut off."""
        if self._connection is None:
            return b""
        if deadline is not None:
            self._connection.set_deadline(deadline)
        try:
            chunk = self._response.read1(1 << 16)
            self._received_bytes += len(chunk)
            if not chunk and self.length is not None and self._received_bytes < self.length:  # read1 does not raise it
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException, ValueError) as fault:
            broken = self._connection.translate_error(fault)
            self.abort()
            raise broken from fault
        if not chunk:
            self._response.close()
            connection, self._connection = self._connection, None
            if connection.is_reusable():
                connection.pool.release(connection)
            else:
                connection.close()
        return chunk

    def read_body(self, limit: int) -> bytes:
        """The body. Raises BodyTooLarge above ``limit`` bytes, before it is read if Content-Length tells; ConnectionBroken when cut off."""
        chunks: list[bytes] = []
        size = 0
        while max(size, self.length or 0) <= limit:
            chunk = self.read_chunk()
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
        self.abort()
        raise BodyTooLarge(f"the response is larger than {f'{limit >> 20} MiB' if limit >= 1 << 20 else f'{limit:,} bytes'}")

    def abort(self) -> None:
        """Close the connection without reading the rest of the body."""
        if self._connection is not None:
            self._response.close()
            self._connection.close()
            self._connection = None

"""Connections to an API server: opened, kept, secured, each operation on them bounded by a deadline.

Knows TLS as a kubeconfig describes it, proxies (RFC 9110, section 9.3.6) and connections that are used again; must not know what is asked,
nor whether to ask again. Redirects are answers like others here: credentials go nowhere but to the server they are for.
"""

from __future__ import annotations

import http.client
import time
from _thread import allocate_lock

from eidos.errors import InvalidData, KubeError, Timeout
from eidos.http_wire import client as asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from typing import Any

    from eidos.errors import EidosError
    from eidos.kube.cluster_config import Cluster
    from eidos.kube.credentials import Credentials

#: Connections that are kept while nothing is asked on them.
IDLE = 8

#: Seconds: of what is left, the most that opening a connection takes.
OPENING = 15.0

#: Methods that may be sent again when nobody knows whether they were heard (RFC 9110, section 9.2.2); to apply twice is to apply once.
AGAIN = frozenset({"GET", "DELETE", "PATCH"})


class Broken(Exception):
    """No whole answer came, because of ``fault``. ``again`` says that the next may, ``sent`` that the request may have been heard."""

    def __init__(self, fault: EidosError, again: bool, sent: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.again = again
        self.sent = sent


class Transport:
    """The way to one cluster; several threads may use it."""

    def __init__(self, cluster: Cluster, credentials: Credentials) -> None:
        self.server = asking.parse_url(cluster.server)
        self.prefix = self.server.target.rstrip("/")
        self._cluster = cluster
        self._credentials = credentials
        self._idle: list[_Connection] = []
        self._lock = allocate_lock()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    @property
    def is_secret(self) -> bool:
        """Whether nobody reads along, so that credentials may be shown."""
        return self.server.scheme == "https"

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None, deadline: float) -> Reply:
        """Send a request and give what comes back, its body not yet read. Raises Broken; InvalidData or Unavailable for a certificate.

        A connection that the server ended while nothing was asked on it is no failure: another one is opened.
        """
        kept = self._kept()
        if kept is not None:
            try:
                return kept.ask(method, target, headers, body, deadline)
            except Broken as broken:
                kept.end()
                if method not in AGAIN or not broken.again or isinstance(broken.fault, Timeout):
                    raise
        connection = self._open(deadline)
        try:
            return connection.ask(method, target, headers, body, deadline)
        except BaseException:
            connection.end()
            raise

    def renew(self) -> None:
        """Whoever asks shows something else from now on: what is open was opened with what was shown before."""
        with self._lock:
            self._tls, idle, self._idle = None, self._idle, []
        for each in idle:
            each.end()

    def close(self) -> None:
        """End all that is not in use, and what is in use once it no longer is."""
        self._closed = True
        self.renew()

    def keep(self, connection: _Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        connection.end()

    def _kept(self) -> _Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                found = self._idle.pop()
            if found.is_quiet():
                return found
            found.end()

    def _open(self, deadline: float) -> _Connection:
        proxy, context = None, self._context()
        try:
            until = min(deadline, time.monotonic() + OPENING)
            if self._cluster.proxy:
                from eidos.kube.proxy_tunnel import Proxy

                proxy = Proxy(self._cluster.proxy)
                sock = proxy.open(self.server, context, self.name, until)
            else:
                sock = asking.dial(self.server.host, self.server.port, until, self._secured if context else None)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise Broken(*self._explained(fault), sent=False) from fault
        return _Connection(self, sock, proxy.shown if proxy else None)

    def _secured(self, sock: socket.socket, _host: str, deadline: float) -> socket.socket:
        sock.settimeout(asking.left(deadline))
        context = self._context()
        assert context is not None
        return context.wrap_socket(sock, server_hostname=self.name)

    @property
    def name(self) -> str:
        """What the server's certificate must say."""
        return self._cluster.tls_server_name or self.server.host

    def _context(self) -> ssl.SSLContext | None:
        """How the server is known, and what it is shown. None for one without TLS."""
        if not self.is_secret:
            return None
        with self._lock:
            found = self._tls
        if found is not None:
            return found
        import ssl

        cluster = self._cluster
        try:
            context = ssl.create_default_context(cadata=cluster.ca.decode("ascii", "ignore") if cluster.ca is not None else None)
        except (ssl.SSLError, ValueError) as fault:
            raise InvalidData(f"{cluster.source}: its certificate-authority is no certificate in PEM") from fault
        # As kubectl does. What is strict since Python 3.13 refuses the authorities that EKS and others gave their clusters, and an
        # authority may itself be signed by another.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)
        if cluster.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        self._credentials.present(context)
        with self._lock:
            self._tls = context
        return context

    def _explained(self, fault: OSError | http.client.HTTPException | ValueError) -> tuple[EidosError, bool]:
        """What went wrong, and whether it may be otherwise in a moment."""
        found = getattr(fault, "fault", None) or asking.explained(self._cluster.server, fault)
        if not isinstance(found, asking.Unanswered):
            return found, True
        return KubeError(found.message, self._advice(fault) or found.hint), found.passing

    def _advice(self, fault: BaseException) -> str | None:
        import ssl

        if isinstance(fault, ConnectionRefusedError):
            return f"see whether the cluster is up, and whether {self._cluster.source} has the right server"
        if not isinstance(fault, ssl.SSLCertVerificationError):
            return None
        text = fault.verify_message
        if "expired" in text or "not yet valid" in text:
            return "renew the server's certificate, or set this machine's clock"
        if "match" in text or "mismatch" in text.lower():
            return "tls-server-name in the kubeconfig says which name its certificate has"
        return f"see whether the certificate-authority in {self._cluster.source} is the one of this cluster"


class _Connection:
    """One of them; one request at a time."""

    def __init__(self, transport: Transport, sock: Any, proxy: dict[str, str] | None) -> None:
        self.transport = transport
        self._sock = sock
        self._timed = asking.Timed(sock, 0.0)
        # To a server without TLS a proxy is asked for the whole URL (RFC 9112, section 3.2.2).
        self._proxy = proxy if proxy is not None and not transport.is_secret else None
        self._http = http.client.HTTPConnection(transport.server.host, transport.server.port)
        self._http.auto_open = 0
        self._http.sock = self._timed

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None, deadline: float) -> Reply:
        self._timed.deadline = deadline
        sent = False
        if self._proxy is not None:
            target, headers = self.transport.server.origin + target, {**headers, **self._proxy}
        try:
            try:
                self._http.request(method, target, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                sent = True  # it may have answered before it had heard everything
            sent = True
            return Reply(self, self._http.getresponse())
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise self.broken(fault, sent) from fault

    def broken(self, fault: OSError | http.client.HTTPException | ValueError, sent: bool = True) -> Broken:
        """What went wrong."""
        return Broken(*self.transport._explained(fault), sent=sent)

    def until(self, deadline: float) -> None:
        """From now on it ends then."""
        self._timed.deadline = deadline

    def is_quiet(self) -> bool:
        """Whether nothing came while nothing was asked: then the server has not ended it."""
        import select

        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def is_whole(self) -> bool:
        """Whether it can be used again."""
        return self._http.sock is not None

    def end(self) -> None:
        """Close it."""
        self._http.close()
        self._sock.close()


class Reply:
    """An answer whose body is still to come. ``headers`` have names in lower case."""

    def __init__(self, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.length = response.length
        self._connection: _Connection | None = connection
        self._response = response
        self._got = 0

    def read(self, deadline: float | None = None) -> bytes:
        """What has come of the body, at least a byte; nothing at its end: the connection goes back. Raises Broken when it is cut off."""
        if self._connection is None:
            return b""
        if deadline is not None:
            self._connection.until(deadline)
        try:
            part = self._response.read1(1 << 16)
            self._got += len(part)
            if not part and self.length is not None and self._got < self.length:  # read1 does not say so itself
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException, ValueError) as fault:
            broken = self._connection.broken(fault)
            self.drop()
            raise broken from fault
        if not part:
            self._response.close()
            connection, self._connection = self._connection, None
            if connection.is_whole():
                connection.transport.keep(connection)
            else:
                connection.end()
        return part

    def drop(self) -> None:
        """Read no more."""
        if self._connection is not None:
            self._response.close()
            self._connection.end()
            self._connection = None

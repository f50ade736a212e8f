"""Asking an HTTP server: one request, one answer, both bounded.

Knows ``http.client`` and what goes wrong on the way, and translates it once; must not know what is asked for, nor whether to ask again.

A request ends at its deadline, whatever the other side does: names are looked up in a thread that can be abandoned, and every
operation on the socket gets what is left of the time. An answer is read as far as its bound. Certificates are verified. A redirect
is followed for what changes nothing; credentials go to the origin that they were meant for and to no other (RFC 9110, section 15.4), and
nothing goes from https to http. Proxies that the environment names are not used: a service that is asked is named by its own address.
"""

from __future__ import annotations

import time

from eidos.errors import InvalidInput, Timeout, Unavailable
from eidos.log import printable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from http.client import HTTPResponse
    from typing import Any

    from eidos.errors import EidosError

    Secured = Callable[[socket.socket, str, float], socket.socket]
    Address = tuple[int, int, int, str, tuple[Any, ...]]

#: Bytes of an answer's body, redirects in a row, and bytes of a URL.
BODY_LIMIT, REDIRECTS, URL_LIMIT = 16 << 20, 5, 8192

#: Headers that say who asks.
CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})

_PART = 1 << 16

_REDIRECT = {301, 302, 303, 307, 308}


class Unanswered(Unavailable):
    """No answer came, or none that is one. ``passing`` says that it may be otherwise in a moment."""

    def __init__(self, message: str, hint: str | None = None, passing: bool = True) -> None:
        super().__init__(message, hint)
        self.passing = passing


class Url(Record):
    """An absolute URL, taken apart: ``scheme`` http or https, ``host`` without brackets, ``target`` path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """The URL without its target, as it may be shown to anybody."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme] == self.port
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")


class Answer(Record):
    """``headers`` have names in lower case; of repeated ones the values are joined by ``", "``. ``url`` is where it came from."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: Url


def parse_url(text: str) -> Url:
    """Take a URL apart; InvalidInput for what is no http URL, or holds a password.

    >>> parse_url("https://example.com/v1?x=1").origin, parse_url("http://[2001:db8::1]:8080").target
    ('https://example.com', '/')
    """
    from urllib.parse import urlsplit

    hint = "write it like https://eidos.example.com"
    if len(text) > URL_LIMIT or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(f"{text[:100]!r} is no URL", hint)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as fault:
        raise InvalidInput(f"{text!r} is no URL: {fault}", hint) from fault
    if "@" in parts.netloc:
        raise InvalidInput("a URL that holds a name or a password is not taken: others can see it", hint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{text!r} is no http or https URL", hint)
    if port == 0:
        raise InvalidInput(f"{text!r}: there is no port 0", hint)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], target)


def request(
    method: str,
    url: str,
    *,
    deadline: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limit: int = BODY_LIMIT,
) -> Answer:
    """Ask, and give what was answered, whatever its status; redirects of GET and HEAD are followed.

    ``deadline`` is on ``time.monotonic``. Raises Timeout when it passes; Unanswered when no answer came, or one that is cut off, malformed
    or larger than ``limit`` bytes; InvalidInput for what is no URL.
    """
    at, sent = parse_url(url), dict(headers or {})
    for _ in range(REDIRECTS + 1):
        answer = _once(method, at, sent, body, deadline, limit)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECT or location is None or method not in ("GET", "HEAD"):
            return answer
        to = _redirected(at, location)
        if to.origin != at.origin:
            sent = {name: value for name, value in sent.items() if name.lower() not in CREDENTIALS}
        at = to
    raise Unanswered(f"{at.origin}: more than {REDIRECTS} redirects in a row", passing=False)


def _redirected(at: Url, location: str) -> Url:
    from urllib.parse import urljoin

    try:
        to = parse_url(urljoin(at.origin + at.target, location))
    except (InvalidInput, ValueError) as fault:
        raise Unanswered(f"{at.origin}: it redirects to {printable(location[:100])!r}, which is no URL", passing=False) from fault
    if (at.scheme, to.scheme) == ("https", "http"):
        raise Unanswered(f"{at.origin}: it redirects to {to.origin}, where everybody can read along", passing=False)
    return to


def _once(method: str, url: Url, headers: Mapping[str, str], body: bytes | None, deadline: float, limit: int) -> Answer:
    import http.client

    connection = http.client.HTTPConnection(url.host, url.port)
    what, timed = url.origin, None
    try:
        secured = _secured if url.scheme == "https" else None
        connection.sock = timed = Timed(dial(url.host, url.port, deadline, secured), deadline)
        try:
            connection.request(method, url.target, body, {"Accept-Encoding": "identity", "Connection": "close", **headers})
        except BrokenPipeError:
            pass  # it answered before it had heard everything, and says why
        response = connection.getresponse()
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            name = name.lower()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return Answer(response.status, found, _body(response, found, what, limit), url)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise explained(what, fault) from fault
    finally:
        if timed is not None:
            timed.end()


def explained(what: str, fault: OSError | http.client.HTTPException | ValueError) -> EidosError:
    """What went wrong on the way to ``what``: Timeout or :class:`Unanswered`."""
    import http.client
    import socket
    import ssl

    if isinstance(fault, (TimeoutError, socket.timeout)):  # the same from Python 3.10 on
        return _late(what)
    if isinstance(fault, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names a file with the certificates to trust"
        return Unanswered(f"{what}: its certificate is not trusted: {fault.verify_message}", hint, passing=False)
    if isinstance(fault, ssl.SSLError):
        reason = fault.reason or "it broke off"
        return Unanswered(f"{what}: TLS failed: {reason}", "is it an https server?", isinstance(fault, ssl.SSLEOFError))
    if isinstance(fault, http.client.RemoteDisconnected):
        return Unanswered(f"{what}: it hung up without an answer")
    if isinstance(fault, http.client.IncompleteRead):
        return Unanswered(f"{what}: its answer is cut off")
    if isinstance(fault, (http.client.HTTPException, ValueError)):
        return Unanswered(f"{what}: what it answers is not HTTP", "is this the address of the service?", passing=False)
    if isinstance(fault, socket.gaierror):
        again = fault.errno == socket.EAI_AGAIN  # whoever knows names did not answer
        return Unanswered(f"{what}: no address is known for this name", "see whether it is written right", again)
    runs = "see whether the service runs there" if isinstance(fault, ConnectionRefusedError) else None
    return Unanswered(f"{what}: {(fault.strerror or str(fault)).lower()}", runs)


def _late(what: str) -> Timeout:
    return Timeout(f"{what}: no answer in time", "give it more time with --timeout, or see whether the service is up")


def _body(response: HTTPResponse, headers: Mapping[str, str], what: str, limit: int) -> bytes:
    """The body, read no further than ``limit``; the size that was promised is refused before it comes."""
    if response.length is not None and response.length > limit:
        raise Unanswered(f"{what}: its answer is larger than {limit:,} bytes", passing=False)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Unanswered(f"{what}: its answer is encoded in a way that was not asked for", passing=False)
    expected, parts, size = response.length, [], 0
    while part := response.read(_PART):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Unanswered(f"{what}: its answer is larger than {limit:,} bytes", passing=False)
    found = b"".join(parts)
    if expected is not None and len(found) < expected:  # read(amount) does not say so itself
        raise Unanswered(f"{what}: its answer is cut off")
    return found


def left(deadline: float) -> float:
    """Seconds until ``deadline``; TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def dial(host: str, port: int, deadline: float, secured: Secured | None = None) -> socket.socket:
    """A connection to the first address that answers, each gets its part of the time; ``secured`` then makes it one over TLS.

    Raises OSError for what :func:`explained` explains.
    """
    import socket

    addresses = _addresses(host, port, deadline)
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return secured(sock, host, deadline) if secured else sock
        except OSError as fault:
            sock.close()
            # What a certificate says does not get better at another address.
            if index == len(addresses) - 1 or type(fault).__module__ == "ssl":
                raise
        except BaseException:
            sock.close()
            raise
    raise OSError("no address")


def _secured(sock: socket.socket, host: str, deadline: float) -> socket.socket:
    import ssl

    sock.settimeout(left(deadline))
    return ssl.create_default_context().wrap_socket(sock, server_hostname=host)


def _addresses(host: str, port: int, deadline: float) -> Sequence[Address]:
    """What the name stands for. The system's resolver takes no deadline, so it is asked from a thread that can be left behind."""
    import socket

    def look_up() -> Sequence[Address]:
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:8]
        except UnicodeError as fault:
            raise socket.gaierror(str(fault)) from fault

    if host.replace(".", "").isdigit() or ":" in host:
        return look_up()
    from eidos.process.thread_pool import call_in_thread, wait_for

    return wait_for(call_in_thread(look_up, "resolver"), left(deadline))


class Timed:
    """A socket as ``http.client`` needs it, whose every operation ends at ``deadline``; that may be set anew."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self.deadline = deadline
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        """Send all of it, in parts: TLS counts the time of each."""
        for start in range(0, len(data), _PART):
            self._sock.settimeout(left(self.deadline))
            self._sock.sendall(data[start : start + _PART])

    def recv_into(self, buffer: Any) -> int:
        """Receive what there is."""
        self._sock.settimeout(left(self.deadline))
        return int(self._sock.recv_into(buffer))

    def makefile(self, _mode: str) -> Any:
        """A reader, as an answer wants one."""
        import io

        receive = self.recv_into

        class Raw(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                return receive(buffer)

        return io.BufferedReader(Raw())

    def close(self) -> None:
        """Not yet: ``http.client`` says so before the answer's body is read."""

    def end(self) -> None:
        """Close it."""
        self._sock.close()

"""HTTP messages as values: a request, a response, and the error that becomes a response; and the bytes of a response.

Knows the parts of a message, and how a response is written (RFC 9112, section 4, and RFC 9110, section 6); must not know sockets, routes or
limits, nor what a response means.
"""

from __future__ import annotations

import time

from eidos.errors import EidosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

#: RFC 9110, section 15.2.1.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Statuses whose responses never have a body (RFC 9110, section 6.4.1).
BODILESS = frozenset((204, 304))

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HttpError(EidosError):
    """A request gets an error response: ``status``, a ``hint`` for people and ``details`` for programs.

    ``headers`` are added to the response, such as ``Allow`` or ``Retry-After``.
    """

    code = "refused"

    def __init__(
        self,
        status: int,
        message: str,
        hint: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.details = details
        self.headers = tuple(headers)


class Request:
    """One request with its complete body. Type checkers refuse to change it; a frozen record would take three times as long to make.

    ``target`` is the request target as received, ``path`` its path percent-decoded once, ``query`` the raw text after ``?``.
    ``headers`` have lower-case names; repeated ones are joined by ``", "`` (RFC 9110, section 5.3). ``client`` is the address that rate
    limits count, ``peer`` that of the connection. ``id`` is the request's UUID.
    """

    __slots__ = ("body", "client", "headers", "id", "method", "path", "peer", "query", "target")

    def __init__(
        self,
        method: str,
        target: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        client: str,
        peer: str,
        id: str,
    ) -> None:
        self.method: Final = method
        self.target: Final = target
        self.path: Final = path
        self.query: Final = query
        self.headers: Final = headers
        self.body: Final = body
        self.client: Final = client
        self.peer: Final = peer
        self.id: Final = id


class Response:
    """One response. ``route`` is the template of the route that made it, for metrics and logs; ``""`` when there is none."""

    __slots__ = ("_headers", "body", "route", "status")

    def __init__(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, route: str = "") -> None:
        self.status: Final = status
        self._headers: Final = headers
        self.body: Final = body
        self.route: Final = route

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values, without Date, Connection, Content-Length and Server: the transport writes these."""
        return self._headers


class PreparedResponse(Response):
    """A response whose headers are formatted, with Content-Length: ``lines`` as they are sent."""

    __slots__ = ("lines",)

    def __init__(self, status: int, lines: str, body: bytes, route: str) -> None:
        super().__init__(status, (), body, route)
        self.lines: Final = lines

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """As those of any response."""
        pairs = (tuple(line.split(": ", 1)) for line in self.lines.split("\r\n") if line)
        return tuple((name, value) for name, value in pairs if name != "Content-Length")


def format_headers(headers: Sequence[tuple[str, str]]) -> str:
    r"""Header lines as they are sent; ValueError when one would break out of its line.

    >>> format_headers([("A", "b"), ("C", "d")])
    'A: b\r\nC: d\r\n'
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header of a response contains a line break")
    return lines


class ResponseEncoder:
    r"""Writes responses; what all responses of one second begin with is formatted once.

    ``reasons`` gives for each status its reason phrase, first of what it holds, as ``http.server`` has it. ``server`` is the Server header.

    >>> from eidos.http_wire.messages import Response
    >>> encoder = ResponseEncoder({200: ("OK",)}, "example")
    >>> encoder.encode(Response(200, (), b"hi")).split(b"\r\n")[0::4]
    [b'HTTP/1.1 200 OK', b'']
    """

    def __init__(self, reasons: Mapping[int, Sequence[str]], server: str) -> None:
        self._reasons = reasons
        self._server = server
        self._second = 0
        self._status_lines: dict[int, str] = {}

    def encode(self, response: Response, *, is_head: bool = False, close: bool = False, is_http_1_0: bool = False) -> bytes:
        """The bytes of a response: to a HEAD request, on a connection that closes, to a client of HTTP/1.0.

        Raises ValueError when a header would break out of its line.
        """
        now = int(time.time())
        if now != self._second:
            self._second, self._status_lines = now, {}
        status, body = response.status, response.body
        start = self._status_lines.get(status) or self._start(status)
        if type(response) is PreparedResponse:
            fields = response.lines
        else:
            fields = format_headers(response.headers)
            if status not in BODILESS:
                fields = f"{fields}Content-Length: {len(body)}\r\n"
        end = "Connection: close\r\n\r\n" if close else "Connection: keep-alive\r\n\r\n" if is_http_1_0 else "\r\n"
        head = f"{start}{fields}{end}".encode("latin-1", "replace")
        return head if is_head or status in BODILESS else head + body

    def _start(self, status: int) -> str:
        at = time.gmtime(self._second)
        # RFC 9110, section 5.6.7; strftime would follow the locale.
        date = f"{_DAYS[at[6]]}, {at[2]:02} {_MONTHS[at[1] - 1]} {at[0]} {at[3]:02}:{at[4]:02}:{at[5]:02} GMT"
        reason = self._reasons.get(status, ("",))[0]
        start = f"HTTP/1.1 {status} {reason}\r\nServer: {self._server}\r\nDate: {date}\r\n"
        self._status_lines[status] = start
        return start

"""HTTP messages as values: a request, a response, and the error that becomes a response.

Knows the parts of a message; must not know sockets, routes, limits or times.
"""

from __future__ import annotations

from eidos.errors import EidosError
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final


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


class Response(Record):
    """One response. ``route`` is the template of the route that made it, for metrics and logs; ``""`` when there is none.

    ``headers`` do not hold ``Date``, ``Connection``, ``Content-Length`` or ``Server``: the transport writes these.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    route: str = ""

    def __init__(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, route: str = "") -> None:
        # As the base does it, in a third of its time: there is one for each request.
        self.__dict__.update(status=status, headers=headers, body=body, route=route)


class PreparedResponse(Response):
    """A response whose headers are formatted, with Content-Length: ``lines`` as they are sent."""

    lines: str = ""

    def __init__(self, status: int, lines: str, body: bytes, route: str) -> None:
        self.__dict__.update(status=status, lines=lines, body=body, route=route)

    if not TYPE_CHECKING:

        @property
        def headers(self) -> tuple[tuple[str, str], ...]:
            """All but Content-Length, as in any response."""
            pairs = (tuple(line.split(": ", 1)) for line in self.lines.split("\r\n") if line)
            return tuple(pair for pair in pairs if pair[0] != "Content-Length")


def format_headers(headers: Sequence[tuple[str, str]]) -> str:
    r"""Header lines as they are sent; ValueError when one would break out of its line.

    >>> format_headers([("A", "b"), ("C", "d")])
    'A: b\r\nC: d\r\n'
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header of a response contains a line break")
    return lines

"""How a failure is said over HTTP: one envelope, and the status and the code word for each kind of failure.

Knows which failure is which status, and both forms of the envelope: our own, and that of RFC 9457 for whoever accepts
``application/problem+json``; must not know routes, sockets or what failed. A message is text for people: what is not printable in it is
escaped, what is long is cut, and nothing of the host or of a library is put into it by whoever makes one.

>>> envelope(404, "", "there is no /v2", "0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a", "").status
404
"""

from __future__ import annotations

import json
import time

from eidos.errors import EidosError
from eidos.http_wire.messages import Response
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

INVALID_REQUEST = "INVALID_REQUEST"
NOT_FOUND = "NOT_FOUND"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
INTERNAL_ERROR = "INTERNAL_ERROR"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"

#: Every code that an envelope can hold.
CODES = (
    INVALID_REQUEST,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    PAYLOAD_TOO_LARGE,
    RATE_LIMIT_EXCEEDED,
    INTERNAL_ERROR,
    SERVICE_UNAVAILABLE,
)

#: Status → code and reason phrase (RFC 9110, section 15; RFC 6585), all that there are.
STATUSES = {
    400: (INVALID_REQUEST, "Bad Request"),
    404: (NOT_FOUND, "Not Found"),
    405: (METHOD_NOT_ALLOWED, "Method Not Allowed"),
    406: (INVALID_REQUEST, "Not Acceptable"),
    408: (INVALID_REQUEST, "Request Timeout"),
    413: (PAYLOAD_TOO_LARGE, "Content Too Large"),
    414: (INVALID_REQUEST, "URI Too Long"),
    415: (INVALID_REQUEST, "Unsupported Media Type"),
    417: (INVALID_REQUEST, "Expectation Failed"),
    429: (RATE_LIMIT_EXCEEDED, "Too Many Requests"),
    431: (INVALID_REQUEST, "Request Header Fields Too Large"),
    500: (INTERNAL_ERROR, "Internal Server Error"),
    503: (SERVICE_UNAVAILABLE, "Service Unavailable"),
}

#: The code of an EidosError → status. What is not here is a failure of the server's own.
KINDS = {
    "invalid-input": 400,
    "invalid-data": 400,
    "integrity": 400,
    "not-found": 404,
    "rate-limited": 429,
    "timeout": 503,
    "unavailable": 503,
}

PROBLEM = "application/problem+json"
JSON = "application/json"

#: The most characters of a message or of one detail.
LONGEST = 2000


class Refused(EidosError):
    """A request that gets an error for its answer: ``status``, what the client can do (``hint``), ``details`` for programs.

    ``headers`` are added to the answer: ``Allow``, ``Retry-After``.
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


def status_of(fault: EidosError) -> int:
    """The HTTP status of a failure."""
    return fault.status if isinstance(fault, Refused) else KINDS.get(fault.code, 500)


def envelope(
    status: int,
    code: str,
    message: str,
    request_id: str,
    accept: str,
    details: Mapping[str, Any] | None = None,
    retryable: bool = False,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """The answer that says a failure.

    ``code`` is one of :data:`CODES`, ``""`` for that of the status; ``accept`` is the request's Accept header, or ``""``. ``headers``
    are added to those that every error has: ``Content-Type``, ``Cache-Control: no-store``, ``Vary``, ``X-Request-Id``.
    """
    usual, title = STATUSES.get(status, (INVALID_REQUEST if status < 500 else INTERNAL_ERROR, "Error"))
    tree: dict[str, Any] = {"code": code or usual, "message": _text(message), "details": _plain(details or {})}
    tree["requestId"] = request_id
    tree["timestamp"] = _now()
    tree["retryable"] = retryable
    kind = JSON
    if "problem+json" in accept:
        from eidos.server.negotiation import choose

        kind = choose(accept, (JSON, PROBLEM)) or JSON
    if kind == PROBLEM:
        tree["detail"] = tree.pop("message")
        # RFC 9457, section 4.2.1: the status says all there is to say, so the title is its phrase.
        tree = {"type": "about:blank", "title": title, "status": status, "instance": f"urn:uuid:{request_id}", **tree}
    body = (json.dumps(tree) + "\n").encode()
    fixed = (("Content-Type", kind), ("Cache-Control", "no-store"), ("Vary", "Accept"), ("X-Request-Id", request_id))
    return Response(status, (*fixed, ("X-API-Version", "v1"), *headers), body)


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def _text(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plain(tree: Any) -> Any:
    """Details as JSON can say them: texts are printable and short, what is neither text, number, list nor mapping is text."""
    if isinstance(tree, dict):
        return {_text(str(key)): _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(item) for item in tree]
    return tree if tree is None or isinstance(tree, (bool, int, float)) else _text(str(tree))

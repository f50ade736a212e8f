"""Error responses: one envelope for all, and the status and the code word of each kind of failure.

Knows which failure is which status, and both forms of the envelope: our own, and that of RFC 9457 for whoever accepts
``application/problem+json``; must not know routes, sockets or what failed. A message is text for people: what is not printable in it is
escaped, what is long is cut, and paths of the host are replaced.

>>> error_response(404, "there is no /v2", "0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a", "").status
404
"""

from __future__ import annotations

import json
import re

from eidos import log
from eidos.errors import EidosError, Timeout
from eidos.http_wire.messages import HttpError, Response
from eidos.server.negotiation import choose
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.http_wire.messages import Request
    from eidos.server.request_context import RequestContext

    Headers = tuple[tuple[str, str], ...]

#: Status → reason phrase (RFC 9110, section 15; RFC 6585) and code, of every error that is sent.
STATUSES = {
    400: ("Bad Request", "INVALID_REQUEST"),
    404: ("Not Found", "NOT_FOUND"),
    405: ("Method Not Allowed", "METHOD_NOT_ALLOWED"),
    406: ("Not Acceptable", "INVALID_REQUEST"),
    408: ("Request Timeout", "INVALID_REQUEST"),
    412: ("Precondition Failed", "PRECONDITION_FAILED"),
    413: ("Content Too Large", "PAYLOAD_TOO_LARGE"),
    414: ("URI Too Long", "INVALID_REQUEST"),
    415: ("Unsupported Media Type", "INVALID_REQUEST"),
    417: ("Expectation Failed", "INVALID_REQUEST"),
    429: ("Too Many Requests", "RATE_LIMIT_EXCEEDED"),
    431: ("Request Header Fields Too Large", "INVALID_REQUEST"),
    500: ("Internal Server Error", "INTERNAL_ERROR"),
    503: ("Service Unavailable", "SERVICE_UNAVAILABLE"),
}

#: Every code that an envelope can hold.
CODES = tuple(dict.fromkeys(code for _, code in STATUSES.values()))

#: The code of an EidosError → status. What is not here is a failure of the server's own.
STATUS_OF_CODE = {
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

#: Characters of a message or of one detail.
TEXT_LIMIT = 2000


def error_response(
    status: int,
    message: str,
    request_id: str,
    accept: str,
    details: Mapping[str, Any] | None = None,
    retryable: bool = False,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """The response for an error; ``accept`` is the request's Accept header, or ``""``.

    ``headers`` are added to those that every error has: ``Content-Type``, ``Cache-Control: no-store``, ``Vary``, ``X-Request-Id``.
    """
    title, code = STATUSES.get(status, ("Error", "INVALID_REQUEST" if status < 500 else "INTERNAL_ERROR"))
    tree: dict[str, Any] = {"code": code, "message": _text(message), "details": _plain(details or {})}
    tree["requestId"] = request_id
    tree["timestamp"] = log.utc_timestamp()
    tree["retryable"] = retryable
    media_type = JSON
    if "problem+json" in accept:
        media_type = choose(accept, (JSON, PROBLEM)) or JSON
    if media_type == PROBLEM:
        tree["detail"] = tree.pop("message")
        # RFC 9457, section 4.2.1: the status tells all there is to tell, so the title is its phrase.
        tree = {"type": "about:blank", "title": title, "status": status, "instance": f"urn:uuid:{request_id}", **tree}
    body = (json.dumps(tree) + "\n").encode()
    common = (("Content-Type", media_type), ("Cache-Control", "no-store"), ("Vary", "Accept"), ("X-Request-Id", request_id))
    return Response(status, (*common, ("X-API-Version", "v1"), *headers), body)


def protocol_error_response(error: HttpError, request_id: str, accept: str) -> Response:
    """The response to what is no valid request."""
    status, details = error.status, error.details or ({"hint": error.hint} if error.hint else None)
    return error_response(status, error.message, request_id, accept, details, status in (408, 503), error.headers)


def failure_response(status: int, message: str, request: Request) -> Response:
    """The response to a request that the application did not answer: 503 when it may do so later, else 500."""
    retryable = status == 503
    headers = (("Retry-After", "1"),) if retryable else ()
    return error_response(status, message, request.id, request.headers.get("accept", ""), retryable=retryable, headers=headers)


def fault_response(fault: EidosError, context: RequestContext, headers: Headers, route: str, paths: Sequence[str] = ()) -> Response:
    """The response to a request that failed in a way that was foreseen; ``paths`` of the host are not shown."""
    request = context.request
    message = hide_paths(fault.message, paths)
    details: dict[str, Any] = {}
    own_headers: Headers = ()
    if isinstance(fault, HttpError):
        status, own_headers = fault.status, fault.headers
        details.update(fault.details or {})
    else:
        status = STATUS_OF_CODE.get(fault.code, 500)
        if status >= 500:
            # That a client is gone is no failure of the server, and any client can cause it.
            write = log.debug if context.deadline.is_cancelled else log.warn if isinstance(fault, Timeout) else log.error
            write(fault.message, request_id=request.id, hint=fault.hint)
            message = "the request took too long" if isinstance(fault, Timeout) else "a required resource is unavailable"
    if fault.hint and (status < 500 or isinstance(fault, HttpError)):
        details["hint"] = fault.hint
    if status == 503 and not any(name == "Retry-After" for name, _ in own_headers):
        own_headers = (*own_headers, ("Retry-After", "1"))
    accept = request.headers.get("accept", "")
    response = error_response(status, message, request.id, accept, details, status in (429, 503), own_headers)
    return Response(status, response.headers + tuple(pair for pair in headers if pair[0] != "X-Request-Id"), response.body, route)


def hide_paths(message: str, paths: Sequence[str]) -> str:
    """A message in which ``paths`` of the host are replaced."""
    for path in paths:
        if "/" in path:
            message = message.replace(path, "the recipe data")
        else:  # it can be part of any word
            message = re.sub(rf"(?<![\w./-]){re.escape(path)}(?=/|:|,|$)", "the recipe data", message)
    return message


def _text(text: str) -> str:
    return shorten(log.printable(text), TEXT_LIMIT)


def _plain(tree: Any) -> Any:
    """Details as JSON can hold them: texts are printable and short, what is neither text, number, list nor mapping is text."""
    if isinstance(tree, dict):
        return {_text(str(key)): _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(item) for item in tree]
    return tree if tree is None or isinstance(tree, (bool, int, float)) else _text(str(tree))

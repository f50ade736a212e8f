"""Answers as bytes.

Knows how an answer is written (RFC 9112, section 4, and RFC 9110, section 6); must not know what it says or where it goes.
"""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler

from eidos.server.error_responses import STATUSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.messages import Response

#: RFC 9110, section 15.2.1.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: What the server calls itself; which version it is, is nobody's business but that of ``GET /``.
SERVER = "eidos-api-server"

#: Answers that never have a body (RFC 9110, section 6.4.1).
BODILESS = frozenset((204, 304))

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class _Second:
    """Status lines of the second that it is, with the fields that every answer has."""

    now = 0
    starts: dict[int, str] = {}


def encode(response: Response, *, head: bool = False, close: bool = False, old: bool = False) -> bytes:
    """The bytes of an answer: to a HEAD request, on a connection that closes, to a client of HTTP/1.0.

    Raises ValueError when a field would break out of its line.
    """
    now = int(time.time())
    if now != _Second.now:
        _Second.now, _Second.starts = now, {}
    status, headers, body = response.status, response.headers, response.body
    start = _Second.starts.get(status) or _start(status, now)
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a field of an answer holds a line break")
    if status not in BODILESS:
        fields = f"{fields}Content-Length: {len(body)}\r\n"
    end = "Connection: close\r\n\r\n" if close else "Connection: keep-alive\r\n\r\n" if old else "\r\n"
    top = f"{start}{fields}{end}".encode("latin-1", "replace")
    return top if head or status in BODILESS else top + body


def _start(status: int, now: int) -> str:
    at = time.gmtime(now)
    # RFC 9110, section 5.6.7; strftime would follow the locale.
    date = f"{_DAYS[at[6]]}, {at[2]:02} {_MONTHS[at[1] - 1]} {at[0]} {at[3]:02}:{at[4]:02}:{at[5]:02} GMT"
    phrase = STATUSES[status][1] if status in STATUSES else BaseHTTPRequestHandler.responses.get(status, ("",))[0]
    start = f"HTTP/1.1 {status} {phrase}\r\nServer: {SERVER}\r\nDate: {date}\r\n"
    _Second.starts[status] = start
    return start

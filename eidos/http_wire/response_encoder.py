"""Responses as bytes.

Knows how a response is written (RFC 9112, section 4, and RFC 9110, section 6); must not know what it means or where it goes.
"""

from __future__ import annotations

import time

from eidos.http_wire.messages import PreparedResponse, format_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eidos.http_wire.messages import Response

#: RFC 9110, section 15.2.1.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Statuses whose responses never have a body (RFC 9110, section 6.4.1).
BODILESS = frozenset((204, 304))

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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

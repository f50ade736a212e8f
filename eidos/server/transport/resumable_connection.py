"""A connection that another worker can go on with when its own is killed, as long as no request has begun.

Knows when a request begins and when nothing of one is left; must not know who goes on, nor how it gets the connection.

Between two events, a connection is suspended unless a worker thread has its request: whatever was received of the next request, and what
was sent before, is noted in :class:`~eidos.server.transport.connection_failover.ConnectionFailover`. An event begins a request before it
takes anything from the socket. A response is counted before it is sent: a client that has it may already have sent the next request.
"""

from __future__ import annotations

import socket

from eidos.http_wire.request_parser import BODY, RequestParser
from eidos.server.transport.connection import CLOSED, Connection
from eidos.server.transport.connection_failover import UNANSWERED_LIMIT, count_sent_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.server import HTTPServer
    from typing import Any

    from eidos.http_wire.request_head import Head, HeadCache
    from eidos.server.transport import Loop
    from eidos.server.transport.connection_failover import ConnectionFailover


class ReplayParser(RequestParser):
    r"""A parser that has the bytes of what it has not returned, as they were received.

    >>> from eidos.http_wire.request_head import HeadCache
    >>> parser = ReplayParser(HeadCache(), max_body_bytes=100)
    >>> parser.receive(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\nPOST /c HT")
    >>> parser.next_request()[0].path, parser.next_request(), parser.unanswered
    ('/a', None, b'POST /c HT')
    """

    __slots__ = ("_incomplete",)

    def __init__(self, heads: HeadCache, max_body_bytes: int) -> None:
        super().__init__(heads, max_body_bytes)
        self._incomplete = b""

    @property
    def unanswered(self) -> bytes:
        """What was received after the last request; of more than UNANSWERED_LIMIT only that it is more."""
        return self._incomplete + self._data[self._at :] if self._at < len(self._data) else self._incomplete

    def next_request(self) -> tuple[Head, bytes] | None:
        """As that of the base."""
        data, at = self._data, self._at
        message = super().next_request()
        if message is not None:
            self._incomplete = b""
        elif len(self._incomplete) <= UNANSWERED_LIMIT:
            self._incomplete += data[at:]
        return message


class ResumableConnection(Connection):
    """A connection that is suspended in ``failover`` whenever nothing of it has begun."""

    _parser: ReplayParser

    def __init__(
        self, failover: ConnectionFailover, request: socket.socket, client_address: Any, server: HTTPServer, loop: Loop, now: float
    ) -> None:
        self._failover = failover
        self._number = -1  # in failover
        self._sent_bytes = 0
        self._is_suspended = False
        super().__init__(request, client_address, server, loop, now)
        self._parser = ReplayParser(loop.heads, loop.settings.max_body)

    def on_event(self, event: int, now: float) -> None:
        """As that of the base."""
        if self.state > BODY:
            super().on_event(event, now)
            return
        self._begin()
        super().on_event(event, now)
        if not self._is_suspended and self.state <= BODY:  # there was nothing to read, or no room
            self._suspend()

    def adopt(self, content: bytes, now: float) -> None:
        """As that of the base."""
        self._sent_bytes = count_sent_bytes(self.fd)
        super().adopt(content, now)

    def take_over(self, number: int, sent: int, unanswered: bytes) -> None:
        """Be the connection of another worker, as it was suspended."""
        self._number, self._sent_bytes, self._is_suspended, self.is_enqueued = number, sent, True, True
        self.expires += self._loop.idle_timeout - self._loop.settings.idle_timeout
        self._parser.receive(unanswered)

    def go_on(self, now: float) -> None:
        """Go on with what another worker has received."""
        if self._parser.has_data:
            self._answer_requests(now)

    def close(self) -> None:
        """As that of the base."""
        if self._number >= 0 and self.state != CLOSED:
            self._failover.remove(self._number)
        super().close()

    def _answer_requests(self, now: float) -> None:
        if self._is_suspended:
            self._begin()
        super()._answer_requests(now)

    def _send(self, out: list[bytes], now: float) -> bool:
        for data in out:
            self._sent_bytes += len(data)
        if not self._closes and self._next is None:
            self._suspend()
        return super()._send(out, now)

    def _begin(self) -> None:
        if self._is_suspended:
            self._is_suspended = False
            self._failover.begin(self._number)

    def _suspend(self) -> None:
        if self._number < 0:
            self._number = self._failover.add(self.fd)
            if self._number < 0:
                return
            self.is_enqueued = True
        self._is_suspended = self._failover.suspend(self._number, self._sent_bytes, self._parser.unanswered)


def receive_connection(failover: ConnectionFailover, server: HTTPServer, loop: Loop, now: float) -> ResumableConnection | None:
    """A connection of another worker, which is gone; None when there is none, or its client is gone, too."""
    handed_over = failover.receive_inherited()
    if handed_over is None:
        return None
    number, fd, sent, unanswered = handed_over
    request = socket.socket(server.address_family, socket.SOCK_STREAM, 0, fd)
    request.setblocking(False)
    try:
        connection = ResumableConnection(failover, request, request.getpeername(), server, loop, now)
    except OSError:
        request.close()
        failover.remove(number)
        return None
    connection.take_over(number, sent, unanswered)
    return connection

"""How answers leave a connection: whole, in order, counted once each, and the connection closed so that the last of them is read.

Knows the socket, what of an answer is not sent yet and when a connection ends; must not know how a request comes in, nor what is
answered. It never blocks: what the socket does not take waits until it does, or until the time for it is over.

A connection that is refused, or whose last answer is out while the client still sends, is closed in two steps: our end first, then, when
the client has closed or time is up, all of it. Otherwise the kernel would reset it and the client might never read the answer.
"""

from __future__ import annotations

import select
import socket
import time
from http.server import BaseHTTPRequestHandler

from eidos.http_wire.response_bytes import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.http_wire.messages import Request, Response
    from eidos.http_wire.request_head import Head
    from eidos.server.error_responses import Refused
    from eidos.server.transport.event_loop import Listener

#: Between requests · in a head · in a body · an answer is made · an answer is sent · waiting for the client to close · closed.
IDLE, HEAD, BODY, WORK, SEND, LINGER, CLOSED = range(7)

#: Seconds that a client may go on after the last answer.
LINGER_TIME = 2.0

READ = select.EPOLLIN | select.EPOLLRDHUP


class Outlet(BaseHTTPRequestHandler):
    """The half of a connection that sends."""

    server: Listener

    def __init__(self, request: socket.socket, address: Any, server: Listener) -> None:
        # Not that of the base: it would read, answer and close right here, and block while it does.
        self.connection = self.request = request
        self.client_address = address
        self.server = server
        self.fd = request.fileno()
        self.state = IDLE
        self.expires = server.now + server.settings.idle_timeout
        self.seen = 0  # bytes that came and are not to be looked at again
        self.began = 0.0
        self.head: Head | None = None  # of the request that is not answered yet
        self.out = memoryview(b"")
        self.closing = self.lingers = False
        self.count: list[tuple[str, Response, Request | None, str, float, int]] = []  # answers that are on their way
        self.mask = READ
        self.resume = IDLE  # the state behind SEND

    def close(self) -> None:
        """Let go of everything."""
        if self.state != CLOSED:
            self.state = CLOSED
            self._tell()
            self.server.dropped(self)

    def _encoded(self, response: Response, request: Request, head: Head | None = None) -> bytes:
        head, self.head = head or self.head, None
        assert head is not None
        self.closing = close = self.server.leaving or not head.persists
        self.lingers = close and head.persists  # the client may be sending the next one already
        bodiless = head.method == "HEAD"
        old = head.old and not close
        try:
            said = encode(response, head=bodiless, close=close, old=old)
        except ValueError:
            response = self._error(500, "the server failed", request)
            said = encode(response, head=bodiless, close=close, old=old)
        self.count.append((head.method, response, request, "", self.began, 0 if bodiless else len(response.body)))
        return said

    def _error(self, status: int, message: str, request: Request) -> Response:
        return self.server.failed(status, message, request)

    def _refuse(self, refusal: Refused, out: list[bytes], now: float) -> None:
        """Say what is wrong, after the answers that stand before it, and close."""
        response, identity = self.server.refused(refusal, self.head)
        method = self.head.method if self.head is not None else ""
        bodiless = method == "HEAD"
        out.append(encode(response, head=bodiless, close=True))
        self.count.append((method, response, None, identity, self.began or now, 0 if bodiless else len(response.body)))
        self.state = IDLE
        self.closing = self.lingers = True
        self._flush(out, now)

    def _flush(self, out: list[bytes], now: float) -> bool:
        """Send answers; whether all of it is gone and the connection is still there."""
        if out:
            payload = out[0] if len(out) == 1 else b"".join(out)
            try:
                sent = self.connection.send(payload)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return False
            if sent < len(payload):
                self._later(memoryview(payload)[sent:], now)
                return False
        return self._sent(now)

    def _later(self, rest: memoryview, now: float) -> None:
        """Send the rest when there is room for it."""
        self.out = rest
        self.resume, self.state = self.state, SEND
        self.expires = now + self.server.settings.write_timeout
        self._watch(select.EPOLLOUT)

    def _send_more(self, now: float) -> bool:
        """The socket takes more; whether that was all and the connection goes on."""
        try:
            sent = self.connection.send(self.out)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        self.out = self.out[sent:]
        if self.out:
            return False
        self.out = memoryview(b"")
        self.state = self.resume
        return self._sent(now)

    def _tell(self) -> None:
        answered, now = self.server.told.answered, time.monotonic()
        for method, response, request, identity, began, sent in self.count:
            answered(method, response, now - began, request, sent, identity)
        self.count.clear()

    def _sent(self, now: float) -> bool:
        """All that there was to send is sent; whether the connection goes on."""
        if self.count:
            self._tell()
        if self.closing:
            if self.lingers:
                self._linger(now)
            else:
                self.close()
            return False
        if self.mask != READ:
            self._watch(READ)
        if self.state == IDLE:
            self.expires = now + self.server.idle_timeout
        return True

    def _linger(self, now: float) -> None:
        self.state, self.seen, self.expires = LINGER, 0, now + LINGER_TIME
        try:
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        else:
            self._watch(READ)

    def _watch(self, mask: int) -> None:
        if mask != self.mask:
            self.mask = mask
            self.server.watch(self.fd, mask)

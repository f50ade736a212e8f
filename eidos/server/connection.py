"""One connection: bytes in, requests in order, answers out.

Knows how a connection goes from request to request, and how long each step may take; must not know routes, or other connections. It
never blocks: the loop of ``listener`` calls :meth:`Connection.ready` when the socket is, and :meth:`Connection.expire` when it is too late.

A connection that is refused, or whose last answer is out while the client still sends, is closed in two steps: our end first, then, when
the client has closed or time is up, all of it. Otherwise the kernel would reset it and the client might never read the answer.
"""

from __future__ import annotations

import select
import socket
import time
from http.server import BaseHTTPRequestHandler

from eidos.server.body import Chunked, Sized
from eidos.server.client import client_address
from eidos.server.crew import Job
from eidos.server.errors import Refused
from eidos.server.message import Deadline, Request
from eidos.server.parse import END, unfinished
from eidos.server.wire import CONTINUE, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.server.listener import Listener
    from eidos.server.message import Response
    from eidos.server.parse import Head

#: Between requests · in a head · in a body · an answer is made · an answer is sent · waiting for the client to close · closed.
IDLE, HEAD, BODY, WORK, SEND, LINGER, CLOSED = range(7)

#: Bytes of one read; requests of one connection that are answered before others have their turn; bytes of answers to those.
CHUNK, TURN, PLENTY = 65536, 32, 1 << 18

#: Seconds and bytes that a client may go on after the last answer.
LINGER_TIME, LINGER_BYTES = 2.0, 16 << 20

new = object.__new__

READ = select.EPOLLIN | select.EPOLLRDHUP
#: While an answer is made nothing is read: who sends more waits, who leaves is noticed.
WATCH = select.EPOLLRDHUP


class Connection(BaseHTTPRequestHandler):
    """The handler of one connection, which :class:`~http.server.HTTPServer` makes for each that it accepts."""

    server: Listener

    def __init__(self, request: socket.socket, address: Any, server: Listener) -> None:
        # Not that of the base: it would read, answer and close right here, and block while it does.
        self.connection = self.request = request
        self.client_address = address
        self.server = server
        peer = address[0] if isinstance(address, tuple) else "unix"
        self.peer = peer.removeprefix("::ffff:")
        self.fd = request.fileno()
        self.state = IDLE
        self.expires = server.now + server.settings.idle_timeout
        self.rest = bytearray()  # what came and was not looked at, or is half a head
        self.seen = 0  # how much of it was looked at
        self.began = 0.0
        self.head: Head | None = None
        self.body: Sized | Chunked | None = None
        self.job: Job | None = None
        self.held: Request | None = None  # to be worked on once what stands before it is sent
        self.out = memoryview(b"")
        self.closing = self.lingers = False
        self.count: list[tuple[str, Response, Request | None, str, float, int]] = []  # answers that are on their way
        self.mask = READ
        self.resume = IDLE  # the state behind SEND

    # ---- what the loop calls ----

    def ready(self, event: int, now: float) -> None:
        """The socket is readable, writable or gone."""
        if self.state == SEND:
            self._send_more(now)
            return
        if self.state == WORK:
            self.close()  # the client hung up
            return
        try:
            data = self.connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self.state == LINGER:
            self.seen += len(data)
            if self.seen > LINGER_BYTES:
                self.close()
        elif self.state != IDLE or self.rest or not self._at_once(data, now):
            self.take(data, now)

    def expire(self, now: float) -> None:
        """It took too long."""
        if self.state == HEAD and self.rest:
            self._refuse(Refused(408, "the header of the request did not come in time"), [], now)
        elif self.state == BODY:
            self._refuse(Refused(408, "the body of the request did not come in time"), [], now)
        elif self.state == WORK:
            self._late(now)
        else:
            self.close()

    def answered(self, response: Response | None, now: float) -> None:
        """The crew is done with the request; no response is a fault of ours."""
        job, self.job = self.job, None
        assert job is not None
        if response is None:
            response = self._error(500, "the server failed", job.request)
        self.state = IDLE
        out = [self._encoded(response, job.request)]
        if self._flush(out, now) and not self.closing:
            self.take(b"", now)

    def close(self) -> None:
        """Let go of everything."""
        if self.state != CLOSED:
            self.state = CLOSED
            self._tell()
            if self.job is not None:
                self.server.abandoned(self.job)
                self.job = None
            self.server.dropped(self)

    # ---- requests ----

    def take(self, data: bytes, now: float) -> None:
        """Answer what has come whole, in order; ``data`` follows :attr:`rest`."""
        out: list[bytes] = []
        size = turns = 0
        try:
            while True:
                if self.state == BODY:
                    assert self.body is not None
                    assert self.head is not None
                    after = self.body.feed(data)
                    if after is None:
                        break
                    body, head, data = self.body.whole(), self.head, after
                    self.state, self.body, self.head = IDLE, None, None
                else:
                    found = self._next(data, now)
                    if found is None:
                        break
                    head, data = found
                    body = b""
                    if head.length != 0:
                        self._await(head, data, out)
                        continue
                request = self._request(head, body, now)
                response = self.server.quick(request)
                if response is None:
                    self.rest[:] = data
                    self.seen = 0
                    self.head = head
                    self.held = request
                    break
                out.append(self._encoded(response, request, head))
                turns += 1
                if self.closing:
                    self.lingers |= bool(data)
                    break
                if not data:
                    break
                size += len(out[-1])
                if turns >= TURN or size >= PLENTY:
                    self.rest[:] = data
                    self.seen, self.state = 0, HEAD
                    self.server.again(self)
                    break
        except Refused as refusal:
            self._refuse(refusal, out, now)
            return
        if self._flush(out, now) and self.held is not None:
            self._work(now)

    def _at_once(self, data: bytes, now: float) -> bool:
        """Answer ``data`` if it is one request that was seen before, and the answer takes no work: what most of them are."""
        server = self.server
        head = server.heads.known(data)
        if head is None or head.length != 0:
            return False
        self.began = now
        request = self._request(head, b"", now)
        response = server.quick(request)
        if response is None:
            self.head, self.held = head, request
            self._work(now)
            return True
        said = self._encoded(response, request, head)
        try:
            sent = self.connection.send(said)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return True
        if sent == len(said):
            self._sent(now)
        else:
            self._later(memoryview(said)[sent:], now)
        return True

    def _next(self, data: bytes, now: float) -> tuple[Head, bytes] | None:
        """The next head and what follows it, or None when it is not whole."""
        rest, came = self.rest, bool(data)
        if not rest:
            while data[:2] == b"\r\n":  # RFC 9112, section 2.2: an empty line before a request is ignored
                data = data[2:]
            end = data.find(END) + len(END)
            if end >= len(END):
                self.began = now if self.state == IDLE else self.began
                self.state = IDLE
                return (self.server.heads.read(data), b"") if end == len(data) else (self.server.heads.read(data[:end]), data[end:])
        rest += data
        while rest[:2] == b"\r\n":
            del rest[:2]
            self.seen = 0
        end = rest.find(END, max(0, self.seen - 3)) + len(END)
        if end >= len(END):
            whole = bytes(rest)
            rest.clear()
            self.began = now if self.state == IDLE else self.began
            self.state = self.seen = 0
            return self.server.heads.read(whole[:end]), whole[end:]
        if self.state == IDLE and (rest or came):
            self.state, self.began = HEAD, now
            self.expires = now + self.server.settings.header_timeout
        if len(rest) > self.seen:
            unfinished(rest, self.seen)
            self.seen = len(rest)
        return None

    def _await(self, head: Head, data: bytes, out: list[bytes]) -> None:
        """Begin with a body."""
        limit = self.server.settings.max_body
        self.body = Chunked(limit) if head.length is None else Sized(head.length, limit)
        self.head, self.state = head, BODY
        self.expires = self.began + self.server.settings.read_timeout
        if head.expects and not data:
            out.append(CONTINUE)

    def _request(self, head: Head, body: bytes, now: float) -> Request:
        server, headers, peer = self.server, head.headers, self.peer
        proxies = server.settings.trust_proxy
        request = new(Request)
        # What the constructor would do, in a third of the time: this is on the way of every request.
        fields = request.__dict__
        fields.update(head.fields)
        fields["body"] = body
        fields["client"] = client_address(peer, headers.get("x-forwarded-for"), proxies) if proxies else peer
        fields["peer"] = peer
        fields["id"] = server.identities.of(headers.get("x-request-id"))
        fields["deadline"] = Deadline(now + server.settings.request_timeout)
        return request

    # ---- work ----

    def _work(self, now: float) -> None:
        request, self.held = self.held, None
        assert request is not None
        self.state, self.expires = WORK, request.deadline.at
        self.job = Job(request, self)
        self._watch(WATCH)
        if not self.server.give(self.job):
            self.job = None
            self._instead(self._error(503, "too many requests wait for their turn", request), request, now)

    def _late(self, now: float) -> None:
        job, self.job = self.job, None
        assert job is not None
        self.server.abandoned(job)
        self._instead(self._error(503, "the request took too long", job.request), job.request, now)

    def _instead(self, response: Response, request: Request, now: float) -> None:
        self.state = IDLE
        if self._flush([self._encoded(response, request)], now) and not self.closing:
            self.take(b"", now)

    # ---- answers ----

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
        response, identity = self.server.refused(refusal)
        method = self.head.method if self.head is not None else ""
        out.append(encode(response, head=method == "HEAD", close=True))
        self.count.append((method, response, None, identity, self.began or now, len(response.body)))
        self.state = IDLE
        self.closing = self.lingers = True
        self.rest.clear()
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

    def _send_more(self, now: float) -> None:
        try:
            sent = self.connection.send(self.out)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.out = self.out[sent:]
        if self.out:
            return
        self.out = memoryview(b"")
        self.state = self.resume
        if self.state == BODY:
            self.expires = now + self.server.settings.read_timeout
        if not self._sent(now):
            return
        if self.held is not None:
            self._work(now)
        elif self.rest:
            self.seen = 0
            self.take(b"", now)

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

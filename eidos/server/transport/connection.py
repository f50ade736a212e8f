"""One connection: bytes in, requests in order, answers out.

Knows how a connection goes from request to request, and how long each step may take; must not know routes, or other connections, nor
how bytes leave, which is :mod:`~eidos.server.transport.outlet`'s. It never blocks: the loop of ``listener`` calls
:meth:`Connection.ready` when the socket is, and :meth:`Connection.expire` when it is too late.
"""

from __future__ import annotations

import select

from eidos.http_wire.messages import Deadline, Request
from eidos.http_wire.request_body import Chunked, Sized
from eidos.http_wire.request_head import END, unfinished
from eidos.http_wire.response_bytes import CONTINUE
from eidos.server.error_responses import Refused
from eidos.server.transport.outlet import BODY, CLOSED, HEAD, IDLE, LINGER, SEND, WORK, Outlet
from eidos.server.transport.peer import client_address
from eidos.server.transport.request_workers import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from eidos.http_wire.messages import Response
    from eidos.http_wire.request_head import Head
    from eidos.server.transport.event_loop import Listener

#: Bytes of one read; requests of one connection that are answered before others have their turn; bytes of answers to those.
CHUNK, TURN, PLENTY = 65536, 32, 1 << 18

#: Bytes that a client may go on to send after the last answer.
LINGER_BYTES = 16 << 20

#: Seconds for which an answer is still made for a client that says no more.
PARTING = 1.0

#: Bytes of bodies that are not whole yet, of one worker, before only small ones may still grow, and what is small. A worker has to hold
#: what comes at once, and anybody can send a lot of it.
BODIES, SMALL = 64 << 20, 1 << 16

new = object.__new__

#: While an answer is made nothing is read: who sends more waits, who leaves is noticed.
WATCH = select.EPOLLRDHUP


class Connection(Outlet):
    """The handler of one connection, which :class:`~http.server.HTTPServer` makes for each that it accepts."""

    def __init__(self, request: socket.socket, address: Any, server: Listener) -> None:
        super().__init__(request, address, server)
        peer = address[0] if isinstance(address, tuple) else "unix"
        self.peer = peer.removeprefix("::ffff:")
        self.rest = bytearray()  # what came and was not looked at, or is half a head; ``seen`` is how much of it was looked at
        self.body: Sized | Chunked | None = None
        self.kept = 0  # bytes of it
        self.job: Job | None = None
        self.held: Request | None = None  # to be worked on once what stands before it is sent

    # ---- what the loop calls ----

    def ready(self, event: int, now: float) -> None:
        """The socket is readable, writable or gone."""
        if self.state == SEND:
            if self._send_more(now):
                self._go_on(now)
            return
        if self.state == WORK:
            self._parted(event, now)
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
        elif self.state == WORK and self.job is not None and now >= self.job.request.deadline.at:
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
        if self.state != CLOSED and self.job is not None:
            self.server.abandoned(self.job)
            self.job = None
        self._keep(-self.kept)
        super().close()

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
                    self._keep(len(data))
                    after = self.body.feed(data)
                    if after is None:
                        break
                    body, head, data = self.body.whole(), self.head, after
                    self._keep(-self.kept)
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
                    self.expires = now + self.server.settings.header_timeout
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
        self.head = head  # before its body can be too large: a refusal answers this request
        self.body = Chunked(limit) if head.length is None else Sized(head.length, limit)
        self.state = BODY
        self.expires = self.began + self.server.settings.read_timeout
        if head.expects and not data:
            out.append(CONTINUE)

    def _keep(self, size: int) -> None:
        self.kept += size
        self.server.bodies += size
        if self.kept > SMALL and self.server.bodies > max(BODIES, 2 * self.server.settings.max_body):
            raise Refused(503, "too many large requests come at once", headers=[("Retry-After", "1")])

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

    def _go_on(self, now: float) -> None:
        """What had to be sent first is sent."""
        if self.state == BODY:
            self.expires = now + self.server.settings.read_timeout
        elif self.state == HEAD:
            self.expires = now + self.server.settings.header_timeout
        if self.held is not None:
            self._work(now)
        elif self.rest:
            self.seen = 0
            self.take(b"", now)

    def _refuse(self, refusal: Refused, out: list[bytes], now: float) -> None:
        self.rest.clear()
        self._keep(-self.kept)
        self.body = None
        super()._refuse(refusal, out, now)

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

    def _parted(self, event: int, now: float) -> None:
        """The client says no more: it hung up, or has only closed its own end, and waits. That looks the same for a while."""
        if event & (select.EPOLLHUP | select.EPOLLERR):
            self.close()
        else:
            self.expires = min(self.expires, now + PARTING)
            self._watch(0)

    def _late(self, now: float) -> None:
        job, self.job = self.job, None
        assert job is not None
        self.server.abandoned(job)
        self._instead(self._error(503, "the request took too long", job.request), job.request, now)

    def _instead(self, response: Response, request: Request, now: float) -> None:
        self.state = IDLE
        if self._flush([self._encoded(response, request)], now) and not self.closing:
            self.take(b"", now)

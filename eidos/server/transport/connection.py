"""One connection as a state machine: bytes in, requests to the application, responses out, in order.

Knows the states of a connection and how long each may last; must not know routes, other connections, how a request is parsed or a
response written (``http_wire`` does), nor who makes responses. It never blocks: the event loop calls :meth:`Connection.on_event` when
the socket is ready, :meth:`Connection.on_timeout` when the time for a state is over and :meth:`Connection.on_response` when a worker
thread is done::

    state    meaning                                      may last         then
    IDLE     between requests                             idle_timeout     closed
    HEAD     a head has begun                             header_timeout   408, closed
    BODY     a body has begun                             read_timeout     408, closed
    YIELD    requests are buffered, others have a turn    one turn         next
    WORK     a worker thread makes the response           the deadline     503
    SEND     the socket takes no more of the response     write_timeout    closed
    LINGER   the last response is out, input is ignored   LINGER_S         closed

LINGER is for clients that may still be sending when the last response is out: our end is closed first, the rest when the client has
closed its own. Otherwise the kernel would reset the connection, and the client might never read that response.
"""

from __future__ import annotations

import select
import socket
import time
from http.server import BaseHTTPRequestHandler

from eidos.http_wire.messages import CONTINUE, HttpError
from eidos.http_wire.request_parser import BODY, HEAD, IDLE, RequestParser
from eidos.server.deadline import Deadline
from eidos.server.error_responses import STATUSES, failure_response, protocol_error_response
from eidos.server.request_context import RequestContext
from eidos.server.transport.peer import make_request
from eidos.server.transport.request_failover import pack_request, unpack_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.server import HTTPServer
    from typing import Any

    from eidos.http_wire.messages import Request, Response
    from eidos.http_wire.request_head import Head
    from eidos.server.transport import Loop
    from eidos.server.transport.request_workers import RequestJob

#: States beside those of the parser: IDLE, HEAD and BODY.
YIELD, WORK, SEND, LINGER, CLOSED = range(3, 8)

#: Bytes of one read, and of one that has most likely a head; requests of one connection that are answered in one turn, and bytes of the
#: responses to those.
READ_BYTES, HEAD_BYTES, TURN_REQUESTS, TURN_BYTES = 65536, 4096, 32, 1 << 18

#: Seconds for which, and bytes with which, a client may go on after the last response; seconds for which one is made for half a connection.
LINGER_S, LINGER_BYTES, HALF_CLOSED_S = 2.0, 16 << 20, 1.0

#: Bytes of all incomplete bodies in one worker beyond which only small ones may grow, and what is small: any client can send a lot.
BODIES_LIMIT, SMALL_BODY = 64 << 20, 1 << 16

#: Events of the socket while requests are read, and while a response is made: then only who leaves is noticed.
READABLE, HUNG_UP = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLRDHUP


class Connection(BaseHTTPRequestHandler):
    """The handler of one connection."""

    #: The table of ``http.server``, with the phrases of RFC 9110 where that of an older interpreter differs.
    responses = {**BaseHTTPRequestHandler.responses, **STATUSES}

    def __init__(self, request: socket.socket, client_address: Any, server: HTTPServer, loop: Loop, now: float) -> None:
        self.fd = request.fileno()
        self.state = IDLE
        self.expires = now + loop.settings.idle_timeout
        self._loop = loop
        self._peer = (client_address[0] if isinstance(client_address, tuple) else "unix").removeprefix("::ffff:")
        self._parser = RequestParser(loop.heads, loop.settings.max_body)
        self._body_bytes = 0  # of the incomplete body, as the loop counts them
        self._began = 0.0  # when the first byte of the request came that is being read or answered
        self._head: Head | None = None  # of the request that is being answered
        self._next: RequestContext | None = None  # to be given to a worker thread once what precedes it is sent
        self._job: RequestJob | None = None
        self._unsent = memoryview(b"")
        self._state_after_send = IDLE
        self._closes = self._lingers = False
        self.is_enqueued = False  # a request that waits is in a failover queue: others may have a descriptor of the socket
        self.is_adopted = False  # the request that waits is that of a worker that is gone
        self._lingered_bytes = 0
        self._events = READABLE
        # Responses that are being sent: method, response, request, id of what is no request, when it began, bytes of the body.
        self._unreported: list[tuple[str, Response, Request | None, str, float, int]] = []
        super().__init__(request, client_address, server)

    def setup(self) -> None:
        """Name the socket as the base does, and make no files of it."""
        self.connection: socket.socket = self.request

    def handle(self) -> None:
        """Return at once: the event loop calls when there is something to handle."""

    def finish(self) -> None:
        """Leave the connection open."""

    # ---- called by the event loop ----

    def on_event(self, event: int, now: float) -> None:
        """The socket is readable, writable or hung up."""
        state = self.state
        if state == SEND:
            self._send_rest(now)
        elif state == WORK:
            self._on_hang_up(event, now)
        elif state != YIELD:  # then what is buffered comes first
            try:
                data = self.connection.recv(READ_BYTES if state >= BODY else HEAD_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data and state != LINGER:
                self._parser.receive(data)
                self._answer_requests(now)
                return
            self._lingered_bytes += len(data)
            if not data or self._lingered_bytes > LINGER_BYTES:
                self.close()

    def on_timeout(self, now: float) -> None:
        """The time for the current state is over."""
        if self.state == BODY or (self.state == HEAD and self._parser.has_partial_head):
            missing = "body" if self.state == BODY else "header"
            self._refuse(HttpError(408, f"timed out waiting for the {missing} of the request"), [], now)
        elif self.state == WORK and self._job is not None and now >= self._job.context.deadline.at:
            job, self._job = self._job, None
            self._loop.abandon(job)
            self._respond(failure_response(503, "the request took too long", job.context.request), job.context, now)
        else:
            self.close()

    def on_response(self, response: Response | None, now: float) -> None:
        """A worker thread is done with the request; None stands for a failure of its own."""
        job, self._job = self._job, None
        assert job is not None
        self._respond(response or failure_response(500, "internal error", job.context.request), job.context, now)

    def resume(self, now: float) -> None:
        """Go on with the requests that are buffered: others have had their turn."""
        if self.state == YIELD:
            self._answer_requests(now)

    def close(self) -> None:
        """Close the connection, and give up what it waits for."""
        if self.state == CLOSED:
            return
        if self._job is not None:
            self._loop.abandon(self._job)
            self._job = None
        self._count_body(0)
        self.state = CLOSED
        self._report()
        self._loop.remove(self)

    # ---- requests ----

    def _answer_requests(self, now: float) -> None:
        """Answer the requests that are complete, in order, up to one that takes work."""
        loop, parser = self._loop, self._parser
        out: list[bytes] = []
        size = 0
        try:
            while True:
                if self.state == IDLE:
                    self._began = now
                message = parser.next_request()
                if message is None:
                    self._await_rest(out, now)
                    break
                self.state = IDLE
                if self._body_bytes:
                    self._count_body(0)
                head, body = message
                context = self._context(head, body, now)
                response = loop.application.answer_at_once(context)
                if response is None:
                    self._head, self._next = head, context
                    break
                out.append(self._encode(response, context.request, head))
                if self._closes:
                    self._lingers |= parser.has_data
                    break
                if not parser.has_data:
                    break
                size += len(out[-1])
                if len(out) >= TURN_REQUESTS or size >= TURN_BYTES:
                    self._yield()
                    break
        except HttpError as error:
            self._refuse(error, out, now)
            return
        if self._send(out, now) and self._next is not None:
            self._start_work(now)

    def _yield(self) -> None:
        self.state, self.expires = YIELD, float("inf")
        self._loop.resume_soon(self)

    def _await_rest(self, out: list[bytes], now: float) -> None:
        """Give the next request, which is incomplete, its time, and its body memory."""
        settings, parser = self._loop.settings, self._parser
        if parser.phase != self.state:
            self.state = parser.phase
            self.expires = self._began + settings.read_timeout if parser.phase == BODY else now + settings.header_timeout
        if parser.phase == BODY:
            self._count_body(parser.body_bytes)
            if parser.awaits_continue:
                parser.awaits_continue = False
                self._answer_expectation(out, now)

    def _answer_expectation(self, out: list[bytes], now: float) -> None:
        """Have the client send the body for which it awaits 100 (Continue), or give it the final response, and close."""
        head = self._parser.head
        assert head is not None
        context = self._context(head, b"", now)
        response = self._loop.application.refuse_body(context)
        if response is None:
            out.append(CONTINUE)
        else:
            out.append(self._encode(response, context.request, head, close=True))
            self._end_input()

    def _count_body(self, size: int) -> None:
        """The incomplete body has ``size`` bytes now; raises HttpError when all of them together are too large."""
        loop = self._loop
        loop.body_bytes += size - self._body_bytes
        self._body_bytes = size
        if size > SMALL_BODY and loop.body_bytes > max(BODIES_LIMIT, 2 * loop.settings.max_body):
            raise HttpError(503, "too many large requests at once", headers=[("Retry-After", "1")])

    def _context(self, head: Head, body: bytes, now: float) -> RequestContext:
        settings = self._loop.settings
        request = make_request(head, body, self._peer, settings.trust_proxy, self._loop.request_ids)
        return RequestContext(request, Deadline(now + settings.request_timeout))

    def _refuse(self, error: HttpError, out: list[bytes], now: float) -> None:
        """Answer what is no valid request, after the responses in ``out``, and close."""
        head = self._parser.head
        method, headers = (head.method, head.headers) if head is not None else ("", {})
        id = self._loop.request_ids.choose(headers.get("x-request-id"))
        response = protocol_error_response(error, id, headers.get("accept", ""))
        is_head = method == "HEAD"
        out.append(self._loop.encoder.encode(response, is_head=is_head, close=True))
        self._unreported.append((method, response, None, id, self._began or now, 0 if is_head else len(response.body)))
        self._end_input()
        self._send(out, now)

    def _end_input(self) -> None:
        """Parse nothing more, and close when the responses are sent."""
        self._parser.clear()
        self._count_body(0)
        self.state = IDLE
        self._closes = self._lingers = True

    # ---- work ----

    def pack_request(self, context: RequestContext) -> tuple[bytes, bytes, bytes]:
        """The request that waits for a thread, and what was received after it, for another process. Nothing of its answer is sent."""
        assert self._head is not None
        return pack_request(self._head, context, self._began, self._parser.unread)

    def adopt(self, content: bytes, now: float) -> None:
        """Go on with what another process has packed: call it once, first of all."""
        self._head, body, self._began, deadline, decision, unread = unpack_request(content)
        self._parser.receive(unread)
        self._next = self._context(self._head, body, deadline - self._loop.settings.request_timeout)
        self._next.decision = decision
        self.is_adopted = True
        self._start_work(now)
        self.is_adopted = False

    def _start_work(self, now: float) -> None:
        context, self._next = self._next, None
        assert context is not None
        self.state, self.expires = WORK, context.deadline.at
        self._watch(HUNG_UP)
        self._job = self._loop.submit(context, self)
        if self._job is None:
            self._respond(failure_response(503, "too many requests are waiting", context.request), context, now)

    def _on_hang_up(self, event: int, now: float) -> None:
        """The client hung up, or has only closed its own end and waits: that looks the same for a while."""
        if event & (select.EPOLLHUP | select.EPOLLERR):
            self.close()
        else:
            self.expires = min(self.expires, now + HALF_CLOSED_S)
            self._watch(0)

    def _respond(self, response: Response, context: RequestContext, now: float) -> None:
        """Answer the request that took work, and go on with what follows it."""
        head, self._head = self._head, None
        assert head is not None
        self.state = IDLE
        if self._send([self._encode(response, context.request, head)], now) and self._parser.has_data:
            self._yield()  # not right now: the next request may end here, too, and so may a thousand after it

    # ---- responses ----

    def _encode(self, response: Response, request: Request, head: Head, close: bool = False) -> bytes:
        loop, is_head = self._loop, head.method == "HEAD"
        self._closes = close = close or loop.is_leaving or not head.keep_alive
        self._lingers = close and head.keep_alive  # the client may be sending the next request already
        is_http_1_0 = head.is_http_1_0 and not close
        try:
            data = loop.encoder.encode(response, is_head=is_head, close=close, is_http_1_0=is_http_1_0)
        except ValueError:
            response = failure_response(500, "internal error", request)
            data = loop.encoder.encode(response, is_head=is_head, close=close, is_http_1_0=is_http_1_0)
        self._unreported.append((head.method, response, request, "", self._began, 0 if is_head else len(response.body)))
        return data

    def _send(self, out: list[bytes], now: float) -> bool:
        """Send responses; whether all of it is gone and the connection goes on."""
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            sent = self._write(data)
            if sent < 0:
                return False
            if sent < len(data):
                self._unsent = memoryview(data)[sent:]
                self._state_after_send, self.state = self.state, SEND
                self.expires = now + self._loop.settings.write_timeout
                self._watch(select.EPOLLOUT)
                return False
        return self._after_send(now)

    def _send_rest(self, now: float) -> None:
        """The socket takes more."""
        sent = self._write(self._unsent)
        if sent < 0:
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            return
        self.state = self._state_after_send
        if not self._after_send(now):
            return
        settings = self._loop.settings
        if self.state == BODY:
            self.expires = now + settings.read_timeout
        elif self.state == HEAD:
            self.expires = now + settings.header_timeout
        if self._next is not None:
            self._start_work(now)
        elif self._parser.has_data:
            self._answer_requests(now)

    def _write(self, data: bytes | memoryview) -> int:
        """Write what the socket takes now; how many bytes it took, -1 for a connection that is broken, and closed."""
        try:
            return self.connection.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return -1

    def _after_send(self, now: float) -> bool:
        """All that there was to send is sent; whether the connection goes on."""
        if self._unreported:
            self._report()
        if self._closes and self._lingers:
            self.state, self.expires = LINGER, now + LINGER_S
            try:
                self.connection.shutdown(socket.SHUT_WR)
                self._watch(READABLE)
            except OSError:
                self.close()
        elif self._closes:
            self.close()
        if self._closes:
            return False
        if self._events != READABLE:
            self._watch(READABLE)
        if self.state == IDLE:
            self.expires = now + self._loop.idle_timeout
        return True

    def _report(self) -> None:
        on_response, now = self._loop.instrumentation.on_response, time.monotonic()
        for method, response, request, id, began, body_bytes in self._unreported:
            on_response(method, response, now - began, request, body_bytes, id)
        self._unreported.clear()

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.watch(self, events)

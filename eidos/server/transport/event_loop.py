"""The loop of one worker: it accepts, waits for many connections at once, and lets each of them go on.

Knows epoll, the listening socket and when a worker leaves; must not know HTTP, nor what is answered. All workers accept from one
socket, made before they fork, that never blocks: who comes first takes the connection. A worker that has more connections than another
lets a new one lie for a moment, so that a few long-lived ones spread evenly. (A socket for each worker, SO_REUSEPORT, loses what waits
in its queue when the worker ends.)

It is an :class:`http.server.HTTPServer` whose :meth:`~Listener.serve_forever` is another: that of the base knows no deadlines.
"""

from __future__ import annotations

import errno
import os
import select
import socketserver
import time
from http.server import HTTPServer

from eidos import log
from eidos.http_wire.request_head import Heads
from eidos.server.error_responses import envelope
from eidos.server.transport.connection import Connection
from eidos.server.transport.outlet import HEAD, IDLE, READ, Outlet
from eidos.server.transport.peer import Identities
from eidos.server.transport.request_workers import HEAVY_THREADS, HEAVY_WAITING, Crew, Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from typing import Any

    from eidos.http_wire.messages import Request, Response
    from eidos.http_wire.request_head import Head
    from eidos.server.error_responses import Refused
    from eidos.server.instrumentation import Application, Told
    from eidos.server.server_settings import Settings
    from eidos.server.transport.shared_state import Board

#: Seconds between looks at all deadlines, and of a pause when the system has no descriptor or memory left for a connection.
SWEEP, PAUSE = 0.25, 0.2

#: Connections that are accepted in one turn, and seconds for which a new one is left to a worker that has fewer.
ACCEPTS, COURTESY = 8, 0.004

#: Seconds of silence after which a connection may be closed to make room for a new one.
SILENT = 1.0

#: What accept(2) says of a connection that is gone already.
GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM)

EVENTS = 512


class Listener(HTTPServer):
    """A listening socket, and in each worker the loop over its connections."""

    request_queue_size = 4096  # the kernel takes less if net.core.somaxconn says so
    allow_reuse_port = False  # newer versions of the base set it; two services on one port would share its requests

    def __init__(self, listening: socket.socket, settings: Settings) -> None:
        socketserver.BaseServer.__init__(self, listening.getsockname(), Connection)
        self.socket = listening
        self.settings = settings
        self.heads = Heads()
        self.now = time.monotonic()
        self.leaving = self.draining = self.retired = False
        self.idle_timeout = settings.idle_timeout
        self.bodies = 0  # bytes of bodies that are not whole yet

    def enter(self, app: Application, told: Told, board: Board, slot: int, lifeline: int, leaves: Callable[[], None]) -> None:
        """Become the loop of the worker of ``slot``, after the fork.

        ``lifeline`` is a pipe that ends when the supervisor does; ``leaves`` is called when this worker accepts no more.
        """
        self.told, self._board, self._slot, self._leaves = told, board, slot, leaves
        self.quick: Callable[[Request], Response | None] = app.quick
        self.identities = Identities()
        self._connections: dict[int, Connection] = {}
        self._working: dict[Job, None] = {}
        self._again: list[Connection] = []
        self._most = max(1, -(-self.settings.max_connections // self.settings.workers))
        self._accepting = False
        self._resume_at: float | None = None
        self._drain_until = float("inf")
        self._lifeline = lifeline
        self._wake_read, self.wake_write = os.pipe()
        for fd in (self._wake_read, self.wake_write):
            os.set_blocking(fd, False)
        self._crews = (Crew(app.answer, self.wake), Crew(app.answer, self.wake, HEAVY_THREADS, HEAVY_WAITING))
        self._poll = select.epoll()
        self._poll.register(self._wake_read, select.EPOLLIN)
        self._poll.register(lifeline, select.EPOLLIN)
        self._board.has(slot, 0)
        self._accept_again()

    def serve_forever(self, poll_interval: float = SWEEP) -> None:
        """Serve until told to leave (:meth:`drain`), and the last connection is closed, or ``drain_timeout`` is over."""
        swept = self.now = time.monotonic()
        while True:
            events = self._poll.poll(0 if self._again else self._patience(poll_interval), EVENTS)
            self.now = now = time.monotonic()
            self.leaving = self.draining or self._board.leaving
            connections = self._connections
            again, self._again = self._again, []
            for fd, event in events:
                connection = connections.get(fd)
                if connection is not None:
                    connection.ready(event, now)
                elif fd == self._wake_read:
                    self._woken(now)
                elif fd == self._lifeline:
                    self._poll.unregister(fd)
                    self.drain()
                elif self._accepting:
                    self._accept(now)
            for connection in again:
                if connection.state == HEAD:
                    connection.take(b"", now)
            if self._resume_at is not None and now >= self._resume_at:
                self._accept_again()
                self._accept(now, patient=False)
            if self._working or now - swept >= poll_interval:
                swept = now if self._sweep(now, now - swept >= poll_interval) else swept
            self.told.turned()
            if self.draining and (not self._connections or now >= self._drain_until):
                break
        for connection in list(self._connections.values()):
            connection.close()
        self.told.turned()

    def _patience(self, longest: float) -> float:
        """Seconds until there is something to do that no event tells."""
        ends = [job.request.deadline.at for job in self._working]
        if self._resume_at is not None:
            ends.append(self._resume_at)
        return max(0.0, min(longest, min(ends) - time.monotonic())) if ends else longest

    def _sweep(self, now: float, everything: bool) -> bool:
        for job in list(self._working):
            owner: Any = job.owner
            if now >= owner.expires:
                owner.expire(now)
        self.told.queue(self._waiting())
        if everything:
            for connection in list(self._connections.values()):
                if now >= connection.expires:
                    connection.expire(now)
            if any(crew.lost for crew in self._crews) and not self.draining:
                log.error("every thread is held by work that does not end; another worker takes over")
                self.drain()
        return everything

    # ---- accepting ----

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; OSError when nobody is there."""
        request, address = self.socket.accept()
        request.setblocking(False)
        return request, address

    def _accept(self, now: float, patient: bool = True) -> None:
        count = len(self._connections)
        if count >= self._most and not self._make_room(now):
            self._pause(PAUSE)
            return
        if patient and self.settings.workers > 1 and count > self._board.fewest():
            self._pause(COURTESY)
            return
        alone = self.settings.workers == 1 or not patient
        for _ in range(ACCEPTS if alone else 1):
            if len(self._connections) >= self._most:
                break
            try:
                request, address = self.get_request()
            except BlockingIOError:
                break
            except OSError as fault:
                if fault.errno in GONE:
                    continue
                log.error(f"cannot accept a connection: {(fault.strerror or str(fault)).lower()}", hint="allow more open files (ulimit -n)")
                self._make_room(now)
                self._pause(PAUSE)
                break
            connection = Connection(request, address, self)
            self._connections[connection.fd] = connection
            self._poll.register(connection.fd, READ)
        self._count()

    def _make_room(self, now: float) -> bool:
        """Close some of the connections on which nothing was said for longest; whether there were any."""
        waited = now + self.settings.idle_timeout - SILENT
        silent = sorted((c.expires, fd) for fd, c in self._connections.items() if c.state == IDLE and c.expires <= waited)
        for _, fd in silent[: 1 + len(silent) // 64]:
            self._connections[fd].close()
        return bool(silent)

    def _pause(self, seconds: float) -> None:
        """Leave new connections where they are for a moment."""
        if self._accepting:
            self._accepting = False
            self._poll.unregister(self.socket.fileno())
        self._resume_at = time.monotonic() + seconds

    def _accept_again(self) -> None:
        self._resume_at = None
        if not self._accepting and not self.draining:
            self._accepting = True
            self._poll.register(self.socket.fileno(), select.EPOLLIN)

    def _count(self) -> None:
        count = len(self._connections)
        if not self.draining:
            self._board.has(self._slot, count)
        self.told.connections(count)

    # ---- for connections ----

    def watch(self, fd: int, mask: int) -> None:
        """Wait for other events of a connection."""
        self._poll.modify(fd, mask)

    def again(self, connection: Connection) -> None:
        """It has more that can be answered at once, after the others had their turn."""
        self._again.append(connection)

    def dropped(self, connection: Outlet) -> None:
        """Close the socket of a connection, and forget it."""
        del self._connections[connection.fd]
        self._poll.unregister(connection.fd)
        connection.connection.close()
        self._count()

    def give(self, job: Job) -> bool:
        """Have an answer made; False when too many wait."""
        if not self._crews[job.heavy].give(job):
            return False
        self._working[job] = None
        self.told.working(len(self._working))
        self.told.queue(self._waiting())
        return True

    def _waiting(self) -> int:
        return sum(crew.waiting for crew in self._crews)

    def abandoned(self, job: Job) -> None:
        """Nobody waits for the answer any more."""
        self._working.pop(job, None)
        self._crews[job.heavy].abandon(job)
        self.told.working(len(self._working))

    def refused(self, refusal: Refused, head: Head | None) -> tuple[Response, str]:
        """The answer to what is no request, or the ``head`` of one at most, and the identity that it tells."""
        said: Mapping[str, str] = {} if head is None else head.headers
        identity = self.identities.of(said.get("x-request-id"))
        hint = {"hint": refusal.hint} if refusal.hint else None
        status, accept, details = refusal.status, said.get("accept", ""), refusal.details or hint
        return envelope(status, "", refusal.message, identity, accept, details, status in (408, 503), refusal.headers), identity

    def failed(self, status: int, message: str, request: Request) -> Response:
        """The answer when the application gave none."""
        retry = status == 503
        headers = (("Retry-After", "1"),) if retry else ()
        return envelope(status, "", message, request.id, request.headers.get("accept", ""), retryable=retry, headers=headers)

    def wake(self) -> None:
        """Make the loop look around; from any thread."""
        try:
            os.write(self.wake_write, b"\0")
        except OSError:  # full: it will look anyway
            pass

    def _woken(self, now: float) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        for job in (job for crew in self._crews for job in crew.finished()):
            if job in self._working:
                del self._working[job]
                owner: Any = job.owner
                owner.answered(job.response, now)
        self.told.working(len(self._working))
        self.told.queue(self._waiting())
        if self.retired:
            self.drain()

    # ---- leaving ----

    def retire(self, *_: object) -> None:
        """Leave as soon as the loop looks around: a handler of signals."""
        self.retired = True

    def drain(self) -> None:
        """Accept nothing more, finish what is in flight, and give silent connections a moment to ask once more."""
        if self.draining:
            return
        now = time.monotonic()
        self.draining = self.leaving = True
        self._drain_until = now + self.settings.drain_timeout
        self._resume_at = None
        if self._accepting:
            self._accepting = False
            self._poll.unregister(self.socket.fileno())
        if self._board.leaving:  # then nobody else will take what waits in the queue
            self._accept_rest()
        self.socket.close()
        self._board.leave(self._slot)
        self._leaves()
        self.idle_timeout = grace = min(self.settings.idle_grace, self.settings.idle_timeout)
        for connection in self._connections.values():
            if connection.state == IDLE:
                connection.expires = min(connection.expires, now + grace)

    def _accept_rest(self) -> None:
        while len(self._connections) < 2 * self._most:
            try:
                request, address = self.get_request()
            except OSError:
                return
            connection = Connection(request, address, self)
            self._connections[connection.fd] = connection
            self._poll.register(connection.fd, READ)

"""The event loop of one worker process: it accepts, waits for many connections at once, and lets each of them go on.

Knows epoll, the listening socket and when a worker leaves; must not know HTTP, nor what is answered. All workers accept from one
socket, bound before they fork, that never blocks: the first to accept gets the connection. A worker that has more connections than
another leaves a new one alone for a moment, so that a few long-lived ones spread evenly. (A socket for each worker, SO_REUSEPORT, loses
what waits in its queue when the worker ends.)
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from functools import partial

from eidos import log
from eidos.errors import os_error_reason
from eidos.http_wire.messages import ResponseEncoder
from eidos.http_wire.request_head import HeadCache
from eidos.http_wire.request_parser import IDLE
from eidos.model.record import Record
from eidos.server.server_settings import SERVICE_NAME
from eidos.server.transport.connection import READABLE, Connection
from eidos.server.transport.peer import RequestIds
from eidos.server.transport.request_workers import HEAVY_QUEUE_LIMIT, HEAVY_THREADS, RequestJob, RequestWorkers
from eidos.server.transport.resumable_connection import ResumableConnection, receive_connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from eidos.server.instrumentation import Instrumentation
    from eidos.server.request_context import Application, RequestContext
    from eidos.server.server_settings import Settings
    from eidos.server.transport.connection_failover import ConnectionFailover
    from eidos.server.transport.listening_sockets import ListeningServer
    from eidos.server.transport.request_failover import FailoverQueue
    from eidos.server.transport.shared_state import SharedState

#: Seconds between checks of all timeouts, and of a pause when the system has no descriptor or memory left for a connection.
SWEEP_S, PAUSE_S = 0.25, 0.2

#: A time that does not come.
NEVER = float("inf")

#: Connections that are accepted in one turn, and seconds for which new ones are left to a worker that has fewer.
ACCEPTS_PER_TURN, COURTESY_S = 32, 0.001

#: One of so many connections of the worker that has fewest is how many more another one may have.
SPREAD = 8

#: Seconds of silence after which a connection may be closed to make room for a new one.
SILENT_S = 1.0

#: What accept(2) reports of a connection that is gone already.
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM)

_MAX_EVENTS = 512


class Service(Record):
    """What all worker processes of a service have in common: made before they are forked."""

    server: ListeningServer
    settings: Settings
    application: Application
    instrumentation: Instrumentation
    shared_state: SharedState


def accept_quota(count: int, fewest: int, after_pause: bool) -> int:
    """How many connections a worker that has ``count`` may accept now, while another one has ``fewest``: 0 or less to wait for that one.

    They spread evenly, and fast: where there are many, a few more make no difference.

    >>> [accept_quota(count, 3, False) for count in (3, 4)], accept_quota(4, 3, True), accept_quota(100, 96, False)
    ([1, 0], 2, 9)
    """
    spare = fewest // SPREAD
    return min(ACCEPTS_PER_TURN, 2 + spare if after_pause else 1 + spare + fewest - count)


class EventLoop:
    """The loop of the worker in ``slot``; create it in the worker, after the fork.

    ``lifeline`` is a pipe that ends when the supervisor does; ``on_leaving`` is called when this worker accepts no more. Its requests that
    wait are in ``queues``, of light and of heavy ones; ``orphans`` is that of workers which are gone. If there are more workers,
    ``failover`` is for connections that are open.
    """

    def __init__(
        self,
        service: Service,
        slot: int,
        lifeline: int,
        on_leaving: Callable[[], None],
        queues: tuple[FailoverQueue, FailoverQueue],
        orphans: FailoverQueue,
        failover: ConnectionFailover | None = None,
    ) -> None:
        self.settings = settings = service.settings
        self.application = application = service.application
        self.instrumentation = service.instrumentation
        self.heads = HeadCache()
        self.encoder = ResponseEncoder(Connection.responses, SERVICE_NAME)
        self.request_ids = RequestIds()
        self.idle_timeout = settings.idle_timeout
        self.is_leaving = self._is_draining = self._is_retired = False
        self.body_bytes = 0  # of all incomplete bodies
        self._server, self._shared_state, self._slot, self._on_leaving = service.server, service.shared_state, slot, on_leaving
        self._failover = failover
        self._make_connection: Callable[..., Connection] = Connection if failover is None else partial(ResumableConnection, failover)
        self._connections: dict[int, Connection] = {}
        self._max_connections = max(1, -(-settings.max_connections // settings.workers))
        self._jobs: dict[RequestJob, Connection] = {}
        self._resumed: list[Connection] = []
        self._is_accepting = False
        self._accept_at: float | None = None  # after a pause
        self._drain_until = self._release_at = NEVER
        self._lifeline = lifeline
        self._wake_fd, self.wake_write_fd = os.pipe()
        for fd in (self._wake_fd, self.wake_write_fd):
            os.set_blocking(fd, False)
        self._workers = RequestWorkers(application.answer, self.wake)
        self._heavy_workers = RequestWorkers(application.answer, self.wake, HEAVY_THREADS, HEAVY_QUEUE_LIMIT)
        self._queues, self._orphans, self._orphans_fd = queues, orphans, orphans.receiver.fileno()
        self._failover_fds = [] if failover is None else [failover.worker_end.fileno()]
        self._poll = select.epoll()
        for fd in (self._wake_fd, lifeline, self._orphans_fd, *self._failover_fds):
            self._poll.register(fd, select.EPOLLIN)
        self._shared_state.set_connections(slot, 0)
        self._start_accepting()

    def run(self) -> None:
        """Serve until :meth:`drain`, and then until the last connection is closed or ``drain_timeout`` is over."""
        swept = time.monotonic()
        while True:
            events = self._poll.poll(0 if self._resumed else self._poll_timeout(), _MAX_EVENTS)
            now = time.monotonic()
            self.is_leaving = self._is_draining or self._shared_state.is_stopping
            connections = self._connections
            resumed, self._resumed = self._resumed, []
            for fd, event in events:
                connection = connections.get(fd)
                if connection is not None:
                    connection.on_event(event, now)
                elif fd == self._wake_fd:
                    self._on_wake(now)
                elif fd == self._lifeline:
                    for end in (fd, *self._failover_fds):
                        self._poll.unregister(end)
                    self.drain()
                elif fd == self._orphans_fd:
                    self._adopt(now)
                elif self._failover is not None and fd in self._failover_fds:
                    self._take_over(self._failover, now)
                elif self._is_accepting:
                    self._accept(now)
            for connection in resumed:
                connection.resume(now)
            if self._accept_at is not None and now >= self._accept_at:
                self._start_accepting()
                self._accept(now, after_pause=True)
            if now - swept >= SWEEP_S:
                swept = now
                self._end_overdue(connections.values(), now)
                self._check_threads()
                if self._failover is not None:
                    self._failover.report_closed()
            elif self._jobs:
                self._end_overdue(self._jobs.values(), now)
            self._release_at = self.application.end_turn(now)
            self.instrumentation.on_tick()
            if self._is_draining and (not connections or now >= self._drain_until):
                break
        for connection in list(self._connections.values()):
            connection.close()
        self.application.end_turn(NEVER)
        self.instrumentation.on_tick()

    def _poll_timeout(self) -> float:
        """Seconds until there is something to do that no event announces."""
        end = self._release_at
        if self._accept_at is not None and self._accept_at < end:
            end = self._accept_at
        if self._jobs:
            end = min(end, *(job.context.deadline.at for job in self._jobs))
        return SWEEP_S if end == NEVER else max(0.0, min(SWEEP_S, end - time.monotonic()))

    def _end_overdue(self, connections: Collection[Connection], now: float) -> None:
        """End what took too long."""
        for connection in list(connections):
            if now >= connection.expires:
                connection.on_timeout(now)
        self._report_jobs()

    def _check_threads(self) -> None:
        if (self._workers.is_exhausted or self._heavy_workers.is_exhausted) and not self._is_draining:
            log.error("all threads are blocked; replacing this worker")
            self.drain()

    # ---- accepting ----

    def _accept(self, now: float, after_pause: bool = False) -> None:
        count = len(self._connections)
        # One worker that took over the connections of another has more than its part.
        is_full = self._failover is not None and self._shared_state.all_connections() >= self.settings.max_connections
        if (is_full or count >= self._max_connections) and not self._make_room(now):
            self._pause_accepting(PAUSE_S)
            return
        quota = ACCEPTS_PER_TURN
        if self.settings.workers > 1:
            quota = accept_quota(count, self._shared_state.fewest_connections(), after_pause)
        if quota <= 0:
            self._pause_accepting(COURTESY_S)
            return
        for _ in range(quota):
            if len(self._connections) >= self._max_connections:
                break
            try:
                self._accept_one(now)
            except BlockingIOError:
                break
            except OSError as fault:
                if fault.errno in _GONE:
                    continue
                log.error(f"cannot accept a connection: {os_error_reason(fault)}", hint="raise the limit of open files (ulimit -n)")
                self._make_room(now)
                self._pause_accepting(PAUSE_S)
                break
        self._report_connections()

    def _accept_one(self, now: float) -> None:
        request, address = self._server.get_request()
        connection = self._make_connection(request, address, self._server, self, now)
        self._add(connection)
        connection.on_event(select.EPOLLIN, now)  # with its request, in most cases: what is accepted does not wait

    def _adopt(self, now: float) -> None:
        """Go on with one request that waited in a worker that is gone: others have their turn to take one, too."""
        adopted = self._orphans.adopt()
        if adopted is None:
            return
        request, content = adopted
        try:
            address = request.getpeername()
        except OSError:  # its client is gone, too
            request.close()
            return
        connection = self._make_connection(request, address, self._server, self, now)
        self._add(connection)
        connection.adopt(content, now)
        self._report_connections()

    def _take_over(self, failover: ConnectionFailover, now: float) -> None:
        """Go on with one connection of a worker that is gone; where there are too many, silent ones make room."""
        if self._shared_state.all_connections() >= self.settings.max_connections:
            self._make_room(now)
        connection = receive_connection(failover, self._server, self, now)
        if connection is not None:
            self._add(connection)
            connection.go_on(now)
            self._report_connections()

    def _add(self, connection: Connection) -> None:
        self._connections[connection.fd] = connection
        self._poll.register(connection.fd, READABLE)

    def _make_room(self, now: float) -> bool:
        """Close some of the connections that were silent for longest; whether there were any."""
        expiry = now + self.settings.idle_timeout - SILENT_S
        silent = sorted((c.expires, fd) for fd, c in self._connections.items() if c.state == IDLE and c.expires <= expiry)
        for _, fd in silent[: 1 + len(silent) // 64]:
            self._connections[fd].close()
        return bool(silent)

    def _pause_accepting(self, seconds: float) -> None:
        self._stop_accepting()
        self._accept_at = time.monotonic() + seconds

    def _start_accepting(self) -> None:
        self._accept_at = None
        if not self._is_accepting and not self._is_draining:
            self._is_accepting = True
            self._poll.register(self._server.fileno(), select.EPOLLIN)

    def _stop_accepting(self) -> None:
        self._accept_at = None
        if self._is_accepting:
            self._is_accepting = False
            self._poll.unregister(self._server.fileno())

    def _report_connections(self) -> None:
        count = len(self._connections)
        if not self._is_draining:
            self._shared_state.set_connections(self._slot, count)
        self.instrumentation.on_connections(count)

    # ---- for connections ----

    def watch(self, connection: Connection, events: int) -> None:
        """Call ``on_event`` of a connection for these events from now on."""
        self._poll.modify(connection.fd, events)

    def resume_soon(self, connection: Connection) -> None:
        """Call ``resume`` of a connection after others have had their turn."""
        self._resumed.append(connection)

    def remove(self, connection: Connection) -> None:
        """Close the socket of a connection, and forget it."""
        del self._connections[connection.fd]
        self._poll.unregister(connection.fd)
        if connection.is_enqueued:  # its client is to see the end although another descriptor may be in the queue yet
            try:
                connection.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        connection.connection.close()
        self._report_connections()

    def submit(self, context: RequestContext, connection: Connection) -> RequestJob | None:
        """Have a worker thread answer a request; None when too many wait."""
        job = RequestJob(context)
        queue = self._queues[job.is_heavy]
        if not self._workers_for(job).submit(job, queue.reserve, not connection.is_adopted):
            return None
        if job.queued is not None:  # it has to wait, and is not to be lost with this worker
            connection.is_enqueued |= queue.enqueue(job.queued, connection.fd, connection.pack_request(context))
        self._jobs[job] = connection
        self._report_jobs()
        return job

    def abandon(self, job: RequestJob) -> None:
        """Cancel the deadline of a job; its response is not wanted any more."""
        self._jobs.pop(job, None)
        self._workers_for(job).abandon(job)
        self._queues[job.is_heavy].remove_withdrawn()
        self._report_jobs()

    def _workers_for(self, job: RequestJob) -> RequestWorkers:
        return self._heavy_workers if job.is_heavy else self._workers

    def _report_jobs(self) -> None:
        self.instrumentation.on_jobs(len(self._jobs), self._workers.waiting + self._heavy_workers.waiting)

    def wake(self) -> None:
        """End the wait for events, from any thread."""
        try:
            os.write(self.wake_write_fd, b"\0")
        except OSError:  # full: it ends anyway
            pass

    def _on_wake(self, now: float) -> None:
        try:
            os.read(self._wake_fd, 4096)
        except BlockingIOError:
            pass
        for queue in self._queues:
            queue.remove_withdrawn()
        for job in (*self._workers.finished(), *self._heavy_workers.finished()):
            if job in self._jobs:
                self._jobs.pop(job).on_response(job.response, now)
        self._report_jobs()
        if self._is_retired:
            self.drain()

    # ---- leaving ----

    def retire(self, *_: object) -> None:
        """Leave at the next wake-up: a handler of signals, each of which wakes the loop."""
        self._is_retired = True

    def drain(self) -> None:
        """Accept nothing more, finish what is in flight, and give silent connections a moment for one more request."""
        if self._is_draining:
            return
        now = time.monotonic()
        self._is_draining = self.is_leaving = True
        self._drain_until = now + self.settings.drain_timeout
        self._stop_accepting()
        if self._shared_state.is_stopping:  # then no other worker accepts what waits in the queue
            self._accept_rest(now)
        else:  # and what waited in a worker that is gone is for those that stay
            self._poll.unregister(self._orphans_fd)
        self._server.server_close()
        self._shared_state.vacate(self._slot)
        self._on_leaving()
        self.idle_timeout = min(self.settings.idle_grace, self.settings.idle_timeout)
        for connection in self._connections.values():
            if connection.state == IDLE:
                connection.expires = min(connection.expires, now + self.idle_timeout)

    def _accept_rest(self, now: float) -> None:
        while len(self._connections) < 2 * self._max_connections:
            try:
                self._accept_one(now)
            except OSError:
                return

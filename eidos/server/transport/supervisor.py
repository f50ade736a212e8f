"""Worker processes that serve from one socket, and their parent, which starts, replaces and stops them.

Knows processes, signals and when which of them may end; must not know HTTP. The parent answers no requests, so that none can make it fail.
It has one thread, so a worker can be forked at any time.

* A worker that exits unexpectedly is replaced, at once if it had served for :data:`STABLE_S` seconds, else after a delay that doubles.
* Requests that waited for a thread in a worker that was killed, and connections of which no request had begun, are passed on to the
  others, or to the one that replaces it; while the service stops, only to others.
* A worker that gets SIGTERM accepts no more, reports that to the parent, and is replaced while it finishes.
* The first SIGTERM, SIGINT or SIGHUP (unless it was ignored from the start, as ``nohup`` does) stops the service: it is not ready any more,
  goes on for ``drain_delay``, then accepts no more and finishes. There is nothing to reload. A second signal stops it at once.
* When the parent is killed, the workers notice, finish and end.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from collections import deque

from eidos import log
from eidos.errors import os_error_reason
from eidos.server.transport.connection_failover import ConnectionFailover
from eidos.server.transport.event_loop import EventLoop
from eidos.server.transport.request_failover import FailoverQueue
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from eidos.server.transport.event_loop import Service

#: Signals that stop the service.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Seconds for which a worker has to serve to be restarted at once; the first delay of one that did not, and the longest.
STABLE_S, FIRST_DELAY_S, MAX_DELAY_S = 5.0, 0.1, 30.0

#: Objects that are made before the garbage collector looks for cycles.
GC_ALLOCATIONS = 50_000

#: Milliseconds in which connections of workers gather before they are looked at together, and after which another worker is tried.
GATHER_MS = 10

#: Seconds beyond ``drain_timeout`` after which a worker that does not exit is killed.
OVERTIME_S = 5.0


class Worker:
    """One process: its ``slot``, the queues of what waits in it, its connections, when it started, and whether it accepts no more."""

    def __init__(self, pid: int, slot: int, queues: tuple[FailoverQueue, FailoverQueue], failover: ConnectionFailover | None) -> None:
        self.pid = pid
        self.slot = slot
        self.queues = queues
        self.failover = failover
        self.started = time.monotonic()
        self.is_leaving = False


class Supervisor:
    """Starts, replaces and stops the workers of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings, self._instrumentation, self._shared_state = service.settings, service.instrumentation, service.shared_state
        self._workers: dict[int, Worker] = {}
        self._free_slots = list(range(self._shared_state.slots))[::-1]  # who takes one next goes on with its counts
        self._abandoned: list[FailoverQueue] = []  # of workers that are gone, as long as there is something in them
        self._orphaned_connections: deque[tuple[int, int, bytes]] = deque()  # connections of such workers, as they were suspended
        # One worker alone has nobody to go on, and of other sockets the kernel does not say how much was sent.
        self._has_failover = self._settings.workers > 1 and service.server.address_family != socket.AF_UNIX
        self._failures = 0
        self._not_before = 0.0
        self._exit_status: int | None = None  # 0 from the first stop signal on, 128 + n after a second one
        self._close_at: float | None = None
        self._kill_at: float | None = None

    def run(self) -> int:
        """Serve until a signal stops the service; returns the exit status."""
        self._lifeline, self._lifeline_end = os.pipe()  # workers see it end with this process
        self._notices, self._notice_end = os.pipe()  # workers write their process ids when they accept no more
        self._wake, self._wake_end = os.pipe()
        self._orphans = FailoverQueue()  # all workers receive from it
        for fd in (self._notices, self._notice_end, self._wake, self._wake_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._instrumentation.on_start(self._shared_state.slots, self._settings.max_connections)
        # Objects that exist now stay: without this, the garbage collector of each worker would copy all of their pages.
        gc.collect()
        gc.freeze()
        # The tree of a large document would be looked through again and again while it grows, and it has no cycles.
        gc.set_threshold(GC_ALLOCATIONS)
        self._poll, gathering = select.poll(), select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(self._notices, select.POLLIN)
        gathering.register(self._wake, select.POLLIN)
        while True:
            now = time.monotonic()
            self._start_missing(now)
            if self._exit_status is not None and self._stop(now):
                return self._exit_status
            self._give_orphaned_connections()
            waits = [at for at in (self._close_at, self._kill_at, self._not_before) if at is not None and at > now]
            if self._orphaned_connections and self._workers:
                waits.append(now + GATHER_MS / 1000)
            self._poll.register(self._orphans.sender, select.POLLOUT if self._abandoned else 0)
            self._poll.poll(max(1.0, (min(waits) - now) * 1000 + 1) if waits else None)
            _read_available(self._wake)
            self._read_notices()
            self._reap()
            self._pass_on_requests()
            received = [worker.failover.receive() for worker in self._workers.values() if worker.failover is not None]
            if any(received):
                gathering.poll(GATHER_MS)

    # ---- workers ----

    def _start_missing(self, now: float) -> None:
        """Start the workers that are missing."""
        if self._close_at is not None and now >= self._close_at:
            return
        while self._kill_at is None and now >= self._not_before and self._free_slots:
            if sum(not worker.is_leaving for worker in self._workers.values()) >= self._settings.workers:
                return
            self._fork(self._free_slots.pop())

    def _fork(self, slot: int) -> None:
        # A signal for a worker that has no handlers of its own yet waits until it has.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            queues = FailoverQueue(), FailoverQueue()
            failover = ConnectionFailover(2 * self._settings.max_connections) if self._has_failover else None
            pid = os.fork()
            if pid == 0:
                self._run_worker(slot, queues, failover)
        except OSError as fault:
            log.error(f"cannot start a worker: {os_error_reason(fault)}", hint="raise the limit of processes (ulimit -u)")
            self._free_slots.append(slot)
            self._delay_restart()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for queue in queues:
            queue.only_receive()
        if failover is not None:
            failover.worker_end.close()
            self._poll.register(failover.supervisor_end, select.POLLIN)
        self._workers[pid] = Worker(pid, slot, queues, failover)

    def _run_worker(self, slot: int, queues: tuple[FailoverQueue, FailoverQueue], failover: ConnectionFailover | None) -> NoReturn:
        status = 1
        try:
            for fd in (self._lifeline_end, self._notices, self._wake, self._wake_end):
                os.close(fd)
            for queue in (
                *self._abandoned,
                *(queue for worker in self._workers.values() for queue in worker.queues),
            ):
                queue.close()
            for worker in self._workers.values():
                if worker.failover is not None:
                    worker.failover.close()
            for fd, _, _ in self._orphaned_connections:
                os.close(fd)
            if failover is not None:
                failover.supervisor_end.close()
            self._orphans.only_receive()
            loop = EventLoop(self._service, slot, self._lifeline, self._notify_leaving, queues, self._orphans, failover)
            signal.set_wakeup_fd(loop.wake_write_fd, warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the parent decides
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, loop.retire)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            self._instrumentation.on_start(slot, self._settings.max_connections)
            self._instrumentation.on_ready()
            loop.run()
            self._instrumentation.on_stop()
            status = 0
        finally:
            # Not by way of the parent's frames, nor held up by a thread.
            if status:
                sys.excepthook(*sys.exc_info())
            _exit(status)

    def _notify_leaving(self) -> None:
        """Called in a worker: it accepts no more."""
        try:
            os.write(self._notice_end, b"%d\n" % os.getpid())
        except OSError:
            pass

    def _read_notices(self) -> None:
        """Note which workers accept no more; a line of a pipe is never torn (pipe(7))."""
        for line in _read_available(self._notices).split():
            worker = self._workers.get(int(line))
            if worker is not None:
                worker.is_leaving = True
                if self._exit_status is None:
                    self._instrumentation.on_worker_restart()

    def _reap(self) -> None:
        while self._workers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._read_notices()  # its notice may have come since
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            self._instrumentation.on_worker_exit(worker.slot)
            self._shared_state.vacate(worker.slot)
            self._free_slots.append(worker.slot)
            self._abandoned += worker.queues
            if worker.failover is not None:
                self._poll.unregister(worker.failover.supervisor_end)
                self._orphaned_connections += worker.failover.take_over()
                worker.failover.close()
            if not worker.is_leaving and not self._exit_status:
                self._on_unexpected_exit(worker, status)

    def _pass_on_requests(self) -> None:
        """Give what waited in workers that are gone to those that are there, or will be."""
        while self._abandoned and self._abandoned[0].pass_on(self._orphans):
            self._abandoned.pop(0).close()

    def _give_orphaned_connections(self) -> None:
        """Give connections of workers that are gone to those that have fewest, as many as they take now."""
        stay = [worker for worker in self._workers.values() if not worker.is_leaving or self._exit_status is not None]
        failovers = [worker.failover for worker in stay if worker.failover is not None]
        while self._orphaned_connections and any(failover.give(*self._orphaned_connections[0]) for failover in sorted(failovers, key=len)):
            self._orphaned_connections.popleft()

    def _on_unexpected_exit(self, worker: Worker, status: int) -> None:
        how = f"on signal {status & 127}" if status & 127 else f"with status {status >> 8}"
        if time.monotonic() - worker.started >= STABLE_S:
            self._failures = 0
        if self._exit_status is None:
            self._instrumentation.on_worker_restart()
            self._delay_restart()
        log.error(f"a worker exited {how}", pid=worker.pid)

    def _delay_restart(self) -> None:
        """The first restart is at once, each that follows soon takes longer."""
        delay = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (self._failures - 1)) if self._failures else 0.0
        self._failures = min(self._failures + 1, 16)
        self._not_before = time.monotonic() + delay

    # ---- the end ----

    def _on_stop_signal(self, number: int, _frame: object) -> None:
        if self._exit_status is None:
            self._exit_status = 0
            self._shared_state.stop()  # from here on no worker is ready
        else:
            self._exit_status = 128 + number

    def _stop(self, now: float) -> bool:
        """Go on with stopping; whether nothing is left to do."""
        settings = self._settings
        if self._exit_status:
            log.warn("stopped immediately by a second signal")
            self._kill()
            return True
        if self._close_at is None:
            log.info(f"stopping, in {settings.drain_delay:g} s" if settings.drain_delay else "stopping")
            self._close_at = now + settings.drain_delay
        if self._kill_at is None and now >= self._close_at:
            self._kill_at = now + settings.drain_timeout + OVERTIME_S
            self._service.server.server_close()
            for pid in self._workers:
                os.kill(pid, signal.SIGTERM)
        if self._kill_at is not None and self._workers and now >= self._kill_at:
            log.error(f"killed {count_of(len(self._workers), 'worker')} that did not stop in time")
            self._kill()
        if self._kill_at is not None and not self._workers:
            log.info("stopped")
            return True
        return False

    def _kill(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 1.0
        while self._workers and time.monotonic() < deadline:  # one that is stuck in the kernel is left to it
            self._reap()
            time.sleep(0.005)


def _read_available(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def _exit(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    os._exit(status)

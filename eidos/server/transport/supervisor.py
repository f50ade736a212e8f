"""Workers: processes that serve from one socket, and the parent that keeps them.

Knows processes, signals and when which of them may end; must not know HTTP. The parent serves nothing, so that it has nothing to fail at.
It has one thread, so a worker can be forked at any time.

* A worker that ends unasked is replaced, at once if it had served for :data:`STABLE` seconds, else after a delay that doubles.
* A worker that is asked to end (SIGTERM) accepts no more, says so, and is replaced while it finishes.
* The first SIGTERM, SIGINT or SIGHUP (unless it was ignored from the start, as ``nohup`` does) stops the service: it is not ready any more,
  goes on for ``drain_delay``, then accepts no more and finishes. There is nothing to reload. A second signal stops it at once.
* When the parent is killed, the workers notice, finish and end.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time

from eidos import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from eidos.server.instrumentation import Application, Told
    from eidos.server.transport.event_loop import Listener
    from eidos.server.transport.shared_state import Board

#: Signals that stop the service.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Seconds that a worker has to live for its end to be an accident; the first delay after one that did not, and the longest.
STABLE, FIRST_DELAY, LONGEST_DELAY = 5.0, 0.1, 30.0

#: Seconds beyond ``drain_timeout`` after which a worker that does not end is killed.
OVERTIME = 5.0


class Worker:
    """One process: its ``slot``, when it ``began``, and whether it ``leaves``."""

    def __init__(self, pid: int, slot: int) -> None:
        self.pid = pid
        self.slot = slot
        self.began = time.monotonic()
        self.leaves = False


def slots(workers: int) -> int:
    """Places for ``workers`` and for those that finish while others have taken over; counts of a place are kept by who takes it next."""
    return 2 * workers


class Supervisor:
    """Keeps the workers of a service."""

    def __init__(self, listener: Listener, app: Application, told: Told, board: Board) -> None:
        self._listener, self._app, self._told, self._board = listener, app, told, board
        self._wanted = listener.settings.workers
        self._workers: dict[int, Worker] = {}
        self._free = list(range(slots(self._wanted)))[::-1]
        self._failures = 0
        self._not_before = 0.0
        self._stopping = 0
        self._signals: list[int] = []
        self._close_at: float | None = None
        self._kill_at: float | None = None

    def run(self) -> int:
        """Serve until told to stop; the exit status."""
        self._lifeline, self._life = os.pipe()
        self._notes, self._note = os.pipe()
        self._awake, self._wake = os.pipe()
        for fd in (self._notes, self._note, self._awake, self._wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._told.begins(slots(self._wanted), self._listener.settings.max_connections)
        # What is there now is there for good: without this, the collector of each worker would copy all of its pages.
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(self._awake, select.POLLIN)
        poll.register(self._notes, select.POLLIN)
        while True:
            now = time.monotonic()
            self._fill(now)
            if self._stopping and self._stop(now):
                return self._stopping - 1 if self._stopping > 1 else 0
            waits = [at for at in (self._close_at, self._kill_at, self._not_before) if at is not None and at > now]
            poll.poll(max(1.0, (min(waits) - now) * 1000 + 1) if waits else None)
            _drain(self._awake)
            self._hear()
            self._reap()

    # ---- workers ----

    def _fill(self, now: float) -> None:
        """Start the workers that are missing."""
        if self._close_at is not None and now >= self._close_at:
            return
        while self._kill_at is None and now >= self._not_before and self._free:
            if sum(not worker.leaves for worker in self._workers.values()) >= self._wanted:
                return
            self._fork(self._free.pop())

    def _fork(self, slot: int) -> None:
        # A signal for a worker that has no handlers of its own yet waits until it has.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid = os.fork()
            if pid == 0:
                self._work(slot)
        except OSError as fault:
            log.error(f"cannot start a worker: {(fault.strerror or str(fault)).lower()}", hint="allow more processes (ulimit -u)")
            self._free.append(slot)
            self._put_off()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._workers[pid] = Worker(pid, slot)

    def _work(self, slot: int) -> NoReturn:
        status = 1
        try:
            for fd in (self._life, self._notes, self._awake, self._wake):
                os.close(fd)
            listener = self._listener
            listener.enter(self._app, self._told, self._board, slot, self._lifeline, self._leaves)
            signal.set_wakeup_fd(listener.wake_write, warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the parent says what is to be done
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, listener.retire)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            self._told.begins(slot, listener.settings.max_connections)
            self._told.serves()
            listener.serve_forever()
            self._told.served()
            status = 0
        finally:
            # Not by way of the parent's frames, nor held up by a thread.
            if status:
                sys.excepthook(*sys.exc_info())
            _leave(status)

    def _leaves(self) -> None:
        """Called in a worker: it accepts no more."""
        try:
            os.write(self._note, b"%d\n" % os.getpid())
        except OSError:
            pass

    def _hear(self) -> None:
        """Which workers leave; a line is written whole (pipe(7))."""
        for line in _drain(self._notes).split():
            worker = self._workers.get(int(line))
            if worker is not None:
                worker.leaves = True
                if not self._stopping:
                    self._told.restarted()

    def _reap(self) -> None:
        while self._workers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._hear()  # what it said at its end may have come since
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            self._told.ended(worker.slot)
            self._board.leave(worker.slot)
            self._free.append(worker.slot)
            if not worker.leaves and self._stopping < 2:
                self._accident(worker, status)

    def _accident(self, worker: Worker, status: int) -> None:
        how = f"by signal {status & 127}" if status & 127 else f"with status {status >> 8}"
        if time.monotonic() - worker.began >= STABLE:
            self._failures = 0
        if not self._stopping:
            self._told.restarted()
            self._put_off()
        log.error(f"a worker ended {how}", pid=worker.pid)

    def _put_off(self) -> None:
        """The first restart is at once, each that follows soon takes longer."""
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._failures - 1)) if self._failures else 0.0
        self._failures = min(self._failures + 1, 16)
        self._not_before = time.monotonic() + delay

    # ---- the end ----

    def _told_to_stop(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        if not self._stopping:
            self._stopping = 1
            self._board.stop()  # from here on nobody is ready
        else:
            self._stopping = 1 + 128 + number

    def _stop(self, now: float) -> bool:
        """Go on with stopping; whether nothing is left to do."""
        settings = self._listener.settings
        if self._stopping > 1:
            log.warn("stopped at once, by a second signal")
            self._kill()
            return True
        if self._close_at is None:
            log.info(f"stopping, in {settings.drain_delay:g} s" if settings.drain_delay else "stopping")
            self._close_at = now + settings.drain_delay
        if self._kill_at is None and now >= self._close_at:
            self._kill_at = now + settings.drain_timeout + OVERTIME
            self._listener.socket.close()
            for pid in self._workers:
                os.kill(pid, signal.SIGTERM)
        if self._kill_at is not None and self._workers and now >= self._kill_at:
            log.error(f"{len(self._workers)} workers did not end in time, and were killed")
            self._kill()
        if self._kill_at is not None and not self._workers:
            log.info("stopped")
            return True
        return False

    def _kill(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        patience = time.monotonic() + 1.0
        while self._workers and time.monotonic() < patience:  # one that is stuck in the kernel is left to it
            self._reap()
            time.sleep(0.005)


def _drain(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    os._exit(status)

"""Threads for the answers that take work, so that the loop goes on.

Knows jobs, a few threads and a queue with an end; must not know sockets, nor what the work is. A thread cannot be stopped: work that
nobody waits for any more has its deadline cancelled and, until it looks there, holds a thread. So that it cannot hold all of them,
another thread takes its place, up to :data:`MOST`; after that the worker is :attr:`Crew.lost` and has to be replaced.
"""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.http_wire.messages import Request, Response

#: Threads of a worker, jobs that may wait for one, and threads when some are held by work that does not end.
THREADS, WAITING, MOST = 4, 64, 24

#: Bytes of a body that make its work heavy; threads for such work, and how much of it may wait.
HEAVY, HEAVY_THREADS, HEAVY_WAITING = 1 << 18, 2, 8


class Job:
    """The work for one request. ``owner`` wants the answer, until it is ``abandoned``; no ``response`` afterwards is a fault."""

    __slots__ = ("abandoned", "owner", "request", "response", "running")

    def __init__(self, request: Request, owner: object) -> None:
        self.request = request
        self.owner = owner
        self.response: Response | None = None
        self.abandoned = self.running = False

    @property
    def heavy(self) -> bool:
        """Whether it may take seconds: it is not to stand in the way of what takes milliseconds."""
        return len(self.request.body) > HEAVY


class Crew:
    """Does jobs with ``answer`` and calls ``wake`` after each. Its threads begin with the first job: make it after the fork."""

    def __init__(
        self, answer: Callable[[Request], Response], wake: Callable[[], None], threads: int = THREADS, waiting: int = WAITING
    ) -> None:
        self._usual, self._longest = threads, waiting
        self._answer = answer
        self._wake = wake
        self._todo: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._stuck = self._busy = 0

    @property
    def waiting(self) -> int:
        """Jobs that no thread has begun."""
        return self._todo.qsize()

    @property
    def lost(self) -> bool:
        """Whether every thread that there may be is held by work that nobody wants."""
        return self._stuck >= MOST

    def give(self, job: Job) -> bool:
        """Have a job done; False when too many wait already."""
        if self._todo.qsize() >= self._longest:
            return False
        with self._lock:
            if self._threads < min(self._usual + self._stuck, MOST) and self._busy + self._todo.qsize() >= self._threads:
                self._start()
        self._todo.put(job)
        return True

    def finished(self) -> list[Job]:
        """The jobs that were done since, but those that were abandoned."""
        jobs = []
        while not self._done.empty():
            job = self._done.get()
            if not job.abandoned:
                jobs.append(job)
        return jobs

    def abandon(self, job: Job) -> None:
        """Nobody wants the answer any more: cancel its deadline, and do without its thread until it notices."""
        job.request.deadline.cancel()
        with self._lock:
            job.abandoned = True
            if job.running:
                self._stuck += 1
                if self._threads < MOST and self._todo.qsize():
                    self._start()

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name="answers", daemon=True).start()

    def _work(self) -> None:
        try:
            while True:
                job = self._todo.get()
                if job is None:
                    break
                self._do(job)
                with self._lock:
                    if self._threads > self._usual + self._stuck:
                        break
        finally:
            with self._lock:
                self._threads -= 1

    def _do(self, job: Job) -> None:
        with self._lock:
            if job.abandoned:
                return
            job.running = True
            self._busy += 1
        try:
            job.response = self._answer(job.request)
        finally:
            with self._lock:
                job.running = False
                self._busy -= 1
                self._stuck -= job.abandoned
            self._done.put(job)
            self._wake()

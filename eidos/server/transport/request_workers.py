"""Threads for responses that take work, so that the event loop goes on.

Knows jobs, threads and a queue with a limit; must not know sockets, nor what the work is. A thread cannot be stopped: work whose
response is not wanted any more has its deadline cancelled, and holds its thread until it looks there. So that it cannot hold all of
them, each thread is an executor of its own: one that is held is shut down, which lets it end with its work, and another is opened in
its place, up to :data:`THREAD_LIMIT`; beyond that the process is :attr:`RequestWorkers.is_exhausted` and has to be replaced.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from functools import partial

from eidos import log
from eidos.process.thread_pool import ThreadPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.http_wire.messages import Response
    from eidos.process.thread_pool import Future
    from eidos.server.request_context import RequestContext
    from eidos.server.transport.request_failover import QueuedRequest

#: Threads of a process, jobs that may wait for one, and threads when some are held by work that does not end.
THREADS, QUEUE_LIMIT, THREAD_LIMIT = 4, 64, 24

#: Bytes of a body beyond which its work is heavy; threads for such work, and how much of it may wait.
HEAVY_BODY, HEAVY_THREADS, HEAVY_QUEUE_LIMIT = 1 << 18, 2, 8


class RequestJob:
    """The work for one request. ``response`` is None until it is done, and stays None when it failed."""

    __slots__ = ("context", "is_abandoned", "queued", "response", "thread")

    def __init__(self, context: RequestContext) -> None:
        self.context = context
        self.response: Response | None = None
        self.is_abandoned = False
        self.thread: ThreadPoolExecutor | None = None  # while it runs
        self.queued: QueuedRequest | None = None  # if it had to wait

    @property
    def is_heavy(self) -> bool:
        """Whether it may take seconds: it is not to delay what takes milliseconds."""
        return len(self.context.request.body) > HEAVY_BODY

    def withdraw(self) -> None:
        """It waits no more: no other process is to begin it."""
        if self.queued is not None:
            self.queued.withdraw()


class RequestWorkers:
    """Does jobs with ``answer`` and calls ``wake`` after each. Threads start with the first jobs: create it after the fork."""

    def __init__(
        self,
        answer: Callable[[RequestContext], Response],
        wake: Callable[[], None],
        threads: int = THREADS,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._answer, self._wake = answer, wake
        self._threads, self._queue_limit = threads, queue_limit
        self._queue: deque[RequestJob] = deque()
        self._done: queue.SimpleQueue[RequestJob] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a job that is done before it is watched runs its callback right there
        self._idle: list[ThreadPoolExecutor] = []
        self._open = self._held = 0  # threads that take jobs, and threads that are held by abandoned ones

    @property
    def waiting(self) -> int:
        """Jobs that no thread has begun."""
        return len(self._queue)

    @property
    def is_exhausted(self) -> bool:
        """Whether every thread that there may be is held by an abandoned job."""
        return self._held >= THREAD_LIMIT

    def submit(self, job: RequestJob, reserve: Callable[[], QueuedRequest | None] = lambda: None, is_limited: bool = True) -> bool:
        """Do a job; False when too many wait already, unless they do not count. One that has to wait is reserved a place in a queue."""
        with self._lock:
            if is_limited and len(self._queue) >= self._queue_limit:
                return False
            self._queue.append(job)
            self._start_jobs()
            if self._queue:  # it is the last of those that wait
                job.queued = reserve()
        return True

    def finished(self) -> list[RequestJob]:
        """The jobs that are done since the last call, without abandoned ones."""
        jobs = []
        while not self._done.empty():
            job = self._done.get()
            if not job.is_abandoned:
                jobs.append(job)
        return jobs

    def abandon(self, job: RequestJob) -> None:
        """The response is not wanted any more: cancel the deadline, and do without the thread until it notices."""
        job.context.deadline.cancel()
        with self._lock:
            job.is_abandoned = True
            job.withdraw()
            if job.thread is not None:
                job.thread.shutdown(wait=False)
                self._open -= 1
                self._held += 1
            elif job in self._queue:
                self._queue.remove(job)
            self._start_jobs()

    def _start_jobs(self) -> None:
        while self._queue:
            if self._idle:
                thread = self._idle.pop()
            elif self._open < self._threads and self._open + self._held < THREAD_LIMIT:
                thread = ThreadPoolExecutor(1, "request-worker")
                self._open += 1
            else:
                return
            job = self._queue.popleft()
            job.thread = thread
            thread.submit(self._do, job).add_done_callback(partial(self._finish, job))

    def _do(self, job: RequestJob) -> Response:
        """Begin a job: called in its thread."""
        job.withdraw()
        return self._answer(job.context)

    def _finish(self, job: RequestJob, future: Future[Response]) -> None:
        """A job is done: called in its thread."""
        fault = future.exception()
        if fault is None:
            job.response = future.result()
        else:
            log.error(f"internal error in a worker thread: {type(fault).__name__}: {fault}", request_id=job.context.request.id)
        with self._lock:
            thread, job.thread = job.thread, None
            if job.is_abandoned:
                self._held -= 1
            elif thread is not None:
                self._idle.append(thread)
            self._start_jobs()
        self._done.put(job)
        self._wake()

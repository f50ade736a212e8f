"""Threads for responses that take work: how many there are, what waits, and what becomes of work that does not end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from eidos.http_wire.messages import Response
from eidos.server.request_context import RequestContext
from eidos.server.transport.request_workers import RequestJob, RequestWorkers
from tests.support.in_process_server import request
from tests.support.waiting import AMPLE_S, until

THREADS, QUEUE_LIMIT, THREAD_LIMIT = 2, 3, 24


class Work:
    """Answers that wait until they are let go: all of them, or one by its target."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.released = threading.Event()
        self.wakes = 0

    def answer(self, context: RequestContext) -> Response:
        target = context.request.target
        self.started.append(target)
        if target == "/raise":
            raise RuntimeError("a fault")
        assert target == "/quick" or self.released.wait(AMPLE_S)
        return Response(200, (), target.encode())

    def wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.released.set()


def workers(work: Work) -> RequestWorkers:
    return RequestWorkers(work.answer, work.wake, THREADS, QUEUE_LIMIT)


def job(target: str, body: bytes = b"") -> RequestJob:
    return RequestJob(request("POST", target, body))


def collect(pool: RequestWorkers, count: int) -> list[RequestJob]:
    """The next ``count`` jobs that are done."""
    jobs: list[RequestJob] = []

    def enough() -> bool:
        jobs.extend(pool.finished())
        return len(jobs) >= count

    until(enough)
    return jobs


def running() -> int:
    """Threads of this process that answer requests."""
    return sum(thread.name.startswith("request-worker") for thread in threading.enumerate())


def test_as_many_jobs_run_as_there_are_threads_and_as_many_wait_as_may(work: Work) -> None:
    pool = workers(work)
    jobs = [job(f"/{number}") for number in range(THREADS + QUEUE_LIMIT)]
    assert all(map(pool.submit, jobs))
    assert not pool.submit(job("/too-many"))
    until(lambda: len(work.started) == THREADS)
    assert pool.waiting == QUEUE_LIMIT
    assert pool.finished() == []
    work.released.set()
    assert set(collect(pool, len(jobs))) == set(jobs)
    assert [each.response.body if each.response else b"" for each in jobs] == [each.context.request.target.encode() for each in jobs]
    assert work.wakes == len(jobs)
    assert pool.waiting == 0


def test_by_default_four_jobs_run_and_64_wait(work: Work) -> None:
    pool = RequestWorkers(work.answer, work.wake)
    assert all(pool.submit(job("/")) for _ in range(4 + 64))
    assert not pool.submit(job("/too-many"))
    until(lambda: len(work.started) == 4)


def test_threads_are_used_again(work: Work) -> None:
    pool = workers(work)
    before = running()
    for _ in range(20):
        assert pool.submit(job("/quick"))
        until(pool.finished)
    assert running() <= before + 1


def test_an_answer_that_raises_gives_no_response_and_costs_no_thread(work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    pool = workers(work)
    for _ in range(3 * THREADS):
        assert pool.submit(job("/raise"))
        assert collect(pool, 1)[0].response is None
    assert capfd.readouterr().err.count("internal error in a worker thread: RuntimeError: a fault") == 3 * THREADS
    assert pool.submit(job("/quick"))
    until(pool.finished)


def test_a_job_that_is_abandoned_while_it_runs_does_not_hold_up_others(work: Work) -> None:
    pool, before = workers(work), running()
    stuck = [job("/stuck") for _ in range(THREADS)]
    assert all(map(pool.submit, stuck))
    until(lambda: len(work.started) == THREADS)
    for each in stuck:
        pool.abandon(each)
        assert each.context.deadline.is_over
    assert pool.submit(job("/quick"))
    until(pool.finished)
    work.released.set()
    until(lambda: running() <= before + 1)
    assert pool.finished() == [], "no one wants those of the abandoned"


def test_a_job_that_is_abandoned_while_it_waits_is_never_begun(work: Work) -> None:
    pool = workers(work)
    jobs = [job(f"/{number}") for number in range(THREADS + 2)]
    assert all(map(pool.submit, jobs))
    pool.abandon(jobs[-2])
    assert pool.waiting == 1
    work.released.set()
    until(lambda: "/3" in work.started)
    time.sleep(0.01)
    assert "/2" not in work.started


def test_when_every_thread_is_held_the_process_is_exhausted(work: Work) -> None:
    pool = workers(work)
    for number in range(THREAD_LIMIT):
        assert not pool.is_exhausted
        stuck = job("/stuck")
        assert pool.submit(stuck)
        until(lambda number: len(work.started) == number + 1, number)
        pool.abandon(stuck)
    assert pool.is_exhausted
    assert pool.submit(job("/quick"))
    time.sleep(0.01)
    assert "/quick" not in work.started
    work.released.set()
    until(pool.finished)
    until(lambda: not pool.is_exhausted)


def test_a_large_body_is_heavy_work() -> None:
    assert not job("/", b"x" * (256 << 10)).is_heavy
    assert job("/", b"x" * ((256 << 10) + 1)).is_heavy

"""Requests that wait for a thread when their worker is killed: others go on with them, once, and nothing is left of them."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidos.http_wire.request_head import HeadCache
from eidos.http_wire.request_parser import RequestParser
from eidos.server.rate_limiter import Decision
from eidos.server.transport import request_failover
from eidos.server.transport.request_failover import TICKETS, FailoverQueue, QueuedRequest, pack_request, unpack_request
from eidos.server.transport.request_workers import RequestJob, RequestWorkers
from tests.support.in_process_server import request
from tests.support.transport_process import Answer, Service, everything, read_answer
from tests.support.waiting import AMPLE_S, ClientThreads, until

# ---- as bytes ----

REQUESTS = {
    "a body": b"POST /a%20b?c=%2f HTTP/1.1\r\nHost: a\r\nX: \xe9\r\nX: 2\r\nContent-Length: 3\r\n\r\n\n{\x00",
    "chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "no body": b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "an old version": b"POST /a HTTP/1.0\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n1",
    "an expectation": b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n1",
}


@pytest.mark.parametrize("after", [b"", b"GET / HTT", b"\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\nGET"])
@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("decision", [None, Decision(True, 20, 19, 0.1, 0.0, "client")])
def test_a_request_is_unpacked_as_it_was_packed(data: bytes, after: bytes, decision: Decision | None) -> None:
    parser = RequestParser(HeadCache(), 100)
    parser.receive(data + after)
    message = parser.next_request()
    assert message is not None
    head, body = message
    context = request("POST", "/", bytes(body))
    context.decision = decision
    unpacked, *rest = unpack_request(b"".join(pack_request(head, context, 1.1, parser.unread)))
    assert {name: getattr(unpacked, name) for name in head.__slots__} == {name: getattr(head, name) for name in head.__slots__}
    assert rest == [body, 1.1, context.deadline.at, decision, after]


# ---- in a queue ----


class Queues:
    """The queue of a worker, that of orphaned requests, and connections."""

    def __init__(self) -> None:
        self.failover_queue, self.orphaned_requests = FailoverQueue(), FailoverQueue()
        self.near, self.far = socket.socketpair()

    def enqueue(self, content: bytes = b"a") -> QueuedRequest:
        queued = self.failover_queue.reserve()
        assert self.may_enqueue(content, queued)
        return queued

    def may_enqueue(self, content: bytes, queued: QueuedRequest | None = None) -> bool:
        return self.failover_queue.enqueue(queued or self.failover_queue.reserve(), self.near.fileno(), [content[:1], content[1:]])

    def adopted(self) -> list[bytes]:
        """What is left when the worker is gone."""
        assert self.failover_queue.pass_on(self.orphaned_requests)
        return self.taken()

    def taken(self) -> list[bytes]:
        """What another worker gets of it."""
        contents: list[bytes] = []
        while True:
            adopted = self.orphaned_requests.adopt()
            if adopted is None:
                return contents
            connection, content = adopted
            with connection:
                connection.send(b"x")
            assert self.far.recv(1) == b"x", "it is that connection"
            contents.append(content)

    def close(self) -> None:
        """Close all that is open."""
        for each in (self.failover_queue, self.orphaned_requests, self.near, self.far):
            each.close()


@pytest.fixture
def queues() -> Iterator[Queues]:
    queues = Queues()
    yield queues
    queues.close()


def descriptors() -> int:
    gc.collect()  # what earlier tests have left open
    return len(os.listdir("/proc/self/fd"))


def test_what_is_not_withdrawn_is_adopted_once_in_order(queues: Queues) -> None:
    large = os.urandom(300_000)
    queued_requests = [queues.enqueue(content) for content in (b"0", b"1", large, b"3", b"4")]
    for at in (0, 3):
        queued_requests[at].withdraw()
    assert queues.adopted() == [b"1", large, b"4"]
    assert queues.adopted() == []


def test_what_is_withdrawn_is_removed_with_its_connection_and_room_is_made(queues: Queues) -> None:
    queued_requests = [queues.enqueue() for _ in range(3)]
    queued_requests[1].withdraw()
    queues.failover_queue.remove_withdrawn()
    queued_requests[0].withdraw()
    queues.failover_queue.remove_withdrawn()
    queued_requests[2].withdraw()
    queues.near.close()
    queues.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        queues.far.recv(1)  # the last one has it yet
    queues.failover_queue.remove_withdrawn()
    assert queues.far.recv(1) == b""
    assert queues.adopted() == []


def test_what_does_not_fit_is_refused_and_does_no_harm(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_failover, "BYTES_LIMIT", 10)
    first = queues.enqueue(b"12345678")
    refused = queues.failover_queue.reserve()
    assert not queues.may_enqueue(b"123", refused)
    queues.enqueue(b"12")
    refused.withdraw()
    first.withdraw()
    queues.failover_queue.remove_withdrawn()
    queues.enqueue(b"123")
    before = descriptors()
    assert not queues.failover_queue.enqueue(queues.failover_queue.reserve(), -1, [b"1"]), "not a descriptor"
    monkeypatch.setattr(request_failover, "BYTES_LIMIT", 10_000)
    monkeypatch.delattr(os, "memfd_create")
    assert not queues.may_enqueue(b"1" * 2000), "an interpreter without files in memory"
    assert descriptors() <= before
    assert queues.adopted() == [b"12", b"123"]


@pytest.mark.parametrize("size", [5, request_failover.INLINE_BYTES])
def test_a_full_queue_takes_no_more_and_is_passed_on_as_heirs_have_room(queues: Queues, size: int) -> None:
    count = 0
    while queues.may_enqueue(b"%0*d" % (size, count)):
        count += 1
    assert count > 64 + 8, "what may wait fits"
    contents: list[bytes] = []
    while not queues.failover_queue.pass_on(queues.orphaned_requests):
        contents += queues.taken()
    assert contents + queues.taken() == [b"%0*d" % (size, number) for number in range(count)]


def test_tickets_are_used_again_and_again(queues: Queues) -> None:
    queued_requests: list[QueuedRequest] = []
    for number in range(3 * TICKETS):
        queued_requests.append(queues.enqueue(b"%d" % number))
        if len(queued_requests) > 50:
            queued_requests.pop(0).withdraw()
            queues.failover_queue.remove_withdrawn()
    assert queues.adopted() == [b"%d" % number for number in range(3 * TICKETS - 50, 3 * TICKETS)]


@pytest.mark.slow
def test_nothing_is_left_of_two_hundred_workers(queues: Queues) -> None:
    """Each keeps three requests, begins one, and is killed."""
    before = descriptors()
    for _ in range(200):
        queues.failover_queue.close()
        queues.failover_queue = FailoverQueue()
        pid = os.fork()
        if not pid:
            try:
                first, _, _ = queues.enqueue(b"0"), queues.enqueue(b"1"), queues.enqueue(b"2" * 10_000)
                first.withdraw()
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        queues.failover_queue.only_receive()
        os.waitpid(pid, 0)
        assert queues.adopted() == [b"1", b"2" * 10_000]
    assert descriptors() < before, "the end that sends is the worker's"


# ---- while threads are busy ----


def test_only_what_waits_is_enqueued_and_it_is_withdrawn_before_it_begins(queues: Queues) -> None:
    released = threading.Event()
    queued_requests: list[QueuedRequest] = []
    left: dict[str, int] = {}

    def answer(context: object) -> None:
        target = context.request.target  # type: ignore[attr-defined]  # a stub of a request
        left[target] = sum(not queued.is_withdrawn for queued in queued_requests)
        released.wait(AMPLE_S)

    pool = RequestWorkers(answer, lambda: None, 1, 3)  # type: ignore[arg-type]  # it takes the stub
    jobs = [RequestJob(request("GET", f"/{number}")) for number in range(5)]

    def reserve() -> QueuedRequest:
        queued_requests.append(queues.enqueue())
        return queued_requests[-1]

    assert [pool.submit(job, reserve) for job in jobs] == [True, True, True, True, False]
    assert len(queued_requests) == 3
    assert pool.submit(jobs[4], reserve, is_limited=False)
    pool.abandon(jobs[2])
    assert [queued.is_withdrawn for queued in queued_requests] == [False, True, False, False]
    released.set()
    until(lambda: len(left) == 4)
    assert left == {"/0": left["/0"], "/1": 2, "/3": 1, "/4": 0}
    assert queues.adopted() == []


# ---- in a service ----


class Clients(ClientThreads):
    """Clients of what takes until it is released, each of which asks again when it is answered, and what became of their requests."""

    def __init__(self, service: Service, count: int) -> None:
        self.service = service
        self.answered: list[str] = []
        self.lost: list[str] = []
        self.other: list[int] = []
        self.waiting: dict[int, tuple[socket.socket, str]] = {}  # the connection of each, and the target of its request
        self.count = count
        super().__init__(count)

    def ask(self, number: int) -> None:
        requests = 0
        while not self.is_over():
            requests += 1
            id = f"{number:08x}-0000-4000-8000-{requests:012x}"
            with self.service.connect() as sock:
                target = self.service.held
                sock.sendall(held(target, id))
                self.waiting[number] = (sock, target)
                data = everything(sock)
                del self.waiting[number]
            if not data:
                self.lost.append(id)
            elif Answer(data).status == 200:
                self.answered.append(id)
            else:
                self.other.append(Answer(data).status)

    def targets(self) -> list[str]:
        """Those of the requests that were not answered."""
        return [target for _, target in tuple(self.waiting.values())]

    def is_answered(self, target: str) -> bool:
        """Whether all requests to this target are, once all are released: those that ask again may have the threads first."""
        self.service.release()
        return target not in self.targets()

    def settle(self) -> None:
        """Wait until each has sent a request that is not released, and workers have read it."""
        until(lambda: self.targets() == [self.service.held] * self.count)
        self.service.settle(*(sock for sock, _ in self.waiting.values()))


def held(target: str, id: str) -> bytes:
    """A request for what takes until it is released."""
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nX-Tell: 1\r\nX-Request-Id: {id}\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
    return f"{head}body".encode()


def begun(service: Service) -> list[str]:
    """Ids of the requests that a thread has begun."""
    return re.findall(r"^begun (.*)$", service.stderr, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_five_kills_under_load_lose_nothing_but_what_had_begun(workers: int) -> None:
    with Service(workers=workers, stable_s=0) as service:
        with Clients(service, 8 * workers) as clients:
            for _ in range(5):
                until(lambda: len(service.workers()) == workers)
                clients.settle()
                target = service.held
                os.kill(service.workers()[0], signal.SIGKILL)
                until(clients.is_answered, target)
            clients.settle()
            clients.end()
            service.release()
        assert service.stop() == 0
    ids = begun(service)
    assert len(set(ids)) == len(ids), "none is begun twice"
    assert clients.other == []
    assert set(clients.lost) <= set(ids), "what had not begun is answered"
    assert len(clients.lost) <= 5 * 4, "four threads a worker"
    assert set(clients.answered) | set(clients.lost) == set(ids)


def busy(service: Service) -> list[socket.socket]:
    """Clients whose requests take all threads of a service of one worker."""
    socks = [service.connect() for _ in range(4)]
    for number, sock in enumerate(socks):
        sock.sendall(held(service.held, f"0000000{number}-0000-4000-8000-000000000000"))
    wait_for_jobs(service, 4, 0)
    return socks


def wait_for_jobs(service: Service, count: int, waiting: int) -> None:
    """Wait until so many requests take time, and so many of these wait for a thread."""
    until(lambda: service.get("/jobs").body == b"%d %d" % (count, waiting))


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 200_000, 400_000, 3_000_000])
def test_a_connection_goes_on_in_another_process_with_what_was_received_after_the_request(size: int) -> None:
    body = os.urandom(size)
    head = b"POST /made HTTP/1.1\r\nHost: a\r\nX-Request-Id: 00000000-0000-4000-8000-00000000000a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Service(workers=1) as service:
        socks = busy(service)
        if size > 1 << 18:  # which has threads of its own
            heavy = [service.connect() for _ in range(2)]
            for sock in heavy:
                sock.sendall(b"POST /slow?30 HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"a" * 300_000)
            wait_for_jobs(service, 6, 0)
        sock = service.connect()
        local = sock.getsockname()[0]
        threading.Timer(
            0, sock.sendall, [head + b"%x\r\n%s\r\n0\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\nGET /ec" % (size, body)]
        ).start()
        wait_for_jobs(service, 7 if size > 1 << 18 else 5, 1)
        os.kill(service.workers()[0], signal.SIGKILL)
        made = json.loads(read_answer(sock).body)
        assert made["body"].encode("latin-1") == body
        assert (made["id"], made["peer"], made["client"]) == ("00000000-0000-4000-8000-00000000000a", local, local)
        assert json.loads(read_answer(sock).body)["query"] == "2"
        sock.sendall(b"ho?3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert json.loads(Answer(everything(sock)).body)["query"] == "3"
        for each in socks:
            assert everything(each) == b"", "these had begun"


WAITING = "0000000a-0000-4000-8000-000000000000"


def open_files(pid: int) -> int:
    """Descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.slow
def test_what_waits_is_finished_by_a_stop_and_by_another_worker_if_one_is_killed_meanwhile() -> None:
    with Service(workers=1) as service:
        busy(service)
        waiting = [service.connect() for _ in range(6)]
        for sock in waiting:
            sock.sendall(held(service.held, WAITING))
        wait_for_jobs(service, 10, 6)
        service.process.send_signal(signal.SIGTERM)
        service.end_turn()
        service.release()
        assert [Answer(everything(sock)).status for sock in waiting] == [200] * 6
        assert service.wait() == 0
    with Service(workers=2) as service:
        until(lambda: len(service.workers()) == 2)
        killed, survivor = service.workers()
        before = open_files(killed)
        clients = [service.connect() for _ in range(16)]
        for number, sock in enumerate(clients):
            sock.sendall(held(service.held, f"{number:08x}-0000-4000-8000-000000000000"))
        service.settle(*clients)
        queued = max(0, open_files(killed) - before - 4)  # four have begun
        service.process.send_signal(signal.SIGTERM)
        until(service.is_refusing)
        service.end_turn()
        adopted = open_files(survivor) + queued
        os.kill(killed, signal.SIGKILL)
        until(lambda: open_files(survivor) >= adopted)
        service.release()
        answered = [bool(everything(sock)) for sock in clients]
        assert service.wait() == 0
    lost = {f"{number:08x}-0000-4000-8000-000000000000" for number, ok in enumerate(answered) if not ok}
    assert lost <= set(begun(service))
    assert len(lost) <= 4


@pytest.mark.slow
def test_a_second_signal_ends_what_waits_too() -> None:
    with Service(workers=1) as service:
        busy(service)
        sock = service.connect()
        sock.sendall(held(service.held, WAITING))
        wait_for_jobs(service, 5, 1)
        service.process.send_signal(signal.SIGTERM)
        until(service.is_refusing)
        assert service.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert everything(sock) == b""


@pytest.mark.slow
def test_a_client_sees_the_end_of_its_connection_although_others_wait_before_it() -> None:
    with Service(workers=1) as service:
        busy(service)
        first, second = service.connect(), service.connect()
        for sock in (first, second):
            sock.sendall(held(service.held, WAITING))
        wait_for_jobs(service, 6, 2)
        second.shutdown(socket.SHUT_WR)  # it may wait for an answer, or be gone: after a second it is taken for gone
        assert everything(second) == b""
        service.release()
        assert Answer(everything(first)).status == 200


@pytest.mark.slow
def test_nothing_is_left_in_a_service_whose_workers_are_killed_again_and_again() -> None:
    with Service(workers=1, stable_s=0) as service:

        def held() -> tuple[int, int]:
            until(service.workers)
            return tuple(open_files(pid) for pid in (service.process.pid, service.workers()[0]))  # type: ignore[return-value]  # two processes

        def resident() -> int:
            return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])

        def kill() -> None:
            """A worker, while a fifth and a sixth request wait; both are answered by the next."""
            until(service.workers)
            (worker,) = service.workers()
            socks = [service.connect() for _ in range(6)]
            for sock in socks[:4]:
                sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\nX-Tell: 1\r\n\r\n")
            for sock in socks[4:]:
                sock.sendall(b"POST /made HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9999\r\n\r\n" + b"a" * 9999)
            wait_for_jobs(service, 6, 2)
            os.kill(worker, signal.SIGKILL)
            for sock in socks[4:]:
                assert Answer(everything(sock)).status == 200
            for sock in socks:
                sock.close()

        for _ in range(20):
            kill()
        until(lambda: service.get("/small").status == 200)
        before, pages = held(), resident()
        for _ in range(100):
            kill()
        service.get("/small")
        until(lambda: held() == before)
        assert resident() < pages + 256, "a megabyte"

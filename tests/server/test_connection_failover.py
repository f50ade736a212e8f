"""Open connections whose worker is killed: another one goes on with what had not begun, nobody begins anything twice, nothing is left."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.http_wire.request_head import HeadCache
from eidos.server.instrumentation import Instrumentation
from eidos.server.server_settings import Settings
from eidos.server.transport import connection_failover
from eidos.server.transport.connection_failover import UNANSWERED_LIMIT, ConnectionFailover, count_sent_bytes
from eidos.server.transport.event_loop import Service as Parts
from eidos.server.transport.listening_sockets import ListeningServer
from eidos.server.transport.request_failover import FailoverQueue
from eidos.server.transport.request_workers import HEAVY_THREADS, THREADS
from eidos.server.transport.resumable_connection import ReplayParser
from eidos.server.transport.shared_state import SharedState
from eidos.server.transport.supervisor import Supervisor, Worker
from tests.support.transport_process import Service, answers, children, everything, lives, read_answer, unread_bytes
from tests.support.waiting import AMPLE_S, until

GET = b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n"
ECHO = b"POST /echo?%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture(autouse=True)
def _garbage_of_other_tests() -> None:
    """What they have left open is closed before open files are counted; what is still there is not looked at again."""
    gc.collect()
    gc.freeze()


# ---- what is noted of a connection ----


class Pairs:
    """Connections of TCP, both ends of each."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """The end of the worker, and that of the client."""
        far = socket.create_connection(self._listener.getsockname())
        near, _ = self._listener.accept()
        self._ends += (near, far)
        return near, far

    def __enter__(self) -> Pairs:  # noqa: PYI034 - Self is in no Python before 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for sock in (self._listener, *self._ends):
            sock.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    pairs = Pairs()
    yield pairs
    pairs.close()


@pytest.fixture
def failover() -> Iterator[ConnectionFailover]:
    failover = ConnectionFailover(16)
    yield failover
    failover.close()


def taken_over(failover: ConnectionFailover) -> list[bytes]:
    """What was not answered of the connections that another worker goes on with."""
    contents = []
    for fd, _, unanswered in failover.take_over():
        os.close(fd)
        contents.append(unanswered)
    return contents


@pytest.mark.parametrize(
    ("noted", "sent", "goes_on"),
    [(0, 0, True), (5, 5, True), (5, 0, False), (5, 4, False), (5, 6, False), (0, 1, False), (None, 0, False), (None, 5, False)],
)
def test_another_worker_goes_on_if_what_was_noted_was_sent(
    failover: ConnectionFailover, pairs: Pairs, noted: int | None, sent: int, goes_on: bool
) -> None:
    near, far = pairs.connect()
    number = failover.add(near.fileno())
    if noted is not None:
        assert failover.suspend(number, noted, b"")
    near.send(b"a" * sent)
    near.close()
    assert taken_over(failover) == [b""] * goes_on
    assert far.recv(10) == b"a" * sent


def test_a_request_that_begins_is_passed_to_no_other_worker(failover: ConnectionFailover, pairs: Pairs) -> None:
    numbers = [failover.add(pairs.connect()[0].fileno()) for _ in range(3)]
    for number in numbers:
        failover.suspend(number, 0, b"%d" % number)
    failover.begin(numbers[1])
    assert taken_over(failover) == [b"0", b"2"]


def test_what_the_client_has_not_received_yet_counts_as_sent(failover: ConnectionFailover, pairs: Pairs) -> None:
    near, far = pairs.connect()
    near.setblocking(False)
    sent = 0
    try:
        while True:
            sent += near.send(b"a" * 100_000)
    except BlockingIOError:
        pass
    assert count_sent_bytes(near.fileno()) == sent
    far.recv(1000)
    failover.suspend(failover.add(near.fileno()), sent, b"")
    failover.suspend(failover.add(near.fileno()), sent - 1, b"")
    assert taken_over(failover) == [b""]


@pytest.mark.parametrize("is_half_closed", [True, False])
def test_a_client_may_have_closed_its_own_end_but_not_be_gone(failover: ConnectionFailover, pairs: Pairs, is_half_closed: bool) -> None:
    near, far = pairs.connect()
    far.send(GET)
    failover.suspend(failover.add(near.fileno()), 0, b"")
    if is_half_closed:
        far.shutdown(socket.SHUT_WR)
    else:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # it is reset
        far.close()
    assert taken_over(failover) == [b""] * is_half_closed


def test_a_socket_that_does_not_count_what_was_sent_is_not_passed_on(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    near, _ = pairs.connect()
    assert count_sent_bytes(near.fileno()) == 0
    for sock in socket.socketpair():
        with sock:
            assert count_sent_bytes(sock.fileno()) == -1
    monkeypatch.setattr(connection_failover, "_INFO_BYTES", 4096)  # more than any kernel has
    assert count_sent_bytes(near.fileno()) == -1


def test_the_last_of_what_was_not_answered_counts(failover: ConnectionFailover, pairs: Pairs) -> None:
    numbers = [failover.add(pairs.connect()[0].fileno()) for _ in range(4)]
    for unanswered in (b"abc", b"", b"defg"):
        failover.suspend(numbers[0], 0, unanswered)
    for unanswered in (b"abc", b""):
        failover.suspend(numbers[1], 0, unanswered)
    failover.receive()
    limit = os.urandom(UNANSWERED_LIMIT)
    assert failover.suspend(numbers[2], 0, limit)
    assert not failover.suspend(numbers[3], 0, limit + b"x"), "it is too much"
    assert taken_over(failover) == [b"defg", b"", limit]


def test_what_is_stored_has_a_limit_and_what_was_answered_makes_room(
    failover: ConnectionFailover, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_failover, "BYTES_LIMIT", 100)
    numbers = [failover.add(pairs.connect()[0].fileno()) for _ in range(5)]

    def suspend(number: int, unanswered: bytes) -> None:
        failover.begin(numbers[number])
        failover.suspend(numbers[number], 0, unanswered)
        failover.receive()

    suspend(0, b"0" * 60)
    suspend(0, b"")
    suspend(1, b"1" * 60)
    suspend(2, b"2" * 30)
    suspend(3, b"3" * 30)  # there is no room for it
    suspend(4, b"4" * 10)
    assert taken_over(failover) == [b"", b"1" * 60, b"2" * 30, b"4" * 10]


def test_a_supervisor_that_does_not_look_does_not_stop_a_worker(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_failover, "_SEND_BUFFER", 1 << 16)
    near, _ = pairs.connect()
    failover = ConnectionFailover(10_000)
    numbers = []
    while (number := failover.add(near.fileno())) >= 0:
        numbers.append(number)
    assert not failover.suspend(numbers[0], 0, b"a")
    assert failover.suspend(numbers[1], 0, b""), "for that nothing is sent"
    for number in numbers[2:]:
        failover.remove(number)
    failover.report_closed()
    before = descriptors()
    assert failover.receive()
    assert descriptors() == before + len(numbers) == before + len(failover)
    failover.report_closed()
    assert failover.receive()
    assert descriptors() == before + 2 == before + len(failover)
    assert failover.add(near.fileno()) in numbers, "it is used again"
    failover.receive()
    failover.supervisor_end.close()
    assert failover.add(near.fileno()) == -1, "the supervisor is gone"
    assert not failover.suspend(numbers[0], 0, b"a")
    failover.close()
    assert descriptors() == before - 2, "both ends of its queue"


def test_there_are_no_more_connections_than_numbers(failover: ConnectionFailover, pairs: Pairs) -> None:
    near, _ = pairs.connect()
    assert [failover.add(near.fileno()) for _ in range(17)] == [*range(16), -1]
    failover.remove(3)
    assert failover.add(near.fileno()) == -1, "the supervisor does not know yet"
    failover.report_closed()
    assert failover.add(near.fileno()) == 3


@given(st.integers(0, 1 << 32))
def test_whatever_becomes_of_connections_only_the_suspended_are_left(seed: int) -> None:
    """As a worker and its supervisor do it, at any pace: each descriptor is closed once, and is that of its connection."""
    rng, pairs, failover = random.Random(seed), Pairs(), ConnectionFailover(6)
    before = descriptors()
    pending: list[tuple[socket.socket, bytes]] = []  # to the worker, which has not looked yet
    state: dict[int, tuple[socket.socket, bytes | None]] = {}
    for step in range(rng.randrange(60)):
        action, unanswered = rng.randrange(8), b"%d" % step * rng.randrange(2)
        number = rng.choice([*state]) if state else -1
        if action <= 1:
            near, far = pairs.connect()
            number = failover.add(near.fileno())
            near.close()
            if number >= 0:
                assert number not in state
                state[number] = (far, None)
        elif action == 2:
            near, far = pairs.connect()
            if failover.give(near.fileno(), 0, unanswered):
                near.detach()
                pending.append((far, unanswered))
        elif action == 3 and pending:
            far, unanswered = pending.pop(0)
            number, fd, *noted = failover.receive_inherited() or (-1, -1)
            with socket.socket(fileno=fd) as near:
                assert near.getpeername() == far.getsockname()
            assert noted == [0, unanswered]
            assert number not in state
            state[number] = (far, unanswered)
        elif action == 4 and number >= 0:
            failover.suspend(number, 0, unanswered)
            state[number] = (state[number][0], unanswered)
        elif action == 5 and number >= 0:
            failover.begin(number)
            state[number] = (state[number][0], None)
        elif action == 6 and number >= 0:
            failover.remove(number)
            del state[number]
            if rng.random() < 0.7:
                failover.report_closed()
        else:
            failover.receive()
    left = []
    for fd, _, unanswered in failover.take_over():
        with socket.socket(fileno=fd) as sock:
            left.append((sock.getpeername(), unanswered))
    assert sorted(left) == sorted((far.getsockname(), content) for far, content in [*state.values(), *pending] if content is not None)
    failover.close()
    pairs.close()
    assert descriptors() <= before - 3, "the ends of its queue, and the socket that listens; threads of other tests close some of theirs"


STREAM = [
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    b"GET /4?%2f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]


@given(st.lists(st.sampled_from(STREAM), max_size=5), st.lists(st.integers(0, 400), max_size=6), st.integers(0, 6))
def test_another_parser_goes_on_with_what_was_not_answered(requests: list[bytes], cuts: list[int], taken: int) -> None:
    """Wherever a stream is cut, and however many requests were taken before: the others follow, each once."""
    stream = b"".join(requests)
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parser, messages = ReplayParser(HeadCache(), 100), []
    for start, end in zip(bounds, bounds[1:]):
        successor = ReplayParser(HeadCache(), 100)
        successor.receive(parser.unanswered)
        parser = successor
        parser.receive(stream[start:end])
        for _ in range(taken if end < len(stream) else 9):
            message = parser.next_request()
            if message is None:
                break
            messages.append((message[0].target, bytes(message[1])))
    expected = {"/1": b"", "/2": b"hello", "/3": b"abc", "/4?%2f": b""}
    targets = [request.split()[1].decode() for request in requests]
    assert messages == [(target, expected[target]) for target in targets]
    assert parser.unanswered == b""


def test_of_a_long_request_no_more_is_remembered_than_that_it_is_long() -> None:
    parser = ReplayParser(HeadCache(), 10 << 20)
    parser.receive(ECHO % (0, 5 << 20))
    for _ in range(80):
        assert parser.next_request() is None
        parser.receive(b"a" * 65536)
    assert UNANSWERED_LIMIT < len(parser.unanswered) <= UNANSWERED_LIMIT + 2 * 65536
    assert parser.next_request() is not None
    assert parser.unanswered == b""


def test_connections_go_to_the_workers_that_have_fewest_as_they_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_failover, "_SEND_BUFFER", 1 << 14)
    application: Any = None
    orphaned_requests = [(number, b"%d" % number * (number % 5 * 100)) for number in range(300)]
    with Pairs() as pairs, ListeningServer(socket.AF_INET, ("127.0.0.1", 0)) as server:
        near, _ = pairs.connect()
        supervisor = Supervisor(Parts(server, Settings(workers=2), application, Instrumentation(), SharedState(2)))
        workers = [Worker(at, at, (FailoverQueue(), FailoverQueue()), ConnectionFailover(1000)) for at in range(3)]
        supervisor._workers = {worker.pid: worker for worker in workers}
        workers[2].is_leaving = True
        before = descriptors()
        supervisor._orphaned_connections = deque((os.dup(near.fileno()), *orphan) for orphan in orphaned_requests)
        received: list[tuple[int, bytes]] = []
        while len(received) < len(orphaned_requests):
            supervisor._give_orphaned_connections()
            for worker in workers:
                assert worker.failover is not None
                while (inherited := worker.failover.receive_inherited()) is not None:
                    os.close(inherited[1])
                    received.append((inherited[2], inherited[3]))
        assert not supervisor._orphaned_connections
        assert sorted(received) == orphaned_requests
        assert [len(worker.failover or ()) for worker in workers] == [150, 150, 0]
        assert descriptors() == before + 300
        for worker in workers:
            assert worker.failover is not None
            worker.failover.close()
            for queue in worker.queues:
                queue.close()


# ---- in a service ----


def start(**settings: object) -> Service:
    service = Service(**{"workers": 2, "stable_s": 0, "header_timeout": 60.0, "read_timeout": 60.0, **settings})
    until(lambda: len(service.workers()) == 2)
    return service


def kill_all(service: Service) -> None:
    """One worker after the other, so that each has connections of another one at last."""
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
        until(lambda gone: len(service.workers()) == 2 and gone not in service.workers(), worker)
        service.end_turn()  # then others have its connections, most likely


def held(service: Service) -> int:
    """Descriptors of all workers together."""
    return sum(map(descriptors, service.workers()))


class Requests(threading.Thread):
    """A client that asks as fast as it is answered, on a connection that is kept or on one for each request, and what was lost of it."""

    def __init__(self, service: Service, request: bytes, keep: bool) -> None:
        super().__init__()
        self._service, self._request, self._keep = service, request, keep
        self.answered = self.lost = 0
        self.is_ended = False
        self.start()

    def run(self) -> None:
        sock: socket.socket | None = None
        while not self.is_ended:
            sock = sock or self._service.connect()
            try:
                sock.sendall(self._request)
                assert read_answer(sock).status == 200
                self.answered += 1
                if self._keep:
                    continue
            except (OSError, AssertionError):
                self.lost += 1
            sock.close()
            sock = None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_bytes", "threads"), [(GET, 1), (GET.replace(b"worker", b"made"), 1 + THREADS + HEAVY_THREADS)], ids=["at once", "in a thread"]
)
def test_a_kill_under_load_loses_no_more_requests_than_a_worker_has_threads(request_bytes: bytes, threads: int) -> None:
    kills = 10
    with start() as service:
        clients = [Requests(service, request_bytes, keep) for keep in (True, True, True, True, False, False)]
        for _ in range(kills):
            until(lambda: len(service.workers()) == 2)
            answered = [client.answered for client in clients]
            until(lambda before: all(client.answered >= count + 3 for client, count in zip(clients, before)), answered)
            os.kill(random.choice(service.workers()), signal.SIGKILL)
        answered = [client.answered for client in clients]
        until(lambda before: all(client.answered > count for client, count in zip(clients, before)), answered)
        for client in clients:
            client.is_ended = True
        for client in clients:
            client.join(AMPLE_S)
        assert service.stop() == 0
    assert service.stderr.count("a worker exited on signal 9") == kills
    assert sum(client.lost for client in clients) <= kills * threads


#: What is sent before all workers are killed, and after.
PARTS = {
    "nothing": (b"", ECHO % (9, 0)),
    "an empty line": (b"\r\n", ECHO % (9, 0)),
    "a byte": (b"P", (ECHO % (9, 0))[1:]),
    "half a head": ((ECHO % (9, 4))[:30], (ECHO % (9, 4))[30:] + b"body"),
    "a head": (ECHO % (9, 4), b"body"),
    "half a body": (ECHO % (9, 30_000) + b"b" * 20_000, b"b" * 10_000),
    "half a chunk": (b"POST /echo?9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo", b"dy\r\n0\r\n\r\n"),
    "a request, and half of another": (GET + (ECHO % (9, 0))[:30], (ECHO % (9, 0))[30:]),
}


@pytest.mark.slow
@pytest.mark.parametrize("is_used", [False, True], ids=["fresh", "used"])
def test_connections_go_on_where_they_were(is_used: bool) -> None:
    """All at once, from worker to worker. What one has in its hands when it is killed is lost: that is one connection at most."""
    kills, lost = 0, []
    with start() as service:
        socks = [(name, service.connect()) for name in PARTS for _ in range(3)]
        for name, sock in socks:
            if is_used:
                sock.sendall(GET)
                read_answer(sock)
            sock.sendall(PARTS[name][0])
            if PARTS[name][0].startswith(GET):
                read_answer(sock)
        service.settle(*(sock for name, sock in socks if is_used or PARTS[name][0]))
        for _ in range(2):
            kill_all(service)
            kills += 2
        for name, sock in socks:
            sock.sendall(PARTS[name][1])
            try:
                answer = read_answer(sock)
            except (OSError, AssertionError):
                lost.append(name)
                continue
            assert b'"query": "9"' in answer.body, name
            sock.sendall(GET)
            assert read_answer(sock).status == 200
        assert service.stop() == 0
    assert len(lost) <= kills, lost
    assert "nothing" not in lost, "it has nothing to be read, so it is in nobody's hands"


@pytest.mark.slow
def test_requests_in_the_socket_of_a_worker_that_does_not_read_are_answered_by_others() -> None:
    with start() as service:
        socks = [service.connect() for _ in range(30)]
        for sock in socks:
            sock.sendall(GET)
            read_answer(sock)
        victim, _ = service.workers()
        os.kill(victim, signal.SIGSTOP)
        for sock in socks:
            sock.sendall(GET + GET)
        os.kill(victim, signal.SIGKILL)
        for sock in socks:
            assert [read_answer(sock).body != b"%d" % victim for _ in range(2)] == [True, True]
        assert service.stop() == 0


@pytest.mark.slow
def test_a_response_that_the_kernel_has_is_not_sent_again_and_one_that_it_has_in_part_is_the_last() -> None:
    with start() as service:
        unread, large = service.connect(), service.connect()
        unread.sendall(GET)
        large.sendall(b"GET /big?30000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        service.settle(unread, large)
        assert large.recv(1)
        kill_all(service)
        unread.sendall(GET)
        assert read_answer(unread).body != read_answer(unread).body, "one of each worker"
        rest = everything(large)
        assert len(rest) < 30_000_000
        assert b"HTTP/1.1" not in rest[10:]
        assert service.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("poison", [b"GET /kill HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /kill?thread HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_request_that_kills_its_worker_is_begun_once(poison: bytes) -> None:
    with start() as service:
        for _ in range(4):
            sock = service.connect()
            sock.sendall(GET)
            read_answer(sock)
            sock.sendall(poison + GET)
            assert everything(sock) == b""
            until(lambda: len(service.workers()) == 2)
        assert service.stop() == 0
    assert service.stderr.count("a worker exited on signal 9") == 4


@pytest.mark.slow
def test_what_had_begun_ends_with_its_worker_and_so_does_a_body_that_is_too_long() -> None:
    with start() as service:
        slow, long = service.connect(), service.connect()
        slow.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\nX-Tell: 1\r\n\r\n" + GET)
        long.sendall(ECHO % (1, 200_000) + b"a" * 100_000)
        service.settle(slow, long)
        kill_all(service)
        for sock in (slow, long):
            assert everything(sock) == b""
        assert service.stop() == 0
    assert service.stderr.count("begun") == 1


@pytest.mark.slow
def test_a_connection_whose_request_waited_for_a_thread_goes_on_twice() -> None:
    with start() as service:
        busy = [service.connect() for _ in range(2 * THREADS)]
        for sock in busy:
            sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n")
            service.settle(sock)  # they spread
        sock = service.connect()
        sock.sendall(GET)
        read_answer(sock)
        sock.sendall(GET.replace(b"worker", b"made"))
        service.settle(sock)
        for worker in service.workers():
            os.kill(worker, signal.SIGKILL)
        assert b"/made" in read_answer(sock).body
        until(lambda: len(service.workers()) == 2)
        kill_all(service)
        sock.sendall(GET)
        assert read_answer(sock).status == 200
        assert service.stop() == 0


@pytest.mark.slow
def test_time_goes_on_for_a_connection_that_another_worker_has() -> None:
    with start(idle_timeout=0.8, header_timeout=0.8) as service:
        idle, half = service.connect(), service.connect()
        idle.sendall(GET)
        half.sendall(GET + GET[:20])  # at once: it has as little time between its requests as the other one has for its next
        for sock in (idle, half):
            read_answer(sock)
        service.settle(half)
        kill_all(service)
        assert everything(idle) == b""
        assert answers(everything(half))[0].status == 408
        assert service.stop() == 0


@pytest.mark.slow
def test_a_worker_killed_while_the_service_stops_leaves_its_connections_to_the_others() -> None:
    with start(idle_grace=2) as service:
        socks = [service.connect() for _ in range(20)]
        for sock in socks:
            sock.sendall(GET)
            read_answer(sock)
            sock.sendall(GET[:20])
        service.settle(*socks)
        service.process.send_signal(signal.SIGTERM)
        until(service.is_refusing)
        victim = service.workers()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: not lives(victim))  # until then it may take the next request
        for sock in socks:
            sock.sendall(GET[20:])
            (answer,) = answers(everything(sock))
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert service.wait() == 0


@pytest.mark.slow
def test_nothing_is_left_in_the_supervisor_of_a_thousand_connections_and_twenty_kills() -> None:
    with start(max_connections=300) as service:

        def all_held() -> tuple[int, int]:
            until(lambda: len(service.workers()) == 2)
            return descriptors(service.process.pid), held(service)

        assert service.get("/small").status == 200
        service.end_turn()
        before = all_held()
        kinds = (GET, GET[:10], b"nonsense\r\n\r\n", b"", GET + GET[:5], GET.replace(b"worker", b"made"))
        for _ in range(20):
            until(lambda: len(service.workers()) == 2)
            socks = [service.connect() for _ in range(50)]
            for at, sock in enumerate(socks):
                sock.sendall(kinds[at % len(kinds)])
            socks[0].sendall(GET)
            for _ in range(2):
                read_answer(socks[0])
            victim = service.workers()[0]
            os.kill(victim, signal.SIGKILL)
            for sock in socks[1::2]:
                sock.close()
            until(lambda gone: not lives(gone), victim)  # until then it may take the next request
            socks[0].sendall(GET)
            assert read_answer(socks[0]).status == 200, "it goes on"
            for sock in socks:
                sock.close()
        until(lambda: all_held() == before)
        assert service.stop() == 0


@pytest.mark.slow
def test_connections_of_all_workers_count_once() -> None:
    """A worker that took over those of another has more than its part: then no worker accepts more than there is room for in all."""
    with start(max_connections=20) as service:
        socks = [service.connect() for _ in range(16)]
        for sock in socks:
            sock.sendall(GET[:20])  # none is idle, to be closed for another one
        service.settle(*socks)
        kill_all(service)
        room = 20 - sum(unread_bytes(sock) == 0 for sock in socks)
        more = [service.connect() for _ in range(10)]
        for sock in more:
            sock.sendall(GET[:20])
        until(lambda: sum(unread_bytes(sock) == 0 for sock in more) == room)
        time.sleep(0.3)
        assert sum(unread_bytes(sock) == 0 for sock in more) == room
        for sock in (*socks, *more):
            sock.close()
        assert service.stop() == 0


@pytest.mark.slow
def test_a_worker_alone_keeps_its_connections_to_itself() -> None:
    with Service(workers=1) as service:
        assert service.get("/small").status == 200
        before = descriptors(service.process.pid)
        socks = [service.connect() for _ in range(20)]
        for sock in socks:
            sock.sendall(GET)
            read_answer(sock)
        assert descriptors(service.process.pid) == before


@pytest.mark.slow
def test_connections_end_with_the_supervisor() -> None:
    with start(idle_grace=0.1) as service:
        sock = service.connect()
        sock.sendall(GET)
        read_answer(sock)
        workers = children(service.process.pid)
        service.process.kill()
        assert everything(sock) == b""
        until(lambda: not any(map(lives, workers)))

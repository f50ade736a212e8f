"""The limiter of the transport: times, sizes, numbers of connections; addresses of clients, and buckets that processes share."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

import pytest

from eidos.server.rate_limiter import CLIENT, DEFAULT, RateLimiter
from eidos.server.server_settings import Settings
from eidos.server.transport.connection import TURN_REQUESTS
from eidos.server.transport.peer import client_address, parse_address
from tests.support.transport_process import Answer, Service, answers, everything, read_answer, unread_bytes
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

GET = b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n"


# ---- times ----


def dribble(sock: socket.socket, first: bytes, more: bytes) -> Answer:
    """What is answered to a client that sends ``first``, and ``more`` now and then."""
    began = time.monotonic()
    sock.sendall(first)
    sock.settimeout(0.1)
    data = b""
    while not data:
        assert time.monotonic() - began < AMPLE_S
        try:
            data = sock.recv(1000)
        except socket.timeout:
            sock.sendall(more)
    return Answer(data)


def test_a_header_that_dribbles_is_cut() -> None:
    """A byte now and then does not put it off."""
    with Service(header_timeout=0.5) as service, service.connect() as sock:
        began = time.monotonic()
        answer = dribble(sock, b"GET / HTTP/1.1\r\n", b"X")
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
        assert time.monotonic() - began >= 0.5


def test_a_header_that_stops_behind_many_requests_is_cut() -> None:
    with Service(header_timeout=0.3) as service, service.connect() as sock:
        sock.sendall(GET * TURN_REQUESTS + b"GET / HTT")
        assert everything(sock).rpartition(b"HTTP/1.1 ")[2].startswith(b"408")


def test_empty_lines_do_not_put_it_off() -> None:
    with Service(header_timeout=0.4) as service, service.connect() as sock:
        sock.settimeout(0.05)
        began, data = time.monotonic(), b"?"
        while data == b"?":
            assert time.monotonic() - began < AMPLE_S
            try:
                data = sock.recv(1000)
            except socket.timeout:
                sock.sendall(b"\r\n")
        assert data == b"", "nothing was asked"


@pytest.mark.parametrize("how", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_dribbles_is_cut(how: str) -> None:
    with Service(header_timeout=0.2, read_timeout=0.6) as service, service.connect() as sock:
        began = time.monotonic()
        head = f"POST /echo HTTP/1.1\r\nHost: a\r\n{how}\r\n\r\n".encode()
        assert dribble(sock, head, b"1" if how[0] == "C" else b"1\r\na\r\n").status == 408
        assert time.monotonic() - began >= 0.6


def test_silence_ends_a_connection_without_a_word() -> None:
    with Service(idle_timeout=0.4) as service, service.connect() as fresh, service.connect() as used:
        used.sendall(GET)
        assert read_answer(used).status == 200
        assert everything(fresh) == b""
        assert everything(used) == b""


def test_a_response_that_is_not_read_is_abandoned() -> None:
    with Service(write_timeout=0.4, workers=1) as service, service.connect() as sock:
        sock.sendall(b"GET /big?50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.recv(1)
        until(lambda: unread_bytes(sock) == -1)  # closed at the other end
        assert len(everything(sock)) < 50_000_000
        assert service.get("/small").status == 200


def test_work_that_takes_too_long_is_answered_and_its_deadline_is_over() -> None:
    with Service(request_timeout=0.3, workers=1) as service, service.connect() as sock:
        sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        late = read_answer(sock)
        assert late.status == 503
        assert late.headers["retry-after"] == "1"
        assert b'"retryable": true' in late.body
        assert read_answer(sock).status == 200, "the connection is as good as before"
        until(lambda: service.get("/cancelled").body == b"1")


def test_work_for_a_client_that_hung_up_is_cancelled() -> None:
    with Service(workers=1) as service:
        for _ in range(3):
            with service.connect() as sock:
                sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n")
                service.settle(sock)
        until(lambda: service.get("/cancelled").body == b"3")


def test_more_work_than_can_wait_is_refused_at_once() -> None:
    with Service(workers=1) as service:
        socks = [service.connect() for _ in range(90)]
        for sock in socks:
            sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n")
        service.settle(*socks)
        answer = service.get("/slow?0")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert service.get("/small").status == 200
        for sock in socks:
            sock.close()
        until(lambda: service.get("/made").status == 200)


def test_many_pipelined_requests_that_cannot_wait_are_each_refused() -> None:
    """One after the other, and not one inside the other: a worker has a stack of limited depth."""
    with Service(workers=1) as service:
        socks = [service.connect() for _ in range(90)]
        for sock in socks:
            sock.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: service.get("/slow?0").status == 503)
        many = b"GET /slow?0 HTTP/1.1\r\nHost: a\r\n\r\n" * 1500 + b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        statuses = [answer.status for answer in answers(service.ask(many))]
        assert statuses == [503] * 1500 + [200]
        for sock in socks:
            sock.close()
        service.process.kill()
        service.wait()


# ---- connections ----


def test_a_silent_connection_makes_room_for_a_new_one() -> None:
    with Service(workers=1, max_connections=10) as service:
        socks = [service.connect() for _ in range(10)]
        for sock in socks:
            sock.sendall(GET)
            assert read_answer(sock).status == 200
        time.sleep(1.1)
        assert service.get("/small").status == 200
        closed = 0
        for sock in socks:
            sock.settimeout(0.05)
            try:
                closed += sock.recv(1) == b""
            except socket.timeout:
                pass
        assert 1 <= closed < 10


def test_no_more_connections_than_may_be_are_served() -> None:
    with Service(workers=1, max_connections=4, header_timeout=AMPLE_S) as service:
        busy = [service.connect() for _ in range(4)]
        for sock in busy:
            sock.sendall(b"GET / HT")
        service.settle(*busy)
        with service.connect() as sock:
            sock.sendall(GET)
            sock.settimeout(0.2)
            with pytest.raises(socket.timeout):
                sock.recv(1)
            sock.settimeout(AMPLE_S)
            for each in busy:
                each.close()
            assert read_answer(sock).status == 200, "once there is room"


class Held(NamedTuple):
    """Descriptors of all workers together, and threads of the one that has most."""

    descriptors: int
    threads: int


def crowd(service: Service, idle: int, dribbling: int) -> tuple[int, Held, Held]:
    """Silent connections and some that send a byte now and then: how many others were answered, what was held before and after."""
    service.get("/made")
    until(lambda: len(service.workers()) == 2)
    workers = service.workers()

    def entries(kind: str) -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/{kind}")) for pid in workers]

    def held() -> Held:
        return Held(sum(entries("fd")), max(entries("task")))

    # One of them answered; the other may have begun a moment ago, and hold less than it will.
    until(lambda: len(set(entries("fd"))) == 1)
    before, answered = held(), 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        silent = [service.connect() for _ in range(idle)]
        slow = [service.connect() for _ in range(dribbling)]
        for at in range(5):
            for sock in slow:
                sock.sendall(b"GET /small HTTP/1.1"[at : at + 1])
            for target in ("/small", "/made"):
                assert service.get(target).status == 200
                answered += 1
        for sock in slow:
            assert Answer(everything(sock)).status == 408
        for sock in silent[::100]:
            sock.sendall(GET)
            assert read_answer(sock).status == 200
        for sock in (*silent, *slow):
            sock.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: held().descriptors <= before.descriptors + 8)  # a worker opens some files of its own later than others
    assert service.workers() == workers, "nor did another worker have to take over"
    return answered, before, held()


def test_thousands_of_idle_and_hundreds_of_dribbling_connections_do_not_matter() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    idle, dribbling = (5000, 500) if hard >= 6000 else (hard - 1000, 300)
    with Service(workers=2, max_connections=8000, header_timeout=1.5, idle_timeout=40) as service:
        answered, _, after = crowd(service, idle, dribbling)
    assert answered > 0
    assert after.threads <= 5, "the loop, and four that answer"


# ---- whose request it is ----


@pytest.mark.parametrize(
    ("forwarded", "proxies", "client"),
    [
        (None, 1, "192.0.2.9"),
        ("", 1, "192.0.2.9"),
        ("203.0.113.7", 0, "192.0.2.9"),
        ("203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", 2, "198.51.100.1"),
        ("198.51.100.1,203.0.113.7 ,\t203.0.113.8", 2, "203.0.113.7"),
        ("203.0.113.7", 3, "203.0.113.7"),
        ("a, 203.0.113.7, ", 1, "192.0.2.9"),
        ("203.0.113.7:1234", 1, "203.0.113.7"),
        ("[2001:DB8:0::1]:443", 1, "2001:db8::1"),
        ("2001:db8::1", 1, "2001:db8::1"),
        ("203.0.113", 1, "192.0.2.9"),
        ("203.0.113.7\x00", 1, "192.0.2.9"),
        ("example.com", 1, "192.0.2.9"),
    ],
)
def test_as_many_entries_are_believed_as_there_are_proxies(forwarded: str | None, proxies: int, client: str) -> None:
    assert client_address("192.0.2.9", forwarded, proxies) == client


def test_an_address_is_an_address() -> None:
    assert parse_address("::ffff:192.0.2.1") == "::ffff:192.0.2.1"
    assert [parse_address(text) for text in ("", "a", "1", "256.1.1.1", "[", "::%eth0", "\ud800")] == [None] * 7


def test_the_client_comes_from_the_proxy() -> None:
    with Service(trust_proxy=1) as service:
        answer = service.get("/echo", "X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7")
        assert b'"client": "203.0.113.7", "peer": "127.0.0.1"' in answer.body


# ---- buckets of all workers ----


def _take(limiter: RateLimiter, clients: list[str], count: int, out: SimpleQueue[int]) -> None:
    allowed = 0
    for at in range(count):
        allowed += limiter.take(clients[at % len(clients)], 1000.0).allowed
    limiter.release(2000.0)
    out.put(allowed)


def test_processes_share_one_limit() -> None:
    """Four of them take at the same time; together they get what there is, to the token."""
    context = get_context("fork")
    for settings, clients, there in (
        (Settings(rate=100, client_rate=0, burst=1000), ["192.0.2.1"], 1000),
        (Settings(rate=1000, burst=10000, client_rate=10, client_burst=50), [f"192.0.2.{at}" for at in range(20)], 1000),
    ):
        limiter, out = RateLimiter(settings, 4), context.SimpleQueue()
        processes = [context.Process(target=_take, args=(limiter, clients, 700, out)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(AMPLE_S)
        left = sum(limiter.take(client, 1000.0).allowed for client in clients for _ in range(1000))  # given back when others had ended
        assert sum(out.get() for _ in processes) + left == there
        assert left < there / 4


def _hold(limiter: RateLimiter) -> None:
    assert limiter._acquire()
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_stops_or_dies_with_the_lock_stops_no_other() -> None:
    limiter = RateLimiter(Settings(rate=1, client_rate=0, burst=3), 2)
    process = get_context("fork").Process(target=_hold, args=(limiter,))
    process.start()
    assert process.pid
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
    assert limiter.take("192.0.2.1", 1.0).allowed
    process.kill()
    process.join(AMPLE_S)
    assert [limiter.take("192.0.2.1", 1.0).allowed for _ in range(3)] == [True, True, False]
    assert limiter._acquire()


def test_the_stricter_answer_wins_and_a_refused_request_takes_nothing() -> None:
    limiter = RateLimiter(Settings(rate=1, burst=5, client_rate=0.5, client_burst=2), 1)
    first = limiter.take("192.0.2.1", 0.0)
    assert (first.allowed, first.policy, first.limit, first.remaining) == (True, CLIENT, 2, 1)
    limiter.take("192.0.2.1", 0.0)
    for _ in range(10):
        refused = limiter.take("192.0.2.1", 0.0)
        assert (refused.allowed, refused.policy, refused.retry_after) == (False, CLIENT, 2.0)
    assert limiter.tokens() == 3, "one client's greed costs nobody else"
    for at in range(2, 5):
        assert limiter.take(f"192.0.2.{at}", 0.0).allowed
    refused = limiter.take("192.0.2.9", 0.0)
    assert (refused.allowed, refused.policy, refused.retry_after) == (False, DEFAULT, 1.0)


@pytest.mark.parametrize("greedy", [1, 8])
def test_a_modest_client_gets_through_beside_greedy_ones(greedy: int) -> None:
    """With the default limits: others ask 1,000 times a second each, and come first."""
    limiter = RateLimiter(Settings(), 2)
    admitted = 0
    for tick in range(5000):
        now = 1000.0 + tick / 1000
        others = [limiter.take(f"192.0.2.{at}", now).allowed for at in range(greedy)]
        admitted += tick % 200 == 199 and limiter.take("198.51.100.7", now).allowed
    assert admitted == 25
    assert not all(others)


def test_clients_are_remembered_within_bounds() -> None:
    limiter = RateLimiter(Settings(rate=0, client_rate=1, client_burst=1), 1)
    for at in range(30000):
        limiter.take(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", float(at))
    assert not limiter.take("10.0.117.47", 29999.0).allowed, "who came last is known"


def test_no_limit_says_so() -> None:
    decision = RateLimiter(Settings(rate=0, client_rate=0), 1).take("192.0.2.1", 0.0)
    assert (decision.allowed, decision.limit) == (True, 0)

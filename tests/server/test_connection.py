"""The state machine of a connection without a network: turns, states and how long each may last."""

from __future__ import annotations

import select
import uuid
from typing import Any

import pytest

from eidos.http_wire.messages import Request, Response, ResponseEncoder
from eidos.http_wire.request_head import HeadCache
from eidos.http_wire.request_parser import BODY, HEAD, IDLE
from eidos.model.record import replace
from eidos.server.instrumentation import Instrumentation
from eidos.server.request_context import RequestContext
from eidos.server.server_settings import Settings
from eidos.server.transport.connection import CLOSED, LINGER, SEND, WORK, YIELD, Connection
from eidos.server.transport.peer import RequestIds
from eidos.server.transport.request_workers import RequestJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.request_context import Application

#: What one turn of a connection answers and sends; what is read at once; what all incomplete bodies may hold, and what is a small one.
TURN_REQUESTS, TURN_BYTES, BODIES_LIMIT, SMALL_BODY = 32, 256 << 10, 64 << 20, 64 << 10

#: Bytes of one read.
HEAD_BYTES, READ_BYTES = 4 << 10, 64 << 10

GET = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"

SETTINGS = Settings(header_timeout=5, read_timeout=10, write_timeout=30, idle_timeout=120, request_timeout=60, max_body=1 << 20)


class Socket:
    """What a connection needs of a socket: it reads ``received``, and takes ``room`` bytes at most."""

    def __init__(self) -> None:
        self.received = b""
        self.sent = b""
        self.room = 1 << 30
        self.is_broken = False
        self.is_shut = self.is_closed = False

    def fileno(self) -> int:
        return 7

    def recv(self, size: int) -> bytes:
        assert size in (HEAD_BYTES, READ_BYTES)
        data, self.received = self.received[:size], self.received[size:]
        if not data:
            raise BlockingIOError
        return data

    def send(self, data: bytes) -> int:
        if self.is_broken:
            raise BrokenPipeError
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.sent += taken
        self.room -= len(taken)
        return len(taken)

    def shutdown(self, how: int) -> None:
        self.is_shut = True


class Stub:
    """An application: ``/slow`` takes work, all else is answered at once."""

    def __init__(self) -> None:
        self.body = b"small"
        self.headers: tuple[tuple[str, str], ...] = ()
        self.requests: list[Request] = []

    def answer_at_once(self, context: RequestContext) -> Response | None:
        self.requests.append(context.request)
        return None if context.request.path == "/slow" else Response(200, self.headers, self.body)

    def end_turn(self, now: float) -> float:
        """Nothing is reserved."""
        return float("inf")

    def refuse_body(self, context: RequestContext) -> Response | None:
        return Response(404, self.headers, b"no") if context.request.path == "/nothing" else None

    def answer(self, context: RequestContext) -> Response:
        raise NotImplementedError


class Reports(Instrumentation):
    """Remembers what is reported of each response."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.rows: list[tuple[str, int, int, bool]] = []  # method, status, bytes of the body, whether it was a request

    def on_response(
        self, method: str, response: Response, seconds: float, request: Request | None, body_bytes: int, request_id: str
    ) -> None:
        self.seconds.append(seconds)
        self.rows.append((method, response.status, body_bytes, request is not None))
        assert bool(request_id) is (request is None)


class Loop:
    """An event loop that does nothing by itself, with one connection in it."""

    def __init__(self, settings: Settings = SETTINGS, address: Any = ("192.0.2.1", 1)) -> None:
        self.settings = settings
        self.stub = Stub()
        self.application: Application = self.stub
        self.reports = Reports()
        self.instrumentation: Instrumentation = self.reports
        self.heads = HeadCache()
        self.encoder = ResponseEncoder(Connection.responses, "test")
        self.request_ids = RequestIds()
        self.idle_timeout = settings.idle_timeout
        self.is_leaving = False
        self.body_bytes = 0
        self.has_threads = True
        self.events = 0
        self.resumed = 0
        self.jobs: list[RequestJob] = []
        self.abandoned: list[RequestJob] = []
        self.now = 1000.0
        self.socket = Socket()
        sock: Any = self.socket
        server: Any = None  # only the base class looks at it
        self.connection = Connection(sock, address, server, self, self.now)

    def watch(self, connection: Connection, events: int) -> None:
        self.events = events

    def resume_soon(self, connection: Connection) -> None:
        self.resumed += 1

    def submit(self, context: RequestContext, connection: Connection) -> RequestJob | None:
        if not self.has_threads:
            return None
        self.jobs.append(RequestJob(context))
        return self.jobs[-1]

    def abandon(self, job: RequestJob) -> None:
        self.abandoned.append(job)

    def remove(self, connection: Connection) -> None:
        assert not self.socket.is_closed
        self.socket.is_closed = True

    # ---- for tests ----

    def receive(self, data: bytes) -> int:
        """Hand over what was received; the state afterwards."""
        self.socket.received = data
        while self.socket.received and self.connection.state not in (WORK, YIELD, CLOSED):
            self.connection.on_event(select.EPOLLIN, self.now)
        return self.connection.state

    def send(self, room: int) -> int:
        """Let the socket take so many bytes more; the state afterwards."""
        self.socket.room = room
        self.connection.on_event(select.EPOLLOUT, self.now)
        return self.connection.state

    def expire(self) -> int:
        """Let the time for the state pass; the state afterwards."""
        self.now = self.connection.expires
        self.connection.on_timeout(self.now)
        return self.connection.state

    @property
    def left(self) -> float:
        """Seconds that the state may last."""
        return self.connection.expires - self.now

    @property
    def statuses(self) -> list[int]:
        """Those of the responses that were sent."""
        return [int(part[:3]) for part in self.socket.sent.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_each_state_has_its_time(loop: Loop) -> None:
    assert (loop.connection.state, loop.left) == (IDLE, 120)
    assert (loop.receive(GET), loop.left) == (IDLE, 120)
    loop.now += 1
    assert (loop.receive(GET[:9]), loop.left) == (HEAD, 5)
    loop.now += 2
    assert (loop.receive(GET[9:12]), loop.left) == (HEAD, 3), "a byte more gives no more time"
    assert (loop.receive(GET[12:]), loop.left) == (IDLE, 120)
    assert (loop.receive(POST % 9 + b"1"), loop.left) == (BODY, 10)
    loop.now += 4
    assert (loop.receive(b"2345678"), loop.left) == (BODY, 6)
    assert (loop.receive(b"9" + GET[:5]), loop.left) == (HEAD, 5)
    loop.now += 1
    assert (loop.receive(GET[5:] + POST % 9), loop.left) == (BODY, 10)
    assert loop.statuses == [200] * 4


def test_the_time_for_a_body_counts_from_the_first_byte_of_its_request(loop: Loop) -> None:
    loop.receive((POST % 9)[:10])
    loop.now += 3
    assert (loop.receive((POST % 9)[10:]), loop.left) == (BODY, 7)


@pytest.mark.parametrize(
    ("data", "statuses"), [(b"", []), (b"\r\n", []), (GET, [200]), (GET[:9], [408]), (POST % 9, [408]), (GET + POST % 9 + b"1", [200, 408])]
)
def test_what_does_not_come_in_time_is_refused_if_a_request_has_begun(loop: Loop, data: bytes, statuses: list[int]) -> None:
    loop.receive(data)
    assert loop.expire() == (LINGER if 408 in statuses else CLOSED)
    assert loop.statuses == statuses


def test_a_request_lasts_from_its_first_byte_to_the_last_of_its_response(monkeypatch: pytest.MonkeyPatch, loop: Loop) -> None:
    monkeypatch.setattr("time.monotonic", lambda: loop.now)
    for parts in ((GET,), (GET[:9], GET[9:]), (POST % 2, b"ab"), (b"nonsense\n",)):
        for part in parts:
            loop.receive(part)
            loop.now += 1
        loop.now += 100
    assert loop.reports.seconds == [0, 1, 1, 0]


def test_one_turn_answers_so_many_requests(loop: Loop) -> None:
    assert (loop.receive(GET * TURN_REQUESTS), loop.resumed) == (IDLE, 0)
    assert (loop.receive(GET * (2 * TURN_REQUESTS + 1)), loop.resumed) == (YIELD, 1)
    assert len(loop.statuses) == 2 * TURN_REQUESTS
    loop.connection.resume(loop.now)
    assert (loop.connection.state, loop.resumed, len(loop.statuses)) == (YIELD, 2, 3 * TURN_REQUESTS)
    loop.connection.resume(loop.now)
    assert (loop.connection.state, loop.resumed, len(loop.statuses)) == (IDLE, 2, 3 * TURN_REQUESTS + 1)


def test_one_turn_sends_so_many_bytes(loop: Loop) -> None:
    loop.stub.body = b"x" * (TURN_BYTES // 4)
    assert loop.receive(GET * 5) == YIELD
    assert len(loop.statuses) == 4
    loop.connection.resume(loop.now)
    assert (loop.connection.state, len(loop.statuses)) == (IDLE, 5)


def test_nothing_is_read_while_buffered_requests_wait_for_their_turn(loop: Loop) -> None:
    loop.receive(GET * (TURN_REQUESTS + 1))
    loop.socket.received = GET
    loop.connection.on_event(select.EPOLLIN, loop.now)
    assert (loop.socket.received, len(loop.statuses)) == (GET, TURN_REQUESTS)


@pytest.mark.parametrize("room", [0, 1, 10])
def test_a_response_waits_for_a_socket_that_is_full(loop: Loop, room: int) -> None:
    loop.receive(GET)
    expected = loop.socket.sent
    loop.socket.sent, loop.socket.room = b"", room
    assert (loop.receive(GET), loop.left, loop.events) == (SEND, 30, select.EPOLLOUT)
    loop.now += 1
    for _ in range(2):
        assert (loop.send(3), loop.left) == (SEND, 29), "a byte more gives no more time"
    assert len(loop.reports.rows) == 1, "the other one is not sent yet"
    assert (loop.send(1 << 20), loop.left, loop.socket.sent) == (IDLE, 120, expected)
    assert loop.events & select.EPOLLIN
    assert len(loop.reports.rows) == 2


@pytest.mark.parametrize(
    ("data", "state", "left", "count"),
    [
        (GET * (TURN_REQUESTS + 3), IDLE, 120, TURN_REQUESTS + 3),
        (GET + GET[:9], HEAD, 5, 1),
        (GET + POST % 9 + b"1", BODY, 10, 1),
        (GET + SLOW + GET, WORK, 60 - 3, 1),
        (LAST, CLOSED, None, 1),
        (LAST + GET, LINGER, 2, 1),
    ],
)
def test_a_connection_goes_on_once_its_response_is_sent(loop: Loop, data: bytes, state: int, left: float | None, count: int) -> None:
    loop.socket.room = 10
    assert loop.receive(data) == SEND
    assert loop.jobs == []
    loop.now += 3
    assert (loop.send(1 << 20), len(loop.statuses)) == (state, count)
    assert left in (None, loop.left)
    assert len(loop.jobs) == (state == WORK)


def test_what_was_sent_is_reported(loop: Loop) -> None:
    loop.receive(GET + GET.replace(b"GET", b"HEAD"))
    loop.receive(POST.replace(b"POST", b"HEAD") % 9)
    loop.expire()
    assert loop.reports.rows == [("GET", 200, 5, True), ("HEAD", 200, 0, True), ("HEAD", 408, 0, False)]
    other = Loop()
    other.receive(b"nonsense\n")
    ((method, status, body_bytes, is_request),) = other.reports.rows
    assert (method, status, is_request) == ("", 400, False)
    assert other.socket.sent.endswith(b"\r\n\r\n" + other.socket.sent[-body_bytes:])


def test_ids_are_different_uuids_of_version_4() -> None:
    ids = RequestIds()
    made = [ids.choose(None) for _ in range(1000)]
    assert len({id[-15:] for id in made}) == len(made)
    assert {(uuid.UUID(id).version, uuid.UUID(id).variant, str(uuid.UUID(id)) == id) for id in made} == {(4, uuid.RFC_4122, True)}
    assert {id[19] for id in made} <= set("89ab")
    assert len({id[:19] for id in made}) == 4
    assert RequestIds().choose("no") != ids.choose("no")


def test_a_header_that_would_break_out_of_its_line_is_a_fault_of_the_server(loop: Loop) -> None:
    loop.stub.headers = (("X", "a\nb"),)
    assert (loop.receive(GET), loop.statuses) == (IDLE, [500])
    assert loop.reports.rows[0][1] == 500


def test_a_client_that_waits_for_100_continue_gets_it_once(loop: Loop) -> None:
    expected = POST[:-2] % 4 + b"Expect: 100-continue\r\n\r\n"
    assert (loop.receive(expected), loop.socket.sent) == (BODY, b"HTTP/1.1 100 Continue\r\n\r\n")
    loop.receive(b"ab")
    assert (loop.receive(b"cd"), loop.statuses) == (IDLE, [100, 200])


def test_a_client_that_waits_for_100_continue_where_nothing_takes_a_body_gets_the_final_response(loop: Loop) -> None:
    """And its body, should it come all the same, is no request."""
    expected = POST[:-2].replace(b"/small", b"/nothing") % 40 + b"Expect: 100-continue\r\n\r\n"
    assert (loop.receive(GET + expected), loop.statuses) == (LINGER, [200, 404])
    assert loop.socket.sent.count(b"Connection: close") == 1
    assert (loop.receive(GET), loop.statuses) == (LINGER, [200, 404])
    assert loop.body_bytes == 0
    assert [row[1] for row in loop.reports.rows] == [200, 404]


@pytest.mark.parametrize("is_leaving", [False, True])
def test_a_client_of_http_1_0_learns_whether_the_connection_stays(loop: Loop, is_leaving: bool) -> None:
    loop.is_leaving = is_leaving
    loop.receive(GET.replace(b"1.1", b"1.0").replace(b"Host: a", b"Connection: keep-alive"))
    assert loop.socket.sent.count(b"Connection: ") == 1
    assert (b"Connection: close\r\n" in loop.socket.sent) is is_leaving


def test_a_client_that_does_not_read_is_disconnected(loop: Loop) -> None:
    loop.socket.room = 10
    loop.receive(GET)
    loop.connection.on_event(select.EPOLLOUT, loop.now)
    assert loop.expire() == CLOSED


@pytest.mark.parametrize("room", [0, 1])
def test_a_socket_that_breaks_closes_the_connection(loop: Loop, room: int) -> None:
    if room:
        loop.socket.room = room
        assert loop.receive(GET) == SEND
        loop.socket.is_broken = True
        loop.connection.on_event(select.EPOLLOUT, loop.now)
    else:
        loop.socket.is_broken = True
        loop.receive(GET)
    assert loop.connection.state == CLOSED


def test_work_ends_with_its_response(loop: Loop) -> None:
    assert (loop.receive(SLOW + GET), loop.left, loop.events) == (WORK, 60, select.EPOLLRDHUP)
    loop.connection.resume(loop.now)
    assert (loop.connection.state, loop.statuses) == (WORK, []), "what follows has to wait"
    loop.connection.on_response(Response(201, (), b""), loop.now)
    assert (loop.statuses, loop.connection.state) == ([201], YIELD), "others have their turn first"
    loop.connection.resume(loop.now)
    assert (loop.statuses, loop.connection.state, loop.left) == ([201, 200], IDLE, 120)


def test_work_that_fails_is_a_fault_of_the_server(loop: Loop) -> None:
    loop.receive(SLOW)
    loop.connection.on_response(None, loop.now)
    assert loop.statuses == [500]


def test_work_ends_at_its_deadline(loop: Loop) -> None:
    loop.receive(SLOW)
    assert loop.expire() == IDLE
    assert (loop.statuses, loop.abandoned) == ([503], loop.jobs)
    assert b"Retry-After: 1\r\n" in loop.socket.sent


def test_work_that_no_thread_takes_is_refused(loop: Loop) -> None:
    loop.has_threads = False
    assert loop.receive(SLOW * 2) == YIELD
    assert (loop.statuses, loop.abandoned) == ([503], [])


def test_a_client_that_closes_its_end_still_gets_a_response_that_comes_soon(loop: Loop) -> None:
    for is_late in (False, True):
        loop.receive(SLOW)
        loop.connection.on_event(select.EPOLLRDHUP, loop.now)
        assert (loop.connection.state, loop.left, loop.events) == (WORK, 1, 0)
        if is_late:
            assert loop.expire() == CLOSED
        else:
            loop.connection.on_response(Response(200, (), b""), loop.now)
    assert (loop.statuses, loop.abandoned) == ([200], loop.jobs[1:])


def test_work_for_a_client_that_is_gone_is_abandoned(loop: Loop) -> None:
    loop.receive(SLOW)
    loop.connection.on_event(select.EPOLLHUP, loop.now)
    assert (loop.connection.state, loop.abandoned) == (CLOSED, loop.jobs)
    loop.connection.close()
    assert loop.abandoned == loop.jobs, "once"


def test_a_connection_is_closed_at_once_only_if_the_client_has_nothing_more_to_send(loop: Loop) -> None:
    assert (loop.receive(LAST), loop.socket.is_shut, loop.abandoned) == (CLOSED, False, [])
    for leaving, data in ((False, LAST + GET), (True, GET), (False, b"nonsense\n")):
        loop = Loop()
        loop.is_leaving = leaving
        assert (loop.receive(data), loop.left, loop.socket.is_shut) == (LINGER, 2, True)
        assert b"Connection: close\r\n" in loop.socket.sent
        assert loop.receive(b"x") == LINGER
        assert loop.expire() == CLOSED
        assert len(loop.statuses) == 1


def test_what_comes_after_the_last_response_is_bounded(loop: Loop) -> None:
    loop.receive(b"nonsense\n")
    assert loop.receive(b"x" * (16 << 20)) == LINGER
    assert loop.receive(b"x") == CLOSED


@pytest.mark.parametrize(("max_body", "limit"), [(1 << 20, BODIES_LIMIT), (BODIES_LIMIT, 2 * BODIES_LIMIT)])
def test_incomplete_bodies_of_all_connections_are_bounded(max_body: int, limit: int) -> None:
    for others, fits in ((limit - SMALL_BODY - 1, True), (limit - SMALL_BODY, False)):
        loop = Loop(replace(SETTINGS, max_body=max_body))
        loop.body_bytes = others
        assert loop.receive(POST % max_body + b"x" * SMALL_BODY) == BODY
        assert loop.body_bytes == others + SMALL_BODY
        assert (loop.receive(b"x"), loop.statuses) == ((BODY, []) if fits else (LINGER, [503]))
        assert loop.body_bytes == (others + SMALL_BODY + 1 if fits else others), "what is refused is not held any more"
    loop = Loop(replace(SETTINGS, max_body=max_body))
    loop.body_bytes = limit
    assert loop.receive(POST % max_body + b"x" * SMALL_BODY) == BODY, "a small one may always grow"


@pytest.mark.parametrize(
    ("address", "peer"), [(("::ffff:192.0.2.1", 1, 0, 0), "192.0.2.1"), (("2001:db8::1", 1, 0, 0), "2001:db8::1"), ("", "unix")]
)
def test_a_request_has_the_address_of_its_peer(address: Any, peer: str) -> None:
    loop = Loop(address=address)
    loop.receive(GET)
    assert [(request.peer, request.client) for request in loop.stub.requests] == [(peer, peer)]


def test_a_body_that_is_complete_or_abandoned_is_held_no_more(loop: Loop) -> None:
    loop.receive(POST % 3 + b"12")
    assert loop.body_bytes == 2
    loop.receive(b"3")
    assert loop.body_bytes == 0
    loop.receive(POST % 3 + b"12")
    loop.connection.close()
    assert loop.body_bytes == 0

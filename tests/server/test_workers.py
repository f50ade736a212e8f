"""Workers and how a service ends: killed, asked to leave, told to stop, told twice; a socket handed over."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from eidos.server.transport.event_loop import accept_quota
from tests.support.program import environment
from tests.support.server_process import HAND_OVER, Built
from tests.support.transport_process import Answer, Service, answers, children, everything, lives, read_answer
from tests.support.waiting import AMPLE_S, ClientThreads, until

pytestmark = pytest.mark.slow

GET = b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n"


class Load(ClientThreads):
    """Clients that ask as fast as they are answered, each request on a connection of its own or on one that is kept."""

    def __init__(self, service: Service, clients: int = 4, keep: bool = False) -> None:
        self.service, self.keep = service, keep
        self.answered = self.refused = 0
        self.lost: list[str] = []
        super().__init__(clients)

    def ask(self, number: int) -> None:
        sock: socket.socket | None = None
        while not self.is_over():
            fresh = sock is None
            try:
                sock = sock or self.service.connect()
            except ConnectionError:  # nobody listens any more: that is said, not lost
                self.refused += 1
                time.sleep(0.01)
                continue
            try:
                sock.sendall(GET)
                answer = read_answer(sock)
                assert answer.status == 200
                self.answered += 1
                if self.keep and answer.headers.get("connection") != "close":
                    continue
            except (OSError, AssertionError) as fault:
                # On a kept connection the server may close while the request is on its way (RFC 9112, section 9.3.1): ask again.
                if fresh:
                    self.lost.append(repr(fault))
            sock.close()
            sock = None
        if sock is not None:
            sock.close()


def test_connections_spread_over_the_workers() -> None:
    with Service(workers=2) as service:
        until(lambda: len(service.workers()) == 2)
        by_worker = dict.fromkeys(service.workers(), 0)
        for _ in range(400):  # far fewer, unless the system lets one of them wait for so long that the other takes all
            sock = service.connect()
            sock.sendall(GET)
            by_worker[int(read_answer(sock).body)] += 1
            if min(by_worker.values()) >= 5:
                break
    assert min(by_worker.values()) >= 5


@pytest.mark.parametrize("workers", [2, 4])
def test_many_connections_are_accepted_without_a_pause_for_each_and_still_evenly(workers: int) -> None:
    """Workers take turns, as when all of them wake for a queue of new connections; whoever has too many pauses until its next turn."""
    waiting, counts, pauses = 2000, [0] * workers, 0
    is_paused = [False] * workers
    while waiting:
        for worker in range(workers):
            quota = accept_quota(counts[worker], min(counts), is_paused[worker])
            is_paused[worker] = quota <= 0
            pauses += quota <= 0
            accepted = max(0, min(quota, waiting))
            counts[worker] += accepted
            waiting -= accepted
    assert pauses < 2000 / 50
    assert max(counts) - min(counts) <= max(counts) // 4


def test_a_connection_without_a_request_is_not_lost_with_a_worker() -> None:
    """It is in the queue until its request has come, so that any worker can accept it."""
    with Service(workers=1) as service:
        assert service.get("/small").status == 200
        socks = [service.connect() for _ in range(20)]
        service.end_turn()
        (worker,) = service.workers()
        os.kill(worker, signal.SIGKILL)
        for sock in socks:
            sock.sendall(GET)
            assert read_answer(sock).status == 200


def test_a_killed_worker_is_replaced_and_the_others_lose_nothing() -> None:
    with Service(workers=2) as service:
        until(lambda: len(service.workers()) == 2)
        for _ in range(3):
            until(lambda: len(service.workers()) == 2)  # the kernel's list of children may be short while one of them ends
            victim, other = service.workers()
            os.kill(victim, signal.SIGKILL)
            until(lambda gone: len(service.workers()) == 2 and gone not in service.workers(), victim)
            assert other in service.workers()
            assert service.get("/small").status == 200
        assert service.stop() == 0
    assert service.stderr.count("a worker exited on signal 9") == 3


def test_a_worker_that_keeps_dying_is_restarted_ever_more_slowly() -> None:
    with Service(workers=1) as service:
        until(service.workers)
        for _ in range(4):
            began, victims = time.monotonic(), service.workers()
            os.kill(victims[0], signal.SIGKILL)
            until(lambda gone: set(service.workers()) - set(gone), victims)
        assert time.monotonic() - began > 0.3, "0.1, 0.2 and 0.4 s after the first, which is at once"
        assert service.get("/small").status == 200


def test_workers_that_leave_one_after_the_other_lose_no_request() -> None:
    with Service(workers=2, idle_grace=0.1) as service, Load(service) as fresh, Load(service, 2, keep=True) as reused:
        until(lambda: len(service.workers()) == 2)
        for _ in range(10):
            worker = service.workers()[0]
            os.kill(worker, signal.SIGTERM)
            until(lambda gone: gone not in service.workers(), worker)
            until(lambda: len(service.workers()) == 2)
            until(lambda before: fresh.answered > before + 20, fresh.answered)
    assert fresh.lost == []
    assert reused.lost == []
    assert fresh.refused == 0
    assert fresh.answered > 100


def test_a_stop_finishes_what_is_in_flight() -> None:
    with Service(workers=2, idle_grace=AMPLE_S) as service:
        slow, idle, half, busy = (service.connect() for _ in range(4))
        slow.sendall(f"GET {service.held} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        half.sendall(GET[:20])
        idle.sendall(GET)
        assert read_answer(idle).headers.get("connection") is None
        busy.sendall(GET)
        read_answer(busy)
        service.settle(slow, half)
        service.process.send_signal(signal.SIGTERM)
        until(service.is_refusing)
        busy.sendall(GET)  # within its grace
        assert read_answer(busy).headers["connection"] == "close"
        half.sendall(GET[20:])
        assert read_answer(half).headers["connection"] == "close"
        service.release()
        answer = read_answer(slow)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        idle.close()
        assert service.wait() == 0


def test_a_stop_under_load_loses_no_accepted_request() -> None:
    for _ in range(4):
        with Service(workers=2, idle_grace=0.1) as service, Load(service) as fresh, Load(service, 2, keep=True) as reused:
            until(lambda: fresh.answered > 50 and reused.answered > 50)
            assert service.stop() == 0
        lost = [fault for fault in fresh.lost if "AssertionError" in fault]
        assert lost == [], "closed without an answer"
        # Between the last look into the queue and the end of the socket the kernel may complete a handshake: it resets it.
        assert len(fresh.lost) <= 4


def test_the_drain_delay_goes_on_serving() -> None:
    with Service(workers=1, drain_delay=AMPLE_S) as service:
        assert service.get("/small").status == 200
        service.process.send_signal(signal.SIGTERM)

        def is_stopping() -> bool:
            with service.connect() as sock:
                sock.sendall(GET)
                return read_answer(sock).headers.get("connection") == "close"

        until(is_stopping)
        assert service.get("/small").status == 200
        assert service.stop() == 128 + signal.SIGTERM


def test_after_the_drain_delay_and_its_grace_a_silent_connection_is_closed() -> None:
    with Service(workers=1, drain_delay=0.3, idle_grace=0.2) as service, service.connect() as sock:
        sock.sendall(GET)
        read_answer(sock)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began >= 0.5
        assert everything(sock) == b""


def test_what_does_not_end_in_time_is_closed() -> None:
    with Service(workers=1, drain_timeout=0.3, idle_grace=0.1) as service, service.connect() as sock:
        sock.sendall(b"GET /stuck?60 HTTP/1.1\r\nHost: a\r\n\r\n")
        service.settle(sock)
        assert service.stop() == 0
        assert everything(sock) == b""


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_ends_it_at_once(numbers: tuple[int, int]) -> None:
    with Service(workers=2) as service, service.connect() as sock:
        sock.sendall(b"GET /stuck?60 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(service.workers()) == 2)
        service.settle(sock)
        workers = service.workers()
        service.process.send_signal(numbers[0])
        until(service.is_refusing)
        assert service.process.poll() is None
        assert service.stop(numbers[1]) == 128 + numbers[1]
        assert not any(map(lives, workers))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminal_signals_all_processes_and_it_ends_well(number: int) -> None:
    with Service(workers=2, idle_grace=0.1) as service, service.connect() as sock:
        sock.sendall(f"GET {service.held} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        until(lambda: len(service.workers()) == 2)
        service.settle(sock)
        os.killpg(service.process.pid, number)
        until(service.is_refusing)
        service.release()
        assert read_answer(sock).status == 200
        assert service.wait() == 0


def test_workers_do_not_outlive_the_supervisor() -> None:
    with Service(workers=2, idle_grace=0.1) as service, service.connect() as sock:
        until(lambda: len(service.workers()) == 2)
        workers = service.workers()
        sock.sendall(f"GET {service.held} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        service.settle(sock)
        service.process.kill()
        until(service.is_refusing)
        service.release()
        assert read_answer(sock).status == 200, "they finish first"
        until(lambda: not any(map(lives, workers)))


def test_threads_held_by_work_that_does_not_end_do_not_hold_the_service() -> None:
    """Far more of it than there are threads; the client of each is told in time, and quick and slow answers go on."""
    with Service(workers=1, request_timeout=0.3, drain_timeout=1) as service:
        for _ in range(3):
            socks = [service.connect() for _ in range(6)]
            for sock in socks:
                sock.sendall(b"GET /stuck?30 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            for sock in socks:
                assert Answer(everything(sock)).status == 503
                sock.close()
            assert service.get("/small").status == 200
            until(lambda: service.get("/made").status == 200)  # at once, on a machine that has time for it
        first = service.workers()
        socks = []

        def another() -> bool:
            """Whether there is a new worker; as long as there is none, more of it comes."""
            if len(socks) < 400:
                socks.append(service.connect())
                socks[-1].sendall(b"GET /stuck?30 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return any(pid not in first for pid in service.workers())

        until(another)
        until(lambda: service.get("/made").status == 200)  # of the worker that took over
        for sock in socks:
            sock.close()


def test_nothing_is_left_behind() -> None:
    """Descriptors and threads of a worker after many connections of every kind."""
    with Service(workers=1) as service:
        service.get("/made")
        worker = service.workers()[0]

        def descriptors() -> int:
            return len(os.listdir(f"/proc/{worker}/fd"))

        before = descriptors()
        kinds = (b"GET /worker", b"GET /made", b"GET /slow?9", b"nonsense")
        for at in range(150):
            with service.connect() as sock:
                sock.sendall(kinds[at % 4] + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                if at % 3 == 0 and at % 4 != 2:
                    sock.recv(10)
        until(lambda: descriptors() == before)
        until(lambda: len(os.listdir(f"/proc/{worker}/task")) <= 5)  # the loop, and four that answer
        assert service.get("/cancelled").status == 200


# ---- sockets that are handed over ----


def listening(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)
    sock.listen(64)
    return sock


def test_a_socket_handed_over_is_taken_and_outlives_the_service() -> None:
    with listening() as sock:
        port = sock.getsockname()[1]
        with Service(sock, workers=2, idle_grace=0.1) as service:
            assert service.port == port
            assert service.get("/small").status == 200
            assert service.stop() == 0
        with socket.create_connection(("127.0.0.1", port), timeout=AMPLE_S) as early:  # while nobody serves
            early.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with Service(sock, workers=1, idle_grace=0.1):
                assert Answer(everything(early)).status == 200


def test_a_unix_socket_handed_over_is_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listening(socket.AF_UNIX, path) as sock, Service(sock) as service:
        assert service.url == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b'"peer": "unix"' in everything(client)


def test_what_is_no_listening_socket_is_refused() -> None:
    from eidos.errors import EidosError
    from eidos.server.transport.listening_sockets import take_handed_over

    pid = str(os.getpid())
    assert take_handed_over({}) is None
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert take_handed_over(environ) is None, "meant for another process"
    assert environ == {}, "and for none that we start"
    with pytest.raises(EidosError, match="expected 1"):
        take_handed_over({"LISTEN_PID": pid, "LISTEN_FDS": "2"})


def test_the_built_program_takes_a_socket_as_systemd_hands_it_over(pyz: Path) -> None:
    """Requests that come between two of its lives wait in the socket."""
    with listening() as sock:
        port = sock.getsockname()[1]
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=AMPLE_S) as early:
                early.sendall(b"GET /v1/recipe?service=eks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                with Built(pyz, "--workers=1", inherits=sock) as service:
                    assert service.port == port, "not the one that --port says"
                    assert Answer(everything(early)).status == 200
                    held = [os.readlink(f"/proc/{service.process.pid}/fd/3"), os.readlink(f"/proc/{service.workers()[0]}/fd/3")]
                    assert held == [f"socket:[{os.fstat(sock.fileno()).st_ino}]"] * 2, "the parent and its worker have that very socket"
                    assert service.stop() == 0


def test_a_descriptor_that_cannot_be_used_is_named(pyz: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    with (tmp_path / "file").open("w") as file, socket.socket() as deaf, socket.socket(type=socket.SOCK_DGRAM) as packets:
        for descriptor, message in ((file, "is not a socket"), (deaf, "not a listening"), (packets, "not a listening")):
            command = ["bash", "-c", HAND_OVER, str(descriptor.fileno()), sys.executable, str(pyz), "serve"]
            done = subprocess.run(
                command,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                pass_fds=[descriptor.fileno()],
                timeout=AMPLE_S,
                check=False,
            )
            assert done.returncode == 2
            assert message in done.stderr
            assert "Traceback" not in done.stderr


# ---- the verb ----


def test_the_verb_says_where_it_listens_and_stops_with_0() -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "eidos", "serve", "--workers", "1", "--log-format", "json"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(EIDOS_PORT="tcp://192.0.2.1:80", PORT="0")
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        match = re.search(r'"msg": "listening on http://127\.0\.0\.1:(\d+)"', line)
        assert match, line
        with socket.create_connection(("127.0.0.1", int(match[1])), timeout=AMPLE_S) as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert answers(everything(sock))[0].status == 200
        assert children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(AMPLE_S) == 0


def test_an_address_in_use_is_named() -> None:
    from tests.support.program import eidos

    with listening() as sock:
        result = eidos("serve", "--port", str(sock.getsockname()[1]))
    assert result.status == 1
    assert "address already in use" in result.err
    assert "hint: stop the program that listens there" in result.err


WRONG = [
    ("--port=65536", "from 0 to 65535"),
    ("--port=8_0", "invalid port"),
    ("--workers=0", "from 1 to"),
    ("--rate=-1", "or 0 for no limit"),
    ("--rate=nan", "or 0 for no limit"),
    ("--burst=0", "from 1 to"),
    ("--max-body=0", "invalid size"),
    ("--user-header=a b", "invalid header name"),
    ("--user-header=X-User", "--trust-proxy"),
    ("--request-timeout=0", "must be positive"),
]


@pytest.mark.parametrize(("flag", "message"), WRONG, ids=[flag for flag, _ in WRONG])
def test_a_wrong_setting_is_named(flag: str, message: str) -> None:
    from tests.support.program import eidos

    result = eidos("serve", flag)
    assert result.status == 2
    assert flag.partition("=")[0] in result.err
    assert message in result.err

"""Large bodies do not stand in the way of what is small, and a worker holds only so much of them at once."""

from __future__ import annotations

import select
import socket

import pytest

from tests.support.transport_process import Answer, Service, everything, read_answer
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

LARGE = 4 << 20

#: Bytes of incomplete bodies in a worker, bytes beyond which a body is heavy, and threads for such work.
BODIES_LIMIT, HEAVY_BODY, HEAVY_THREADS = 64 << 20, 256 << 10, 2


def begin(service: Service, target: str, body: bytes, length: int | None = None) -> socket.socket:
    sock = service.connect()
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length or len(body)}\r\nConnection: close\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock


def test_work_for_large_bodies_leaves_threads_for_the_rest() -> None:
    with Service(workers=1, read_timeout=60.0) as service:
        heavy = [begin(service, "/slow?60", b"x" * (HEAVY_BODY + 1)) for _ in range(4 + HEAVY_THREADS)]
        # The first of them may come before the bodies are whole.
        assert {service.get("/made").status for _ in range(20)} == {200}
        for sock in heavy:
            sock.close()
        until(lambda: int(service.get("/cancelled").body) >= HEAVY_THREADS)


def test_incomplete_bodies_take_bounded_memory() -> None:
    with Service(workers=1, read_timeout=60.0) as service:
        slow = [begin(service, "/echo", b"x" * (LARGE - 1), LARGE) for _ in range(BODIES_LIMIT // LARGE + 1)]
        # One of them is too many, whichever it is: they are read in turns.
        refused = select.select(slow, [], [], AMPLE_S)[0][0]
        answer = Answer(everything(refused))
        assert answer.status == 503
        assert b'"code": "SERVICE_UNAVAILABLE"' in answer.body
        assert b'"retryable": true' in answer.body
        assert answer.headers["retry-after"] == "1"
        small = begin(service, "/echo", b"x" * 1000)
        assert read_answer(small).status == 200
        for sock in slow:
            sock.close()
        until(lambda: Answer(everything(begin(service, "/echo", b"x" * (1 << 18)))).status == 200)

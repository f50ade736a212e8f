"""A service of the real transport over an application of a few lines: ``python3 -m tests.fakes.service key=value …``.

It prints where it listens. ``/small`` is at once, ``/slow?seconds`` takes its time and looks at its deadline, ``/held?file`` does so as
long as that file exists, ``/stuck?seconds`` does not look, ``/big?bytes`` is large, ``/echo`` and ``/made`` give back what came (at once,
and from a thread), ``/worker`` says which process answers, ``/kill`` kills it (with ``?thread`` from a thread), ``/jobs`` how many of its
requests take time and how many of these wait, ``/raise`` has a fault, ``/break`` a header with a line break, ``/cancelled`` counts the
requests whose deadline passed. What takes time and has a field ``X-Tell`` is named on standard error when it begins. A worker that gets
SIGUSR1 writes ``turn`` and its number there, once it has dealt with all that it has received. ``stable_s`` is for the supervisor.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from eidos.errors import Timeout
from eidos.http_wire.messages import Request, Response
from eidos.server.instrumentation import Instrumentation
from eidos.server.request_context import RequestContext
from eidos.server.server_settings import Settings

BODY = b"r" * 4096
HEADERS = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "public, max-age=600"),
    ("ETag", '"0123456789abcdef0123456789abcdef"'),
    ("Vary", "Accept, Accept-Encoding"),
)
SMALL = Response(200, HEADERS, BODY, "/small")


class Stub:
    """An application."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.jobs = (0, 0)

    def answer_at_once(self, context: RequestContext) -> Response | None:
        """What takes no time."""
        request, path = context.request, context.request.path
        if path == "/small":
            return SMALL
        if path == "/echo":
            return self._echo(request)
        if path == "/worker":
            return Response(200, (), str(os.getpid()).encode())
        if path == "/kill" and not request.query:
            os.kill(os.getpid(), signal.SIGKILL)
        if path == "/jobs":
            return Response(200, (), b"%d %d" % self.jobs)
        if path == "/break":
            return Response(200, (("X-Forged", "a\r\nb: c"),), b"")
        if path == "/cancelled":
            return Response(200, (), str(self.cancelled).encode())
        if path == "/none":
            return Response(204, (), b"")
        if path == "/unchanged":
            return Response(304, (("ETag", '"x"'),), b"not to be sent")
        if path in ("/slow", "/held", "/stuck", "/made", "/big", "/raise", "/kill"):
            return None
        return Response(404, (), b"nothing here\n")

    def end_turn(self, now: float) -> float:
        """Nothing is reserved."""
        return float("inf")

    def refuse_body(self, context: RequestContext) -> Response | None:
        """All paths but one take a body."""
        return Response(404, (), b"nothing here\n") if context.request.path == "/nothing" else None

    def answer(self, context: RequestContext) -> Response:
        """What takes some."""
        request = context.request
        if "x-tell" in request.headers:
            os.write(2, f"begun {request.id}\n".encode())
        if request.path == "/kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if request.path == "/big":
            return Response(200, (), b"b" * int(request.query))
        if request.path == "/raise":
            raise RuntimeError("a fault")
        if request.path == "/made":
            return self._echo(request)
        is_held = request.path == "/held"
        end = time.monotonic() + (0.0 if is_held else float(request.query))
        try:
            while os.path.exists(request.query) if is_held else time.monotonic() < end:
                if request.path != "/stuck":
                    context.deadline.check()
                time.sleep(0.005)
        except Timeout:
            self.cancelled += 1
            time.sleep(0.1)  # whoever waits for the same deadline comes first
        return Response(200, (), b"done\n")

    def _echo(self, request: Request) -> Response:
        fields = {name: getattr(request, name) for name in ("method", "target", "path", "query", "client", "peer", "id")}
        tree = {**fields, "headers": dict(request.headers), "body": request.body.decode("latin-1")}
        return Response(200, (), json.dumps(tree).encode())


class Observed(Instrumentation):
    """What tests observe of a service: the jobs of a worker, and that a turn of its loop is over."""

    def __init__(self, stub: Stub) -> None:
        super().__init__()
        self._stub = stub
        self._is_signalled = False
        # Blocked in the supervisor, and in a worker until it has a loop that the signal can wake.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        signal.signal(signal.SIGUSR1, self._on_signal)

    def on_ready(self) -> None:
        """A worker has its loop."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])

    def on_tick(self) -> None:
        """What was received before the signal is dealt with."""
        if self._is_signalled:
            self._is_signalled = False
            os.write(2, b"turn %d\n" % os.getpid())

    def on_jobs(self, in_flight: int, waiting: int) -> None:
        """Remember them for ``/jobs``."""
        self._stub.jobs = (in_flight, waiting)

    def _on_signal(self, *_: object) -> None:
        self._is_signalled = True


def main() -> int:
    """Serve."""
    from eidos.server.transport import supervisor
    from eidos.server.transport.event_loop import Service
    from eidos.server.transport.listening_sockets import listen, raise_fd_limit
    from eidos.server.transport.shared_state import SharedState
    from eidos.server.transport.supervisor import Supervisor

    words = dict(word.split("=", 1) for word in sys.argv[1:])
    supervisor.STABLE_S = float(words.pop("stable_s", supervisor.STABLE_S))
    values = {name: type(getattr(Settings, name))(value) for name, value in words.items()}
    settings = Settings(**{"port": 0, **values})
    raise_fd_limit(settings)
    server = listen(settings, os.environ)
    print(server.url, flush=True)
    stub = Stub()
    return Supervisor(Service(server, settings, stub, Observed(stub), SharedState(settings.workers))).run()


if __name__ == "__main__":
    sys.exit(main())

"""The metrics of another process over HTTP: ``/metrics``, ``/health`` and ``/ready`` from one worker.

Knows these routes, and how one worker of the transport is run beside a program that has other work; must not know what is measured. The
worker is a child process, because the program must not have threads when it forks. It ends when the program does.
"""

from __future__ import annotations

import gc
import os

from eidos.errors import Unavailable
from eidos.http_wire.messages import HttpError
from eidos.process.child import Child
from eidos.server.error_responses import fault_response
from eidos.server.instrumentation import Instrumentation
from eidos.server.middleware import common_headers, represent
from eidos.server.representation import make_representation
from eidos.server.server_settings import Settings
from eidos.server.transport.event_loop import NEVER, EventLoop, Service
from eidos.server.transport.listening_sockets import listen
from eidos.server.transport.request_failover import FailoverQueue
from eidos.server.transport.shared_state import SharedState
from eidos.telemetry.metrics import CONTENT_TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from eidos.http_wire.messages import Response
    from eidos.server.representation import Representation
    from eidos.server.request_context import RequestContext
    from eidos.server.transport.listening_sockets import ListeningServer

    class MetricSource(Protocol):
        """What is exported, as the process that is scraped sees it."""

        def use_as_listener(self) -> None:
            """This process is the one that is scraped."""

        def text(self) -> str:
            """The body of ``/metrics``."""

        def is_ready(self) -> bool:
            """Whether there is something to export."""

        def is_alive(self) -> bool:
            """Whether the program goes on."""


#: Connections at the same time, at most; more than Prometheus and the kubelet need.
MAX_CONNECTIONS = 64

_METRICS, _HEALTH, _READY = "/metrics", "/health", "/ready"


class MetricsApplication:
    """The three routes; every response takes next to no time. ``on_orphaned`` is called when the process ``parent`` is gone."""

    def __init__(self, source: MetricSource, parent: int, on_orphaned: Callable[[], object] = lambda: None) -> None:
        self._source, self._parent, self.on_orphaned = source, parent, on_orphaned

    def answer_at_once(self, context: RequestContext) -> Response | None:
        """The response."""
        request = context.request
        headers = common_headers(context)
        try:
            if request.path not in (_METRICS, _HEALTH, _READY):
                raise HttpError(404, "unknown path", "use /metrics, /health or /ready", details={"valid": [_METRICS, _HEALTH, _READY]})
            if request.method not in ("GET", "HEAD"):
                raise HttpError(405, f"{request.path} does not support {request.method[:20]}", headers=[("Allow", "GET, HEAD")])
            if request.path == _METRICS:
                body = make_representation(CONTENT_TYPE, self._source.text().encode(), vary="Accept-Encoding")
            else:
                body = self._status(request.path)
            return represent(body, request, headers, request.path)
        except HttpError as fault:
            return fault_response(fault, context, headers, "")

    def answer(self, context: RequestContext) -> Response:
        """The same."""
        response = self.answer_at_once(context)
        assert response is not None
        return response

    def refuse_body(self, context: RequestContext) -> Response | None:
        """No route reads a body."""
        fault = HttpError(417, "requests have no body here", "send the request without a body")
        return fault_response(fault, context, common_headers(context), "")

    def end_turn(self, now: float) -> float:
        """Look whether the program is still there: its findings would be shown for ever."""
        if os.getppid() != self._parent:
            self.on_orphaned()
        return NEVER

    def _status(self, path: str) -> Representation:
        if path == _HEALTH and not self._source.is_alive():
            raise HttpError(503, "no cycle has ended for too long", headers=[("Retry-After", "10")])
        if path == _READY and not self._source.is_ready():
            raise HttpError(503, "the first cycle is not over", headers=[("Retry-After", "1")])
        word = "healthy" if path == _HEALTH else "ready"
        return make_representation("application/json", f'{{"status": "{word}"}}\n'.encode(), vary="")


class MetricsListener:
    """The worker: it is started anew when it ended. ``url`` is where it listens."""

    def __init__(self, host: str, port: int, source: MetricSource) -> None:
        """Bind and start. Raises Unavailable when the address cannot be bound, or no process can be started."""
        self._source = source
        server = _listen(host, port)
        self.url = server.url
        self._address = host, server.socket.getsockname()[1]
        self._child = self._start(server)

    def _start(self, server: ListeningServer) -> Child:
        try:
            return Child(_Worker(server, self._source, os.getpid()))
        finally:
            server.server_close()  # or whatever this process starts next would keep the address

    def restart_if_ended(self) -> bool:
        """Start the worker again if it has ended; whether it had. Raises what the start raises."""
        if not self._child.reap():
            return False
        self._child.close()
        self._child = self._start(_listen(*self._address))
        return True

    def close(self) -> None:
        """Stop the worker."""
        self._child.close()


class _Worker:
    """What the child does: serve until the program is gone. It sends no frames."""

    def __init__(self, server: ListeningServer, source: MetricSource, parent: int) -> None:
        self._server, self._source, self._parent = server, source, parent

    def __call__(self) -> Iterator[object]:
        gc.enable()  # this child lives for long
        self._source.use_as_listener()
        application = MetricsApplication(self._source, self._parent)
        settings = Settings(max_connections=MAX_CONNECTIONS, max_body=0)
        service = Service(self._server, settings, application, Instrumentation(), SharedState(1))
        lifeline, _ = os.pipe()  # of a supervisor; here the application looks
        loop = EventLoop(service, 0, lifeline, lambda: None, (FailoverQueue(), FailoverQueue()), FailoverQueue())
        application.on_orphaned = loop.drain
        loop.run()
        return iter(())


def _listen(host: str, port: int) -> ListeningServer:
    try:
        return listen(Settings(host=host, port=port), {})
    except Unavailable as fault:
        raise Unavailable(f"--listen: {fault.message}", "stop the program that listens there, or choose another address or port") from fault

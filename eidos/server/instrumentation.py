"""What the transport reports to metrics, traces and the access log.

Knows the events of a service; must not know what becomes of a report.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.messages import Request, Response
    from eidos.server.access_log import AccessLog
    from eidos.server.request_metrics import ServerMetrics
    from eidos.telemetry.spans import Tracer

#: Seconds after which a line of the access log does not wait for others; it is written when the event loop takes its next turn.
LINE_DELAY_S = 0.02

#: Seconds that a worker waits at its end for the last traces to be sent.
FLUSH_TIMEOUT_S = 2.0


class Instrumentation:
    """Reports to ``metrics``, ``tracer`` and ``access_log``, the one that ``metrics`` writes to; None for what is not recorded."""

    def __init__(self, metrics: ServerMetrics | None = None, tracer: Tracer | None = None, access_log: AccessLog | None = None) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._access_log = access_log
        if metrics is not None:  # each response is reported: one call less
            self.on_response = metrics.on_response  # type: ignore[method-assign]  # of the same signature

    # ---- processes ----

    def on_start(self, slot: int, max_connections: int) -> None:
        """This process serves from ``slot``, in a service that takes ``max_connections``."""
        if self._metrics is not None:
            self._metrics.use(slot)
            self._metrics.connections_max.set(max_connections)

    def on_ready(self) -> None:
        """This process is a worker, and answers from now on."""
        if self._tracer is not None:
            self._tracer.start()

    def on_stop(self) -> None:
        """This worker has answered its last request."""
        if self._access_log is not None:
            self._access_log.flush()
        if self._tracer is not None:
            self._tracer.shutdown(FLUSH_TIMEOUT_S)

    def on_worker_exit(self, slot: int) -> None:
        """The worker of ``slot`` is gone."""
        if self._metrics is not None:
            self._metrics.forget(slot)

    def on_worker_restart(self) -> None:
        """A worker is started in the place of one that ended."""
        if self._metrics is not None:
            self._metrics.restarts.increment()

    # ---- the event loop ----

    def on_tick(self) -> None:
        """One turn of the event loop is done."""
        if self._access_log is not None:
            self._access_log.flush(LINE_DELAY_S)

    def on_connections(self, count: int) -> None:
        """So many connections are open."""
        if self._metrics is not None:
            self._metrics.connections.set(count)

    def on_jobs(self, in_flight: int, waiting: int) -> None:
        """So many requests take work, and so many of them wait for a thread."""
        if self._metrics is not None:
            self._metrics.in_flight.set(in_flight)
            self._metrics.queue.set(waiting)

    def on_response(
        self, method: str, response: Response, seconds: float, request: Request | None, body_bytes: int, request_id: str
    ) -> None:
        """A response was sent; ``request`` is None for what was no valid request, which got ``request_id``."""

"""What the transport asks of an application, and what it tells whoever counts.

Knows the calls between them; must not know what becomes of either.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from eidos.http_wire.messages import Request, Response
    from eidos.server.request_metrics import GatheredLog, ServerMetrics
    from eidos.telemetry.spans import Tracer

    class Application(Protocol):
        """What answers. ``quick`` gives an answer that takes no time, or None; ``answer`` takes its time and never raises."""

        def quick(self, request: Request) -> Response | None:
            """The answer, if nothing has to be made for it."""

        def answer(self, request: Request) -> Response:
            """The answer."""


#: Seconds that a worker waits at its end for whoever takes traces.
PATIENCE = 2.0


class Told:
    """Tells ``metrics``, ``tracer`` and ``access`` what the transport sees; None for whoever does not count, trace or write lines.

    ``access`` is that of ``metrics``.
    """

    def __init__(self, metrics: ServerMetrics | None = None, tracer: Tracer | None = None, access: GatheredLog | None = None) -> None:
        self._metrics = metrics
        self._access = access
        self._tracer = tracer

    def begins(self, slot: int, most: int) -> None:
        """This process serves from ``slot``, in a service that takes ``most`` connections."""
        if self._metrics is not None:
            self._metrics.use(slot)
            self._metrics.connections_max.set(most)

    def serves(self) -> None:
        """This process is a worker, and answers from now on."""
        if self._tracer is not None:
            self._tracer.start()

    def turned(self) -> None:
        """The loop has done what there was to do."""
        if self._access is not None:
            self._access.flush()

    def served(self) -> None:
        """It is done."""
        if self._tracer is not None:
            self._tracer.close(PATIENCE)

    def ended(self, slot: int) -> None:
        """The worker of ``slot`` is gone."""
        if self._metrics is not None:
            self._metrics.forget(slot)

    def restarted(self) -> None:
        """A worker was started in the place of one that ended."""
        if self._metrics is not None:
            self._metrics.restarts.add()

    def connections(self, count: int) -> None:
        """So many are open."""
        if self._metrics is not None:
            self._metrics.connections.set(count)

    def queue(self, count: int) -> None:
        """So many requests wait for a thread."""
        if self._metrics is not None:
            self._metrics.queue.set(count)

    def working(self, count: int) -> None:
        """So many requests are being answered, but those whose answer takes no time."""
        if self._metrics is not None:
            self._metrics.in_flight.set(count)

    def answered(self, method: str, response: Response, seconds: float, request: Request | None, sent: int, identity: str) -> None:
        """An answer went out, with ``sent`` bytes of body; ``request`` is None when it was none."""
        if self._metrics is not None:
            self._metrics.answered(method, response, seconds, request, sent, identity)

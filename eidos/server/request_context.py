"""A request on its way through the server: the request itself, and all that is decided about it.

Knows what belongs to one request and which attributes its span has (OpenTelemetry semantic conventions, "HTTP server"); must not know
sockets, routes, sampling, nor where spans go. The transport makes a context for each request and hands it to the
:class:`Application`; nothing about a request is stored anywhere else.
"""

from __future__ import annotations

from eidos.telemetry.spans import INVALID_SPAN, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from eidos.http_wire.messages import Request, Response
    from eidos.server.deadline import Deadline
    from eidos.server.rate_limiter import Decision
    from eidos.telemetry.spans import Span, Tracer

    class Application(Protocol):
        """What the transport asks for responses."""

        def answer_at_once(self, context: RequestContext) -> Response | None:
            """The response if it takes no time to make, else None; called in the thread of the event loop."""

        def answer(self, context: RequestContext) -> Response:
            """The response; called in a thread of its own, where it may take until the deadline. Never raises."""

        def end_turn(self, now: float) -> float:
            """Give back what was reserved for requests that did not come; when to call this again, infinity if nothing is reserved."""

        def refuse_body(self, context: RequestContext) -> Response | None:
            """The response to a request that is not to send its body; None for one that is. Takes no time, and never raises."""


class RequestContext:
    """One request while it is answered: its ``deadline``, its ``span``, and the ``decision`` of the rate limiter once there is one."""

    __slots__ = ("deadline", "decision", "request", "span")

    def __init__(self, request: Request, deadline: Deadline) -> None:
        self.request: Final = request
        self.deadline: Final = deadline
        self.span: Span = INVALID_SPAN
        self.decision: Decision | None = None

    def start_span(self, tracer: Tracer) -> None:
        """Begin the span of the request, unless it has begun: a request can be looked at twice, at once and in a thread."""
        if self.span is INVALID_SPAN:
            self.span = tracer.start_span("request", SERVER, self.request.headers, self.request.id)

    def end_span(self, response: Response) -> None:
        """End the span of the request with what became of it."""
        span = self.span
        if span.is_recording:
            method = self.request.method[:10]
            span.name = f"{method} {response.route}".rstrip()
            span.set_attribute("http.request.method", method)
            span.set_attribute("http.route", response.route)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                span.set_error(str(response.status))
            span.end()

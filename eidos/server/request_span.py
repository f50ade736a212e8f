"""The span of a request, from when it is looked at until its answer is made.

Knows which attributes a request's span has (OpenTelemetry semantic conventions, "HTTP server"); must not know sampling nor where spans go.
A server that records nothing pays for one comparison a request.
"""

from __future__ import annotations

from eidos.telemetry.spans import NOTHING, OFF, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.messages import Request, Response
    from eidos.telemetry.spans import Span, Tracer


class Traced:
    """Begins and ends spans of requests; one that is looked at twice has one."""

    def __init__(self, tracer: Tracer | None) -> None:
        self.on = tracer is not None and tracer is not OFF
        self._tracer = tracer or OFF

    def begin(self, request: Request) -> None:
        """Somebody begins to work on a request, or goes on with it."""
        if "span" not in request.__dict__:
            request.__dict__["span"] = self._tracer.span("request", SERVER, request.headers, request.id)

    def end(self, request: Request, response: Response) -> None:
        """The answer is there."""
        span = span_of(request)
        if span.recorded:
            span.name = f"{request.method[:10]} {response.route}".rstrip()
            span.set("http.request.method", request.method[:10])
            span.set("http.route", response.route)
            span.set("http.response.status_code", response.status)
            if response.status >= 500:
                span.fail(str(response.status))
            span.end()


def span_of(request: Request) -> Span:
    """The span of a request; one that stands for none when nothing is traced."""
    span: Span = request.__dict__.get("span", NOTHING)
    return span

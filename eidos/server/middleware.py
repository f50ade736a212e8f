"""What every request goes through around its handler: common headers, conditional responses, recovery.

Knows the headers that all responses have, preconditions and codings; must not know any endpoint. Here is the server's one recovery:
whatever a handler raises costs that request and nothing else.
"""

from __future__ import annotations

from eidos import log
from eidos.http_wire.messages import HttpError, Response, format_headers
from eidos.server.error_responses import error_response
from eidos.server.negotiation import accepts_gzip
from eidos.server.representation import is_current, is_fresh
from eidos.telemetry.trace_context import parse_traceparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from eidos.http_wire.messages import Request
    from eidos.server.representation import Headers, Representation
    from eidos.server.request_context import RequestContext
    from eidos.server.request_metrics import ServerMetrics


def common_headers(context: RequestContext) -> Headers:
    """The headers that tell a client which request was answered, and in which trace: the one that it named."""
    request = context.request
    id = ("X-Request-Id", request.id)
    if context.span.is_recording:
        return (id, ("traceparent", context.span.context.to_headers()["traceparent"]))
    parent = request.headers.get("traceparent")
    if parent is None or parse_traceparent(parent) is None:
        return (id,)
    return (id, ("traceparent", parent.strip()))


def represent(representation: Representation, request: Request, headers: Headers, route: str) -> Response:
    """A representation as this client wants it: 304 when it has it already, compressed when it accepts that.

    Raises HttpError (412) when it is not the one that the client requires (RFC 9110, section 13.1.1).
    HEAD gets the body, too: whoever writes the response knows its length from it, and leaves it out.
    """
    coding = request.headers.get("accept-encoding")
    gzip = coding is not None and representation.compressed is not None and accepts_gzip(coding)
    required = request.headers.get("if-match")
    if required is not None and not is_current(required, representation.validator(gzip)):
        raise HttpError(412, "If-Match: no entity tag is that of the current representation", "send the request without If-Match")
    condition = request.headers.get("if-none-match")
    if condition is not None and is_fresh(condition, representation.validator(gzip)):
        return Response(304, representation.headers_of_304(gzip) + headers, b"", route)
    return representation.respond(gzip, format_headers(headers), route)


def recovered(
    answer: Callable[[RequestContext], Response | None],
    context: RequestContext,
    metrics: ServerMetrics,
    route: Callable[[Request], str],
) -> Response | None:
    """What ``answer`` returns; when it raises what no one foresaw, a 500 that tells nothing of it: the log does."""
    try:
        return answer(context)
    except Exception as fault:
        metrics.recoveries.increment()
        request = context.request
        frames = _frames(fault.__traceback__)
        name = type(fault).__name__
        log.error(f"internal error at {frames[-1]}: {name}", request_id=request.id, hint="please report this as a fault of eidos")
        for frame in frames:
            log.debug(frame, request_id=request.id)
        log.debug(f"{name}: {fault}", request_id=request.id)
        message = "internal error; the server logged it under the ID of this request"
        response = error_response(500, message, request.id, request.headers.get("accept", ""))
        return Response(500, response.headers, response.body, route(request))


def _frames(trace: TracebackType | None) -> list[str]:
    """Where a failure went through, outermost first; ``traceback`` would read the source, which may not be there any more."""
    frames = ["nowhere"] * (trace is None)
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return frames

"""What every request goes through before and after its handler.

Knows limits, preconditions, codings, and the headers that all answers have; must not know any endpoint. Here stands the server's one
recovery: whatever a handler raises costs that request and nothing else.
"""

from __future__ import annotations

import math

from eidos import log
from eidos.errors import EidosError, Timeout
from eidos.http_wire.messages import Response
from eidos.server.error_responses import Refused, envelope, status_of
from eidos.server.negotiation import accepts_gzip
from eidos.server.parameters import told
from eidos.server.representation import is_fresh
from eidos.telemetry.trace_context import parse_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from eidos.http_wire.messages import Request
    from eidos.server.rate_limiter import Decision
    from eidos.server.representation import Answer
    from eidos.server.request_metrics import ServerMetrics
    from eidos.server.server_settings import Settings

    Headers = tuple[tuple[str, str], ...]


class Limiter:
    """How a decision about a request is told to the client.

    ``X-RateLimit-*`` as GitHub and others have it (the reset in seconds since 1970), and ``RateLimit`` with ``RateLimit-Policy`` of
    draft-ietf-httpapi-ratelimit-headers-11: ``q`` is the quota, ``w`` the seconds in which all of it comes back, ``r`` what is left,
    ``t`` the seconds until all of it is there; when none is left, those until one is: Retry-After is not to be sooner (section 6).
    """

    def __init__(self, settings: Settings, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._policies: dict[str, tuple[str, str]] = {}
        rates = (("default", settings.rate, settings.burst), ("client", settings.client_rate, settings.client_burst))
        for policy, rate, burst in rates:
            if rate > 0:
                self._policies[policy] = ("RateLimit-Policy", f'"{policy}";q={burst};w={max(1, math.ceil(burst / rate))}')

    def headers(self, decision: Decision) -> Headers:
        """The headers of an answer to a request that was let in, or not; none when nothing limits."""
        policy = self._policies.get(decision.policy)
        if not decision.limit or policy is None:
            return ()
        reset = math.ceil(decision.reset)
        return (
            ("X-RateLimit-Limit", str(decision.limit)),
            ("X-RateLimit-Remaining", str(decision.remaining)),
            ("X-RateLimit-Reset", str(math.ceil(self._wall()) + reset)),
            policy,
            ("RateLimit", f'"{decision.policy}";r={decision.remaining};t={reset if decision.allowed else patience(decision)}'),
        )


def patience(decision: Decision) -> int:
    """The whole seconds after which a refused request may try again."""
    return max(1, math.ceil(decision.retry_after))


def refusal(decision: Decision) -> Refused:
    """What to say to a request that came too soon; ``Retry-After`` is computed, in whole seconds."""
    seconds = patience(decision)
    whose = "this client" if decision.policy == "client" else "all clients together"
    message = f"too many requests: {whose} may send {decision.limit} at once, and then as many as come back"
    details = {"limit": decision.limit, "policy": decision.policy, "retryAfter": seconds}
    return Refused(429, message, f"try again in {seconds} s", details=details, headers=[("Retry-After", str(seconds))])


def respond(answer: Answer, request: Request, more: Headers, route: str) -> Response:
    """An answer as this client wants it: 304 when it has it already, compressed when it takes that.

    HEAD gets the body, too: whoever writes it knows its length from it, and leaves it out.
    """
    headers = request.headers
    coding = headers.get("accept-encoding")
    gzip = coding is not None and answer.packed is not None and accepts_gzip(coding)
    condition = headers.get("if-none-match")
    if condition is not None and is_fresh(condition, answer.tag(gzip)):
        return Response(304, answer.unchanged(gzip) + more, b"", route)
    body = answer.packed if gzip and answer.packed is not None else answer.body
    return Response(200, answer.whole(gzip) + more, body, route)


def common(request: Request) -> Headers:
    """What tells the client which request was answered, and in which trace: the one that it named."""
    identity = ("X-Request-Id", request.id)
    span = request.__dict__.get("span")
    if span is not None and span.recorded:
        return (identity, ("traceparent", span.context.headers()["traceparent"]))
    parent = request.headers.get("traceparent")
    if parent is None or parse_parent(parent) is None:
        return (identity,)
    return (identity, ("traceparent", parent.strip()))


def refused(fault: EidosError, request: Request, more: Headers, route: str, places: Sequence[str] = ()) -> Response:
    """The answer to a request that failed in a way that was foreseen."""
    status = status_of(fault)
    message = told(fault, places)
    if isinstance(fault, Refused):
        details = dict(fault.details or {})
        headers = fault.headers
    else:
        details, headers = {}, ()
        if status >= 500:
            # That a client is gone is nothing that went wrong here, and anybody can make it so.
            say = log.debug if request.deadline.cancelled else log.warn if isinstance(fault, Timeout) else log.error
            say(fault.message, request_id=request.id, hint=fault.hint)
            message = "the request took too long" if isinstance(fault, Timeout) else "something that the answer needs is not there"
    if fault.hint and (status < 500 or isinstance(fault, Refused)):
        details["hint"] = fault.hint
    if status == 503 and not any(name == "Retry-After" for name, _ in headers):
        headers = (*headers, ("Retry-After", "1"))
    retryable = status in (429, 503)
    said = envelope(status, "", message, request.id, request.headers.get("accept", ""), details, retryable, headers)
    return Response(status, said.headers + tuple(pair for pair in more if pair[0] != "X-Request-Id"), said.body, route)


def _places(trace: TracebackType | None) -> list[str]:
    """Where a failure went through, outermost first; ``traceback`` would read the source, which may not be there any more."""
    found = ["nowhere"] * (trace is None)
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return found


def recovered(
    make: Callable[[Request], Response | None], request: Request, watch: ServerMetrics, route: Callable[[Request], str]
) -> Response | None:
    """What ``make`` makes of a request; when it raises what nobody foresaw, a 500 that says nothing of it: the log does."""
    try:
        return make(request)
    except Exception as fault:
        watch.recoveries.add()
        places = _places(fault.__traceback__)
        what = type(fault).__name__
        log.error(f"internal error at {places[-1]}: {what}", request_id=request.id, hint="please report this as a fault of eidos")
        for place in places:
            log.debug(place, request_id=request.id)
        log.debug(f"{what}: {fault}", request_id=request.id)
        accept = request.headers.get("accept", "")
        said = envelope(500, "", "something went wrong here; it is logged under the id of this request", request.id, accept)
        return Response(500, said.headers, said.body, route(request))

"""The application: finds the route of a request, asks the rate limiter, and calls the handler.

Knows the order in which a request is looked at; must not know sockets, nor what a response holds. :meth:`App.answer_at_once` answers what
takes no time, most requests, because their representation is cached, in the thread of the event loop; :meth:`App.answer` everything.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import EidosError
from eidos.http_wire.messages import HttpError, Response
from eidos.server.error_responses import PROBLEM, fault_response
from eidos.server.handlers import HandlerCall, Services
from eidos.server.middleware import common_headers, recovered, represent
from eidos.server.negotiation import choose, media_ranges
from eidos.server.parameters import Parameters, parse_parameters, shorten_input
from eidos.server.rate_limiter import RateLimitHeaders, rejection
from eidos.server.representation import RepresentationCache, TargetCache
from eidos.server.routes import DEPRECATED, HTML, ROUTES, VERSIONED, YAML, find_route
from eidos.telemetry.spans import NOOP_TRACER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eidos.http_wire.messages import Request
    from eidos.server.rate_limiter import Decision, RateLimiter
    from eidos.server.recipe_data import RecipeData
    from eidos.server.representation import Headers, Representation
    from eidos.server.request_context import RequestContext
    from eidos.server.request_metrics import ServerMetrics
    from eidos.server.routes import Operation, Route
    from eidos.server.server_settings import Settings
    from eidos.telemetry.spans import Tracer

#: Templates of all routes, each with the methods of its operations, for metrics.
PATHS = {path: tuple(route.operations) for path, route in ROUTES.items()}

#: What the names of versions of the interface begin with, as media types.
_VENDOR = "application/vnd.nvidia.cns."


class App:
    """The application. Create it before the workers are forked: they share what it has read.

    ``static`` are the representations that never change, by name and media type; ``clock`` is monotonic, in seconds; ``is_ready`` tells
    whether new requests should come; ``tracer`` makes spans of requests.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: ServerMetrics,
        rate_limiter: RateLimiter,
        recipe_data: RecipeData,
        static: Mapping[tuple[str, str], Representation],
        clock: Callable[[], float] = time.monotonic,
        is_ready: Callable[[], bool] = lambda: True,
        tracer: Tracer = NOOP_TRACER,
    ) -> None:
        self._metrics, self._rate_limiter, self._clock, self._tracer = metrics, rate_limiter, clock, tracer
        self._rate_limit_headers = RateLimitHeaders(settings, time.time)
        self._targets = TargetCache()
        self.services = Services(recipe_data, metrics, is_ready, settings.max_body, RepresentationCache(), static)
        _import_what_requests_need()

    def answer_at_once(self, context: RequestContext) -> Response | None:
        """The response if it takes next to no time, else None: :meth:`answer` is then called in another thread. Never raises."""
        if self._tracer is NOOP_TRACER:
            return recovered(self._answer_at_once, context, self._metrics, _route_template)
        return self._traced(self._answer_at_once, context)

    def answer(self, context: RequestContext) -> Response:
        """The response. Never raises."""
        with log.Context(request_id=context.request.id):
            response = self._traced(self._answer, context)
        assert response is not None
        return response

    def end_turn(self, now: float) -> float:
        """Give back what was reserved for requests that did not come; when to call this again, infinity if nothing is reserved."""
        return self._rate_limiter.release(now)

    def refuse_body(self, context: RequestContext) -> Response | None:
        """The response to a request with a body that nothing reads, while the client awaits 100 (Continue); None for another."""
        request = context.request
        route = find_route(request.path, request.target)
        operation = _find_operation(route, request.method)
        if operation is None:
            return self.answer_at_once(context)  # 404 or 405
        if operation.documents:
            return None
        fault = HttpError(417, f"{request.method} {operation.path} takes no body", "send the request without a body")
        return fault_response(fault, context, common_headers(context), operation.path)

    def _traced(self, answer: Callable[[RequestContext], Response | None], context: RequestContext) -> Response | None:
        if self._tracer is NOOP_TRACER:
            return recovered(answer, context, self._metrics, _route_template)
        context.start_span(self._tracer)
        response = recovered(answer, context, self._metrics, _route_template)
        if response is not None:
            context.end_span(response)
        return response

    def _answer_at_once(self, context: RequestContext) -> Response | None:
        request = context.request
        headers = request.headers
        if request.method in ("GET", "HEAD") and "if-match" not in headers:
            entry = self._targets.entries.get((request.target, headers.get("accept", "")))
            representation = self.services.cache.get(entry[1]) if entry is not None else None
            if entry is not None and representation is not None:
                decision = self._decide(context)
                if not decision.allowed:
                    return self._reject(context, decision, entry[0])
                self._metrics.cache_hits.increment()
                if "accept-encoding" in headers or "if-none-match" in headers or "traceparent" in headers or context.span.is_recording:
                    own = common_headers(context) + self._rate_limit_headers.of(decision)
                    return represent(representation, request, own, entry[0])
                lines = f"X-Request-Id: {request.id}\r\n{self._rate_limit_headers.lines_of(decision)}"
                return representation.respond(False, lines, entry[0])
        return self._answer(context, at_once=True)

    def _answer(self, context: RequestContext, at_once: bool = False) -> Response | None:
        """The response; None for one that takes work, if it has to be made ``at_once``."""
        request = context.request
        route = find_route(request.path, request.target)
        headers = common_headers(context)
        template = route.path if route else ""
        operation = _find_operation(route, request.method)
        if route is None or route.is_rate_limited:
            decision = self._decide(context)
            if not decision.allowed:
                return self._reject(context, decision, template)
            headers += self._rate_limit_headers.of(decision)
        try:
            if request.method == "OPTIONS":
                return _answer_options(request, route, headers)
            if route is None:
                raise _unknown_path(request)
            if operation is None:
                message = f"{route.path} does not support {shorten_input(request.method[:20])}"
                raise HttpError(405, message, details={"valid": route.allow.split(", ")}, headers=[("Allow", route.allow)])
            if at_once and not operation.takes_no_time:
                return None
            return self._call_handler(context, route, operation, headers)
        except EidosError as fault:
            return fault_response(fault, context, headers, template, self.services.recipe_data.paths)

    def _call_handler(self, context: RequestContext, route: Route, operation: Operation, headers: Headers) -> Response:
        request = context.request
        media_type = _negotiate(request, operation, route)
        # The page reads its address itself, and a link to it may have parameters of others.
        parameters = Parameters() if media_type == HTML else parse_parameters(request.query, operation.parameters)
        result = operation.handler(HandlerCall(context, parameters, media_type, self.services))
        if result.cache_key is not None:
            self.services.cache.put(result.cache_key, result.representation)
            self._targets.put((request.target, request.headers.get("accept", "")), route.path, result.cache_key)
        return represent(result.representation, request, headers, route.path)

    def _decide(self, context: RequestContext) -> Decision:
        """Whether a request is let in: decided once, even if it is looked at twice."""
        decision = context.decision
        if decision is None:
            decision = context.decision = self._rate_limiter.take(context.request.client, self._clock())
            if not decision.allowed:
                self._metrics.rejects.increment()
        return decision

    def _reject(self, context: RequestContext, decision: Decision, route: str) -> Response:
        headers = common_headers(context) + self._rate_limit_headers.of(decision)
        return fault_response(rejection(decision), context, headers, route)


def _import_what_requests_need() -> None:
    """Import now what requests would import later, so that workers share it, and no request waits for it."""
    import difflib  # noqa: F401 - for the import alone

    from eidos import workflow  # noqa: F401 - for the import alone
    from eidos.bundle import engine, node_tuning, tar_archive, zip_archive  # noqa: F401 - for the import alone
    from eidos.diff.documents import harmless_fields
    from eidos.formats import block_yaml, json_reader, json_writer, yaml_reader, yaml_writer  # noqa: F401 - for the import alone
    from eidos.recipe import detection, resolver  # noqa: F401 - for the import alone
    from eidos.redact import secret_names  # noqa: F401 - for the import alone

    harmless_fields()


def _find_operation(route: Route | None, method: str) -> Operation | None:
    return None if route is None else route.operations.get("GET" if method == "HEAD" else method)


def _route_template(request: Request) -> str:
    route = find_route(request.path, request.target)
    return route.path if route else ""


def _answer_options(request: Request, route: Route | None, headers: Headers) -> Response:
    if route is None and request.target != "*":
        raise _unknown_path(request)
    allow = route.allow if route else "GET, HEAD, POST, OPTIONS"
    return Response(200, (("Allow", allow), ("X-API-Version", "v1"), *headers), b"", route.path if route else "")


def _unknown_path(request: Request) -> HttpError:
    from eidos.wording import nearest

    # Decoded it can look like a path that exists: an encoded slash is none.
    path = request.target.partition("?")[0] if request.path in ROUTES else request.path
    match = nearest(path, PATHS)
    return HttpError(
        404,
        f"unknown path {shorten_input(path)}",
        f"did you mean {match}?" if match else "GET / lists all paths",
        details={"valid": list(PATHS), **({"nearest": match} if match else {})},
    )


def _negotiate(request: Request, operation: Operation, route: Route) -> str:
    """The media type of the response. Raises HttpError (406) when the client accepts none that there is, or asks for another version."""
    if not route.is_rate_limited:
        return operation.media_types[0]  # a probe gets its answer, whatever else it accepts
    accept = request.headers.get("accept", "")
    media_type = choose(accept, operation.media_types)
    if media_type is not None:
        return YAML if media_type in DEPRECATED else media_type
    versions = [name for name in media_ranges(accept) if name.startswith(_VENDOR)]
    # A client that accepts a problem and nothing else of ours says how it wants errors, and gets them so.
    lenient = not operation.is_strict or choose(accept, (PROBLEM,)) is not None
    if lenient and (not versions or VERSIONED in versions):
        return operation.media_types[0]
    valid = [media_type for media_type in operation.media_types if media_type not in DEPRECATED]
    none_matches = "no supported media type in Accept"
    message = f"unknown API version {versions[0][:100]}; expected v1" if versions else none_matches
    raise HttpError(406, message, f"accept {', '.join(valid)}", details={"valid": valid, "version": VERSIONED})

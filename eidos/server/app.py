"""Requests to answers: finds the route, takes a token, and lets the row's function make what is not there yet.

Knows the order in which a request is looked at; must not know sockets, nor what an answer says. :meth:`App.quick` answers what costs
nothing (most requests: their answer was made before) in the thread that reads requests, :meth:`App.answer` everything.
"""

from __future__ import annotations

import time

from eidos.errors import EidosError
from eidos.http_wire.messages import Response
from eidos.server import middleware, openapi
from eidos.server import negotiation as accepted
from eidos.server.call import Call
from eidos.server.error_responses import PROBLEM, Refused
from eidos.server.handlers import page, system
from eidos.server.parameters import parameters
from eidos.server.representation import Answers, Shortcuts, make
from eidos.server.request_span import Traced, span_of
from eidos.server.routes import BY_PATH, DEPRECATED, DOCUMENT, HTML, JSON, ROUTES, VERSIONED, YAML, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.http_wire.messages import Request
    from eidos.server.knowledge import Knowledge
    from eidos.server.middleware import Headers
    from eidos.server.rate_limiter import Decision, Limits
    from eidos.server.representation import Answer
    from eidos.server.request_metrics import ServerMetrics
    from eidos.server.routes import Operation, Route
    from eidos.server.server_settings import Settings
    from eidos.telemetry.spans import Tracer

#: Templates of all routes, for metrics.
PATHS = tuple(BY_PATH)


class App:
    """The application. Make it before the workers are forked: what it knows, they share.

    ``clock`` is monotonic, in seconds; ``ready`` tells whether new requests should come; ``knowledge`` is read according to the settings
    when it is not given; ``tracer`` makes spans of requests. Raises what :func:`eidos.server.knowledge.load` raises.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: ServerMetrics,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        ready: Callable[[], bool] = lambda: True,
        knowledge: Knowledge | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        from eidos.server.knowledge import load

        self.settings = settings
        self.metrics = metrics
        self.limits = limits
        self.knowledge = knowledge or load(settings)
        self._clock = clock
        self._ready = ready
        self._traced = Traced(tracer)
        self._limiter = middleware.Limiter(settings, time.time)
        self._answers = Answers()
        self._shortcuts = Shortcuts()
        self._static = self._made_once()
        _load_modules()

    def _made_once(self) -> dict[tuple[str, str], Answer]:
        from eidos import formats

        found: dict[tuple[str, str], Answer] = {}

        def keep(name: str, tree: Any, kinds: tuple[str, ...]) -> None:
            texts = {"yaml": formats.to_yaml(tree), "json": formats.to_json(tree)}
            for kind in kinds:
                text = texts["yaml" if "yaml" in kind else "json"]
                found[name, kind] = make(kind, text.encode(), public=True)

        keep("catalog", self.knowledge.covered(), DOCUMENT)
        keep("openapi", openapi.document(self.knowledge, self.settings.max_body), (JSON, YAML))
        keep("root", system.service(ROUTES), (JSON,))
        found["root", HTML] = page.answer()
        return found

    def quick(self, request: Request) -> Response | None:
        """The answer, when it costs next to nothing; None for what :meth:`answer` should be asked, in another thread. Never raises."""
        traced = self._traced
        if not traced.on:
            return middleware.recovered(self._quick, request, self.metrics, _template)
        traced.begin(request)
        response = middleware.recovered(self._quick, request, self.metrics, _template)
        if response is not None:
            traced.end(request, response)
        return response

    def answer(self, request: Request) -> Response:
        """The answer. Never raises."""
        if self._traced.on:
            self._traced.begin(request)
        response = middleware.recovered(self._whole, request, self.metrics, _template)
        assert response is not None
        if self._traced.on:
            self._traced.end(request, response)
        return response

    def _quick(self, request: Request) -> Response | None:
        if request.method in ("GET", "HEAD"):
            key = self._shortcuts.keys.get((request.target, request.headers.get("accept", "")))
            if key is not None:
                route, inner = key
                answer = self._answers.get(inner)
                if answer is not None:
                    return self._known(request, answer, route)
        return self._look(request, whole=False)

    def _known(self, request: Request, answer: Answer, route: str) -> Response:
        decision = self._take(request)
        if not decision.allowed:
            return self._late(request, decision, route)
        self.metrics.cache_hits.add()
        return middleware.respond(answer, request, middleware.common(request) + self._limiter.headers(decision), route)

    def _whole(self, request: Request) -> Response | None:
        return self._look(request, whole=True)

    def _look(self, request: Request, whole: bool) -> Response | None:
        """The answer; None when it takes work, unless the ``whole`` of it is asked for."""
        route = find(request.path, request.target)
        more = middleware.common(request)
        template = route.path if route else ""
        operation = route.operations.get("GET" if request.method == "HEAD" else request.method) if route else None
        if route is None or route.limited:
            decision = self._take(request)
            if not decision.allowed:
                return self._late(request, decision, template)
            more += self._limiter.headers(decision)
        try:
            if request.method == "OPTIONS":
                return self._options(request, route, more)
            if route is None:
                raise _unknown_path(request)
            if operation is None:
                message = f"{route.path} does not take {request.method[:20]}"
                raise Refused(405, message, details={"valid": route.allow.split(", ")}, headers=[("Allow", route.allow)])
            if not (operation.ready or whole):
                return None
            return self._made(request, route, operation, more)
        except EidosError as fault:
            return middleware.refused(fault, request, more, template, self.knowledge.places)

    def _made(self, request: Request, route: Route, operation: Operation, more: Headers) -> Response:
        kind = _kind(request, operation, route)
        asked = parameters(request.query, operation.parameters)
        call = Call(
            request=request,
            asked=asked,
            kind=kind,
            knowledge=self.knowledge,
            watch=self.metrics,
            ready=self._ready,
            limit=self.settings.max_body,
            known=self._answers.get,
            static=self._static,
            span=span_of(request),
        )
        made = operation.make(call)
        if made.key is not None:
            self._answers.put(made.key, made.answer)
            self._shortcuts.put((request.target, request.headers.get("accept", "")), route.path, made.key)
        return middleware.respond(made.answer, request, more, route.path)

    def _take(self, request: Request) -> Decision:
        """One token for a request, however often it is looked at."""
        decision: Decision | None = request.__dict__.get("decision")
        if decision is None:
            decision = request.__dict__["decision"] = self.limits.take(request.client, self._clock())
            if not decision.allowed:
                self.metrics.rejects.add()
        return decision

    def _late(self, request: Request, decision: Decision, route: str) -> Response:
        more = middleware.common(request) + self._limiter.headers(decision)
        return middleware.refused(middleware.refusal(decision), request, more, route)

    def _options(self, request: Request, route: Route | None, more: Headers) -> Response:
        if route is None and request.target != "*":
            raise _unknown_path(request)
        allow = route.allow if route else "GET, HEAD, POST, OPTIONS"
        return Response(200, (("Allow", allow), ("X-API-Version", "v1"), *more), b"", route.path if route else "")


def _load_modules() -> None:
    """Import now what requests need, so that workers share it, and none of them waits for it. No name is used: loading is all."""
    import difflib  # noqa: F401

    from eidos import workflow  # noqa: F401
    from eidos.bundle import engine, tar_archive, zip_archive  # noqa: F401
    from eidos.formats import block_yaml, json_reader, json_writer, yaml_reader, yaml_writer  # noqa: F401
    from eidos.recipe import detection, resolver  # noqa: F401


def _template(request: Request) -> str:
    route = find(request.path, request.target)
    return route.path if route else ""


def _unknown_path(request: Request) -> Refused:
    from eidos.suggest import nearest

    # Decoded it can look like a path that there is: an encoded slash is none.
    path = request.target.partition("?")[0] if request.path in BY_PATH else request.path
    shown = path if len(path) <= 100 else f"{path[:99]}…"
    valid = list(BY_PATH)
    found = nearest(path, valid)
    return Refused(
        404,
        f"there is no {shown}",
        f"did you mean {found}?" if found else "GET / lists what there is",
        details={"valid": valid, **({"nearest": found} if found else {})},
    )


def _kind(request: Request, operation: Operation, route: Route) -> str:
    """The type of the answer. Raises Refused (406) when the client takes none that there is, or asks for another version."""
    if not route.limited:
        return operation.offers[0]  # whoever asks whether we live is told, whatever else they accept
    accept = request.headers.get("accept", "")
    kind = accepted.choose(accept, operation.offers)
    if kind is not None:
        return YAML if kind in DEPRECATED else kind
    asked = [name for name in accepted.names(accept) if name.startswith("application/vnd.nvidia.cns.")]
    # Who takes a problem and nothing else of ours says how errors are to be told, and gets them told so.
    easy = not operation.strict or accepted.choose(accept, (PROBLEM,)) is not None
    if easy and (not asked or VERSIONED in asked):
        return operation.offers[0]
    valid = [offer for offer in operation.offers if offer not in DEPRECATED]
    nothing = "no type that the request accepts is one of ours"
    message = f"there is no {asked[0][:100]}: the version of this interface is v1" if asked else nothing
    raise Refused(406, message, f"accept {', '.join(valid)}", details={"valid": valid, "version": VERSIONED})

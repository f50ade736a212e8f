"""The route table: one row for each endpoint.

Knows paths, methods, parameters and what each returns, as data that :mod:`eidos.server.openapi` shows and :mod:`eidos.server.app` obeys, so
that the two cannot disagree; must not know how a response is made: the handlers in the rows do.
"""

from __future__ import annotations

from eidos.model.record import Record
from eidos.server.handlers import bundle, check, diff, recipe, system
from eidos.server.parameters import LIST, SWITCH, VERSION, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.server.handlers import HandlerCall, HandlerResult

    Handler = Callable[[HandlerCall], HandlerResult]

JSON, YAML, HTML, TEXT = "application/json", "application/yaml", "text/html", "text/plain"

#: JSON, by the name that also says which version of the interface is meant.
VERSIONED = "application/vnd.nvidia.cns.v1+json"

#: Other names for YAML (RFC 9512, section 2.1).
DEPRECATED = ("application/x-yaml", "text/yaml", "text/x-yaml")

DOCUMENT = (JSON, VERSIONED, YAML, *DEPRECATED)


class Operation(Record):
    """One method of one path.

    ``media_types`` are those of its response, best first; a client that accepts none of them gets the first, or with ``is_strict`` a 406.
    ``takes_no_time`` says that the response is not worth a thread, ``is_public`` that it may be cached by anyone, ``is_rate_limited``
    that a request takes a token. ``documents`` names those that the body may hold, ``schema`` that of the response ("" for none).
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    media_types: tuple[str, ...] = DOCUMENT
    parameters: tuple[Parameter, ...] = ()
    is_strict: bool = False
    takes_no_time: bool = False
    is_public: bool = False
    is_rate_limited: bool = True
    documents: tuple[str, ...] = ()
    schema: str = ""
    tag: str = "recipes"


class Route(Record):
    """One path and its operations by method; HEAD is where GET is."""

    path: str
    operations: dict[str, Operation]

    @property
    def is_rate_limited(self) -> bool:
        """Whether a request takes a token."""
        return any(operation.is_rate_limited for operation in self.operations.values())

    @property
    def allow(self) -> str:
        """The methods, as ``Allow`` lists them."""
        return ", ".join(["GET", "HEAD"] * ("GET" in self.operations) + [name for name in self.operations if name != "GET"] + ["OPTIONS"])


_CONTEXT = Parameter("context", "add the reason to each value", kind=SWITCH, example="true")
_EXPLAIN = Parameter("explain", "add the layers that set each value, and their sources", kind=SWITCH, example="true")
_PURPOSE = (
    Parameter("intent", "what the nodes are used for", example="training"),
    Parameter("platform", "what runs the workloads", example="kubeflow"),
)
_FIELDS = (
    Parameter("os", "operating system of the nodes", example="ubuntu"),
    Parameter("osv", "version of the operating system", kind=VERSION, example="24.04"),
    Parameter("kernel", "kernel version", kind=VERSION, example="6.8"),
    Parameter("service", "Kubernetes service of the cluster", ("env",), example="eks"),
    Parameter("k8s", "Kubernetes version", kind=VERSION, example="1.33"),
    Parameter("gpu", "GPU of the nodes", example="h100"),
    *_PURPOSE,
    Parameter("machine", "type of the nodes, which implies their GPU and service", example="p5.48xlarge"),
)

QUERY = (*_FIELDS, _CONTEXT, _EXPLAIN)

BUNDLERS = Parameter("bundlers", "components to generate, with their dependencies [all of the recipe]", kind=LIST, example="gpu-operator")


_SERVICE = "Name, version and paths of this service; a page for browsers"
_ALIVE, _READY = "Liveness of the process", "Readiness for requests; fails during shutdown"


def _document(path: str, handler: Handler, name: str, summary: str, media_types: tuple[str, ...], **more: Any) -> Operation:
    """An operation about the server itself, whose response never changes."""
    return Operation("GET", path, handler, name, summary, media_types, takes_no_time=True, is_public=True, tag="system", **more)


def _probe(path: str, handler: Handler, name: str, summary: str, media_type: str, **more: Any) -> Operation:
    """An operation that others call every few seconds, whatever clients do."""
    return Operation("GET", path, handler, name, summary, (media_type,), takes_no_time=True, is_rate_limited=False, tag="system", **more)


OPERATIONS = (
    Operation(
        *("GET", "/v1/recipe", recipe.get_recipe, "getRecipe", "The recipe for a query"),
        parameters=QUERY,
        is_strict=True,
        is_public=True,
        schema="Recipe",
    ),
    Operation(
        *("POST", "/v1/recipe", recipe.post_recipe, "postRecipe"),
        "The recipe for a query document, or for the node that a snapshot describes",
        parameters=(*_PURPOSE, _CONTEXT, _EXPLAIN),
        is_strict=True,
        documents=("Query", "Snapshot"),
        schema="Recipe",
    ),
    Operation(
        *("POST", "/v1/bundle", bundle.post_bundle, "postBundle"),
        "The files that deploy a recipe, as an archive; the same recipe gives the same bytes",
        tuple(bundle.MEDIA_TYPES.values()),
        (BUNDLERS, bundle.ARCHIVE),
        documents=("Recipe",),
        tag="bundles",
    ),
    Operation(
        *("POST", "/v1/check", check.post_check, "postCheck"),
        "What is wrong with the node that a snapshot describes, by the recipe for it or by one in the body",
        parameters=_FIELDS,
        is_strict=True,
        documents=("Snapshot", "CheckRequest"),
        schema="CheckReport",
        tag="checks",
    ),
    Operation(
        *("POST", "/v1/diff", diff.post_diff, "postDiff", "What differs between two documents, or changed on a node"),
        parameters=(diff.INCLUDE,),
        is_strict=True,
        documents=("Comparison",),
        schema="Diff",
        tag="checks",
    ),
    Operation(
        *("GET", "/v1/catalog", system.get_catalog, "getCatalog", "The supported GPUs, services and operating systems"),
        is_strict=True,
        takes_no_time=True,
        is_public=True,
        schema="Catalog",
    ),
    _document("/openapi.json", system.get_openapi, "getOpenapiJson", "This document", (JSON,)),
    _document("/openapi.yaml", system.get_openapi, "getOpenapiYaml", "This document", (YAML,)),
    _document("/", system.get_root, "getService", _SERVICE, (JSON, HTML), schema="Service"),
    _probe("/health", system.get_health, "getHealth", _ALIVE, JSON, schema="Health"),
    _probe("/healthz", system.get_health, "getHealthz", _ALIVE, JSON, schema="Health"),
    _probe("/ready", system.get_ready, "getReady", _READY, JSON, schema="Health"),
    _probe("/readyz", system.get_ready, "getReadyz", _READY, JSON, schema="Health"),
    _probe("/metrics", system.get_metrics, "getMetrics", "Metrics in the text format of Prometheus", TEXT),
)

ROUTES = {operation.path: Route(operation.path, {o.method: o for o in OPERATIONS if o.path == operation.path}) for operation in OPERATIONS}


def find_route(path: str, target: str) -> Route | None:
    """The route of a path, which was decoded once from ``target``. An encoded slash is a character of a name, and no name here has one."""
    route = ROUTES.get(path)
    return None if route is not None and "%2f" in target.partition("?")[0].lower() else route

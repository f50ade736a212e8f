"""The route table: one row for each endpoint.

Knows paths, methods, parameters and what each returns, as data that :mod:`eidos.server.openapi` shows and :mod:`eidos.server.app` obeys, so
that the two cannot disagree; must not know how a response is made: the handlers in the rows do.
"""

from __future__ import annotations

from eidos.model.record import Record
from eidos.server.handlers import bundle, recipe, system
from eidos.server.parameters import LIST, SWITCH, VERSION, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.server.handler_call import HandlerCall, HandlerResult

    Handler = Callable[[HandlerCall], HandlerResult]

JSON, YAML, HTML, TEXT = "application/json", "application/yaml", "text/html", "text/plain"

#: JSON, by the name that also says which version of the interface is meant.
VERSIONED = "application/vnd.nvidia.cns.v1+json"

#: Other names for YAML (RFC 9512, section 2.1).
DEPRECATED = ("application/x-yaml", "text/yaml", "text/x-yaml")

DOCUMENT = (JSON, VERSIONED, YAML, *DEPRECATED)


class Operation(Record):
    """What one method of one path does.

    ``media_types`` are those of its response, best first; a client that accepts none of them gets the first, or with ``is_strict`` a 406.
    ``takes_no_time`` says that the response is not worth a thread, ``is_public`` that it may be cached by anyone. ``documents`` names
    those that the body may hold, ``schema`` that of the response ("" for what has none).
    """

    name: str
    summary: str
    handler: Handler
    media_types: tuple[str, ...] = DOCUMENT
    parameters: tuple[Parameter, ...] = ()
    is_strict: bool = False
    takes_no_time: bool = False
    is_public: bool = False
    documents: tuple[str, ...] = ()
    schema: str = ""
    tag: str = "recipes"


class Route(Record):
    """One path and its methods; HEAD is where GET is. A request to one that ``is_rate_limited`` takes a token."""

    path: str
    operations: dict[str, Operation]
    is_rate_limited: bool = True

    @property
    def allow(self) -> str:
        """The methods, as ``Allow`` lists them."""
        return ", ".join(["GET", "HEAD"] * ("GET" in self.operations) + [name for name in self.operations if name != "GET"] + ["OPTIONS"])


_CONTEXT = Parameter("context", "with each value the sentence that says why", kind=SWITCH, example="true")
_INTENT = Parameter("intent", "what for", example="training")

QUERY = (
    Parameter("os", "operating system of the nodes", example="ubuntu"),
    Parameter("osv", "its version", kind=VERSION, example="24.04"),
    Parameter("kernel", "kernel version", kind=VERSION, example="6.8"),
    Parameter("service", "where the cluster runs", ("env",), example="eks"),
    Parameter("k8s", "Kubernetes version", kind=VERSION, example="1.33"),
    Parameter("gpu", "GPU of the nodes", example="h100"),
    _INTENT,
    _CONTEXT,
)

BUNDLERS = Parameter(
    "bundlers", "components to make, with what they depend on; all of the recipe when nothing is said", kind=LIST, example="gpu-operator"
)


def _system(
    name: str, summary: str, handler: Handler, media_type: str = JSON, schema: str = "", is_public: bool = False
) -> dict[str, Operation]:
    return {"GET": Operation(name, summary, handler, (media_type,), takes_no_time=True, is_public=is_public, schema=schema, tag="system")}


_SERVICE = "What this is; for browsers a page"
_ALIVE, _READY = "Whether the process lives", "Whether it takes requests: not any more once it was told to stop"

ROUTES = (
    Route(
        "/v1/recipe",
        {
            "GET": Operation(
                "getRecipe", "The recipe for a query", recipe.get_recipe, parameters=QUERY, is_strict=True, is_public=True, schema="Recipe"
            ),
            "POST": Operation(
                "postRecipe",
                "The recipe for a query document, or for the node that a snapshot describes",
                recipe.post_recipe,
                parameters=(_INTENT, _CONTEXT),
                is_strict=True,
                documents=("Query", "Snapshot"),
                schema="Recipe",
            ),
        },
    ),
    Route(
        "/v1/bundle",
        {
            "POST": Operation(
                "postBundle",
                "What deploys a recipe, as one file; the same recipe gives the same bytes",
                bundle.post_bundle,
                tuple(bundle.MEDIA_TYPES.values()),
                (BUNDLERS, bundle.ARCHIVE),
                documents=("Recipe",),
                tag="bundles",
            )
        },
    ),
    Route(
        "/v1/catalog",
        {
            "GET": Operation(
                "getCatalog", "What is covered", system.get_catalog, is_strict=True, takes_no_time=True, is_public=True, schema="Catalog"
            )
        },
    ),
    Route("/openapi.json", _system("getOpenapiJson", "This document", system.get_openapi, JSON, is_public=True)),
    Route("/openapi.yaml", _system("getOpenapiYaml", "This document", system.get_openapi, YAML, is_public=True)),
    Route(
        "/",
        {
            "GET": Operation(
                "getService",
                _SERVICE,
                system.get_root,
                (JSON, HTML),
                takes_no_time=True,
                is_public=True,
                schema="Service",
                tag="system",
            )
        },
    ),
    Route("/health", _system("getHealth", _ALIVE, system.get_health, schema="Health"), is_rate_limited=False),
    Route("/healthz", _system("getHealthz", _ALIVE, system.get_health, schema="Health"), is_rate_limited=False),
    Route("/ready", _system("getReady", _READY, system.get_ready, schema="Health"), is_rate_limited=False),
    Route("/readyz", _system("getReadyz", _READY, system.get_ready, schema="Health"), is_rate_limited=False),
    Route("/metrics", _system("getMetrics", "Metrics in the text format of Prometheus", system.get_metrics, TEXT), is_rate_limited=False),
)

ROUTE_BY_PATH = {route.path: route for route in ROUTES}


def find_route(path: str, target: str) -> Route | None:
    """The route of a path, which was decoded once from ``target``. An encoded slash is a character of a name, and no name here has one."""
    route = ROUTE_BY_PATH.get(path)
    return None if route is not None and "%2f" in target.partition("?")[0].lower() else route

"""Every endpoint there is: one row each, and which row a request means.

Knows paths, methods, parameters and what each answers, as data that :mod:`eidos.server.openapi` shows and :mod:`eidos.server.app` obeys, so
that the two cannot disagree; must not know how an answer is made: the functions in the rows do.
"""

from __future__ import annotations

from eidos.model.record import Record
from eidos.server.handlers import bundle, recipe, system
from eidos.server.parameters import LIST, SWITCH, VERSION, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.server.call import Call, Made

JSON, YAML, HTML, TEXT = "application/json", "application/yaml", "text/html", "text/plain"

#: JSON, by the name that also says which version of the interface is meant.
VERSIONED = "application/vnd.nvidia.cns.v1+json"

#: Other names for YAML (RFC 9512, section 2.1).
DEPRECATED = ("application/x-yaml", "text/yaml", "text/x-yaml")

DOCUMENT = (JSON, VERSIONED, YAML, *DEPRECATED)


class Operation(Record):
    """What one method of one path does.

    ``offers`` are the types of its answer, best first; with ``strict`` a client that takes none of them is told so, else it gets the first.
    ``ready`` says that answering takes no time worth a thread, ``public`` that the answer may be kept by anybody. ``body`` names the
    documents that it takes, ``answer`` the schema of what it gives ("" for what has none).
    """

    name: str
    summary: str
    make: Callable[[Call], Made]
    offers: tuple[str, ...] = DOCUMENT
    parameters: tuple[Parameter, ...] = ()
    strict: bool = False
    ready: bool = False
    public: bool = False
    body: tuple[str, ...] = ()
    answer: str = ""
    tag: str = "recipes"


class Route(Record):
    """One path and its methods; HEAD is where GET is. A request to one that is ``limited`` takes a token."""

    path: str
    operations: dict[str, Operation]
    limited: bool = True

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
    name: str, summary: str, make: Callable[[Call], Made], kind: str = JSON, answer: str = "", public: bool = False
) -> dict[str, Operation]:
    return {"GET": Operation(name, summary, make, (kind,), ready=True, public=public, answer=answer, tag="system")}


_SERVICE = "What this is; for browsers a page"
_LIVES, _TAKES = "Whether the process lives", "Whether it takes requests: not any more once it was told to stop"

ROUTES = (
    Route(
        "/v1/recipe",
        {
            "GET": Operation(
                "getRecipe", "The recipe for a query", recipe.get, parameters=QUERY, strict=True, public=True, answer="Recipe"
            ),
            "POST": Operation(
                "postRecipe",
                "The recipe for a query document, or for the node that a snapshot describes",
                recipe.post,
                parameters=(_INTENT, _CONTEXT),
                strict=True,
                body=("Query", "Snapshot"),
                answer="Recipe",
            ),
        },
    ),
    Route(
        "/v1/bundle",
        {
            "POST": Operation(
                "postBundle",
                "What deploys a recipe, as one file; the same recipe gives the same bytes",
                bundle.post,
                tuple(bundle.FORMS.values()),
                (BUNDLERS, bundle.ARCHIVE),
                body=("Recipe",),
                tag="bundles",
            )
        },
    ),
    Route(
        "/v1/catalog",
        {"GET": Operation("getCatalog", "What is covered", system.catalog, strict=True, ready=True, public=True, answer="Catalog")},
    ),
    Route("/openapi.json", _system("getOpenapiJson", "This document", system.openapi, JSON, public=True)),
    Route("/openapi.yaml", _system("getOpenapiYaml", "This document", system.openapi, YAML, public=True)),
    Route(
        "/",
        {
            "GET": Operation(
                "getService",
                _SERVICE,
                system.root,
                (JSON, HTML),
                ready=True,
                public=True,
                answer="Service",
                tag="system",
            )
        },
    ),
    Route("/health", _system("getHealth", _LIVES, system.health, answer="Health"), limited=False),
    Route("/healthz", _system("getHealthz", _LIVES, system.health, answer="Health"), limited=False),
    Route("/ready", _system("getReady", _TAKES, system.ready, answer="Health"), limited=False),
    Route("/readyz", _system("getReadyz", _TAKES, system.ready, answer="Health"), limited=False),
    Route("/metrics", _system("getMetrics", "Metrics in the text format of Prometheus", system.metrics, TEXT), limited=False),
)

BY_PATH = {route.path: route for route in ROUTES}


def find(path: str, target: str) -> Route | None:
    """The route of a path, which was decoded once from ``target``. An encoded slash is a character of a name, and no name here has one."""
    route = BY_PATH.get(path)
    return None if route is not None and "%2f" in target.partition("?")[0].lower() else route

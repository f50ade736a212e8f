"""Everything but recipes and bundles: what there is, how the server does, and the page.

Knows which bytes answer; must not know recipes. What never changes is made once, before the server forks.
"""

from __future__ import annotations

from eidos import __version__
from eidos.server import representation
from eidos.server.call import Made
from eidos.server.error_responses import Refused
from eidos.telemetry.metrics import CONTENT_TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from eidos.server.call import Call
    from eidos.server.routes import Route

#: What the service is called.
SERVICE = "eidos-api-server"

HEALTHY = representation.make("application/json", b'{"status": "healthy"}\n', vary="")
READY = representation.make("application/json", b'{"status": "ready"}\n', vary="")


def health(call: Call) -> Made:
    """The process lives, or it would not answer."""
    return Made(HEALTHY)


def ready(call: Call) -> Made:
    """Whether requests should come here: from the first signal to stop on, not any more."""
    if call.ready():
        return Made(READY)
    raise Refused(503, "the server is about to stop and takes no new work", "ask another instance", headers=[("Retry-After", "1")])


def metrics(call: Call) -> Made:
    """The metrics, as they are now."""
    return Made(representation.make(CONTENT_TYPE, call.watch.text().encode(), vary="Accept-Encoding"))


def catalog(call: Call) -> Made:
    """What is covered."""
    return Made(call.static["catalog", call.kind])


def openapi(call: Call) -> Made:
    """The interface, in OpenAPI 3.1."""
    return Made(call.static["openapi", call.kind])


def root(call: Call) -> Made:
    """What this is: for programs a list of routes, for browsers a page."""
    return Made(call.static["root", call.kind])


def service(routes: Iterable[Route]) -> dict[str, Any]:
    """What this is, for programs."""
    listed = [f"{method} {route.path}" for route in routes for method in route.operations]
    return {"service": SERVICE, "version": __version__, "routes": listed}

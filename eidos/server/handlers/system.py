"""Routes about the server itself: liveness, readiness, metrics, and what there is to ask for.

Knows which representation answers; must not know recipes. What never changes was made before the server forked.
"""

from __future__ import annotations

from eidos import log
from eidos.http_wire.messages import HttpError
from eidos.server.handlers import HandlerResult
from eidos.server.representation import make_representation
from eidos.telemetry.metrics import CONTENT_TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.handlers import HandlerCall


def get_health(call: HandlerCall) -> HandlerResult:
    """``/health``: the process is alive, or it would not answer."""
    return _status("healthy")


def get_ready(call: HandlerCall) -> HandlerResult:
    """``/ready``: whether requests should be sent here; from the first stop signal on they should not."""
    if call.services.is_ready():
        return _status("ready")
    raise HttpError(503, "the server is shutting down", "retry on another instance", headers=[("Retry-After", "1")])


def _status(word: str) -> HandlerResult:
    body = f'{{"status": "{word}", "timestamp": "{log.utc_timestamp()}"}}\n'
    return HandlerResult(make_representation("application/json", body.encode(), vary=""))


def get_metrics(call: HandlerCall) -> HandlerResult:
    """``/metrics``: the metrics as they are now."""
    return HandlerResult(make_representation(CONTENT_TYPE, call.services.metrics.text().encode(), vary="Accept-Encoding"))


def get_catalog(call: HandlerCall) -> HandlerResult:
    """``/v1/catalog``: what recipes cover."""
    return HandlerResult(call.services.static["catalog", call.media_type])


def get_openapi(call: HandlerCall) -> HandlerResult:
    """``/openapi.json``, ``/openapi.yaml``: the interface."""
    return HandlerResult(call.services.static["openapi", call.media_type])


def get_root(call: HandlerCall) -> HandlerResult:
    """``/``: for programs a list of routes, for browsers a page."""
    return HandlerResult(call.services.static["root", call.media_type])

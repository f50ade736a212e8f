"""What a handler gets and what it returns. The functions that answer requests are in the modules here, one a subject.

Knows the parts of a call; must not know any handler, nor sockets.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from eidos.server.parameters import Parameters
    from eidos.server.recipe_data import RecipeData
    from eidos.server.representation import Representation, RepresentationCache
    from eidos.server.request_context import RequestContext
    from eidos.server.request_metrics import ServerMetrics


class Services(Record):
    """What all handlers use: made once, before the workers are forked.

    ``is_ready`` tells whether new requests should come; ``max_body`` is in bytes; ``static`` are representations that never change, by
    name and media type; ``cache`` has those that were made before.
    """

    recipe_data: RecipeData
    metrics: ServerMetrics
    is_ready: Callable[[], bool]
    max_body: int
    cache: RepresentationCache
    static: Mapping[tuple[str, str], Representation]


class HandlerCall(Record):
    """One request, parsed: ``media_type`` is that of the response which the client likes best of those there are."""

    context: RequestContext
    parameters: Parameters
    media_type: str
    services: Services


class HandlerResult(Record):
    """A representation, and the key under which it may be cached for the same request; None for what is made anew each time."""

    representation: Representation
    cache_key: Hashable = None

"""What a handler is given, and what it gives.

Knows the parts; must not know any handler.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from eidos.http_wire.messages import Request
    from eidos.server.knowledge import Knowledge
    from eidos.server.parameters import Asked
    from eidos.server.representation import Answer
    from eidos.server.request_metrics import ServerMetrics
    from eidos.telemetry.spans import Span


class Call(Record):
    """One request, taken apart. ``kind`` is the type of answer that the client likes best of those there are.

    ``known`` looks for an answer among those that were made before. ``static`` are those that never change, by name and type. ``span`` is
    the request's own, for parts of it.
    """

    request: Request
    asked: Asked
    kind: str
    knowledge: Knowledge
    watch: ServerMetrics
    ready: Callable[[], bool]
    limit: int
    known: Callable[[Hashable], Answer | None]
    static: Mapping[tuple[str, str], Answer]
    span: Span


class Made(Record):
    """An answer, and the key under which it may be kept for whoever asks the same; None for what is made anew each time."""

    answer: Answer
    key: Hashable = None

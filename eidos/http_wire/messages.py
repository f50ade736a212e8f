"""What passes between the transport and the application: a request, its answer, and how long the work may take.

Knows the parts of a message and nothing of how they came or go; must not know sockets, routes or limits. ``listener`` makes
requests and writes answers, ``app`` makes answers of requests: each can be tested without the other.
"""

from __future__ import annotations

import time

from eidos.errors import Timeout
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Deadline:
    """How long the work for one request may take: until ``at`` on ``clock`` (monotonic seconds), or until it is ``cancel``-led.

    Long work calls :meth:`check` between its steps; whoever no longer wants the answer calls :meth:`cancel`, from any thread.
    """

    __slots__ = ("_cancelled", "_clock", "at")

    def __init__(self, at: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.at = at
        self._clock = clock
        self._cancelled = False

    def cancel(self) -> None:
        """Make the next :meth:`check` fail: the client is gone, or the server leaves."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether the answer is not wanted any more although there would be time."""
        return self._cancelled and self._clock() < self.at

    @property
    def over(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled or self._clock() >= self.at

    def check(self) -> None:
        """Raise Timeout when nobody waits for the answer any more."""
        if self.over:
            raise Timeout("the client is gone" if self.cancelled else "the request took too long")


class Request(Record):
    """One request, its body read whole.

    ``target`` is the request target as it came, ``path`` its path percent-decoded once, ``query`` the raw text behind ``?``.
    ``headers`` have names in lower case; of repeated ones the values are joined by ``", "`` (RFC 9110, section 5.3). ``client`` is the
    address that limits count, ``peer`` that of the connection. ``id`` is the request's UUID.
    """

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: str
    peer: str
    id: str
    deadline: Deadline


class Response(Record):
    """One answer. ``route`` is the template of the route that made it, for metrics and logs; ``""`` when there is none.

    ``headers`` do not hold ``Date``, ``Connection``, ``Content-Length`` or ``Server``: the transport writes these.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    route: str = ""

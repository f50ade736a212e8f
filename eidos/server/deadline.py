"""The time at which a request ends, and how its work finds out.

Knows a point in time and a flag; must not know requests, threads or sockets. Two things happen at a deadline: the connection answers
503 (``transport/connection.py``), and the work, which no one can stop from outside, stops itself at its next :meth:`Deadline.check`.
"""

from __future__ import annotations

import time

from eidos.errors import Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """How long the work for one request may take: until ``at`` on ``clock`` (monotonic seconds), or until it is cancelled.

    Long work calls :meth:`check` between its steps; whoever no longer wants the answer calls :meth:`cancel`, from any thread.
    """

    __slots__ = ("_cancelled", "_clock", "at")

    def __init__(self, at: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.at = at
        self._clock = clock
        self._cancelled = False

    def cancel(self) -> None:
        """Make the next :meth:`check` fail: the client disconnected, or the server shuts down."""
        self._cancelled = True

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled although time was left."""
        return self._cancelled and self._clock() < self.at

    @property
    def is_over(self) -> bool:
        """Whether it has passed or was cancelled: the answer is not wanted any more."""
        return self._cancelled or self._clock() >= self.at

    def check(self) -> None:
        """Raise Timeout if the answer is not wanted any more."""
        if self.is_over:
            raise Timeout("the client disconnected" if self.is_cancelled else "the request took too long")

"""When the next cycle begins.

Knows intervals and how long a wait may be at a time; must not know what a cycle does. Cycles begin at multiples of the interval after the
first one, so they do not drift; one that takes longer than the interval costs the beginnings that it covers, so none overlap.

>>> schedule = Schedule(60.0, 1000.0)
>>> schedule.next_start(1010.0), schedule.next_start(1200.5), schedule.skipped
((1060.0, 0), (1240.0, 2), 2)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Schedule:
    """The beginnings of cycles: each ``interval_s`` seconds from ``start`` on (a time of ``time.monotonic``).

    ``skipped`` is how many were passed over, because the cycle before was not over.
    """

    def __init__(self, interval_s: float, start: float) -> None:
        self._interval_s = interval_s
        self._start = start
        self._number = 0
        self.skipped = 0

    def next_start(self, now: float) -> tuple[float, int]:
        """When the next cycle begins, not before ``now``, and how many beginnings that passes over."""
        number = self._number + 1
        due = self._start + number * self._interval_s
        if due < now:
            # A beginning that is now or later: rounding must not give one of the past.
            number = int((now - self._start) // self._interval_s) + 1
            due = max(self._start + number * self._interval_s, now)
        skipped = number - self._number - 1
        self._number = number
        self.skipped += skipped
        return due, skipped


def wait_until(
    due: float, clock: Callable[[], float], sleep: Callable[[float], object], between: Callable[[], object], slice_s: float
) -> None:
    """Wait until ``due`` on ``clock``, and call ``between`` each ``slice_s`` seconds meanwhile."""
    while (left := due - clock()) > 0:
        sleep(min(left, slice_s))
        between()

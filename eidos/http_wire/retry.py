"""Trying again: how long to wait, how often, and when to stop asking at all.

Knows back-off, jitter, ``Retry-After`` (RFC 9110, section 10.2.3), pace and circuit; must not know what is tried. Clock, sleep and
chance are arguments, so a test needs no time.

Three things keep a server that is in trouble from getting more of it. A *back-off* spreads the attempts of one call; a *pace* spreads
the calls of one client after it was told that they are too many; a *circuit* that has seen enough failures in a row stays open for a
while, and no call is made at all.

>>> waits = Backoff().waits(random=lambda: 0.5)
>>> [round(next(waits), 3) for _ in range(4)]
[0.15, 0.25, 0.45, 0.85]
"""

from __future__ import annotations

from eidos.errors import EidosError, Timeout, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

#: Seconds: the longest that anybody is waited for, whatever a server says.
LONGEST_WAIT = 60.0


class Failed(Exception):
    """An attempt failed because of the other side: ``fault`` is the failure, ``after`` the seconds that it asked to wait.

    ``again`` says that the next attempt may not fail, ``limited`` that this one did because there were too many.
    """

    def __init__(self, fault: EidosError, after: float | None = None, limited: bool = False, again: bool = True) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.after = after
        self.limited = limited
        self.again = again


class CircuitOpen(Unavailable):
    """Too many failures in a row: nothing was asked."""


class Backoff(Record):
    """``base`` seconds, doubled for each attempt, and up to ``jitter`` more; ``retries`` attempts after the first."""

    base: float = 0.1
    jitter: float = 0.1
    retries: int = 3

    def waits(self, random: Callable[[], float]) -> Iterator[float]:
        """The time before each further attempt, in seconds; never more than :data:`LONGEST_WAIT`. ``random`` gives numbers from 0 to 1."""
        wait = self.base
        while True:
            yield min(LONGEST_WAIT, wait + random() * self.jitter)
            wait = min(LONGEST_WAIT, wait * 2)


class Circuit:
    """Opens after ``threshold`` failures in a row, for ``rest`` seconds; then one attempt decides.

    >>> now = 0.0
    >>> circuit = Circuit("192.0.2.1", clock=lambda: now)
    >>> [circuit.failed() for _ in range(5)]
    [False, False, False, False, True]
    >>> circuit.check()
    Traceback (most recent call last):
    eidos.http_wire.retry.CircuitOpen: 192.0.2.1 failed 5 times in a row, and is not asked again for 30 s
    >>> now = 30.0
    >>> circuit.check()
    """

    def __init__(self, name: str, clock: Callable[[], float], threshold: int = 5, rest: float = 30.0) -> None:
        self.name = name
        self.threshold = threshold
        self.rest = rest
        self.failures = 0
        self._clock = clock
        self._closes_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is to be asked now."""
        return self._closes_at is not None and self._clock() < self._closes_at

    def check(self) -> None:
        """Raise CircuitOpen when it is open."""
        if self._closes_at is None:
            return
        left = self._closes_at - self._clock()
        if left > 0:
            message = f"{self.name} failed {self.failures} times in a row, and is not asked again for {_seconds(left)}"
            raise CircuitOpen(message, "see whether the service is up, then try again")

    def failed(self) -> bool:
        """Count a failure; whether the circuit opened with it."""
        self.failures += 1
        if self.failures < self.threshold:
            return False
        was_open = self.is_open
        self._closes_at = self._clock() + self.rest
        return not was_open

    def worked(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self._closes_at = None


class Pace:
    """The least time between two calls: nothing, until somebody says that they are too many; then it doubles, and slowly goes back.

    ``first`` and ``most`` are seconds. A call that goes through takes ``ease`` of the time away.
    """

    def __init__(self, clock: Callable[[], float], first: float = 0.1, most: float = 10.0, ease: float = 0.8) -> None:
        self.interval = 0.0
        self._clock = clock
        self._first, self._most, self._ease = first, most, ease
        self._last: float | None = None

    def wait(self) -> float:
        """Seconds until the next call may begin."""
        if self._last is None or not self.interval:
            return 0.0
        return max(0.0, self._last + self.interval - self._clock())

    def began(self) -> None:
        """A call begins."""
        self._last = self._clock()

    def limited(self) -> None:
        """They were too many."""
        self.interval = min(self._most, max(self._first, self.interval * 2))

    def worked(self) -> None:
        """One went through."""
        self.interval = self.interval * self._ease if self.interval * self._ease >= self._first else 0.0


def call(
    attempt: Callable[[], T],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    random: Callable[[], float],
    deadline: float,
    backoff: Backoff = Backoff(),  # noqa: B008 - a record is frozen
    circuit: Circuit | None = None,
    pace: Pace | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> T:
    """What ``attempt`` gives; when it raises :class:`Failed`, after a while it is called again.

    ``deadline`` is on ``clock``: no wait goes beyond it. When no attempt is left, or the time does not suffice for the wait, the failure of
    the last one is raised. An open ``circuit`` raises CircuitOpen before anything is asked, and ends the attempts; ``say`` hears that
    it opened, and of each wait. Any other EidosError passes: the other side answered, so the circuit counts no failure.
    """
    waits = backoff.waits(random)
    for left in range(backoff.retries, -1, -1):
        if circuit is not None:
            circuit.check()
        if pace is not None:
            wait = pace.wait()
            if wait:
                if clock() + wait >= deadline:
                    raise Timeout("the deadline would pass before the next request may go", "give it more time with --timeout")
                sleep(wait)
            pace.began()
        try:
            result = attempt()
        except Failed as failure:
            opened = circuit.failed() if circuit is not None else False
            if failure.limited and pace is not None:
                pace.limited()
            if opened and circuit is not None:
                say(f"{circuit.name} failed {circuit.failures} times in a row, and is not asked again for {_seconds(circuit.rest)}")
            wait = max(next(waits), failure.after or 0.0)
            # Waiting less than was asked for would be one more request that is too many.
            if not left or opened or not failure.again or wait > LONGEST_WAIT or clock() + wait >= deadline:
                raise failure.fault from failure
            say(f"{failure.fault.message}; trying again in {_seconds(wait)}")
            sleep(wait)
        except EidosError:
            if circuit is not None:
                circuit.worked()
            raise
        else:
            if circuit is not None:
                circuit.worked()
            if pace is not None:
                pace.worked()
            return result
    raise AssertionError("the last attempt returned or raised")


def retry_after(text: str | None, now: float) -> float | None:
    """The seconds that a ``Retry-After`` asks for, a number or a date; None when it says neither. ``now`` is in seconds since 1970.

    >>> retry_after("120", 0.0), retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470.0), retry_after("soon", 0.0)
    (120.0, 10.0, None)
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    if not text or len(text) > 40:
        return None
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, then - now)


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"

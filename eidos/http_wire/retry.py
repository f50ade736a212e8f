"""Retries: exponential back-off, rate adaptation and a circuit breaker.

Knows back-off, jitter, ``Retry-After`` (RFC 9110, section 10.2.3) and when to stop; must not know what is retried. Clock, sleep and
random numbers can be passed, so that a test takes no time.

Three mechanisms take load off a server in trouble. A *back-off* spaces the attempts of one call. A *pacer* spaces the calls of a client
after the server has rejected one as too many. A *circuit breaker* opens after several failures in a row, and for a while no call is made.

>>> delays = Backoff().delays(random=lambda: 0.5)
>>> [round(next(delays), 3) for _ in range(4)]
[0.15, 0.25, 0.45, 0.85]
"""

from __future__ import annotations

import time

from eidos.errors import EidosError, Timeout, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

#: Seconds before a retry, at most, whatever a server asks for.
MAX_DELAY_S = 60.0


class AttemptFailed(Exception):
    """An attempt failed, by the server's fault: ``fault`` is the error, ``retry_after_s`` the delay that the server asked for."""

    def __init__(
        self, fault: EidosError, retry_after_s: float | None = None, is_rate_limited: bool = False, is_retryable: bool = True
    ) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.retry_after_s = retry_after_s
        self.is_rate_limited = is_rate_limited
        self.is_retryable = is_retryable


class CircuitOpen(Unavailable):
    """No request was made, after too many failures in a row."""


class Backoff(Record):
    """Exponential back-off: ``base_s``, doubled for each attempt, and up to ``jitter_s`` more; ``retries`` attempts after the first."""

    base_s: float = 0.1
    jitter_s: float = 0.1
    retries: int = 3

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """Seconds before each retry, at most :data:`MAX_DELAY_S`. ``random`` returns numbers from 0 to 1."""
        wait = self.base_s
        while True:
            yield min(MAX_DELAY_S, wait + random() * self.jitter_s)
            wait = min(MAX_DELAY_S, wait * 2)


class CircuitBreaker:
    """Opens after ``threshold`` failures in a row, for ``open_s``; then one attempt decides whether it closes.

    >>> now = 0.0
    >>> circuit = CircuitBreaker("192.0.2.1", clock=lambda: now)
    >>> [circuit.record_failure() for _ in range(5)]
    [False, False, False, False, True]
    >>> circuit.check()
    Traceback (most recent call last):
    eidos.http_wire.retry.CircuitOpen: 192.0.2.1 failed 5 times in a row; next attempt in 30 s
    >>> now = 30.0
    >>> circuit.check()
    """

    def __init__(self, name: str, clock: Callable[[], float], threshold: int = 5, open_s: float = 30.0) -> None:
        self.name = name
        self.threshold = threshold
        self.open_s = open_s
        self.failures = 0
        self._clock = clock
        self._closes_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether no request may be made now."""
        return self._closes_at is not None and self._clock() < self._closes_at

    def check(self) -> None:
        """Raise CircuitOpen when it is open."""
        if self._closes_at is None:
            return
        left = self._closes_at - self._clock()
        if left > 0:
            raise CircuitOpen(self.message(left), "check that the service is up, then retry")

    def message(self, seconds: float) -> str:
        """Why it is open, and that it will be for ``seconds``."""
        return f"{self.name} failed {self.failures} times in a row; next attempt in {_format_seconds(seconds)}"

    def record_failure(self) -> bool:
        """Count a failure; whether it opened the circuit."""
        self.failures += 1
        if self.failures < self.threshold:
            return False
        was_open = self.is_open
        self._closes_at = self._clock() + self.open_s
        return not was_open

    def record_success(self) -> None:
        """Reset the count of failures."""
        self.failures = 0
        self._closes_at = None


class Pacer:
    """Spaces calls, by an interval that adapts to the server's rate limit.

    There is none until a call is rate-limited. Each that is doubles it, from ``min_s`` up to ``max_s``; each that succeeds multiplies it by
    ``decay``, and below ``min_s`` it is dropped.
    """

    def __init__(self, clock: Callable[[], float], min_s: float = 0.1, max_s: float = 10.0, decay: float = 0.8) -> None:
        self.interval_s = 0.0
        self._clock = clock
        self._min_s, self._max_s, self._decay = min_s, max_s, decay
        self._last_start: float | None = None

    def delay(self) -> float:
        """Seconds until the next call may start."""
        if self._last_start is None or not self.interval_s:
            return 0.0
        return max(0.0, self._last_start + self.interval_s - self._clock())

    def record_start(self) -> None:
        """Note that a call starts now."""
        self._last_start = self._clock()

    def slow_down(self) -> None:
        """Lengthen the interval, after a call was rate-limited."""
        self.interval_s = min(self._max_s, max(self._min_s, self.interval_s * 2))

    def speed_up(self) -> None:
        """Shorten the interval, after a call succeeded."""
        self.interval_s = self.interval_s * self._decay if self.interval_s * self._decay >= self._min_s else 0.0


def _random_number() -> float:
    from random import random

    return random()  # noqa: S311 - jitter


def call_with_retry(
    attempt: Callable[[], T],
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    random: Callable[[], float] = _random_number,
    backoff: Backoff = Backoff(),  # noqa: B008 - a record is frozen
    circuit: CircuitBreaker | None = None,
    pacer: Pacer | None = None,
    report: Callable[[str], object] = lambda _: None,
) -> T:
    """The result of ``attempt``, which is called again when it raises :class:`AttemptFailed`.

    ``deadline`` is a time of ``clock``. When no retry is left, or the deadline would pass before it, the error of the last attempt is
    raised. An open ``circuit`` raises CircuitOpen before any attempt, and one that opens ends them. ``report`` gets a message about each
    retry, and when the circuit opens. Any other EidosError propagates, and counts as a success of the circuit: the server responded.
    """
    delays = backoff.delays(random)
    for retries_left in range(backoff.retries, -1, -1):
        if circuit is not None:
            circuit.check()
        if pacer is not None:
            wait = pacer.delay()
            if wait:
                if clock() + wait >= deadline:
                    raise Timeout("the deadline would pass before the next request is allowed", "raise --timeout")
                sleep(wait)
            pacer.record_start()
        try:
            result = attempt()
        except AttemptFailed as failure:
            opened = circuit.record_failure() if circuit is not None else False
            if failure.is_rate_limited and pacer is not None:
                pacer.slow_down()
            if opened and circuit is not None:
                report(circuit.message(circuit.open_s))
            wait = max(next(delays), failure.retry_after_s or 0.0)
            # A retry before the time that the server asked for would be rejected, too.
            if not retries_left or opened or not failure.is_retryable or wait > MAX_DELAY_S or clock() + wait >= deadline:
                raise failure.fault from failure
            report(f"{failure.fault.message}; retrying in {_format_seconds(wait)}")
            sleep(wait)
        except EidosError:
            if circuit is not None:
                circuit.record_success()
            raise
        else:
            if circuit is not None:
                circuit.record_success()
            if pacer is not None:
                pacer.speed_up()
            return result
    raise AssertionError("the last attempt returned or raised")


def delay_hint(delay_s: float | None) -> str | None:
    """What to do about a delay that a server asks for, when it is longer than :data:`MAX_DELAY_S`.

    >>> delay_hint(3600.0), delay_hint(5.0)
    ('run the command again in 3,600 s, as the server asks', None)
    """
    return f"run the command again in {delay_s:,.0f} s, as the server asks" if delay_s is not None and delay_s > MAX_DELAY_S else None


def parse_retry_after(text: str | None, now: float) -> float | None:
    """The delay in seconds that a ``Retry-After`` (a number or a date) asks for; None when it is neither. ``now`` is seconds since 1970.

    >>> parse_retry_after("120", 0.0), parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470.0), parse_retry_after("soon", 0.0)
    (120.0, 10.0, None)
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    then = parse_http_date(text)
    return None if then is None else max(0.0, then - now)


def parse_http_date(text: str) -> float | None:
    """A date of a header (RFC 9110, section 5.6.7) in seconds since 1970; None when it is none.

    >>> parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT"), parse_http_date("soon")
    (1445412480.0, None)
    """
    if not text or len(text) > 40:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _format_seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"

"""Laws of asking again: how long, how often, and when not at all. No time passes here: clock, sleep and chance are arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eidos.errors import EidosError, InvalidInput, RateLimited, Timeout, Unavailable
from eidos.http_wire.retry import (
    MAX_DELAY_S,
    AttemptFailed,
    Backoff,
    CircuitBreaker,
    CircuitOpen,
    Pacer,
    call_with_retry,
    parse_retry_after,
)

#: What an attempt does: works, fails, is told that there are too many, fails for good, or is told that it asked wrongly.
WORKS, FAILS, LIMITED, FOR_GOOD, WRONG = "works", "fails", "limited", "for good", "wrong"

outcomes = st.sampled_from((WORKS, FAILS, LIMITED, FOR_GOOD, WRONG))
afters = st.none() | st.floats(0, 120)
chances = st.floats(0, 1)


class World:
    """A clock that only sleep moves, and a server that does what a list says."""

    def __init__(self, script: list[tuple[str, float | None]], chance: float = 0.5) -> None:
        self.now = 1000.0
        self.script = script
        self.chance = chance
        self.attempts: list[tuple[float, str, float | None]] = []
        self.slept: list[float] = []
        self.messages: list[str] = []

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds

    def attempt(self) -> str:
        kind, after = self.script[len(self.attempts)] if len(self.attempts) < len(self.script) else (WORKS, None)
        self.attempts.append((self.now, kind, after))
        if kind == WORKS:
            return "the answer"
        if kind == WRONG:
            raise InvalidInput("that is no GPU")
        fault: EidosError = RateLimited("too many") if kind == LIMITED else Unavailable("in trouble")
        raise AttemptFailed(fault, after, kind == LIMITED, kind != FOR_GOOD)

    def call(self, deadline: float = 1e9, **more: Any) -> str:
        return call_with_retry(
            self.attempt,
            clock=lambda: self.now,
            sleep=self.sleep,
            random=lambda: self.chance,
            deadline=self.now + deadline,
            report=self.messages.append,
            **more,
        )


def ended(work: Callable[[], object]) -> object:
    """What it gives or raises."""
    try:
        return work()
    except EidosError as fault:
        return fault


@given(chances, st.integers(0, 12))
def test_each_wait_is_twice_the_one_before_and_a_little_chance(chance: float, n: int) -> None:
    waits = Backoff().delays(lambda: chance)
    wait = [next(waits) for _ in range(n + 1)][n]
    assert wait == pytest.approx(min(MAX_DELAY_S, 0.1 * 2**n + 0.1 * chance))


@given(st.lists(st.tuples(outcomes, afters), max_size=8), chances, st.floats(0.001, 300))
def test_a_call_ends_in_time_and_never_retries_sooner_than_requested(
    script: list[tuple[str, float | None]], chance: float, deadline: float
) -> None:
    world = World(script, chance)
    end = world.now + deadline
    result = ended(lambda: world.call(deadline))
    assert 1 <= len(world.attempts) <= 4
    assert world.now < end or not world.slept
    for n, ((at, kind, after), (then, *_)) in enumerate(zip(world.attempts, world.attempts[1:])):
        assert kind in (FAILS, LIMITED)
        assert then - at >= max(0.1 * 2**n, after or 0.0) - 1e-6
        assert then - at <= max(0.1 * 2**n + 0.1, after or 0.0) + 1e-6
    last = world.attempts[-1][1]
    kinds = {WORKS: str, FAILS: Unavailable, LIMITED: RateLimited, FOR_GOOD: Unavailable, WRONG: InvalidInput}
    assert isinstance(result, kinds[last])


@given(chances, st.floats(0, 1000), st.floats(0, 1000))
def test_no_wait_is_longer_than_a_minute(chance: float, base: float, jitter: float) -> None:
    waits = Backoff(base_s=base, jitter_s=jitter).delays(lambda: chance)
    assert next(waits) == pytest.approx(min(60, base + chance * jitter))
    assert max(next(waits) for _ in range(20)) <= 60


@pytest.mark.parametrize(("after", "slept"), [(60.0, [60.0]), (60.5, [])])
def test_who_asks_for_more_than_a_minute_is_not_waited_for(after: float, slept: list[float]) -> None:
    world = World([(LIMITED, after)])
    assert isinstance(ended(world.call), RateLimited) is (not slept)
    assert world.slept == slept


@given(st.lists(outcomes, min_size=1, max_size=60))
def test_a_circuit_opens_with_the_fifth_failure_in_a_row_and_not_before(kinds: list[str]) -> None:
    world = World([(kind, None) for kind in kinds])
    circuit = CircuitBreaker("192.0.2.1", lambda: world.now)
    for _ in range(len(kinds)):
        was_open = circuit.is_open
        before = len(world.attempts)
        result = ended(lambda: world.call(circuit=circuit))
        assert isinstance(result, CircuitOpen) is was_open
        if was_open:
            assert len(world.attempts) == before, "nothing was asked"
            world.now += circuit.open_s
    row = 0
    opened = 0
    for _, kind, _ in world.attempts:
        row = 0 if kind in (WORKS, WRONG) else row + 1
        opened += row >= 5
    assert len([message for message in world.messages if "times in a row" in message]) == opened


@given(st.integers(1, 30))
def test_a_circuit_that_is_open_lets_one_attempt_through_after_its_rest(extra: int) -> None:
    now = 0.0
    circuit = CircuitBreaker("192.0.2.1", lambda: now)
    for _ in range(4 + extra):
        circuit.record_failure()
    assert circuit.is_open
    now += 29.999
    with pytest.raises(CircuitOpen, match="failed"):
        circuit.check()
    now += 0.001
    circuit.check()
    assert circuit.record_failure(), "one failure is enough now"
    assert circuit.is_open
    now += 30
    circuit.record_success()
    assert not circuit.record_failure()


@given(st.lists(st.booleans(), max_size=50))
def test_a_pace_is_bounded_grows_with_each_limit_and_goes_back_to_nothing(limits: list[bool]) -> None:
    now = 0.0
    pacer = Pacer(lambda: now)
    for limited in limits:
        before = pacer.interval_s
        if limited:
            pacer.slow_down()
            assert pacer.interval_s >= min(10.0, max(0.1, before * 2)) - 1e-9
        else:
            pacer.speed_up()
            assert pacer.interval_s <= before
        assert pacer.interval_s == 0 or 0.1 <= pacer.interval_s <= 10
    for _ in range(25):
        pacer.speed_up()
    assert pacer.interval_s == 0


def test_a_pace_in_numbers() -> None:
    pacer = Pacer(lambda: 0.0)
    intervals = []
    for step in (*[pacer.slow_down] * 8, *[pacer.speed_up] * 2):
        step()
        intervals.append(pacer.interval_s)
    assert intervals == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 8.0, 6.4])


@pytest.mark.parametrize(("after", "delay"), [(0.25, "250 ms"), (0.999, "999 ms"), (1.0, "1 s"), (12.34, "12.3 s")])
def test_each_retry_is_reported_with_its_delay(after: float, delay: str) -> None:
    world = World([(LIMITED, after)])
    assert world.call() == "the answer"
    assert world.messages == [f"too many; retrying in {delay}"]


@pytest.mark.parametrize("seconds", [0.99, 1.0, 1.01])
def test_no_retry_begins_at_the_deadline_or_after_it(seconds: float) -> None:
    world = World([(LIMITED, 1.0)])
    result = ended(lambda: world.call(seconds))
    assert isinstance(result, RateLimited) is (seconds <= 1.0)
    assert len(world.attempts) == 1 + (seconds > 1.0)


@pytest.mark.parametrize("seconds", [0.09, 0.1, 0.11])
def test_a_pace_that_leads_past_the_deadline_ends_at_once(seconds: float) -> None:
    world = World([])
    pacer = Pacer(lambda: world.now)
    pacer.slow_down()
    pacer.record_start()
    result = ended(lambda: world.call(seconds, pacer=pacer))
    assert isinstance(result, Timeout) is (seconds <= 0.1)
    assert world.slept == ([] if seconds <= 0.1 else pytest.approx([0.1]))


@given(st.lists(outcomes, min_size=2, max_size=20))
def test_a_limited_client_leaves_its_pace_between_calls(kinds: list[str]) -> None:
    world = World([(kind, None) for kind in kinds])
    pacer = Pacer(lambda: world.now)
    while len(world.attempts) < len(kinds):
        interval, before = pacer.interval_s, len(world.attempts)
        ended(lambda: world.call(pacer=pacer))
        if before:
            assert world.attempts[before][0] - world.attempts[before - 1][0] >= interval - 1e-6


@given(st.integers(0, 10**9 - 1), st.floats(0, 2e9))
def test_retry_after_in_seconds_and_as_a_date(seconds: int, now: float) -> None:
    from email.utils import formatdate

    assert parse_retry_after(f" {seconds} ", now) == seconds
    assume(now + seconds < 4e9)
    then = parse_retry_after(formatdate(now + seconds, usegmt=True), now)
    assert then is not None
    assert abs(then - seconds) <= 1


@given(st.text(max_size=50))
def test_retry_after_takes_any_text(text: str) -> None:
    seconds = parse_retry_after(text, 0.0)
    assert seconds is None or seconds >= 0

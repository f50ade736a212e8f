"""Laws of the token bucket, whatever the clock does."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.server.rate_limiter import LEASE_S, RateLimiter, TokenBucket
from eidos.server.server_settings import Settings

# Eighths are exact in binary, so the laws can be, too.
rates = st.integers(1, 80).map(lambda eighths: eighths / 8)
bursts = st.integers(1, 20)
#: Steps of the clock in seconds; it may stand, leap and go backwards.
steps = st.lists(st.integers(-80, 80).map(lambda eighths: eighths / 8), max_size=60)


def times(moves: list[float], start: float = 100.0) -> list[float]:
    observed = []
    for move in moves:
        start += move
        observed.append(start)
    return observed


@given(rates, bursts, steps)
def test_no_span_lets_more_through_than_burst_and_rate(rate: float, burst: int, moves: list[float]) -> None:
    bucket = TokenBucket(rate, burst)
    highest: list[float] = []
    allowed: list[bool] = []
    for now in times(moves):
        highest.append(max(now, highest[-1] if highest else now))
        allowed.append(bucket.take(now).allowed)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            assert sum(allowed[first : last + 1]) <= burst + rate * (highest[last] - highest[first]) + 1e-9


@given(rates, bursts, steps)
def test_a_decision_agrees_with_itself(rate: float, burst: int, moves: list[float]) -> None:
    bucket = TokenBucket(rate, burst)
    for now in times(moves):
        before = bucket.refill(now)
        decision = bucket.take(now)
        assert 0 <= bucket.tokens <= burst
        assert decision.allowed == (before >= 1)
        assert decision.limit == burst
        assert decision.remaining == math.floor(bucket.tokens)
        assert decision.reset == (burst - bucket.tokens) / rate
        assert (decision.retry_after == 0) == decision.allowed
        assert before - bucket.tokens == decision.allowed


@given(rates, bursts, steps)
def test_retry_after_is_exact(rate: float, burst: int, moves: list[float]) -> None:
    bucket = TokenBucket(rate, burst)
    latest = 0.0
    for now in times(moves):
        latest = max(latest, now)
        decision = bucket.take(now)
        if not decision.allowed:
            again = TokenBucket(rate, burst)
            again.tokens, again.stamp = bucket.tokens, bucket.stamp
            assert not again.take(latest + decision.retry_after * 0.99 - 1e-9).allowed
            assert again.take(latest + decision.retry_after + 1e-9).allowed


@given(rates, bursts, steps)
def test_time_that_goes_backwards_gives_nothing_and_takes_nothing(rate: float, burst: int, moves: list[float]) -> None:
    """A clock that only reaches its highest times gives the same decisions."""
    wild, tame = TokenBucket(rate, burst), TokenBucket(rate, burst)
    highest = 0.0
    for now in times(moves):
        highest = max(highest, now)
        assert wild.take(now) == tame.take(highest)


@given(rates, bursts, st.floats(0, 1e6))
def test_a_bucket_left_alone_is_full_after_reset(rate: float, burst: int, start: float) -> None:
    bucket = TokenBucket(rate, burst)
    while bucket.take(start).allowed:
        pass
    decision = bucket.decision(False)
    assert bucket.refill(start + decision.reset + 1e-6) == pytest.approx(burst)


@given(rates, bursts, st.integers(1, 25))
def test_several_tokens_come_together_or_not_at_all(rate: float, burst: int, n: int) -> None:
    bucket = TokenBucket(rate, burst)
    if n > burst:
        with pytest.raises(ValueError, match="never has"):
            bucket.take(0.0, n)
        return
    taken = 0
    while bucket.take(0.0, n).allowed:
        taken += n
    assert taken == burst // n * n
    assert bucket.tokens == burst - taken


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (math.nan, 1), (math.inf, 1)])
def test_what_is_no_bucket_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="needs a rate"):
        TokenBucket(rate, burst)


@given(rates, bursts, rates, bursts, st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 16)), max_size=60))
def test_shared_limits_decide_as_buckets_do(rate: float, burst: int, own_rate: float, own: int, requests: list[tuple[str, int]]) -> None:
    limits = RateLimiter(Settings(rate=rate, burst=burst, client_rate=own_rate, client_burst=own), 1)
    shared, clients = TokenBucket(rate, burst), {name: TokenBucket(own_rate, own) for name in "abc"}
    now = 100.0
    for name, eighths in requests:
        now += eighths / 8
        decision = limits.take(name, now)
        both = (shared, clients[name])
        allowed = all([bucket.refill(now) >= 1 for bucket in both])  # noqa: C419 - both are filled
        for bucket in both:
            bucket.tokens -= allowed
        assert decision.allowed == allowed
        assert limits.tokens() == shared.tokens
        assert limits.tokens(now + 0.5) == min(shared.burst, shared.tokens + shared.rate / 2)
        assert decision.remaining == min(math.floor(bucket.tokens) for bucket in both)


#: Turns of two workers: which one, how many requests it expects, who asks in it, eighths of a second until the next one.
turns = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 12), st.lists(st.sampled_from("abc"), max_size=8), st.integers(0, 8)), max_size=20
)


@given(rates, st.integers(1, 200), rates, st.integers(1, 60), turns)
def test_leased_tokens_are_those_of_the_buckets(
    rate: float, burst: int, own_rate: float, own: int, sequence: list[tuple[int, int, list[str], int]]
) -> None:
    """Whatever is leased and given back: each decision, and what is left after each turn, is that of plain buckets."""
    workers = two_workers(Settings(rate=rate, burst=burst, client_rate=own_rate, client_burst=own))
    shared, clients = TokenBucket(rate, burst), {name: TokenBucket(own_rate, own) for name in "abc"}
    now = 100.0
    for worker, expected, requests, eighths in sequence:
        limits = workers[worker]
        now += eighths / 8
        limits.begin_turn(expected)
        for name in requests:
            decision = limits.take(name, now)
            both = (shared, clients[name])
            allowed = all([bucket.refill(now) >= 1 for bucket in both])  # noqa: C419 - both are filled
            for bucket in both:
                bucket.tokens -= allowed
            assert decision.allowed == allowed
            assert decision.remaining == min(math.floor(bucket.tokens) for bucket in both) or len(set(requests)) > 1
        limits.end_turn()
        assert workers[0].tokens() == workers[1].tokens() == pytest.approx(shared.tokens)


@given(
    rates,
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 10), st.integers(0, 8)), max_size=30),
)
def test_no_span_lets_more_through_however_turns_interleave(rate: float, burst: int, steps: list[tuple[int, int, int, int]]) -> None:
    """Both workers hold leases at a time, for as long as a lease lasts, and longer."""
    workers = two_workers(Settings(rate=rate, burst=burst, client_rate=0.0))
    admitted: list[float] = []
    now = 100.0
    for worker, expected, count, sixteenths in steps:
        limits = workers[worker]
        if expected:
            limits.begin_turn(expected)
        admitted += [now for _ in range(count) if limits.take("a", now).allowed]
        if not expected % 3:
            limits.end_turn()
        now += sixteenths / 16
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - admitted[first] + LEASE_S) + 1e-9
    for limits in workers:
        limits.end_turn()
    assert 0 <= workers[0].tokens() <= burst


def two_workers(settings: Settings) -> tuple[RateLimiter, RateLimiter]:
    """As after a fork: the memory is shared, all else is not."""
    first = RateLimiter(settings, 2)
    second = copy.copy(first)
    second._leases = {}
    second._global, second._per_client = copy.copy(first._global), copy.copy(first._per_client)
    return first, second


def test_a_lease_of_a_turn_that_takes_long_is_given_back() -> None:
    limits = RateLimiter(Settings(rate=1e-9, burst=80, client_rate=0.0), 1)
    limits.begin_turn(10)
    assert [limits.take("a", now).remaining for now in (1.0, 1.0, 1.0625)] == [79, 78, 77]
    assert limits.tokens() == 70
    limits.begin_turn(1)
    assert limits.take("a", 1.25).remaining == 76
    assert limits.tokens() == pytest.approx(76)


def test_scarce_tokens_are_not_leased() -> None:
    """One worker holds none that another needs."""
    first, second = two_workers(Settings(rate=1e-9, burst=15, client_rate=0.0))
    first.begin_turn(100)
    second.begin_turn(100)
    assert sum(limits.take("a", 1.0).allowed for _ in range(10) for limits in (first, second)) == 15


def test_a_client_that_keeps_coming_is_remembered_and_one_that_stays_away_makes_room() -> None:
    limits = RateLimiter(Settings(rate=0.0, client_rate=1e-9, client_burst=1), 1)
    now, regular, away = 100.0, "192.0.2.1", [f"198.51.100.{number}" for number in range(20)]
    for client in (regular, *away):
        assert limits.take(client, now).allowed
        assert not limits.take(client, now).allowed
    for number in range(20_000):  # more than twice as many as are remembered
        now += 1
        assert limits.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", now).allowed
        if number % 100 == 0:
            assert not limits.take(regular, now).allowed
    assert sum(limits.take(client, now).allowed for client in away) > 15, "which set a client falls into is chance"

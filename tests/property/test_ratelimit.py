"""Laws of the token bucket, whatever the clock does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.server.rate_limiter import RateLimiter, TokenBucket
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

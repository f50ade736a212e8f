"""Laws of the token bucket, whatever the clock does."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.http_wire.messages import format_headers
from eidos.server.rate_limiter import CLIENT, DEFAULT, LEASE_S, Decision, RateLimiter, RateLimitHeaders, TokenBucket, rejection
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


@given(rates, bursts, st.integers(0, 25))
def test_several_tokens_come_together_or_not_at_all(rate: float, burst: int, n: int) -> None:
    bucket = TokenBucket(rate, burst)
    if not 1 <= n <= burst:
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
        limits.release(math.inf)
        assert limits.tokens() == shared.tokens
        assert limits.tokens(now + 0.5) == min(shared.burst, shared.tokens + shared.rate / 2)
        assert decision.remaining == min(math.floor(bucket.tokens) for bucket in both)


#: What two workers do: which one, who asks (several times), whether it gives back what is over, eighths of LEASE_S until the next.
steps_of_workers = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.integers(0, 12), st.booleans(), st.integers(0, 24)), max_size=15
)


@given(rates, st.integers(1, 300), rates, st.integers(1, 300), steps_of_workers)
def test_leases_are_paid_for(rate: float, burst: int, own_rate: float, own: int, sequence: list[tuple[int, str, int, bool, int]]) -> None:
    """At any time what buckets and leases hold is what plain buckets hold that know only what was let in, or less: no token is made."""
    workers = two_workers(Settings(rate=rate, burst=burst, client_rate=own_rate, client_burst=own))
    shared, clients = TokenBucket(rate, burst), {name: TokenBucket(own_rate, own) for name in "abc"}
    now, refused = 100.0, 0
    for worker, name, count, gives_back, eighths in sequence:
        for _ in range(count):
            decision = workers[worker].take(name, now)
            leased_at = workers[worker]._leases[name].time if decision.allowed else now
            assert now - LEASE_S <= leased_at <= now
            both = (shared, clients[name])
            plain = all([bucket.refill(now) >= 1 - 1e-6 for bucket in both])  # noqa: C419 - both are filled
            assert plain or not decision.allowed or leased_at < now
            for bucket in both:
                bucket.tokens -= decision.allowed
            refused += not decision.allowed
        if gives_back:
            workers[worker].release(now)
        now += eighths / 8 * LEASE_S
    for limits in workers:
        assert limits.release(math.inf) == math.inf
    assert workers[0].tokens() == workers[1].tokens()
    shared.refill(workers[0]._memory[1])
    assert workers[0].tokens() <= burst
    if not refused:
        assert workers[0].tokens() == pytest.approx(shared.tokens, abs=1.0)


def test_what_a_client_leased_and_did_not_use_is_its_own_again() -> None:
    limits, plain = RateLimiter(Settings(rate=0.0, client_rate=1.0, client_burst=100), 1), TokenBucket(1.0, 100)
    for now in (*[100.0] * 10, 100.0 + 2 * LEASE_S):
        assert limits.take("192.0.2.1", now).remaining == plain.take(now).remaining
    assert limits.take("192.0.2.2", now).remaining == 99


@given(rates, st.integers(1, 300), steps_of_workers)
def test_no_span_lets_more_through_than_its_limit_whoever_leases(
    rate: float, burst: int, sequence: list[tuple[int, str, int, bool, int]]
) -> None:
    """Admitted requests count at the time of their lease, which is at most LEASE_S earlier."""
    workers = two_workers(Settings(rate=rate, burst=burst, client_rate=0.0))
    admitted: list[float] = []
    now = 100.0
    for worker, name, count, gives_back, eighths in sequence:
        for _ in range(count):
            if workers[worker].take(name, now).allowed:
                admitted.append(workers[worker]._leases[name].time)
                assert now - admitted[-1] <= LEASE_S
        if gives_back:
            workers[worker].release(now)
        now += eighths / 8 * LEASE_S
    admitted.sort()
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - admitted[first]) + 1e-6


@given(st.booleans(), bursts, st.floats(0, 1e6), st.sampled_from([DEFAULT, CLIENT]))
def test_formatted_headers_are_the_headers(unlimited: bool, remaining: int, reset: float, policy: str) -> None:
    headers = RateLimitHeaders(Settings(), lambda: 1e9)
    decision = Decision(True, 0 if unlimited else 20, remaining, reset, 0.0, policy)
    assert headers.lines_of(decision) == format_headers(headers.of(decision))


@pytest.mark.parametrize(("policy", "whose"), [(CLIENT, "this client"), (DEFAULT, "all clients together")])
def test_a_refusal_names_whose_limit_it_is_and_the_seconds_to_wait(policy: str, whose: str) -> None:
    fault = rejection(Decision(False, 3, 0, 4.0, 1.2, policy))
    assert (fault.message, fault.hint) == (f"too many requests: {whose} may send at most 3 at once", "try again in 2 s")
    assert fault.headers == (("Retry-After", "2"),)


def two_workers(settings: Settings) -> tuple[RateLimiter, RateLimiter]:
    """As after a fork: the memory is shared, all else is not."""
    first = RateLimiter(settings, 2)
    second = copy.copy(first)
    second._leases, second._usual = {}, {}
    second._global, second._per_client = copy.copy(first._global), copy.copy(first._per_client)
    return first, second


def test_a_lease_grows_while_there_are_plenty_and_the_rest_is_returned() -> None:
    first, second = two_workers(Settings(rate=1e-9, burst=1000, client_rate=0.0))
    assert [first.take("a", 1.0).remaining for _ in range(10)] == list(range(999, 989, -1))
    assert (first.tokens(), second.tokens()) == (990, 985), "1, 2, 4 and 8 were leased"
    assert first.release(1.0) == 1.0 + LEASE_S
    assert first.release(1.0 + 2 * LEASE_S) == math.inf
    assert first.tokens() == second.tokens() == pytest.approx(990)
    assert first.take("a", 2.0).remaining == 989
    assert second.tokens() == pytest.approx(987), "as many are leased as were used of the last lease"


def test_scarce_tokens_are_not_leased() -> None:
    """No worker holds what another needs."""
    first, second = two_workers(Settings(rate=1e-9, burst=15, client_rate=0.0))
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

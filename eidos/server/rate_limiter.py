"""The rate limiter: which requests are let in, which get 429, and the headers that tell clients how many they may send.

Knows rates, bursts and the clock that it is given; must not know routes or sockets. A bucket holds at most ``burst`` tokens and gains
``rate`` of them a second; a request takes one, or learns when there will be one. Over any span of t seconds at most ``burst + rate * t``
are let in, whatever the clock does: time that goes backwards adds nothing, and what was added is not added again.

:class:`RateLimiter` has its buckets in memory that forked workers share, so the limits hold for the sum of them.
"""

from __future__ import annotations

import math
from time import monotonic

from eidos.http_wire.messages import HttpError
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.server.server_settings import Settings

    Headers = tuple[tuple[str, str], ...]

DEFAULT, CLIENT = "default", "client"

#: Clients that are remembered, in sets of :data:`WAYS`; the one that came longest ago makes room, whose bucket is nearly full again then.
SETS, WAYS = 2048, 4

#: Doubles of one client: a keyed hash of its address, its tokens, and the time at which they were counted.
WIDTH = 3

#: Seconds for which tokens are leased.
LEASE_S = 0.01

#: A lease is at most this part of what each worker would get if all of them took as much.
LEASE_SHARE = 4

#: Clients whose usual lease is remembered.
USUAL_CLIENTS = 256

#: Seconds to wait for the lock before a decision is made without it: a worker that was stopped while it held it must not stop the others.
LOCK_TIMEOUT_S = 0.05


class Decision(Record):
    """Whether a request is let in. ``limit`` is the burst of the bucket that decided, 0 when nothing limits.

    ``remaining`` tokens are left; it is full again in ``reset`` seconds; a refused request may try again in ``retry_after`` seconds.
    ``policy`` is ``default`` for the bucket of all clients, ``client`` for that of one.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float
    policy: str = DEFAULT

    def __init__(self, allowed: bool, limit: int, remaining: int, reset: float, retry_after: float, policy: str = DEFAULT) -> None:
        # As the base does it, in a third of its time: there is one for each request.
        self.__dict__.update(allowed=allowed, limit=limit, remaining=remaining, reset=reset, retry_after=retry_after, policy=policy)


UNLIMITED = Decision(True, 0, 0, 0.0, 0.0)


class TokenBucket:
    """One bucket, full at first. ``rate`` in tokens a second, more than 0; ``burst`` in tokens, at least 1; else ValueError.

    >>> bucket = TokenBucket(rate=1, burst=2)
    >>> [bucket.take(now=0.0).allowed for _ in range(3)], bucket.take(now=0.25).retry_after, bucket.take(now=1.0).allowed
    ([True, True, False], 0.75, True)
    """

    __slots__ = ("burst", "policy", "rate", "stamp", "tokens")

    def __init__(self, rate: float, burst: int, policy: str = DEFAULT) -> None:
        if not (rate > 0 and burst >= 1 and math.isfinite(rate)):
            raise ValueError("a bucket needs a rate above 0 and a burst of at least 1")
        self.rate = float(rate)
        self.burst = burst
        self.policy = policy
        self.tokens = float(burst)
        self.stamp = -math.inf

    def refill(self, now: float) -> float:
        """Add what was gained until ``now`` (monotonic seconds) and return the tokens."""
        if now > self.stamp:
            self.tokens = min(float(self.burst), self.tokens + (now - self.stamp) * self.rate)
            self.stamp = now
        return self.tokens

    def take(self, now: float, n: int = 1) -> Decision:
        """Take ``n`` tokens, at most ``burst``, or none of them; ValueError for another ``n``."""
        if not 1 <= n <= self.burst:
            raise ValueError(f"a bucket of {self.burst} never has {n}")
        self.refill(now)
        allowed = self.tokens >= n
        if allowed:
            self.tokens -= n
        return self.decision(allowed, n)

    def decision(self, allowed: bool, n: int = 1) -> Decision:
        """The decision, with the state of the bucket."""
        tokens, rate = self.tokens, self.rate
        wait = 0.0 if allowed else (n - tokens) / rate
        return Decision(allowed, self.burst, int(tokens), (self.burst - tokens) / rate, wait, self.policy)


class Lease:
    """``count`` tokens that were taken ahead for one client, at ``time``, of which ``left`` are not used.

    They come from the bucket of all clients and from that at ``slot``, of the client with this ``key``; ``policy``, ``burst``, ``rate`` and
    ``tokens`` are those of the stricter one, once all of these were taken.
    """

    __slots__ = ("burst", "count", "key", "left", "policy", "rate", "slot", "time", "tokens")

    def __init__(self, count: int, time: float, slot: int, key: float, bucket: TokenBucket) -> None:
        self.count = self.left = count
        self.time, self.slot, self.key = time, slot, key
        self.policy, self.burst, self.rate, self.tokens = bucket.policy, bucket.burst, bucket.rate, bucket.tokens

    def take(self) -> Decision:
        """Use one; the decision is that of a bucket from which nothing was taken ahead."""
        self.left = left = self.left - 1
        tokens = self.tokens + left
        return Decision(True, self.burst, int(tokens), (self.burst - tokens) / self.rate, 0.0, self.policy)


class RateLimiter:
    """The bucket of all clients and those of each, shared by this process and all that it forks afterwards.

    A request that either rejects takes from neither. Create it before the fork; ``workers`` is how many will share it.

    The lock costs more than all the rest, so a process leases tokens for a client that sends one request after the other: as many as it
    used of the last lease, then twice as many each time, while there are plenty. After :data:`LEASE_S` what is not used is given back, by
    the next request or :meth:`release`, which leaves the buckets as if it had never been taken. A leased token counts as taken when it
    was leased: so dated, what all workers together let in stays within the limits.
    """

    def __init__(self, settings: Settings, workers: int) -> None:
        import fcntl
        import mmap
        import os
        import threading

        self.workers = workers
        self._global = TokenBucket(settings.rate, settings.burst) if settings.rate else None
        self._per_client = TokenBucket(settings.client_rate, settings.client_burst, CLIENT) if settings.client_rate else None
        doubles = 2 + (SETS * WAYS * WIDTH if self._per_client else 0)
        self._memory = memoryview(mmap.mmap(-1, doubles * 8)).cast("d")
        self._memory[0] = float(settings.burst)
        self._memory[1] = -math.inf
        self._key = os.urandom(16)
        # Record locks belong to a process, and the kernel drops them when it dies; threads of one process need a lock besides.
        self._lock = os.memfd_create("eidos-limits") if hasattr(os, "memfd_create") else _unnamed_file()
        self._lockf, self._exclusive, self._unlock = fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN
        self._threads = threading.Lock()
        self._leases: dict[str, Lease] = {}  # of this process, the oldest first
        self._has_rest = False  # of any of them, as far as is known
        self._usual: dict[str, int] = {}  # what clients used of their last lease
        self._yield = os.sched_yield

    def take(self, client: str, now: float) -> Decision:
        """Let a request of the address ``client`` in, or not; of two decisions the stricter. ``now`` is ``time.monotonic()``."""
        if self._global is None and self._per_client is None:
            return UNLIMITED
        with self._threads:
            lease = self._leases.get(client)
            if lease is not None and lease.left and now - lease.time <= LEASE_S:
                return lease.take()
            locked = self._acquire()
            try:
                self._give_back(now)
                lease = self._leases.pop(client, None)
                return self._take(client, now, self._usual.get(client, 1) if lease is None else 2 * lease.count)
            finally:
                if locked:
                    self._lockf(self._lock, self._unlock)

    def release(self, now: float) -> float:
        """Give back what was leased too long ago; when to do so again, infinity if nothing is leased."""
        for lease in self._leases.values():
            if now - lease.time > LEASE_S:
                break
            return lease.time + LEASE_S if self._has_rest else math.inf
        else:
            return math.inf
        with self._threads:
            locked = self._acquire()
            try:
                self._give_back(now)
            finally:
                if locked:
                    self._lockf(self._lock, self._unlock)
        return now + LEASE_S if self._has_rest else math.inf

    def _give_back(self, now: float) -> None:
        """Give back the leases that are over; called with the lock, and before the buckets are filled."""
        memory, shared, own, leases = self._memory, self._global, self._per_client, self._leases
        while leases:
            client, lease = next(iter(leases.items()))
            if now - lease.time <= LEASE_S:
                break
            del leases[client]
            slot, left = lease.slot, lease.left
            if lease.count > 1:
                self._usual[client] = max(1, lease.count - left)
            if shared is not None:
                memory[0] = min(float(shared.burst), memory[0] + left)
            if own is not None and memory[slot - 1] == lease.key:  # another client may have its place by now
                memory[slot] = min(float(own.burst), memory[slot] + left)
        self._has_rest = any(lease.left for lease in leases.values())
        if len(self._usual) > USUAL_CLIENTS:
            self._usual.clear()

    def _take(self, client: str, now: float, count: int) -> Decision:
        """The decision for one request, and a lease of at most ``count`` tokens."""
        memory, shared, own = self._memory, self._global, self._per_client
        buckets = []
        slot, key = 0, 0.0
        if shared is not None:
            shared.tokens, shared.stamp = memory[0], memory[1]
            shared.refill(now)
            buckets.append((0, shared))
        if own is not None:
            at = self._load(client, own, now)
            slot, key = at + 1, memory[at]
            own.refill(now)
            buckets.append((slot, own))
        strictest = min(buckets, key=_tokens)[1]
        allowed = strictest.tokens >= 1
        count = max(1, min(count, int(strictest.tokens) // (LEASE_SHARE * self.workers)))
        for at, bucket in buckets:
            if allowed:
                bucket.tokens -= count
            memory[at], memory[at + 1] = bucket.tokens, bucket.stamp
        if not allowed:
            return max((bucket.decision(bucket.tokens >= 1) for _, bucket in buckets), key=lambda decision: decision.retry_after)
        lease = self._leases[client] = Lease(count, now, slot, key, strictest)
        self._has_rest |= count > 1
        return lease.take()

    def tokens(self, now: float = -math.inf) -> float:
        """Tokens for all clients at ``now``, or as many as the last request left; infinite when nothing limits."""
        shared = self._global
        if shared is None:
            return math.inf
        tokens, stamp = self._memory[0] + sum(lease.left for lease in list(self._leases.values())), self._memory[1]
        return min(float(shared.burst), tokens + (now - stamp) * shared.rate) if now > stamp else tokens

    def _acquire(self) -> bool:
        until = 0.0
        while True:
            try:
                self._lockf(self._lock, self._exclusive)
            except OSError:
                now = monotonic()
                until = until or now + LOCK_TIMEOUT_S
                if now > until:
                    return False
                self._yield()
            else:
                return True

    def _load(self, client: str, bucket: TokenBucket, now: float) -> int:
        """Load the bucket of a client, and return its index; the oldest of its set makes room for one that is not there."""
        import hashlib

        digest = hashlib.blake2b(counted_address(client).encode("utf-8", "replace"), digest_size=8, key=self._key).digest()
        key = float(int.from_bytes(digest, "little") >> 11) + 1.0  # 53 bits are exact in a double; 0 is a free one
        first = int.from_bytes(digest[:2], "little") % SETS * WAYS * WIDTH + 2
        memory = self._memory
        indices = range(first, first + WAYS * WIDTH, WIDTH)
        for at in indices:
            if memory[at] == key:
                bucket.tokens, bucket.stamp = memory[at + 1], memory[at + 2]
                return at
        at = min(indices, key=lambda at: memory[at + 2] if memory[at] else -math.inf)
        memory[at] = key
        bucket.tokens, bucket.stamp = float(bucket.burst), now
        return at


class RateLimitHeaders:
    """The headers that tell a client of a decision.

    ``X-RateLimit-*`` as GitHub and others have it (the reset in seconds since 1970), and ``RateLimit`` with ``RateLimit-Policy`` of
    draft-ietf-httpapi-ratelimit-headers-11: ``q`` is the quota, ``w`` the seconds in which all of it comes back, ``r`` what is left,
    ``t`` the seconds until all of it is there; when none is left, those until one is: Retry-After is not to be sooner (section 6).
    ``wall_clock`` is in seconds since 1970.
    """

    def __init__(self, settings: Settings, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._policies: dict[str, tuple[str, str]] = {}
        rates = ((DEFAULT, settings.rate, settings.burst), (CLIENT, settings.client_rate, settings.client_burst))
        for policy, rate, burst in rates:
            if rate > 0:
                self._policies[policy] = ("RateLimit-Policy", f'"{policy}";q={burst};w={max(1, math.ceil(burst / rate))}')

    def lines_of(self, decision: Decision) -> str:
        """The headers of a response to a request that was let in, formatted."""
        policy = self._policies.get(decision.policy)
        if not decision.limit or policy is None:
            return ""
        reset, remaining = math.ceil(decision.reset), decision.remaining
        return (
            f"X-RateLimit-Limit: {decision.limit}\r\nX-RateLimit-Remaining: {remaining}\r\n"
            f"X-RateLimit-Reset: {math.ceil(self._wall_clock()) + reset}\r\n{policy[0]}: {policy[1]}\r\n"
            f'RateLimit: "{decision.policy}";r={remaining};t={reset}\r\n'
        )

    def of(self, decision: Decision) -> Headers:
        """The headers of a response to a request that was let in, or not; none when nothing limits."""
        policy = self._policies.get(decision.policy)
        if not decision.limit or policy is None:
            return ()
        reset = math.ceil(decision.reset)
        return (
            ("X-RateLimit-Limit", str(decision.limit)),
            ("X-RateLimit-Remaining", str(decision.remaining)),
            ("X-RateLimit-Reset", str(math.ceil(self._wall_clock()) + reset)),
            policy,
            ("RateLimit", f'"{decision.policy}";r={decision.remaining};t={reset if decision.allowed else _retry_after(decision)}'),
        )


def _tokens(entry: tuple[int, TokenBucket]) -> float:
    return entry[1].tokens


def rejection(decision: Decision) -> HttpError:
    """The 429 for a request that came too soon."""
    seconds = _retry_after(decision)
    whose = "this client" if decision.policy == CLIENT else "all clients together"
    message = f"too many requests: {whose} may send at most {decision.limit} at once"
    details = {"limit": decision.limit, "policy": decision.policy, "retryAfter": seconds}
    return HttpError(429, message, f"try again in {seconds} s", details=details, headers=[("Retry-After", str(seconds))])


def _retry_after(decision: Decision) -> int:
    """The whole seconds after which a rejected request may be sent again."""
    return max(1, math.ceil(decision.retry_after))


def counted_address(client: str) -> str:
    """What counts as one client: an IPv4 address, or of an IPv6 address its network of 64 bits, which is one site's (RFC 6177).

    >>> counted_address("192.0.2.1"), counted_address("2001:db8:0:1:ffff::1"), counted_address("::ffff:192.0.2.1")
    ('192.0.2.1', '2001:db8:0:1::/64', '192.0.2.1')
    """
    if ":" not in client:
        return client
    import socket

    try:
        packed = socket.inet_pton(socket.AF_INET6, client.partition("%")[0])
    except (OSError, ValueError):
        return client
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + b"\0" * 8) + "/64"


def _unnamed_file() -> int:
    import os
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

"""How many requests may come: token buckets, and one set of them for all workers.

Knows rates, bursts and the clock that it is given; must not know HTTP. A bucket holds at most ``burst`` tokens and gains ``rate`` of
them a second; a request takes one, or is told when there will be one. Over any span of t seconds at most ``burst + rate * t`` are
let through, whatever the clock does: time that goes backwards adds nothing, and what was added is not added again.

:class:`Limits` keeps its buckets in memory that forked workers share, so the limits hold for the sum of them.
"""

from __future__ import annotations

import math
from time import monotonic

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.server_settings import Settings

DEFAULT, CLIENT = "default", "client"

#: Clients that are remembered, in sets of :data:`WAYS`; whoever came longest ago makes room, and would find a full bucket then, or nearly.
SETS, WAYS = 2048, 4

#: Doubles of one client: who (64 bits of a keyed hash), tokens, the time that they were counted.
WIDTH = 3

#: Seconds to wait for the lock before a decision is made without it: a worker that was stopped while it held it must not stop the others.
PATIENCE = 0.05


class Decision(Record):
    """Whether a request may come in. ``limit`` is the burst of the bucket that said so, 0 when nothing limits.

    ``remaining`` tokens are left; it is full again in ``reset`` seconds; a refused request may try again in ``retry_after`` seconds.
    ``policy`` is ``default`` for the bucket of everybody, ``client`` for that of one client.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float
    policy: str = DEFAULT


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
        """What is to be said of the bucket as it is."""
        tokens, rate = self.tokens, self.rate
        wait = 0.0 if allowed else (n - tokens) / rate
        return Decision(allowed, self.burst, int(tokens), (self.burst - tokens) / rate, wait, self.policy)


class Limits:
    """The bucket of everybody and those of clients, shared by this process and all that it forks afterwards.

    A request that either refuses takes from neither. Make it before the fork; ``workers`` is how many will share it.
    """

    def __init__(self, settings: Settings, workers: int) -> None:
        import fcntl
        import mmap
        import os
        import threading

        self.workers = workers
        self._all = TokenBucket(settings.rate, settings.burst) if settings.rate else None
        self._one = TokenBucket(settings.client_rate, settings.client_burst, CLIENT) if settings.client_rate else None
        doubles = 2 + (SETS * WAYS * WIDTH if self._one else 0)
        self._memory = memoryview(mmap.mmap(-1, doubles * 8)).cast("d")
        self._memory[0] = float(settings.burst)
        self._memory[1] = -math.inf
        self._key = os.urandom(16)
        # Record locks belong to a process, and the kernel drops them when it dies; threads of one process need a lock besides.
        self._lock = os.memfd_create("eidos-limits") if hasattr(os, "memfd_create") else _unnamed_file()
        self._lockf, self._exclusive, self._unlock = fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN
        self._threads = threading.Lock()
        self._yield = os.sched_yield

    def take(self, client: str, now: float) -> Decision:
        """Let a request of the address ``client`` in, or not; of two answers the stricter. ``now`` is ``time.monotonic()``."""
        everybody, one = self._all, self._one
        if everybody is None and one is None:
            return UNLIMITED
        with self._threads:
            locked = self._acquire()
            try:
                if one is None and everybody is not None:
                    memory = self._memory
                    everybody.tokens, everybody.stamp = memory[0], memory[1]
                    decision = everybody.take(now)
                    memory[0], memory[1] = everybody.tokens, everybody.stamp
                    return decision
                said = []
                if everybody is not None:
                    everybody.tokens, everybody.stamp = self._memory[0], self._memory[1]
                    everybody.refill(now)
                    said.append((0, everybody))
                if one is not None:
                    at = self._find(client, one, now)
                    one.refill(now)
                    said.append((at + 1, one))
                allowed = all(bucket.tokens >= 1 for _, bucket in said)
                decisions = []
                for at, bucket in said:
                    own = allowed or bucket.tokens >= 1
                    if allowed:
                        bucket.tokens -= 1
                    self._memory[at], self._memory[at + 1] = bucket.tokens, bucket.stamp
                    decisions.append(bucket.decision(own))
            finally:
                if locked:
                    self._lockf(self._lock, self._unlock)
        if allowed:
            return min(decisions, key=lambda decision: decision.remaining)
        return max(decisions, key=lambda decision: decision.retry_after)

    def tokens(self, now: float = -math.inf) -> float:
        """Tokens of everybody at ``now``, or as many as the last request left; infinite when nothing limits."""
        everybody = self._all
        if everybody is None:
            return math.inf
        tokens, stamp = self._memory[0], self._memory[1]
        return min(float(everybody.burst), tokens + (now - stamp) * everybody.rate) if now > stamp else tokens

    def _acquire(self) -> bool:
        until = 0.0
        while True:
            try:
                self._lockf(self._lock, self._exclusive)
            except OSError:
                now = monotonic()
                until = until or now + PATIENCE
                if now > until:
                    return False
                self._yield()
            else:
                return True

    def _find(self, client: str, bucket: TokenBucket, now: float) -> int:
        """Load the bucket of a client, and return its place; the oldest of its set makes room for one that is not there."""
        import hashlib

        digest = hashlib.blake2b(counted(client).encode("utf-8", "replace"), digest_size=8, key=self._key).digest()
        who = float(int.from_bytes(digest, "little") >> 11) + 1.0  # 53 bits are exact in a double; 0 is an empty place
        first = int.from_bytes(digest[:2], "little") % SETS * WAYS * WIDTH + 2
        memory = self._memory
        places = range(first, first + WAYS * WIDTH, WIDTH)
        for at in places:
            if memory[at] == who:
                bucket.tokens, bucket.stamp = memory[at + 1], memory[at + 2]
                return at
        at = min(places, key=lambda at: memory[at + 2] if memory[at] else -math.inf)
        memory[at] = who
        bucket.tokens, bucket.stamp = float(bucket.burst), now
        return at


def counted(client: str) -> str:
    """What counts as one client: an IPv4 address, and of an IPv6 address its network of 64 bits, which is one site's (RFC 6177).

    >>> counted("192.0.2.1"), counted("2001:db8:0:1:ffff::1") == counted("2001:db8:0:1::2"), counted("::ffff:192.0.2.1")
    ('192.0.2.1', True, '192.0.2.1')
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

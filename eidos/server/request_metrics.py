"""What the server counts, and the line that it writes for each request.

Knows the names of the metrics and the fields of a line; must not know how a request is answered. Both are on the way of every
request, so both are cheap: a count is a store into a shared row, and a line that nobody would see is not made.
"""

from __future__ import annotations

import sys
import time

from eidos import __version__, log
from eidos.telemetry import process_stats
from eidos.telemetry.instruments import OTHER, BundleMetrics, RecipeMetrics, values
from eidos.telemetry.metrics import Metrics
from eidos.telemetry.trace_context import parse_parent, trace_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from eidos.http_wire.messages import Request, Response
    from eidos.telemetry.metrics import Counter, Family

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

STATUSES = (200, 304, 400, 404, 405, 406, 408, 413, 414, 415, 417, 429, 431, 500, 503)

#: Routes whose answers are lines of the level debug as long as all is well: somebody asks every few seconds.
SYSTEM = ("/health", "/healthz", "/ready", "/readyz", "/metrics")

#: Of so many lines of the level debug one is written.
SAMPLE = 100

#: Bytes of a line: a pipe takes so many at once or none (pipe(7), PIPE_BUF), and of ``user``.
LINE_LIMIT, USER_LIMIT = 4096, 128


class ServerMetrics:
    """All metrics of the server. ``routes`` are templates, ``rules`` names of layers, ``bundlers`` of components, all fixed at the start.

    ``workers`` is how many will be forked, 0 for a server in one process. Worker *n* calls ``use(n)`` once it is forked, the supervisor
    ``use(workers)``; when it sees worker *n* end, ``forget(n)``. ``tokens`` tells how many are left in the global bucket.
    """

    def __init__(
        self,
        routes: Sequence[str],
        *,
        workers: int = 0,
        rules: Sequence[str] = (),
        bundlers: Sequence[str] = (),
        tokens: Callable[[], float] | None = None,
        access: AccessLog | None = None,
        commit: str = "unknown",
    ) -> None:
        self.metrics = metrics = Metrics()
        self._routes, self._methods, self._statuses = frozenset(routes), frozenset(METHODS), {code: str(code) for code in STATUSES}
        methods, templates = values(METHODS), values(routes)
        python = ".".join(map(str, sys.version_info[:3]))
        self._info = metrics.gauge(
            "eidos_build_info", "Which build this is.", "max", version=(__version__,), commit=(commit,), python=(python,)
        )
        self.requests = metrics.counter(
            "eidos_http_requests_total",
            "Requests answered.",
            method=methods,
            route=templates,
            status=values(self._statuses.values()),
        )
        self.seconds = metrics.histogram(
            "eidos_http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            method=methods,
            route=templates,
        )
        self.in_flight = metrics.gauge("eidos_http_requests_in_flight", "Requests that are being answered.")
        self.rejects = metrics.counter("eidos_rate_limit_rejects_total", "Requests refused because there were too many.")
        self.recoveries = metrics.counter("eidos_panic_recoveries_total", "Handlers that failed in a way nobody foresaw.")
        self.recipe = RecipeMetrics(metrics, rules)
        self.cache_hits = metrics.counter("eidos_recipe_cache_hits_total", "Recipes that were there already.")
        self.cache_misses = metrics.counter("eidos_recipe_cache_misses_total", "Recipes that had to be built.")
        self.bundle = BundleMetrics(metrics, bundlers)
        self.connections = metrics.gauge("eidos_http_connections", "Connections that are open.")
        self.connections_max = metrics.gauge("eidos_http_connections_max", "Connections that may be open, in all workers together.", "max")
        self.queue = metrics.gauge("eidos_http_queue_depth", "Requests that wait for a thread.")
        self.restarts = metrics.counter("eidos_worker_restarts_total", "Workers started in the place of one that ended.")
        self.lost_lines = metrics.counter("eidos_log_lines_lost_total", "Lines of the access log that nobody took in time.")
        self.lost_spans = metrics.counter("eidos_trace_spans_lost_total", "Spans that nobody took in time.")
        self._tokens = tokens
        if tokens is not None:
            metrics.also(self._left)
        process_stats.watch(metrics, workers)
        self.access = access or AccessLog()
        self.access.lost = self.lost_lines
        metrics.seal(workers + 1 if workers else 1)
        self._begin()

    def use(self, slot: int) -> None:
        """Count into ``slot`` from now on: after a fork."""
        self.metrics.use(slot)
        self._begin()

    def forget(self, slot: int) -> None:
        """The worker of ``slot`` has ended: what it was doing, nobody does now."""
        self.metrics.forget(slot)

    def _begin(self) -> None:
        key = next(iter(self._info.at))
        self._info.set(1, *key)
        for gauge in (self.in_flight, self.connections, self.queue):
            gauge.set(0)

    def _left(self) -> Iterator[Family]:
        from eidos.telemetry.metrics import Family

        if self._tokens is not None:
            left = max(0.0, self._tokens())
            yield Family("eidos_rate_limit_tokens", "gauge", "Requests that the global limit would let through now.", (("", (), left),))

    def text(self) -> str:
        """The body of ``/metrics``; its type is ``telemetry.metrics.CONTENT_TYPE``."""
        return self.metrics.text()

    def answered(
        self, method: str, response: Response, seconds: float, request: Request | None = None, sent: int | None = None, request_id: str = ""
    ) -> None:
        """Count an answer and write its line.

        ``method`` is what the client said, ``request`` None when it said nothing that is a request (then ``request_id`` is the id that
        the answer told), ``sent`` the bytes of the body as they went out (default: all of it).
        """
        if method not in self._methods:
            method = OTHER
        route, status = response.route, response.status
        if route not in self._routes:
            route = OTHER
        self.requests.add(method, route, self._statuses.get(status, OTHER))
        self.seconds.observe(seconds, method, route)
        access = self.access
        level = access.level(route, status)
        if level:
            access.write(level, method, route, status, seconds, len(response.body) if sent is None else sent, request, request_id)


class AccessLog:
    """One JSON object a line for each request, on ``descriptor``: no path, no query, no body, whoever may read the log.

    A line has the level info, or debug for a system endpoint that is well; of those one in :data:`SAMPLE` is written. ``user`` is the
    value of ``user_header``, which only a proxy can be believed to have set: without ``trust_proxy`` nobody is. A line never holds up
    a request: what a full pipe does not take at once is lost, and counted.
    """

    def __init__(self, *, user_header: str | None = None, trust_proxy: int = 0, descriptor: int = 2) -> None:
        self._user_header = user_header.lower() if user_header and trust_proxy > 0 else ""
        self._descriptor = descriptor
        self._quiet = 0
        self._poll: Any = None  # select.poll is a function, and its type has no name
        self._second, self._stamp = -1, ""
        self.lost: Counter | None = None

    def level(self, route: str, status: int) -> str:
        """The level of the line for this answer; "" when none is to be written."""
        if not log.shows("info"):
            return ""
        if route not in SYSTEM or status >= 400:
            return "info"
        if not log.shows("debug"):
            return ""
        self._quiet += 1
        return "debug" if self._quiet % SAMPLE == 1 else ""

    def write(
        self,
        level: str,
        method: str,
        route: str,
        status: int,
        seconds: float,
        sent: int,
        request: Request | None = None,
        request_id: str = "",
    ) -> None:
        """Write the line."""
        if request is not None:
            request_id = request.id
            parent = parse_parent(request.headers.get("traceparent", ""))
            trace = parent[0] if parent else trace_id_of(request_id)
        else:
            trace = trace_id_of(request_id) if request_id else ""
        user = request.headers.get(self._user_header, "") if request is not None and self._user_header else ""
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._second))
        line = (
            f'{{"time": "{self._stamp}.{int(now % 1 * 1000):03d}Z", "level": "{level}", "msg": "request", '
            f'"request_id": "{_safe(request_id)}", "trace_id": "{trace}", '
            f'"method": "{method}", "route": "{route}", "status": {status}, "bytes": {sent}, '
            f'"duration_ms": {seconds * 1000:.3f}{_user(user) if user else ""}{_SAMPLED if level == "debug" else ""}}}\n'
        )
        self._put(line.encode())

    def _put(self, line: bytes) -> None:
        import os
        import select

        if self._poll is None:
            self._poll = poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
        try:
            # A pipe is ready when PIPE_BUF fits into it: then the line goes whole, and at once.
            if len(line) <= LINE_LIMIT and self._poll.poll(0)[0][1] == select.POLLOUT:
                os.write(self._descriptor, line)
                return
        except (OSError, IndexError):
            pass
        if self.lost is not None:
            self.lost.add(by=line.count(b"\n"))


class GatheredLog(AccessLog):
    """An access log that gathers the lines of one turn of a loop, which calls :meth:`flush` after it: one write for many."""

    def __init__(self, *, user_header: str | None = None, trust_proxy: int = 0, descriptor: int = 2) -> None:
        super().__init__(user_header=user_header, trust_proxy=trust_proxy, descriptor=descriptor)
        self._gathered: list[bytes] = []

    def flush(self) -> None:
        """Write what was gathered, as many lines at once as a pipe takes whole."""
        group: list[bytes] = []
        size = 0
        for line in self._gathered:
            if size + len(line) > LINE_LIMIT and group:
                super()._put(b"".join(group))
                group, size = [], 0
            group.append(line)
            size += len(line)
        if group:
            super()._put(b"".join(group))
        self._gathered.clear()

    def _put(self, line: bytes) -> None:
        self._gathered.append(line)


_SAMPLED = f', "sampled": "1 in {SAMPLE}"'


def _safe(text: str) -> str:
    """An id that goes between quotes: the transport replaces what is no UUID, and here nobody relies on it."""
    return text if text.isascii() and text.replace("-", "").isalnum() else ""


def _user(text: str) -> str:
    import json

    try:
        text = text.encode("latin-1").decode()  # fields come as Latin-1, and names in UTF-8
    except UnicodeError:
        pass
    return f', "user": {json.dumps(log.printable(text[:USER_LIMIT]))}'

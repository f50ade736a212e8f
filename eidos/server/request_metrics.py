"""The metrics of the server.

Knows their names and labels; must not know how a request is answered. Every request is counted, so counting is cheap: it is a store into
a row of memory that all workers share.
"""

from __future__ import annotations

import sys

from eidos import __version__
from eidos.telemetry import process_stats
from eidos.telemetry.instruments import OTHER, BundleMetrics, RecipeMetrics, label_values
from eidos.telemetry.metrics import MetricRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eidos.http_wire.messages import Request, Response
    from eidos.server.access_log import AccessLog
    from eidos.telemetry.metrics import MetricFamily

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

STATUSES = (200, 304, 400, 404, 405, 406, 408, 412, 413, 414, 415, 417, 429, 431, 500, 503)


class ServerMetrics:
    """All metrics of the server: ``rules`` are names of layers, ``bundlers`` of components.

    ``routes`` are templates, each with the methods of its operations. All of these are fixed at start.
    ``workers`` is how many will be forked, 0 for a server in one process. Worker *n* calls ``use(n)`` once it is forked, the supervisor
    ``use(workers)``; when worker *n* has exited, it calls ``forget(n)``. ``tokens`` returns how many are left in the global bucket.
    """

    def __init__(
        self,
        routes: Mapping[str, Sequence[str]],
        *,
        workers: int = 0,
        rules: Sequence[str] = (),
        bundlers: Sequence[str] = (),
        tokens: Callable[[], float] | None = None,
        access_log: AccessLog | None = None,
        commit: str = "unknown",
    ) -> None:
        self.metrics = metrics = MetricRegistry()
        self._routes, self._methods, self._statuses = frozenset(routes), frozenset(METHODS), {code: str(code) for code in STATUSES}
        methods, templates = label_values(METHODS), label_values(routes)
        self._cells: dict[tuple[str, str, int], tuple[int, int]] = {}
        python = ".".join(map(str, sys.version_info[:3]))
        self._info = metrics.gauge(
            "eidos_build_info",
            "Version, commit and Python of this server.",
            "max",
            version=(__version__,),
            commit=(commit,),
            python=(python,),
        )
        self.requests = metrics.counter(
            "eidos_http_requests_total",
            "HTTP requests.",
            method=methods,
            route=templates,
            status=label_values(self._statuses.values()),
        )
        self.seconds = metrics.histogram(
            "eidos_http_request_duration_seconds",
            "Time from the first byte of a request to the last byte of its response, by operation; HEAD counts as GET.",
            series=[*((method, route) for route, methods in routes.items() for method in methods), (OTHER, OTHER)],
            method=methods,
            route=templates,
        )
        self.in_flight = metrics.gauge("eidos_http_requests_in_flight", "Requests in progress.")
        self.rejects = metrics.counter("eidos_rate_limit_rejects_total", "Requests rejected by the rate limit.")
        self.recoveries = metrics.counter("eidos_panic_recoveries_total", "Requests that failed with an internal error.")
        self.recipe = RecipeMetrics(metrics, rules)
        self.cache_hits = metrics.counter("eidos_recipe_cache_hits_total", "Recipes served from the cache.")
        self.cache_misses = metrics.counter("eidos_recipe_cache_misses_total", "Recipes built because they were not cached.")
        self.bundle = BundleMetrics(metrics, bundlers)
        self.connections = metrics.gauge("eidos_http_connections", "Open connections.")
        self.connections_max = metrics.gauge("eidos_http_connections_max", "Maximum open connections of all workers.", "max")
        self.queue = metrics.gauge("eidos_http_queue_depth", "Requests waiting for a thread.")
        self.restarts = metrics.counter("eidos_worker_restarts_total", "Workers restarted.")
        self.lost_lines = metrics.counter("eidos_log_lines_lost_total", "Access log lines dropped because the reader was too slow.")
        self.lost_spans = metrics.counter("eidos_trace_spans_lost_total", "Spans dropped because they could not be sent in time.")
        self._tokens = tokens
        if tokens is not None:
            metrics.add_callback(self._token_family)
        process_stats.register_process_metrics(metrics, workers)
        self._access_log = access_log
        if access_log is not None:
            access_log.lost = self.lost_lines
        metrics.allocate_slots(workers + 1 if workers else 1)
        self._initialize()

    def use(self, slot: int) -> None:
        """Count into ``slot`` from now on: after a fork."""
        self.metrics.use_slot(slot)
        self._initialize()

    def forget(self, slot: int) -> None:
        """The worker of ``slot`` has exited: its gauges are 0 now."""
        self.metrics.release_slot(slot)

    def _initialize(self) -> None:
        key = next(iter(self._info.offsets))
        self._info.set(1, *key)
        for gauge in (self.in_flight, self.connections, self.queue):
            gauge.set(0)

    def _token_family(self) -> Iterator[MetricFamily]:
        from eidos.telemetry.metrics import MetricFamily

        if self._tokens is not None:
            left = max(0.0, self._tokens())
            yield MetricFamily("eidos_rate_limit_tokens", "gauge", "Requests that the global rate limit allows now.", (("", (), left),))

    def text(self) -> str:
        """The body of ``/metrics``; its type is ``telemetry.metrics.CONTENT_TYPE``."""
        return self.metrics.render_text()

    def on_response(
        self,
        method: str,
        response: Response,
        seconds: float,
        request: Request | None = None,
        body_bytes: int | None = None,
        request_id: str = "",
    ) -> None:
        """Count a response and write its line of the access log.

        ``method`` is as received, ``request`` None for what was no valid request (then ``request_id`` is the id of the response),
        ``body_bytes`` how much of the body was sent (default: all of it).
        """
        route, status = response.route, response.status
        if method not in self._methods:
            method = OTHER
        if route not in self._routes:
            route = OTHER
        series = (method, route, status)
        cells = self._cells.get(series)
        if cells is None:
            cells = self._cells[series] = self._find_cells(*series)
        self.seconds.observe_and_increment(cells[0], seconds, cells[1])
        access_log = self._access_log
        level = access_log.level(route, status) if access_log is not None else ""
        if access_log is not None and level:
            size = len(response.body) if body_bytes is None else body_bytes
            access_log.write(level, method, route, status, seconds, size, request, request_id)

    def _find_cells(self, method: str, route: str, status: int) -> tuple[int, int]:
        """Where requests and their times are counted; there are as many as labels allow, because ``status`` is the server's own."""
        operation = ("GET" if method == "HEAD" else method, route)
        times = operation if operation in self.seconds.offsets else (OTHER, OTHER)
        return self.seconds.cell_index(times), self.requests.cell_index((method, route, self._statuses.get(status, OTHER)))

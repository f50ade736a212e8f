"""The access log: a line for each request, in the format of the log, between whose lines it stands.

Knows the fields of a line and which requests get one; must not know metrics, nor how a request is answered. A line holds no path, no query
and no body, because others may read the log. It never holds up a request: what a full pipe does not take at once is lost, and counted.
"""

from __future__ import annotations

import json
import os
import select
import time

from eidos import log
from eidos.telemetry.trace_context import parse_traceparent, trace_id_from_request_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.http_wire.messages import Request
    from eidos.telemetry.metrics import Counter

#: Routes whose successful responses are lines of the level debug: probes ask every few seconds.
SYSTEM_ROUTES = ("/health", "/healthz", "/ready", "/readyz", "/metrics")

#: Of so many lines of the level debug one is written.
SAMPLE = 100

#: Lines that are written without waiting for more: about as many as a pipe takes without tearing them.
FEW_LINES = 24

#: Characters of ``user``.
USER_LIMIT = 128

_SAMPLED = f', "sampled": "1 in {SAMPLE}"'


class AccessLog:
    """Buffers lines, in the format of the log, and writes them to ``descriptor``; ``lost`` counts those that it could not write.

    A line has the level info, or debug for a system route that succeeds; of those one in :data:`SAMPLE` is written. ``user`` is the
    value of ``user_header``, which only a proxy is trusted to set: without ``trust_proxy`` it is left out.
    """

    def __init__(self, *, user_header: str | None = None, trust_proxy: int = 0, descriptor: int = 2) -> None:
        self._user_header = user_header.lower() if user_header and trust_proxy > 0 else ""
        self._descriptor = descriptor
        self._is_json = log.is_json()
        self._debug_lines = 0
        self._poll: Any = None  # select.poll is a function, and its type has no name
        self._second, self._timestamp = -1, ""
        self._lines: list[str] = []  # ASCII
        self._oldest = 0.0  # when the first of them was added
        self.lost: Counter | None = None

    def level(self, route: str, status: int) -> str:
        """The level of the line for this response; "" when none is to be written."""
        if not log.shows("info"):
            return ""
        if route not in SYSTEM_ROUTES or status >= 400:
            return "info"
        if not log.shows("debug"):
            return ""
        self._debug_lines += 1
        return "debug" if self._debug_lines % SAMPLE == 1 else ""

    def write(
        self,
        level: str,
        method: str,
        route: str,
        status: int,
        seconds: float,
        body_bytes: int,
        request: Request | None = None,
        request_id: str = "",
    ) -> None:
        """Add a line; without a valid request there is only its ``request_id``. All ids are UUIDs, and need no escaping."""
        if request is not None:
            request_id = request.id
        user = request.headers.get(self._user_header, "") if request is not None and self._user_header else ""
        if self._is_json:
            line = (
                f'{{"time": "{self._time()}", "level": "{level}", "msg": "request", '
                f'"request_id": "{request_id}", "trace_id": "{_trace_id(request, request_id)}", '
                f'"method": "{method}", "route": "{route}", "status": {status}, "bytes": {body_bytes}, '
                f'"duration_ms": {seconds * 1000:.3f}{_user(user) if user else ""}{_SAMPLED if level == "debug" else ""}}}\n'
            )
        else:
            more = (f" user={_quoted(user)}" if user else "") + (f' sampled="1 in {SAMPLE}"' if level == "debug" else "")
            numbers = f"bytes={body_bytes} duration_ms={seconds * 1000:.3f}"
            line = f"{level}: {method} {route} {status} (request_id={request_id} {numbers}{more})\n"
        if not self._lines:
            self._oldest = time.monotonic()
        self._lines.append(line)

    def flush(self, max_age: float = 0.0) -> None:
        """Write the buffered lines when they fill a pipe's atomic write, or the first of them is ``max_age`` seconds old."""
        lines = self._lines
        if not lines or (max_age and len(lines) < FEW_LINES and time.monotonic() - self._oldest < max_age):
            return
        group: list[str] = []
        size = 0
        for line in lines:
            if size + len(line) > select.PIPE_BUF and group:
                self._put(group)
                group, size = [], 0
            group.append(line)
            size += len(line)
        self._put(group)
        lines.clear()

    def _time(self) -> str:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._second))
        return f"{self._timestamp}.{int(now % 1 * 1000):03d}Z"

    def _put(self, lines: list[str]) -> None:
        data = "".join(lines).encode()
        if self._poll is None:
            self._poll = poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
        try:
            # A pipe is ready when PIPE_BUF fits into it: then lines are written at once and not torn.
            if len(data) <= select.PIPE_BUF and self._poll.poll(0)[0][1] == select.POLLOUT:
                os.write(self._descriptor, data)
                return
        except (OSError, IndexError):
            pass
        if self.lost is not None:
            self.lost.increment(amount=len(lines))


def _trace_id(request: Request | None, request_id: str) -> str:
    parent = parse_traceparent(request.headers.get("traceparent", "")) if request is not None else None
    return parent[0] if parent else trace_id_from_request_id(request_id) if request_id else ""


def _user(text: str) -> str:
    return f', "user": {_quoted(text)}'


def _quoted(text: str) -> str:
    try:
        text = text.encode("latin-1").decode()  # headers are read as Latin-1, and names are sent in UTF-8
    except UnicodeError:
        pass
    return json.dumps(log.printable(text[:USER_LIMIT]))

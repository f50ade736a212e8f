"""Spans on their way to a collector: OTLP over HTTP, as JSON.

Knows the protocol (OpenTelemetry, "OTLP Specification", OTLP/HTTP, JSON Protobuf Encoding: ids in hexadecimal, 64-bit integers as strings,
names in lowerCamelCase) and the variables that say where to; must not know what the spans tell. A span that ended goes into a bounded
queue, and a thread sends what is there every few seconds: nobody who works ever waits for a collector, and one that is gone costs spans,
which are counted, and nothing else.
"""

from __future__ import annotations

import random
import time
from _thread import allocate_lock
from collections import deque

from eidos import __version__, log
from eidos.errors import EidosError, InvalidInput, Timeout, Unavailable
from eidos.http_wire import client
from eidos.http_wire.retry import Circuit, CircuitOpen, Failed, call, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.process.thread_pool import Future
    from eidos.telemetry.spans import Span, Value

#: Spans that wait at most, and that go in one request; seconds between requests.
QUEUE, BATCH, PERIOD = 2048, 512, 5.0

#: Seconds for one export with all its attempts, unless ``OTEL_EXPORTER_OTLP_TIMEOUT`` says otherwise.
TIMEOUT = 10.0

#: Statuses that may be otherwise in a moment (OTLP/HTTP, "Retryable Response Codes").
AGAIN = frozenset({429, 502, 503, 504})

#: Bytes of an answer that are read.
ANSWER_LIMIT = 1 << 20


def open_exporter(environ: Mapping[str, str], service: str, lost: Callable[[int], object]) -> Exporter:
    """An exporter as ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_SERVICE_NAME`` say; InvalidInput for a place that is none."""
    url = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    variable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    if not url:
        variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
        url = environ.get(variable, "").strip().rstrip("/") + "/v1/traces"
    try:
        client.parse_url(url)
    except InvalidInput as fault:
        raise InvalidInput(f"{variable}: {fault.message}", "write it like http://collector.example.com:4318") from fault
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/json"
    if protocol != "http/json":
        log.warn(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not spoken; traces are sent as http/json")
    said = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    attributes = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), "OTEL_RESOURCE_ATTRIBUTES")
    named = environ.get("OTEL_SERVICE_NAME", "").strip() or attributes.get("service.name") or service
    # The three of an SDK go together (semantic conventions, "Telemetry SDK").
    sdk = {"telemetry.sdk.name": "eidos.telemetry", "telemetry.sdk.language": "python", "telemetry.sdk.version": __version__}
    attributes.update({"service.name": named, "service.version": __version__, **sdk})
    return Exporter(url, _pairs(said, "OTEL_EXPORTER_OTLP_HEADERS"), _timeout(environ), attributes, lost)


def _timeout(environ: Mapping[str, str]) -> float:
    """Milliseconds, in seconds."""
    said = (environ.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "")).strip()
    if not said:
        return TIMEOUT
    if not (said.isascii() and said.isdigit() and 0 < int(said[:10]) <= 600_000):
        log.warn(f"OTEL_EXPORTER_OTLP_TIMEOUT: {said!r} is no number of milliseconds; {TIMEOUT * 1000:.0f} is taken")
        return TIMEOUT
    return int(said) / 1000


def _pairs(text: str, variable: str) -> dict[str, str]:
    """``key=value,key2=value2``, percent-encoded (W3C Baggage without properties); a value is never shown: it may be a password."""
    from urllib.parse import unquote

    found = {}
    for number, pair in enumerate(filter(None, (pair.strip() for pair in text.split(","))), 1):
        key, equals, value = pair.partition("=")
        key, value = key.strip(), unquote(value.strip())
        if equals and key and value.isascii() and value.isprintable() and all(char.isalnum() or char in "-._" for char in key):
            found[key] = value
        else:
            log.warn(f"{variable}: entry {number} is not key=value, and is left out")
    return found


class Exporter:
    """Takes spans and sends them. ``lost`` hears how many were not, in the thread that sends."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout: float,
        resource: Mapping[str, Value],
        lost: Callable[[int], object] = lambda _: None,
        period: float = PERIOD,
    ) -> None:
        self.url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout = timeout
        self._resource = dict(resource)
        self._lost = lost
        self._period = period
        self._queue: deque[Span] = deque()
        self._lock = allocate_lock()
        self._over = 0
        self._circuit = Circuit(client.parse_url(url).origin, time.monotonic)
        self._failing = False
        self._sending: Future[None] | None = None
        self._wake: threading.Event | None = None
        self._end: float | None = None

    def put(self, span: Span) -> None:
        """Take a span that ended; when too many wait already, it is lost."""
        if len(self._queue) >= QUEUE:
            with self._lock:
                self._over += 1
            return
        self._queue.append(span)
        if self._wake is not None and len(self._queue) == BATCH:
            self._wake.set()

    def start(self) -> None:
        """Send from a thread of this process; what was taken before a fork belongs to the parent."""
        import threading

        from eidos.process.thread_pool import start_thread

        self._queue.clear()
        self._wake = threading.Event()
        self._sending = start_thread(self._run, "otlp")

    def close(self, timeout: float) -> None:
        """Send what waits, in at most ``timeout`` seconds. A thread that is not back by then is left behind: it is a daemon."""
        self._end = time.monotonic() + timeout
        if self._sending is None or self._wake is None:
            self._send_all()
        else:
            from eidos.process.thread_pool import wait_for

            self._wake.set()
            try:
                wait_for(self._sending, timeout)
            except TimeoutError:
                pass
        with self._lock:
            self._over += len(self._queue)
        if self._sending is None or self._sending.done():
            self._queue.clear()
        self._report()

    def _run(self) -> None:
        assert self._wake is not None
        last = False
        while not last:
            if self._end is None:
                self._wake.wait(self._period)
            last = self._end is not None  # and once more: something may have come while the batch before was sent
            if not last:
                self._wake.clear()
            self._report()
            if not self._circuit.is_open:
                self._send_all()

    def _report(self) -> None:
        """Tell of spans that did not fit: here, and not where a request waits for it."""
        with self._lock:
            over, self._over = self._over, 0
        if over:
            self._lost(over)

    def _send_all(self) -> None:
        while self._queue:
            batch: list[Span] = []
            while self._queue and len(batch) < BATCH:
                batch.append(self._queue.popleft())
            try:
                self._send(batch)
            except EidosError as fault:
                self._lost(len(batch))
                say = log.debug if self._failing else log.warn
                self._failing = True
                say(f"traces could not be sent: {fault.message}", spans=len(batch), hint=fault.hint)
                if isinstance(fault, CircuitOpen):
                    return
            else:
                self._failing = False

    def _send(self, batch: Sequence[Span]) -> None:
        body = encode(batch, self._resource)
        deadline = time.monotonic() + self._timeout
        if self._end is not None:
            deadline = min(deadline, self._end)
        call(
            lambda: self._attempt(body, deadline),
            clock=time.monotonic,
            sleep=self._sleep,
            random=random.random,
            deadline=deadline,
            circuit=self._circuit,
            say=log.debug,
        )

    def _sleep(self, seconds: float) -> None:
        """Wait; when the program ends meanwhile, only if there is time for it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._end is not None and until >= self._end:
                raise Timeout("the program ends")
            if self._wake is None or self._end is not None:
                time.sleep(left)
            elif self._wake.wait(left) and self._end is None:
                self._wake.clear()

    def _attempt(self, body: bytes, deadline: float) -> None:
        try:
            answer = client.request("POST", self.url, deadline=deadline, headers=self._headers, body=body, limit=ANSWER_LIMIT)
        except client.Unanswered as fault:
            raise Failed(fault, again=fault.passing) from fault
        except Timeout as fault:
            raise Failed(fault) from fault
        if not 200 <= answer.status < 300:
            refused = Unavailable(f"{answer.url.origin}: the collector answers {answer.status}")
            after = retry_after(answer.headers.get("retry-after"), time.time())
            raise Failed(refused, after, answer.status == 429, again=answer.status in AGAIN)
        self._partly(answer.body)

    def _partly(self, body: bytes) -> None:
        """Count what the collector says it did not take (``ExportTracePartialSuccess``)."""
        import json

        try:
            partial = json.loads(body)["partialSuccess"]
            rejected = int(partial.get("rejectedSpans", 0))
            why = log.printable(str(partial.get("errorMessage", "")))[:200]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # nothing is said, or nothing that can be read
            return
        if rejected > 0:
            self._lost(rejected)
            log.warn(f"the collector refused {rejected} spans: {why}")


def encode(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """An ``ExportTraceServiceRequest``."""
    import json

    scope = {"scope": {"name": "eidos", "version": __version__}, "spans": [_span(span) for span in spans]}
    tree = {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}
    return json.dumps(tree, separators=(",", ":")).encode()


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    tree: dict[str, Any] = {"traceId": context.trace_id, "spanId": context.span_id}
    if context.state:
        tree["traceState"] = context.state
    if span.parent_id:
        tree["parentSpanId"] = span.parent_id
    # Bits 8 and 9 say whether the parent was remote, and that this is known (``SpanFlags``).
    tree["flags"] = 1 | 0x100 | (0x200 if span.remote else 0)
    tree.update(name=span.name, kind=span.kind, startTimeUnixNano=str(span.start_ns), endTimeUnixNano=str(span.end_ns))
    tree["attributes"] = _attributes(span.attributes)
    if span.error:
        tree["status"] = {"code": 2, "message": span.error}
    return tree


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}

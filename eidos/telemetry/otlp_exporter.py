"""Exports spans with OTLP over HTTP, as JSON.

Knows the protocol (OpenTelemetry, "OTLP Specification", OTLP/HTTP, JSON Protobuf Encoding: ids in hexadecimal, 64-bit integers as strings,
names in lowerCamelCase) and the variables that configure it; must not know what the spans are about. A span that ended goes into a bounded
queue, and a thread sends the queue every few seconds: a request never waits for a collector, and one that is down costs spans, which are
counted, and nothing else.
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections import deque

from eidos import __version__, log
from eidos.errors import EidosError, InvalidInput, Timeout, Unavailable
from eidos.http_wire.fetch import send_request
from eidos.http_wire.retry import AttemptFailed, CircuitBreaker, CircuitOpen, call_with_retry, parse_retry_after
from eidos.http_wire.url import parse_url
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.process.thread_pool import Future
    from eidos.telemetry.spans import AttributeValue, Span

#: Spans in the queue, and in one request, at most; seconds between requests.
MAX_QUEUE_SIZE, MAX_BATCH_SIZE, INTERVAL_S = 2048, 512, 5.0

#: Seconds for one export with all its attempts; ``OTEL_EXPORTER_OTLP_TIMEOUT`` overrides it.
TIMEOUT_S = 10.0

#: OTLP/HTTP, "Retryable Response Codes".
RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})

#: Bytes of a response that are read.
RESPONSE_LIMIT = 1 << 20


def exporter_from_environment(environ: Mapping[str, str], service: str, on_dropped: Callable[[int], object]) -> SpanExporter:
    """The exporter that ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_SERVICE_NAME`` configure; InvalidInput for an invalid endpoint."""
    url = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    variable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    if not url:
        variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
        url = environ.get(variable, "").strip().rstrip("/") + "/v1/traces"
    try:
        parse_url(url)
    except InvalidInput as fault:
        raise InvalidInput(f"{variable}: {fault.message}", "write it like http://collector.example.com:4318") from fault
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/json"
    if protocol != "http/json":
        log.warn(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not supported; using http/json")
    headers = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    attributes = _parse_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), "OTEL_RESOURCE_ATTRIBUTES")
    service = environ.get("OTEL_SERVICE_NAME", "").strip() or attributes.get("service.name") or service
    # The three of an SDK go together (semantic conventions, "Telemetry SDK").
    sdk = {"telemetry.sdk.name": "eidos.telemetry", "telemetry.sdk.language": "python", "telemetry.sdk.version": __version__}
    attributes.update({"service.name": service, "service.version": __version__, **sdk})
    return SpanExporter(
        url, _parse_pairs(headers, "OTEL_EXPORTER_OTLP_HEADERS"), _timeout_from_environment(environ), attributes, on_dropped
    )


def _timeout_from_environment(environ: Mapping[str, str]) -> float:
    """The timeout in seconds; the variable has milliseconds."""
    text = (environ.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "")).strip()
    if not text:
        return TIMEOUT_S
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 600_000):
        log.warn(f"OTEL_EXPORTER_OTLP_TIMEOUT: invalid number of milliseconds {text!r}; using {TIMEOUT_S * 1000:.0f}")
        return TIMEOUT_S
    return int(text) / 1000


def _parse_pairs(text: str, variable: str) -> dict[str, str]:
    """Parse ``key=value,key2=value2``, percent-encoded (W3C Baggage without properties); a value is never logged: it may be a password."""
    from urllib.parse import unquote

    pairs = {}
    for number, pair in enumerate(filter(None, (pair.strip() for pair in text.split(","))), 1):
        key, equals, value = pair.partition("=")
        key, value = key.strip(), unquote(value.strip())
        if equals and key and value.isascii() and value.isprintable() and all(char.isalnum() or char in "-._" for char in key):
            pairs[key] = value
        else:
            log.warn(f"{variable}: entry {number} ignored; expected key=value")
    return pairs


class SpanExporter:
    """Queues spans and exports them in batches. ``on_dropped`` gets the number of those that were not, in the exporting thread."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        resource: Mapping[str, AttributeValue],
        on_dropped: Callable[[int], object] = lambda _: None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout_s = timeout_s
        self._resource = dict(resource)
        self._on_dropped = on_dropped
        self._interval_s = interval_s
        self._queue: deque[Span] = deque()
        self._lock = allocate_lock()
        self._dropped = 0
        self._circuit = CircuitBreaker(parse_url(url).origin, time.monotonic)
        self._failing = False
        self._sending: Future[None] | None = None
        self._wake: threading.Event | None = None
        self._shutdown_at: float | None = None

    def enqueue(self, span: Span) -> None:
        """Queue a span that ended; it is dropped when the queue is full."""
        if len(self._queue) >= MAX_QUEUE_SIZE:
            with self._lock:
                self._dropped += 1
            return
        self._queue.append(span)
        if self._wake is not None and len(self._queue) == MAX_BATCH_SIZE:
            self._wake.set()

    def start(self) -> None:
        """Export from a thread of this process; spans from before a fork belong to the parent."""
        import threading

        from eidos.process.thread_pool import start_thread

        self._queue.clear()
        self._wake = threading.Event()
        self._sending = start_thread(self._run, "otlp")

    def shutdown(self, timeout_s: float) -> None:
        """Export the queue within ``timeout_s``. A thread that has not ended by then is abandoned: it is a daemon."""
        self._shutdown_at = time.monotonic() + timeout_s
        if self._sending is None or self._wake is None:
            self._send_all()
        else:
            from eidos.process.thread_pool import wait_for

            self._wake.set()
            try:
                wait_for(self._sending, timeout_s)
            except TimeoutError:
                pass
        with self._lock:
            self._dropped += len(self._queue)
        if self._sending is None or self._sending.done():
            self._queue.clear()
        self._report_dropped()

    def _run(self) -> None:
        assert self._wake is not None
        last = False
        while not last:
            if self._shutdown_at is None:
                self._wake.wait(self._interval_s)
            last = self._shutdown_at is not None  # once more: a span may have ended while the previous batch was sent
            if not last:
                self._wake.clear()
            self._report_dropped()
            if not self._circuit.is_open:
                self._send_all()

    def _report_dropped(self) -> None:
        """Report spans that did not fit into the queue: here, not in the thread of a request."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._on_dropped(dropped)

    def _send_all(self) -> None:
        while self._queue:
            batch: list[Span] = []
            while self._queue and len(batch) < MAX_BATCH_SIZE:
                batch.append(self._queue.popleft())
            try:
                self._send(batch)
            except EidosError as fault:
                self._on_dropped(len(batch))
                say = log.debug if self._failing else log.warn
                self._failing = True
                say(f"cannot send traces: {fault.message}", spans=len(batch), hint=fault.hint)
                if isinstance(fault, CircuitOpen):
                    return
            else:
                self._failing = False

    def _send(self, batch: Sequence[Span]) -> None:
        body = encode_spans(batch, self._resource)
        deadline = time.monotonic() + self._timeout_s
        if self._shutdown_at is not None:
            deadline = min(deadline, self._shutdown_at)
        call_with_retry(
            lambda: self._attempt(body, deadline), deadline=deadline, sleep=self._sleep, circuit=self._circuit, report=log.debug
        )

    def _sleep(self, seconds: float) -> None:
        """Sleep; raises Timeout when the program shuts down and has no time for that."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._shutdown_at is not None and until >= self._shutdown_at:
                raise Timeout("the program is exiting")
            if self._wake is None or self._shutdown_at is not None:
                time.sleep(left)
            elif self._wake.wait(left) and self._shutdown_at is None:
                self._wake.clear()

    def _attempt(self, body: bytes, deadline: float) -> None:
        answer = send_request("POST", self.url, deadline=deadline, headers=self._headers, body=body, limit=RESPONSE_LIMIT)
        if not 200 <= answer.status < 300:
            refused = Unavailable(f"{answer.url.origin}: the collector returned status {answer.status}")
            after = parse_retry_after(answer.headers.get("retry-after"), time.time())
            raise AttemptFailed(refused, after, answer.status == 429, is_retryable=answer.status in RETRYABLE_STATUSES)
        self._count_rejected(answer.body)

    def _count_rejected(self, body: bytes) -> None:
        """Count the spans that the collector rejected (``ExportTracePartialSuccess``)."""
        import json

        try:
            partial = json.loads(body)["partialSuccess"]
            rejected = int(partial.get("rejectedSpans", 0))
            why = log.printable(str(partial.get("errorMessage", "")))[:200]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # complete success, or an unknown body
            return
        if rejected > 0:
            self._on_dropped(rejected)
            log.warn(f"the collector rejected {count_of(rejected, 'span')}: {why}")


def encode_spans(spans: Sequence[Span], resource: Mapping[str, AttributeValue]) -> bytes:
    """An ``ExportTraceServiceRequest``."""
    import json

    scope = {"scope": {"name": "eidos", "version": __version__}, "spans": [_span(span) for span in spans]}
    tree = {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}
    return json.dumps(tree, separators=(",", ":")).encode()


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    tree: dict[str, Any] = {"traceId": context.trace_id, "spanId": context.span_id}
    if context.trace_state:
        tree["traceState"] = context.trace_state
    if span.parent_id:
        tree["parentSpanId"] = span.parent_id
    # Bits 8 and 9 say whether the parent was remote, and that this is known (``SpanFlags``).
    tree["flags"] = 1 | 0x100 | (0x200 if span.has_remote_parent else 0)
    tree.update(name=span.name, kind=span.kind, startTimeUnixNano=str(span.start_ns), endTimeUnixNano=str(span.end_ns))
    tree["attributes"] = _attributes(span.attributes)
    if span.error:
        tree["status"] = {"code": 2, "message": span.error}
    return tree


def _attributes(values: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}

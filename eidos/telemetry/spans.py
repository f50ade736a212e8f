"""Spans, the tracer that makes them, and sampling.

Knows the variables that configure tracing (OpenTelemetry, "Environment Variable Specification"); must not know how spans are exported,
which :mod:`eidos.telemetry.otlp_exporter` does. Nothing here blocks, and nothing is recorded or sent unless
``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.

>>> spans = []
>>> tracer = Tracer(Sampler("always_on"), spans.append)
>>> with tracer.start_span("eidos recipe") as root, root.start_child("build", layers=3):
...     pass
>>> [(span.name, span.attributes) for span in spans], spans[0].parent_id == root.context.span_id
([('build', {'layers': 3}), ('eidos recipe', {})], True)
"""

from __future__ import annotations

import os
import time

from eidos import log
from eidos.errors import EidosError
from eidos.model.record import Record
from eidos.telemetry.trace_context import SpanContext, extract_context, trace_id_from_request_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Union

    from typing_extensions import Self

    from eidos.telemetry.otlp_exporter import SpanExporter

    AttributeValue = Union[str, bool, int, float]

#: Kinds of spans (OTLP, ``Span.SpanKind``).
INTERNAL, SERVER, CLIENT = 1, 2, 3

#: The ratio of traces that is recorded by default.
DEFAULT_RATIO = 0.1

#: Attributes of a span, and characters of an attribute, at most.
ATTRIBUTE_LIMIT, TEXT_LIMIT = 32, 256

_PLAIN = ("always_on", "always_off", "traceidratio")
SAMPLERS = (*_PLAIN, *(f"parentbased_{name}" for name in _PLAIN))


class Sampler(Record):
    """Decides which traces are recorded: ``name`` is one of :data:`SAMPLERS`, ``ratio`` from 0 to 1 applies to ``traceidratio``."""

    name: str = "parentbased_traceidratio"
    ratio: float = DEFAULT_RATIO

    def should_sample(self, trace_id: str, parent: SpanContext | None) -> bool:
        """Whether to record: as the parent does, if the sampler is parent-based, else by the last 56 bits of the trace id (W3C, section 5).

        Services with the same ratio record the same traces.
        """
        if parent is not None and self.name.startswith("parentbased_"):
            return parent.sampled
        if self.name.endswith("always_on"):
            return True
        if self.name.endswith("always_off"):
            return False
        return int(trace_id[-14:], 16) >= (1 - self.ratio) * (1 << 56)


class Span:
    """One operation, from now until :meth:`end`; as a context manager it ends with its block, with the block's error.

    A span that is not recorded has its ``context``, to propagate it, and nothing else.
    """

    __slots__ = (
        "_on_end",
        "_start_clock_ns",
        "attributes",
        "context",
        "end_ns",
        "error",
        "has_remote_parent",
        "kind",
        "name",
        "parent_id",
        "start_ns",
    )

    def __init__(
        self, name: str, context: SpanContext, on_end: Callable[[Span], object] | None, parent_id: str = "", kind: int = INTERNAL
    ) -> None:
        self.name = name
        self.context = context
        self.kind = kind
        self.parent_id = parent_id
        self.has_remote_parent = False
        self.attributes: dict[str, AttributeValue] = {}
        self.error = ""
        self.start_ns = self.end_ns = 0
        self._start_clock_ns = 0
        self._on_end = on_end
        if on_end is not None:
            self.start_ns, self._start_clock_ns = time.time_ns(), time.perf_counter_ns()

    @property
    def is_recording(self) -> bool:
        """Whether it is recorded: check it before computing an expensive attribute."""
        return self._on_end is not None

    def start_child(self, name: str, **attributes: AttributeValue) -> Span:
        """A child span; ``_`` in the name of an attribute stands for ``.``."""
        if self._on_end is None:
            return self
        context = SpanContext(self.context.trace_id, _new_id(8), True, self.context.trace_state, self.context.baggage)
        span = Span(name, context, self._on_end, self.context.span_id)
        for key, value in attributes.items():
            span.set_attribute(key.replace("_", "."), value)
        return span

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute: its name is fixed, and its value has nothing from a client that the access log does not show, too."""
        if self._on_end is not None and (key in self.attributes or len(self.attributes) < ATTRIBUTE_LIMIT):
            self.attributes[key] = value[:TEXT_LIMIT] if isinstance(value, str) else value

    def set_error(self, description: str) -> None:
        """Set the status to error; ``description`` is a code or the name of an exception."""
        if self._on_end is not None:
            self.error = self.error or description[:TEXT_LIMIT]

    def end_after(self, start_ns: int, nanoseconds: int) -> None:
        """End it as an operation that is already over: it began at ``start_ns`` since 1970 and took ``nanoseconds``."""
        if self._on_end is not None:
            self.start_ns, self.end_ns = start_ns, start_ns + nanoseconds
            on_end, self._on_end = self._on_end, None
            on_end(self)

    def end(self) -> None:
        """End it now; a second call does nothing."""
        self.end_after(self.start_ns, time.perf_counter_ns() - self._start_clock_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if self._on_end is None:  # an unrecorded child is its own parent
            return
        if kind is not None:
            self.set_error(fault.code if isinstance(fault, EidosError) else kind.__name__)
        self.end()


class Tracer:
    """Starts the spans of a program; ``on_end`` gets each span that ended, and without it none is recorded."""

    def __init__(self, sampler: Sampler | None = None, on_end: Callable[[Span], object] | None = None) -> None:
        self.sampler = sampler or Sampler()
        self._on_end = on_end
        self.exporter: SpanExporter | None = None

    def start_span(
        self,
        name: str,
        kind: int = INTERNAL,
        carrier: Mapping[str, str] | None = None,
        request_id: str = "",
        parent: SpanContext | None = None,
    ) -> Span:
        """The root span of this process in a trace.

        The trace is that of ``parent``, or of ``carrier`` (headers with names in lower case); else its id is derived from ``request_id``,
        a UUID, or new.
        """
        if self._on_end is None:
            return (
                INVALID_SPAN
                if carrier is None and parent is None
                else Span(name, parent or extract_context(carrier or {}) or INVALID_SPAN.context, None)
            )
        if parent is None and carrier:
            parent = extract_context(carrier)
        trace_id = parent.trace_id if parent else trace_id_from_request_id(request_id) if request_id else _new_id(16)
        sampled = self.sampler.should_sample(trace_id, parent)
        state, baggage = (parent.trace_state, parent.baggage) if parent else ("", "")
        context = SpanContext(trace_id, _new_id(8), sampled, state, baggage)
        span = Span(name, context, self._on_end if sampled else None, parent.span_id if parent else "", kind)
        span.has_remote_parent = parent is not None
        return span

    def start(self) -> None:
        """Start to export in the background: once in each process, after it was forked."""
        if self.exporter is not None:
            self.exporter.start()

    def shutdown(self, timeout_s: float) -> None:
        """Export the remaining spans within ``timeout_s``; the others are dropped."""
        if self.exporter is not None:
            self.exporter.shutdown(timeout_s)


def _new_id(size: int) -> str:
    """A random id that is not zero."""
    return os.urandom(size).hex() if size < 16 else os.urandom(15).hex() + "%02x" % (os.urandom(1)[0] | 1)


#: A span that records nothing, in place of None.
INVALID_SPAN = Span("", SpanContext("0" * 32, "0" * 16, False), None)

#: A tracer that records nothing.
NOOP_TRACER = Tracer()


def is_tracing_configured(environ: Mapping[str, str]) -> bool:
    """Whether the environment sets an OTLP endpoint, and does not disable tracing."""
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none"
    return bool(endpoint) and not off


def open_tracer(environ: Mapping[str, str], service: str, on_dropped: Callable[[int], object] = lambda _: None) -> Tracer:
    """The tracer that the environment configures, or :data:`NOOP_TRACER`; an invalid variable is a warning, never a failure.

    ``service`` is the default for ``OTEL_SERVICE_NAME``; ``on_dropped`` gets the number of spans that could not be exported.
    """
    if not is_tracing_configured(environ):
        return NOOP_TRACER
    from eidos.telemetry.otlp_exporter import exporter_from_environment

    try:
        exporter = exporter_from_environment(environ, service, on_dropped)
    except EidosError as fault:
        log.warn(f"traces are not sent: {fault.message}", hint=fault.hint)
        return NOOP_TRACER
    tracer = Tracer(sampler_from_environment(environ), exporter.enqueue)
    tracer.exporter = exporter
    return tracer


def sampler_from_environment(environ: Mapping[str, str]) -> Sampler:
    """The sampler of ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG``; by default a tenth of traces without a parent.

    The default of the argument is 1, as in the specification.

    >>> sampler_from_environment({}), sampler_from_environment({"OTEL_TRACES_SAMPLER": "always_on"}).name
    (Sampler(name='parentbased_traceidratio', ratio=0.1), 'always_on')
    """
    from eidos.redact.harmless_forms import quote_value

    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if name and name not in SAMPLERS:
        log.warn(f"OTEL_TRACES_SAMPLER: invalid value {quote_value(name)}; expected one of {', '.join(SAMPLERS)}; recording 10 % of traces")
        return Sampler()
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    default = 1.0 if name else DEFAULT_RATIO
    if not argument or (name and not name.endswith("ratio")):
        return Sampler(name or "parentbased_traceidratio", default)
    try:
        ratio = float(argument)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        log.warn(f"OTEL_TRACES_SAMPLER_ARG: invalid value {quote_value(argument)}; expected a number from 0 to 1; using {default:g}")
        ratio = default
    return Sampler(name or "parentbased_traceidratio", ratio)

"""Spans: what was done for whom, in which order, and how long each part took.

Knows sampling and the variables that ask for it (OpenTelemetry, "Environment Variable Specification"); must not know how spans reach
whoever collects them: ``otlp`` does. Nothing here waits, and nothing is recorded or sent unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` names
a place.

>>> spans = []
>>> tracer = Tracer(Sampler("always_on"), spans.append)
>>> with tracer.span("eidos recipe") as root, root.child("build", layers=3):
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
from eidos.telemetry.trace_context import Context, from_environment, parse, trace_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Union

    from typing_extensions import Self

    from eidos.telemetry.otlp_exporter import Exporter

    Value = Union[str, bool, int, float]

#: Kinds of spans (OTLP, ``Span.SpanKind``).
INTERNAL, SERVER, CLIENT = 1, 2, 3

#: The share of traces that is recorded when nobody says how much.
USUAL = 0.1

#: What a span holds at most: attributes, and characters of one.
ATTRIBUTES, TEXT_LIMIT = 32, 256

_PLAIN = ("always_on", "always_off", "traceidratio")
SAMPLERS = (*_PLAIN, *(f"parentbased_{name}" for name in _PLAIN))


class Sampler(Record):
    """Which traces are recorded: ``name`` one of :data:`SAMPLERS`, ``ratio`` from 0 to 1 for those that draw."""

    name: str = "parentbased_traceidratio"
    ratio: float = USUAL

    def decide(self, trace_id: str, parent: Context | None) -> bool:
        """Whether to record: as the parent does, if the sampler minds it, else by the last 56 bits of the trace's id (W3C, section 5).

        Everybody who draws with the same ratio takes the same traces.
        """
        if parent is not None and self.name.startswith("parentbased_"):
            return parent.sampled
        if self.name.endswith("always_on"):
            return True
        if self.name.endswith("always_off"):
            return False
        return int(trace_id[-14:], 16) >= (1 - self.ratio) * (1 << 56)


class Span:
    """One piece of work, from now until it is :meth:`end`-ed; as a context manager it ends with its block, and fails with it.

    One that is not recorded knows its ``context``, to pass it on, and nothing else.
    """

    __slots__ = ("_clock", "_done", "attributes", "context", "end_ns", "error", "kind", "name", "parent_id", "remote", "start_ns")

    def __init__(
        self, name: str, context: Context, done: Callable[[Span], object] | None, parent_id: str = "", kind: int = INTERNAL
    ) -> None:
        self.name = name
        self.context = context
        self.kind = kind
        self.parent_id = parent_id
        self.remote = False
        self.attributes: dict[str, Value] = {}
        self.error = ""
        self.start_ns = self.end_ns = 0
        self._clock = 0
        self._done = done
        if done is not None:
            self.start_ns, self._clock = time.time_ns(), time.perf_counter_ns()

    @property
    def recorded(self) -> bool:
        """Whether anybody will see it: for whoever would go to some length for an attribute."""
        return self._done is not None

    def child(self, name: str, **attributes: Value) -> Span:
        """A part of this work; ``_`` in the name of an attribute stands for ``.``."""
        if self._done is None:
            return self
        context = Context(self.context.trace_id, _new(8), True, self.context.state, self.context.baggage)
        span = Span(name, context, self._done, self.context.span_id)
        for key, value in attributes.items():
            span.set(key.replace("_", "."), value)
        return span

    def set(self, key: str, value: Value) -> None:
        """Note an attribute: of a fixed name, and nothing that a client said beyond what is in the access log."""
        if self._done is not None and (key in self.attributes or len(self.attributes) < ATTRIBUTES):
            self.attributes[key] = value[:TEXT_LIMIT] if isinstance(value, str) else value

    def fail(self, why: str) -> None:
        """The work failed; ``why`` is a code or the name of a kind of failure."""
        if self._done is not None:
            self.error = self.error or why[:TEXT_LIMIT]

    def lasted(self, start_ns: int, nanoseconds: int) -> None:
        """It was over before it was known: it began at ``start_ns`` since 1970 and took so long."""
        if self._done is not None:
            self.start_ns, self.end_ns = start_ns, start_ns + nanoseconds
            done, self._done = self._done, None
            done(self)

    def end(self) -> None:
        """The work is done; a second time nothing happens."""
        self.lasted(self.start_ns, time.perf_counter_ns() - self._clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if self._done is None:  # a part that is not recorded may be its own parent
            return
        if kind is not None:
            self.fail(fault.code if isinstance(fault, EidosError) else kind.__name__)
        self.end()


class Tracer:
    """Makes the spans of a program; without ``done``, which takes each that ended, none is recorded."""

    def __init__(self, sampler: Sampler | None = None, done: Callable[[Span], object] | None = None) -> None:
        self.sampler = sampler or Sampler()
        self._done = done
        self.exporter: Exporter | None = None

    def span(
        self, name: str, kind: int = INTERNAL, carrier: Mapping[str, str] | None = None, request_id: str = "", parent: Context | None = None
    ) -> Span:
        """The first span of this process's part in a trace.

        The trace is that of ``parent``, or of ``carrier`` (headers with names in lower case); else it is told by ``request_id``, a
        UUID, or new.
        """
        if self._done is None:
            return NOTHING if carrier is None and parent is None else Span(name, parent or parse(carrier or {}) or NOTHING.context, None)
        if parent is None and carrier:
            parent = parse(carrier)
        trace_id = parent.trace_id if parent else trace_id_of(request_id) if request_id else _new(16)
        sampled = self.sampler.decide(trace_id, parent)
        state, baggage = (parent.state, parent.baggage) if parent else ("", "")
        context = Context(trace_id, _new(8), sampled, state, baggage)
        span = Span(name, context, self._done if sampled else None, parent.span_id if parent else "", kind)
        span.remote = parent is not None
        return span

    def start(self) -> None:
        """Send in the background from now on: once in each process, after it was forked."""
        if self.exporter is not None:
            self.exporter.start()

    def close(self, timeout: float) -> None:
        """Send what is left, within ``timeout`` seconds; what takes longer is lost."""
        if self.exporter is not None:
            self.exporter.close(timeout)


def _new(size: int) -> str:
    """A random id that is not zero."""
    return os.urandom(size).hex() if size < 16 else os.urandom(15).hex() + "%02x" % (os.urandom(1)[0] | 1)


#: A span that stands for none: whoever takes a span need not ask whether there is one.
NOTHING = Span("", Context("0" * 32, "0" * 16, False), None)

#: A tracer that records nothing.
OFF = Tracer()


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces: it names a place, and nothing forbids it."""
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none"
    return bool(named) and not off


def open_tracer(environ: Mapping[str, str], service: str, lost: Callable[[int], object] = lambda _: None) -> Tracer:
    """The tracer that the environment asks for, or :data:`OFF`; what it says that cannot be is a warning, never a failure.

    ``service`` is its name unless ``OTEL_SERVICE_NAME`` says another; ``lost`` hears how many spans could not be sent.
    """
    if not wanted(environ):
        return OFF
    from eidos.telemetry.otlp_exporter import open_exporter

    try:
        exporter = open_exporter(environ, service, lost)
    except EidosError as fault:
        log.warn(f"no traces are sent: {fault.message}", hint=fault.hint)
        return OFF
    tracer = Tracer(sampler(environ), exporter.put)
    tracer.exporter = exporter
    return tracer


def sampler(environ: Mapping[str, str]) -> Sampler:
    """What ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG`` say: without the first a tenth of what has no parent.

    A ratio that is named without its argument is 1, as the specification has it.

    >>> sampler({}), sampler({"OTEL_TRACES_SAMPLER": "always_on"}).name
    (Sampler(name='parentbased_traceidratio', ratio=0.1), 'always_on')
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if name and name not in SAMPLERS:
        log.warn(f"OTEL_TRACES_SAMPLER: {name!r} is none of {', '.join(SAMPLERS)}; a tenth of all traces is recorded")
        return Sampler()
    said = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    usual = 1.0 if name else USUAL
    if not said or (name and not name.endswith("ratio")):
        return Sampler(name or "parentbased_traceidratio", usual)
    try:
        ratio = float(said)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        log.warn(f"OTEL_TRACES_SAMPLER_ARG: {said!r} is no number from 0 to 1; {usual:g} is taken")
        ratio = usual
    return Sampler(name or "parentbased_traceidratio", ratio)


def caller(environ: Mapping[str, str]) -> Context | None:
    """The trace that this program was started in, as ``TRACEPARENT`` and its companions say."""
    return from_environment(environ)

"""Telemetry of a one-shot command: spans for its steps, and a file of metrics for node_exporter.

Knows which step is which span, and the metrics of a run; must not know how a step is done. It is requested with ``--metrics-file`` and
with OpenTelemetry's variables; without either nothing is recorded, and nothing of :mod:`eidos.telemetry` imported. A receiver of traces
that fails or a file server that is gone costs what is recorded here, never the document: that is written before.

The file holds no ``process_*``: node_exporter exports those of its own, and rejects a file that repeats them.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import __version__, log
from eidos.cli import document_locations
from eidos.cli.options import Option, parse_path
from eidos.cli.path_access import access_path
from eidos.errors import EidosError, InvalidData, InvalidInput, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from eidos.cli.options import Values
    from eidos.collectors import CollectFunction
    from eidos.model.bundle import Bundle
    from eidos.model.measurement import Outcome
    from eidos.model.recipe import Recipe
    from eidos.telemetry.metrics import MetricRegistry

#: What node_exporter reads in a folder (its documentation, "Textfile Collector").
EXTENSION = ".prom"

#: Seconds that a receiver of traces, and a file system, have to answer at the end of a run.
TIMEOUT_S = 2.0


def parse_metrics_path(value: str) -> str:
    """A path that node_exporter reads; InvalidInput for another."""
    if not parse_path(value).endswith(EXTENSION):
        raise InvalidInput(f"{value!r} does not end in {EXTENSION}, which node_exporter needs")
    return value


METRICS_FILE = Option(
    "metrics-file",
    f"write metrics of this run for node_exporter, one file per command: FILE{EXTENSION}",
    "FILE",
    convert=parse_metrics_path,
    completion="file",
)


def run_with_telemetry(verb: str, values: Values, work: Callable[[Values, RunTelemetry], int]) -> int:
    """Do the work of a verb; the exit status. The run is recorded if that is requested."""
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if values["metrics-file"] is None and not endpoint:
        return work(values, RunTelemetry())
    return RecordedRun(verb, values["metrics-file"]).run(values, work)


class RunTelemetry:
    """A run that is not recorded: what is reported to it is dropped, at no cost."""

    def step(self, name: str) -> Any:
        """A context manager for one step of the run."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        pass

    def trace_headers(self, step: Any) -> dict[str, str]:
        """Headers of a request that ``step`` sends to another service: by default the trace that this process was started in."""
        if "TRACEPARENT" not in os.environ:
            return {}
        from eidos.telemetry.trace_context import context_from_environment

        caller = context_from_environment(os.environ)
        return caller.to_headers() if caller else {}

    def collector_loader(self, names: Sequence[str]) -> Callable[[str], CollectFunction]:
        """The function that loads each of these collectors."""
        from eidos import collectors

        return collectors.load_collector

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Collectors have run."""

    def record_recipe(self, recipe: Recipe, duration_s: float) -> None:
        """A recipe was built here."""

    def record_bundle(self, bundle: Bundle) -> None:
        """A bundle was made."""


class RecordedRun(RunTelemetry):
    """A run whose spans are exported and whose metrics are written to ``path``."""

    def __init__(self, verb: str, path: str | None) -> None:
        from eidos.telemetry import spans

        self.verb = verb
        self._path = path
        self._tracer = spans.open_tracer(os.environ, "eidos")
        self._root = spans.INVALID_SPAN
        self._instruments: list[Callable[[MetricRegistry], Callable[[], None]]] = []
        self._names: tuple[str, ...] = ()
        self._starts_ns: memoryview | None = None

    def run(self, values: Values, work: Callable[[Values, RunTelemetry], int]) -> int:
        """Do the work; its exit status. A failure is recorded, and raised."""
        from eidos.telemetry import spans
        from eidos.telemetry.trace_context import context_from_environment

        path = self._path
        if path is not None:
            _access_metrics_file(path, lambda: document_locations.check_writable(path))
        self._root = self._tracer.start_span(f"eidos {self.verb}", spans.INTERNAL, parent=context_from_environment(os.environ))
        began, status = time.perf_counter(), 1
        try:
            with self._root:
                status = work(values, self)
                self._root.set_attribute("process.exit.code", status)
                if status:
                    self._root.set_error(f"exit {status}")
        except EidosError as fault:
            if self.verb == "bundle" and isinstance(fault, (InvalidInput, InvalidData)):
                self._instruments.append(_declare_refused)
            self._record_failure(time.perf_counter() - began)
            raise
        try:
            self._write_metrics(status, time.perf_counter() - began)
        finally:
            self._tracer.shutdown(TIMEOUT_S)
        return status

    def step(self, name: str) -> Any:
        """A span for one step of the run, as a context manager."""
        return self._root.start_child(name)

    def trace_headers(self, step: Any) -> dict[str, str]:
        """The context of ``step``, which becomes a client's span."""
        from eidos.telemetry import spans

        if self._root is spans.INVALID_SPAN:
            return super().trace_headers(step)
        if step.is_recording:
            step.kind = spans.CLIENT
        headers: dict[str, str] = step.context.to_headers()
        return headers

    def collector_loader(self, names: Sequence[str]) -> Callable[[str], CollectFunction]:
        """A loader that notes, in memory shared with the parent, when each collector began: importing it takes time, too."""
        from eidos import collectors

        if not self._root.is_recording:
            return collectors.load_collector
        import mmap

        self._names = tuple(names)
        starts_ns = self._starts_ns = memoryview(mmap.mmap(-1, 8 * len(names))).cast("q")

        def load(name: str) -> CollectFunction:
            starts_ns[names.index(name)] = time.time_ns()
            return collectors.load_collector(name)

        return load

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """A span for each collector that began, and the collectors' metrics."""
        for outcome in outcomes:
            if self._starts_ns is not None and (start_ns := self._starts_ns[self._names.index(outcome.name)]):
                span = self._root.start_child(f"collect {outcome.name}", outcome=outcome.outcome, unreadable=len(outcome.unreadable))
                if outcome.outcome == "failed":
                    span.set_error(outcome.outcome)
                # The duration is rounded, and measured from a moment before: no span may end in the future.
                span.end_after(start_ns, max(0, min(int(outcome.milliseconds * 1e6), time.time_ns() - start_ns)))

        def declare(metrics: MetricRegistry) -> Callable[[], None]:
            from eidos.telemetry.instruments import CollectorMetrics

            instruments = CollectorMetrics(metrics, [outcome.name for outcome in outcomes])

            def record() -> None:
                for outcome in outcomes:
                    instruments.record_outcome(outcome)

            return record

        self._instruments.append(declare)

    def record_recipe(self, recipe: Recipe, duration_s: float) -> None:
        """The metrics of a recipe."""

        def declare(metrics: MetricRegistry) -> Callable[[], None]:
            from eidos.telemetry.instruments import RecipeMetrics

            instruments = RecipeMetrics(metrics, recipe.rules)
            return lambda: instruments.record_recipe(recipe, duration_s)

        self._instruments.append(declare)

    def record_bundle(self, bundle: Bundle) -> None:
        """The metrics of a bundle."""

        def declare(metrics: MetricRegistry) -> Callable[[], None]:
            from eidos.telemetry.instruments import BundleMetrics

            instruments = BundleMetrics(metrics, [component.id for component in bundle.components])
            return lambda: instruments.record_bundle(bundle)

        self._instruments.append(declare)

    def _record_failure(self, duration_s: float) -> None:
        """Record a run that failed; if that fails, too, it costs a warning."""
        try:
            self._write_metrics(1, duration_s)
        except EidosError as fault:
            log.warn(fault.message, hint=fault.hint)
        self._tracer.shutdown(TIMEOUT_S)

    def _write_metrics(self, status: int, duration_s: float) -> None:
        path = self._path
        if path is None:
            return
        from eidos.files import atomic_write

        data = self._metrics_text(status, duration_s).encode()
        _access_metrics_file(path, lambda: atomic_write.write_file(path, data, 0o644))

    def _metrics_text(self, status: int, duration_s: float) -> str:
        from eidos.files import resources
        from eidos.telemetry.metrics import MetricRegistry

        metrics, command, commit = MetricRegistry(), (self.verb,), resources.build_commit()
        python = ".".join(map(str, sys.version_info[:3]))
        build = {"version": (__version__,), "commit": (commit,), "python": (python,)}
        info = metrics.gauge("eidos_build_info", "Which build this is.", "max", command=command, **build)
        success = metrics.gauge("eidos_command_success", "Whether the last run of the command ended with exit status 0.", command=command)
        duration = metrics.gauge("eidos_command_duration_seconds", "How long the last run of the command took.", command=command)
        end = metrics.gauge("eidos_command_end_timestamp_seconds", "When the last run of the command ended, since 1970.", command=command)
        recorders = [declare(metrics) for declare in self._instruments]
        metrics.allocate_slots()
        info.set(1, self.verb, __version__, commit, python)
        success.set(float(status == 0), self.verb)
        duration.set(round(duration_s, 6), self.verb)
        end.set(round(time.time(), 3), self.verb)
        for record in recorders:
            record()
        return metrics.render_text()


def _access_metrics_file(path: str, work: Callable[[], None]) -> None:
    try:
        access_path("--metrics-file", path, work, time.monotonic() + TIMEOUT_S)
    except Timeout:
        raise
    except EidosError as fault:
        fault.message = f"--metrics-file: {fault.message}"
        raise


def _declare_refused(metrics: MetricRegistry) -> Callable[[], None]:
    from eidos.telemetry.instruments import BundleMetrics

    return BundleMetrics(metrics, ()).record_refusal

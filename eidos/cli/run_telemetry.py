"""What a one-shot command tells of its run: spans for its steps, and a file of metrics for node_exporter.

Knows which step is which span, and the metrics of a run; must not know how a step is done. A collector's failure or a file server that is
gone costs what is told here, never the document: it is written before.

The file holds no ``process_*``: node_exporter has those of its own, and refuses a file that says them again.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import __version__, log
from eidos.cli import document_locations
from eidos.errors import EidosError, InvalidData, InvalidInput, Timeout
from eidos.telemetry import spans
from eidos.telemetry.spans import INTERNAL, NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eidos.cli.options import Values
    from eidos.cli.telemetry_choice import Watch
    from eidos.collectors import Collect
    from eidos.model.bundle import Bundle
    from eidos.model.measurement import Outcome
    from eidos.model.recipe import Recipe
    from eidos.telemetry.metrics import Metrics
    from eidos.telemetry.spans import Span

#: Seconds that a collector of traces, and a file system, may take at the end of a run.
PATIENCE = 2.0


class Observed:
    """One run of a verb that somebody watches."""

    def __init__(self, verb: str, place: str | None) -> None:
        self.verb = verb
        self._place = place
        self._tracer = spans.open_tracer(os.environ, "eidos")
        self._root = NOTHING
        self._facts: list[Callable[[Metrics], Callable[[], None]]] = []
        self._names: tuple[str, ...] = ()
        self._starts: memoryview | None = None

    def run(self, values: Values, work: Callable[[Values, Watch], int]) -> int:
        """Do the work; its exit status. A failure passes, and is told, too."""
        place = self._place
        if place is not None:
            self._on_disk(lambda: document_locations.check(place))
        self._root = self._tracer.span(f"eidos {self.verb}", INTERNAL, parent=spans.caller(os.environ))
        began, status = time.perf_counter(), 1
        try:
            with self._root:
                status = work(values, self)
                self._root.set("process.exit.code", status)
                if status:
                    self._root.fail(f"exit {status}")
        except EidosError as fault:
            if self.verb == "bundle" and isinstance(fault, (InvalidInput, InvalidData)):
                self._facts.append(_refused)
            self._tell_anyway(time.perf_counter() - began)
            raise
        try:
            self._write(status, time.perf_counter() - began)
        finally:
            self._tracer.close(PATIENCE)
        return status

    def step(self, name: str) -> Span:
        """A part of the run, from now until the end of the block."""
        return self._root.child(name)

    def carried(self) -> dict[str, str]:
        """What a request to another service carries."""
        if self._root is NOTHING:
            found = spans.caller(os.environ)
            return found.headers() if found else {}
        return self._root.context.headers()

    def collector(self, names: Sequence[str]) -> Callable[[str], Collect]:
        """What gives the function of each collector, and notes, where the parent sees it, when that began: to import it takes time, too."""
        from eidos import collectors

        if not self._root.recorded:
            return collectors.load
        import mmap

        self._names = tuple(names)
        starts = self._starts = memoryview(mmap.mmap(-1, 8 * len(names))).cast("q")

        def load(name: str) -> Collect:
            starts[names.index(name)] = time.time_ns()
            return collectors.load(name)

        return load

    def outcomes(self, found: Iterable[Outcome]) -> None:
        """What became of the collectors: a span for each that began, and two gauges."""
        outcomes = tuple(found)
        for outcome in outcomes:
            if self._starts is not None and (start := self._starts[self._names.index(outcome.name)]):
                span = self._root.child(f"collect {outcome.name}", outcome=outcome.outcome, unreadable=len(outcome.unreadable))
                if outcome.outcome == "failed":
                    span.fail(outcome.outcome)
                # Rounded, and measured from a moment before: it is over by now in any case.
                span.lasted(start, max(0, min(int(outcome.milliseconds * 1e6), time.time_ns() - start)))

        def declare(metrics: Metrics) -> Callable[[], None]:
            from eidos.telemetry.instruments import CollectorMetrics

            told = CollectorMetrics(metrics, [outcome.name for outcome in outcomes])

            def tell() -> None:
                for outcome in outcomes:
                    told.ran(outcome)

            return tell

        self._facts.append(declare)

    def recipe(self, made: Recipe, seconds: float) -> None:
        """A recipe was built here."""

        def declare(metrics: Metrics) -> Callable[[], None]:
            from eidos.telemetry.instruments import RecipeMetrics

            told = RecipeMetrics(metrics, made.rules)
            return lambda: told.built(made, seconds)

        self._facts.append(declare)

    def bundle(self, made: Bundle) -> None:
        """A bundle was made."""

        def declare(metrics: Metrics) -> Callable[[], None]:
            from eidos.telemetry.instruments import BundleMetrics

            told = BundleMetrics(metrics, [part.id for part in made.components])
            return lambda: told.made(made)

        self._facts.append(declare)

    def _tell_anyway(self, seconds: float) -> None:
        """Tell of a run that failed; what fails now, too, is a warning beside it."""
        try:
            self._write(1, seconds)
        except EidosError as fault:
            log.warn(fault.message, hint=fault.hint)
        self._tracer.close(PATIENCE)

    def _write(self, status: int, seconds: float) -> None:
        place = self._place
        if place is None:
            return
        from eidos.files import atomic_write

        data = self._text(status, seconds).encode()
        self._on_disk(lambda: atomic_write.write_file(place, data, 0o644))

    def _text(self, status: int, seconds: float) -> str:
        from eidos.files import resources
        from eidos.telemetry.metrics import Metrics

        metrics, command, commit = Metrics(), (self.verb,), resources.build_commit()
        python = ".".join(map(str, sys.version_info[:3]))
        build = {"version": (__version__,), "commit": (commit,), "python": (python,)}
        info = metrics.gauge("eidos_build_info", "Which build this is.", "max", command=command, **build)
        good = metrics.gauge("eidos_command_success", "Whether the last run of the command ended with exit status 0.", command=command)
        took = metrics.gauge("eidos_command_duration_seconds", "How long the last run of the command took.", command=command)
        when = metrics.gauge("eidos_command_end_timestamp_seconds", "When the last run of the command ended, since 1970.", command=command)
        said = [declare(metrics) for declare in self._facts]
        metrics.seal()
        info.set(1, self.verb, __version__, commit, python)
        good.set(float(status == 0), self.verb)
        took.set(round(seconds, 6), self.verb)
        when.set(round(time.time(), 3), self.verb)
        for tell in said:
            tell()
        return metrics.text()

    def _on_disk(self, work: Callable[[], None]) -> None:
        """Do what touches the file in a child: it may be on a file server that is gone."""
        from eidos.process.child import run_in_child

        try:
            run_in_child(work, time.monotonic() + PATIENCE)
        except Timeout as late:
            message = f"--metrics-file: no answer from the file system at {self._place!r}"
            raise Timeout(message, "is it on a file server that is gone?") from late
        except EidosError as fault:
            fault.message = f"--metrics-file: {fault.message}"
            raise


def _refused(metrics: Metrics) -> Callable[[], None]:
    from eidos.telemetry.instruments import BundleMetrics

    return BundleMetrics(metrics, ()).refused

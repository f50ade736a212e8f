"""The metrics of a watch: the findings of the last cycle, and how the cycles themselves fare.

Knows names and labels, and how they reach the process that is scraped; must not know HTTP. Both processes share memory that was mapped
before the fork: numbers as in :mod:`eidos.telemetry.metrics`, and the text of the findings, whose labels are not known in advance.
"""

from __future__ import annotations

import mmap
import time

from eidos import log
from eidos.check.prometheus_report import render
from eidos.telemetry.instruments import CollectorMetrics
from eidos.telemetry.metrics import MetricRegistry
from eidos.telemetry.process_stats import register_process_metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.watch.node_watch import Cycle

#: Bytes of the text of findings: some thousand findings.
TEXT_LIMIT_BYTES = 1 << 20

#: The slot of the process that runs the cycles, and of the one that is scraped.
CYCLES, LISTENER = 0, 1


class SharedText:
    r"""A text that one process writes and others read, in memory that they share; a reader gets one of the texts, never parts of two.

    >>> text = SharedText(100)
    >>> text.write("é 1\n")
    True
    >>> text.read(), text.write("x" * 101), text.read()
    ('é 1\n', False, 'é 1\n')
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._memory = mmap.mmap(-1, 24 + 2 * limit_bytes)
        #: How often a text was written, and the sizes of the two places, which are used by turns.
        self._numbers = memoryview(self._memory)[:24].cast("q")

    def write(self, text: str) -> bool:
        """Replace the text; False when it is too long, and the last one stays."""
        data = text.encode()
        if len(data) > self._limit_bytes:
            return False
        number = self._numbers[0] + 1
        start = 24 + number % 2 * self._limit_bytes
        self._numbers[1 + number % 2] = len(data)
        self._memory[start : start + len(data)] = data
        self._numbers[0] = number  # one store: readers look at the other place until here
        return True

    def read(self) -> str:
        """The text that was written last."""
        while True:
            number = self._numbers[0]
            start = 24 + number % 2 * self._limit_bytes
            data = self._memory[start : start + self._numbers[1 + number % 2]]
            if self._numbers[0] == number:  # or this place may have been written meanwhile
                return data.decode()


class WatchMetrics:
    """What is exported; ``collectors`` are those that run, ``patience_s`` is how long a cycle and what follows it may take."""

    def __init__(self, collectors: Sequence[str], interval_s: float, patience_s: float) -> None:
        self._interval_s, self._patience_s = interval_s, patience_s
        self._findings = SharedText(TEXT_LIMIT_BYTES)
        #: The time (of ``time.monotonic``, which processes share) at which the present cycle must be over.
        self._due = memoryview(mmap.mmap(-1, 8)).cast("d")
        self.metrics = metrics = MetricRegistry()
        self._cycles = metrics.counter("eidos_watch_cycles_total", "Cycles: the node was read and judged, or that failed.")
        self._failures = metrics.counter("eidos_watch_cycle_failures_total", "Cycles in which the node could not be read or judged.")
        self._skipped = metrics.counter(
            "eidos_watch_cycles_skipped_total", "Cycles that did not begin because the one before was not over."
        )
        self._changes = metrics.counter("eidos_watch_changes_total", "Cycles in which something had changed.")
        self._program_failures = metrics.counter("eidos_watch_program_failures_total", "Runs of the program of --on-change that failed.")
        self._mark_failures = metrics.counter("eidos_watch_mark_failures_total", "Attempts to mark the node that failed.")
        self._duration = metrics.gauge("eidos_watch_cycle_duration_seconds", "How long the last cycle took.", "max")
        self._end = metrics.gauge("eidos_watch_last_cycle_timestamp_seconds", "When the last cycle ended, since 1970.", "max")
        self._success = metrics.gauge(
            "eidos_watch_last_success_timestamp_seconds", "When the last cycle that did not fail ended, since 1970.", "max"
        )
        self._interval = metrics.gauge("eidos_watch_interval_seconds", "Time from one cycle to the next.", "max")
        self._stuck = metrics.gauge("eidos_watch_stuck_processes", "Killed processes that the kernel does not let go of.", "max")
        self._collectors = CollectorMetrics(metrics, collectors)
        register_process_metrics(metrics)
        metrics.allocate_slots(2)
        self._interval.set(interval_s)
        self.expect_cycle(0.0)

    def expect_cycle(self, wait_s: float) -> None:
        """A cycle begins in ``wait_s`` seconds."""
        self._due[0] = time.monotonic() + wait_s + self._patience_s

    def record_cycle(self, cycle: Cycle, seconds: float) -> None:
        """A cycle is over."""
        now = round(time.time(), 3)
        self._cycles.increment()
        self._duration.set(round(seconds, 6))
        self._end.set(now)
        self._stuck.set(cycle.stuck)
        if cycle.failure:
            self._failures.increment()
        else:
            self._success.set(now)
        if cycle.change is not None:
            self._changes.increment()
        for outcome in cycle.outcomes:
            self._collectors.record_outcome(outcome)
        text = render((cycle.report,)) if cycle.report is not None else ""
        if not self._findings.write(text):
            log.error(f"the findings take more than {TEXT_LIMIT_BYTES >> 20} MiB as metrics, and are not exported")
            self._findings.write("")

    def record_skipped(self, count: int) -> None:
        """So many cycles did not begin."""
        self._skipped.increment(amount=count)

    def record_program_failure(self) -> None:
        """The program of --on-change failed."""
        self._program_failures.increment()

    def record_mark_failure(self) -> None:
        """The node could not be marked."""
        self._mark_failures.increment()

    # ---- for the process that is scraped ----

    def use_as_listener(self) -> None:
        """This process is the one that is scraped."""
        self.metrics.use_slot(LISTENER)

    def text(self) -> str:
        """The body of ``/metrics``; its type is ``telemetry.metrics.CONTENT_TYPE``."""
        return self._findings.read() + self.metrics.render_text()

    def is_ready(self) -> bool:
        """Whether a cycle is over, so that there are findings."""
        return bool(self._findings.read())

    def is_alive(self) -> bool:
        """Whether the cycles go on."""
        return time.monotonic() <= self._due[0]

"""Metrics: counters, gauges and histograms, shared by processes and rendered for Prometheus.

Knows the text format 0.0.4 (Prometheus documentation, "Exposition formats") and how processes share the values; must not know what is
counted.

All values are in one anonymous shared mapping that is made before the processes fork: a row of doubles, a *slot*, for each process, so
that no two processes ever write the same cell and no lock between them is needed. The process that is scraped reads all rows and adds
them up. A process that replaces a dead one gets its slot, so a counter never goes back. An aligned double is written in one store, so a
reader sees the old value or the new one. The threads of a process share a lock.

The values of every label are declared in advance, none of them by a client: neither the mapping nor the text can grow.

>>> metrics = MetricRegistry()
>>> hits = metrics.counter("hits_total", "Answers that were there already.", kind=("recipe", "page"))
>>> metrics.allocate_slots(2)
>>> hits.increment("recipe")
>>> metrics.use_slot(1)
>>> hits.increment("recipe", amount=2)
>>> print(metrics.render_text(), end="")
# HELP hits_total Answers that were there already.
# TYPE hits_total counter
hits_total{kind="recipe"} 3
hits_total{kind="page"} 0
"""

from __future__ import annotations

import os
from _thread import RLock
from bisect import bisect_left

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

#: The media type of the text.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Buckets in seconds: a request from memory takes well below a millisecond, a long one ends at the deadline. Prometheus interpolates
#: between two of them, so 0.1 and 0.2 are among them, at which the server has an objective and an alert. Each is a sample of each series.
DURATION_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.2, 1.0, 5.0, 30.0)

#: The value of a gauge that was not set.
NAN = float("nan")

#: Cells at the end of a slot: the id of its process, and the largest processor time that it has reported.
_PID, _MAXIMUM, _RESERVED = -1, -2, 2

#: A slot is a multiple of this many doubles: a cache line of 64 bytes, so that processes do not slow one another down.
_CACHE_LINE = 8


class MetricFamily(Record):
    """One metric, collected: ``kind`` is counter, gauge or histogram; a sample has a suffix of the name, labels and a value."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[str, tuple[tuple[str, str], ...], float], ...]


class _Metric:
    """Base of counters, gauges and histograms: a name, labels, and the offset of its cells in a slot."""

    kind = "counter"
    width = 1

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int) -> None:
        self.name = name
        self.help = help
        self.start = start
        self.series: list[tuple[str, ...]] = [()]
        for values in labels.values():
            self.series = [(*key, value) for key in self.series for value in values]
        self.labels = tuple(labels)
        self.cells: Any = None
        self.lock: Any = None
        self.offsets: dict[tuple[str, ...], int] = {}

    def allocate(self) -> int:
        """Assign cells to each series; the offset of the next metric."""
        self.offsets = {key: self.start + index * self.width for index, key in enumerate(self.series)}
        return self.start + len(self.series) * self.width

    def cell_index(self, values: tuple[str, ...]) -> int:
        """The first cell of a series; ValueError for a label value that was not declared."""
        try:
            return self.offsets[values]
        except (KeyError, TypeError):
            raise ValueError(f"{self.name} has no series {values!r} of {self.labels!r}") from None

    def label_pairs(self, key: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Labels and values of a series."""
        return tuple(zip(self.labels, key))

    def collect(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> MetricFamily:
        """The metric, from the sum of all slots or from the rows of each."""
        raise NotImplementedError


class Counter(_Metric):
    """A value that only grows. Its series exist from the start; those with several labels once they are above zero."""

    def increment(self, *values: str, amount: float = 1.0) -> None:
        """Add ``amount``; ``values`` are those of the labels, in the order of their declaration."""
        at = self.cell_index(values)
        with self.lock:
            self.cells[at] += amount

    def collect(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> MetricFamily:
        """The sums over all slots."""
        shown = [(key, total[at]) for key, at in self.offsets.items() if len(self.labels) < 2 or total[at]]
        return MetricFamily(self.name, self.kind, self.help, tuple(("", self.label_pairs(key), value) for key, value in shown))


class Gauge(_Metric):
    """A value that goes up and down. ``aggregation`` of several processes is ``sum`` or ``max``. A series exists once it was set."""

    kind = "gauge"

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int, aggregation: str) -> None:
        super().__init__(name, help, labels, start)
        if aggregation not in ("sum", "max"):
            raise ValueError(f"{name}: invalid aggregation {aggregation!r}; expected sum or max")
        self.aggregation = aggregation

    def set(self, value: float, *values: str) -> None:
        """Set this process's value."""
        at = self.cell_index(values)
        self.cells[at] = value

    def collect(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> MetricFamily:
        """The aggregate over all slots."""
        samples = []
        for key, at in self.offsets.items():
            values = [row[at] for row in rows if row[at] == row[at]]  # NaN differs from itself
            if values:
                samples.append(("", self.label_pairs(key), sum(values) if self.aggregation == "sum" else max(values)))
        return MetricFamily(self.name, self.kind, self.help, tuple(samples))


class Histogram(_Metric):
    """A distribution of values; ``buckets`` are upper bounds, ascending, without infinity."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int, buckets: tuple[float, ...]) -> None:
        super().__init__(name, help, labels, start)
        self.buckets = buckets
        self.width = len(buckets) + 2

    def observe(self, value: float, *values: str) -> None:
        """Count one value."""
        at = self.cell_index(values)
        bucket = at + bisect_left(self.buckets, value)
        with self.lock:
            self.cells[bucket] += 1.0
            self.cells[at + self.width - 1] += value

    def observe_and_increment(self, at: int, value: float, counter: int) -> None:
        """Count one value in the series at the cell ``at``, and one in that of a counter: both as :meth:`cell_index` gives them."""
        bucket = at + bisect_left(self.buckets, value)
        with self.lock:
            cells = self.cells
            cells[counter] += 1.0
            cells[bucket] += 1.0
            cells[at + self.width - 1] += value

    def collect(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> MetricFamily:
        """Cumulative buckets, sum and count; the count is that of the buckets, so they agree whenever they are collected."""
        samples = []
        ends = [*(_format_number(bound) for bound in self.buckets), "+Inf"]
        for key, at in self.offsets.items():
            cells = total[at : at + self.width]
            if self.labels and not any(cells[:-1]):
                continue
            pairs, count = self.label_pairs(key), 0.0
            for end, cell in zip(ends, cells):
                count += cell
                samples.append(("_bucket", (*pairs, ("le", end)), count))
            samples += [("_sum", pairs, cells[-1]), ("_count", pairs, count)]
        return MetricFamily(self.name, self.kind, self.help, tuple(samples))


class MetricRegistry:
    """All metrics of a program. Declare them, :meth:`allocate_slots`, fork, and :meth:`use_slot` in each process."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}
        self._callbacks: list[Callable[[], Iterable[MetricFamily]]] = []
        self._cell_count = 0
        self._slots: list[Any] = []
        self.owner = 0

    def counter(self, name: str, help: str, **labels: tuple[str, ...]) -> Counter:
        """Declare a counter; its name ends in ``_total``."""
        metric = Counter(name, help, labels, self._cell_count)
        self._declare(metric)
        return metric

    def gauge(self, name: str, help: str, aggregation: str = "sum", **labels: tuple[str, ...]) -> Gauge:
        """Declare a gauge; ``aggregation`` is ``sum`` or ``max``."""
        metric = Gauge(name, help, labels, self._cell_count, aggregation)
        self._declare(metric)
        return metric

    def histogram(
        self,
        name: str,
        help: str,
        buckets: tuple[float, ...] = DURATION_BUCKETS_S,
        series: Sequence[tuple[str, ...]] = (),
        **labels: tuple[str, ...],
    ) -> Histogram:
        """Declare a histogram, with these ``series`` if not with all combinations of label values."""
        metric = Histogram(name, help, labels, self._cell_count, buckets)
        metric.series = list(series) or metric.series
        self._declare(metric)
        return metric

    def add_callback(self, callback: Callable[[], Iterable[MetricFamily]]) -> None:
        """Call ``callback`` at each collection for metrics that are counted elsewhere."""
        self._callbacks.append(callback)

    def _declare(self, metric: _Metric) -> None:
        if self._slots or metric.name in self._metrics:
            raise ValueError(f"{metric.name} is declared twice or after the first use")
        self._metrics[metric.name] = metric
        self._cell_count = metric.allocate()

    def allocate_slots(self, count: int = 1) -> None:
        """Allocate a slot for each of ``count`` processes and use the first. Called again, before a fork, it resets every value."""
        import mmap

        stride = -(-(self._cell_count + _RESERVED) // _CACHE_LINE) * _CACHE_LINE
        # Never closed: the views need it for as long as the process lives.
        cells = memoryview(mmap.mmap(-1, stride * 8 * count)).cast("d")
        self._slots = [cells[index * stride : (index + 1) * stride] for index in range(count)]
        self.owner = os.getpid()
        for index in range(count):
            self.release_slot(index)
        self.use_slot(0)

    def use_slot(self, slot: int) -> None:
        """Let this process write to ``slot`` from now on: its counters continue, its gauges are unset."""
        pid = os.getpid()
        for index in {slot, *(index for index, user in enumerate(self.slot_pids()) if user == pid)}:
            self.release_slot(index)
        cells, lock = self._slots[slot], RLock()
        cells[_PID] = pid
        for metric in self._metrics.values():
            metric.cells, metric.lock = cells, lock
        self._own_cells = cells

    def release_slot(self, slot: int) -> None:
        """Mark the process of ``slot`` as dead: its counters stay, its gauges are unset."""
        cells = self._slots[slot]
        cells[_PID] = 0
        for metric in self._metrics.values():
            if isinstance(metric, Gauge):
                for at in metric.offsets.values():
                    cells[at] = NAN

    def slot_pids(self) -> list[int]:
        """The process id of each slot; 0 for one that is not in use."""
        return [int(cells[_PID]) for cells in self._slots]

    def shared_maximum(self, value: float) -> float:
        """The largest ``value`` that any process has passed here: a sum over processes must not shrink when one of them exits."""
        self._own_cells[_MAXIMUM] = max(value, self._own_cells[_MAXIMUM])
        return float(max(cells[_MAXIMUM] for cells in self._slots))

    def collect(self) -> list[MetricFamily]:
        """Every metric that has a sample now."""
        rows = [cells.tolist() for cells in self._slots]
        total = rows[0] if len(rows) == 1 else [sum(column) for column in zip(*rows)]
        families = [metric.collect(total, rows) for metric in self._metrics.values()]
        for callback in self._callbacks:
            families.extend(callback())
        return [family for family in families if family.samples]

    def render_text(self) -> str:
        """Everything in the text format 0.0.4."""
        lines = []
        for family in self.collect():
            name = family.name
            lines.append(f"# HELP {name} {_escape_help(family.help)}\n# TYPE {name} {family.kind}\n")
            for suffix, pairs, value in family.samples:
                labels = ",".join(f'{label}="{_escape_label(text)}"' for label, text in pairs)
                lines.append(f"{name}{suffix}{'{' + labels + '}' if labels else ''} {_format_number(value)}\n")
        return "".join(lines)


def _format_number(value: float) -> str:
    """A number as Go reads it: exact, without a needless ``.0``.

    >>> _format_number(3.0), _format_number(0.0025), _format_number(1e300), _format_number(float("inf"))
    ('3', '0.0025', '1e+300', '+Inf')
    """
    if value != value:  # noqa: PLR0124 - that is what NaN is
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')

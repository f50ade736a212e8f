"""Numbers about a run: counters, gauges and histograms, and the text in which Prometheus reads them.

Knows the text format 0.0.4 (Prometheus documentation, "Exposition formats") and how processes share the numbers; must not know
what is counted.

All numbers lie in one anonymous shared mapping, made before the processes fork: a row of doubles, a *slot*, for each process, so
that no two processes ever write the same cell and nothing is locked between them. Whoever is asked reads the rows of all and adds
them up. A process that takes the place of a dead one takes its slot, so a counter never goes back. An aligned double is written
in one store, so a reader sees the old number or the new one. Between the threads of one process stands a lock.

Every label has its values when it is declared, none of them said by a client: what is shared cannot grow, and neither can the text.

>>> metrics = Metrics()
>>> hits = metrics.counter("hits_total", "Answers that were there already.", kind=("recipe", "page"))
>>> metrics.seal(2)
>>> hits.add("recipe")
>>> metrics.use(1)
>>> hits.add("recipe", by=2)
>>> print(metrics.text(), end="")
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

#: What the text says of itself to a scraper.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Seconds: a request from memory takes well below a millisecond, a long one ends with the deadline. Between two of them Prometheus can
#: only guess, so those at which the server has an objective and an alert are among them, 0.1 and 0.2.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: What no gauge has been set to.
UNSET = float("nan")

#: Cells at the end of a slot: the process that writes it, and the highest processor time that it has told.
_PID, _HIGHEST, _OWN = -1, -2, 2

#: A slot is a multiple of this many doubles: a cache line of 64 bytes, so that processes do not slow one another down.
_LINE = 8


class Family(Record):
    """One metric as it is read: ``kind`` counter, gauge or histogram, and for each series its ending, labels and number."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[str, tuple[tuple[str, str], ...], float], ...]


class _Metric:
    """What counters, gauges and histograms share: a name, labels, and where their cells begin in a slot."""

    kind = "counter"
    width = 1

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int) -> None:
        self.name = name
        self.help = help
        self.start = start
        self.keys: list[tuple[str, ...]] = [()]
        for values in labels.values():
            self.keys = [(*key, value) for key in self.keys for value in values]
        self.labels = tuple(labels)
        self.cells: Any = None
        self.lock: Any = None
        self.at: dict[tuple[str, ...], int] = {}

    def place(self) -> int:
        """Give each series its cells; where the next metric may begin."""
        self.at = {key: self.start + index * self.width for index, key in enumerate(self.keys)}
        return self.start + len(self.keys) * self.width

    def where(self, values: tuple[str, ...]) -> int:
        """The first cell of a series; ValueError for a value that was not declared."""
        try:
            return self.at[values]
        except (KeyError, TypeError):
            raise ValueError(f"{self.name} has no series {values!r} of {self.labels!r}") from None

    def pairs(self, key: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """The labels of a series and their values."""
        return tuple(zip(self.labels, key))

    def read(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> Family:
        """The metric, from the sums of all slots or from the slots themselves."""
        raise NotImplementedError


class Counter(_Metric):
    """What only grows. Its series are there from the start; those of several labels once they have counted something."""

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count ``by`` more; ``values`` are those of the labels, in the order of their declaration."""
        at = self.where(values)
        with self.lock:
            self.cells[at] += by

    def read(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> Family:
        """The sums."""
        shown = [(key, total[at]) for key, at in self.at.items() if len(self.labels) < 2 or total[at]]
        return Family(self.name, self.kind, self.help, tuple(("", self.pairs(key), value) for key, value in shown))


class Gauge(_Metric):
    """What goes up and down. ``how`` says what several processes make together: their sum, or the highest (max).

    What was not set is not a number, the one thing that differs from itself. A series is there once it was set.
    """

    kind = "gauge"

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int, how: str) -> None:
        super().__init__(name, help, labels, start)
        if how not in ("sum", "max"):
            raise ValueError(f"{name}: processes make together their sum or their max, not {how!r}")
        self.how = how

    def set(self, value: float, *values: str) -> None:
        """It is ``value`` now, as far as this process knows."""
        at = self.where(values)
        self.cells[at] = value

    def read(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> Family:
        """What the processes make together."""
        samples = []
        for key, at in self.at.items():
            known = [row[at] for row in rows if row[at] == row[at]]
            if known:
                samples.append(("", self.pairs(key), sum(known) if self.how == "sum" else max(known)))
        return Family(self.name, self.kind, self.help, tuple(samples))


class Histogram(_Metric):
    """How often something took how long; ``bounds`` are the upper ends of the buckets, in order, without infinity."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: dict[str, tuple[str, ...]], start: int, bounds: tuple[float, ...]) -> None:
        super().__init__(name, help, labels, start)
        self.bounds = bounds
        self.width = len(bounds) + 2

    def observe(self, value: float, *values: str) -> None:
        """It was ``value`` once more (seconds, mostly)."""
        at = self.where(values)
        bucket = at + bisect_left(self.bounds, value)
        with self.lock:
            self.cells[bucket] += 1.0
            self.cells[at + self.width - 1] += value

    def read(self, total: Sequence[float], rows: Sequence[Sequence[float]]) -> Family:
        """Cumulative buckets, sum and count; the count is that of the buckets, so they agree whenever they are read."""
        samples = []
        ends = [*(_number(bound) for bound in self.bounds), "+Inf"]
        for key, at in self.at.items():
            cells = total[at : at + self.width]
            if self.labels and not any(cells[:-1]):
                continue
            pairs, count = self.pairs(key), 0.0
            for end, cell in zip(ends, cells):
                count += cell
                samples.append(("_bucket", (*pairs, ("le", end)), count))
            samples += [("_sum", pairs, cells[-1]), ("_count", pairs, count)]
        return Family(self.name, self.kind, self.help, tuple(samples))


class Metrics:
    """All metrics of a program. Declare them, :meth:`seal` them, fork, and :meth:`use` a slot in each process."""

    def __init__(self) -> None:
        self._all: dict[str, _Metric] = {}
        self._others: list[Callable[[], Iterable[Family]]] = []
        self._end = 0
        self._slots: list[Any] = []
        self.owner = 0

    def counter(self, name: str, help: str, **labels: tuple[str, ...]) -> Counter:
        """Declare a counter; its name ends in ``_total``."""
        metric = Counter(name, help, labels, self._end)
        self._declare(metric)
        return metric

    def gauge(self, name: str, help: str, how: str = "sum", **labels: tuple[str, ...]) -> Gauge:
        """Declare a gauge; ``how`` is ``sum`` or ``max``."""
        metric = Gauge(name, help, labels, self._end, how)
        self._declare(metric)
        return metric

    def histogram(self, name: str, help: str, bounds: tuple[float, ...] = SECONDS, **labels: tuple[str, ...]) -> Histogram:
        """Declare a histogram."""
        metric = Histogram(name, help, labels, self._end, bounds)
        self._declare(metric)
        return metric

    def also(self, read: Callable[[], Iterable[Family]]) -> None:
        """Ask ``read`` for more whenever the text is made: what others count already."""
        self._others.append(read)

    def _declare(self, metric: _Metric) -> None:
        if self._slots or metric.name in self._all:
            raise ValueError(f"{metric.name} is declared twice, or too late")
        self._all[metric.name] = metric
        self._end = metric.place()

    def seal(self, slots: int = 1) -> None:
        """Make room for ``slots`` processes and let this one use the first. Again, before anything is forked: all begins at nothing."""
        import mmap

        stride = -(-(self._end + _OWN) // _LINE) * _LINE
        # Not closed: it lasts as long as the process, and the views keep it.
        cells = memoryview(mmap.mmap(-1, stride * 8 * slots)).cast("d")
        self._slots = [cells[index * stride : (index + 1) * stride] for index in range(slots)]
        self.owner = os.getpid()
        for index in range(slots):
            self.forget(index)
        self.use(0)

    def use(self, slot: int) -> None:
        """Let this process write into ``slot`` from now on: what it counted stays, its gauges begin anew."""
        pid = os.getpid()
        for index in {slot, *(index for index, user in enumerate(self.processes()) if user == pid)}:
            self.forget(index)
        cells, lock = self._slots[slot], RLock()
        cells[_PID] = pid
        for metric in self._all.values():
            metric.cells, metric.lock = cells, lock
        self._own = cells

    def forget(self, slot: int) -> None:
        """The process of ``slot`` is gone: what it counted stays, its gauges do not."""
        cells = self._slots[slot]
        cells[_PID] = 0
        for metric in self._all.values():
            if isinstance(metric, Gauge):
                for at in metric.at.values():
                    cells[at] = UNSET

    def processes(self) -> list[int]:
        """The process of each slot, by number; 0 for one that nobody uses."""
        return [int(cells[_PID]) for cells in self._slots]

    def highest(self, value: float) -> float:
        """The highest ``value`` that any process has told here: a sum over processes must not shrink when one of them ends."""
        self._own[_HIGHEST] = max(value, self._own[_HIGHEST])
        return float(max(cells[_HIGHEST] for cells in self._slots))

    def families(self) -> list[Family]:
        """Every metric that has a series, read now."""
        rows = [cells.tolist() for cells in self._slots]
        total = rows[0] if len(rows) == 1 else [sum(column) for column in zip(*rows)]
        found = [metric.read(total, rows) for metric in self._all.values()]
        for read in self._others:
            found.extend(read())
        return [family for family in found if family.samples]

    def text(self) -> str:
        """Everything in the text format 0.0.4."""
        lines = []
        for family in self.families():
            name = family.name
            lines.append(f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.kind}\n")
            for ending, pairs, value in family.samples:
                labels = ",".join(f'{label}="{_quoted(said)}"' for label, said in pairs)
                lines.append(f"{name}{ending}{'{' + labels + '}' if labels else ''} {_number(value)}\n")
        return "".join(lines)


def _number(value: float) -> str:
    """A number as Go reads it: no needless ``.0``, every bit kept.

    >>> _number(3.0), _number(0.0025), _number(1e300), _number(float("inf"))
    ('3', '0.0025', '1e+300', '+Inf')
    """
    if value != value:  # noqa: PLR0124 - that is what NaN is
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')

"""One cycle after the other: read the node, judge it, and compare with the cycle before.

Knows when a cycle begins, what is remembered between cycles and what counts as a change; must not know how a node is read or judged, nor
where a change is written. Cycles begin at multiples of the interval after the first one, so they do not drift; one that takes longer than
the interval costs the beginnings that it covers, so none overlap.

>>> schedule = Schedule(60.0, 1000.0)
>>> schedule.next_start(1010.0), schedule.next_start(1200.5), schedule.skipped
((1060.0, 0), (1240.0, 2), 2)

Four things are remembered besides the last report and snapshot:

* the answers of the GPUs, which are used again for :data:`REUSE_S` seconds: short intervals must not keep a driver busy;
* readings that were there and could not be read any more: when they return, they are compared with what they were, so that a driver that
  was replaced while nobody could read it is a change;
* findings that a recipe has no more because what it is chosen by cannot be read: they are unknown until it can;
* collectors whose last process is stuck in the kernel: another one would be stuck, too, so they fail until that process has ended.

A cycle that cannot read anything leaves nothing as it was: every finding is unknown then.
"""

from __future__ import annotations

import time

from eidos import __version__
from eidos.collector_runner import NO_ANSWER
from eidos.diff.documents import NEW, OTHER, RESOLVED
from eidos.errors import EidosError, Unavailable
from eidos.model.check_report import CheckReport
from eidos.model.finding import NOT_APPLICABLE, UNKNOWN
from eidos.model.measurement import FAILED, Measurement, Outcome, Subtype
from eidos.model.node_change import APPEARED, CHANGED, GONE, FindingChange, NodeChange, ReadingCount
from eidos.model.record import Record, replace
from eidos.process.child import reap_children
from eidos.workflow import compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eidos.collector_runner import Result
    from eidos.model.diff import Change
    from eidos.model.finding import Finding
    from eidos.model.snapshot import Snapshot

#: Seconds for which answers of the GPUs are used again.
REUSE_S = 5.0

#: The collector whose answers these are, and the type of its measurement.
GPU, GPU_TYPE = "gpu", "GPU"

#: Processes that were killed and have not ended, at most: above that nothing is read.
STUCK_LIMIT = 64

_STUCK = "not read: the process of an earlier cycle is stuck in the kernel"
_CHANGE_OF_GROUP = {NEW: APPEARED, RESOLVED: GONE, OTHER: CHANGED}


class Cycle(Record):
    """What came of a cycle: the ``report`` (None when the first ones failed), the ``change`` since the cycle before (None: nothing).

    ``failure`` is why it failed, "" when it did not, and ``hint`` what to do about that.

    ``outcomes`` are those of the collectors, ``stuck`` is how many killed processes have not ended.
    """

    report: CheckReport | None
    change: NodeChange | None = None
    failure: str = ""
    hint: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    stuck: int = 0


class NodeWatch:
    """The cycles of one node.

    ``read`` takes a snapshot with the results of collectors that need not run; ``judge`` makes its report.
    """

    def __init__(
        self,
        read: Callable[[Mapping[str, Result]], Snapshot],
        judge: Callable[[Snapshot], CheckReport],
        *,
        clock: Callable[[], float] = time.monotonic,
        reap: Callable[[], int] = reap_children,
    ) -> None:
        self._read, self._judge, self._clock, self._reap = read, judge, clock, reap
        self._report: CheckReport | None = None
        self._snapshot: Snapshot | None = None
        self._gpu: Result | None = None
        self._gpu_read_at = 0.0
        self._late: set[str] = set()
        #: Paths of readings that were there before and cannot be read now.
        self._lost: set[str] = set()
        #: Collectors that fail although no finding is missing because of that.
        self._failing: set[str] = set()

    def run_cycle(self) -> Cycle:
        """Read, judge and compare; an EidosError of reading or judging costs this cycle, and is not raised."""
        stuck = self._reap()
        try:
            if stuck >= STUCK_LIMIT:
                raise Unavailable(f"{stuck} processes are stuck in the kernel", "reboot the node")
            began = self._clock()
            snapshot = self._read(self._known_results(began, stuck))
            self._remember_results(snapshot, began)
            report = self._with_unjudged(self._judge(snapshot), snapshot)
        except EidosError as fault:
            if self._report is None:
                return Cycle(None, None, fault.message, fault.hint, stuck=stuck)
            report = _unknown_report(self._report, fault.message)
            change = self._describe(report, None, fault.message)
            self._report = report
            return Cycle(report, change, fault.message, fault.hint, stuck=stuck)
        change = self._describe(report, snapshot)
        self._report = report
        return Cycle(report, change, outcomes=snapshot.collectors, stuck=stuck)

    def _known_results(self, now: float, stuck: int) -> dict[str, Result]:
        known: dict[str, Result] = {}
        if self._gpu is not None and now - self._gpu_read_at < REUSE_S:
            known[GPU] = self._gpu
        if not stuck:
            self._late.clear()
        hint = "see 'ps -eo pid,stat,wchan:30,args' for processes in state D; a reboot ends them"
        known.update((name, (Outcome(name, FAILED, 0.0, _STUCK, hint), ())) for name in self._late)
        return known

    def _remember_results(self, snapshot: Snapshot, began: float) -> None:
        for outcome in snapshot.collectors:
            if outcome.reason == NO_ANSWER:
                self._late.add(outcome.name)
            if outcome.name == GPU and (self._gpu is None or outcome is not self._gpu[0]):
                parts = tuple(
                    part for measurement in snapshot.measurements if measurement.type == GPU_TYPE for part in measurement.subtypes
                )
                self._gpu = None if outcome.outcome == FAILED else (outcome, parts)
                self._gpu_read_at = began

    def _with_unjudged(self, report: CheckReport, snapshot: Snapshot) -> CheckReport:
        """The report, and as unknown what it has no more, if collectors fail that did not: the recipe may be another one."""
        failing = {outcome.name for outcome in snapshot.collectors if outcome.outcome == FAILED}
        names = ", ".join(sorted(failing - self._failing))
        judged = {finding.id for finding in report.findings if finding.status != NOT_APPLICABLE}
        before = self._report.findings if self._report and names else ()
        missing = [finding for finding in before if finding.id not in judged and finding.status != NOT_APPLICABLE]
        if not missing:
            self._failing = failing
            return report
        unknown = _unknown_findings(missing, f"not judged, because it is for what {names} reads, which failed")
        ids = {finding.id for finding in missing}
        others = (finding for finding in report.findings if finding.id not in ids)
        return replace(report, findings=tuple(sorted((*others, *unknown), key=lambda finding: finding.sort_key())))

    def _describe(self, report: CheckReport, snapshot: Snapshot | None, failure: str = "") -> NodeChange | None:
        """What changed; None for nothing. The snapshot becomes the one with which the next is compared."""
        before = self._report or CheckReport("", __version__, report.node)
        diff = compare(before, report)
        findings = _finding_changes(diff.changes, before, report)
        sentences = [failure or diff.sentence] if findings else []
        readings: tuple[Change, ...] = ()
        lost: list[Change] = []
        regained: list[Change] = []
        if snapshot is not None:
            if self._snapshot is not None:
                difference = compare(self._snapshot, snapshot)
                readings = difference.changes
                lost = [change for change in difference.unread if change.new is None]
                regained = [change for change in difference.unread if change.old is None]
                if readings:
                    sentences.append(difference.sentence.partition(";")[0])
                snapshot = carry_over(self._snapshot, snapshot, {change.path for change in lost})
            newly_lost = [change for change in lost if change.path not in self._lost]
            self._lost = {change.path for change in lost}
            self._snapshot = snapshot
            lost = newly_lost
        if lost:
            sentences.append(f"{len(lost)} not readable any more")
        if regained:
            sentences.append(f"{len(regained)} readable now")
        if not sentences and self._report is not None:
            return None
        return NodeChange(
            timestamp=report.timestamp,
            node=report.node,
            sentence=", ".join(sentences) if self._report else report.verdict(),
            summary=report.summary(),
            since=self._report.timestamp if self._report else "",
            findings=findings,
            readings=readings,
            unreadable=_count(lost),
            readable=_count(regained),
            plugins=report.plugins,
        )


def _unknown_report(report: CheckReport, why: str) -> CheckReport:
    """A report with every finding unknown, because nothing could be read."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    findings = sorted(_unknown_findings(report.findings, why), key=lambda finding: finding.sort_key())
    return replace(report, timestamp=now, findings=tuple(findings))


def _unknown_findings(findings: Iterable[Finding], why: str) -> list[Finding]:
    """The findings as unknown, but for those that do not apply."""
    return [
        finding if finding.status == NOT_APPLICABLE else replace(finding, status=UNKNOWN, actual="", reason=why, remedy=None, evidence={})
        for finding in findings
    ]


def _finding_changes(changes: Iterable[Change], before: CheckReport, after: CheckReport) -> tuple[FindingChange, ...]:
    old, new = ({finding.id: finding for finding in report.findings} for report in (before, after))
    result = []
    for change in changes:
        finding = new.get(change.path) or old.get(change.path)
        if change.group not in _CHANGE_OF_GROUP or finding is None:  # a note of the report
            continue
        was = old[change.path].status if change.path in old else ""
        is_there = change.path in new
        result.append(
            FindingChange(
                finding.id,
                _CHANGE_OF_GROUP[change.group],
                finding.title,
                finding.severity,
                finding.status if is_there else NOT_APPLICABLE,
                was,
                finding.path,
                finding.expected,
                finding.actual if is_there else "",
                finding.reason,
            )
        )
    return tuple(result)


def _count(changes: Sequence[Change]) -> tuple[ReadingCount, ...]:
    counts: dict[tuple[str, str], int] = {}
    for change in changes:
        counts[change.group, change.why] = counts.get((change.group, change.why), 0) + 1
    return tuple(ReadingCount(group, number, why) for (group, why), number in counts.items())


def carry_over(old: Snapshot, new: Snapshot, paths: set[str]) -> Snapshot:
    """``new`` with the readings at ``paths`` as they are in ``old``; ``new`` has none there."""
    if not paths:
        return new
    subtypes = {(m.type, s.name): s for m in new.measurements for s in m.subtypes}
    types = dict.fromkeys(m.type for m in (*new.measurements, *old.measurements))
    for m in old.measurements:
        for s in m.subtypes:
            restored = {key: value for key, value in s.data.items() if f"{m.type}.{s.name}.{key}" in paths}
            if restored:
                now = subtypes.get((m.type, s.name), Subtype(s.name, {}))
                subtypes[m.type, s.name] = replace(now, data={**restored, **now.data})
    measurements = tuple(Measurement(name, tuple(s for (kind, _), s in subtypes.items() if kind == name)) for name in types)
    return replace(new, measurements=measurements)


class Schedule:
    """The beginnings of cycles: each ``interval_s`` seconds from ``start`` on (a time of ``time.monotonic``).

    ``skipped`` is how many were passed over, because the cycle before was not over.
    """

    def __init__(self, interval_s: float, start: float) -> None:
        self._interval_s = interval_s
        self._start = start
        self._number = 0
        self.skipped = 0

    def next_start(self, now: float) -> tuple[float, int]:
        """When the next cycle begins, not before ``now``, and how many beginnings that passes over."""
        number = self._number + 1
        due = self._start + number * self._interval_s
        if due < now:
            # A beginning that is now or later: rounding must not give one of the past.
            number = int((now - self._start) // self._interval_s) + 1
            due = max(self._start + number * self._interval_s, now)
        skipped = number - self._number - 1
        self._number = number
        self.skipped += skipped
        return due, skipped


def wait_until(
    due: float, clock: Callable[[], float], sleep: Callable[[float], object], between: Callable[[], object], slice_s: float
) -> None:
    """Wait until ``due`` on ``clock``, and call ``between`` each ``slice_s`` seconds meanwhile."""
    while (left := due - clock()) > 0:
        sleep(min(left, slice_s))
        between()

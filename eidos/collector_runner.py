"""Runs collectors side by side, in child processes that can be abandoned, and reports their outcomes.

Knows which child runs which collectors, the frames that a child sends to its parent, and what a failure costs; must not know any
particular source, nor what a snapshot is made of.

A child runs one collector, or a batch of those that only read files, one after the other. When one of a batch is stuck, the rest of
the batch goes on in another child; the stuck one still has until the deadline. It is all done by one thread, so a child can be forked
at any time.
"""

from __future__ import annotations

import errno
import os
import select
import time

from eidos import collectors, log
from eidos.collectors import absent_services, batches, shares_child
from eidos.errors import EidosError, NotApplicable, Outdated, Unavailable, os_error_reason
from eidos.model.measurement import (
    ABSENT,
    DIGEST,
    FAILED,
    OK,
    PARTIAL,
    REVEALED,
    SECRET,
    SKIPPED,
    UNREADABLE,
    VOLATILE,
    Gap,
    Outcome,
    Subtype,
)
from eidos.process.child import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Callable

    from eidos.collectors import CollectFunction, Sources
    from eidos.process.child import Frame

    Result = tuple[Outcome, tuple[Subtype, ...]]

#: Children that run at the same time, at most; those that are stuck do not count.
MAX_RUNNING = 5

#: A collector of a batch that has sent nothing for this many seconds, or for this part of the time that all have, is stuck.
STUCK_S, STUCK_PART = 0.5, 0.05

#: Seconds in which a batch may send more before it is read again: each time costs as much as reading three files.
PAUSE_S = 0.002

#: Seconds after the deadline in which what was sent before it is still read.
GRACE_S = 0.1

#: The system has no descriptor or no memory left.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

#: Why a collector failed that was stuck until the deadline, or was still at work.
NO_ANSWER = "no answer before the deadline"

DEADLINE_HINT = "use a longer --timeout, or exclude it with --skip"


def run_collectors(
    names: tuple[str, ...],
    sources: Sources,
    load_collector: Callable[[str], CollectFunction],
    fail_fast: bool,
    siblings: Sequence[Child],
    absent: frozenset[str] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, Result]:
    """Run collectors until all are done or the deadline has passed; the result of each, by name.

    ``siblings`` are children that were forked before; ``absent`` are collectors that need no process of their own (default:
    :func:`absent_services`). ``meanwhile`` is called once while they run; it must neither start a thread nor read what may block, because
    the deadline is not looked at until it returns, and may raise.
    Warnings are logged last, together. With ``fail_fast`` the first failure is raised as an EidosError, and the rest is stopped.
    """
    if absent is None:  # of a loader of the caller's it is not known what its collectors do
        absent = absent_services(sources.host.root) if load_collector is collectors.load_collector else frozenset()
    collectors.prepare_children([name for name in names if name not in absent])
    run = _Run(names, sources, load_collector, siblings, absent)
    try:
        for outcome in run.outcomes(meanwhile):
            if not _is_warning(outcome):
                _log_group(outcome)
            if fail_fast and outcome.outcome == FAILED:
                raise EidosError(f"{outcome.name}: {outcome.reason}", outcome.hint or "omit --fail-fast to collect the rest")
    finally:
        run.close()
    log_outcomes(run.results[name][0] for name in names if _is_warning(run.results[name][0]))
    return run.results


class _Job:
    """A child, the collectors that it has yet to finish, and what the first of them has sent so far."""

    def __init__(self, child: Child, names: list[str]) -> None:
        self.child = child
        self.names = names
        self.is_stuck = False
        self.begin()

    def begin(self) -> None:
        """Expect the frames of the next collector."""
        self.report = _Report(self.names[0])
        self.heard = self.report.began
        self.child.received_bytes = 0


class _Run:
    """Batches that wait, children that run, and results."""

    def __init__(
        self,
        names: tuple[str, ...],
        sources: Sources,
        load_collector: Callable[[str], CollectFunction],
        siblings: Sequence[Child],
        absent: frozenset[str],
    ) -> None:
        self.results: dict[str, Result] = {}
        self._sources = sources
        self._load_collector = load_collector
        self._siblings = siblings
        self._absent = absent
        self._waiting = batches(names, absent)
        self._jobs: dict[int, _Job] = {}
        self._poll = select.poll()
        self._sends_more = False
        self._stuck_s = min(STUCK_S, (sources.deadline - time.monotonic()) * STUCK_PART)
        self._refusal: Unavailable | None = None

    def outcomes(self, meanwhile: Callable[[], object]) -> Iterator[Outcome]:
        """Yield the outcome of each collector as it ends; the first have started when ``meanwhile`` is called."""
        yield from self._start()
        meanwhile()
        while self._waiting or self._jobs:
            yield from self._start()
            now = time.monotonic()
            left = self._sources.deadline - now
            ready = self._poll.poll(self._patience(now) * 1000 + 1 if left > 0 else 0)
            for fd, _ in ready:
                yield from self._receive(fd)
            if left <= (-GRACE_S if ready else 0.0):
                yield from self._give_up()
            else:
                self._split_stuck()
            if self._sends_more:
                time.sleep(PAUSE_S)

    def close(self) -> None:
        """Kill the children that still run."""
        for job in self._jobs.values():
            job.child.close()

    def _start(self) -> Iterator[Outcome]:
        """Start as many batches as may run; those that cannot be started wait for a child to end, and fail when there is none."""
        while self._waiting and sum(not job.is_stuck for job in self._jobs.values()) < MAX_RUNNING:
            if time.monotonic() >= self._sources.deadline:
                return
            names = self._waiting[0]
            try:
                child = Child(self._producer(names), [*self._siblings, *(job.child for job in self._jobs.values())])
            except Unavailable as fault:
                self._refusal = fault
                if self._jobs:
                    return
                del self._waiting[0]
                for name in names:
                    yield self._add((Outcome(name, FAILED, 0.0, fault.message, fault.hint), ()))
                continue
            del self._waiting[0]
            self._jobs[child.fileno()] = _Job(child, names)
            self._poll.register(child, select.POLLIN)

    def _producer(self, names: list[str]) -> Callable[[], Iterator[Frame]]:
        batch = tuple(names)

        def produce() -> Iterator[Frame]:
            for name in batch:
                yield from _collector_frames(name, self._sources, self._load_collector)

        return produce

    def _patience(self, now: float) -> float:
        """Seconds until something is due although no child sends anything."""
        due = [job.heard + self._stuck_s for job in self._jobs.values() if self._may_be_stuck(job)]
        return max(min([self._sources.deadline, now + 60.0, *due]) - now, 0.0)

    def _may_be_stuck(self, job: _Job) -> bool:
        return bool(job.names) and not job.is_stuck and (shares_child(job.names[0]) or job.names[0] in self._absent)

    def _receive(self, fd: int) -> Iterator[Outcome]:
        job = self._jobs[fd]
        try:
            frames = job.child.receive()
            self._sends_more = bool(frames) and len(job.names) > 1
            if frames is None:
                return self._end(fd)
            for frame in frames:
                if job.names and job.report.add(frame):
                    del job.names[0]
                    yield self._add(job.report.result(self._sources))
                    if job.names:
                        job.is_stuck = False
                        job.begin()
        except EidosError as fault:
            if job.names:
                job.report.end(fault.message, fault.hint)
                yield self._add(job.report.result(self._sources))
                self._waiting[:0] = [job.names[1:]] if job.names[1:] else []
            return self._end(fd)
        job.heard = time.monotonic()
        if not job.names and (job.is_stuck or job.child.is_finished):  # or it would go on with what another child does by now
            self._end(fd)
        return None

    def _end(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._jobs.pop(fd).child.close()

    def _split_stuck(self) -> None:
        """Let another child go on with what waits behind a collector that is stuck."""
        now = time.monotonic()
        for job in self._jobs.values():
            if self._may_be_stuck(job) and now - job.heard >= self._stuck_s:
                job.is_stuck = True
                if job.names[1:]:
                    log.debug(f"{job.names[0]} takes long, so the rest of its batch goes on in another process")
                    self._waiting.insert(0, job.names[1:])
                    del job.names[1:]

    def _give_up(self) -> Iterator[Outcome]:
        """The deadline has passed."""
        late = [job for job in self._jobs.values() if job.names]
        not_started = [name for job in late for name in job.names[1:]] + [name for batch in self._waiting for name in batch]
        for job in late:
            job.report.end(NO_ANSWER, DEADLINE_HINT)
            yield self._add(job.report.result(self._sources))
        for name in not_started:
            reason, hint = "not started before the deadline", DEADLINE_HINT
            if self._refusal:
                reason, hint = self._refusal.message, self._refusal.hint or hint
            report = _Report(name)
            report.end(reason, hint)
            yield self._add(report.result(self._sources))
        self._waiting.clear()
        for fd in list(self._jobs):
            self._end(fd)

    def _add(self, result: Result) -> Outcome:
        self.results[result[0].name] = result
        return result[0]


def _collector_frames(name: str, sources: Sources, load_collector: Callable[[str], CollectFunction]) -> Iterator[Frame]:
    """The child's side of one collector: every part, and how it ended, as frames of plain values."""
    lines: list[Frame] = []
    log.divert(lambda level, message, fields: lines.append(("log", level, message, _as_texts(fields))))
    began = time.monotonic()
    end: Frame = (OK, None, None, None)
    try:
        for part in load_collector(name)(sources):
            yield from lines
            lines.clear()
            if isinstance(part, Gap):
                yield ("gap", part.kind, part.what, part.why)
            else:
                yield ("subtype", part.name, part.data, part.context)
    except NotApplicable as why:
        end = (SKIPPED, why.reason, why.hint, None)
    except EidosError as fault:
        end = (FAILED, fault.message, fault.hint, fault.age if isinstance(fault, Outdated) else None)
    except Exception as fault:  # a bug in a collector costs its outcome, not the document
        if isinstance(fault, OSError) and fault.errno in _EXHAUSTED:  # not even the modules that describe a bug can be read
            end = (FAILED, os_error_reason(fault), "raise the limits of memory and of open files (ulimit -n)", None)
        else:
            is_ours = not collectors.is_added(name)
            end = (FAILED, _describe_bug(fault), f"report this as a bug in {'eidos' if is_ours else 'the plug-in'}", None)
    except SystemExit:
        end = (FAILED, "the collector ended its process", "report this to the author of the plug-in", None)
    yield from lines
    yield ("end", (time.monotonic() - began) * 1000, *end)


def _describe_bug(fault: Exception) -> str:
    import traceback

    from eidos.redact.secrets_in_text import redact_text

    for line in traceback.format_exc().splitlines():
        log.debug(line if line.startswith("  File ") else redact_text(line)[0])
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    return f"internal error at {os.path.basename(frame.filename)}:{frame.lineno}: {type(fault).__name__}: {redact_text(str(fault))[0]}"


def _as_texts(fields: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if value is not None}


class _Report:
    """The parent's side of one collector: the subtypes that it yielded, and its outcome."""

    def __init__(self, name: str) -> None:
        self.began = time.monotonic()
        self._name = name
        self._received: dict[str, Subtype] = {}
        self._gaps: list[Gap] = []
        self._end: tuple[str, str | None, str | None, int | None] = (FAILED, "no answer", None, None)
        self._milliseconds: float | None = None

    def add(self, frame: Frame) -> bool:
        """Take a frame; True when it is the last."""
        kind, *rest = frame
        if kind == "subtype":
            part = Subtype(*rest)
            before = self._received.get(part.name)
            self._received[part.name] = (
                part if before is None else Subtype(part.name, {**before.data, **part.data}, {**before.context, **part.context})
            )
        elif kind == "gap":
            self._gaps.append(Gap(*rest))
        elif kind == "log":
            log.emit(rest[0], rest[1], {"collector": self._name, **rest[2]})
        else:
            self._milliseconds, *end = rest
            self._end = (end[0], end[1], end[2], end[3])
            return True
        return False

    def end(self, reason: str, hint: str | None) -> None:
        """Note that the collector failed, without a frame that says so."""
        self._end = (FAILED, reason, hint, None)

    def result(self, sources: Sources) -> Result:
        """The outcome and the subtypes."""
        outcome, reason, hint, stale = self._end
        milliseconds = (time.monotonic() - self.began) * 1000 if self._milliseconds is None else self._milliseconds
        subtypes = tuple(subtype for subtype in self._received.values() if sources.volatile or not subtype.name.endswith(VOLATILE))
        gaps = self._gaps
        unreadable, absent = ({gap.what: gap.why for gap in gaps if gap.kind == kind} for kind in (UNREADABLE, ABSENT))
        if (outcome == OK and unreadable) or (outcome == FAILED and (subtypes or stale is not None)):
            outcome = PARTIAL
        withheld = tuple(gap.what for gap in gaps if gap.kind == SECRET)
        revealed = tuple(sorted({gap.what for gap in gaps if gap.kind == REVEALED}))
        digests = {gap.what: gap.why for gap in gaps if gap.kind == DIGEST}
        milliseconds, count = round(milliseconds, 1), len(withheld)
        return Outcome(
            self._name, outcome, milliseconds, reason, hint, unreadable, absent, count, stale, revealed, withheld, digests
        ), subtypes


def log_outcomes(outcomes: Iterable[Outcome]) -> None:
    """Log outcomes, those with the same reason in one line: a cluster that is down fails every collector that needs it."""
    groups: dict[tuple[str, str | None, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.outcome, outcome.reason, outcome.hint), []).append(outcome)
    for group in groups.values():
        _log_group(*group)


def _is_warning(outcome: Outcome) -> bool:
    # A skip with a hint is worth a warning: a GPU host without its driver, for example.
    return outcome.outcome == FAILED or (outcome.outcome == SKIPPED and bool(outcome.hint))


def _log_group(*outcomes: Outcome) -> None:
    first, names = outcomes[0], ", ".join(outcome.name for outcome in outcomes)
    emit = log.warn if _is_warning(first) else log.debug if first.outcome == OK else log.info
    emit(
        f"{names}: {first.outcome}" + (f": {first.reason}" if first.reason else ""),
        collector=names,
        duration_ms=max(outcome.milliseconds for outcome in outcomes),
        unreadable=len(first.unreadable) or None,
        hint=first.hint,
    )

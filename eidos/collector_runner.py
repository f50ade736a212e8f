"""Runs collectors side by side, each in a child process that can be abandoned, and reports their outcomes.

Knows the order in which children are forked, the frames that a child sends to its parent, and what a failure costs; must not know
any particular source, nor what a snapshot is made of.
"""

from __future__ import annotations

import os
import time

from eidos import log
from eidos.collectors import start_order
from eidos.errors import EidosError, NotApplicable, Outdated, Timeout, Unavailable
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
    from eidos.process.thread_pool import Future

    Result = tuple[Outcome, tuple[Subtype, ...]]

#: Collectors that run at the same time, at most.
MAX_RUNNING = 5


def run_collectors(
    names: tuple[str, ...], sources: Sources, load_collector: Callable[[str], CollectFunction], fail_fast: bool, siblings: Sequence[Child]
) -> dict[str, Result]:
    """Run collectors until all are done or the deadline has passed; the result of each, by name.

    ``siblings`` are children that were forked before. Warnings are logged last, together. With ``fail_fast`` the first failure is
    raised as an EidosError, and the rest is stopped.
    """
    children: dict[str, Child] = {}
    results: dict[str, Result] = {}

    def add(result: Result) -> None:
        outcome = result[0]
        results[outcome.name] = result
        if not _is_warning(outcome):
            _log_group(outcome)
        if fail_fast and outcome.outcome == FAILED:
            raise EidosError(f"{outcome.name}: {outcome.reason}", outcome.hint or "omit --fail-fast to collect the rest")

    supervised: dict[str, Result] = {}

    def supervise(name: str) -> Result:
        result = supervised[name] = _supervise(name, children[name], sources)
        return result

    try:
        for name in sorted(names, key=start_order):
            try:
                children[name] = Child(_producer(name, sources, load_collector), [*siblings, *children.values()])
            except Unavailable as fault:
                add((Outcome(name, FAILED, 0.0, fault.message, fault.hint), ()))
            else:
                if len(children) <= MAX_RUNNING:
                    children[name].start()
        # Imported only now: that takes longer than most collectors take to finish.
        from eidos.process.thread_pool import ThreadPoolExecutor, as_completed

        with ThreadPoolExecutor(max_workers=MAX_RUNNING) as pool:
            try:
                futures: list[Future[Result]] = []
                try:
                    futures.extend(pool.submit(supervise, name) for name in children)
                except RuntimeError as fault:  # the system has no thread left
                    log.debug(f"waiting for collectors one at a time: {fault}")
                    for child in children.values():  # none waits for the slowest of those before it
                        child.start()
                for future in as_completed(futures):
                    add(future.result())
            except BaseException:
                for child in children.values():
                    child.kill()
                raise
        # The pool may have done one whose submission failed.
        for name in children:
            if name not in results:
                add(supervised.get(name) or supervise(name))
    finally:
        for child in children.values():
            child.close()
    log_outcomes(results[name][0] for name in names if _is_warning(results[name][0]))
    return results


def _producer(name: str, sources: Sources, load_collector: Callable[[str], CollectFunction]) -> Callable[[], Iterator[Frame]]:
    """The child's side of one collector: every part, and how it ended, as frames of plain values."""

    def produce() -> Iterator[Frame]:
        lines: list[Frame] = []
        log.divert(lambda level, message, fields: lines.append(("log", level, message, _as_texts(fields))))
        began = time.monotonic()
        end: Frame = ("end", OK, None, None, None)
        try:
            for part in load_collector(name)(sources):
                yield from lines
                lines.clear()
                if isinstance(part, Gap):
                    yield ("gap", part.kind, part.what, part.why)
                else:
                    yield ("subtype", part.name, part.data, part.context)
        except NotApplicable as why:
            end = ("end", SKIPPED, why.reason, why.hint, None)
        except EidosError as fault:
            end = ("end", FAILED, fault.message, fault.hint, fault.age if isinstance(fault, Outdated) else None)
        except Exception as fault:  # a bug in a collector costs its outcome, not the document
            end = ("end", FAILED, _describe_bug(fault), "report this as a bug in eidos", None)
        yield from lines
        yield ("time", (time.monotonic() - began) * 1000)
        yield end

    return produce


def _describe_bug(fault: Exception) -> str:
    import traceback

    from eidos.redact.secrets_in_text import redact_text

    for line in traceback.format_exc().splitlines():
        log.debug(line)
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    return f"internal error at {os.path.basename(frame.filename)}:{frame.lineno}: {type(fault).__name__}: {redact_text(str(fault))[0]}"


def _as_texts(fields: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if value is not None}


def _supervise(name: str, child: Child, sources: Sources) -> Result:
    """The parent's side of one collector: the subtypes that it yielded, and its outcome."""
    received: dict[str, Subtype] = {}
    gaps: list[Gap] = []
    began = time.monotonic()
    starts_late = began >= sources.deadline and not child.is_started
    outcome, reason, hint = FAILED, "no answer", None
    milliseconds = stale = None
    try:
        for frame in child.frames(sources.deadline):
            assert isinstance(frame, tuple)
            kind, *rest = frame
            if kind == "subtype":
                part = Subtype(*rest)
                before = received.get(part.name)
                received[part.name] = (
                    part if before is None else Subtype(part.name, {**before.data, **part.data}, {**before.context, **part.context})
                )
            elif kind == "gap":
                gaps.append(Gap(*rest))
            elif kind == "log":
                log.emit(rest[0], rest[1], {"collector": name, **rest[2]})
            elif kind == "time":
                milliseconds = rest[0]
            else:
                outcome, reason, hint, stale = rest
    except Timeout:
        reason = "not started before the deadline" if starts_late else "no answer before the deadline"
        hint = "use a longer --timeout, or exclude it with --skip"
    except EidosError as fault:
        reason, hint = fault.message, fault.hint
    finally:
        child.close()
    if milliseconds is None:
        milliseconds = (time.monotonic() - began) * 1000
    subtypes = tuple(subtype for subtype in received.values() if sources.volatile or not subtype.name.endswith(VOLATILE))
    unreadable, absent = ({gap.what: gap.why for gap in gaps if gap.kind == kind} for kind in (UNREADABLE, ABSENT))
    if (outcome == OK and unreadable) or (outcome == FAILED and (subtypes or stale is not None)):
        outcome = PARTIAL
    withheld = tuple(gap.what for gap in gaps if gap.kind == SECRET)
    revealed = tuple(sorted({gap.what for gap in gaps if gap.kind == REVEALED}))
    digests = {gap.what: gap.why for gap in gaps if gap.kind == DIGEST}
    milliseconds, count = round(milliseconds, 1), len(withheld)
    return Outcome(name, outcome, milliseconds, reason, hint, unreadable, absent, count, stale, revealed, withheld, digests), subtypes


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

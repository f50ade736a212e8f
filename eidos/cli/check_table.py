"""Reports as text for people: the verdict in one line, then findings, worst first, in three lines each.

Knows what people look for in a report and in which order; must not know any check, nor where the text goes.
"""

from __future__ import annotations

from eidos.check.report_groups import comparison_text, remedy_lines, unknown_reason
from eidos.formats.table import INDENT, heading, join_blocks, line_width, wrap
from eidos.log import printable
from eidos.model.finding import CRITICAL, ERROR, FAIL, INFO, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED, WARNING
from eidos.terminal import BOLD, CYAN, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eidos.check.definitions import CheckDefinition
    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

_COLOURS = {CRITICAL: RED, ERROR: RED, WARNING: YELLOW, INFO: CYAN}
_STATUS_COLOURS = {PASS: GREEN, UNKNOWN: YELLOW}

#: Width of the column in front of a finding: the longest severity.
_COLUMN = 10


def check_table(reports: Sequence[CheckReport], width: int, colour: bool, show_all: bool = False) -> str:
    """Reports one after the other, in lines of at most ``width`` columns; ``show_all`` adds what passed and what does not apply."""
    return "\n".join(join_blocks(_report(report, line_width(width), colour, show_all)) for report in reports)


def _report(report: CheckReport, width: int, colour: bool, show_all: bool) -> Iterator[list[str]]:
    yield _verdict(report, width, colour)
    shown = [f for f in report.findings if f.status == FAIL or (show_all and f.status in (PASS, NOT_APPLICABLE))]
    domains = dict.fromkeys(finding.domain for finding in shown)
    for domain in domains:
        group = [finding for finding in shown if finding.domain == domain]
        yield [heading(domain, _tally(group), width, BOLD if colour else ""), *(line for f in group for line in _finding(f, width, colour))]
    waived = [finding for finding in report.findings if finding.status == WAIVED]
    if waived:
        lines = [line for f in waived for line in _hanging(f"{WAIVED:<{_COLUMN}}{f.title} [{f.id}]: {f.waiver}", width)]
        yield [heading("Waived", str(len(waived)), width, BOLD if colour else ""), *lines]
    unknown = [finding for finding in report.findings if finding.status == UNKNOWN]
    if unknown:
        yield [heading("Unknown", str(len(unknown)), width, BOLD if colour else ""), *_unknown(unknown, width, colour)]


def _verdict(report: CheckReport, width: int, colour: bool) -> list[str]:
    failed = [finding.severity for finding in report.findings if finding.status == FAIL]
    shade = next((_COLOURS[severity] for severity in (CRITICAL, ERROR, WARNING, INFO) if severity in failed), GREEN)
    text = "; ".join((f"{report.node or 'unknown node'}: {report.verdict()}", *report.notes))
    return [paint(line, shade, colour) for line in wrap(printable(text), width, 9)]


def _tally(group: Sequence[Finding]) -> str:
    counts = {severity: sum(f.status == FAIL and f.severity == severity for f in group) for severity in _COLOURS}
    words = [f"{number} {name}" if name in (CRITICAL, INFO) else count_of(number, name) for name, number in counts.items() if number]
    return ", ".join(words) or f"{sum(f.status == PASS for f in group)} passed"


def _finding(finding: Finding, width: int, colour: bool) -> Iterator[str]:
    """What is wrong; what is expected and what is there, with why that matters; what to do."""
    mark = finding.severity if finding.status == FAIL else finding.status
    label = "n/a" if mark == NOT_APPLICABLE else mark
    new = " (new)" if finding.is_new else ""
    lines = list(_hanging(f"{label:<{_COLUMN}}{finding.title} [{finding.id}]{new}", width))
    shade = _COLOURS.get(mark, _STATUS_COLOURS.get(mark, ""))
    lines[0] = paint(label, shade, bool(colour and shade)) + lines[0][len(label) :]
    yield from lines
    if finding.status == NOT_APPLICABLE:
        yield from _aside(finding.reason, width)
        return
    comparison = comparison_text(finding)
    if finding.status == PASS:
        yield from _aside(comparison, width)
        return
    yield from _aside(f"{comparison}. {finding.reason}".rstrip(), width)
    if finding.waiver:
        yield from _aside(f"waiver {finding.waiver}", width)
    if finding.remedy:
        for line in remedy_lines(finding.remedy):
            yield from _aside(line, width)


def _unknown(findings: Sequence[Finding], width: int, colour: bool) -> Iterator[str]:
    """What could not be judged, together by what would show it: each reason once."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        why = unknown_reason(finding)
        hint = "; ".join(step.text for step in finding.remedy.steps) if finding.remedy else ""
        groups.setdefault((why, hint), []).append(finding)
    for (why, hint), group in groups.items():
        yield from _hanging(f"{UNKNOWN:<{_COLUMN}}{why}", width, paint_from=YELLOW if colour else "")
        names = [finding.id for finding in group]
        yield from _aside(", ".join(names), width)
        if hint:
            yield from _aside(f"do: {hint}", width)


def _hanging(text: str, width: int, paint_from: str = "") -> Iterator[str]:
    """A text whose lines but the first begin behind the column of the severity."""
    label, rest = text[:_COLUMN], text[_COLUMN:]
    first, *others = wrap(printable(rest), width - len(INDENT) - _COLUMN, len(rest) + 1)
    yield f"{paint(label.rstrip(), paint_from, bool(paint_from))}{' ' * (_COLUMN - len(label.rstrip()))}{first}"
    yield from (" " * _COLUMN + line for line in others)


def _aside(text: str, width: int) -> Iterable[str]:
    return (" " * _COLUMN + line for line in wrap(printable(text), width - _COLUMN, len(text) + 1))


def list_table(checks: Sequence[CheckDefinition], width: int, colour: bool) -> str:
    """Checks by domain: id, severity and title."""
    width, bold = line_width(width), BOLD if colour else ""
    column = max((len(check.id) for check in checks), default=0) + 2
    blocks = []
    for domain in dict.fromkeys(check.domain for check in checks):
        group = [check for check in checks if check.domain == domain]
        rows = [f"{INDENT}{check.id:<{column}}{check.severity:<{_COLUMN}}{printable(check.title)}" for check in group]
        blocks.append([heading(domain, count_of(len(group), "check"), width, bold), *rows])
    return join_blocks(blocks)
